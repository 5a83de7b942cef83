"""A class that stands for another in Ray is made into it where the actor lives, and costs nothing elsewhere."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
import ray
from ray._private.async_compat import has_async_methods

from verl_coder.platform.far_actor import far_class

_REAL = """
class Server:
    def __init__(self, port, *, name):
        self.port, self.name = port, name

    def address(self):
        return f"{self.name}:{self.port}"

    async def ask(self, what):
        return f"{self._own()} heard {what}"

    def _own(self):
        return self.address()
"""


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type:
    """The stand-in of a class whose module nobody has imported."""
    (tmp_path / "module_of_the_server.py").write_text(_REAL)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "module_of_the_server", raising=False)
    return far_class("module_of_the_server", "Server", {"address": False, "ask": True})


def test_neither_who_makes_the_class_nor_who_is_sent_it_imports_its_module(far: type, tmp_path: Path) -> None:
    (tmp_path / "class.pkl").write_bytes(ray.cloudpickle.dumps(far))
    assert "module_of_the_server" not in sys.modules
    receive = "import pickle, sys; c = pickle.load(open(sys.argv[1], 'rb')); print(c.__module__, c.__name__)"
    heard = subprocess.check_output([sys.executable, "-c", receive, str(tmp_path / "class.pkl")], text=True)
    assert heard.split() == ["module_of_the_server", "Server"], "which is not on that process's path"


def test_its_instance_becomes_one_of_the_real_class(far: type) -> None:
    server = far(80, name="one")
    assert type(server) is sys.modules["module_of_the_server"].Server
    assert (server.port, server.name) == (80, "one")


def test_what_ray_calls_with_the_instance_is_the_real_method(far: type) -> None:
    server = far(80, name="one")
    assert far.address(server) == "one:80"  # type: ignore[attr-defined]
    assert asyncio.run(far.ask(server, what="this")) == "one:80 heard this"  # type: ignore[attr-defined]


def test_a_call_of_rays_own_gets_the_real_instance(far: type) -> None:
    of_ray = ray.remote(far).__ray_metadata__.modified_class
    server = of_ray(80, name="one")
    assert of_ray.__ray_call__(server, lambda self: (type(self).__name__, self.port)) == ("Server", 80)
    assert (
        of_ray.address(server) == "one:80" and has_async_methods(of_ray) and has_async_methods(type(server))
    )


def test_ray_sees_which_methods_wait(far: type) -> None:
    assert asyncio.iscoroutinefunction(far.ask) and not asyncio.iscoroutinefunction(far.address)  # type: ignore[attr-defined]
