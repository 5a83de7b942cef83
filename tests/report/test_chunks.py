import json
import math
from pathlib import Path
from typing import Any

from report.folders import HOSTILE, read_script

from verl_coder.report.chunks import CHUNK_CHARS, MAX_TEXT, Part, write_part
from verl_coder.report.records import TrajectoryRecord


def trajectory(output: str, **values: Any) -> TrajectoryRecord:
    given: dict[str, Any] = {
        "kind": "training", "step": 1, "problem": "p", "group": "g", "outcome": "passed", "reward": 1.0,
        "prompt": "user\nDo it.\nassistant\n", "output": output,
    }  # fmt: skip
    return TrajectoryRecord(**{**given, **values})


def written(tmp_path: Path, *trajectories: TrajectoryRecord) -> list[dict[str, Any]]:
    part = write_part(trajectories, "0/a", tmp_path, Part())
    chunks = []
    for name, count in part.chunks:
        chunk = read_script(tmp_path / f"{name}.js", name)
        assert len(chunk["rows"]) == count
        chunks.append(chunk)
    return chunks


def test_hostile_text_comes_back_as_it_was_from_a_file_of_plain_ascii(tmp_path: Path) -> None:
    chunk = written(tmp_path, *(trajectory(text, prompt=text, tests=text) for text in HOSTILE.values()))[0]
    assert [row["segments"][0][1] for row in chunk["rows"]] == list(HOSTILE.values())
    assert [piece[1] for piece in chunk["tests"]] == list(HOSTILE.values())


def test_a_long_text_is_cut_in_the_middle_and_says_by_how_much(tmp_path: Path) -> None:
    (chunk,) = written(tmp_path, trajectory("a" * 10_000_000 + "z"))
    (segment,) = chunk["rows"][0]["segments"]
    kind, head, left_out, tail = segment
    assert kind == "model" and len(head) + len(tail) == MAX_TEXT and tail.endswith("z")
    assert left_out + MAX_TEXT == 10_000_001


def test_a_trajectory_of_endless_turns_is_bounded(tmp_path: Path) -> None:
    turn = "<program>x</program><output>" + "y" * 90_000 + "</output>"
    (chunk,) = written(tmp_path, trajectory(turn * 40))
    segments = chunk["rows"][0]["segments"]
    assert sum(len(piece) for segment in segments for piece in segment if isinstance(piece, str)) < 800_000
    assert segments[-1][2] > 1_000_000


def test_what_rows_share_stands_once_in_a_chunk(tmp_path: Path) -> None:
    (chunk,) = written(tmp_path, *(trajectory(f"answer {i}", tests="t") for i in range(50)))
    assert len(chunk["prompts"]) == len(chunk["tests"]) == 1
    assert {row["prompt"] for row in chunk["rows"]} == {0}


def test_chunks_stay_small_however_many_rows_there_are(tmp_path: Path) -> None:
    chunks = written(tmp_path, *(trajectory("x" * 5000) for _ in range(700)))
    assert len(chunks) > 2 and sum(len(chunk["rows"]) for chunk in chunks) == 700
    assert all(path.stat().st_size < 1.5 * CHUNK_CHARS for path in (tmp_path / "0").iterdir())


def test_numbers_that_json_lacks_become_words(tmp_path: Path) -> None:
    (chunk,) = written(tmp_path, trajectory("x", terms={"a": math.nan, "b": math.inf, "c": 0.5}))
    assert chunk["rows"][0]["terms"] == {"a": "nan", "b": "inf", "c": 0.5}


def test_code_and_verdicts_fill_a_chunk_too(tmp_path: Path) -> None:
    long = [trajectory("short", code=f"{i}" + "x" * 90_000) for i in range(30)]
    chunks = written(tmp_path, *long)
    assert len(chunks) >= 3 and max(len(json.dumps(chunk)) for chunk in chunks) < CHUNK_CHARS * 1.2
