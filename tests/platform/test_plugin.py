"""The CPU platform really loads: verl hides a plugin's failure."""

import os
import subprocess
import sys


def _python(code: str, **environment: str) -> str:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("VERL_")}
    result = subprocess.run(
        [sys.executable, "-c", code], env=clean | environment, capture_output=True, text=True, check=True
    )
    return result.stdout.strip().splitlines()[-1]


def test_with_verl_platform_cpu_verl_runs_on_the_cpu() -> None:
    code = (
        "from verl_coder.platform.plugin import require_loaded; require_loaded()\n"
        "from verl.plugin.platform import get_platform as p; import importlib.metadata as m\n"
        "print(p().device_name, p().communication_backend_name(), 'cpu' in m.version('vllm'))"
    )
    assert _python(code, VERL_PLATFORM="cpu") == "cpu gloo True"


def test_without_it_the_plugin_does_nothing() -> None:
    code = (
        "import importlib.metadata as m; version = m.version\n"
        "import verl; from verl.plugin.platform import PlatformRegistry as r\n"
        "print('cpu' in r.registered_names(), m.version is version)"
    )
    assert _python(code) == "False True"


def test_vllm_loads_our_plugin_and_only_the_cpu_platform_changes_how_it_waits() -> None:
    code = (
        "from importlib.metadata import entry_points\n"
        "from vllm.distributed.device_communicators.shm_broadcast import SpinCondition as s\n"
        "before = s.wait\n"
        "[e.load()() for e in entry_points(group='vllm.general_plugins') if e.name == 'verl_coder_cpu']\n"
        "print(s.wait is before)"
    )
    assert _python(code) == "True"
    assert _python(code, VERL_PLATFORM="cpu") == "False"


def test_every_process_that_imports_verl_names_the_sockets_of_its_run() -> None:
    code = "import verl, zmq; print(hasattr(zmq.Socket.bind, 'verl_coder_original'))"
    assert _python(code) == "True"
