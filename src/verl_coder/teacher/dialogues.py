"""A conversation with a teacher in a protocol of the student's: what the teacher is sent, what the student will read.

The two differ: the teacher's thinking and calls go back to it in the fields of its API, and the trace has them in the
text that the student would have to write. A result is always what our sandbox printed; what a teacher writes behind its
own call is cut off.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from verl_coder.agent_loops.tool_calls import CallMistake, call_texts, check_call, placed_calls, read_call
from verl_coder.errors import ConfigError
from verl_coder.problems import Message
from verl_coder.protocols import (
    Tags,
    ToolProtocol,
    appended_result,
    closed_call,
    find_program,
    hermes_call,
)
from verl_coder.teacher.conversation import decoded_response
from verl_coder.teacher.offers import Offer
from verl_coder.teacher.replies import TeacherReply, encodable
from verl_coder.teacher.samples import quotable
from verl_coder.trace_messages import control_token


class Call(NamedTuple):
    """What a turn asks for: a tool and its arguments, or nothing but the text of an error that answers a bad call."""

    tool: str
    arguments: Mapping[str, Any]
    error: str = ""


class Dialogue:
    """One conversation; turns are added in order. This one has a single turn; the others extend it."""

    def __init__(self, prompt: Sequence[Message]) -> None:
        self._to_teacher: list[dict[str, Any]] = [dict(message) for message in prompt]
        self.trace: list[dict[str, Any]] = [dict(message) for message in prompt]
        """The conversation as the student reads it, prompt included."""
        self._response_at = len(self.trace)
        """Where the assistant's part of the trace begins."""

    def request(self) -> dict[str, Any]:
        """`messages`, and what else a request of this protocol has."""
        return {"messages": self._to_teacher}

    def add_reply(self, reply: TeacherReply) -> Call | None:
        """Add the teacher's turn; the call that it ends with, None where it is the answer."""
        self._say(student_text(reply.thinking, reply.content))
        return None

    def add_result(self, text: str, *, failed: bool, learn_failures: bool) -> None:
        """Answer the call of the last turn, which is read and not learnt where it failed."""
        raise ConfigError("a conversation without a tool has no results")

    def response(self) -> str:
        """What a rollout with these turns decodes to: the text that rewards grade."""
        return decoded_response(self.trace[self._response_at :])

    def unusable(self) -> str:
        """Why the conversation is no trace although it has ended; empty where it is one."""
        for message in self.trace[self._response_at :]:
            text = message["content"]
            if control_token(text) or (message["role"] == "tool" and not quotable(text)):
                return "marks of a conversation in a message"
            if message["role"] == "assistant" and text.count("</think>") > 1:
                return "thinking that ends twice"
        return ""

    def _say(self, text: str) -> None:
        self.trace.append({"role": "assistant", "content": text})


class ToolDialogue(Dialogue):
    """Function calls in hermes form, one in a turn, read and answered as the rollouts' loops do."""

    def __init__(self, prompt: Sequence[Message], offer: Offer, tags: Tags) -> None:
        super().__init__(prompt)
        self._offer = offer
        self._tags = tags
        self._call_id = ""
        self._calls: list[Call] = []

    def request(self) -> dict[str, Any]:
        """With the schemas of the tools."""
        choice = "auto" if self._offer.structured else "none"
        return {"messages": self._to_teacher, "tools": list(self._offer.schemas), "tool_choice": choice}

    def add_reply(self, reply: TeacherReply) -> Call | None:
        """The first call counts, structured or in the text."""
        structured = bool(reply.calls)
        content = reply.content
        if structured:
            name, arguments = reply.calls[0]
            sent = {"name": name, "arguments": arguments}
            text = json.dumps({"name": name, "arguments": _object_of(arguments)}, ensure_ascii=False)
        elif placed := placed_calls(content, self._tags):
            place, text = placed[0]
            content = content[:place].rstrip()
        else:
            self._say(student_text(reply.thinking, content))
            return None
        call = self._read(text)
        self._calls.append(call)
        written = f"{self._tags.call}\n{encodable(text)}\n{self._tags.end_call}"
        if not call.error:
            written = hermes_call(call.tool, call.arguments)
        self._say(student_text(reply.thinking, content, written))
        message: dict[str, Any] = {"role": "assistant", "content": content}
        if reply.thinking_field in ("reasoning", "reasoning_content"):
            message[reply.thinking_field] = reply.thinking
        if structured:
            self._call_id = f"call_{len(self._to_teacher):08d}"
            message["tool_calls"] = [{"id": self._call_id, "type": "function", "function": sent}]
        else:
            message["content"] = f"{content}\n{written}".lstrip("\n")
            self._call_id = ""
        self._to_teacher.append(message)
        return call

    def add_result(self, text: str, *, failed: bool, learn_failures: bool) -> None:
        """A message of role `tool`."""
        if failed and not learn_failures:
            self.trace[-1]["weight"] = 0
        self.trace.append({"role": "tool", "content": text})
        sent = {"role": "tool", "content": text}
        if self._call_id:
            sent["tool_call_id"] = self._call_id
        self._to_teacher.append(sent)

    def unusable(self) -> str:
        """Also where the rollout's parser would read other calls in the text than were answered."""
        turns = [m["content"] for m in self.trace[self._response_at :] if m["role"] == "assistant"]
        read = [[self._read(text) for text in call_texts(turn, self._tags)] for turn in turns]
        answered = [[call] for call in self._calls]
        if read != [*answered, []][: len(turns)]:
            return "a call inside a text"
        return super().unusable()

    def _read(self, text: str) -> Call:
        """The call that the student would write so, or the words with which a rollout answers a bad one."""
        try:
            name, arguments = read_call(text)
            check_call(name, arguments, self._offer.parameters)
        except CallMistake as mistake:
            return Call("", {}, f"Error: {encodable(str(mistake))}")
        return Call(
            name,
            {key: encodable(value) if isinstance(value, str) else value for key, value in arguments.items()},
        )


class ProgramDialogue(Dialogue):
    """Programs between two tags. The teacher reads a result as a message of the user, the student in its own turn."""

    def __init__(self, prompt: Sequence[Message], offer: Offer, tags: Tags) -> None:
        super().__init__(prompt)
        self._tags = tags
        self._interpreter = next(iter(offer.parameters))

    def request(self) -> dict[str, Any]:
        """The server stops at the end of a program."""
        return {"messages": self._to_teacher, "stop": [self._tags.end_call]}

    def add_reply(self, reply: TeacherReply) -> Call | None:
        """The first program counts, whose closing tag most servers leave out of what they answer."""
        content = reply.content.rstrip()
        content = closed_call(content, self._tags, reply.stop)
        code = find_program(content, self._tags)
        if code is None:
            self._say(student_text(reply.thinking, reply.content))
            return None
        content = content.partition(self._tags.end_call)[0] + self._tags.end_call
        self._say(student_text(reply.thinking, content))
        self._to_teacher.append({"role": "assistant", "content": content})
        return Call(self._interpreter, {"code": code})

    def add_result(self, text: str, *, failed: bool, learn_failures: bool) -> None:
        """In the trace a message of role `tool`, whose text the rollout has between the tags of a result."""
        if failed and not learn_failures:
            self.trace[-1]["weight"] = 0
        self.trace.append({"role": "tool", "content": text})
        shown = appended_result("\n", text, self._tags).strip()
        self._to_teacher.append({"role": "user", "content": shown})

    def response(self) -> str:
        """All in one turn."""
        return decoded_response(self.trace[self._response_at :], self._tags)

    def unusable(self) -> str:
        """Also where generation would have stopped at another place."""
        turns = self.trace[self._response_at :]
        for message, after in zip(turns, [*turns[1:], None], strict=True):
            text = message["content"]
            if message["role"] == "assistant" and text.count(self._tags.end_call) != (after is not None):
                return "a call inside a text"
            if message["role"] == "assistant" and self._tags.result in text:
                return "a result that the teacher wrote itself"
        return super().unusable()


def open_dialogue(protocol: ToolProtocol, prompt: Sequence[Message], offer: Offer) -> Dialogue:
    """The conversation of a prompt in its protocol, with the tools that it has on offer."""
    if protocol.tags is None:
        return Dialogue(prompt)
    kind = ProgramDialogue if protocol.in_turn else ToolDialogue
    return kind(prompt, offer, protocol.tags)


def student_text(thinking: str, content: str, call: str = "") -> str:
    """An assistant's turn as the student writes it: thinking between its tags, the text, the call."""
    think = f"<think>\n{thinking.strip()}\n</think>\n\n" if thinking.strip() else ""
    return think + "\n".join(part for part in (content.strip(), call) if part)


def _object_of(arguments: str) -> Any:
    """The arguments of a structured call as the student writes them: an object, or the text that is none."""
    try:
        return json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
