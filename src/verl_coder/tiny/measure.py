"""Pass@1 and tool use of a tiny model on sample problems, before reinforcement learning sees it."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verl_coder.problems import Problem
from verl_coder.tiny.environment import Environment
from verl_coder.tiny.problems import problems as sample_problems

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MAX_TURNS = 3
MAX_TURN_TOKENS = 110
_TOOL_CALL = re.compile(r"<tool_call>(.*?)</tool_call>", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """One conversation with the model."""

    problem: Problem
    completion: str
    tool_calls: int
    response_tokens: int
    passed: bool


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Shares over rollouts; None where no rollout is of the kind."""

    rollouts: int
    pass_at_1: float
    tool_rate: float
    pass_with_tool: float | None
    pass_without_tool: float | None
    tool_calls_per_problem: float
    response_tokens: float


def summarize(rollouts: Sequence[Rollout]) -> Measurement:
    """Pass rate, tool rate and the pass rate given either choice."""

    def share(some: Sequence[Rollout]) -> float | None:
        return round(sum(r.passed for r in some) / len(some), 4) if some else None

    with_tool = [r for r in rollouts if r.tool_calls]
    without = [r for r in rollouts if not r.tool_calls]
    return Measurement(
        rollouts=len(rollouts),
        pass_at_1=share(rollouts) or 0.0,
        tool_rate=round(len(with_tool) / len(rollouts), 4),
        pass_with_tool=share(with_tool),
        pass_without_tool=share(without),
        tool_calls_per_problem=round(sum(r.tool_calls for r in rollouts) / len(rollouts), 3),
        response_tokens=round(sum(r.response_tokens for r in rollouts) / len(rollouts), 1),
    )


def measure(
    folder: Path, environment: Environment, *, problem_count: int, seed: int, samples: int = 4
) -> dict[str, dict[str, object]]:
    """Measurements of the model in `folder` on held-out problems: greedy, and `samples` times at temperature 1."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    held_out = [sample.problem for sample in sample_problems("heldout", problem_count, seed=seed)]
    repeated = [problem for problem in held_out for _ in range(samples)]
    greedy = roll_out(model, tokenizer, held_out, environment, temperature=0.0)
    sampled = roll_out(model, tokenizer, repeated, environment, temperature=1.0)
    return {"greedy": asdict(summarize(greedy)), "sampled": asdict(summarize(sampled))}


def roll_out(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    problems: Sequence[Problem],
    environment: Environment,
    *,
    temperature: float,
    batch_size: int = 128,
) -> list[Rollout]:
    """One conversation for each problem, with up to MAX_TURNS turns; temperature 0 is greedy."""
    rollouts: list[Rollout] = []
    for start in range(0, len(problems), batch_size):
        batch = problems[start : start + batch_size]
        rollouts += _roll_out_batch(model, tokenizer, batch, environment, temperature)
    return rollouts


def _roll_out_batch(
    model: Any, tokenizer: Any, problems: Sequence[Problem], environment: Environment, temperature: float
) -> list[Rollout]:
    prompts = [
        tokenizer.apply_chat_template(list(p.prompt), add_generation_prompt=True, return_dict=False)
        for p in problems
    ]
    ids = [list(prompt) for prompt in prompts]
    calls = [0] * len(problems)
    active = list(range(len(problems)))
    for turn in range(MAX_TURNS):
        waiting: list[tuple[int, str]] = []
        for row, new in zip(
            active, _generate(model, tokenizer, [ids[i] for i in active], temperature), strict=True
        ):
            ids[row] += new
            code = _called_code(tokenizer.decode(new))
            if code is not None and turn + 1 < MAX_TURNS:
                waiting.append((row, code))
        texts = environment.run_tools([(code, problems[row]) for row, code in waiting])
        for (row, _), text in zip(waiting, texts, strict=True):
            calls[row] += 1
            reply = tokenizer.apply_chat_template(
                [{"role": "tool", "content": text}], add_generation_prompt=True, return_dict=False
            )
            ids[row] += [*tokenizer.encode("\n", add_special_tokens=False), *reply]
        active = [row for row, _ in waiting]
        if not active:
            break
    completions = [
        tokenizer.decode(row[len(prompt) :], skip_special_tokens=True)
        for row, prompt in zip(ids, prompts, strict=True)
    ]
    verdicts = environment.passed(list(zip(completions, problems, strict=True)))
    return [
        Rollout(
            problem=problem,
            completion=completion,
            tool_calls=count,
            response_tokens=len(row) - len(prompt),
            passed=verdict,
        )
        for problem, completion, count, row, prompt, verdict in zip(
            problems, completions, calls, ids, prompts, verdicts, strict=True
        )
    ]


def _generate(model: Any, tokenizer: Any, rows: Sequence[list[int]], temperature: float) -> list[list[int]]:
    """New tokens for each row, its end-of-turn token included."""
    import torch

    width = max(map(len, rows))
    pad = tokenizer.pad_token_id
    batch = torch.tensor([[pad] * (width - len(row)) + row for row in rows])
    sampling: dict[str, Any] = (
        {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
        if temperature
        else {"do_sample": False, "temperature": None, "top_k": None, "top_p": None}
    )
    with torch.inference_mode():
        out = model.generate(
            input_ids=batch,
            attention_mask=torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows]),
            max_new_tokens=MAX_TURN_TOKENS,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=pad,
            **sampling,
        )
    new_rows = []
    for new in out[:, width:].tolist():
        stop = new.index(tokenizer.eos_token_id) + 1 if tokenizer.eos_token_id in new else len(new)
        new_rows.append(new[:stop])
    return new_rows


def _called_code(text: str) -> str | None:
    """The `code` argument of the first well-formed tool call, or None."""
    for match in _TOOL_CALL.findall(text):
        try:
            code = json.loads(match)["arguments"]["code"]
        except (ValueError, KeyError, TypeError):
            continue
        if isinstance(code, str):
            return code
    return None
