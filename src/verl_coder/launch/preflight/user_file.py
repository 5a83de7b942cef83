"""A Python file that a run is given for one function: read, loaded, and where in it an error came from."""

import ast
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from verl_coder.errors import ConfigError
from verl_coder.words import did_you_mean


def check_source(
    path: Path, name: str, arguments: Sequence[str], parameters: Mapping[str, Any], place: str
) -> int:
    """What can be read without running the file; the line of the function `name`.

    It is called with `arguments`, and with `parameters`, which the run sets at `place`. ConfigError of one line with
    the file and the line.
    """
    try:
        tree = ast.parse(path.read_text(), filename=str(path))
    except OSError as error:
        raise ConfigError(f"{path}: no such file ({error.strerror})") from error
    except SyntaxError as error:
        raise ConfigError(f"{path}:{error.lineno}: {error.msg}") from error
    except ValueError as error:
        raise ConfigError(f"{path}:1: not Python source ({error})") from error
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == name:
            _check_arguments(f"{path}:{node.lineno}", node, arguments, parameters, place)
            return node.lineno
    last = len(path.read_text().splitlines()) or 1
    raise ConfigError(f"{path}:{last}: the file defines no function {name!r}")


def _check_arguments(
    where: str,
    node: ast.FunctionDef | ast.AsyncFunctionDef,
    arguments: Sequence[str],
    parameters: Mapping[str, Any],
    place: str,
) -> None:
    given = {arg.arg for arg in [*node.args.args, *node.args.kwonlyargs]}
    missing = [argument for argument in arguments if argument not in given]
    if missing and node.args.kwarg is None:
        raise ConfigError(
            f"{where}: {node.name} lacks the argument {missing[0]!r}; "
            f"its signature is {node.name}({', '.join(arguments)}, **kwargs)"
        )
    own = sorted(given - {*arguments})
    for key in parameters:
        if key not in own:
            hint = did_you_mean(key, own, f"it has {', '.join(own)}" if own else "it has none of its own")
            raise ConfigError(f"{place}.{key}: {where}: {node.name} has no such parameter; {hint}")


def load_file(path: Path, name: str) -> ModuleType:
    """The file as a module that has `name`; ConfigError with the line where it raises or ends the process."""
    try:
        spec = importlib.util.spec_from_file_location(f"_checked_{path.stem}", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        getattr(module, name)
    except SystemExit as error:
        raise ConfigError(
            f"{path}:{error_line(error, path)}: it ends the process when it is imported (sys.exit, os._exit)"
        ) from error
    except Exception as error:
        raise ConfigError(f"{path}:{error_line(error, path)}: {type(error).__name__}: {error}") from error
    return module


def error_line(error: BaseException, path: Path, otherwise: int = 1) -> int:
    """The last line of `path` in the traceback; `otherwise` where it is not there."""
    line, trace = otherwise, error.__traceback__
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename) == path:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
