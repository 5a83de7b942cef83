"""A teacher's traces: conversations in a Parquet file, tokenised exactly as the rollout tokenises its own.

Columns: `problem_id` (string, may be empty) and `messages`, a list of `{role, content}` with the prompt included.
A tool call stands in the assistant's content, in the form that the rollout's parser reads (hermes: `<tool_call>`),
or in the message's `tool_calls` as the OpenAI API returns it; a tool's result is a message of role `tool`.
Thinking stands at the beginning of the content between think tags, or in `reasoning_content`.
An assistant message of `weight` 0 is read and not learnt (a failing attempt); without a weight it is learnt.
A third column, `agent_name`, may name the rollout's agent loop: one that appends results to the assistant's own turn
(`program_agent`) has no end of turn behind a program and no tools in its prompt, nor has one that calls none
(`single_turn_agent`). What a loop's conversations cannot look like is refused (trace_messages.py, trace_calls.py).
"""

import contextlib
import io
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from jinja2 import TemplateError

from verl_coder.chat_template import options_of_run
from verl_coder.control_tokens import break_control_tokens, control_tokens
from verl_coder.data.prepared import whole_pages
from verl_coder.errors import ConfigError, DataError
from verl_coder.protocols import Tags, appended_result, appended_tags, describes_tools
from verl_coder.trace_calls import Mistakes, check_calls, hermes_mistakes
from verl_coder.trace_messages import TraceError, control_token, is_learnt, read_messages

COLUMNS = ("problem_id", "messages")
_AGENT_NAME = "agent_name"
_OPENED = re.compile(r"<think>\s*(</think>\s*)?\Z")
"""Thinking that a rendered prompt opens, or also closes, before the assistant's first token."""
_THINK = re.compile(r"\s*<think>\n?")
_THOUGHTS = re.compile(r"\s*<think>.*?</think>\s*", re.S)
_NO_THOUGHT = re.compile(r"\A\s*<think>\s*</think>\s*")
_ANSWER = "The answer."


@dataclass(frozen=True, kw_only=True)
class Trace:
    """One conversation that solves `problem_id`."""

    problem_id: str
    messages: tuple[dict[str, Any], ...]
    agent_name: str = ""
    """The agent loop of its rollout; empty = one whose turns the chat template makes."""

    @property
    def described_tools(self) -> bool:
        """Whether a rollout's prompt describes tools: the trace calls one, or is of an agent loop that has them."""
        calls = any(message["role"] == "tool" for message in self.messages)
        return (calls or bool(self.agent_name)) and describes_tools(self.agent_name)

    @property
    def prompt_text(self) -> str:
        """What the prompt says, in which two traces are of the same problem that names none."""
        return prompt_text(self.messages[: self.prompt_length])

    @property
    def prompt_length(self) -> int:
        """Messages before the first assistant turn."""
        return next((i for i, m in enumerate(self.messages) if m["role"] == "assistant"), len(self.messages))


def prompt_text(messages: Iterable[Mapping[str, Any]]) -> str:
    """What the messages of a prompt say, a trace's or a row's, to be compared."""
    return json.dumps([[m["role"], m.get("content")] for m in messages])


@dataclass(frozen=True, kw_only=True)
class TraceRow:
    """A tokenised trace. `loss_mask` is 1 on what is learnt, 0 on a tool's output and the template's."""

    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]
    loss_mask: tuple[int, ...]


def read_traces(path: Path, *, option: str = "verl_coder.teacher.traces") -> list[Trace]:
    """All traces of a file. DataError names the `option` that gave it, the row and what is wrong with it."""
    place = f"{option}: {path}"
    if path.is_dir():
        raise DataError(f"{place} is a folder: name a file, such as {path / 'traces.parquet'}")
    if not path.is_file():
        raise DataError(
            f"{place}: no such file (make the tiny ones with `verl-coder tiny traces --out {path}`)"
        )
    try:
        names = pq.read_schema(path).names
    except Exception as error:
        raise DataError(f"{place} is not a Parquet file ({str(error).splitlines()[0]})") from error
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        if "input_ids" in names:
            raise DataError(
                f"{place} holds token ids, which belong to one tokenizer: give the conversations, `messages`"
            )
        raise DataError(f"{place} lacks the column {missing[0]!r}; it has {', '.join(names)}")
    traces = []
    columns = [*COLUMNS, *(name for name in names if name == _AGENT_NAME)]
    with whole_pages(place):
        rows = pq.read_table(path, columns=columns).to_pylist()
    for index, row in enumerate(rows):
        try:
            traces.append(_trace(row))
        except TraceError as error:
            raise DataError(f"{place}, row {index}: {error}") from error
    if not traces:
        raise DataError(f"{place} is empty")
    return traces


def _trace(row: Mapping[str, Any]) -> Trace:
    agent_name, problem_id = str(row.get(_AGENT_NAME) or ""), row["problem_id"]
    return Trace(
        problem_id="" if problem_id is None else str(problem_id),
        messages=read_messages(row["messages"] or [], agent_name),
        agent_name=agent_name,
    )


class TraceTokenizer:
    """Turns traces into rows with verl's own builder of rollout tokens, so that a template is applied the same way.

    As in a rollout, an assistant's turn is its text and the end-of-turn token, and what stands between two turns
    is appended, never re-tokenised.
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        model_type: str | None,
        tool_schemas: Sequence[Mapping[str, Any]],
        template_options: Mapping[str, Any] | None = None,
        max_prompt_tokens: int,
        max_response_tokens: int,
    ) -> None:
        from verl.utils.tokenizer.continuous_token_wiring import create_continuous_token_builder

        self._tokenizer = tokenizer
        self._control = control_tokens(tokenizer)
        self._options = dict(template_options or {})
        self._tools = [dict(schema) for schema in tool_schemas] or None
        self._builder = create_continuous_token_builder(
            tokenizer, hf_model_type=model_type, chat_template_kwargs=self._options
        )
        self._max_prompt_tokens, self._max_response_tokens = max_prompt_tokens, max_response_tokens

    @property
    def parameters(self) -> dict[str, Mapping[str, Any]]:
        """JSON schema of the arguments by the name of the tool, of the tools that a prompt describes."""
        functions = [schema["function"] for schema in self._tools or ()]
        return {str(function["name"]): function.get("parameters") or {} for function in functions}

    def row(self, trace: Trace) -> TraceRow | None:
        """The trace's tokens, or None where prompt or response is longer than a rollout's may be; TraceError."""
        try:
            return self._row(trace)
        except TemplateError as error:
            raise TraceError(f"the chat template refuses the conversation: {error}") from error

    def _row(self, trace: Trace) -> TraceRow | None:
        messages, at = [self._as_rolled_out(message) for message in trace.messages], trace.prompt_length
        tags, texts = appended_tags(trace.agent_name), self.turn_texts(trace)
        tools = self._tools if describes_tools(trace.agent_name) else None
        prompt = self._builder.build_initial_tokens(messages[:at], tools=tools)
        tokens: list[int] = list(prompt)
        mask: list[int] = []
        if len(prompt) > self._max_prompt_tokens:
            return None
        if tags:
            response, mask = self._one_turn(messages, texts, tags)
            if len(mask) > self._max_response_tokens:
                return None
            return TraceRow(prompt_ids=tuple(prompt), response_ids=tuple(response), loss_mask=tuple(mask))
        while at < len(messages):
            turn = self._builder.merge_assistant_tokens(tokens, self._ids(texts[at], ends=True))
            before = len(mask)
            tokens, mask = turn.token_ids, self._builder.align_response_metadata(turn, mask)[0]
            if not is_learnt(messages[at]):
                mask = [*mask[:before], *[0] * (len(mask) - before)]
            # Up to the assistant's next turn; the conversation ends with one.
            end = next((i for i in range(at + 1, len(messages)) if messages[i]["role"] == "assistant"), None)
            if end is None:
                break
            context = self._builder.merge_context_tokens(
                messages[: at + 1], messages[:end], tokens, tools=tools
            )
            tokens, mask = context.token_ids, self._builder.align_response_metadata(context, mask)[0]
            at = end
        if len(mask) > self._max_response_tokens:
            return None
        return TraceRow(
            prompt_ids=tuple(prompt), response_ids=tuple(tokens[len(prompt) :]), loss_mask=tuple(mask)
        )

    def _as_rolled_out(self, message: dict[str, Any]) -> dict[str, Any]:
        """The message; a tool's with its control tokens broken, as our agent loops give it to the model."""
        if message["role"] != "tool" or not isinstance(message.get("content"), str):
            return message
        return {**message, "content": break_control_tokens(message["content"], self._control)}

    def _one_turn(
        self, messages: Sequence[Mapping[str, Any]], texts: Mapping[int, str], tags: Tags
    ) -> tuple[list[int], list[int]]:
        """(tokens, mask) where results stand in the assistant's own turn, as `ProgramAgentLoop` appends them."""
        tokens: list[int] = []
        mask: list[int] = []
        for number in range(min(texts), len(messages)):
            message, learnt = messages[number], False
            if message["role"] == "tool":
                printed = appended_result(texts[number - 1], str(message.get("content") or ""), tags)
                ids = self._ids(printed, ends=False)
            else:
                ids, learnt = self._ids(texts[number], ends=number == len(messages) - 1), is_learnt(message)
            tokens += ids
            mask += [int(learnt)] * len(ids)
        return tokens, mask

    def _ids(self, text: str, *, ends: bool) -> list[int]:
        """Tokens of what the policy or a loop writes; `ends`: the policy's turn is at its end."""
        ids = self._tokenizer.encode(text, add_special_tokens=False)
        return [*ids, self._tokenizer.eos_token_id] if ends else list(ids)

    def turn_texts(self, trace: Trace) -> dict[int, str]:
        """What the policy would have to generate for each message of the assistant, by its number; TraceError."""
        tags, last = appended_tags(trace.agent_name), len(trace.messages) - 1
        texts: dict[int, str] = {}
        for number, message in enumerate(trace.messages):
            if message["role"] == "assistant":
                texts[number] = text = self.turn_text(message, begins=not (tags and texts))
                if tags and number < last and not text.endswith(tags.end_call):
                    raise TraceError(f"a turn before a tool's result does not end with {tags.end_call}")
        return texts

    def turn_text(self, message: Mapping[str, Any], *, begins: bool = True) -> str:
        """The text of an assistant's message; structured tool calls are written by the chat template.

        `begins`: it stands right behind a rendered prompt, which may have opened its thinking. TraceError where the
        two do not go together.
        """
        text = self._called_text(message) if message.get("tool_calls") else str(message.get("content") or "")
        if not begins or not self.opens_thinking:
            return text
        think = _THINK.match(text)
        if not think and "</think>" not in text and is_learnt(message):
            raise TraceError(
                "a turn has no thinking, and the chat template's prompt opens it with <think>: give turns that begin "
                "with <think>, or another template"
            )
        if think is None:
            return text
        line_end = "" if self._generation_prompt.endswith("\n") or not think[0].endswith("\n") else "\n"
        return line_end + text[think.end() :]

    @property
    def opens_thinking(self) -> bool:
        """Whether the template's prompt opens the thinking of the turn behind it, which then writes no tag.

        Behind thinking that is closed there (`enable_thinking: false`) a turn may think in words of its own, as
        our system prompts ask for.
        """
        opened = _OPENED.search(self._generation_prompt)
        return opened is not None and not opened[1]

    @property
    def turn_end(self) -> str:
        """The control token with which the chat template ends an answer; empty where it ends it with none."""
        said = [{"role": "user", "content": "-"}, {"role": "assistant", "content": _ANSWER}]
        after = self._render(said, add_generation_prompt=False).rpartition(_ANSWER)[2].lstrip()
        ids = self._tokenizer.encode(after, add_special_tokens=False)
        return next(
            (token for token, number in self._tokenizer.get_added_vocab().items() if number in ids[:1]), ""
        )

    @cached_property
    def _generation_prompt(self) -> str:
        """A rendered prompt, which ends with what the template writes before every turn of the assistant."""
        return self._render([{"role": "user", "content": "-"}], add_generation_prompt=True)

    def _render(self, messages: Sequence[Mapping[str, Any]], *, add_generation_prompt: bool) -> str:
        options = {**self._options, "tools": self._tools, "tokenize": False}
        try:
            text = self._tokenizer.apply_chat_template(
                list(messages), add_generation_prompt=add_generation_prompt, **options
            )
        except TemplateError as error:
            raise TraceError(f"the chat template refuses a turn of the assistant: {error}") from error
        return str(text)

    def _called_text(self, message: Mapping[str, Any]) -> str:
        """A turn with tool_calls, from the first token that is its own to the template's end of a turn."""
        prompt, content = {"role": "user", "content": "-"}, str(message.get("content") or "")
        # Templates leave thinking out, or make some where there is none.
        thoughts = found.group() if (found := _THOUGHTS.match(content)) else ""
        before = _OPENED.sub("", self._generation_prompt)
        said = {**message, "content": content.removeprefix(thoughts)}
        after = self._render([prompt, said], add_generation_prompt=False)
        if not after.startswith(before):
            raise TraceError("the chat template does not append a turn with tool_calls to its prompt")
        plain = self._render([prompt, {"role": "assistant", "content": _ANSWER}], add_generation_prompt=False)
        ends = (plain.rpartition(_ANSWER)[2], self._tokenizer.eos_token)
        end = next((end for end in ends if end and end in after[len(before) :]), None)
        if end is None:
            raise TraceError("the chat template ends a turn with tool_calls otherwise than one without")
        return thoughts + _NO_THOUGHT.sub("", after[len(before) :].rpartition(end)[0], count=1)


def check_text(
    trace: Trace, tokenizer: Any, tokenise: TraceTokenizer, mistakes: Mistakes | None = None
) -> dict[int, str]:
    """The text of each turn, by its message's number; TraceError where one is rendered for some model already.

    Also where its calls are not those of a rollout, whose parser `mistakes` may be; else calls are in hermes form.
    """
    special = [token for token in tokenizer.all_special_tokens if token]
    for message in trace.messages:
        text = f"{message.get('content') or ''}{message.get('tool_calls') or ''}"
        token = control_token(text) or next((t for t in special if t in text), None)
        if token:
            raise TraceError(
                f"the control token {token!r} stands in a message's text: the traces were rendered for a model; give "
                "plain messages, which the chat template of this one renders"
            )
    texts = tokenise.turn_texts(trace)
    check_calls(trace.messages, trace.agent_name, texts, mistakes or hermes_mistakes(tokenise.parameters))
    return texts


def check_turn_end(tokenizer: Any, tokenise: TraceTokenizer, place: str) -> None:
    """ConfigError where the end of a turn that traces teach, the tokenizer's eos_token, is not the chat template's."""
    try:
        end = tokenise.turn_end
    except TraceError:
        return  # which each trace tells with its row
    if end and end != tokenizer.eos_token:
        raise ConfigError(
            f"{place}: its chat template ends a turn with {end}, and eos_token is {tokenizer.eos_token}, which traces "
            f"would teach in its place: set eos_token to {end} in its tokenizer_config.json"
        )


def check_tokens(texts: Iterable[str], tokenizer: Any, model: str) -> bool:
    """TraceError where the text of a turn is nothing that this tokenizer can express.

    False where one comes back in other characters for the same letters: Qwen's tokenizer composes them (NFC), and so
    they are all that the model can write.
    """
    same = True
    for text in texts:
        ids = tokenizer.encode(text, add_special_tokens=False)
        decoded = tokenizer.decode(ids)
        same = same and decoded == text
        if tokenizer.unk_token_id in ids or not _same_letters(decoded, text):
            raise TraceError(
                f"the tokenizer of {model} cannot express an assistant's text (it comes back changed): the traces "
                "were written for another tokenizer"
            )
    return same


def _same_letters(one: str, other: str) -> bool:
    """Whether Unicode takes both for the same text."""
    return one == other or unicodedata.normalize("NFC", one) == unicodedata.normalize("NFC", other)


def rollout_tokenizer(config: Any, tokenizer: Any, model_type: str | None) -> TraceTokenizer:
    """The TraceTokenizer of a recipe: its tools, its template options, its lengths."""
    turns = config.actor_rollout_ref.rollout.multi_turn
    return TraceTokenizer(
        tokenizer,
        model_type=model_type,
        tool_schemas=load_tool_schemas(turns.tool_config_path, turns.get("function_tool_path")),
        template_options=options_of_run(config),
        max_prompt_tokens=config.data.max_prompt_length,
        max_response_tokens=config.data.max_response_length,
    )


def load_tool_schemas(
    tool_config: str | Path | None, functions: str | Path | None = None
) -> list[dict[str, Any]]:
    """What the chat template is told of the tools of a tool_config/*.yaml, as a rollout tells it."""
    if not tool_config and not functions:
        return []  # without verl, whose import takes seconds
    from verl.tools.tool_registry import load_all_tools

    with contextlib.redirect_stdout(io.StringIO()):  # every tool prints its schema when it is made
        tools = load_all_tools(*(str(path) if path else None for path in (tool_config, functions)))
    return [tool.tool_schema.model_dump(exclude_unset=True, exclude_none=True) for tool in tools]
