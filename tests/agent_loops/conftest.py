"""A scripted model in the place of the language model; tools, loops and the sandbox are real."""

import asyncio
import copy
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from verl_coder.launch.plan import TrainRequest, make_plan
from verl_coder.paths import repository_root
from verl_coder.prompts import build_prompt
from verl_coder.protocols import PROTOCOLS
from verl_coder.sandbox.embedded import EmbeddedSandbox
from verl_coder.tiny.build import BASE

LOGPROB = -0.5
_IN_VERLS_PLACE = {
    "tool_agent": "verl_coder.agent_loops.tool_agent.GuardedToolAgentLoop",
    "single_turn_agent": "verl_coder.agent_loops.single_turn_agent.CodeAnswerLoop",
}


class ScriptedModel:
    """Stands in for the language model: says the next line of its script, and stops where a server would."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, script: list[str]) -> None:
        self.tokenizer = tokenizer
        self.script = script
        self.on_turn: Callable[[], None] = lambda: None
        self.sees_stops = True
        """False: as where a sync of the weights falls into each stop string."""
        self.prompts: list[list[int]] = []

    async def generate(
        self, request_id: str, *, prompt_ids: list[int], sampling_params: dict[str, Any], **others: Any
    ) -> Any:
        from verl.workers.rollout.replica import TokenOutput

        self.on_turn()
        self.prompts.append(list(prompt_ids))
        text = self.script.pop(0)
        for stop in sampling_params.get("stop", []) if self.sees_stops else []:
            before, found, _ = text.partition(stop)
            text = before + (found if sampling_params["include_stop_str_in_output"] else "")
        ids = self.tokenizer.encode(text, add_special_tokens=False)
        steps = {"min_global_steps": 1, "max_global_steps": 1}
        return TokenOutput(token_ids=ids, log_probs=[LOGPROB] * len(ids), extra_fields=steps)


Rollout = Callable[..., tuple[Any, ScriptedModel, PreTrainedTokenizerBase]]


@pytest.fixture(scope="session")
def sandbox_url() -> Iterator[str]:
    with EmbeddedSandbox() as sandbox:
        yield sandbox.url


@pytest.fixture(scope="session")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> DictConfig:
    """The smallest recipe with room for the protocol's prompt, composed once."""
    out = str(tmp_path_factory.mktemp("out"))
    sizes = ("data.max_prompt_length=900", "data.max_response_length=600")
    return make_plan(TrainRequest(recipe="tiny_cpu", out=out, overrides=sizes)).config


@pytest.fixture
def rollout(sandbox_url: str, recipe: DictConfig, monkeypatch: pytest.MonkeyPatch) -> Rollout:
    """`rollout(script, ...)` is one trajectory, as in verl's worker; `tests` are visible ones, `loop` its settings.

    `ours` are settings of `verl_coder:`.
    """

    def run(
        script: list[str],
        *,
        protocol: str = "program",
        prelude: str = "",
        url: str = sandbox_url,
        changes: Mapping[str, int] = MappingProxyType({}),
        tools: str = "",
        loop: Mapping[str, Any] = MappingProxyType({}),
        tests: str | None = None,
        ours: Mapping[str, Any] = MappingProxyType({}),
        sees_stops: bool = True,
        mode: str = "sync",
        on_turn: Callable[[], None] = lambda: None,
    ) -> tuple[Any, ScriptedModel, PreTrainedTokenizerBase]:
        monkeypatch.setenv("SANDBOX_URL", url)
        # Enough for the sandbox of the tests, and soon over where one is away on purpose.
        monkeypatch.setattr("verl_coder.sandbox.retries.PATIENCE_S", 1.0)
        config = copy.deepcopy(recipe)
        config.trainer.v1.trainer_mode = mode
        for key, value in changes.items():
            OmegaConf.update(config.actor_rollout_ref.rollout, key, value)
        for key, value in ours.items():
            OmegaConf.update(config.verl_coder, key, value)
        tokenizer = AutoTokenizer.from_pretrained(BASE)
        model = ScriptedModel(tokenizer, script)
        model.sees_stops, model.on_turn = sees_stops, on_turn
        if tools:
            config.actor_rollout_ref.rollout.multi_turn.tool_config_path = str(repository_root() / tools)
        prompt = build_prompt(
            "Double a number.",
            style="assert" if tests else "function",
            protocol=protocol,
            entry_point="double",
            examples=[tests] if tests else [],
        )
        trajectory = _trajectory(config, tokenizer, model, protocol, list(prompt), prelude, loop)
        return asyncio.run(trajectory), model, tokenizer

    return run


async def _trajectory(
    config: Any,
    tokenizer: Any,
    model: Any,
    protocol: str,
    prompt: list[Any],
    prelude: str,
    changed: Mapping[str, Any],
) -> Any:
    import hydra
    from verl.experimental.agent_loop.agent_loop import DictConfigWrap, ToolListWrap
    from verl.tools.tool_registry import initialize_tools_from_config

    settings = config.actor_rollout_ref.rollout
    name = PROTOCOLS[protocol].agent_name
    entries = OmegaConf.load(settings.agent.agent_loop_config_path)
    entry = {**next((e for e in entries if e.name == name), entries[0]), "name": name}
    if name in _IN_VERLS_PLACE:
        entry = {"_target_": _IN_VERLS_PLACE[name]}
    loop = hydra.utils.instantiate(
        config={**entry, **changed},
        trainer_config=DictConfigWrap(config=config),
        server_manager=model,
        tokenizer=tokenizer,
        processor=None,
        hf_model_type="qwen2",
        dataset_cls=None,
        data_config=DictConfigWrap(config.data),
        tools=ToolListWrap(initialize_tools_from_config(settings.multi_turn.tool_config_path)),
    )
    return await loop.run(
        {"temperature": 1.0, "logprobs": True}, raw_prompt=prompt, tools_kwargs={"prelude": prelude}
    )
