"""The guest programs as files of a request: bytecode for the sandbox's Python, or source where versions differ."""

import base64
import importlib.util
import json
import marshal
from functools import lru_cache
from pathlib import Path
from typing import Literal

import verl_coder

Main = Literal["judge_main", "candidate_main", "single_main"]

WRONG_VERSION_STATUS = 86
"""Exit status of a program whose bytecode is for another Python; the request is then sent with source."""

_PACKAGE = "verl_coder.grading.programs"
_PROCESS = "verl_coder.sandbox.guest.program"
"""How a program's process looks; in a sandbox of another kind it is not there already."""
_COMMON = ("frames", "wire", "heap", "encode", "decode", "entry")
_CANDIDATE = ("objects", "observe", _PROCESS, "program", "candidate")
_RUNNERS = ("run_calls", "run_module", "run_programs")
_CHANNEL = ("guards", "own_data", "proxies", "kinds", "execution", "remote")
_JUDGE = (
    "observe",
    "spec",
    "compare",
    "identities",
    "failures",
    "libraries",
    *_CHANNEL,
    "record",
    *_RUNNERS,
    "judge",
)
_MODULES: dict[Main, tuple[str, ...]] = {
    "judge_main": _COMMON + _JUDGE,
    "candidate_main": _COMMON + _CANDIDATE,
    "single_main": _COMMON + _CANDIDATE + _JUDGE,
}

_BOOTSTRAP = """\
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
    os._exit({wrong_version})
for _name, _code in _modules:
    _module = sys.modules[_name] = types.ModuleType(_name)
    exec(_code, _module.__dict__)
sys.modules["{package}.entry"].{main}()
"""


_HEAVY_MODULES = ("numpy", "pytest")


def program_code(main: Main, text: str = "") -> str:
    """Source of the program that starts at `main` of programs/entry.py, given the file program.bin.

    A heavy module that `text` names is mentioned: the embedded server has processes that hold these already.
    """
    code = _BOOTSTRAP.format(wrong_version=WRONG_VERSION_STATUS, package=_PACKAGE, main=main)
    heavy = [name for name in _HEAVY_MODULES if name in text]
    return f"{code}# uses {', '.join(heavy)}\n" if heavy else code


@lru_cache
def program_file(main: Main, *, as_source: bool = False) -> str:
    """Base64 content of program.bin."""
    if as_source:
        return encode_file(json.dumps({_full(name): _source(name) for name in _MODULES[main]}).encode())
    modules = [
        (_full(name), compile(_source(name), f"<{name}>", "exec", optimize=2)) for name in _MODULES[main]
    ]
    return encode_file(importlib.util.MAGIC_NUMBER + marshal.dumps(modules))


def encode_file(data: bytes) -> str:
    """Content of a request's `files`."""
    return base64.b64encode(data).decode()


def _full(name: str) -> str:
    return name if "." in name else f"{_PACKAGE}.{name}"


def _source(name: str) -> str:
    return (Path(verl_coder.__file__).parents[1] / f"{_full(name).replace('.', '/')}.py").read_text()
