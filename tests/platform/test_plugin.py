"""The CPU platform really loads: verl hides a plugin's failure. One process of each kind is asked all of it."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

_VLLM = (
    "from importlib.metadata import entry_points\n"
    "from vllm.distributed.device_communicators.shm_broadcast import SpinCondition as s\n"
    "before = s.wait\n"
    "[e.load()() for e in entry_points(group='vllm.general_plugins') if e.name == 'verl_coder_cpu']\n"
    "facts['vllm waits as before'] = s.wait is before\n"
)
_PLATFORM = (
    "from verl_coder.platform.plugin import require_loaded; require_loaded()\n"
    "from verl.plugin.platform import get_platform as p; import importlib.metadata as m\n"
    "facts['platform'] = [p().device_name, p().communication_backend_name(), 'cpu' in m.version('vllm')]\n"
)
_VERL = (
    "import importlib.metadata as m; version = m.version\n"
    "import verl, zmq; from verl.plugin.platform import PlatformRegistry as r\n"
    "facts['cpu is registered'] = 'cpu' in r.registered_names()\n"
    "facts['versions are as before'] = m.version is version\n"
    "facts['sockets are named'] = hasattr(zmq.Socket.bind, 'verl_coder_original')\n"
)


def _facts(code: str, **environment: str) -> dict[str, Any]:
    """What a new process says after `code`."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("VERL_")}
    result = subprocess.run(
        [sys.executable, "-c", f"facts = {{}}\n{code}import json; print(json.dumps(facts))"],
        env=clean | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(result.stdout.strip().splitlines()[-1])


@pytest.fixture(scope="module")
def on_the_cpu() -> dict[str, Any]:
    """Facts of a process with VERL_PLATFORM=cpu; vLLM before verl, whose patches reach it too."""
    return _facts(_VLLM + _PLATFORM, VERL_PLATFORM="cpu")


@pytest.fixture(scope="module")
def elsewhere() -> dict[str, Any]:
    """Facts of a process without VERL_PLATFORM; verl first, so that it alone decides its facts."""
    return _facts(_VERL + _VLLM)


def test_with_verl_platform_cpu_verl_runs_on_the_cpu(on_the_cpu: dict[str, Any]) -> None:
    assert on_the_cpu["platform"] == ["cpu", "gloo", True]


def test_without_it_the_plugin_does_nothing(elsewhere: dict[str, Any]) -> None:
    assert elsewhere["cpu is registered"] is False and elsewhere["versions are as before"] is True


def test_vllm_loads_our_plugin_and_only_the_cpu_platform_changes_how_it_waits(
    on_the_cpu: dict[str, Any], elsewhere: dict[str, Any]
) -> None:
    assert elsewhere["vllm waits as before"] is True
    assert on_the_cpu["vllm waits as before"] is False


def test_every_process_that_imports_verl_names_the_sockets_of_its_run(elsewhere: dict[str, Any]) -> None:
    assert elsewhere["sockets are named"] is True
