"""The code of a sample is its answer, without what the model adds to show it off."""

import json
from pathlib import Path
from typing import cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from verl_coder.errors import DataError
from verl_coder.problems import AssertTests, Problem
from verl_coder.teacher.samples import read_samples, without_demonstration


def problems(*names: str) -> dict[str, Problem]:
    tests = AssertTests(tests=("assert f(4) == 2",))
    return {
        name: Problem(data_source="d", problem_id=name, prompt=(), tests=tests, split="train")
        for name in names
    }


DEFINITION = "import math\n\n\ndef f(x):\n    return math.sqrt(x)"


@pytest.mark.parametrize(
    "below",
    [
        "",
        "\n\n# Test\nassert f(4) == 2",
        "\nprint(f(4))  # 2\nprint(f(9))",
        "\nassert f(4) == 2, 'four'\n\nprint('all passed')\n# done",
    ],
)
def test_what_shows_a_definition_off_is_left_out(below: str) -> None:
    assert without_demonstration(DEFINITION + below) == DEFINITION


@pytest.mark.parametrize(
    "code",
    [
        "print(1)",
        f"{DEFINITION}\nTABLE = [f(x) for x in range(9)]",
        f"{DEFINITION}\nif __name__ == '__main__':\n    print(f(4))",
        "def f(:",
    ],
)
def test_what_does_more_than_that_stays(code: str) -> None:
    assert without_demonstration(code) == code


@pytest.mark.parametrize("code", ["x = " + "1+" * 20_000 + "1", "x = " + "-" * 20_000 + "1", "x = '\0'"])
def test_what_the_parser_gives_up_on_is_a_sample_like_any_other(code: str) -> None:
    assert without_demonstration(code) == code


def test_the_samples_of_an_evaluation_are_those_of_the_same_json_lines(tmp_path: Path) -> None:
    outputs = [f"```python\n{DEFINITION}\n```<|im_end|>", "no code", f"```python\n{DEFINITION}\n```"]
    rows = [{"problem_id": name, "output": text} for name in ("a", "b", "c") for text in outputs]
    (tmp_path / "s.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pq.write_table(pa.Table.from_pylist([{**row, "sample": 0} for row in rows]), tmp_path / "s.parquet")
    of_lines, of_parquet = (
        read_samples([tmp_path / name], problems("a", "b")) for name in ("s.jsonl", "s.parquet")
    )
    assert of_parquet == of_lines
    assert of_lines.codes == {"a": [DEFINITION], "b": [DEFINITION]}
    assert dict(of_lines.counts) == {"read": 6, "without_code": 2, "repeated": 2, "unknown_problem": 3}


def test_a_parquet_file_without_outputs_is_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"problem_id": ["a"]}), tmp_path / "s.parquet")
    with pytest.raises(DataError, match=r"s\.parquet lacks problem_id or output: take samples\.parquet"):
        read_samples([tmp_path / "s.parquet"], problems("a"))


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_a_file_that_is_named_and_holds_no_sample_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "samples.jsonl").write_text(text)
    with pytest.raises(DataError, match=r"--samples .*samples\.jsonl holds no samples: name another file"):
        read_samples([tmp_path / "samples.jsonl"], problems("a"))


@pytest.mark.parametrize(("output", "kind"), [(5, "int"), (["a"], "list"), (b"x", "bytes")])
def test_an_output_that_is_no_text_is_named_with_its_row(output: object, kind: str, tmp_path: Path) -> None:
    pq.write_table(pa.table({"problem_id": ["a", "a"], "output": [None, output]}), tmp_path / "s.parquet")
    with pytest.raises(DataError, match=rf"s\.parquet, row 1: its output is of type {kind}: give the text"):
        read_samples([tmp_path / "s.parquet"], problems("a"))


def test_a_line_that_is_nested_too_deeply_is_no_json(tmp_path: Path) -> None:
    (tmp_path / "s.jsonl").write_text("[" * 100_000)
    with pytest.raises(DataError, match=r"s\.jsonl, line 1 is no JSON \(nested too deeply"):
        read_samples([tmp_path / "s.jsonl"], problems("a"))


def test_samples_that_are_all_of_other_problems_are_refused_with_an_id_of_each_side(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_text('{"problem_id": "mbpp/601", "output": "x"}\n' * 2)
    with pytest.raises(
        DataError, match=r"none of 2 samples is of a problem of --problems .*'mbpp/601'.*'mbpp/1'"
    ) as caught:
        read_samples([path], {"mbpp/1": cast(Problem, None)})
    assert "\n" not in str(caught.value)
