"""The recipe of a pipeline as verl is given it, key by key: composed in a process of its own, kept while it is true.

Composing imports verl, which takes seconds and hundreds of megabytes; a start that skips every stage needs neither.
"""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import asdict
from fnmatch import fnmatchcase
from importlib.metadata import version
from pathlib import Path
from typing import Any

from verl_coder.errors import ConfigError
from verl_coder.files import write_atomically
from verl_coder.launch.plan import TrainRequest, make_plan
from verl_coder.launch.recipe import find_recipe
from verl_coder.paths import repository_root, resolve_content_path
from verl_coder.pipeline.fingerprint import PACKAGE, flat

_CODE = ("launch/plan.py", "launch/recipe.py", "run/settings.py", "pipeline/recipe_settings.py")
NOT_A_RESULT = (
    "ray_kwargs.*",
    "transfer_queue.*",
    "*.checkpoint_engine.*",
    "*_dir",
    "data.*_files",
    "actor_rollout_ref.model.path",
    "*custom_reward_function.path",
    "verl_coder.policy_loss.path",
    "*_config_path",
    "trainer.experiment_name",
    "trainer.project_name",
    "trainer.logger",
    "verl_coder.out",
    "verl_coder.run_name",
    "verl_coder.sandbox_*",
    "verl_coder.wandb*",
    "verl_coder.watchdog*",
    "verl_coder.memory*",
    "verl_coder.teacher.traces",
)
"""Keys that say where something is (its content counts as an input) or how a machine is used."""


def recipe_settings(request: TrainRequest, cache: Path) -> dict[str, Any]:
    """Dotted key -> value of the composed recipe; ConfigError where it does not compose. Kept in `cache`."""
    key = _key(request)
    try:
        kept = json.loads(cache.read_text())
        if kept["key"] == key:
            return dict(kept["settings"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    settings = _compose(request)
    write_atomically(cache, json.dumps({"key": key, "settings": settings}, indent=1) + "\n")
    return settings


def results_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Those keys that decide what a run comes to."""
    return {
        key: value
        for key, value in settings.items()
        if value is not None and not any(fnmatchcase(key, pattern) for pattern in NOT_A_RESULT)
    }


def _key(request: TrainRequest) -> str:
    digest = hashlib.sha256(json.dumps(asdict(request)).encode())
    digest.update(f"{os.environ.get('N_GPUS')} {version('verl')}".encode())
    # The settings hold absolute paths: relative ones are looked for in the working folder, then in the repository.
    found = [resolve_content_path(path) for path in (request.reward, request.loss, request.tools) if path]
    digest.update(json.dumps([str(path) for path in (repository_root(), Path.cwd(), *found)]).encode())
    files = [find_recipe(request.recipe) / "recipe.yaml", *(PACKAGE / name for name in _CODE)]
    fragments = sorted((repository_root() / "config").rglob("*.yaml"))
    for path in [*files, *(path for path in fragments if path.parent.name != "pipeline")]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _compose(request: TrainRequest) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "verl_coder.pipeline.recipe_settings"],
        input=json.dumps(asdict(request)),
        capture_output=True,
        text=True,
        check=False,
    )
    lines = (done.stdout.strip() or done.stderr.strip() or "no output").splitlines()
    if done.returncode:
        raise ConfigError(f"train: {lines[-1].removeprefix('error: ')}")
    return dict(json.loads(lines[-1]))


def _main() -> None:
    from omegaconf import OmegaConf

    values = json.loads(sys.stdin.read())
    request = TrainRequest(**{**values, "overrides": tuple(values["overrides"])})
    try:
        config = make_plan(request).config
    except ConfigError as error:
        print(f"error: {error}")
        sys.exit(1)
    plain = json.loads(json.dumps(OmegaConf.to_container(config, resolve=True), default=str))
    print(json.dumps(flat(plain)))


if __name__ == "__main__":
    _main()
