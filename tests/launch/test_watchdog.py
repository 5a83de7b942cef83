"""A run that cannot go on is ended in one line; a run that is only slow is not."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from verl_coder.launch import control_group
from verl_coder.launch import watchdog as watchdog_module
from verl_coder.launch.processes import WORKER, ProcessTable, RunProcess, dump, role_of
from verl_coder.launch.watchdog import DYING_S, HALTED_S, RunStuck, Watchdog, killed_by_kernel
from verl_coder.run.phase import ENDING, Phase
from verl_coder.run.run_dir import RunDir
from verl_coder.run.settings import Settings

ACTOR = RunProcess(pid=7, role="FSDP actor", status="sleeping", rss_bytes=3 * 2**30)
ENGINE = RunProcess(pid=8, role="vLLM engine", status="sleeping", rss_bytes=2**30)


class Stage:
    """A run folder, a clock, and processes, as a test sets them."""

    def __init__(self, folder: Path) -> None:
        self.run_dir, self.time, self.processes = RunDir(folder / "run"), 1000.0, [ACTOR, ENGINE]
        self.run_dir.path.mkdir()
        self.scratch = folder / "scratch"
        self.scratch.mkdir()
        self.watchdog = self.start()

    def start(self) -> Watchdog:
        settings = Settings(run_name="r", out=str(self.run_dir.path), recipe="tiny_cpu")
        return Watchdog(
            self.run_dir, settings, self.scratch, see=lambda: self.processes, now=lambda: self.time
        )

    def phase(self, part: str, step: int = 1, done: int = 0, phase: str = "training") -> None:
        Phase(phase=phase, step=step, total=9, part=part, done=done, of=10).write(self.run_dir.phase)

    def wait(self, seconds: float) -> None:
        for _ in range(int(seconds)):
            self.time += 1
            self.watchdog.poll()


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setattr(watchdog_module, "dump", lambda path, processes, headline: path.write_text(headline))
    monkeypatch.setattr(watchdog_module, "killed_by_kernel", lambda: 0)
    return Stage(tmp_path)


def test_a_dead_process_ends_the_run_in_a_line_that_names_it(stage: Stage) -> None:
    stage.phase("updating", step=3)
    stage.wait(3)
    stage.processes = [ENGINE]
    with pytest.raises(RunStuck) as caught:
        stage.wait(DYING_S + 5)
    words = str(caught.value)
    assert "the FSDP actor (process 7) has died while training, step 3 of 9, updating" in words
    assert "it had 3.0 GiB" in words and "the same command begins anew" in words and "\n" not in words
    assert stage.run_dir.stuck.is_file()


def test_a_run_that_ends_by_itself_after_a_death_tells_its_own_reason(stage: Stage) -> None:
    stage.wait(2)
    stage.processes = [ENGINE]
    stage.wait(DYING_S - 2)
    assert "FSDP actor" in stage.watchdog.told_death


def test_a_worker_that_dies_before_its_role_is_seen_is_known_by_rays_own_log(stage: Stage) -> None:
    stage.phase("generating")
    stage.wait(2)
    died = (
        "(raylet) A worker died or was killed while executing a task by an error. Worker ID: a Worker PID: "
    )
    lines = [
        "\x1b[36m(CoderAgentLoopWorker pid=23, ip=10.0.0.1)\x1b[0m Using dataset class",
        f"{died}23 Worker exit",
    ]
    with stage.run_dir.log.open("a") as log:
        log.write("\n".join(lines))
        log.flush()
        stage.wait(2)  # the last line is not whole yet
        log.write(" type: SYSTEM_ERROR\n")
    with pytest.raises(
        RunStuck, match=r"the agent-loop worker \(process 23\) has died while training, step 1"
    ):
        stage.wait(DYING_S + 5)


def test_what_another_start_has_left_in_the_log_is_no_death(stage: Stage) -> None:
    stage.run_dir.log.write_text(
        "A worker died or was killed while executing a task. Worker PID: 23 Worker\n"
    )
    stage.watchdog = stage.start()
    stage.wait(DYING_S + 5)


def test_the_worker_that_a_signal_has_ended_is_named_though_no_look_has_missed_it(stage: Stage) -> None:
    assert stage.watchdog.told_death_of_worker == ""
    stage.processes = [ACTOR, RunProcess(pid=9, role=WORKER, status="sleeping", rss_bytes=2**30)]
    stage.phase("syncing weights")
    stage.wait(2)
    assert stage.watchdog.told_death_of_worker.startswith(
        "the worker that drives Ray (process 9) has died while training, step 1 of 9, syncing weights"
    )


def test_memory_is_named_as_the_cause_with_settings(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    log = stage.scratch / "ray" / "session_1" / "logs" / "raylet.out"
    log.parent.mkdir(parents=True)
    log.write_text("... killed due to the node running low on memory")
    monkeypatch.setattr(Watchdog, "_memory_settings", lambda _: "set a.b=1, or c.d=2")
    stage.wait(2)
    stage.processes = [ENGINE]
    with pytest.raises(RunStuck, match=r"killed by Ray's memory monitor .* set a\.b=1, or c\.d=2"):
        stage.wait(DYING_S + 5)


@pytest.mark.parametrize(("machine_gib", "others"), [(6, ""), (8, ""), (24, "19")])
def test_memory_that_other_programs_hold_is_named_where_it_is_most(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, machine_gib: int, others: str
) -> None:
    monkeypatch.setattr(Watchdog, "_memory_words", lambda _: "by Ray's memory monitor")
    monkeypatch.setattr(Watchdog, "_memory_settings", lambda _: "set a.b=1")
    # Of the machine or of this control group, whichever is less.
    monkeypatch.setattr(watchdog_module, "machine_bytes", lambda: machine_gib * 2**30)
    stage.wait(2)
    stage.processes = [ENGINE]
    with pytest.raises(RunStuck) as caught:
        stage.wait(DYING_S + 5)
    said = f"of which other programs held about {others}): end what else takes memory, or set a.b=1"
    assert (said in str(caught.value)) == bool(others) == ("other programs" in str(caught.value))


def test_a_kill_of_rays_memory_monitor_that_ends_the_run_at_once_is_told(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Watchdog, "_memory_settings", lambda _: "set a.b=1")
    stage.phase("starting Ray", phase="starting")
    stage.wait(2)
    killed = (
        "ray.exceptions.OutOfMemoryError: 1 worker(s) were killed due to the node running low on memory\n"
        "Considered workers: [\n"
        "Selected to kill: (Task: job ID=01000000, lease ID=03d1, task name={}.__init__, required resources={{}}, "
        "pid={}, actual memory used=0.50GB, worker ID=f093)\n]\n"
    )
    with stage.run_dir.log.open("a") as log:
        log.write(killed.format("IDLE", 22))
        log.flush()
        assert stage.watchdog.told_death == ""
        log.write(killed.format("TaskRunnerV1", 23))
    words = stage.watchdog.told_death
    assert words.startswith(
        "the trainer (process 23) was killed by Ray's memory monitor at start 1/10: starting Ray"
    )
    assert "it had 0.5 GiB, beside it FSDP actor 3.0, vLLM engine 1.0 GiB" in words
    assert words.endswith("set a.b=1; the same command begins anew")


def test_the_kernels_kill_is_told_from_an_older_one(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Watchdog, "_memory_settings", lambda _: "set a.b=1")
    monkeypatch.setattr(watchdog_module, "killed_by_kernel", lambda: 1)  # anybody's, long before
    stage.wait(100)
    stage.processes = [ENGINE]
    with pytest.raises(RunStuck, match=r"has died .* not for lack of memory"):
        stage.wait(DYING_S + 5)


def test_a_kill_is_told_that_was_counted_before_the_process_had_gone(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Watchdog, "_memory_settings", lambda _: "set a.b=1")
    stage.wait(100)
    monkeypatch.setattr(watchdog_module, "killed_by_kernel", lambda: 1)
    stage.wait(2)
    stage.processes = [ENGINE]
    with pytest.raises(RunStuck, match="killed by the kernel, for lack of memory"):
        stage.wait(DYING_S + 5)


def test_the_machines_kills_are_counted_where_the_control_group_has_no_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_OWN", "_GROUPS"):
        monkeypatch.setattr(control_group, name, tmp_path / name)
    monkeypatch.setattr(watchdog_module, "_MACHINE", tmp_path / "_MACHINE")
    assert killed_by_kernel() == 0
    (tmp_path / "_MACHINE").write_text("oom_kill_disable 8\noom_kill 7\n")
    (tmp_path / "_OWN").write_text("4:memory:/a\n0::/slice/job\n")
    assert killed_by_kernel() == 7
    (tmp_path / "_GROUPS" / "slice" / "job").mkdir(parents=True)
    (tmp_path / "_GROUPS" / "memory.events").write_text("oom 9\noom_kill 5\n")
    assert killed_by_kernel() == 5
    (tmp_path / "_GROUPS" / "slice" / "job" / "memory.events").write_text("oom 0\noom_kill 0\n")
    assert killed_by_kernel() == 0


def test_a_process_that_was_alone_has_nothing_beside_it(stage: Stage) -> None:
    stage.processes = [ACTOR]
    stage.wait(2)
    stage.processes = []
    with pytest.raises(RunStuck, match=r"\(it had 3\.0 GiB\)"):
        stage.wait(DYING_S + 5)


def test_a_halted_process_ends_the_run_and_a_short_halt_does_not(stage: Stage) -> None:
    halted = dataclasses.replace(ENGINE, status=psutil.STATUS_STOPPED)
    stage.processes = [ACTOR, halted]
    stage.wait(HALTED_S - 2)
    stage.processes = [ACTOR, ENGINE]
    stage.wait(3)
    stage.processes = [ACTOR, halted]
    with pytest.raises(RunStuck, match=r"vLLM engine \(process 8\) has been halted by a signal \(SIGSTOP\)"):
        stage.wait(HALTED_S + 3)


def test_a_phase_may_take_a_multiple_of_what_it_took(stage: Stage) -> None:
    for step in range(1, 4):
        stage.phase("updating", step)
        stage.wait(40)
        stage.phase("syncing weights", step)
        stage.wait(2)
    assert stage.watchdog.limit_s("training: updating") == pytest.approx(5 * 40, abs=10)
    assert stage.watchdog.limit_s("training: syncing weights") == 60
    with pytest.raises(RunStuck, match=r"no progress for 6\d s while training, step 3 of 9, syncing weights"):
        stage.wait(90)


def test_progress_of_a_part_starts_the_clock_anew(stage: Stage) -> None:
    for done in range(10):
        stage.phase("generating", done=done)
        stage.wait(100)


def test_a_phase_without_a_history_has_the_long_limit_and_a_second_start_knows_it(stage: Stage) -> None:
    stage.phase("loading the model", phase="starting")
    stage.wait(300)
    stage.phase("starting vLLM", phase="starting")
    stage.wait(2)
    history = json.loads(stage.run_dir.phase_history.read_text())
    assert history["starting: loading the model"] == pytest.approx(300, abs=5)
    assert stage.start().limit_s("starting: loading the model") == pytest.approx(1500, abs=30)
    assert stage.start().limit_s("training: updating") == 1800


def test_what_ends_is_left_alone(stage: Stage) -> None:
    stage.wait(2)
    stage.phase("", phase=ENDING)
    stage.processes = []
    stage.wait(100)


def test_time_in_which_the_launcher_stood_still_is_nobodys_fault(stage: Stage) -> None:
    stage.phase("updating")
    stage.wait(5)
    stage.phase("syncing weights")
    stage.wait(5)
    stage.phase("updating", step=2)
    stage.wait(2)
    stage.time += 5000
    stage.wait(30)


@pytest.mark.parametrize("part", ["updating", "generating"])
def test_a_halt_of_the_launcher_is_not_taken_for_what_a_phase_takes(stage: Stage, part: str) -> None:
    stage.phase("updating")
    stage.wait(5)
    stage.phase("generating", step=2)
    stage.wait(5)
    stage.phase("updating", step=2)
    stage.wait(2)
    before = stage.watchdog.limit_s("training: updating")
    stage.phase(part, step=5)  # training has gone on while Ctrl-Z halted the launcher
    stage.time += 3600
    stage.watchdog.poll()
    stage.phase("syncing weights", step=5)
    stage.wait(2)
    assert stage.watchdog.limit_s("training: updating") == before
    assert max(json.loads(stage.run_dir.phase_history.read_text()).values()) < 10


def test_the_processes_of_a_run_are_known_by_their_command_lines() -> None:
    assert role_of("ray::WorkerDict.actor_rollout_update_actor") == "FSDP actor"
    assert role_of("VLLM::EngineCore") == "vLLM engine"
    assert role_of("ray::TaskRunnerV1.run") == "trainer"
    assert role_of("ray::IDLE") == ""


def test_a_real_process_is_seen_halted_and_dumped(tmp_path: Path) -> None:
    program = "import time\ndef stands_here():\n    time.sleep(600)\nstands_here()  # ray::RewardLoopWorker"
    child = subprocess.Popen([sys.executable, "-c", program])
    look = ProcessTable().look
    try:
        seen = []
        for _ in range(100):
            seen = [process for process in look() if process.pid == child.pid]
            if seen:
                break
            time.sleep(0.05)
        assert seen[0].role == "reward worker" and not seen[0].halted
        child.send_signal(signal.SIGSTOP)
        time.sleep(0.2)
        (halted,) = [process for process in look() if process.pid == child.pid]
        assert halted.halted
        dump(tmp_path / "stuck.txt", [halted], "the headline")
        text = (tmp_path / "stuck.txt").read_text()
        assert text.startswith("the headline") and "reward worker" in text
    finally:
        child.kill()
        child.wait()


def test_a_fork_that_ends_is_no_process_of_the_run() -> None:
    program = (
        "import os, time\nif os.fork() == 0:\n    time.sleep(600)\n    os._exit(0)\n"
        "time.sleep(600)  # ray::CoderTaskRunner"
    )
    child = subprocess.Popen([sys.executable, "-c", program], start_new_session=True)
    table = ProcessTable()
    try:
        for _ in range(100):
            if len(psutil.Process(child.pid).children()) == 1 and table.look():
                break
            time.sleep(0.05)
        assert [process.pid for process in table.look() if process.role == "trainer"] == [child.pid]
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def test_a_part_too_short_to_be_seen_has_the_short_limit_from_the_second_step_on(stage: Stage) -> None:
    stage.phase("updating", step=5)
    stage.wait(2)
    assert stage.watchdog.limit_s("training: syncing weights") == 1800
    stage.phase("syncing weights", step=6)
    stage.wait(2)
    assert stage.watchdog.limit_s("training: syncing weights") == 60
