"""One call of the interpreter: a program in the sandbox, and the text that the model reads of it. Knows no verl."""

import ast
import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import yaml
from pydantic import Field

from verl_coder.errors import ConfigError
from verl_coder.files import read_text
from verl_coder.paths import check_tools_file
from verl_coder.sandbox import CommandResult, RunRequest, SandboxClient
from verl_coder.sandbox.guest.shown import TRACEBACK_FRAMES, VALUE_CHARS, WINDOW_LINES
from verl_coder.sandbox.validate import MAX_MEMORY_MB, MAX_TIMEOUT_S
from verl_coder.sections import NUMERIC, Count, PositiveCount, Section, read_section
from verl_coder.syntax import parse_python
from verl_coder.tools.given_code import given_program
from verl_coder.tools.output import format_output

_MAIN_LINE = re.compile(r"""(/main\.py(?:", line |:))(\d{1,9})\b""")
"""Where a traceback or a warning names a line of the program."""
TimeLimit = Annotated[float, Field(gt=0, le=MAX_TIMEOUT_S), NUMERIC]
ShownChars = Annotated[int, Field(ge=1, le=VALUE_CHARS)]
MemoryLimit = Annotated[int, Field(ge=1, le=MAX_MEMORY_MB)]


class InterpreterSettings(Section):
    """`config` of the tool's YAML."""

    type: Literal["native"] = "native"
    """verl's kind of tool."""
    sandbox_url: str | None = None
    """null takes the sandbox that the run started (or SANDBOX_URL)."""
    timeout_s: TimeLimit = 10.0
    """Seconds for one call."""
    memory_mb: MemoryLimit = 1024
    """Of one program."""
    traceback_lines: PositiveCount = 10
    """Of a program that fails, the last lines of its stderr that the model reads."""
    max_output_chars: PositiveCount = 4096
    """Longer output keeps its head and its tail."""
    num_workers: Count = 0
    """Calls of this tool at a time, over all processes of a machine; 0: as many as the sandbox takes."""
    calls_per_s: float = Field(default=0.0, ge=0.0)
    """The same for calls a second; 0: no limit."""


class SessionSettings(InterpreterSettings):
    """`config` of a live session's YAML: that of the interpreter, as far as a session says so much."""

    traceback_lines: Annotated[int, Field(ge=1, le=TRACEBACK_FRAMES)] = 10
    """Of code that fails, the last lines of its traceback and of its stderr that the model reads."""
    max_output_chars: ShownChars = 4096
    """Longer output keeps its head and its tail."""


class DebuggerSettings(InterpreterSettings):
    """`config` of a debugger's YAML: that of the interpreter, and how the debugger is offered and shows."""

    available_after: Count = 0
    """Calls are refused until so many runs of this trajectory have failed."""
    with_visible_tests: bool = True
    """The tests that the prompt shows stand after the program: `run` stops where the first of them fails."""
    window: Annotated[int, Field(ge=1, le=WINDOW_LINES)] = 3
    """Lines of source shown above and below the place where the program stands."""
    max_output_chars: ShownChars = 4096
    """Longer output keeps its head and its tail."""
    type: Literal["native"] = "native"


class ProgramRun(NamedTuple):
    """What a program did, and how the model is told."""

    result: CommandResult
    text: str
    settings: InterpreterSettings = InterpreterSettings()
    """Those of the tool that ran it."""

    @property
    def succeeded(self) -> bool:
        """The program ended by itself with exit code 0."""
        return self.result.status == "Finished" and self.result.return_code == 0


async def run_program(
    code: str, *, prelude: str, settings: InterpreterSettings, sandbox: SandboxClient
) -> ProgramRun:
    """Run the program that a call gives as `code`, without what models put around it (given_code.py).

    After the row's `tools_kwargs.prelude`; SandboxUnavailableError when there is no answer.
    """
    code = given_program(code)
    if prelude:
        # One line, so that the line numbers of the model's own code shift by one only.
        code = after_prelude(f"exec(compile({prelude!r}, '<given>', 'exec'))", code)
    request = RunRequest(code=code, run_timeout=settings.timeout_s, memory_limit_MB=settings.memory_mb)
    result = (await sandbox.run_code(request)).run_result
    assert result is not None
    if prelude:
        result = replace(result, stderr=_own_lines(result.stderr or ""))
    text = format_output(
        result,
        timeout_s=settings.timeout_s,
        traceback_lines=settings.traceback_lines,
        max_chars=settings.max_output_chars,
    )
    return ProgramRun(result, text, settings)


def _own_lines(stderr: str) -> str:
    """Tracebacks and warnings with the lines of the model's own code, which stands one line lower in the program."""
    return _MAIN_LINE.sub(lambda found: f"{found[1]}{int(found[2]) - 1}", stderr)


def after_prelude(prelude: str, code: str) -> str:
    """`prelude`, a newline, `code`; the code's `from __future__` imports go before all, which Python asks for.

    Every line of the code stands where it would without them. A prelude in front of which nothing can stand in its
    line (`def ...`) becomes one that executes its text.
    """
    if "__future__" not in code:
        return f"{prelude}\n{code}"
    try:
        body = parse_python(code).body
        futures = [node for node in body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
        names = dict.fromkeys(alias.name for node in futures for alias in node.names if alias.name != "*")
        first = _after_futures(", ".join(names), prelude) if names else prelude
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return f"{prelude}\n{code}"
    lines = [line.encode() for line in code.split("\n")]
    for node in futures:  # `0` in their place keeps every line where it is
        last = (node.end_lineno or node.lineno) - 1
        rest = lines[last][node.end_col_offset :]
        lines[node.lineno - 1 : last + 1] = [lines[node.lineno - 1][: node.col_offset] + b"0" + rest] + [
            b""
        ] * (last + 1 - node.lineno)
    return "\n".join([first, *(line.decode() for line in lines)])


def _after_futures(names: str, prelude: str) -> str:
    """In as many lines as the prelude has; SyntaxError where it has a mistake."""
    parse_python(prelude)
    futures = f"from __future__ import {names}; "
    try:
        parse_python(futures + prelude)
        return futures + prelude
    except SyntaxError:
        run = f"exec(compile({prelude!r}, '<given>', 'exec', dont_inherit=True))"
        return futures + run + "\n" * prelude.count("\n")


def read_tools_text(path: Path) -> str:
    """The text of a YAML of tools; ConfigError where it cannot be read or is none."""
    check_tools_file(path, f"--tools {path}")
    return read_text(path, "see tool_config/", place=f"--tools {path}")


def read_interpreter(path: Path) -> tuple[str, InterpreterSettings]:
    """(name that the model calls it by, settings) of the interpreter in a YAML of tools; ConfigError without one."""
    return read_tool(path, "PythonInterpreter", "python_interpreter.yaml")


def read_tool(path: Path, class_name: str, shipped: str) -> tuple[str, InterpreterSettings]:
    """The same of the tool of that class, which the `shipped` YAML of tool_config/ has."""
    found = find_tool(path, class_name)
    if found is None:
        raise ConfigError(f"{path} has no {class_name}; take tool_config/{shipped}")
    return found.name, settings_of(found.entry, path)


class ListedTool(NamedTuple):
    """A tool as a YAML of tools has it."""

    name: str
    """By which the model calls it."""
    entry: dict[str, Any]
    """`class_name`, `config`, `tool_schema`."""


def listed_tools(path: Path) -> list[ListedTool]:
    """The tools of a YAML of tools; ConfigError where it is no such YAML."""
    try:
        entries = yaml.safe_load(read_tools_text(path))["tools"]
        tools = [ListedTool(str(entry["tool_schema"]["function"]["name"]), entry) for entry in entries]
        for tool in tools:
            dict(tool.entry["config"])
            _ = tool.entry["class_name"]
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{path} is no YAML of tools ({error!r}); see tool_config/") from error
    return tools


def find_tool(path: Path, class_name: str) -> ListedTool | None:
    """The first tool of that class in a YAML of tools; ConfigError where it is no such YAML."""
    return next((tool for tool in listed_tools(path) if is_of_class(tool.entry, class_name)), None)


def is_of_class(entry: dict[str, Any], class_name: str) -> bool:
    """Whether a tool's class has that name, in whichever module."""
    return str(entry["class_name"]).rpartition(".")[2] == class_name


def settings_of(entry: dict[str, Any], path: Path) -> InterpreterSettings:
    """The `config` of a tool of ours; ConfigError names the YAML, the key and the value."""
    kinds: dict[str, type[InterpreterSettings]] = {
        "PythonDebugger": DebuggerSettings,
        "PythonSession": SessionSettings,
    }
    found = next((kind for name, kind in kinds.items() if is_of_class(entry, name)), InterpreterSettings)
    return read_section(found, entry["config"], f"{path}: config")
