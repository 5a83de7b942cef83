"""Teachers that are not what they should be."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from doctor.conftest import Ward
from doctor.faults import Fault
from teacher.scripted_teacher import ScriptedTeacher, serving

from verl_coder.teacher.connection import SMALL_QUESTION

GOOD = {"number": "42", "code": "```python\ndef double(x):\n    return 2 * x\n```", "reasoning": "I see."}


def _says(**changed: str) -> Callable[[Ward], Any]:
    said = GOOD | changed

    def answer(body: dict[str, Any], asked: int) -> dict[str, Any]:
        small = body["messages"][-1]["content"] == SMALL_QUESTION
        message = {"content": said["number" if small else "code"]}
        return message | ({"reasoning": said["reasoning"]} if said["reasoning"] else {})

    return _serves(ScriptedTeacher(answer))


def _serves(teacher: ScriptedTeacher) -> Callable[[Ward], Any]:
    def change(ward: Ward) -> None:
        url = ward.ends.enter_context(serving(teacher)).url
        ward.options = replace(ward.options, teacher_url=url)

    return change


def good_teacher(ward: Ward) -> None:
    """One without a fault."""
    _says()(ward)


def _nobody(ward: Ward) -> None:
    ward.options = replace(ward.options, teacher_url="http://127.0.0.1:9/v1", teacher_model="m")


def _without_key(ward: Ward) -> None:
    _serves(ScriptedTeacher(key="the right one"))(ward)


_ALL = ("teacher-connection", "teacher-thinking", "teacher-format")
TEACHER = (
    Fault("no server", "teacher-connection", "FAIL", "127.0.0.1:9", "start_teacher.sh", _nobody, _ALL),
    Fault("another key", "teacher-connection", "FAIL", "401", "TEACHER_API_KEY", _without_key, _ALL),
    Fault("a wrong sum", "teacher-connection", "WARN", "17 + 25 is 42", "--teacher-model", _says(number="41")),
    Fault("no thinking", "teacher-thinking", "WARN", "asked to think", "--thinking off", _says(reasoning="")),
    Fault("thinking in the text", "teacher-thinking", "WARN", "stands in the text", "--reasoning-parser",
          _says(number="<think>I see.</think>42", reasoning="")),
    Fault("prose for code", "teacher-format", "FAIL", "no code is found", "template", _says(code="Double it.")),
    Fault("control tokens", "teacher-format", "FAIL", "'<|im_end|>'", "template",
          _says(code=GOOD["code"] + "<|im_end|>")),
)  # fmt: skip
