"""`verl-coder sandbox ...`."""

import os
import pkgutil
from typing import Annotated

import typer

from verl_coder.command_app import command_app

_Port = Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 chooses a free one and prints it.")]
_Workers = Annotated[int, typer.Option(min=0, help="Programs at a time; 0: twice the cores, at least 8.")]
_Memory = Annotated[
    int, typer.Option(min=1, max=1 << 22, help="Memory of a program where the request names none.")
]
_Grace = Annotated[
    float, typer.Option(min=0.0, help="Seconds that sessions stay after their client is gone.")
]
_Hold = Annotated[
    str, typer.Option(help="MODULE:FUNCTION that gives the programs of pairs to hold ready; empty: none.")
]

app = command_app(no_args_is_help=True, help="The embedded sandbox server.")


@app.callback()
def main() -> None:
    """The embedded sandbox server."""


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: _Port = 8080,
    workers: _Workers = 0,
    isolation: Annotated[str, typer.Option(help="auto, namespaces, light or none.")] = "auto",
    unsafe: Annotated[bool, typer.Option("--unsafe", help="Allow running without protection.")] = False,
    max_queue: Annotated[int, typer.Option(min=0, help="Waiting requests before 429.")] = 2048,
    memory_mb: _Memory = 2048,
    processes: Annotated[int, typer.Option(min=1, help="Processes and threads of a program.")] = 64,
    tmpfs_mb: Annotated[int, typer.Option(min=1, help="Size of a program's /tmp.")] = 256,
    output_mb: Annotated[float, typer.Option(min=0.001, help="Kept of stdout and of stderr, each.")] = 2.0,
    max_sessions: Annotated[int, typer.Option(min=0, help="Sessions at a time.")] = 64,
    owner_grace_s: _Grace = 15.0,
    hold: _Hold = "verl_coder.grading.bundle:programs_to_hold",
    parent_fd: Annotated[int, typer.Option(hidden=True)] = -1,
) -> None:
    """Serve SandboxFusion's API until stopped."""
    from verl_coder.errors import ConfigError
    from verl_coder.sandbox.pool import PoolSettings
    from verl_coder.sandbox.server import ServerSettings, run

    if isolation not in ("auto", "namespaces", "light", "none"):
        raise ConfigError(f"--isolation {isolation}: must be auto, namespaces, light or none")
    cores = len(os.sched_getaffinity(0))
    pool = PoolSettings(
        # A pair takes two slots at once, so fewer than two would never serve one.
        workers=max(workers, 2) if workers > 0 else max(2 * cores, 8),
        isolation=isolation,
        unsafe=unsafe,
        max_queue=max_queue,
        memory_mb=memory_mb,
        processes=processes,
        tmpfs_mb=tmpfs_mb,
        tmpfs_inodes=20_000,
        held=_programs(hold),
    )
    run(
        ServerSettings(
            host=host,
            port=port,
            pool=pool,
            output_cap=int(output_mb * (1 << 20)),
            judge_cap=16 << 20,
            fetch_cap=32 << 20,
            max_sessions=max_sessions,
            owner_grace_s=owner_grace_s,
            parent_fd=parent_fd,
        )
    )


def _programs(place: str) -> dict[str, bytes]:
    from verl_coder.errors import ConfigError

    if not place:
        return {}
    try:
        programs: dict[str, bytes] = pkgutil.resolve_name(place)()
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ConfigError(f"--hold {place}: {error}: give MODULE:FUNCTION, or nothing") from error
    return programs
