from solution import solve


def test_0():
    assert solve([0, 1, 2]) == 12


def test_1():
    assert solve([1, 2, 3]) == 21


def test_2():
    assert solve([2, 3, 4]) == 36


def test_3():
    assert solve([3, 4, 5]) == 57


def test_4():
    assert solve([4, 5, 6]) == 84


def test_5():
    assert solve([5, 6, 7]) == 117


def test_6():
    assert solve([6, 7, 8]) == 156


def test_7():
    assert solve([7, 8, 9]) == 201


def test_8():
    assert solve([8, 9, 10]) == 252


def test_9():
    assert solve([9, 10, 11]) == 309


def test_10():
    assert solve([10, 11, 12]) == 372


def test_11():
    assert solve([11, 12, 13]) == 441


def test_12():
    assert solve([12, 13, 14]) == 516


def test_13():
    assert solve([13, 14, 15]) == 597


def test_14():
    assert solve([14, 15, 16]) == 684


def test_15():
    assert solve([15, 16, 17]) == 777


def test_16():
    assert solve([16, 17, 18]) == 876


def test_17():
    assert solve([17, 18, 19]) == 981


def test_18():
    assert solve([18, 19, 20]) == 1092


def test_19():
    assert solve([19, 20, 21]) == 1209


def test_20():
    assert solve([20, 21, 22]) == 1332


def test_21():
    assert solve([21, 22, 23]) == 1461


def test_22():
    assert solve([22, 23, 24]) == 1596


def test_23():
    assert solve([23, 24, 25]) == 1737


def test_24():
    assert solve([24, 25, 26]) == 1884


def test_25():
    assert solve([25, 26, 27]) == 2037


def test_26():
    assert solve([26, 27, 28]) == 2196


def test_27():
    assert solve([27, 28, 29]) == 2361


def test_28():
    assert solve([28, 29, 30]) == 2532


def test_29():
    assert solve([29, 30, 31]) == 2709


def test_30():
    assert solve([30, 31, 32]) == 2892


def test_31():
    assert solve([31, 32, 33]) == 3081


def test_32():
    assert solve([32, 33, 34]) == 3276


def test_33():
    assert solve([33, 34, 35]) == 3477


def test_34():
    assert solve([34, 35, 36]) == 3684


def test_35():
    assert solve([35, 36, 37]) == 3897


def test_36():
    assert solve([36, 37, 38]) == 4116


def test_37():
    assert solve([37, 38, 39]) == 4341


def test_38():
    assert solve([38, 39, 40]) == 4572


def test_39():
    assert solve([39, 40, 41]) == 4809


def test_40():
    assert solve([40, 41, 42]) == 5052


def test_41():
    assert solve([41, 42, 43]) == 5301


def test_42():
    assert solve([42, 43, 44]) == 5556


def test_43():
    assert solve([43, 44, 45]) == 5817


def test_44():
    assert solve([44, 45, 46]) == 6084


def test_45():
    assert solve([45, 46, 47]) == 6357


def test_46():
    assert solve([46, 47, 48]) == 6636


def test_47():
    assert solve([47, 48, 49]) == 6921


def test_48():
    assert solve([48, 49, 50]) == 7212


def test_49():
    assert solve([49, 50, 51]) == 7509


def test_50():
    assert solve([50, 51, 52]) == 7812


def test_51():
    assert solve([51, 52, 53]) == 8121


def test_52():
    assert solve([52, 53, 54]) == 8436


def test_53():
    assert solve([53, 54, 55]) == 8757


def test_54():
    assert solve([54, 55, 56]) == 9084


def test_55():
    assert solve([55, 56, 57]) == 9417


def test_56():
    assert solve([56, 57, 58]) == 9756


def test_57():
    assert solve([57, 58, 59]) == 10101


def test_58():
    assert solve([58, 59, 60]) == 10452


def test_59():
    assert solve([59, 60, 61]) == 10809


def test_60():
    assert solve([60, 61, 62]) == 11172


def test_61():
    assert solve([61, 62, 63]) == 11541


def test_62():
    assert solve([62, 63, 64]) == 11916


def test_63():
    assert solve([63, 64, 65]) == 12297


def test_64():
    assert solve([64, 65, 66]) == 12684


def test_65():
    assert solve([65, 66, 67]) == 13077


def test_66():
    assert solve([66, 67, 68]) == 13476


def test_67():
    assert solve([67, 68, 69]) == 13881


def test_68():
    assert solve([68, 69, 70]) == 14292


def test_69():
    assert solve([69, 70, 71]) == 14709


def test_70():
    assert solve([70, 71, 72]) == 15132


def test_71():
    assert solve([71, 72, 73]) == 15561


def test_72():
    assert solve([72, 73, 74]) == 15996


def test_73():
    assert solve([73, 74, 75]) == 16437


def test_74():
    assert solve([74, 75, 76]) == 16884


def test_75():
    assert solve([75, 76, 77]) == 17337


def test_76():
    assert solve([76, 77, 78]) == 17796


def test_77():
    assert solve([77, 78, 79]) == 18261


def test_78():
    assert solve([78, 79, 80]) == 18732


def test_79():
    assert solve([79, 80, 81]) == 19209


def test_80():
    assert solve([80, 81, 82]) == 19692


def test_81():
    assert solve([81, 82, 83]) == 20181


def test_82():
    assert solve([82, 83, 84]) == 20676


def test_83():
    assert solve([83, 84, 85]) == 21177


def test_84():
    assert solve([84, 85, 86]) == 21684


def test_85():
    assert solve([85, 86, 87]) == 22197


def test_86():
    assert solve([86, 87, 88]) == 22716


def test_87():
    assert solve([87, 88, 89]) == 23241


def test_88():
    assert solve([88, 89, 90]) == 23772


def test_89():
    assert solve([89, 90, 91]) == 24309


def test_90():
    assert solve([90, 91, 92]) == 24852


def test_91():
    assert solve([91, 92, 93]) == 25401


def test_92():
    assert solve([92, 93, 94]) == 25956


def test_93():
    assert solve([93, 94, 95]) == 26517


def test_94():
    assert solve([94, 95, 96]) == 27084


def test_95():
    assert solve([95, 96, 97]) == 27657


def test_96():
    assert solve([96, 97, 98]) == 28236


def test_97():
    assert solve([97, 98, 99]) == 28821


def test_98():
    assert solve([98, 99, 100]) == 29412


def test_99():
    assert solve([99, 100, 101]) == 30009


def test_100():
    assert solve([100, 101, 102]) == 30612


def test_101():
    assert solve([101, 102, 103]) == 31221


def test_102():
    assert solve([102, 103, 104]) == 31836


def test_103():
    assert solve([103, 104, 105]) == 32457


def test_104():
    assert solve([104, 105, 106]) == 33084


def test_105():
    assert solve([105, 106, 107]) == 33717


def test_106():
    assert solve([106, 107, 108]) == 34356


def test_107():
    assert solve([107, 108, 109]) == 35001


def test_108():
    assert solve([108, 109, 110]) == 35652


def test_109():
    assert solve([109, 110, 111]) == 36309


def test_110():
    assert solve([110, 111, 112]) == 36972


def test_111():
    assert solve([111, 112, 113]) == 37641


def test_112():
    assert solve([112, 113, 114]) == 38316


def test_113():
    assert solve([113, 114, 115]) == 38997


def test_114():
    assert solve([114, 115, 116]) == 39684


def test_115():
    assert solve([115, 116, 117]) == 40377


def test_116():
    assert solve([116, 117, 118]) == 41076


def test_117():
    assert solve([117, 118, 119]) == 41781


def test_118():
    assert solve([118, 119, 120]) == 42492


def test_119():
    assert solve([119, 120, 121]) == 43209


def test_120():
    assert solve([120, 121, 122]) == 43932


def test_121():
    assert solve([121, 122, 123]) == 44661


def test_122():
    assert solve([122, 123, 124]) == 45396


def test_123():
    assert solve([123, 124, 125]) == 46137


def test_124():
    assert solve([124, 125, 126]) == 46884


def test_125():
    assert solve([125, 126, 127]) == 47637


def test_126():
    assert solve([126, 127, 128]) == 48396


def test_127():
    assert solve([127, 128, 129]) == 49161


def test_128():
    assert solve([128, 129, 130]) == 49932


def test_129():
    assert solve([129, 130, 131]) == 50709


def test_130():
    assert solve([130, 131, 132]) == 51492


def test_131():
    assert solve([131, 132, 133]) == 52281


def test_132():
    assert solve([132, 133, 134]) == 53076


def test_133():
    assert solve([133, 134, 135]) == 53877


def test_134():
    assert solve([134, 135, 136]) == 54684


def test_135():
    assert solve([135, 136, 137]) == 55497


def test_136():
    assert solve([136, 137, 138]) == 56316


def test_137():
    assert solve([137, 138, 139]) == 57141


def test_138():
    assert solve([138, 139, 140]) == 57972


def test_139():
    assert solve([139, 140, 141]) == 58809


def test_140():
    assert solve([140, 141, 142]) == 59652


def test_141():
    assert solve([141, 142, 143]) == 60501


def test_142():
    assert solve([142, 143, 144]) == 61356


def test_143():
    assert solve([143, 144, 145]) == 62217


def test_144():
    assert solve([144, 145, 146]) == 63084


def test_145():
    assert solve([145, 146, 147]) == 63957


def test_146():
    assert solve([146, 147, 148]) == 64836


def test_147():
    assert solve([147, 148, 149]) == 65721


def test_148():
    assert solve([148, 149, 150]) == 66612


def test_149():
    assert solve([149, 150, 151]) == 67509


def test_150():
    assert solve([150, 151, 152]) == 68412


def test_151():
    assert solve([151, 152, 153]) == 69321


def test_152():
    assert solve([152, 153, 154]) == 70236


def test_153():
    assert solve([153, 154, 155]) == 71157


def test_154():
    assert solve([154, 155, 156]) == 72084


def test_155():
    assert solve([155, 156, 157]) == 73017


def test_156():
    assert solve([156, 157, 158]) == 73956


def test_157():
    assert solve([157, 158, 159]) == 74901


def test_158():
    assert solve([158, 159, 160]) == 75852


def test_159():
    assert solve([159, 160, 161]) == 76809


def test_160():
    assert solve([160, 161, 162]) == 77772


def test_161():
    assert solve([161, 162, 163]) == 78741


def test_162():
    assert solve([162, 163, 164]) == 79716


def test_163():
    assert solve([163, 164, 165]) == 80697


def test_164():
    assert solve([164, 165, 166]) == 81684


def test_165():
    assert solve([165, 166, 167]) == 82677


def test_166():
    assert solve([166, 167, 168]) == 83676


def test_167():
    assert solve([167, 168, 169]) == 84681


def test_168():
    assert solve([168, 169, 170]) == 85692


def test_169():
    assert solve([169, 170, 171]) == 86709


def test_170():
    assert solve([170, 171, 172]) == 87732


def test_171():
    assert solve([171, 172, 173]) == 88761


def test_172():
    assert solve([172, 173, 174]) == 89796


def test_173():
    assert solve([173, 174, 175]) == 90837


def test_174():
    assert solve([174, 175, 176]) == 91884


def test_175():
    assert solve([175, 176, 177]) == 92937


def test_176():
    assert solve([176, 177, 178]) == 93996


def test_177():
    assert solve([177, 178, 179]) == 95061


def test_178():
    assert solve([178, 179, 180]) == 96132


def test_179():
    assert solve([179, 180, 181]) == 97209


def test_180():
    assert solve([180, 181, 182]) == 98292


def test_181():
    assert solve([181, 182, 183]) == 99381


def test_182():
    assert solve([182, 183, 184]) == 100476


def test_183():
    assert solve([183, 184, 185]) == 101577


def test_184():
    assert solve([184, 185, 186]) == 102684


def test_185():
    assert solve([185, 186, 187]) == 103797


def test_186():
    assert solve([186, 187, 188]) == 104916


def test_187():
    assert solve([187, 188, 189]) == 106041


def test_188():
    assert solve([188, 189, 190]) == 107172


def test_189():
    assert solve([189, 190, 191]) == 108309


def test_190():
    assert solve([190, 191, 192]) == 109452


def test_191():
    assert solve([191, 192, 193]) == 110601


def test_192():
    assert solve([192, 193, 194]) == 111756


def test_193():
    assert solve([193, 194, 195]) == 112917


def test_194():
    assert solve([194, 195, 196]) == 114084


def test_195():
    assert solve([195, 196, 197]) == 115257


def test_196():
    assert solve([196, 197, 198]) == 116436


def test_197():
    assert solve([197, 198, 199]) == 117621


def test_198():
    assert solve([198, 199, 200]) == 118812


def test_199():
    assert solve([199, 200, 201]) == 120009


def test_200():
    assert solve([200, 201, 202]) == 121212


def test_201():
    assert solve([201, 202, 203]) == 122421


def test_202():
    assert solve([202, 203, 204]) == 123636


def test_203():
    assert solve([203, 204, 205]) == 124857


def test_204():
    assert solve([204, 205, 206]) == 126084


def test_205():
    assert solve([205, 206, 207]) == 127317


def test_206():
    assert solve([206, 207, 208]) == 128556


def test_207():
    assert solve([207, 208, 209]) == 129801


def test_208():
    assert solve([208, 209, 210]) == 131052


def test_209():
    assert solve([209, 210, 211]) == 132309


def test_210():
    assert solve([210, 211, 212]) == 133572


def test_211():
    assert solve([211, 212, 213]) == 134841


def test_212():
    assert solve([212, 213, 214]) == 136116


def test_213():
    assert solve([213, 214, 215]) == 137397


def test_214():
    assert solve([214, 215, 216]) == 138684


def test_215():
    assert solve([215, 216, 217]) == 139977


def test_216():
    assert solve([216, 217, 218]) == 141276


def test_217():
    assert solve([217, 218, 219]) == 142581


def test_218():
    assert solve([218, 219, 220]) == 143892


def test_219():
    assert solve([219, 220, 221]) == 145209


def test_220():
    assert solve([220, 221, 222]) == 146532


def test_221():
    assert solve([221, 222, 223]) == 147861


def test_222():
    assert solve([222, 223, 224]) == 149196


def test_223():
    assert solve([223, 224, 225]) == 150537


def test_224():
    assert solve([224, 225, 226]) == 151884


def test_225():
    assert solve([225, 226, 227]) == 153237


def test_226():
    assert solve([226, 227, 228]) == 154596


def test_227():
    assert solve([227, 228, 229]) == 155961


def test_228():
    assert solve([228, 229, 230]) == 157332


def test_229():
    assert solve([229, 230, 231]) == 158709


def test_230():
    assert solve([230, 231, 232]) == 160092


def test_231():
    assert solve([231, 232, 233]) == 161481


def test_232():
    assert solve([232, 233, 234]) == 162876


def test_233():
    assert solve([233, 234, 235]) == 164277


def test_234():
    assert solve([234, 235, 236]) == 165684


def test_235():
    assert solve([235, 236, 237]) == 167097


def test_236():
    assert solve([236, 237, 238]) == 168516


def test_237():
    assert solve([237, 238, 239]) == 169941


def test_238():
    assert solve([238, 239, 240]) == 171372


def test_239():
    assert solve([239, 240, 241]) == 172809


def test_240():
    assert solve([240, 241, 242]) == 174252


def test_241():
    assert solve([241, 242, 243]) == 175701


def test_242():
    assert solve([242, 243, 244]) == 177156


def test_243():
    assert solve([243, 244, 245]) == 178617


def test_244():
    assert solve([244, 245, 246]) == 180084


def test_245():
    assert solve([245, 246, 247]) == 181557


def test_246():
    assert solve([246, 247, 248]) == 183036


def test_247():
    assert solve([247, 248, 249]) == 184521


def test_248():
    assert solve([248, 249, 250]) == 186012


def test_249():
    assert solve([249, 250, 251]) == 187509


def test_250():
    assert solve([250, 251, 252]) == 189012


def test_251():
    assert solve([251, 252, 253]) == 190521


def test_252():
    assert solve([252, 253, 254]) == 192036


def test_253():
    assert solve([253, 254, 255]) == 193557


def test_254():
    assert solve([254, 255, 256]) == 195084


def test_255():
    assert solve([255, 256, 257]) == 196617


def test_256():
    assert solve([256, 257, 258]) == 198156


def test_257():
    assert solve([257, 258, 259]) == 199701


def test_258():
    assert solve([258, 259, 260]) == 201252


def test_259():
    assert solve([259, 260, 261]) == 202809


def test_260():
    assert solve([260, 261, 262]) == 204372


def test_261():
    assert solve([261, 262, 263]) == 205941


def test_262():
    assert solve([262, 263, 264]) == 207516


def test_263():
    assert solve([263, 264, 265]) == 209097


def test_264():
    assert solve([264, 265, 266]) == 210684


def test_265():
    assert solve([265, 266, 267]) == 212277


def test_266():
    assert solve([266, 267, 268]) == 213876


def test_267():
    assert solve([267, 268, 269]) == 215481


def test_268():
    assert solve([268, 269, 270]) == 217092


def test_269():
    assert solve([269, 270, 271]) == 218709


def test_270():
    assert solve([270, 271, 272]) == 220332


def test_271():
    assert solve([271, 272, 273]) == 221961


def test_272():
    assert solve([272, 273, 274]) == 223596


def test_273():
    assert solve([273, 274, 275]) == 225237


def test_274():
    assert solve([274, 275, 276]) == 226884


def test_275():
    assert solve([275, 276, 277]) == 228537


def test_276():
    assert solve([276, 277, 278]) == 230196


def test_277():
    assert solve([277, 278, 279]) == 231861


def test_278():
    assert solve([278, 279, 280]) == 233532


def test_279():
    assert solve([279, 280, 281]) == 235209


def test_280():
    assert solve([280, 281, 282]) == 236892


def test_281():
    assert solve([281, 282, 283]) == 238581


def test_282():
    assert solve([282, 283, 284]) == 240276


def test_283():
    assert solve([283, 284, 285]) == 241977


def test_284():
    assert solve([284, 285, 286]) == 243684


def test_285():
    assert solve([285, 286, 287]) == 245397


def test_286():
    assert solve([286, 287, 288]) == 247116


def test_287():
    assert solve([287, 288, 289]) == 248841


def test_288():
    assert solve([288, 289, 290]) == 250572


def test_289():
    assert solve([289, 290, 291]) == 252309


def test_290():
    assert solve([290, 291, 292]) == 254052


def test_291():
    assert solve([291, 292, 293]) == 255801


def test_292():
    assert solve([292, 293, 294]) == 257556


def test_293():
    assert solve([293, 294, 295]) == 259317


def test_294():
    assert solve([294, 295, 296]) == 261084


def test_295():
    assert solve([295, 296, 297]) == 262857


def test_296():
    assert solve([296, 297, 298]) == 264636


def test_297():
    assert solve([297, 298, 299]) == 266421


def test_298():
    assert solve([298, 299, 300]) == 268212


def test_299():
    assert solve([299, 300, 301]) == 270009


def test_300():
    assert solve([300, 301, 302]) == 271812


def test_301():
    assert solve([301, 302, 303]) == 273621


def test_302():
    assert solve([302, 303, 304]) == 275436


def test_303():
    assert solve([303, 304, 305]) == 277257


def test_304():
    assert solve([304, 305, 306]) == 279084


def test_305():
    assert solve([305, 306, 307]) == 280917


def test_306():
    assert solve([306, 307, 308]) == 282756


def test_307():
    assert solve([307, 308, 309]) == 284601


def test_308():
    assert solve([308, 309, 310]) == 286452


def test_309():
    assert solve([309, 310, 311]) == 288309


def test_310():
    assert solve([310, 311, 312]) == 290172


def test_311():
    assert solve([311, 312, 313]) == 292041


def test_312():
    assert solve([312, 313, 314]) == 293916


def test_313():
    assert solve([313, 314, 315]) == 295797


def test_314():
    assert solve([314, 315, 316]) == 297684


def test_315():
    assert solve([315, 316, 317]) == 299577


def test_316():
    assert solve([316, 317, 318]) == 301476


def test_317():
    assert solve([317, 318, 319]) == 303381


def test_318():
    assert solve([318, 319, 320]) == 305292


def test_319():
    assert solve([319, 320, 321]) == 307209


def test_320():
    assert solve([320, 321, 322]) == 309132


def test_321():
    assert solve([321, 322, 323]) == 311061


def test_322():
    assert solve([322, 323, 324]) == 312996


def test_323():
    assert solve([323, 324, 325]) == 314937


def test_324():
    assert solve([324, 325, 326]) == 316884


def test_325():
    assert solve([325, 326, 327]) == 318837


def test_326():
    assert solve([326, 327, 328]) == 320796


def test_327():
    assert solve([327, 328, 329]) == 322761


def test_328():
    assert solve([328, 329, 330]) == 324732


def test_329():
    assert solve([329, 330, 331]) == 326709


def test_330():
    assert solve([330, 331, 332]) == 328692


def test_331():
    assert solve([331, 332, 333]) == 330681


def test_332():
    assert solve([332, 333, 334]) == 332676


def test_333():
    assert solve([333, 334, 335]) == 334677


def test_334():
    assert solve([334, 335, 336]) == 336684


def test_335():
    assert solve([335, 336, 337]) == 338697


def test_336():
    assert solve([336, 337, 338]) == 340716


def test_337():
    assert solve([337, 338, 339]) == 342741


def test_338():
    assert solve([338, 339, 340]) == 344772


def test_339():
    assert solve([339, 340, 341]) == 346809


def test_340():
    assert solve([340, 341, 342]) == 348852


def test_341():
    assert solve([341, 342, 343]) == 350901


def test_342():
    assert solve([342, 343, 344]) == 352956


def test_343():
    assert solve([343, 344, 345]) == 355017


def test_344():
    assert solve([344, 345, 346]) == 357084


def test_345():
    assert solve([345, 346, 347]) == 359157


def test_346():
    assert solve([346, 347, 348]) == 361236


def test_347():
    assert solve([347, 348, 349]) == 363321


def test_348():
    assert solve([348, 349, 350]) == 365412


def test_349():
    assert solve([349, 350, 351]) == 367509


def test_350():
    assert solve([350, 351, 352]) == 369612


def test_351():
    assert solve([351, 352, 353]) == 371721


def test_352():
    assert solve([352, 353, 354]) == 373836


def test_353():
    assert solve([353, 354, 355]) == 375957


def test_354():
    assert solve([354, 355, 356]) == 378084


def test_355():
    assert solve([355, 356, 357]) == 380217


def test_356():
    assert solve([356, 357, 358]) == 382356


def test_357():
    assert solve([357, 358, 359]) == 384501


def test_358():
    assert solve([358, 359, 360]) == 386652


def test_359():
    assert solve([359, 360, 361]) == 388809


def test_360():
    assert solve([360, 361, 362]) == 390972


def test_361():
    assert solve([361, 362, 363]) == 393141


def test_362():
    assert solve([362, 363, 364]) == 395316


def test_363():
    assert solve([363, 364, 365]) == 397497


def test_364():
    assert solve([364, 365, 366]) == 399684


def test_365():
    assert solve([365, 366, 367]) == 401877


def test_366():
    assert solve([366, 367, 368]) == 404076


def test_367():
    assert solve([367, 368, 369]) == 406281


def test_368():
    assert solve([368, 369, 370]) == 408492


def test_369():
    assert solve([369, 370, 371]) == 410709


def test_370():
    assert solve([370, 371, 372]) == 412932


def test_371():
    assert solve([371, 372, 373]) == 415161


def test_372():
    assert solve([372, 373, 374]) == 417396


def test_373():
    assert solve([373, 374, 375]) == 419637


def test_374():
    assert solve([374, 375, 376]) == 421884


def test_375():
    assert solve([375, 376, 377]) == 424137


def test_376():
    assert solve([376, 377, 378]) == 426396


def test_377():
    assert solve([377, 378, 379]) == 428661


def test_378():
    assert solve([378, 379, 380]) == 430932


def test_379():
    assert solve([379, 380, 381]) == 433209


def test_380():
    assert solve([380, 381, 382]) == 435492


def test_381():
    assert solve([381, 382, 383]) == 437781


def test_382():
    assert solve([382, 383, 384]) == 440076


def test_383():
    assert solve([383, 384, 385]) == 442377


def test_384():
    assert solve([384, 385, 386]) == 444684


def test_385():
    assert solve([385, 386, 387]) == 446997


def test_386():
    assert solve([386, 387, 388]) == 449316


def test_387():
    assert solve([387, 388, 389]) == 451641


def test_388():
    assert solve([388, 389, 390]) == 453972


def test_389():
    assert solve([389, 390, 391]) == 456309


def test_390():
    assert solve([390, 391, 392]) == 458652


def test_391():
    assert solve([391, 392, 393]) == 461001


def test_392():
    assert solve([392, 393, 394]) == 463356


def test_393():
    assert solve([393, 394, 395]) == 465717


def test_394():
    assert solve([394, 395, 396]) == 468084


def test_395():
    assert solve([395, 396, 397]) == 470457


def test_396():
    assert solve([396, 397, 398]) == 472836


def test_397():
    assert solve([397, 398, 399]) == 475221


def test_398():
    assert solve([398, 399, 400]) == 477612


def test_399():
    assert solve([399, 400, 401]) == 480009
