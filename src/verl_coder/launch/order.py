"""How the launcher tells the worker process, which has started already, what to run: a line on its standard input."""

import dataclasses
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from typing import IO


@dataclass(frozen=True)
class Order:
    """What the worker is to run."""

    config: str
    """Path of the run's resolved configuration."""
    log: str
    """Path of the log, for all that the worker writes from now on."""
    environment: dict[str, str]
    """The worker's variables from now on, all of them."""


def give_order(pipe: IO[bytes], order: Order) -> None:
    """Write it, and close the pipe; BrokenPipeError where the worker has ended."""
    with pipe:
        pipe.write(json.dumps(dataclasses.asdict(order)).encode() + b"\n")


def take_order() -> Order | None:
    """Wait for it; its environment and its log are this process's own then. None where the launcher has given up."""
    line = sys.stdin.readline()
    if not line.endswith("\n"):
        return None
    order = Order(**json.loads(line))
    os.environ.clear()
    os.environ.update(order.environment)
    tempfile.tempdir = None  # it may have been looked up in the environment before
    nowhere = os.open(os.devnull, os.O_RDONLY)
    log = os.open(order.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    for source, target in ((nowhere, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(nowhere)
    os.close(log)
    return order
