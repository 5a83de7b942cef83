"""A trace's row is token for token what a rollout would have produced; the loss is on what the assistant says."""

import copy
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from verl_coder.sft.dataset import TokenRows
from verl_coder.sft.rows import length, problem_names, shuffled, split_by_problem, tokenise, write_rows
from verl_coder.tiny.build import BASE
from verl_coder.tiny.problems import problems
from verl_coder.tiny.traces import write_traces
from verl_coder.traces import Trace, TraceRow, TraceTokenizer, load_tool_schemas

TOOLS = Path(__file__).parents[2] / "tool_config" / "python_interpreter_brief.yaml"


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(BASE)


@pytest.fixture(scope="module")
def traces() -> list[Trace]:
    """Twelve traces, some of which call the tool twice."""
    written = write_traces(problems("rl", 12, seed=0), seed=0, direct_share=0.3)
    return [
        Trace(problem_id=t.problem.problem_id, messages=tuple(dict(m) for m in t.messages)) for t in written
    ]


def _rollout(tokenizer: Any, longest: int = 352) -> TraceTokenizer:
    return TraceTokenizer(
        tokenizer,
        model_type="qwen2",
        tool_schemas=load_tool_schemas(TOOLS),
        max_prompt_tokens=96,
        max_response_tokens=longest,
    )


def _dataset(rows: list[TraceRow], folder: Path) -> TokenRows:
    write_rows(rows, folder / "rows.parquet")
    return TokenRows(
        str(folder / "rows.parquet"), tokenizer=None, config=None, processor=None, max_samples=-1
    )


def test_the_trainer_sees_the_rollouts_tokens(tokenizer: Any, traces: list[Trace], tmp_path: Path) -> None:
    found = tokenise(traces, _rollout(tokenizer), place="x")
    dataset = _dataset([row for _, row in found.rows], tmp_path)
    assert len(dataset) == len(traces) and found.too_long == 0
    for trace, item in zip(traces, dataset, strict=True):
        rendered = tokenizer.apply_chat_template(list(trace.messages), tokenize=False)
        assert tokenizer.decode(item["input_ids"]) == rendered.rstrip("\n")
        assert item["position_ids"].tolist() == list(range(len(item["input_ids"])))


def test_only_what_the_assistant_says_is_learnt_and_that_it_stops(
    tokenizer: Any, traces: list[Trace], tmp_path: Path
) -> None:
    found = tokenise(traces, _rollout(tokenizer), place="x")
    for trace, item in zip(traces, _dataset([row for _, row in found.rows], tmp_path), strict=True):
        learnt = tokenizer.decode(item["input_ids"][item["loss_mask"].bool()])
        said = [m["content"] for m in trace.messages if m["role"] == "assistant"]
        assert learnt == "".join(f"{text}<|im_end|>" for text in said)
        assert item["loss_mask"][0] == 0 and item["loss_mask"][-1] == 1
        assert item["input_ids"][-1] == tokenizer.eos_token_id


def test_what_is_too_long_is_dropped_and_counted_and_the_rest_is_whole(
    tokenizer: Any, traces: list[Trace]
) -> None:
    whole = tokenise(traces, _rollout(tokenizer), place="x")
    lengths = sorted(len(row.response_ids) for _, row in whole.rows)
    limit = lengths[len(lengths) // 2]
    cut = tokenise(traces, _rollout(tokenizer, longest=limit), place="x")
    assert cut.too_long == sum(n > limit for n in lengths) > 0
    assert cut.rows == [pair for pair in whole.rows if len(pair[1].response_ids) <= limit]


def _row(number: int) -> TraceRow:
    return TraceRow(prompt_ids=(number,), response_ids=(1, 2), loss_mask=(0, 1))


def test_no_problem_stands_on_both_sides_of_the_split() -> None:
    rows = [(f"p{i % 10}", _row(i)) for i in range(40)]
    training, held_out = split_by_problem(rows, 0.2, seed=3)
    assert {p for p, _ in training} & {p for p, _ in held_out} == set()
    assert len(held_out) == 8 and len(training) == 32
    assert (training, held_out) == split_by_problem(rows, 0.2, seed=3)
    assert split_by_problem(rows, 0.0, seed=3)[1] == []


def test_the_only_problem_is_trained_on() -> None:
    training, held_out = split_by_problem([("p", _row(i)) for i in range(40)], 0.05, seed=0)
    assert (len(training), len(held_out)) == (40, 0)


def test_a_tools_text_is_read_with_its_tags_broken_as_in_the_rollout(tokenizer: Any) -> None:
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.add_tokens(["<mark>"])
    messages = ("user", "x"), ("assistant", "y"), ("tool", "a <mark> b"), ("assistant", "z")
    trace = Trace(problem_id="p", messages=tuple({"role": r, "content": c} for r, c in messages))
    row = _rollout(tokenizer).row(trace)
    assert row is not None and tokenizer.convert_tokens_to_ids("<mark>") not in row.response_ids
    assert "< mark>" in tokenizer.decode(row.response_ids)


def _asks(problem_id: str, question: str) -> Trace:
    said = ("system", "Solve it."), ("user", question), ("assistant", "x")
    return Trace(problem_id=problem_id, messages=tuple({"role": r, "content": c} for r, c in said))


def test_traces_are_of_one_problem_by_its_name_or_by_their_prompts() -> None:
    given = [("", "add"), ("", "sub"), ("", "add"), ("p", "mul"), ("p", "mul as a stub"), ("", "mul")]
    add, sub, again, *mul = problem_names([_asks(*one) for one in given])
    assert add == again != sub and mul == ["p", "p", "p"] and len({add, sub, "p"}) == 3
    chained = [("a", "x"), ("b", "y"), ("a", "z"), ("b", "z"), ("c", "w")]
    assert problem_names([_asks(*one) for one in chained]) == ["a", "a", "a", "a", "c"]


def test_no_prompt_stands_on_both_sides_of_the_split(tokenizer: Any) -> None:
    traces = [_asks("", f"question {number % 10}") for number in range(30)]
    found = tokenise(traces, _rollout(tokenizer), place="x")
    training, held_out = split_by_problem(found.rows, 0.3, seed=0)
    assert (len(training), len(held_out)) == (21, 9)
    assert not {row.prompt_ids for _, row in training} & {row.prompt_ids for _, row in held_out}


def test_the_order_depends_on_the_seed() -> None:
    rows = [("", _row(i)) for i in range(20)]
    assert shuffled(rows, seed=1) == shuffled(rows, seed=1) != shuffled(rows, seed=2)


def test_a_row_is_as_long_as_prompt_and_response() -> None:
    assert length(replace(_row(1), response_ids=(1, 2, 3))) == 4


def _packed_loss(model: Any, items: list[dict[str, torch.Tensor]]) -> float:
    """Sum of the learnt tokens' losses of rows in one packed row, as verl's engine gives it to the model."""
    tokens = torch.cat([item["input_ids"] for item in items])
    output = model(
        input_ids=tokens[None],
        attention_mask=None,
        position_ids=torch.cat([item["position_ids"] for item in items])[None],
        use_cache=False,
    )
    log_probs = output.logits[0].log_softmax(-1).gather(-1, tokens.roll(-1)[:, None])[:, 0]
    mask = torch.cat([item["loss_mask"] for item in items]).roll(-1)
    return -float((log_probs * mask).sum())


def test_packed_rows_do_not_see_each_other(tokenizer: Any, traces: list[Trace], tmp_path: Path) -> None:
    """transformers makes the block mask of sdpa from positions that begin again, where no mask is given."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32, attn_implementation="sdpa").eval()
    found = tokenise(traces[:5], _rollout(tokenizer), place="x")
    items = list(_dataset([row for _, row in found.rows], tmp_path))
    # The first row says nothing of use to the others, but would change them all if they saw it.
    items[0]["input_ids"] = items[0]["input_ids"].flip(0)
    with torch.no_grad():
        alone = [_packed_loss(model, [item]) for item in items]
        together = _packed_loss(model, items)
        one_sequence = [{**i, "position_ids": torch.arange(len(i["input_ids"]))} for i in items]
        for before, item in pairwise(one_sequence):
            item["position_ids"] = item["position_ids"] + before["position_ids"][-1] + 1
        leaking = _packed_loss(model, one_sequence)
    assert together == pytest.approx(sum(alone), rel=1e-5)
    assert abs(leaking - together) > 1e-2 * together
