"""A pipeline of small tasks: what runs, what is skipped, what a kill leaves."""

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from pipeline import fake_pipeline
from pipeline.fake_pipeline import CHAIN, run_chain
from rich.console import Console

import verl_coder.pipeline.records as records
from verl_coder.errors import CheckpointError, ConfigError, VerlCoderError
from verl_coder.pipeline.config import read_config
from verl_coder.pipeline.process import PIPELINE_MARKER
from verl_coder.pipeline.records import Fingerprint, TaskRecord, write_record
from verl_coder.pipeline.run import PipelineRun
from verl_coder.pipeline.tasks import PipelineTask, Workplace


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where every run of this test takes the same code of the package."""
    monkeypatch.setattr(records, "code_of", lambda *_: {"a.py": "1", "b.py": "1"})
    return tmp_path / "out"


def starts(out: Path) -> list[str]:
    """The files that commands began to make, in order."""
    path = out / "starts"
    return (
        [line.split()[0].removesuffix(".txt") for line in path.read_text().splitlines()]
        if path.exists()
        else []
    )


def files(out: Path) -> dict[str, str]:
    """What the tasks made."""
    return {stage: (out / stage / f"{stage}.txt").read_text() for stage in CHAIN}


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Start:
    """A start in a process of its own: a fork, which has all imports behind it."""

    def __init__(self, out: Path) -> None:
        out.mkdir(exist_ok=True)
        self._words = out.with_name(f"words-{time.monotonic_ns()}")
        self._process = multiprocessing.get_context("fork").Process(target=self._run, args=(out,))
        self._process.start()

    def _run(self, out: Path) -> None:
        with self._words.open("w") as words:
            try:
                sys.exit(run_chain(out, shown=words))
            except VerlCoderError as error:
                print(error, file=words)
                sys.exit(1)

    def send(self, number: int) -> None:
        os.kill(self._process.pid or 0, number)

    def is_running(self) -> bool:
        return self._process.is_alive()

    def end(self) -> tuple[int, str]:
        """Its exit status and its words."""
        self._process.join(60)
        assert self._process.exitcode is not None
        return self._process.exitcode, self._words.read_text()


def hold(out: Path, stage: str) -> None:
    out.mkdir(exist_ok=True)
    (out / "hold").write_text(stage)


def test_a_second_start_does_nothing(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_chain(out) == run_chain(out) == 0
    assert starts(out) == list(CHAIN)
    assert files(out) == {"data": "data", "sft": "sftdata", "train": "trainsftdata"}
    assert capsys.readouterr().out.count("skip  nothing has changed") == 3


def test_a_changed_setting_is_named_with_both_values(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_chain(out)
    run_chain(out, sft="other")
    shown = capsys.readouterr().out
    assert "sft               run   settings changed: text sft -> other" in shown
    assert "train             run   inputs changed: the file before" in shown
    assert starts(out) == [*CHAIN, "sft", "train"]
    assert files(out)["train"] == "trainotherdata"


def test_what_an_older_start_made_is_set_aside(out: Path) -> None:
    run_chain(out)
    run_chain(out, sft="other")
    assert (out / "superseded" / "sft-1" / "sft.txt").read_text() == "sftdata"


@pytest.mark.parametrize("begin", [PipelineRun.run, PipelineRun.dry_run])
def test_a_folder_that_no_start_has_made_is_left_alone(
    out: Path, tmp_path: Path, begin: Callable[[PipelineRun], object]
) -> None:
    (out / "evaluate" / "base").mkdir(parents=True)
    (out / "evaluate" / "base" / "mine.txt").touch()
    path = tmp_path / "c.yaml"
    path.write_text("model: owner/m\ndata: {datasets: {sample: {}}}\nevaluate:\n")
    run = PipelineRun(Workplace(read_config(path, out=str(out))), ["evaluate"], Console())
    with pytest.raises(ConfigError, match=r"evaluate/base writes to .*no record of: move that"):
        begin(run)
    assert (out / "evaluate" / "base" / "mine.txt").is_file() and not (out / "superseded").exists()


def test_an_older_start_that_was_removed_leaves_its_number(out: Path) -> None:
    for text in ("a", "b", "c"):
        run_chain(out, sft=text)
    shutil.rmtree(out / "superseded" / "sft-1")
    run_chain(out, sft="d")
    assert (out / "superseded" / "sft-1" / "sft.txt").read_text() == "cdata"
    assert (out / "superseded" / "sft-2" / "sft.txt").read_text() == "bdata"


def test_a_task_done_again_with_the_same_result_stops_there(out: Path) -> None:
    run_chain(out)
    (out / "data" / "data.txt").write_text("broken")
    run_chain(out)
    assert starts(out) == [*CHAIN, "data"]


def test_a_missing_file_is_made_again(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_chain(out)
    (out / "train" / "train.txt").unlink()
    run_chain(out)
    assert "train/train.txt is missing" in capsys.readouterr().out
    assert starts(out) == [*CHAIN, "train"]


def test_changed_code_runs_all_again_unless_it_is_ignored(
    out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_chain(out)
    monkeypatch.setattr(records, "code_of", lambda *_: {"a.py": "1", "b.py": "2"})
    run_chain(out)
    assert "data              run   code changed: b.py" in capsys.readouterr().out
    assert starts(out) == [*CHAIN, *CHAIN]
    monkeypatch.setattr(records, "code_of", lambda *_: {"a.py": "1", "b.py": "3"})
    run_chain(out, ignore_code=True)
    assert starts(out) == [*CHAIN, *CHAIN]


def test_stages_can_be_run_alone(out: Path) -> None:
    run_chain(out, ["data"])
    assert starts(out) == ["data"]
    with pytest.raises(ConfigError, match=r"train needs .*sft/sft.txt, which is not there: run the stage"):
        run_chain(out, ["train"])


def test_a_command_that_fails_ends_the_pipeline_in_its_own_words(out: Path) -> None:
    out.mkdir()
    (out / "fail").touch()
    with pytest.raises(
        VerlCoderError, match=r"data failed: no room for it: make some \(all of it: .*/logs/data.log"
    ):
        run_chain(out)
    (out / "fail").unlink()
    assert run_chain(out) == 0 and starts(out) == ["data", *CHAIN]


def test_a_command_that_makes_nothing_is_not_done(
    out: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    idle = tmp_path / "idle.py"
    idle.write_text("")
    monkeypatch.setattr(fake_pipeline, "COMMAND", idle)
    with pytest.raises(VerlCoderError, match=r"data has ended without all of data/data\.txt"):
        run_chain(out)


@pytest.mark.parametrize("stage", CHAIN)
def test_kill_9_of_the_pipeline_in_any_stage_changes_no_file_and_repeats_no_stage(
    out: Path, stage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    hold(out, stage)
    start = Start(out)
    wait_until((out / stage / f"{stage}.half").exists)
    child = int((out / "starts").read_text().split()[-1])
    start.send(signal.SIGKILL)
    start.end()
    assert psutil.pid_exists(child)  # this one does not end with its parent, so the next start must end it
    (out / "hold").unlink()
    assert run_chain(out) == 0
    assert f"{stage:<18}run   goes on: start 1 did not end" in capsys.readouterr().out
    assert files(out) == {"data": "data", "sft": "sftdata", "train": "trainsftdata"}
    assert sorted(starts(out)) == sorted([*CHAIN, stage])
    # What wants an empty folder is given one.
    assert (out / "superseded" / "train-1").exists() == (stage == "train")


def test_kill_9_of_a_command_is_said_and_the_same_command_goes_on(out: Path) -> None:
    hold(out, "sft")
    start = Start(out)
    wait_until((out / "sft" / "sft.half").exists)
    os.kill(int((out / "starts").read_text().split()[-1]), signal.SIGKILL)
    status, words = start.end()
    assert status == 1 and "sft was ended by signal 9" in words
    (out / "hold").unlink()
    assert run_chain(out) == 0 and starts(out) == ["data", "sft", "sft", "train"]


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_the_command_and_says_how_to_go_on(out: Path, number: int, status: int) -> None:
    hold(out, "sft")
    start = Start(out)
    wait_until((out / "sft" / "sft.half").exists)
    start.send(number)
    ended, words = start.end()
    assert ended == status
    assert f"stopped by {signal.Signals(number).name} in sft; the same command goes on" in words
    assert not psutil.pid_exists(int((out / "starts").read_text().split()[-1]))


def test_a_second_signal_ends_a_command_that_does_not_listen(out: Path) -> None:
    hold(out, "data")
    (out / "ignore").touch()
    start = Start(out)
    wait_until((out / "data" / "data.half").exists)
    start.send(signal.SIGINT)
    time.sleep(1)
    assert start.is_running()
    start.send(signal.SIGINT)
    assert start.end()[0] == 130


def test_two_pipelines_do_not_write_to_one_folder(out: Path) -> None:
    hold(out, "data")
    start = Start(out)
    wait_until((out / "data" / "data.half").exists)
    with pytest.raises(ConfigError, match="another pipeline is at work in"):
        run_chain(out)
    (out / "hold").unlink()
    assert start.end()[0] == 0 and starts(out) == list(CHAIN)


def test_a_broken_record_is_named(out: Path) -> None:
    run_chain(out)
    (out / "stages" / "sft.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"stages/sft.json is broken .*remove it"):
        run_chain(out)


@pytest.mark.parametrize(
    ("place", "value"),
    [("products", None), ("products", {"a": 1}), ("seconds", "x"), ("starts", None), ("finished", 1),
     ("fingerprint", None), ("fingerprint.settings", None), ("fingerprint.command", 3)],
)  # fmt: skip
def test_a_record_with_a_value_of_another_kind_is_named(out: Path, place: str, value: object) -> None:
    run_chain(out)
    path = out / "stages" / "sft.json"
    values = json.loads(path.read_text())
    outer, _, inner = place.rpartition(".")
    (values[outer] if outer else values)[inner] = value
    path.write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match=r"stages/sft\.json is broken .*remove it"):
        run_chain(out)


def test_a_finished_task_whose_record_names_no_file_is_done_again(out: Path) -> None:
    run_chain(out)
    path = out / "stages" / "sft.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"products": {}}))
    run_chain(out)
    assert starts(out) == [*CHAIN, "sft"]


def test_the_summary_has_every_task_with_its_time_and_a_digest_of_its_files(out: Path) -> None:
    run_chain(out)
    first = json.loads((out / "pipeline.json").read_text())["tasks"]
    assert [task["task"] for task in first] == list(CHAIN)
    run_chain(out)
    again = json.loads((out / "pipeline.json").read_text())["tasks"]
    assert [task["digest"] for task in again] == [task["digest"] for task in first]
    assert all(task["did"] == "skipped" and task["seconds"] > 0 for task in again)


def test_the_log_of_a_stage_has_the_command_and_what_it_said(out: Path) -> None:
    run_chain(out)
    log = (out / "logs" / "data.log").read_text()
    assert f"verl-coder make {out}/data/data.txt data\nmaking {out}/data/data.txt\n" in log


def test_no_process_of_another_folder_is_ended(out: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    bystander = subprocess.Popen(command, env={**os.environ, PIPELINE_MARKER: str(tmp_path / "other")})
    try:
        run_chain(out)
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def prepared_run(tmp_path: Path, stages: list[str], evaluate: str) -> PipelineRun:
    """Of the tiny problems, whose commands write train and validation rows and nothing else."""
    path = tmp_path / "c.yaml"
    text = "model: owner/m\ndata: {datasets: {sample: {}}}\nteacher: {tiny: {}}\n"
    path.write_text(f"{text}evaluate: {{split: {evaluate}}}\n")
    run = PipelineRun(Workplace(read_config(path, out=str(tmp_path / "out"))), stages, Console(width=200))
    run.place.records.mkdir(parents=True, exist_ok=True)

    def do(task: PipelineTask) -> None:
        folder = tmp_path / "out" / "data" / "sample"
        folder.mkdir(parents=True, exist_ok=True)
        for split in ("train", "validation"):
            (folder / f"{split}.parquet").touch()
        fingerprint = Fingerprint(command="", settings={}, inputs={}, code={})
        write_record(run.place.records, task.name, TaskRecord(fingerprint=fingerprint, finished=True))

    run._do = do  # type: ignore[method-assign]
    return run


def test_a_split_that_no_dataset_has_is_missed_right_after_the_data(tmp_path: Path) -> None:
    run = prepared_run(tmp_path, ["data", "teacher", "evaluate"], "test")
    words = (
        r"evaluate\.split=test: of the datasets sample there are rows for train and validation, none for test"
    )
    with pytest.raises(ConfigError, match=words):
        run.run()
    assert [path.name for path in run.place.records.glob("*.json")] == ["data-sample.json"]
    with pytest.raises(ConfigError, match=words):  # and at once where the data were prepared before
        prepared_run(tmp_path, ["teacher"], "test").run()
    with pytest.raises(ConfigError, match=words):
        prepared_run(tmp_path, ["teacher"], "test").dry_run()
    assert prepared_run(tmp_path, ["data", "teacher"], "validation").run() == 0


def test_nothing_is_said_of_a_split_before_there_are_data(tmp_path: Path) -> None:
    prepared_run(tmp_path, ["teacher"], "test").dry_run()
    prepared_run(tmp_path, ["data"], "validation").run()
    shutil.rmtree(tmp_path / "out" / "data")
    prepared_run(tmp_path, ["teacher"], "test").dry_run()


def test_a_task_is_given_what_the_one_before_it_has_made(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("model: owner/m\ndata: {datasets: {mbpp: {}, apps: {}}}\n")
    place = Workplace(read_config(path, out=str(tmp_path / "out")))
    found = {}
    for task in PipelineRun(place, ["data"], Console())._tasks("data"):
        found[task.name] = task
        folder = tmp_path / "out" / task.name
        folder.mkdir(parents=True)
        (folder / "test.parquet").touch()
    assert {"mbpp test", "apps test"} <= set(found["data/mixed"].inputs)
