"""How this package was installed, and what to type where a package or a script of the checkout is not there."""

import shlex

from verl_coder.errors import ConfigError
from verl_coder.paths import repository_root
from verl_coder.platform.environment import choose_profile

_OF_VERL = (
    "verl",
    "hydra",
    "ray",
    "tensordict",
    "transfer_queue",
    "peft",
    "datasets",
    "tensorboard",
    "wandb",
)
HEAVY = frozenset((*_OF_VERL, "torch", "vllm", "transformers", "tokenizers", "safetensors"))
"""Modules of the packages that `cpu` and `gpu` of pyproject.toml add to the base installation."""


def script(name: str, otherwise: str) -> str:
    """`bash run_scripts/NAME` in a checkout; `otherwise` where the package came as a wheel, which has no scripts."""
    return f"bash run_scripts/{name}" if _has_script(name) else otherwise


def how_to_install(profile: str = "") -> str:
    """What installs the packages of a run, in the pinned versions; for the GPU where one is, unless named."""
    profile = profile if profile in ("cpu", "gpu") else choose_profile()
    if _has_script("run_tests.sh"):
        return "bash run_scripts/run_tests.sh installs the pinned versions (PROFILE=cpu or gpu) into .venv"
    try:
        pins = repository_root() / "requirements" / f"{profile}.txt"
    except ConfigError as error:
        return str(error)
    where = (
        "; torch's build for a CPU comes from the index that PyTorch's page names" if profile == "cpu" else ""
    )
    return f"`pip install --no-deps -r {shlex.quote(str(pins))}` installs the pinned versions{where}"


def missing_package(error: BaseException) -> str:
    """One line for an import that failed because only the base is installed; empty for any other error."""
    name = (getattr(error, "name", None) or "").partition(".")[0]
    if not isinstance(error, ModuleNotFoundError) or name not in HEAVY:
        return ""
    return f"{name} is not installed: {how_to_install()}"


def _has_script(name: str) -> bool:
    try:
        return (repository_root() / "run_scripts" / name.split()[0]).is_file()
    except ConfigError:
        return False
