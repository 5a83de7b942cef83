"""A base that knows the calls of every tool: the shipped one, fine-tuned on traces of chains (`verl-coder sft`).

As the shipped one was made: first traces that nearly all use their tool (then more of the debugger's), at last a mix
with direct answers. So it knows how to use each tool and does it only sometimes: reinforcement has something to find.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from verl_coder.chains.problems import Kind, chains
from verl_coder.chains.traces import ChainTrace, chain_traces, write_trace_rows
from verl_coder.chains.wording import Tool
from verl_coder.consoles import PlainConsole
from verl_coder.errors import ConfigError
from verl_coder.files import refuse_file_in_the_way, write_atomically
from verl_coder.launch.supervise import Interrupted
from verl_coder.sft.run import run
from verl_coder.sft.settings import SftRequest
from verl_coder.tiny.build import BASE

MAX_PROMPT, MAX_RESPONSE = 192, 704
_KINDS: tuple[Kind, ...] = ("state", "bug", "state", "bug", "plain")
_MICRO_TOKENS = 4096


@dataclass(frozen=True, kw_only=True)
class SkillStage:
    """One SFT run: its part of all steps and of the learning rate, and what its traces show."""

    name: str
    steps: float
    learning_rate: float
    kinds: tuple[Kind, ...] = _KINDS
    bug_tools: tuple[Tool, ...] = ()
    direct_share: float | None = 0.1
    """None: that of the settings."""


STAGES = (
    SkillStage(name="skills", steps=0.5, learning_rate=1.0),
    # That the constant in the debugger's answer goes into the function it names is one token in a hundred and fifty:
    # among six tools it is not learnt.
    SkillStage(
        name="debugging",
        steps=0.3,
        learning_rate=0.67,
        kinds=("bug", "bug", "bug", "state", "plain"),
        bug_tools=("debugger", "debugger_late", "debugger", "interpreter"),
    ),
    SkillStage(
        name="mixed",
        steps=0.2,
        learning_rate=0.4,
        bug_tools=("none", "interpreter", "session", "program", "debugger", "debugger", "debugger_late"),
        direct_share=None,
    ),
)


@dataclass(frozen=True, kw_only=True)
class ToolBaseSettings:
    """How much the base sees, and how often without a tool at the end."""

    seed: int = 0
    steps: int = 750
    batch_size: int = 64
    learning_rate: float = 1.5e-3
    direct_share: float = 0.5
    """Share of the last stage's traces that answer at once."""
    depths: tuple[int, ...] = (1, 2, 3, 2)


def build_tool_base(out: Path, settings: ToolBaseSettings, *, base: Path = BASE) -> Path:
    """Train the stages in folders of OUT, and return OUT/mixed/model; what is finished is kept."""
    if settings.steps < 5 or not 0 <= settings.direct_share <= 1:
        raise ConfigError(
            f"steps={settings.steps}, direct-share={settings.direct_share}: use 5 or more, and a share in [0, 1]"
        )
    refuse_file_in_the_way(out, "--out")
    model = base
    for number, stage in enumerate(STAGES):
        model = _train(out / stage.name, model, settings, number, PlainConsole())
    write_atomically(out / "settings.json", json.dumps(asdict(settings), indent=2) + "\n")
    return model


def stage_traces(settings: ToolBaseSettings, number: int) -> Iterator[ChainTrace]:
    """Traces of a stage, by its place in STAGES; no stage's chains are drawn by the seed of another."""
    stage = STAGES[number]
    seed = len(STAGES) * settings.seed + number
    samples = chains(
        "sft",
        max(round(stage.steps * settings.steps), 1) * settings.batch_size,
        seed=seed,
        kinds=stage.kinds,
        depths=settings.depths,
    )
    share = settings.direct_share if stage.direct_share is None else stage.direct_share
    return chain_traces(samples, seed=seed, direct_share=share, bug_tools=stage.bug_tools)


def _train(out: Path, model: Path, settings: ToolBaseSettings, number: int, console: Console) -> Path:
    out.mkdir(parents=True, exist_ok=True)
    write_trace_rows(stage_traces(settings, number), out / "traces.parquet")
    request = SftRequest(
        model=str(model),
        traces=out / "traces.parquet",
        out=out,
        val_share=0.0,
        tools="none",
        epochs=1,
        batch_size=settings.batch_size,
        micro_tokens=_MICRO_TOKENS,
        learning_rate=settings.learning_rate * STAGES[number].learning_rate,
        max_prompt_length=MAX_PROMPT,
        max_response_length=MAX_RESPONSE,
        seed=settings.seed,
        profile="cpu",
        # A model of this size has nothing to gain from computing its activations twice.
        overrides=("model.enable_gradient_checkpointing=False",),
    )
    trained = run(request, console)
    if trained is None:
        raise Interrupted("SIGTERM")
    return trained
