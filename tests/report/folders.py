"""Folders as runs and evaluations write them, small, and texts that a hostile model would write."""

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from verl_coder.files import file_sha256

CALL = '<tool_call>\n{"name": "python_interpreter", "arguments": {"code": "print(1)"}}\n</tool_call>'
RESULT = "\nuser\n<tool_response>\n1\n</tool_response>\nassistant\n"
ANSWER = "```python\ndef f(x):\n    return x\n```"

HOSTILE = {
    "script": "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>",
    "comment": "<!-- <script> ]]> {{ }} ${window.hacked = 3} \\u0022);window.hacked=4;//",
    "separators": "before\u2028window.hacked = 5\u2029after",
    "ansi": "\x1b[31mred\x1b[0m\x1b]8;;http://evil.example\x07link\x1b]8;;\x07 \x00 \x08",
    "bidi": "access = 'user\u202e \u2066// admin\u2069 \u2066'\u200b\u200f",
    "surrogate": "half \ud800 of a character",
    "markup": "<style>body{display:none}</style><meta http-equiv=refresh content='0;url=//evil.example'>",
}


def rollout(problem: int, sample: int, **values: Any) -> dict[str, Any]:
    """A line of a dump of rollouts."""
    passed = bool((problem + sample) % 3)
    return {
        "input": f"user\nProblem {problem}: return x.\nassert f({problem}) == {problem}\nassistant\n",
        "output": (CALL + RESULT if sample % 2 else "") + ANSWER,
        "gts": json.dumps({"style": "assert", "tests": [f"assert f({problem}) == {problem}"]}),
        "score": 1.0 if passed else 0.25,
        "step": 1,
        "uid": f"prompt{problem}_{sample}_0",
        "problem_id": f"toy/{problem}",
        "tool_calls": sample % 2,
        "tool_successes": 0 if problem == 2 else sample % 2,
        "acc": float(passed),
        "pass_rate": 1.0 if passed else 0.25,
        "no_code": 0.0,
        **values,
    }


def write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """A JSON-lines file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_step(run: Path, step: int, rows: Sequence[Mapping[str, Any]] | None = None) -> None:
    """The files that a training step adds."""
    write_lines(
        run / "rollouts" / f"{step}.jsonl",
        rows or [rollout(p, s, step=step) for p in range(3) for s in range(4)],
    )
    data = {
        "critic/score/mean": 0.5 + step / 20,
        "tool_calls/mean": 0.5,
        "actor/entropy": 0.1 / step,
        "source/teacher/loss": 1.0 / step,
        "source/policy/loss": 0.5,
        "curriculum/stage": 0.0,
        "num_turns/mean": 4.0,
        "timing_s/gen": 2.0,
        "timing_s/update_actor": 1.0,
        "timing_s/step": 4.0,
        "sandbox/unavailable_share": 0.0,
    }
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": step, "data": data}) + "\n")


def write_run(run: Path, steps: int = 2, **settings: Any) -> Path:
    """A finished training run with an evaluation before it."""
    run.mkdir(parents=True)
    rows = [rollout(p, 0, step=0, sampled=False) for p in range(3)]
    write_lines(
        run / "validation" / "0.jsonl", [{k: v for k, v in row.items() if k != "uid"} for row in rows]
    )
    held_out = {"eval/greedy/pass_at_1": 0.5, "eval/problems": 40.0, "eval/unavailable_share": 0.0}
    write_lines(run / "metrics.jsonl", [{"step": 0, "data": held_out}])
    for step in range(1, steps + 1):
        write_step(run, step)
    values = {"trainer": {"total_training_steps": steps}, "actor": {"lr": 0.001, **settings}}
    (run / "config.yaml").write_text(json.dumps(values))
    _, named, number = run.name.rpartition("-seed")
    seed = int(number) if named else 0
    summary = {
        "recipe": "toy", "seed": seed, "steps": steps, "wall_s": 60.0, "step_s": 4.0,
        "pass_at_1": {"before": 0.5, "after": 0.6 + settings.get("lr", 0.0)},
        "tool_calls_per_problem": {"before": 0.0, "after": 1.0},
        "phases_s": {"update": 3.0},
    }  # fmt: skip
    (run / "summary.json").write_text(json.dumps(summary))
    return run


def write_evaluation(
    folder: Path, *, tools: str | None = None, rate: float = 0.5, settings: Any = None, **columns: Any
) -> Path:
    """A finished evaluation: 4 problems, 2 samples each; `settings` beside model, data and tools."""
    folder.mkdir(parents=True)
    tests = [{"index": 0, "status": "passed"}, {"index": 1, "status": "failed", "expected": "2", "got": "3"}]
    rows = [
        {
            "problem_id": f"toy/{problem}", "data_source": "toy", "difficulty": "easy", "tags": ["loops", "lists"],
            "sample": sample, "prompt": f"<|im_start|>user\nProblem {problem}.<|im_end|>\n<|im_start|>assistant\n",
            "output": ANSWER + "<|im_end|>", "code": "def f(x):\n    return x",
            "outcome": "failed" if problem else "passed",
            "passed": 1, "total": 2, "pass_rate": 0.5, "tests": json.dumps(tests), "tool_calls": 0,
            "valid_tool_calls": 0, "turns": 1, "prompt_tokens": 10, "response_tokens": 20, "finish_reason": "stop",
            "seconds": 0.5, **columns,
        }
        for problem in range(4) for sample in range(2)
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), folder / "samples.parquet")
    results = {
        "pass_at_k": {"1": rate, "2": 0.75},
        "pass_at_k_interval": {"1": [rate - 0.1, rate + 0.1], "2": None},
        "by_difficulty": {
            name: {"num_tasks": 2, "pass_at_k": {"1": rate}, "pass_at_k_interval": {"1": None}}
            for name in ("easy", "hard")
        },
        "num_tasks": 4,
        "num_samples_per_task": 2,
        "settings": {"model": "outputs/model", "data": ["data/toy.parquet"], "tools": tools}
        | (settings or {}),
        "timing": {"sampling_s": 10 * rate},
    }
    (folder / "evaluation_results.json").write_text(json.dumps(results))
    return folder


def write_comparison(folder: Path, *pairs: tuple[str, str], **values: Any) -> Path:
    """What `verl-coder compare --out` writes, of (first, second) evaluations."""
    row = {
        "problems": 4, "problems_of_each": [4, 4], "rates": [0.5, 0.6], "difference": 0.1, "interval": [-0.05, 0.25],
        "won": ["toy/1"], "lost": [], "p_value": 0.0000174, "adjusted_p_value": 0.0000348, "verdict": "better",
        **values,
    }  # fmt: skip
    rows = [
        {
            "first": first,
            "second": second,
            "first_samples": file_sha256(folder / Path(first).name / "samples.parquet"),
            "second_samples": file_sha256(folder / Path(second).name / "samples.parquet"),
            **row,
        }
        for first, second in pairs
    ]
    path = folder / "comparison.json"
    path.write_text(json.dumps({"comparisons": rows, "settings": {}}))
    return path


def read_script(path: Path, name: str) -> Any:
    """What a data script hands to the page; its file is ASCII, on one line."""
    text = path.read_text(encoding="ascii")
    packed = text.removeprefix(f'register("{name}","').removesuffix('");\n')
    return json.loads(zlib.decompress(base64.b64decode(packed, validate=True)))
