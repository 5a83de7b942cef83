"""Builds the tiny base model from nothing: tokenizer, supervised fine-tuning on traces, a card of what it can do.

Curriculum: three quarters of the steps on traces that all use the interpreter, then a mix with direct answers.
So the policy knows how to use the tool well and does it only sometimes, and reinforcement has something to find.
"""

import json
import os
import shutil
import tempfile
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from verl_coder.errors import ConfigError
from verl_coder.files import refuse_used_folder
from verl_coder.launch.supervise import Interrupted
from verl_coder.tiny.problems import problems
from verl_coder.tiny.sft import SftSettings, run_sft, write_messages
from verl_coder.tiny.tokenizer import corpus, train_tokenizer
from verl_coder.tiny.traces import SampleTrace, write_traces

BASE = Path(__file__).with_name("base")
"""The model shipped with the package."""

TOOL_ONLY_SHARE = 0.75
TOKENIZER_TRACES = 4000


@dataclass(frozen=True, kw_only=True)
class BuildSettings:
    """How a base model is made; `card.json` beside a model says what it can do."""

    seed: int = 0
    steps: int = 1000
    batch_size: int = 32
    learning_rate: float = 2e-3
    direct_share: float = 0.5
    measured_problems: int = 200

    def __post_init__(self) -> None:
        if self.steps < 2:
            raise ConfigError(f"steps is {self.steps}; the two stages need at least 2")
        if self.batch_size < 1 or self.measured_problems < 1:
            raise ConfigError(
                f"batch-size is {self.batch_size}, measured-problems {self.measured_problems}; each must be 1 or more"
            )
        if not 0 <= self.direct_share <= 1:
            raise ConfigError(f"direct-share is {self.direct_share}; it must be between 0 and 1")

    @property
    def tool_only_steps(self) -> int:
        """Steps of the first stage."""
        return min(max(round(self.steps * TOOL_ONLY_SHARE), 1), self.steps - 1)


def build(out: Path, settings: BuildSettings) -> Path:
    """Make the model in `out`, all or nothing, and return `out`.

    Where training fails, the error names its log, which stays in a hidden folder beside `out`; Interrupted
    (SIGINT, SIGTERM) leaves nothing.
    """
    refuse_used_folder(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{out.name}-build-", dir=out.parent))
    try:
        finished = _make(work, settings)
    except (Interrupted, KeyboardInterrupt):
        shutil.rmtree(work)
        raise
    if out.exists():
        out.rmdir()
    os.replace(finished, out)
    shutil.rmtree(work)
    return out


def _make(work: Path, settings: BuildSettings) -> Path:
    """The finished model's folder under `work`."""
    finished = work / "finished"
    stage_one, stage_two = _write_stages(work, settings)
    run_sft(stage_one, description="SFT 1/2, tool only")
    trained = run_sft(stage_two, description="SFT 2/2, mixed")
    finish_model(trained, work / "init", finished)
    card = {"settings": asdict(settings), "measured": _measure(finished, settings)}
    (finished / "card.json").write_text(json.dumps(card, indent=2) + "\n")
    return finished


def sft_traces(settings: BuildSettings) -> tuple[list[SampleTrace], list[SampleTrace]]:
    """Traces of the two stages, on different draws of the SFT split."""
    first = settings.tool_only_steps * settings.batch_size
    samples = problems("sft", settings.steps * settings.batch_size, seed=settings.seed)
    tool_only = list(write_traces(islice(samples, first), seed=settings.seed, direct_share=0.0))
    mixed = list(write_traces(samples, seed=settings.seed, direct_share=settings.direct_share))
    return tool_only, mixed


def _write_stages(work: Path, settings: BuildSettings) -> tuple[SftSettings, SftSettings]:
    """Write the untrained model and both stages' traces."""
    from verl_coder.tiny.model import new_model

    tool_only, mixed = sft_traces(settings)
    half = TOKENIZER_TRACES // 2
    tokenizer = train_tokenizer(corpus(t.messages for t in [*tool_only[:half], *mixed[:half]]))
    init = work / "init"
    new_model(tokenizer, seed=settings.seed).save_pretrained(init)
    tokenizer.save_pretrained(init)
    write_messages((t.messages for t in tool_only), work / "tool_only.parquet")
    write_messages((t.messages for t in mixed), work / "mixed.parquet")
    first_steps = settings.tool_only_steps
    one = SftSettings(
        model=init,
        train_file=work / "tool_only.parquet",
        workdir=work / "stage1",
        steps=first_steps,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        min_lr_ratio=0.4,
        warmup_steps=min(50, first_steps // 4),
        seed=settings.seed,
    )
    two = SftSettings(
        model=work / "stage1" / "checkpoints" / f"global_step_{first_steps}" / "huggingface",
        train_file=work / "mixed.parquet",
        workdir=work / "stage2",
        steps=settings.steps - first_steps,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate * 0.4,
        min_lr_ratio=0.02,
        warmup_steps=0,
        seed=settings.seed,
    )
    return one, two


def finish_model(trained: Path, init: Path, finished: Path) -> None:
    """Save the trained weights in bfloat16 beside the tokenizer and generation config of the start."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    model = AutoModelForCausalLM.from_pretrained(trained, dtype=torch.bfloat16)
    model.generation_config = GenerationConfig.from_pretrained(init)
    model.save_pretrained(finished)
    AutoTokenizer.from_pretrained(init).save_pretrained(finished)


def _measure(folder: Path, settings: BuildSettings) -> dict[str, dict[str, object]]:
    """Greedy and sampled measurements on held-out problems, in a sandbox."""
    import torch

    from verl_coder.tiny.environment import Environment
    from verl_coder.tiny.measure import measure

    torch.manual_seed(settings.seed)
    with Environment.embedded() as environment:
        return measure(folder, environment, problem_count=settings.measured_problems, seed=settings.seed)
