"""An engine that is forked has the variables of its start, its own title, and what was imported beforehand."""

import multiprocessing
import subprocess
import sys
import types
from pathlib import Path

import pytest

from verl_coder.platform import engine_fork

_PROGRAM = """
import os, sys
from pathlib import Path
from verl_coder.platform import engine_fork

def engine(pipe):
    import setproctitle
    setproctitle.setproctitle("VLLM::EngineCore")
    pipe.send({
        "title": Path("/proc/self/cmdline").read_text().split("\\0")[0].strip(),
        "late": os.environ.get("LATE"),
        "gone": os.environ.get("GONE"),
        "changed": os.environ.get("CHANGED"),
        "there": "a_heavy_module" in sys.modules and sys.modules["a_heavy_module"].by,
        "own": os.getpid(),
    })

if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    os.environ |= {"GONE": "1", "CHANGED": "before", "PYTHONPATH": sys.argv[1] + os.pathsep + os.environ["PYTHONPATH"]}
    engine_fork.PRELOADED = ("__main__", "a_heavy_module", "there_is_no_such_module")
    engine_fork.fork_engines = lambda: None
    engine_fork.import_beside_engine("json")
    os.environ |= {"LATE": "yes", "CHANGED": "after"}
    del os.environ["GONE"]
    context = engine_fork._EngineContext()
    ours, theirs = context.Pipe()
    process = context.Process(target=engine, name="engine", args=(theirs,))
    process.start()
    said = ours.recv()
    process.join()
    print(said | {"status": process.exitcode, "by another": said["there"] not in (False, said["own"], os.getpid())})
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What an engine says."""
    folder = tmp_path_factory.mktemp("program")
    (folder / "a_heavy_module.py").write_text("import os\nby = os.getpid()\n")
    program = folder / "program.py"
    program.write_text(_PROGRAM)
    environment = {"PYTHONPATH": str(Path(engine_fork.__file__).parents[2]), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, program, folder], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = eval(done.stdout)
    return found


def test_it_has_the_variables_of_the_moment_it_was_started(said: dict[str, object]) -> None:
    assert (said["late"], said["gone"], said["changed"]) == ("yes", None, "after")


def test_its_title_tells_what_it_is(said: dict[str, object]) -> None:
    assert said["title"] == "VLLM::EngineCore" and said["status"] == 0


def test_modules_were_imported_by_the_program_that_it_was_forked_from(said: dict[str, object]) -> None:
    assert said["by another"] is True, "and one that is not there is no error"


def test_vllms_own_choice_of_variables_is_made_before_an_engine_is_forked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chosen = []
    utils = types.ModuleType("vllm.v1.engine.utils")
    utils.get_mp_context = lambda: chosen.append("spawn") or multiprocessing.get_context("spawn")  # type: ignore[attr-defined]
    engine = types.ModuleType("vllm.v1.engine")
    engine.utils = utils  # type: ignore[attr-defined]
    for name, module in {"vllm.v1.engine": engine, "vllm.v1.engine.utils": utils}.items():
        monkeypatch.setitem(sys.modules, name, module)
    engine_fork.fork_engines()
    context = utils.get_mp_context()
    assert chosen == ["spawn"] and context.get_start_method() == "forkserver"
