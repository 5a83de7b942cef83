"""The tokens of a trace are those of the rollout of that conversation: verl's own loops, played by a scripted model.

The templates beside this file have the form of those of Qwen2.5 and Qwen3 (system part with the tools, a user's turn
around results; Qwen3 drops the thinking of earlier turns when it renders a conversation anew, and QwQ opens that of
every turn). They are rendered with the tiny tokenizer. VERL_CODER_TEST_MODELS names folders of real models (tokenizer
and config.json), colon-separated, on whose own templates the same is tested.
"""

import asyncio
import copy
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hydra
import pytest
from omegaconf import DictConfig, OmegaConf
from transformers import AutoConfig, AutoTokenizer

from verl_coder.errors import DataError
from verl_coder.launch.plan import TrainRequest, make_plan
from verl_coder.paths import repository_root
from verl_coder.prompts import build_prompt
from verl_coder.protocols import PROTOCOLS, tool_call
from verl_coder.sandbox.embedded import EmbeddedSandbox
from verl_coder.sft.rows import tokenise
from verl_coder.sft.student import student_tokenizer
from verl_coder.tiny.build import BASE
from verl_coder.trace_messages import read_messages
from verl_coder.traces import Trace, TraceTokenizer, load_tool_schemas

TEMPLATES = Path(__file__).parent / "templates"
REAL = [path for path in os.environ.get("VERL_CODER_TEST_MODELS", "").split(":") if path]
STUDENTS = ["tiny", "qwen2.5", "qwen3", *REAL]
THOUGHT = "<think>\nTry it on 21.\n</think>\n\n"
ANSWER = "<think>\nRight.\n</think>\n\n```python\ndef double(n):\n    return 2 * n\n```"


class ScriptedRollout:
    """Stands in for the language model behind a rollout: its turns are given, and end as a server would end them."""

    def __init__(self, tokenizer: Any, turns: list[str]) -> None:
        self.tokenizer, self.turns = tokenizer, list(turns)

    async def generate(self, request_id: str, *, sampling_params: dict[str, Any], **others: Any) -> Any:
        from verl.workers.rollout.replica import TokenOutput

        text = self.turns.pop(0)
        ids = self.tokenizer.encode(text, add_special_tokens=False)
        if not any(stop in text for stop in sampling_params.get("stop", ())):
            ids.append(self.tokenizer.eos_token_id)
        return TokenOutput(token_ids=ids, extra_fields={"min_global_steps": 1, "max_global_steps": 1})


@pytest.fixture(scope="module")
def sandbox_url() -> Iterator[str]:
    with EmbeddedSandbox() as sandbox:
        yield sandbox.url


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> DictConfig:
    out = str(tmp_path_factory.mktemp("out"))
    sizes = ("data.max_prompt_length=4096", "data.max_response_length=4096")
    return make_plan(TrainRequest(recipe="tiny_cpu", out=out, overrides=sizes)).config


@pytest.fixture(scope="module", params=STUDENTS)
def student(request: pytest.FixtureRequest) -> tuple[Any, str]:
    """(tokenizer, model type) of a student."""
    if request.param in REAL:
        folder = request.param
        return AutoTokenizer.from_pretrained(folder), AutoConfig.from_pretrained(folder).model_type
    tokenizer = AutoTokenizer.from_pretrained(BASE)
    if request.param != "tiny":
        tokenizer.chat_template = (TEMPLATES / f"{request.param}.jinja").read_text()
    return tokenizer, "qwen3" if request.param == "qwen3" else "qwen2"


async def rollout(
    recipe: DictConfig, student: tuple[Any, str], prompt: list[Any], turns: list[str], agent: str
) -> Any:
    """What verl's agent loop makes of these turns."""
    from verl.experimental.agent_loop.agent_loop import DictConfigWrap, ToolListWrap
    from verl.tools.tool_registry import initialize_tools_from_config

    config = copy.deepcopy(recipe)
    settings = config.actor_rollout_ref.rollout
    settings.multi_turn.max_assistant_turns = settings.multi_turn.max_user_turns = 9
    loops = {
        "tool_agent": "verl_coder.agent_loops.tool_agent.GuardedToolAgentLoop",
        "single_turn_agent": "verl_coder.agent_loops.single_turn_agent.CodeAnswerLoop",
    }
    entry: dict[str, Any] = {"_target_": loops.get(agent)}
    if agent == "feedback_agent":
        settings.multi_turn.tool_config_path = str(repository_root() / "tool_config" / "feedback.yaml")
    if agent not in loops:
        entries = OmegaConf.load(settings.agent.agent_loop_config_path)
        entry = dict(next(e for e in entries if e.name == agent))
    loop = hydra.utils.instantiate(
        config=entry,
        trainer_config=DictConfigWrap(config=config),
        server_manager=ScriptedRollout(student[0], turns),
        tokenizer=student[0],
        processor=None,
        hf_model_type=student[1],
        dataset_cls=None,
        data_config=DictConfigWrap(config.data),
        tools=ToolListWrap(initialize_tools_from_config(settings.multi_turn.tool_config_path)),
    )
    return await loop.run({"temperature": 1.0}, raw_prompt=prompt, tools_kwargs={})


def trace_row(recipe: DictConfig, student: tuple[Any, str], trace: Trace) -> Any:
    """What the trainer reads of the trace."""
    tools = recipe.actor_rollout_ref.rollout.multi_turn.tool_config_path
    tokenizer = TraceTokenizer(
        student[0],
        model_type=student[1],
        tool_schemas=load_tool_schemas(tools),
        max_prompt_tokens=4096,
        max_response_tokens=4096,
    )
    [(_, row)] = tokenise([trace], tokenizer, place="x").rows
    return row


CONVERSATIONS = {
    "plain": ("none", [ANSWER], []),
    "one_call": ("tool", [THOUGHT + tool_call("python_interpreter", "print(2 * 21)"), ANSWER], ["42"]),
    "two_calls_and_an_error": (
        "tool",
        [
            tool_call("python_interpreter", "print('é', \"q\")\nprint(1)"),
            THOUGHT + "I look again.\n" + tool_call("python_interpreter", "print(x)"),
            ANSWER,
        ],
        ["é q\n1", "NameError: name 'x' is not defined"],
    ),
    "a_call_that_is_no_json_and_one_of_another_tool": (
        "tool",
        [
            """<tool_call>\n{"name": "python_interpreter", "arguments": {"code": "print(\\'é\\')"}}\n</tool_call>""",
            tool_call("python", "print(1)"),
            ANSWER,
        ],
        ["é", "Error: no tool 'python'; there are python_interpreter"],
    ),
    "feedback": (
        "feedback",
        [ANSWER.replace("2 * n", "n + 2"), THOUGHT + "I cannot.", ANSWER],
        [
            "<feedback>\ntest 1: passed\ntest 2: failed: double(3) is 5, want 6\n</feedback>",
            "<feedback>\nError: your answer has no ```python code block\n</feedback>",
        ],
    ),
    "program": (
        "program",
        [THOUGHT + "<program>\nprint(2 * 21)\n</program>", "<program>\nprint(1)\n</program>", ANSWER],
        ["42", "1"],
    ),
}


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_a_trace_has_the_tokens_and_the_mask_of_its_rollout(
    name: str,
    student: tuple[Any, str],
    recipe: DictConfig,
    sandbox_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SANDBOX_URL", sandbox_url)
    protocol, turns, results = CONVERSATIONS[name]
    shown = ["assert double(2) == 4", "assert double(3) == 6"] if protocol == "feedback" else []
    prompt = list(
        build_prompt(
            "Double a number.", style="function", protocol=protocol, entry_point="double", examples=shown
        )
    )
    agent = PROTOCOLS[protocol].agent_name
    output = asyncio.run(rollout(recipe, student, [dict(m) for m in prompt], turns, agent))
    messages: list[dict[str, Any]] = [dict(m) for m in prompt]
    for index, turn in enumerate(turns):
        messages.append({"role": "assistant", "content": turn})
        role = "user" if protocol == "feedback" else "tool"
        messages += [{"role": role, "content": result} for result in results[index : index + 1]]
    # A rollout without tools in its prompt has none in its trace either.
    row = trace_row(recipe, student, Trace(problem_id="p", messages=tuple(messages), agent_name=agent))
    assert student[0].decode(row.response_ids) == student[0].decode(output.response_ids)
    assert list(row.prompt_ids) == output.prompt_ids
    assert list(row.response_ids) == output.response_ids
    assert list(row.loss_mask) == output.response_mask


def _opening_student() -> tuple[Any, str]:
    tokenizer = AutoTokenizer.from_pretrained(BASE)
    tokenizer.chat_template = (TEMPLATES / "qwq.jinja").read_text()
    return tokenizer, "qwen2"


@pytest.mark.parametrize("form", ["text", "reasoning_content and tool_calls"])
@pytest.mark.parametrize("protocol", ["none", "tool", "program", "feedback"])
def test_what_the_template_opens_is_not_written_again(
    protocol: str, form: str, recipe: DictConfig, sandbox_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SANDBOX_URL", sandbox_url)
    turns, results = {
        "none": ([ANSWER], []),
        "tool": ([THOUGHT + tool_call("python_interpreter", "print(2 * 21)"), ANSWER], ["42"]),
        "program": ([THOUGHT + "<program>\nprint(2 * 21)\n</program>", ANSWER], ["42"]),
        "feedback": (
            [THOUGHT + "I cannot.", ANSWER],
            ["<feedback>\nError: your answer has no ```python code block\n</feedback>"],
        ),
    }[protocol]
    examples = ["assert double(2) == 4"] if protocol == "feedback" else []
    prompt = list(
        build_prompt("Double.", style="function", protocol=protocol, entry_point="double", examples=examples)
    )
    agent, student = PROTOCOLS[protocol].agent_name, _opening_student()
    # What the model says behind a prompt that ends with <think>; a program's output does not end its turn.
    said = [
        turn if protocol == "program" and number else turn.removeprefix("<think>\n")
        for number, turn in enumerate(turns)
    ]
    output = asyncio.run(rollout(recipe, student, [dict(m) for m in prompt], said, agent))
    messages: list[dict[str, Any]] = [dict(m) for m in prompt]
    for index, turn in enumerate(turns):
        messages.append(_turn(turn, apart=form != "text" and protocol != "program"))
        role = "user" if protocol == "feedback" else "tool"
        messages += [{"role": role, "content": result} for result in results[index : index + 1]]
    row = trace_row(
        recipe, student, Trace(problem_id="p", messages=read_messages(messages, agent), agent_name=agent)
    )
    assert student[0].decode(row.response_ids) == student[0].decode(output.response_ids)
    assert list(row.prompt_ids) == output.prompt_ids
    assert list(row.response_ids) == output.response_ids
    assert list(row.loss_mask) == output.response_mask


def _turn(text: str, *, apart: bool) -> dict[str, Any]:
    """An assistant's message; `apart`: its thinking and its call in fields of their own, as the OpenAI API has them."""
    if not apart:
        return {"role": "assistant", "content": text}
    thought, _, said = text.removeprefix("<think>\n").partition("\n</think>\n\n")
    message: dict[str, Any] = {"role": "assistant", "content": said, "reasoning_content": thought}
    if said.startswith("<tool_call>"):
        call = json.loads(said.removeprefix("<tool_call>").removesuffix("</tool_call>"))
        message |= {"content": None, "tool_calls": [{"type": "function", "function": call}]}
    return message


def test_a_turn_may_think_in_its_own_words_behind_thinking_that_the_template_closes() -> None:
    tokenizer = AutoTokenizer.from_pretrained(BASE)
    tokenizer.chat_template = (TEMPLATES / "qwen3.jinja").read_text()
    trace = Trace(
        problem_id="p",
        messages=({"role": "user", "content": "Double."}, {"role": "assistant", "content": ANSWER}),
    )
    closing = TraceTokenizer(
        tokenizer,
        model_type="qwen3",
        tool_schemas=[],
        template_options={"enable_thinking": False},
        max_prompt_tokens=4096,
        max_response_tokens=4096,
    )
    row = closing.row(trace)
    assert row is not None
    assert tokenizer.decode(row.prompt_ids).endswith("<think>\n\n</think>\n\n")
    assert tokenizer.decode(row.response_ids).startswith(ANSWER)


def test_a_turn_without_the_thinking_that_the_template_opens_is_refused(recipe: DictConfig) -> None:
    answer = {"role": "assistant", "content": "```python\npass\n```"}
    trace = Trace(problem_id="p", messages=({"role": "user", "content": "Double."}, answer))
    with pytest.raises(DataError, match="x, row 0: a turn has no thinking"):
        trace_row(recipe, _opening_student(), trace)


def test_a_template_without_thinking_begins_the_answer_as_its_rollout_does(
    recipe: DictConfig, sandbox_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SANDBOX_URL", sandbox_url)
    tokenizer = AutoTokenizer.from_pretrained(BASE)
    tokenizer.chat_template = (TEMPLATES / "qwen3.jinja").read_text()
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "qwen3"}')
    config = copy.deepcopy(recipe)
    OmegaConf.update(config, "data.apply_chat_template_kwargs", {"enable_thinking": False}, force_add=True)
    prompt, plain = (
        [{"role": "user", "content": "Double a number."}],
        ANSWER.rpartition("</think>")[2].strip(),
    )
    output = asyncio.run(rollout(config, (tokenizer, "qwen3"), prompt, [plain], "tool_agent"))
    trace = Trace(problem_id="p", messages=(*prompt, {"role": "assistant", "content": plain}))
    _, tokenise_trace = student_tokenizer(
        tmp_path,
        config.actor_rollout_ref.rollout.multi_turn.tool_config_path,
        [trace],
        max_prompt_tokens=4096,
        max_response_tokens=4096,
        chat_template_kwargs='{"enable_thinking": false}',
    )
    [(_, row)] = tokenise([trace], tokenise_trace, place="x").rows
    assert tokenizer.decode(output.prompt_ids).endswith("<think>\n\n</think>\n\n")
    assert list(row.prompt_ids) == output.prompt_ids
    assert list(row.response_ids) == output.response_ids
