"""A Jupyter kernel as the interpreter of a tool: how long it takes to begin and to answer, how much memory many hold.

    python -m venv peer && peer/bin/pip install ipykernel jupyter_client psutil
    peer/bin/python benchmarks/jupyter_kernel.py --rounds 5 --many 20

Run by `benchmarks/sessions.py --jupyter peer/bin/python` with the same counts; the numbers have the same names. No
sandbox is around the kernel: it is the price of the protocol and of IPython alone. One JSON line.
"""

import argparse
import json
import statistics
import time
from typing import Any

import psutil
from jupyter_client.manager import KernelManager  # type: ignore[import-not-found]


class Kernel:
    """One kernel and its client."""

    def __init__(self) -> None:
        self.manager = KernelManager()
        self.manager.start_kernel()
        self.client: Any = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def run(self, code: str) -> None:
        """Run `code` and wait for its reply and for the end of its output."""
        reply = self.client.execute_interactive(code, timeout=60, output_hook=lambda message: None)
        assert reply["content"]["status"] == "ok"

    def memory_mb(self) -> float:
        """Proportional set size of the kernel's process."""
        return float(psutil.Process(self.manager.provisioner.pid).memory_full_info().pss) / (1 << 20)

    def close(self) -> None:
        """End the kernel."""
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


def measure(rounds: int, calls: int, count: int) -> dict[str, float]:
    """Medians over `rounds` kernels of `calls` calls each; memory of `count` kernels held at once."""
    begin, call, end = [], [], []
    for _ in range(rounds):
        began = time.perf_counter()
        kernel = Kernel()
        begin.append(time.perf_counter() - began)
        kernel.run("x = 0")
        for _ in range(calls):
            began = time.perf_counter()
            kernel.run("x += 1")
            call.append(time.perf_counter() - began)
        began = time.perf_counter()
        kernel.close()
        end.append(time.perf_counter() - began)
    held = [Kernel() for _ in range(count)]
    each = statistics.mean(kernel.memory_mb() for kernel in held) if held else 0.0
    for kernel in held:
        kernel.close()
    found = {"begin_ms": begin, "call_ms": call, "end_ms": end}
    return {name: round(1000 * statistics.median(values), 2) for name, values in found.items()} | {
        "many": count,
        "mb_each": round(each, 2),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--many", type=int, default=0)
    options = parser.parse_args()
    print(json.dumps(measure(options.rounds, options.calls, options.many)))


if __name__ == "__main__":
    main()
