"""Entry point of the group `verl.plugins`: the run's own sockets, SIGTERM stays blocked; the CPU platform, if selected,
and with it processes that leave vLLM alone (lean_imports.py).

verl loads every plugin of the group in every process that imports verl, and hides failures at DEBUG level;
so a failure is kept in `LOAD_ERROR`, and `require_loaded` turns it into an error that a user sees.
With any other value of VERL_PLATFORM, or none, importing it does only the first two (weight_sockets.py, sigterm.py).
"""

from verl_coder.errors import ConfigError
from verl_coder.platform import sigterm, weight_sockets
from verl_coder.platform.environment import cpu_platform_selected

LOAD_ERROR: Exception | None = None

weight_sockets.apply()
sigterm.keep_blocked()
if cpu_platform_selected():
    try:
        from verl_coder.platform import cpu, lean_imports, patches

        cpu.register()
        patches.apply()
        lean_imports.apply()
    except Exception as error:
        LOAD_ERROR = error


def require_loaded() -> None:
    """Raise ConfigError where the CPU platform was asked for and verl does not run on it."""
    if not cpu_platform_selected():
        return
    import verl  # noqa: F401  (loads the plugins)
    from verl.plugin.platform import get_platform

    if LOAD_ERROR is not None:
        raise ConfigError(f"the CPU platform plugin failed to load: {LOAD_ERROR!r}") from LOAD_ERROR
    if get_platform().device_name != "cpu":
        raise ConfigError(
            f"VERL_PLATFORM=cpu, yet verl chose {get_platform().device_name!r}: reinstall the package "
            "(pip install --no-deps -e .) so that its `verl.plugins` entry point is registered"
        )
