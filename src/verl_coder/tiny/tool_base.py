"""A base that knows the calls of every tool: the shipped one, fine-tuned on traces of chains (`verl-coder sft`).

As the shipped one was made: first traces that nearly all use their tool, then a mix with direct answers. So it knows
how to use each tool and does it only sometimes, and reinforcement has something to find.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from verl_coder.chains.problems import Kind, chains
from verl_coder.chains.traces import chain_traces, write_trace_rows
from verl_coder.errors import ConfigError
from verl_coder.files import write_atomically
from verl_coder.sft.run import run
from verl_coder.sft.settings import SftRequest
from verl_coder.tiny.build import BASE

MAX_PROMPT, MAX_RESPONSE = 192, 704
_KINDS: tuple[Kind, ...] = ("state", "bug", "state", "bug", "plain")
_SKILL_DIRECT_SHARE = 0.1
_MICRO_TOKENS = 4096


@dataclass(frozen=True, kw_only=True)
class ToolBaseSettings:
    """How much the base sees, and how often without a tool at the end."""

    seed: int = 0
    steps: int = 400
    batch_size: int = 16
    learning_rate: float = 1.5e-3
    direct_share: float = 0.6
    """Share of the last quarter's traces that answer at once: above one half the greedy answer calls nothing."""
    depths: tuple[int, ...] = (1, 2, 3, 2)


def build_tool_base(out: Path, settings: ToolBaseSettings, console: Console, *, base: Path = BASE) -> Path:
    """Train in OUT/skills and OUT/mixed, and return OUT/mixed/model; what is finished is kept."""
    if settings.steps < 2 or not 0 <= settings.direct_share <= 1:
        raise ConfigError(
            f"steps={settings.steps}, direct-share={settings.direct_share}: use 2 or more, and a share in [0, 1]"
        )
    last = max(settings.steps // 4, 1)
    skills = _stage(
        out / "skills",
        base,
        settings,
        settings.steps - last,
        _SKILL_DIRECT_SHARE,
        settings.learning_rate,
        console,
    )
    model = _stage(
        out / "mixed", skills, settings, last, settings.direct_share, settings.learning_rate * 0.4, console
    )
    write_atomically(out / "settings.json", json.dumps(asdict(settings), indent=2) + "\n")
    return model


def _stage(
    out: Path,
    model: Path,
    settings: ToolBaseSettings,
    steps: int,
    direct_share: float,
    learning_rate: float,
    console: Console,
) -> Path:
    # The stages draw different chains: `chains` numbers its draws by their seed.
    seed = 2 * settings.seed + (out.name == "mixed")
    samples = chains("sft", steps * settings.batch_size, seed=seed, kinds=_KINDS, depths=settings.depths)
    out.mkdir(parents=True, exist_ok=True)
    write_trace_rows(chain_traces(samples, seed=seed, direct_share=direct_share), out / "traces.parquet")
    request = SftRequest(
        model=str(model),
        traces=out / "traces.parquet",
        out=out,
        val_share=0.0,
        tools="none",
        epochs=1,
        batch_size=settings.batch_size,
        micro_tokens=_MICRO_TOKENS,
        learning_rate=learning_rate,
        max_prompt_length=MAX_PROMPT,
        max_response_length=MAX_RESPONSE,
        seed=settings.seed,
        profile="cpu",
        # A model of this size has nothing to gain from computing its activations twice.
        overrides=("model.enable_gradient_checkpointing=False",),
    )
    return run(request, console)
