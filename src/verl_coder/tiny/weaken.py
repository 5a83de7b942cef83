"""A base that has lost the tool: the shipped one, trained a little further on traces that answer at once.

Reinforcement learning alone cannot find what the policy never samples; that is where a teacher's traces count.
"""

import json
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from verl_coder.errors import ConfigError
from verl_coder.files import refuse_used_folder
from verl_coder.tiny.build import BASE, finish_model
from verl_coder.tiny.problems import problems
from verl_coder.tiny.sft import SftSettings, run_sft, write_messages
from verl_coder.tiny.traces import write_traces


@dataclass(frozen=True, kw_only=True)
class WeakenSettings:
    """How far the tool is unlearnt."""

    seed: int = 1
    steps: int = 60
    batch_size: int = 32
    learning_rate: float = 5e-4
    direct_share: float = 1.0
    """Share of the traces that answer without the tool."""


def weaken(out: Path, settings: WeakenSettings, *, base: Path = BASE) -> Path:
    """Train `base` with verl's SFT trainer and save the result in `out`, all or nothing."""
    refuse_used_folder(out)
    if settings.steps < 1 or not 0 <= settings.direct_share <= 1:
        raise ConfigError(
            f"steps={settings.steps}, direct-share={settings.direct_share}: use 1 or more, and a share in [0, 1]"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{out.name}-weaken-", dir=out.parent))
    try:
        samples = problems("sft", settings.steps * settings.batch_size, seed=settings.seed)
        traces = write_traces(samples, seed=settings.seed, direct_share=settings.direct_share)
        write_messages((t.messages for t in traces), work / "traces.parquet")
        trained = run_sft(
            SftSettings(
                model=base,
                train_file=work / "traces.parquet",
                workdir=work / "sft",
                steps=settings.steps,
                batch_size=settings.batch_size,
                learning_rate=settings.learning_rate,
                min_lr_ratio=0.1,
                warmup_steps=0,
                seed=settings.seed,
            ),
            description="SFT on direct answers",
        )
        finish_model(trained, base, work / "finished")
        card = {"base": base.name, "made_by": "verl-coder tiny weaken", "settings": asdict(settings)}
        (work / "finished" / "card.json").write_text(json.dumps(card, indent=2) + "\n")
        if out.exists():
            out.rmdir()
        (work / "finished").rename(out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return out
