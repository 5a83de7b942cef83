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
