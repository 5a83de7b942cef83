"""The guest programs: held by the sandbox, or files of a request (bytecode for its Python, else source)."""

import base64
import hashlib
import importlib.util
import json
import marshal
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Literal

import verl_coder

Main = Literal["judge_main", "candidate_main", "single_main"]
Form = Literal["held", "bytecode", "source"]
"""How a request has its program: named, since the sandbox holds it; or as a file."""

NEXT_FORM: dict[int, Form] = {87: "bytecode", 86: "source"}
"""Exit status of a program that is not held, or whose bytecode is for another Python -> how it is sent then."""

_PACKAGE = "verl_coder.grading.programs"
_PROCESS = "verl_coder.sandbox.guest.program"
"""How a program's process looks; in a sandbox of another kind it is not there already."""
_COMMON = ("frames", "wire", "heap", "library_values", "encode", "decode", "raised", "entry")
_CANDIDATE = ("objects", "observe", "borrowed", "loading", _PROCESS, "kept_state", "program", "candidate")
_RUNNERS = ("run_calls", "run_module", "run_programs")
_CHANNEL = (
    "guards",
    "own_data",
    "faces",
    "proxies",
    "kinds",
    "looks",
    "execution",
    "lent",
    "copies",
    "remote",
)
_JUDGE = (
    "observe",
    "spec",
    "ahead",
    "compare",
    "earlier",
    "asked",
    "reading",
    "identities",
    "alarms",
    "failures",
    "audit",
    "libraries",
    *_CHANNEL,
    "record",
    *_RUNNERS,
    "judge",
)
_BESIDE_GRADING = (
    "sandbox/guest/program.py",
    "syntax.py",
    "problems.py",
    "data/shown_tests.py",
    "data/trivial.py",
    "data/verification.py",
)
"""What a verdict depends on outside of this folder."""
_MODULES: dict[Main, tuple[str, ...]] = {
    "judge_main": _COMMON + _JUDGE,
    "candidate_main": _COMMON + _CANDIDATE,
    "single_main": _COMMON + _CANDIDATE + _JUDGE,
}

_FROM_FILE = """\
import json, marshal, os, sys, types, _frozen_importlib_external
with open("program.bin", "rb") as _file:
    _data = _file.read()
try:
    os.unlink("program.bin")
except OSError:
    pass
if _data[:1] == b"{{":
    _modules = [(name, compile(source, name, "exec")) for name, source in json.loads(_data).items()]
elif _data[:4] == _frozen_importlib_external.MAGIC_NUMBER:
    _modules = marshal.loads(_data[4:])
else:
    os._exit(86)
for _name, _code in _modules:
    _module = sys.modules[_name] = types.ModuleType(_name)
    exec(_code, _module.__dict__)
sys.modules["{package}.entry"].{main}()
"""
_HELD = """\
import os, sys
_held = sys.modules.get("verl_coder.sandbox.guest.held")
if _held is None or not _held.take("{digest}"):
    os._exit(87)
sys.modules["{package}.entry"].{main}()
"""


_HEAVY_MODULES = ("numpy", "pytest")


@cache
def program_code(main: Main, form: Form, heavy: tuple[str, ...] = ()) -> str:
    """Source of the program that starts at `main` of programs/entry.py.

    `heavy` modules are mentioned: the embedded server has processes that have imported these already.
    """
    template = _HELD if form == "held" else _FROM_FILE
    code = template.format(package=_PACKAGE, main=main, digest=_digest(main))
    return f"{code}# uses {', '.join(heavy)}\n" if heavy else code


def heavy_modules(text: str) -> tuple[str, ...]:
    """The heavy modules that `text` names."""
    return tuple(name for name in _HEAVY_MODULES if name in text)


@cache
def program_files(main: Main, form: Form) -> dict[str, str]:
    """The files of a request with this program, base64."""
    if form == "held":
        return {}
    if form == "source":
        data = json.dumps({_full(name): _source(name) for name in _MODULES[main]}).encode()
    else:
        data = importlib.util.MAGIC_NUMBER + marshal.dumps(_compiled(main))
    return {"program.bin": encode_file(data)}


def programs_to_hold() -> dict[str, bytes]:
    """What a sandbox may hold (see sandbox/guest/held.py): the program of its `judges`, and that of its candidates."""
    mains: dict[str, Main] = {"judge": "judge_main", "candidate": "candidate_main"}
    return {role: marshal.dumps((_digest(main), _compiled(main))) for role, main in mains.items()}


def _compiled(main: Main) -> list[tuple[str, CodeType]]:
    return [(_full(name), compile(_source(name), f"<{name}>", "exec", optimize=2)) for name in _MODULES[main]]


@cache
def _digest(main: Main) -> str:
    """Of the source: what is compiled from it is not the same bytes each time."""
    text = "\0".join(f"{_full(name)}\0{_source(name)}" for name in _MODULES[main])
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def grader_digest(package: Path | None = None) -> str:
    """Of the source of all that grades and verifies, so that a verdict of another grader is known.

    `package`: the folder of another copy of verl_coder.
    """
    root = package or Path(verl_coder.__file__).parent
    files = [*sorted((root / "grading").rglob("*.py")), *(root / name for name in _BESIDE_GRADING)]
    text = "\0".join(f"{file.relative_to(root).as_posix()}\0{file.read_text()}" for file in files)
    return hashlib.sha256(text.encode()).hexdigest()


def encode_file(data: bytes) -> str:
    """Content of a request's `files`."""
    return base64.b64encode(data).decode()


def _full(name: str) -> str:
    return name if "." in name else f"{_PACKAGE}.{name}"


def _source(name: str) -> str:
    return (Path(verl_coder.__file__).parents[1] / f"{_full(name).replace('.', '/')}.py").read_text()
