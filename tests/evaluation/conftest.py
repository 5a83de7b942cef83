"""A scripted language model over the real loops, tools, sandbox and grader, and problems for it."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from verl_coder.data import write_rows
from verl_coder.evaluation import evaluate as evaluation
from verl_coder.evaluation.engines import TurnRequest, WrittenTurn
from verl_coder.evaluation.request import EvaluationRequest, plan_evaluation
from verl_coder.evaluation.trajectories import load_tokenizer
from verl_coder.paths import repository_root
from verl_coder.problems import FunctionCase, FunctionTests, Problem
from verl_coder.sandbox.embedded import EmbeddedSandbox

TINY = repository_root() / "src/verl_coder/tiny/base"
RIGHT = "```python\ndef f(xs):\n    return sum(xs)\n```"
WRONG = "```python\ndef f(xs):\n    return 0\n```"


@pytest.fixture(scope="session")
def sandbox_url() -> Iterator[str]:
    with EmbeddedSandbox() as sandbox:
        yield sandbox.url


def make_problem(number: int, **changes: Any) -> Problem:
    tests = FunctionTests(
        entry_point="f", tests=tuple(FunctionCase(args=([n, number],), expected=n + number) for n in (1, 2))
    )
    problem = Problem(
        data_source="sample",
        problem_id=f"sample/{number}",
        prompt=({"role": "user", "content": f"Write f(xs): the sum of the numbers in xs. ({number})"},),
        tests=tests,
        split="test",
        index=number,
        difficulty="easy" if number % 2 else "hard",
        entry_point="f",
    )
    return replace(problem, **changes)


@pytest.fixture
def problems(tmp_path: Path) -> Path:
    path = tmp_path / "data" / "test.parquet"
    write_rows((make_problem(number) for number in range(4)), path)
    return path


Answer = Callable[[str, int], str | None]
"""(text so far, number of the turn in the whole evaluation) -> the model's next turn; None never ends it."""


class ScriptedEngine:
    """A language model that says what a function says; it knows the tiny model's tokens."""

    def __init__(self, tokenizer: Any, answer: Answer) -> None:
        self.tokenizer, self.answer = tokenizer, answer
        self.requests: list[TurnRequest] = []

    async def write(self, request: TurnRequest) -> WrittenTurn:
        self.requests.append(request)
        text = self.answer(self.tokenizer.decode(request.prompt_ids), len(self.requests))
        if text is None:
            await asyncio.sleep(3600)
        stops = [text.find(stop) + len(stop) for stop in request.stop if stop in text]
        text = text[: min(stops)] if stops else f"{text}<|im_end|>"
        ids: Sequence[int] = self.tokenizer.encode(text, add_special_tokens=False)
        kept = list(ids)[: request.max_tokens]
        return WrittenTurn(token_ids=kept, finish_reason="stop" if len(kept) == len(ids) else "length")

    def close(self) -> None:
        pass


Evaluate = Callable[..., dict[str, Any]]


@pytest.fixture
def evaluate_with(
    monkeypatch: pytest.MonkeyPatch, sandbox_url: str, problems: Path, tmp_path: Path
) -> Callable[[Answer], Evaluate]:
    """`evaluate_with(answer)(n=2, ...)`: the whole evaluation with a scripted model; the results."""

    def scripted(answer: Answer) -> Evaluate:
        def engine(plan: Any, folder: Path, *_: Any) -> ScriptedEngine:
            return ScriptedEngine(load_tokenizer(folder), answer)

        monkeypatch.setattr(evaluation, "start_engine", engine)

        def run(**options: Any) -> dict[str, Any]:
            values = {
                "model": str(TINY),
                "data": (str(problems),),
                "out": str(tmp_path / "out"),
                "max_prompt_tokens": 200,
                "max_response_tokens": 700,
                "max_turns": 3,
            }
            plan = plan_evaluation(EvaluationRequest(**(values | options)))
            return evaluation.evaluate(plan, Console(quiet=True), concurrency=4, sandbox_url=sandbox_url)

        return run

    return scripted
