"""verl's configuration of an SFT run, composed and checked here as the trainer would minutes later."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from verl_coder.launch.preflight.names import check_model_names
from verl_coder.launch.preflight.optimiser import check_optimiser
from verl_coder.launch.preflight.values import check_kinds
from verl_coder.launch.preflight.verl_classes import check_verl_classes
from verl_coder.launch.recipe import sft_tree
from verl_coder.run.run_dir import RunDir
from verl_coder.sft.process import hydra_overrides
from verl_coder.sft.settings import SftRequest, trainer_keys

_SECTIONS = ("checkpoint", "engine", "optim")
"""Those that verl reads into a dataclass of its own, but for the model's, which loads the model's files."""

_WORDS = ("trainer.test_freq", "trainer.save_freq")
"""Steps, or a word: `settings.py` has checked them."""


def check_overrides(request: SftRequest) -> None:
    """ConfigError for the first override that no setting takes, or whose value is of another kind.

    Before there are traces, and without verl, which takes seconds to import; `check_composed` sees the rest.
    """
    if not request.overrides:
        return
    held_out = request.validation is not None or request.val_share > 0
    keys = trainer_keys(
        request,
        model=Path(request.model),
        train_file=request.traces,
        val_file=request.traces if held_out else None,
        longest=1,
        recompute=True,
    )
    run_dir = RunDir(request.out)
    check_kinds(
        sft_tree(hydra_overrides(keys, run_dir=run_dir, steps=1, profile=request.profile, name="sft")),
        sft_tree(),
        but=_WORDS,
    )


def check_composed(keys: Mapping[str, Any], *, run_dir: RunDir, steps: int, profile: str, name: str) -> None:
    """ConfigError for the first key that no setting takes, or whose value is of no use: the place and the fix."""
    config = sft_tree(hydra_overrides(keys, run_dir=run_dir, steps=steps, profile=profile, name=name))
    check_kinds(config, sft_tree(), but=_WORDS)
    check_model_names(config, model="model", optim="optim")
    check_optimiser(config, "optim")
    check_verl_classes(config, _SECTIONS)
