"""What one stage writes and another reads: the SFT target, the rollout's decoded answer, the grader; SFT's labels."""

import tempfile
from pathlib import Path
from typing import Any

from verl_coder.doctor.check import CheckResult, DoctorCheck, failed, passed
from verl_coder.doctor.conversations import CODE, as_prompted, plain, with_tool
from verl_coder.doctor.situation import NotHereError, Situation
from verl_coder.extraction import extract_code
from verl_coder.traces import Trace, TraceRow
from verl_coder.words import counted

_TEMPLATE = "the model's chat template or tokenizer changes the text: take the model's own, unchanged"


def tool_name(situation: Situation) -> str | None:
    """The recipe's first tool by the name that the model calls; None without tools."""
    import yaml

    path = situation.config.actor_rollout_ref.rollout.multi_turn.tool_config_path
    if not path:
        return None
    return str(yaml.safe_load(Path(path).read_text())["tools"][0]["tool_schema"]["function"]["name"])


def _conversations(situation: Situation) -> dict[str, Trace]:
    name = tool_name(situation)
    found = plain() | ({"an answer after a tool's result": with_tool(name)} if name else {})
    opens = situation.trace_tokenizer.opens_thinking
    return {what: as_prompted(trace, opens_thinking=opens) for what, trace in found.items()}


def _row(situation: Situation, trace: Trace) -> TraceRow:
    row = situation.trace_tokenizer.row(trace)
    assert isinstance(row, TraceRow)
    return row


def stages(tokenizer: Any, trace: Trace, row: TraceRow, loop: str) -> dict[str, str | None]:
    """Stage -> the code that it reads in the conversation."""
    last = str(trace.messages[-1]["content"])
    # As verl's reward loop decodes a rollout (experimental/reward_loop/reward_manager).
    decoded = tokenizer.decode(list(row.response_ids), skip_special_tokens=True)
    learnt = [token for token, mask in zip(row.response_ids, row.loss_mask, strict=True) if mask]
    return {
        "the trace as text": extract_code(last),
        "the SFT target": extract_code(tokenizer.decode(learnt, skip_special_tokens=True)),
        "the rollout's answer, as the reward reads it": extract_code(decoded),
        "the rollout's answer, as a tool that knows the agent loop reads it": extract_code(
            decoded, agent_name=loop
        ),
    }


def _extraction(situation: Situation) -> CheckResult:
    tokenizer = situation.tokenizer
    loop = str(situation.config.actor_rollout_ref.rollout.agent.default_agent_loop)
    found = _conversations(situation)
    for what, trace in found.items():
        for stage, code in stages(tokenizer, trace, _row(situation, trace), loop).items():
            if code is None or code.strip() != CODE:
                return failed(
                    f"{what}: {stage} holds {(code or '')[:60]!r}, not the code that was written", _TEMPLATE
                )
    return passed(f"SFT target, rollout, reward and grader read the same code: {', '.join(found)}")


def _labels(situation: Situation) -> CheckResult:
    from verl_coder.sft.rows import write_rows

    tokenizer, name = situation.tokenizer, tool_name(situation)
    tokeniser = situation.trace_tokenizer
    trace = with_tool(name) if name else plain()["an answer"]
    trace = as_prompted(trace, opens_thinking=tokeniser.opens_thinking)
    row = _row(situation, trace)
    ids, mask = _as_the_trainer_reads(write_rows, row)
    learnt = tokenizer.decode([token for token, on in zip(ids, mask, strict=True) if on])
    wanted = "".join(f"{turn}{tokenizer.eos_token}" for turn in tokeniser.turn_texts(trace).values())
    if any(mask[: len(row.prompt_ids)]):
        return failed("the loss is on tokens of the prompt", "sft/rows.py masks it: reinstall the package")
    if learnt != wanted:
        return failed(f"the loss is on {learnt[:120]!r}, and the assistant wrote {wanted[:120]!r}", _TEMPLATE)
    share = sum(mask)
    return passed(
        f"the loss is on the assistant's {counted(share, 'token')}, not on the other {len(mask) - share}"
    )


def _as_the_trainer_reads(write_rows: Any, row: TraceRow) -> tuple[list[int], list[int]]:
    """(tokens, mask) of the file that the SFT trainer is given."""
    import pyarrow.parquet as pq

    with tempfile.TemporaryDirectory(prefix="vc-") as folder:
        path = Path(folder) / "rows.parquet"
        write_rows([row], path)
        written = pq.read_table(path).to_pylist()[0]
    return written["input_ids"], written["loss_mask"]


def _token_equality(situation: Situation) -> CheckResult:
    name = tool_name(situation)
    if name is None:
        raise NotHereError("the recipe has no tools: a rollout has one turn")
    tokenizer, tokeniser = situation.tokenizer, situation.trace_tokenizer
    trace = as_prompted(with_tool(name), opens_thinking=tokeniser.opens_thinking)
    texts = tokeniser.turn_texts(trace)
    text = tokenizer.decode(list(_row(situation, trace).response_ids))
    expected = [texts.get(n) or str(message["content"]) for n, message in enumerate(trace.messages) if n]
    at = 0
    for part in expected:
        found = text.find(part, at)
        if found < 0:
            return failed(
                f"the turn {part[:60]!r} does not stand in the rollout's tokens: {text[at : at + 80]!r}",
                _TEMPLATE,
            )
        at = found + len(part)
    return passed("a conversation of four turns keeps every turn's text in the rollout's tokens")


CHECKS = (
    DoctorCheck(name="extraction", component="stages", look=_extraction, fix=_TEMPLATE),
    DoctorCheck(name="sft-labels", component="stages", look=_labels, fix=_TEMPLATE),
    DoctorCheck(name="turn-tokens", component="stages", look=_token_equality, fix=_TEMPLATE),
)
