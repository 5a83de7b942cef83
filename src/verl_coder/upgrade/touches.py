"""Every touch of a foreign package, read from our source and YAML files. No list is kept by hand."""

from collections.abc import Iterator
from pathlib import Path

from verl_coder.upgrade.class_touches import class_touches
from verl_coder.upgrade.config_touches import config_touches
from verl_coder.upgrade.foreign import Foreign
from verl_coder.upgrade.module_touches import module_touches
from verl_coder.upgrade.own_source import own_classes, source_files
from verl_coder.upgrade.packages import INNER_ONLY, package_of
from verl_coder.upgrade.text_touches import text_touches
from verl_coder.upgrade.touch import Touch

_INNER_KINDS = ("subclass", "override", "patch")


def find_touches(root: Path, foreign: Foreign) -> list[Touch]:
    """All touches of the repository `root`, by name, kind and place; `foreign` says how far a name leads."""
    files = list(source_files(root))
    classes = {cls.name: cls for source in files for cls in own_classes(source)}
    found: set[Touch] = set()
    for source in files:
        found.update(module_touches(source, foreign))
    found.update(class_touches(classes, foreign))
    found.update(config_touches(root, files))
    found.update(text_touches(root, files))
    return sorted(_kept(found))


def _kept(touches: set[Touch]) -> Iterator[Touch]:
    for touch in touches:
        package = package_of(touch.name)
        if package in INNER_ONLY and not (touch.kind in _INNER_KINDS or touch.is_private):
            continue
        if package is not None:
            yield touch
