"""The teacher's server, where one is named: the question of `teacher generate --test-connection`, and another."""

import asyncio
import os
from pathlib import Path

from verl_coder.doctor.check import CheckResult, DoctorCheck, failed, passed, warned
from verl_coder.doctor.situation import NotHereError, Situation
from verl_coder.errors import TeacherError
from verl_coder.installation import script
from verl_coder.teacher.connection import CODE_QUESTION, SMALL_QUESTION, Connection, probe
from verl_coder.teacher.options import GenerateOptions
from verl_coder.trace_messages import control_token
from verl_coder.words import counted

_SERVE = script("start_teacher.sh", "vllm serve MODEL")
_START = f"{_SERVE}, or the address of one that runs (TEACHER_API_KEY holds its key)"
_TEMPLATE = f"serve the model with its own chat template and `--reasoning-parser` ({_SERVE})"
_TIMEOUT_S = 60.0


def _options(situation: Situation) -> GenerateOptions:
    """Those of the command for the server that is named; NotHereError where none is."""
    named = situation.options.teacher_url or os.environ.get("TEACHER_URL", "")
    urls = tuple(url.strip() for url in named.split(",") if url.strip())
    if not urls:
        raise NotHereError("no teacher is named (--teacher-url, TEACHER_URL)")
    return GenerateOptions(
        problems=(),
        out=Path("none.parquet"),
        base_url=urls,
        model=situation.options.teacher_model or situation.once("the teacher", lambda: _first_model(urls)),
        max_tokens=2048,
        temperature=0.0,
        timeout_s=_TIMEOUT_S,
        max_attempts=2,
    )


def _first_model(urls: tuple[str, ...]) -> str:
    options = GenerateOptions(
        problems=(),
        out=Path("-"),
        base_url=urls,
        model="-",
        timeout_s=_TIMEOUT_S,
        max_attempts=2,
    )

    async def ask() -> list[str] | None:
        async with options.probe_client(urls[0]) as client:
            return await client.models(client.urls[0])

    models = asyncio.run(ask())
    if not models:
        raise TeacherError(f"{urls[0]} names no model: say which with --teacher-model")
    return models[0]


def _asked(situation: Situation, question: str) -> list[Connection]:
    options = _options(situation)
    return situation.once(
        f"the teacher's answer to {question[:11]!r}", lambda: asyncio.run(probe(options, question))
    )


def _connection(situation: Situation) -> CheckResult:
    found = _asked(situation, SMALL_QUESTION)
    words = ", ".join(
        f"{one.url} answered {one.answer.strip()[:20]!r} in {one.seconds:.1f} s" for one in found
    )
    wrong = [one for one in found if "42" not in one.answer]
    if wrong:
        return warned(f"{words}: 17 + 25 is 42", "is it the model that you meant? --teacher-model")
    return passed(words)


def _thinking(situation: Situation) -> CheckResult:
    for one in _asked(situation, SMALL_QUESTION):
        if one.thinking_field == "inline":
            return warned(
                f"{one.url}: the thinking stands in the text, between <think> and </think>", _TEMPLATE
            )
        if not one.thinking_field:
            return warned(
                f"{one.url}: asked to think, and no field `reasoning` or `reasoning_content` came",
                "`teacher generate --thinking off` for a model that does not think, else --reasoning-parser",
            )
    return passed(f"in the field `{one.thinking_field}`, {counted(len(one.thinking), 'character')}")


def _format(situation: Situation) -> CheckResult:
    from verl_coder.extraction import extract

    for one in _asked(situation, CODE_QUESTION):
        if token := control_token(one.answer):
            return failed(
                f"{one.url}: an answer holds {token!r}, a control token of a chat template", _TEMPLATE
            )
        found = extract(one.answer)
        if found.code is None or "def double" not in found.code:
            return failed(f"{one.url}: no code is found in {one.answer.strip()[:80]!r}", _TEMPLATE)
        if not found.fenced:
            return warned(
                f"{one.url}: the code stands in no whole block", "a larger --max-tokens, or another model"
            )
    return passed("asked for a function it writes one in a block, which the extraction finds")


CHECKS = (
    DoctorCheck(name="teacher-connection", component="teacher", look=_connection, fix=_START),
    DoctorCheck(name="teacher-thinking", component="teacher", look=_thinking, fix=_START),
    DoctorCheck(name="teacher-format", component="teacher", look=_format, fix=_START),
)
