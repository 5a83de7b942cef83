"""The ablation's table says what the runs measured, with an interval over seeds."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from omegaconf import OmegaConf
from typer.testing import CliRunner

from verl_coder.chains.wording import TOOLS
from verl_coder.errors import CheckpointError, ConfigError
from verl_coder.launch.ablation import app
from verl_coder.launch.arm_curves import read_curves
from verl_coder.launch.arms import (
    choose_arms,
    collect,
    last_answers,
    markdown_table,
    mean_and_interval,
    notes,
    paired_table,
    paired_with,
    read_arms,
    run_folder,
    table_rows,
    tag_table,
)
from verl_coder.launch.recipe import compose, find_recipe
from verl_coder.paths import repository_root
from verl_coder.run.settings import LossWeights
from verl_coder.sections import read_section


def _finish(
    out: Path, arm: str, seed: int, after: float | None, before: float | None = 0.7, **more: object
) -> None:
    folder = run_folder(out, arm, seed)
    folder.mkdir(parents=True)
    summary = {
        "recipe": "tool_comparison",
        "seed": seed,
        "steps": 10,
        "wall_s": 1.0,
        "reward": {},
        "phases_s": {},
        "pass_at_1": {"before": before, "after": after},
        "tool_calls_per_problem": {"before": 0.0, "after": 1.0},
        "step_s": 4.0,
    } | more
    (folder / "summary.json").write_text(json.dumps(summary))


def test_the_table_has_the_base_and_every_finished_arm(tmp_path: Path) -> None:
    _finish(tmp_path, "grpo", 0, 0.70)
    _finish(tmp_path, "grpo", 1, 0.72)
    _finish(tmp_path, "all", 0, 0.9)
    run_folder(tmp_path, "all", 1).mkdir()
    text = markdown_table(table_rows(collect(tmp_path, ["grpo", "grpo_self", "all"])))
    assert "| base | 2 | - | 0.700 ± 0.000 | - | - |" in text
    assert "| grpo | 2 | 0.700 ± 0.000 | 0.710 ± 0.127 | 1.00 ± 0.00 | 4.0 ± 0.0 |" in text
    assert "| all | 1 | 0.700 | 0.900 | 1.00 | 4.0 |" in text
    assert "grpo_self" not in text


def test_runs_that_were_not_evaluated_before_training_have_no_base(tmp_path: Path) -> None:
    _finish(tmp_path, "grpo", 0, 0.70, before=None)
    assert "| base |" not in markdown_table(table_rows(collect(tmp_path, ["grpo"])))
    _finish(tmp_path, "all", 0, 0.9, before=0.6)
    text = markdown_table(table_rows(collect(tmp_path, ["grpo", "all"])))
    assert "| base | 1 | - | 0.600 | - | - |" in text
    assert "| grpo | 1 | - | 0.700 |" in text and "| all | 1 | 0.600 | 0.900 |" in text


def _answers(out: Path, arm: str, seed: int, passed: str) -> None:
    """The last evaluation of a run: one letter for each problem, 1 where it passed; an older one that failed all."""
    folder = run_folder(out, arm, seed) / "validation"
    folder.mkdir()
    for step, letters in ((9, "0" * len(passed)), (10, passed)):
        rows = [{"problem_id": f"p{i}", "sampled": False, "acc": float(x)} for i, x in enumerate(letters)]
        (folder / f"{step}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        _evaluate(folder.parent, step)


def _evaluate(run: Path, step: int) -> None:
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": step, "data": {"val-core/chains/acc/mean@1": 0.5}}) + "\n")


def test_arms_are_compared_problem_by_problem_on_the_seeds_that_both_have(tmp_path: Path) -> None:
    for arm, seed, passed in (("grpo", 0, "100000"), ("all", 0, "111110"), ("all", 1, "000000")):
        _finish(tmp_path, arm, seed, 0.5)
        _answers(tmp_path, arm, seed, passed)
    (comparison,) = paired_with(tmp_path, collect(tmp_path, ["grpo", "all"]), "grpo")
    assert (comparison.first, comparison.second, len(comparison.won)) == ("grpo", "all", 4)
    assert comparison.difference == pytest.approx(4 / 6) and comparison.p_value == pytest.approx(0.125)
    assert "| all | +0.667 | " in paired_table([comparison])


def test_a_separator_in_an_answer_is_no_end_of_a_line(tmp_path: Path) -> None:
    """verl writes its rows without escapes."""
    (tmp_path / "validation").mkdir()
    row = {"problem_id": "p", "output": "one\u2028two\u2029three\u0085four\x0bfive", "acc": 1.0}
    text = json.dumps(row, ensure_ascii=False) + "\n"
    (tmp_path / "validation" / "1.jsonl").write_text(text, encoding="utf-8")
    _evaluate(tmp_path, 1)
    assert last_answers(tmp_path) == {"p": True}


def test_an_arm_that_is_alone_has_no_comparison(tmp_path: Path) -> None:
    _finish(tmp_path, "grpo", 0, 0.5)
    _answers(tmp_path, "grpo", 0, "10")
    assert paired_table(paired_with(tmp_path, collect(tmp_path, ["grpo"]), "grpo")) == ""


def test_the_rate_is_told_by_tag_where_held_out_rows_have_some(tmp_path: Path) -> None:
    _finish(tmp_path, "grpo", 0, 0.5)
    _answers(tmp_path, "grpo", 0, "110")
    rows = [
        {"extra_info": {"problem_id": f"p{i}", "tags": [tag, "depth-2"]}}
        for i, tag in enumerate(("state", "bug", "bug"))
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "val.parquet")
    config = {"data": {"val_files": [str(tmp_path / "val.parquet")]}}
    (run_folder(tmp_path, "grpo", 0) / "config.yaml").write_text(yaml.safe_dump(config))
    table = tag_table(tmp_path, collect(tmp_path, ["grpo"]))
    assert table.splitlines()[0] == "| arm | bug | state |" and "| grpo | 0.500 | 1.000 |" in table


def test_the_command_writes_the_tables_and_the_picture(tmp_path: Path) -> None:
    for arm, passed in (("none", "1000"), ("session", "1110")):
        _finish(tmp_path, arm, 0, 0.5)
        _answers(tmp_path, arm, 0, passed)
        metrics = [{"step": step, "data": {"val-core/chains/acc/mean@1": 0.1 * step}} for step in (0, 10)]
        (run_folder(tmp_path, arm, 0) / "metrics.jsonl").write_text(
            "\n".join(map(json.dumps, metrics)) + "\n"
        )
    done = CliRunner().invoke(app, ["table", "--out", str(tmp_path), "--recipe", "tool_comparison"])
    assert done.exit_code == 0, done.output
    text = (tmp_path / "table.md").read_text()
    assert "| none | 1 | 0.700 | 0.500 |" in text and "| session | +0.500 | " in text
    assert read_curves(tmp_path, collect(tmp_path, ["session"]))["session"][0][0] == {0: 0.0, 10: 1.0}
    assert (tmp_path / "curves.png").read_bytes()[:4] == b"\x89PNG"
    wrong = CliRunner().invoke(
        app, ["table", "--out", str(tmp_path), "--recipe", "tool_comparison", "--against", "x"]
    )
    assert isinstance(wrong.exception, ConfigError) and "no arm 'x'" in str(wrong.exception)


def test_every_arm_of_the_tool_comparison_has_rows_of_its_own_and_the_same_budget() -> None:
    folder = find_recipe("tool_comparison")
    arms = read_arms(folder)
    assert list(arms) == list(TOOLS)
    configs = [compose(folder, overrides) for overrides in arms.values()]
    assert [Path(c.data.train_files).parent.name for c in configs] == list(TOOLS)
    budgets = {
        (c.data.max_response_length, c.actor_rollout_ref.rollout.multi_turn.max_assistant_turns)
        for c in configs
    }
    assert len(budgets) == 1


def test_a_run_that_was_not_evaluated_is_named(tmp_path: Path) -> None:
    _finish(tmp_path, "grpo", 0, None)
    with pytest.raises(ConfigError, match=r"grpo-seed0/summary\.json: the run was not evaluated"):
        collect(tmp_path, ["grpo"])


def test_a_copy_of_a_folder_is_no_seed(tmp_path: Path) -> None:
    _finish(tmp_path, "grpo", 0, 0.7)
    for name in ("grpo-seed0-old", "grpo-seed0 copy", "grpo-seed00", "my-grpo-seed0"):
        shutil.copytree(run_folder(tmp_path, "grpo", 0), tmp_path / name)
    assert [(result.arm, result.seed) for result in collect(tmp_path, ["grpo"])] == [("grpo", 0)]
    shutil.copytree(run_folder(tmp_path, "grpo", 0), run_folder(tmp_path, "grpo", 1))
    with pytest.raises(ConfigError, match="grpo-seed1 is a run of seed 0, not of seed 1: move it elsewhere"):
        collect(tmp_path, ["grpo"])


def test_a_run_of_another_recipe_is_refused(tmp_path: Path) -> None:
    _finish(tmp_path, "grpo", 0, 0.7)
    with pytest.raises(ConfigError, match="is a run of recipe tool_comparison, not of recipe ablation"):
        collect(tmp_path, ["grpo"], "ablation")


def test_an_arm_may_have_any_name(tmp_path: Path) -> None:
    _finish(tmp_path, "lr[1]", 0, 0.7)
    assert [result.arm for result in collect(tmp_path, ["lr[1]"])] == ["lr[1]"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"pass_at_1": {"before": 0.1, "after": float("nan")}}, "pass_at_1.after is nan"),
        ({"pass_at_1": {"before": "x", "after": 0.1}}, "pass_at_1 is "),
        ({"pass_at_1": 1}, "pass_at_1 is 1"),
        ({"step_s": [1]}, "step_s is "),
    ],
)
def test_a_number_that_is_none_is_named(tmp_path: Path, more: dict[str, object], words: str) -> None:
    _finish(tmp_path, "grpo", 0, 0.7, **more)
    with pytest.raises(CheckpointError, match=rf"summary\.json is broken .*{words}.*: remove it"):
        collect(tmp_path, ["grpo"])


@pytest.mark.parametrize("text", ["{", "[1]", "{}", '{"seed": 0, "steps": 1}'])
def test_a_broken_summary_is_named(tmp_path: Path, text: str) -> None:
    _finish(tmp_path, "grpo", 0, 0.7)
    (run_folder(tmp_path, "grpo", 0) / "summary.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"grpo-seed0/summary\.json .*: remove it"):
        collect(tmp_path, ["grpo"])


def test_the_answers_are_those_of_the_evaluation_that_the_summary_has(tmp_path: Path) -> None:
    _finish(tmp_path, "grpo", 0, 0.5)
    _answers(tmp_path, "grpo", 0, "110")
    folder = run_folder(tmp_path, "grpo", 0) / "validation"
    (folder / "20 copy.jsonl").write_text("{")
    (folder / "20.jsonl").write_text("{")  # of a step whose metrics were taken back
    assert last_answers(folder.parent) == {"p0": True, "p1": True, "p2": False}
    (folder / "10.jsonl").unlink()
    assert last_answers(folder.parent) == {}


def test_what_the_tables_leave_out_is_said(tmp_path: Path) -> None:
    for arm, seed, steps in (("grpo", 0, 10), ("all", 0, 10), ("all", 1, 20)):
        _finish(tmp_path, arm, seed, 0.5, steps=steps)
        _answers(tmp_path, arm, seed, "10")
    results = collect(tmp_path, ["grpo", "all"])
    uneven = "all: its runs have not the same number of steps (seed 0 10, seed 1 20)"
    assert notes(tmp_path, results, "grpo") == [uneven]
    assert notes(tmp_path, results, "sft")[-1] == (
        "no paired comparison: sft has no finished run; name another arm with --against"
    )
    (run_folder(tmp_path, "grpo", 0) / "validation" / "10.jsonl").unlink()
    assert notes(tmp_path, results, "grpo")[1:] == [
        "grpo-seed0 has no answers of its last evaluation: not compared, and in no tag",
        "no paired comparison: grpo shares no seed with answers with another arm; name another arm with --against",
    ]


def test_an_arm_whose_name_begins_like_another_is_not_counted_as_it(tmp_path: Path) -> None:
    _finish(tmp_path, "grpo_self", 0, 0.8)
    assert collect(tmp_path, ["grpo"]) == []


def test_the_interval_is_students() -> None:
    center, half = mean_and_interval([1.0, 2.0, 3.0])
    assert center == 2.0 and half == pytest.approx(4.303 / 3**0.5, abs=1e-3)
    assert mean_and_interval([0.5]) == (0.5, None)


def test_every_arm_of_the_recipe_composes() -> None:
    folder = find_recipe("ablation")
    arms = read_arms(folder)
    assert set(arms) == {"sft", "grpo", "grpo_teacher", "grpo_self", "all"}
    section = OmegaConf.to_container(compose(folder, arms["all"]).verl_coder.losses)
    assert isinstance(section, dict)
    losses = read_section(LossWeights, section, "verl_coder.losses")
    assert losses.beta.value(1) > 0 and losses.gamma.value(1) > 0


def test_an_unknown_arm_is_named() -> None:
    with pytest.raises(ConfigError, match="no arm 'grpoo'; did you mean grpo"):
        choose_arms({"grpo": ()}, ["grpoo"])


@pytest.mark.parametrize(
    ("text", "message"), [("", "a mapping"), ("a: 3", "a is 3"), ("a: [", "arms.yaml: ")]
)
def test_a_wrong_file_of_arms_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "arms.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_arms(tmp_path)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--seeds", "x"], "--seeds 'x': give whole numbers"),
        (["--seeds", "0 -1"], "--seeds -1: use a whole number in [0, "),
        (["trainer.total_training_step=8"], "did you mean trainer.total_training_steps?"),
        (
            ["--model-made-by", "tiny weaken --out 'w"],
            "--model-made-by tiny weaken --out 'w: no command line",
        ),
        (["--seeds", "0 1 0"], "--seeds '0 1 0': give each seed once"),
        (["--seeds", " "], "--seeds ' ': give each seed once, and one at least"),
        (["--arms", "grpoo"], "did you mean grpo"),
        (["--against", "grpoo"], "did you mean grpo"),
        (["--dry-run"], "is not there yet; to check the arms make it: verl-coder tiny weaken --out w"),
    ],
)
def test_the_base_is_made_when_all_that_was_asked_for_is_right_and_not_in_a_dry_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: list[str], message: str
) -> None:
    begun = SimpleNamespace(run=lambda *_: pytest.fail("it was made"))
    monkeypatch.setattr("verl_coder.launch.ablation.subprocess", begun)
    model = ["--model", str(tmp_path / "w"), "--model-made-by", "tiny weaken --out w"]
    done = CliRunner().invoke(app, ["run", "--out", str(tmp_path), *model, *given])
    assert isinstance(done.exception, ConfigError) and message in str(done.exception)


def test_the_script_names_a_base_whose_path_has_an_apostrophe(tmp_path: Path) -> None:
    root = tmp_path / "o'brien"
    (root / "run_scripts").mkdir(parents=True)
    shutil.copy(repository_root() / "run_scripts" / "run_ablation.sh", root / "run_scripts")
    (root / "run_scripts" / "environment.sh").write_text("make_environment() { :; }\n")
    told = root / "python"
    told.write_text(f"""#!/bin/sh
[ "$1" = -c ] && exec {shlex.quote(sys.executable)} "$@"
printf '%s\\n' "$@"
""")
    told.chmod(0o755)
    done = subprocess.run(
        ["bash", str(root / "run_scripts" / "run_ablation.sh")],
        env=os.environ | {"REPO_ROOT": str(root), "PYTHON": str(told)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    words = done.stdout.splitlines()
    made_by = words[words.index("--model-made-by") + 1]
    assert shlex.split(made_by) == ["tiny", "weaken", "--out", words[words.index("--model") + 1]]
    assert words[words.index("--model") + 1] == f"{root}/data/tiny_weak"


def test_a_base_that_cannot_be_made_ends_the_ablation_with_its_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []
    begun = SimpleNamespace(run=lambda command: asked.append(command) or SimpleNamespace(returncode=3))
    monkeypatch.setattr("verl_coder.launch.ablation.subprocess", begun)
    model = ["--model", str(tmp_path / "w"), "--model-made-by", "tiny weaken --out 'a b'"]
    assert CliRunner().invoke(app, ["run", "--out", str(tmp_path), *model]).exit_code == 3
    assert asked[0][1:] == ["-m", "verl_coder.cli", "tiny", "weaken", "--out", "a b"]


def test_a_base_that_is_not_there_is_named_with_what_makes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("verl_coder.launch.launch.start", lambda *_, **__: pytest.fail("it was started"))
    given = ["--model", str(tmp_path / "w"), "--seeds", "0", "--arms", "grpo", "--dry-run"]
    done = CliRunner().invoke(app, ["run", "--out", str(tmp_path / "out"), *given])
    assert isinstance(done.exception, ConfigError)
    assert "is not there: run_scripts/run_ablation.sh makes that of ablation" in str(done.exception)
