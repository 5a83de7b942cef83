"""The YAML of a pipeline: examples are read; what is wrong is one line with key, value and what is allowed."""

import copy
import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from verl_coder.errors import ConfigError, VerlCoderError
from verl_coder.paths import repository_root
from verl_coder.pipeline import config as models
from verl_coder.pipeline.config import read_config

EXAMPLES = repository_root() / "config" / "pipeline"


@pytest.mark.parametrize("name", ["tiny", "qwen", "example_config"])
def test_the_examples_are_read(name: str) -> None:
    found = read_config(EXAMPLES / f"{name}.yaml")
    assert found.stages == models.STAGES


def test_there_is_no_other_example() -> None:
    assert sorted(path.stem for path in EXAMPLES.iterdir()) == ["example_config", "qwen", "tiny"]


def test_the_commented_example_has_every_setting_that_is_the_pipelines_own() -> None:
    text = (EXAMPLES / "example_config.yaml").read_text()
    for model in vars(models).values():
        if isinstance(model, type) and model.__name__.startswith("Pipeline"):
            for name in model.model_fields:  # type: ignore[attr-defined]
                assert f"{name}:" in text, f"{model.__name__}.{name}"


def test_a_key_without_a_value_is_a_section_without_settings(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("model: owner/m\ndata: {datasets: {sample: {}}}\nevaluate:\nreport:\n")
    found = read_config(path)
    assert found.stages == ("data", "evaluate", "report")
    assert found.evaluate == {"models": ("base", "sft", "trained"), "split": "validation"}


def test_a_dataset_without_a_value_has_no_settings(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("model: owner/m\ndata: {datasets: {sample: }}\nevaluate:\n")
    assert read_config(path).data.datasets == {"sample": {}}


def test_out_of_the_command_line_comes_first() -> None:
    assert read_config(EXAMPLES / "tiny.yaml", out="elsewhere").out == "elsewhere"
    with pytest.raises(ConfigError, match=r"^OUT=/: name a folder of its own"):
        read_config(EXAMPLES / "tiny.yaml", out="/")


WRONG: list[tuple[str, Any, str]] = [
    ("modle", "x", "modle: no such setting; did you mean model?"),
    ("model", None, "model=None: use a text"),
    ("model", "", "model='': use a text that is not empty"),
    ("model", "~nobody-here/x", "model='~nobody-here/x': there is no such user: write the whole path"),
    ("out", "", "out='': use a text that is not empty"),
    ("out", "/", "out=/: name a folder of its own, such as outputs/mine"),
    ("out", str(repository_root()), ": name a folder of its own, such as outputs/mine"),
    ("out", "~nobody-here/x", "out='~nobody-here/x': there is no such user: write the whole path"),
    ("out", "a\0b", "out='a\\x00b': use a text without line breaks and control characters"),
    ("data.datasets.sample", 3, "data.datasets.sample=3: use a mapping"),
    ("sft.1", 2, "sft.1: no such setting"),
    ("sft", {1: 2}, "sft: 1 is no name: take it out, or write it in quotes where it is meant"),
    ("sft.learning_rate", datetime.date(2020, 1, 1), "sft.learning_rate=2020-01-01: use null, or a number"),
    ("sft.learning_rate", 10**400, "use null, or a number"),
    ("seed", -1, "seed=-1: use a whole number of 0 or more"),
    ("recipe", "tiny", "yaml: recipe: no recipe 'tiny'; did you mean tiny_"),
    ("recipe", None, "train needs a recipe: name a folder of recipes/"),
    ("protocol", "tool", "protocol=tool: sample makes rows of one protocol: leave it out"),
    ("tools", "tool_config/no.yaml", "tools=tool_config/no.yaml: no such file; tool_config/ has"),
    ("tools", "tool_config/feedbak.yaml", "no such file; did you mean tool_config/feedback.yaml?"),
    ("train.reward", "rewards/pasrate.py", "no such file; did you mean rewards/pass_rate.py?"),
    ("train.reward", "~nobody-here/x.py", "train.reward='~nobody-here/x.py': there is no such user"),
    ("data.datasets", {"~nobody-here/x.py": {}}, "~nobody-here/x.py"),
    ("evaluate.protocol", "tol", "evaluate.protocol=tol: use null, or one of none, tool, "),
    ("data.datasets.sample.trian", 3, "data.datasets.sample.trian: no such setting; did you mean train?"),
    ("data.datasets.sample.train", 0, "data.datasets.sample.train=0: use a whole number of 1 or more"),
    ("data.datasets.smaple", {}, "data.datasets.smaple: no dataset 'smaple'; did you mean sample?"),
    (
        "data.datasets",
        {"mbpp": {}, str(repository_root() / "data_prep" / "mbpp.py"): {}},
        "data.datasets.mbpp: data/mbpp would be its folder, which is that of /",
    ),
    ("data.train", ["t.parquet"], "data: name either datasets to prepare, or the files train and validation"),
    ("data.shares", {"sample": 1}, "data: shares and mix are for several datasets"),
    (
        "teacher",
        {"tiny": {}, "file": "x"},
        "teacher: give exactly one of generate, repairs, tiny, file (given: tiny",
    ),
    ("teacher", {"generate": {"num_samples": 2}}, "teacher.generate.model is missing: give a text"),
    ("teacher.tiny.problems", "many", "teacher.tiny.problems=many: use a whole number of 1 or more"),
    ("teacher", {"file": "no.parquet"}, "teacher.file=no.parquet: there is no such file"),
    ("sft.epcohs", 3, "sft.epcohs: no such setting; did you mean epochs?"),
    ("sft.overides", [], "sft.overides: no such setting; did you mean overrides?"),
    ("sft.epochs", 1.5, "sft.epochs=1.5: use a whole number"),
    ("sft.learning_rate", "fast", "sft.learning_rate=fast: use null, or a number"),
    ("sft.model", "x", "sft.model: the pipeline gives this itself"),
    ("sft", [], "sft=[]: use null, or a mapping"),
    ("train.overrides", "a=b", "train.overrides=a=b: use a list"),
    ("train.export_dtype", "int8", "train.export_dtype=int8: use one of bfloat16, float16, float32"),
    ("evaluate.models", ["base", "best"], "evaluate.models[1]=best: use one of base, sft, trained"),
    ("evaluate.models", [], "evaluate.models=[]: use a list of 1 or more"),
    ("evaluate.top_p", 2, "evaluate.top_p=2: use a number in [0, 1]"),
    ("evaluate.dtype", "fp8", "evaluate: --dtype fp8: there are auto, "),
    ("evaluate.temperature", -1, "evaluate: --temperature -1: use a number of 0 or more"),
    ("evaluate.top_p", 0, "evaluate: --top-p 0: above 0"),
    ("evaluate.k", "5", "evaluate: --k 5 with --n 1"),
    ("evaluate.k", "1,x", "evaluate: --k 1,x: whole numbers"),
    ("evaluate.export", ["csv"], "evaluate: --export csv: there are evalplus"),
    ("evaluate.speculation", "x", "evaluate: --speculation x: there are "),
    ("evaluate.date_from", "today", "evaluate: --from today: a day as YYYY-MM-DD"),
    ("sft.epochs", 0, "sft: --epochs is 0: use a number above 0"),
    ("sft.learning_rate", -1, "sft: --learning-rate is -1.0: use a number above 0"),
    ("sft.keep", "bset", "sft: --keep is 'bset': use best or last"),
    ("sft.overrides", ["optim.lrr=1"], "sft: no setting optim.lrr; did you mean optim.lr?"),
    ("sft.overrides", ["optim.weight_decay=x"], "sft: optim.weight_decay=x: use a number"),
    ("sft.overrides", ["optim"], "sft: 'optim' is neither an option nor a Hydra override"),
    ("data.datasets", {"mbpp": {"variant": "x"}}, "data.datasets.mbpp: variant is 'x'; it must be one of"),
    (
        "data",
        {"datasets": {"mbpp": {}, "apps": {}}, "shares": {"mbpp": 0}},
        "data.mix: --mix 'mbpp=0': a share",
    ),
    (
        "data",
        {"datasets": {"mbpp": {}, "apps": {}}, "mix": {"train_pass_rate": "0.2-0.8"}},
        "data.mix: --train-pass-rate needs --pass-rates",
    ),
    ("teacher", {"generate": {"model": "m", "max_cost": 3}}, "teacher.generate: --max-cost needs prices"),
    (
        "teacher",
        {"repairs": {"direct_share": 1, "plain_share": 1}},
        "teacher.repairs: --direct-share 1.0 and ",
    ),
    ("evaluate.splt", "test", "evaluate.splt: no such setting; did you mean split?"),
    ("report", {"pages": 1}, "report.pages: no such setting; the section has none"),
]


@pytest.mark.parametrize(("key", "value", "words"), WRONG, ids=[f"{key}={value}" for key, value, _ in WRONG])
def test_what_is_wrong_is_one_line(key: str, value: Any, words: str, tmp_path: Path) -> None:
    values = copy.deepcopy(yaml.safe_load((EXAMPLES / "tiny.yaml").read_text()))
    node = values
    *above, last = key.split(".")
    for name in above:
        node = node[name]
    node[last] = value
    path = tmp_path / "my_config.yaml"
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(VerlCoderError) as raised:
        read_config(path)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "is no YAML"),
        ("- a", "give a mapping"),
        ("a: \xaa", "it is no UTF-8 text"),
        ("data: {}", "model is missing"),
        ("a: " + "[" * 3000, "brackets within brackets"),
    ],
)
def test_a_file_that_is_no_pipeline_is_said_so(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(VerlCoderError, match=words) as error:
        read_config(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "model", ["src/verl_coder/tiny/nope", "./nope", "../nope", "nope", "/nope/at/all", "n" * 300]
)
def test_a_model_that_is_no_folder_and_no_hub_name_is_found_first(model: str, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(f"model: {model}\ndata: {{datasets: {{sample: {{}}}}}}\nevaluate:\n")
    with pytest.raises(ConfigError, match=r"c\.yaml: model=.*no such folder, and it is no hub name"):
        read_config(path)
    for known in ("src/verl_coder/tiny/base", "owner/name"):
        path.write_text(f"model: {known}\ndata: {{datasets: {{sample: {{}}}}}}\nevaluate:\n")
        assert read_config(path).model == known


def test_a_dataset_with_the_name_of_the_mix_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mixed.py").write_text((repository_root() / "data_prep" / "sample.py").read_text())
    path = tmp_path / "c.yaml"
    path.write_text(f"model: owner/m\ndata: {{datasets: {{{tmp_path}/mixed.py: {{}}, mbpp: {{}}}}}}\n")
    with pytest.raises(ConfigError, match=r"data/mixed would be its folder, which is that of the mix of all"):
        read_config(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(VerlCoderError, match=r"no\.yaml: there is no such file$"):
        read_config(tmp_path / "no.yaml")
