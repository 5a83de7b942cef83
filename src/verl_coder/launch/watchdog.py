"""Ends a run that cannot go on: a process of it that has died or stands still, a phase that makes no progress.

It stands in the launcher, outside Ray, so that it depends on nothing that may hang. What a phase may take is a
multiple of the longest that it took so far, in this folder's earlier starts, too (`verl_coder.watchdog_*`).
"""

import json
import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from verl_coder.errors import VerlCoderError
from verl_coder.files import write_atomically
from verl_coder.launch.control_group import own_groups
from verl_coder.launch.memory_plan import RAY_KILLS_AT, machine_bytes
from verl_coder.launch.processes import WORKER, DeathsInLog, ProcessTable, RunProcess, dump, memory_words
from verl_coder.run.phase import ENDING, STARTING, TRAINING, Phase, read_history
from verl_coder.run.run_dir import RunDir
from verl_coder.run.settings import Settings

HALTED_S = 20.0
"""A process that stands still by a signal for so long ends the run."""
DYING_S = 10.0
"""What the run has to end by itself, with the reason in its log, after one of its processes has died."""
_EVERY_S = 1.0
_LOOKS_OF_A_KILL = 5
"""The kernel counts a kill before the process has gone: what it has counted in so many looks is of a death seen now."""
_MACHINE = Path("/proc/vmstat")
_WAITS_FOR_OTHERS = ("generating", "answering")
"""Parts in which the agent loops have their own clock for a lost rollout (trainer/rollout_faults.py)."""
_BY_RAY = "by Ray's memory monitor"
_PRESSURE = re.compile(r"low on memory|memory pressure|OutOfMemoryError|\bOOM\b", re.I)


class RunStuck(VerlCoderError):
    """A process of the run died or stood still, or a phase made no progress: the run was ended."""


class Watchdog:
    """Call `poll` often: it raises RunStuck. `see` is what looks at the processes, `now` the clock."""

    def __init__(
        self,
        run_dir: RunDir,
        settings: Settings,
        scratch: Path,
        sandbox_pids: Sequence[int] = (),
        *,
        see: Callable[[], list[RunProcess]] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run_dir, self._settings, self._scratch, self._now = run_dir, settings, scratch, now
        self._see = see or ProcessTable(sandbox_pids).look
        self._seen: dict[int, RunProcess] = {}
        self._halted: dict[int, float] = {}
        self._deaths = DeathsInLog(run_dir.log)
        self._died: tuple[float, RunProcess, str] | None = None
        self._next = self._last_poll = now()
        self._killed = deque([killed_by_kernel()], maxlen=_LOOKS_OF_A_KILL)
        self._phase: Phase | None = None
        self._first_step: int | None = None
        self.log_mark = 0
        """Bytes of the log when the present part began: what stands after it may be the reason of an end."""
        self._progress_at = now()
        self._longest: dict[str, float] = read_history(run_dir.phase_history)

    @property
    def told_death(self) -> str:
        """The line for a process that has died, empty where none has: for a run that has ended by itself since.

        Ray's last lines come with the end of the run, after the last look.
        """
        if self._died is None:
            self._look_for_dead(self._now(), list(self._seen.values()))
        return self._and_on(self._died[2]) if self._died else ""

    @property
    def told_death_of_worker(self) -> str:
        """The line for the worker that drives Ray, whose end comes before the next look; empty where none was seen."""
        workers = [process for process in self._seen.values() if process.role == WORKER]
        return self._and_on(self._death_words(workers[0])) if workers else ""

    def poll(self) -> None:
        """Look, if the last look is old enough; RunStuck where the run cannot go on."""
        now = self._now()
        if now - self._last_poll > 10 * _EVERY_S:
            self._forgive()  # this process itself stood still: nobody is to blame for that time
        self._last_poll = now
        self._read_phase(now)  # at every poll: most parts are short
        if now < self._next:
            return
        self._next = now + _EVERY_S
        if self._phase and self._phase.phase == ENDING:
            return
        killed = killed_by_kernel()
        processes = self._see()
        self._look_for_dead(now, processes)
        if self._died is None:
            self._killed.append(killed)
        self._look_for_halted(now, processes)
        self._look_for_stuck(now, processes)
        self._seen.update({process.pid: process for process in processes})

    def _forgive(self) -> None:
        self._halted.clear()
        self._progress_at = self._now()

    def _read_phase(self, now: float) -> None:
        phase = Phase.read(self._run_dir.phase)
        if phase is None or (self._phase and phase.marker == self._phase.marker):
            return
        if self._phase:
            key, took = self._phase.key, now - self._progress_at
            if took > self._longest.get(key, 0.0):
                self._longest[key] = took
                if phase.key != key:
                    self._write_history()
        self._phase, self._progress_at = phase, now
        with suppress(OSError):
            self.log_mark = self._run_dir.log.stat().st_size
        if phase.phase == TRAINING and self._first_step is None:
            self._first_step = phase.step

    def _write_history(self) -> None:
        with suppress(OSError):
            rounded = {key: round(value, 1) for key, value in self._longest.items()}
            write_atomically(self._run_dir.phase_history, json.dumps(rounded, indent=1))

    def limit_s(self, key: str) -> float:
        """What a phase may take without progress."""
        longest, settings = self._known_s(key), self._settings
        if longest is None:
            return settings.watchdog_first_s
        least = settings.watchdog_least_s * (3 if key.endswith(_WAITS_FOR_OTHERS) else 1)
        return max(least, settings.watchdog_factor * longest)

    def _known_s(self, key: str) -> float | None:
        """The longest that a phase took; 0 for a part of a step that was too short to be seen; None if unknown."""
        longest = self._longest.get(key)
        is_later = self._phase and self._first_step is not None and self._phase.step > self._first_step
        return 0.0 if longest is None and key.startswith(TRAINING) and is_later else longest

    def _look_for_dead(self, now: float, processes: Sequence[RunProcess]) -> None:
        alive = {process.pid for process in processes}
        told = [self._seen.get(process.pid, process) for process in self._deaths.look()]
        if self._died is None:
            dead = [*told, *(process for pid, process in self._seen.items() if pid not in alive)]
            if dead:
                self._died = (now, dead[0], self._death_words(dead[0]))
        elif now - self._died[0] > DYING_S:
            self._end(self._died[2], processes)

    def _look_for_halted(self, now: float, processes: Sequence[RunProcess]) -> None:
        halted = {process.pid: process for process in processes if process.halted}
        self._halted = {pid: self._halted.get(pid, now) for pid in halted}
        for pid, since in self._halted.items():
            if now - since >= HALTED_S:
                self._end(
                    f"the {halted[pid].describe()} has been halted by a signal (SIGSTOP) for {now - since:.0f} s "
                    f"{self._when()}: no setting brings it back, so the run was ended; look who halted it",
                    processes,
                )

    def _look_for_stuck(self, now: float, processes: Sequence[RunProcess]) -> None:
        if self._phase is None:
            return
        waited, limit = now - self._progress_at, self.limit_s(self._phase.key)
        if waited <= limit:
            return
        longest = self._known_s(self._phase.key)
        known = (
            f"the longest so far was {longest:.0f} s"
            if longest is not None
            else "it is the first of its kind"
        )
        setting = "watchdog_first_s" if longest is None else "watchdog_factor"
        self._end(
            f"no progress for {waited:.0f} s {self._when()} ({known}): where every process stood is in "
            f"{self._run_dir.stuck}; if the phase is only slow, raise verl_coder.{setting}",
            processes,
        )

    def _death_words(self, process: RunProcess) -> str:
        """One line: who, when, of what, what to change."""
        others = [other for other in self._seen.values() if other.pid != process.pid]
        beside = f", beside it {memory_words(others)}" if others else ""
        own = f"{process.rss_bytes / 2**30:.1f} GiB" if process.rss_bytes else "nobody knows how much memory"
        had = f"it had {own}{beside}"
        by = self._memory_words()
        if by:
            foreign = self._others_gib() if by == _BY_RAY else 0.0
            held = f", of which other programs held about {foreign:.0f}" if foreign else ""
            return (
                f"the {process.describe()} was killed {by} {self._when()} ({had}; the machine has "
                f"{machine_bytes() / 2**30:.0f} GiB{held}): "
                f"{'end what else takes memory, or ' if foreign else ''}{self._memory_settings()}"
            )
        return (
            f"the {process.describe()} has died {self._when()}, and not for lack of memory ({had}): see "
            f"{self._run_dir.log}"
        )

    def _memory_words(self) -> str:
        """Who killed for memory, if anybody did."""
        if self._deaths.for_memory:
            return _BY_RAY
        for path in self._scratch.glob("ray/session_*/logs/raylet.out"):
            with suppress(OSError):
                if _PRESSURE.search(_tail(path)):
                    return _BY_RAY
        if killed_by_kernel() > self._killed[0]:
            return "by the kernel, for lack of memory"
        return ""

    def _others_gib(self) -> float:
        """What other programs held when Ray killed, where that was most of it: no setting of the run helps then."""
        run = sum(process.rss_bytes for process in self._seen.values())
        others = RAY_KILLS_AT * machine_bytes() - run
        return others / 2**30 if others > run else 0.0

    def _memory_settings(self) -> str:
        """What to do, in words."""
        from verl_coder.launch.memory_cures import cures_of

        found = cures_of(self._run_dir.config, on_resume=self._run_dir.last_whole_step() > 0)
        return f"set {', or '.join(found)}" if found else "have fewer or shorter samples"

    def _when(self) -> str:
        """`while training, step 3 of 12, updating`."""
        if self._phase is None:
            return "at the start"
        return f"{'at' if self._phase.phase == STARTING else 'while'} {self._phase.describe()}"

    def _end(self, words: str, processes: Sequence[RunProcess]) -> None:
        with suppress(OSError):
            dump(self._run_dir.stuck, list(processes), words)
        raise RunStuck(self._and_on(words))

    def _and_on(self, words: str) -> str:
        return f"{words}; {self._run_dir.same_command()}"


def _tail(path: Path, most: int = 200_000) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - most))
        return file.read().decode(errors="replace")


def killed_by_kernel() -> int:
    """How many processes the kernel has killed for memory: in this control group, else on the whole machine."""
    told = [folder / name for folder in own_groups() for name in ("memory.events", "memory.oom_control")]
    for path in (*told, _MACHINE):
        with suppress(OSError):
            found = re.search(r"^oom_kill (\d+)$", path.read_text(), re.M)
            return int(found[1]) if found else 0
    return 0


def is_starting(phase: Phase | None) -> bool:
    """Whether there is nothing to save yet."""
    return phase is None or phase.phase == STARTING
