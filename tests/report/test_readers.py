import json
from pathlib import Path

import pytest
from report.folders import (
    ANSWER,
    CALL,
    RESULT,
    read_script,
    rollout,
    write_evaluation,
    write_lines,
    write_run,
)

from verl_coder.files import locked
from verl_coder.report.build import Report, write_report
from verl_coder.report.evaluation_files import (
    Estimate,
    pass_at_k,
    read_evaluation_samples,
    read_results,
    samples_file,
    wilson,
)
from verl_coder.report.evaluation_summary import SampleCounts
from verl_coder.report.inputs import find_inputs
from verl_coder.report.records import split_notes
from verl_coder.report.sample_files import read_samples, sample_files
from verl_coder.report.training_run import describe_training_run
from verl_coder.run.phase import starting


def test_a_torn_line_is_left_out_and_told(tmp_path: Path) -> None:
    path = tmp_path / "rollouts" / "7.jsonl"
    write_lines(path, [rollout(0, 0), rollout(0, 1)])
    path.write_text(path.read_text() + '{"input": "user\n[1, 2]\n{"input": 1}\n')
    notes: list[str] = []
    (file,) = sample_files(tmp_path)
    found = list(read_samples(file, notes))
    assert [one.step for one in found] == [7, 7]
    assert len(notes) == 1 and "rollouts/7.jsonl: 3 of its lines" in notes[0] and "line 3" in notes[0]


def test_a_line_without_the_verdict_is_told_apart_by_its_reward(tmp_path: Path) -> None:
    old = {"input": "user\nA\nassistant\n", "output": CALL + RESULT + ANSWER, "gts": "{}", "uid": "a_0_0"}
    write_lines(tmp_path / "rollouts" / "1.jsonl", [{**old, "score": score} for score in (1.0, 0.0, 0.5)])
    found = list(read_samples(sample_files(tmp_path)[0], []))
    assert [one.outcome for one in found] == ["reward 1 or more", "reward 0 or less", "reward between"]
    assert {(one.calls, one.turns, one.successes, one.advantage, one.tokens) for one in found} == {
        (1, 2, None, None, None)
    }


def test_the_terms_of_a_reward_are_what_is_no_column_of_the_file(tmp_path: Path) -> None:
    line = rollout(0, 0, bonus=0.1, advantage=-0.5, timeout=1.0, end_reason="length")
    write_lines(tmp_path / "rollouts" / "1.jsonl", [line])
    (one,) = read_samples(sample_files(tmp_path)[0], [])
    assert one.facts == {"end reason": "length"}
    assert one.terms == {"acc": 0.0, "pass_rate": 0.25, "no_code": 0.0, "bonus": 0.1, "timeout": 1.0}
    assert (one.outcome, one.advantage, one.group) == ("timeout", -0.5, "prompt0")


def test_the_table_of_samples_stands_in_only_where_the_answers_are_missing(tmp_path: Path) -> None:
    row = {
        "problem": "p",
        "difficulty": "easy",
        "sampled": True,
        "passed": True,
        "test_pass_rate": 1.0,
        "answer": "x",
    }
    write_lines(tmp_path / "validation" / "0.jsonl", [rollout(0, 0)])
    for step in (0, 4):
        write_lines(tmp_path / "eval_samples" / f"step_{step:06d}.jsonl", [row])
    files = sample_files(tmp_path)
    assert [(file.folder, file.step) for file in files] == [("validation", 0), ("eval_samples", 4)]
    (one,) = read_samples(files[1], [])
    assert (one.kind, one.problem, one.outcome, one.calls) == ("held-out, sampled", "p", "passed", None)


def test_token_columns_of_another_length_are_not_believed(tmp_path: Path) -> None:
    tokens = {"text": ["a", "b"], "learnt": [1], "log_prob": [-0.1, float("nan")]}
    write_lines(tmp_path / "rollouts" / "1.jsonl", [rollout(0, 0, tokens=tokens)])
    (one,) = read_samples(sample_files(tmp_path)[0], [])
    assert one.tokens == {"text": ["a", "b"], "log_prob": [-0.1, None]}


def test_every_column_of_an_evaluation_is_read(tmp_path: Path) -> None:
    folder = write_evaluation(tmp_path / "e")
    found = list(read_evaluation_samples(samples_file(folder), []))
    assert len(found) == 8 and {one.group for one in found} == {f"toy/{i}" for i in range(4)}
    one = found[0]
    assert (one.outcome, one.reward, one.calls, one.turns, one.response_tokens) == ("passed", 0.5, 0, 1, 20)
    assert one.verdicts is not None and one.verdicts[1]["got"] == "3"
    assert one.facts["tags"] == "loops, lists" and one.facts["tests passed"] == "1 of 2"


def test_an_evaluation_that_goes_on_is_read_from_its_journal(tmp_path: Path) -> None:
    sample = {"problem_id": "p", "sample": 0, "output": "x", "outcome": "failed"}
    lines = [{"sample": sample}, {"sample": {**sample, "outcome": "passed"}}]
    write_lines(tmp_path / "samples.jsonl", lines)
    with (tmp_path / "samples.jsonl").open("a") as file:
        file.write('{"sample": {"problem_id": "q", "outp')
    notes: list[str] = []
    assert [one.outcome for one in read_evaluation_samples(samples_file(tmp_path), notes)] == ["passed"]
    assert len(notes) == 1 and "samples so far" in notes[0]


@pytest.mark.parametrize("content", [b"", b"PAR1 not a parquet file", None])
def test_a_broken_samples_file_is_one_line(tmp_path: Path, content: bytes | None) -> None:
    folder = write_evaluation(tmp_path / "e")
    path = folder / "samples.parquet"
    path.write_bytes(path.read_bytes()[:-200] if content is None else content)
    notes: list[str] = []
    assert list(read_evaluation_samples(path, notes)) == []
    assert len(notes) == 1 and "cannot be read" in notes[0] and "\n" not in notes[0]


def test_a_samples_file_without_its_columns_names_them(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"problem_id": ["a"]}), tmp_path / "samples.parquet")
    notes: list[str] = []
    assert list(read_evaluation_samples(tmp_path / "samples.parquet", notes)) == []
    assert notes == ["samples.parquet has no column output"]


def test_pass_at_k_is_read_with_and_without_an_interval() -> None:
    given = {
        "pass_at_k": {"10": 0.75, "1": 0.5, "x": 1, "5": None},
        "pass_at_k_interval": {"1": [0.4, 0.6], "10": None},
    }
    assert pass_at_k(given) == {1: Estimate(0.5, 0.4, 0.6), 10: Estimate(0.75)}


@pytest.mark.parametrize("content", ["", "[1]", "{"])
def test_broken_results_are_a_note(tmp_path: Path, content: str) -> None:
    (tmp_path / "evaluation_results.json").write_text(content)
    notes: list[str] = []
    assert pass_at_k(read_results(tmp_path, notes)) == {} and len(notes) == 1


def test_wilsons_interval_is_that_of_scipy() -> None:
    from scipy.stats import binomtest

    for passed, count in ((0, 10), (3, 10), (147, 200), (200, 200)):
        exact = binomtest(passed, count).proportion_ci(0.95, method="wilson")
        found = wilson(passed / count, count)
        assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=1e-6)


def test_a_run_without_its_files_names_each_that_is_missing(tmp_path: Path) -> None:
    notes: list[str] = []
    describe_training_run(tmp_path, notes)
    assert [note.split()[0] for note in notes] == ["metrics.jsonl", "summary.json", "config.yaml"]


def begin(run: Path) -> Path:
    """The folder of a run that has just begun: no step has ended."""
    run.mkdir()
    (run / "config.yaml").write_text("a: 1\n")
    (run / "train.log").touch()
    starting("starting vLLM").write(run / "phase.json")
    return run


def test_of_a_run_that_has_just_begun_nothing_is_missing(tmp_path: Path) -> None:
    """What its first step writes is not there yet."""
    write_report(Report(find_inputs([begin(tmp_path / "run")])), tmp_path / "out")
    (shown,) = read_script(tmp_path / "out" / "data" / "site.js", "site")["runs"]
    assert shown["missing"] == [] and shown["state"] == "start 6/8: starting vLLM"
    assert [note.partition(" is not there yet")[0] for note in shown["to_come"]] == [
        "rollouts/, validation/ and eval_samples/",
        "metrics.jsonl",
    ]


def test_before_its_first_phase_a_run_is_known_by_its_lock(tmp_path: Path) -> None:
    run = begin(tmp_path / "run")
    (run / "phase.json").unlink()
    with locked(run / ".lock", "busy"):
        notes: list[str] = []
        assert describe_training_run(run, notes)["state"] == "starting"
    assert notes == ["metrics.jsonl is not there yet"]


def test_of_an_evaluation_that_goes_on_nothing_is_missing(tmp_path: Path) -> None:
    (tmp_path / "samples.jsonl").write_text("")
    notes: list[str] = []
    read_results(tmp_path, notes)
    list(read_evaluation_samples(samples_file(tmp_path), notes))
    assert split_notes(notes)[0] == [] and len(split_notes(notes)[1]) == 2


def test_torn_metrics_cost_their_line_alone(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", steps=3)
    with (run / "metrics.jsonl").open("a") as file:
        file.write(
            'null\n{"step": "x", "data": {}}\n{"step": 3, "data": {"critic/score/mean": NaN, "n": 1}}\n{"step": 9, "da'
        )
    notes: list[str] = []
    found = describe_training_run(run, notes)
    assert found["steps"] == [0, 1, 2, 3] and found["series"]["n"] == [None, None, None, 1.0]
    assert notes == ["metrics.jsonl: 3 of its lines cannot be read"]
    json.dumps(found, allow_nan=False)
    assert found["held_out"][0]["problems"] == 40 and found["settings"]["actor.lr"] == "0.001"


def test_numbers_that_the_page_cannot_hold_are_none(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (run / "summary.json").write_text('{"after": NaN, "steps": 2}')
    assert describe_training_run(run, [])["summary"] == {"after": None, "steps": 2}
    write_lines(tmp_path / "rollouts" / "1.jsonl", [rollout(0, 0, bonus=10**400)])
    (one,) = read_samples(sample_files(tmp_path)[0], [])
    assert "bonus" not in one.terms


def test_the_share_of_calls_that_succeed_is_that_of_the_results(tmp_path: Path) -> None:
    folder = write_evaluation(tmp_path / "e", tool_calls=2, valid_tool_calls=1, tool_successes=1)
    counts = SampleCounts()
    list(counts.watch(read_evaluation_samples(samples_file(folder), [])))
    means = counts.to_dict()["means"]
    assert means["success_share"] == 1.0 and (means["calls"], means["written_calls"]) == (1.0, 2.0)
