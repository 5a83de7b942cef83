"""A teacher's conversation so far: its dialogue, its calls, its tokens, and whether it goes on."""

from verl_coder.agent_loops.tool_calls import MAX_INVALID_CALLS
from verl_coder.teacher.dialogues import Call, open_dialogue
from verl_coder.teacher.offers import Offers
from verl_coder.teacher.replies import TeacherReply, ThinkingField, encodable
from verl_coder.teacher.tasks import TeacherTask
from verl_coder.teacher.tool_runs import MadeCall
from verl_coder.tools.given_code import given_program

_OLD_ERRORS = (
    "Unknown function '",
    "Invalid JSON in arguments for '",
    'TypeError: the argument "code" must be',
)
"""With which lines without a format answer calls that are read, or answered otherwise, today."""


class TeacherExchange:
    """A conversation so far, and what its turns came to."""

    def __init__(self, task: TeacherTask, offers: Offers) -> None:
        offer = offers.of(task.protocol)
        self.dialogue = open_dialogue(task.protocol, task.problem.prompt, offer)
        self._keeps_state = offer.keeps_state
        self.turns = self.calls = self.prompt_tokens = self.completion_tokens = 0
        self.call: Call | None = None
        self.made: list[MadeCall] = []
        """The calls that were answered."""
        self._asked: list[Call | None] = []
        self.thinking: ThinkingField = ""
        self.finish_reason = ""

    @property
    def ended(self) -> bool:
        """The last turn is an answer."""
        return self.turns > 0 and self.call is None

    def answer(self, text: str, *, failed: bool, learn_failures: bool) -> None:
        """What the last call came to."""
        text = encodable(text)
        if self.call is not None:
            self.made.append(MadeCall(call=self.call, text=text, failed=failed))
        self.dialogue.add_result(text, failed=failed, learn_failures=learn_failures)

    def answered_so(self, text: str, *, line_format: int) -> bool:
        """Whether the last call, as it is read and run today, would be answered with these words of a journal's line.

        `line_format`: 0 for a line without one. Then programs were run as they stood, without `given_program`.
        """
        if self.call is None or self.call.error:
            return self.call is not None and text == self.call.error
        if line_format:
            return True
        code = self.call.arguments.get("code")
        as_it_stood = self._keeps_state or not isinstance(code, str) or given_program(code) == code
        return as_it_stood and not text.startswith(_OLD_ERRORS)

    @property
    def only_mistakes(self) -> bool:
        """So many bad calls in a row that a rollout would have ended."""
        last = self._asked[-MAX_INVALID_CALLS:]
        return len(last) == MAX_INVALID_CALLS and all(call is not None and call.error for call in last)

    def add(self, reply: TeacherReply) -> None:
        """The teacher's next turn."""
        self.call = self.dialogue.add_reply(reply)
        self._asked.append(self.call)
        self.turns += 1
        self.calls += self.call is not None
        self.prompt_tokens += reply.prompt_tokens
        self.completion_tokens += reply.completion_tokens
        self.thinking = self.thinking or reply.thinking_field
        self.finish_reason = reply.finish_reason
