"""A teacher's conversation so far: its dialogue, its calls, its tokens, and whether it goes on."""

from verl_coder.agent_loops.tool_calls import MAX_INVALID_CALLS
from verl_coder.teacher.dialogues import Call, open_dialogue
from verl_coder.teacher.offers import Offers
from verl_coder.teacher.replies import TeacherReply, ThinkingField, encodable
from verl_coder.teacher.tasks import TeacherTask
from verl_coder.teacher.tool_runs import MadeCall

_OLD_ERRORS = (
    "Unknown function '",
    "Invalid JSON in arguments for '",
    'TypeError: the argument "code" must be',
)
"""Words that journals up to November 2026 have for calls which are read, or answered otherwise, today."""


class TeacherExchange:
    """A conversation so far, and what its turns came to."""

    def __init__(self, task: TeacherTask, offers: Offers) -> None:
        self.dialogue = open_dialogue(task.protocol, task.problem.prompt, offers.of(task.protocol))
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

    def answered_so(self, text: str) -> bool:
        """Whether the last call, as it is read today, would be answered with these words of a journal."""
        error = self.call.error if self.call is not None else ""
        return text == error if error else not text.startswith(_OLD_ERRORS)

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
