"""Python that a user names: classes by their dotted path, and code that may not end the command that tries it."""

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn
from unittest.mock import patch

from verl_coder.errors import ConfigError


@contextmanager
def exits_refused() -> Iterator[None]:
    """In the block os._exit raises SystemExit, as sys.exit does: it would end the command without a word."""
    with patch.object(os, "_exit", _refused_exit):
        yield


def _refused_exit(status: int) -> NoReturn:
    raise SystemExit(f"os._exit({status})")


def load_class(dotted: str) -> Any:
    """The class `package.module.Name`; ConfigError, with the reason, where there is none or its module fails."""
    module, _, name = dotted.rpartition(".")
    try:
        with exits_refused():
            return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"no class {dotted} ({error})") from error
    except SystemExit as error:
        raise ConfigError(f"no class {dotted}: its module ends the process when it is imported") from error
    except Exception as error:  # whatever a module does when it is imported
        raise ConfigError(f"no class {dotted}: its module raises {type(error).__name__} ({error})") from error
