"""The W&B uploader: a process of its own beside training, which can hang or die without harm."""

import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil

from verl_coder.launch.wandb_push import WandbPush
from verl_coder.run.notices import Notices
from verl_coder.run.run_dir import RunDir


class WandbUploader:
    """Context manager of the launcher: starts the process, and ends it within `finish_timeout_s`."""

    def __init__(self, run_dir: RunDir, *, enabled: bool, finish_timeout_s: float) -> None:
        self._run_dir, self._enabled, self._finish_timeout_s = run_dir, enabled, finish_timeout_s
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pids(self) -> list[int]:
        """The process, for those who end all other processes of the run."""
        return [self._process.pid] if self._process else []

    def __enter__(self) -> "WandbUploader":
        if self._enabled:
            with (self._run_dir.path / "wandb_uploader.log").open("ab") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", __name__, str(self._run_dir.path), str(self._finish_timeout_s)],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is None:
            return
        if self._process.stdin:
            self._process.stdin.close()  # SIGTERM is blocked: a batch system sends it to every process
        try:
            self._process.wait(self._finish_timeout_s)
        except subprocess.TimeoutExpired:
            pass
        finally:
            kill_tree(self._process)


def kill_tree(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and its descendants, and collect its status."""
    try:
        tree = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    except psutil.NoSuchProcess:
        tree = []
    for member in tree:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue
    process.wait()


def main(folder: str, finish_timeout_s: str) -> None:
    """Follow the run in `folder` until its input ends, as it also does when the launcher dies."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(10)
    run_dir = RunDir(Path(folder))
    notices = Notices(run_dir.notices)

    def failed(text: str) -> None:
        with suppress(OSError):  # the log may be on a full disk
            print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)
        notices.say(
            "wandb", f"{text}; training goes on, `verl-coder wandb push {folder}` sends the rest later"
        )

    push = WandbPush(
        run_dir.path, run_dir.sync_state, run_dir.backup, finish_timeout_s=float(finish_timeout_s)
    )
    push.follow(_input_has_ended, failed)


def _input_has_ended() -> bool:
    ready, _, _ = select.select([sys.stdin.buffer], [], [], 0)
    return bool(ready)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
