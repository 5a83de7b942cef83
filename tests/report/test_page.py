"""The page in a real browser, opened from disk; skipped where Chromium is not installed."""

import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
from report.folders import (
    ANSWER,
    HOSTILE,
    rollout,
    write_comparison,
    write_evaluation,
    write_lines,
    write_run,
    write_step,
)

from verl_coder.report.build import Report, write_report
from verl_coder.report.inputs import find_inputs
from verl_coder.report.watch import serve
from verl_coder.run.phase import starting

VIEWS = ("overview", "curves", "evaluations", "trajectories", "settings")
ROWS = "document.querySelectorAll('.row').length"


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of two settings, an evaluation without the tool and one with it, a run that a hostile model wrote."""
    folder = tmp_path_factory.mktemp("report")
    first, second = write_run(folder / "first", steps=3), write_run(folder / "second", lr=0.002)
    without = write_evaluation(folder / "eval_none", rate=0.5)
    with_tool = write_evaluation(folder / "eval_tool", tools="tool_config/python_interpreter.yaml", rate=0.6)
    sampled = [{**rollout(p, 1, step=1, sampled=True), "uid": None} for p in range(2)]
    write_lines(second / "validation" / "1.jsonl", sampled)
    other = write_evaluation(folder / "eval_other", rate=0.9, settings={"n": 20, "temperature": 1.0})
    hostile = write_run(folder / "</script><b>third")
    tokens = {
        "text": ["<td>", "ret", "\u202eurn", "</td>"],
        "learnt": [1, 1, 0, 1],
        "log_prob": [-0.1, -3.0, 0.0, -1.5],
    }
    rows = [
        rollout(
            90 + place,
            0,
            output=text,
            input=f"user\n{text}\nassistant\n",
            problem_id=text,
            gts=text,
            difficulty=text,
        )
        for place, text in enumerate(HOSTILE.values())
    ]
    rows.append(rollout(80, 0, output="long " + "A" * 10_000_000 + " end", problem_id="long/line"))
    rows.append(rollout(81, 0, output=ANSWER, problem_id="with/tokens", tokens=tokens, advantage=-0.75))
    write_step(hostile, 3, rows)
    write_comparison(folder, ("eval_none", "eval_tool"))
    write_report(Report(find_inputs([first, second, without, with_tool, hostile, other])), folder / "out")
    return folder / "out"


def go(page: Any, out: Path, fragment: str = "#/overview") -> None:
    """A view of the report, which is loaded where the tab shows another page."""
    address = (out / "index.html").as_uri()
    if page.evaluate("location.href.split('#')[0]") == address:
        page.show(fragment)
    else:
        page.go(address + fragment)


def open_problem(page: Any, out: Path, problem: str) -> None:
    """The first trajectory of a problem."""
    go(page, out, f"#/trajectories?problem={problem}")
    page.wait_for(ROWS)
    page.press("j")
    page.wait_for("document.querySelector('.trajectory .numbers')")


def test_every_view_opens_from_disk_and_asks_for_nothing_else(page: Any, out: Path) -> None:
    page.go((out / "index.html").as_uri())
    for view in VIEWS:
        page.show(f"#/{view}")
        assert len(page.text()) > 100, view
    assert page.errors == []
    assert {address.split(":")[0] for address in page.requests} <= {"file", "about"}


def test_the_overview_has_base_and_last_rate_and_nothing_is_missing(page: Any, out: Path) -> None:
    go(page, out)
    text = page.text()
    assert "finished, 3 steps" in text and "0.500" in text and "missing" not in text


def test_what_differs_between_runs_comes_first(page: Any, out: Path) -> None:
    go(page, out, "#/settings")
    text = page.text()
    assert text.index("actor.lr") < text.index("the same in all")
    assert "0.002" in text and "2 settings differ" in text


def test_results_are_no_settings(page: Any, out: Path) -> None:
    go(page, out, "#/settings")
    text = page.text()
    evaluations = text[text.index("Evaluations") :]
    assert "3 settings differ" in evaluations  # tools, n, temperature
    assert "timing.sampling_s" not in evaluations[: evaluations.index("the same in all")]


def test_evaluations_that_differ_in_more_than_their_tools_are_not_paired(page: Any, out: Path) -> None:
    go(page, out, "#/evaluations")
    text = page.text().replace("\n", " ")
    compared = text[text.index("Tools compared") : text.index("Whether a difference")]
    assert "0.600" in compared and "0.900" not in compared


def test_what_compare_wrote_stands_on_the_overview_and_beside_the_rates(page: Any, out: Path) -> None:
    for view in ("overview", "evaluations"):
        go(page, out, f"#/{view}")
        cells = page.evaluate("[...document.querySelectorAll('.compared td')].map((one) => one.innerText)")
        assert cells == ["eval_none", "4", "0.500 → 0.600", "+10.0", "−5.0 to +25.0", "1, 0", "3.5×10⁻⁵"]
    assert page.text(".compared").splitlines()[0] == "Compared, problem by problem"


def test_a_run_that_measured_nothing_held_out_has_no_columns_of_it(page: Any, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (run / "metrics.jsonl").unlink()
    write_step(run, 1)
    write_report(Report(find_inputs([run])), tmp_path / "out")
    go(page, tmp_path / "out", "#/overview")
    heads = page.evaluate("[...document.querySelectorAll('thead th')].map((one) => one.innerText)")
    assert "reward, first → last" in heads and not any("held-out" in head for head in heads)
    assert "No held-out problems were measured" in page.text()


def test_a_click_on_a_step_shows_its_trajectories(page: Any, out: Path) -> None:
    go(page, out, "#/curves")
    page.wait_for("document.querySelector('.u-over')")
    box = "document.querySelector('.u-over').getBoundingClientRect()"
    page.click_at(*page.evaluate(f"[{box}.right - 2, {box}.y + 50]"))
    page.wait_for("location.hash.includes('step=3')")
    page.wait_for(ROWS)
    assert "step 3" in page.text(".row small")


def test_the_values_of_a_curve_are_a_table_with_steps_to_follow(page: Any, out: Path) -> None:
    go(page, out, "#/curves")
    page.evaluate("document.querySelectorAll('details.values').forEach((one) => { one.open = true; })")
    page.click(".values button.link")
    page.wait_for("location.hash.startsWith('#/trajectories?step=')")


def test_any_metric_can_be_drawn(page: Any, out: Path) -> None:
    go(page, out, "#/curves")
    titles = "[...document.querySelectorAll('.chart h3')].map((one) => one.innerText).join('|')"
    found = page.evaluate(titles)
    for title in (
        "reward",
        "held-out pass@1",
        "entropy",
        "loss of each source",
        "curriculum stage",
        "seconds by phase",
    ):
        assert title in found, title
    page.evaluate(
        """(() => {
            const field = document.querySelector('input[list=metrics]');
            field.value = 'timing_s/update_actor';
            field.dispatchEvent(new Event('input', { bubbles: true }));
        })()"""
    )
    page.wait_for(f"({titles}).startsWith('timing_s/update_actor')")


def test_lines_that_lie_upon_each_other_are_one_with_the_names_of_all(page: Any, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    data = {"actor/loss": -0.05, "actor/pg_loss": -0.05, "actor/kl_loss": 0.00002, "actor/ppo_kl": 0.5}
    rows = [{"step": step, "data": {name: step * v for name, v in data.items()}} for step in (1, 2, 3)]
    write_lines(run / "metrics.jsonl", [{"step": 3, "data": {"timing_s/gen": 0.00002}}, *rows])
    write_report(Report(find_inputs([run])), tmp_path / "out")
    go(page, tmp_path / "out", "#/curves")
    legends = page.evaluate(
        "[...document.querySelectorAll('.legend li:not(.step)')].map((one) => one.innerText)"
    )
    assert "all terms, policy -0.15" in legends
    assert {"to the reference 6×10⁻⁵", "of the update 1.5"} <= set(legends)


def test_pass_at_k_stands_with_its_interval_and_tools_beside_none(page: Any, out: Path) -> None:
    go(page, out, "#/evaluations")
    text = page.text()
    assert "0.400–0.600" in text and "pass@2" in text
    assert (
        "Tools compared" in text.replace("\n", " ")
        and "+0.100" in text
        and "outputs/model on data/toy.parquet" in text
    )


@pytest.mark.parametrize(
    ("filters", "rows"),
    [
        ("run=0", 39), ("run=0&kind=training", 36), ("run=0&kind=held-out", 3), ("run=0&step=2", 12),
        ("run=0&step=1-2", 24),
        ("run=0&problem=toy/1", 13), ("run=0&outcome=failed&kind=training", 12), ("run=0&tool=none", 21),
        ("run=0&tool=some", 18), ("run=0&tool=failed", 6), ("run=0&reward=0.25..0.3", 13), ("run=0&reward=0.95..1", 26),
        ("run=1&kind=held-out", 5), ("run=1&kind=held-out, greedy", 3), ("run=1&kind=held-out, sampled", 2),
        ("run=2,3", 16), ("run=0&step=99", 0), ("run=0&text=print(1)", 18),
        ("run=0&text=PROBLEM 2", 13), ("run=0&text=nowhere", 0),
    ],
)  # fmt: skip
def test_each_filter_keeps_what_it_says(page: Any, out: Path, filters: str, rows: int) -> None:
    go(page, out, "#/trajectories?" + filters.replace(" ", "%20"))
    found = "document.querySelector('.found')?.innerText ?? 'searching'"
    page.wait_for(f"!/searching/.test({found})")
    assert page.evaluate(found).startswith(f"{rows} of"), page.evaluate(found)


def test_a_bar_of_the_histogram_filters_and_a_second_click_takes_it_back(page: Any, out: Path) -> None:
    go(page, out, "#/trajectories?run=0")
    page.click(".bins button:not([disabled])")
    page.wait_for("document.querySelector('.found').innerText.startsWith('13 of')")
    page.click(".bins button.chosen")
    page.wait_for("document.querySelector('.found').innerText.startsWith('39 of')")


def test_a_trajectory_is_its_turns_with_highlighted_code_output_and_reward(page: Any, out: Path) -> None:
    go(page, out, "#/trajectories?run=0&tool=some")
    page.press("j")
    page.wait_for("document.querySelector('.turn')")
    kinds = page.evaluate("[...document.querySelectorAll('.turn')].map((one) => one.className).join()")
    assert kinds == "turn call,turn result,turn model"
    assert "python_interpreter" in page.text(".turn.call") and page.text(".turn.result").endswith("1")
    assert page.evaluate("document.querySelectorAll('.turn .tok-keyword').length") > 1
    text = page.text(".trajectory")
    assert "pass rate" in text and "not the verdict on each test" in text and "hold no tokens" not in text


def test_an_evaluation_shows_the_verdict_on_each_test(page: Any, out: Path) -> None:
    go(page, out, "#/trajectories?run=2")
    page.press("j")
    page.wait_for("document.querySelector('.verdicts')")
    assert page.text(".verdicts").split() == [
        "test",
        "verdict",
        "expected",
        "got",
        "0",
        "passed",
        "1",
        "failed",
        "2",
        "3",
    ]


def test_a_group_stands_side_by_side_and_the_keyboard_goes_there_and_back(page: Any, out: Path) -> None:
    go(page, out, "#/trajectories?run=0&kind=training&step=1")
    page.press("j")
    page.wait_for("document.querySelector('.turn')")
    page.press("g")
    page.wait_for("document.querySelectorAll('.member .turn').length >= 4")
    assert page.evaluate("document.querySelectorAll('.member').length") == 4
    assert "4 answers of step 1" in page.text(".group")
    page.press("g")
    page.wait_for("document.querySelector('.trajectory')")
    page.press("Escape")
    page.wait_for("!document.querySelector('.trajectory')")
    page.press("/")
    assert page.evaluate("document.activeElement.name") == "text"
    page.press("Escape")
    page.press("1")
    page.wait_for("location.hash === '#/overview'")
    page.press("?")
    assert "search in the text" in page.text(".help")


def test_tokens_are_shown_where_the_file_holds_them(page: Any, out: Path) -> None:
    open_problem(page, out, "with/tokens")
    page.press("t")
    page.wait_for("document.querySelector('.tokens span')")
    assert "3 learnt, the others masked" in page.text(".trajectory") and "Advantage -0.75" in page.text(
        ".trajectory"
    )
    assert page.evaluate("document.querySelectorAll('.tokens .masked').length") == 1
    assert "⟦U+202E⟧urn" in page.text(".tokens") and "<td>" in page.text(".tokens")
    go(page, out, "#/trajectories?run=0")
    page.press("j")
    page.press("t")
    page.wait_for("document.querySelector('.trajectory')?.innerText.includes('hold no tokens')")


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_read_and_does_nothing(page: Any, out: Path, name: str) -> None:
    go(page, out, "#/trajectories?run=4&step=3")
    page.wait_for(ROWS)
    for _ in range(list(HOSTILE).index(name) + 1):
        page.press("j")
    page.wait_for("document.querySelector('.trajectory .turn')")
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    shown = page.text(".trajectory .turn")
    marks = {"script": "</script><script>", "comment": "<!-- <script>", "separators": "⟦U+2028⟧", "ansi": "␛[31mred",
             "bidi": "⟦U+202E⟧ ⟦U+2066⟧//", "surrogate": "⟦U+D800⟧", "markup": "<style>body"}  # fmt: skip
    assert marks[name] in shown
    page.press("g")
    for view in VIEWS:
        page.show(f"#/{view}")
    assert page.evaluate("window.hacked") is None
    assert (
        page.evaluate("document.querySelectorAll('#app script, #app img, #app style, #app meta').length") == 0
    )
    assert page.evaluate("getComputedStyle(document.body).display") == "block"
    assert page.errors == []


def test_a_line_of_ten_megabytes_is_cut_with_a_note(page: Any, out: Path) -> None:
    open_problem(page, out, "long/line")
    assert page.evaluate("document.querySelector('.turn').innerText.length") < 120_000
    assert "9,900,009 characters left out" in page.text(".turn")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_needs_no_sideways_scrolling(page: Any, out: Path, view: str, scheme: str) -> None:
    page.size(390, 844, phone=True)
    page.scheme(scheme)
    go(page, out, f"#/{view}")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    luminance = page.evaluate("parseInt(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0])")
    assert (luminance > 128) == (scheme == "light")


def test_an_address_that_names_no_trajectory_says_so(page: Any, out: Path) -> None:
    for key in ("0/rollouts-000001-0.99", "nonsense", "0/rollouts-000001-0.-1"):
        go(page, out, f"#/trajectories?t={key}")
        assert "not in this report" in page.text()
    assert page.errors == []


def test_a_missing_or_broken_file_is_named(page: Any, out: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(out, broken)
    (broken / "data" / "0" / "rollouts-000001-0.js").unlink()
    go(page, broken, "#/trajectories?run=0&kind=training")
    page.press("j")
    page.wait_for("document.querySelector('.trajectory .error')")
    assert "data/0/rollouts-000001-0.js is missing" in page.text(".trajectory")
    (broken / "data" / "index.js").write_text('register("index","{')
    page.go((broken / "index.html").as_uri())
    assert "data/index.js is broken: build the report again" in page.text("#app")


def test_a_run_without_anything_but_samples_still_opens(page: Any, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    for name in ("metrics.jsonl", "config.yaml", "summary.json"):
        (run / name).unlink()
    write_report(Report(find_inputs([run])), tmp_path / "out")
    for view in VIEWS:
        go(page, tmp_path / "out", f"#/{view}")
        assert page.errors == [], view
    page.show("#/overview")
    assert "metrics.jsonl is missing: no curves" in page.text()


def test_of_a_run_that_has_just_begun_nothing_is_missing_and_zero_is_no_link(
    page: Any, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text("a: 1\n")
    starting("starting vLLM").write(run / "phase.json")
    write_report(Report(find_inputs([run])), tmp_path / "out")
    go(page, tmp_path / "out", "#/overview")
    assert "missing or broken" not in page.text() and "2 parts not there yet" in page.text()
    assert page.evaluate("document.querySelectorAll('main td a, #app td a').length") == 0
    assert page.errors == []


def test_a_watched_page_shows_a_new_step_and_keeps_its_place(page: Any, tmp_path: Path) -> None:
    run, said = write_run(tmp_path / "run"), list[str]()
    report = Report(find_inputs([run]))
    options: dict[str, Any] = {"port": 0, "every_s": 0.1, "say": said.append}
    threading.Thread(target=serve, args=(report, tmp_path / "out"), kwargs=options, daemon=True).start()
    while not said:
        threading.Event().wait(0.02)
    page.go(said[0].split()[0] + "#/trajectories?kind=training")
    page.press("j")
    page.wait_for("document.querySelector('.turn')")
    address = page.evaluate("location.hash")
    write_step(run, 3)
    page.wait_for("document.querySelector('.found').innerText.includes('of 39')")
    assert page.evaluate("location.hash") == address and page.evaluate("!!document.querySelector('.turn')")
    assert page.errors == []
