"""Every row of the README's "Change something" passes the checks as it is written, on a machine without a GPU."""

import asyncio
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from verl_coder.errors import ConfigError
from verl_coder.launch.plan import TrainRequest, make_plan
from verl_coder.launch.preflight.run import check_run
from verl_coder.paths import repository_root
from verl_coder.sandbox.embedded import EmbeddedSandbox

ROOT = repository_root()
README = (ROOT / "README.md").read_text()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Sixty-four of the sample problems."""
    out = tmp_path_factory.mktemp("sample")
    subprocess.run(
        [sys.executable, ROOT / "data_prep/sample.py", "--out", out], check=True, capture_output=True
    )
    for name in ("train", "validation"):
        path = out / f"{name}.parquet"
        pq.write_table(pq.read_table(path).slice(0, 64), path)
    return str(out / "train.parquet"), str(out / "validation.parquet")


def check(data: tuple[str, str], tmp_path: Path, *overrides: str, **knobs: str) -> tuple[str, ...]:
    """The checks of a start; lines about the data."""
    request = TrainRequest(
        **{"recipe": "tiny_cpu", "train": data[0], "val": data[1], "out": str(tmp_path / "out"), **knobs},
        overrides=overrides,
    )
    return check_run(make_plan(request)).notes


@pytest.mark.parametrize("path", sorted((ROOT / "rewards").glob("*.py")), ids=lambda path: path.stem)
def test_a_copied_reward(data: tuple[str, str], tmp_path: Path, path: Path) -> None:
    copy = shutil.copy(path, tmp_path / "mine.py")
    assert len(check(data, tmp_path, reward=str(copy))) == 2


@pytest.mark.parametrize("path", sorted((ROOT / "losses").glob("*.py")), ids=lambda path: path.stem)
def test_a_copied_loss(data: tuple[str, str], tmp_path: Path, path: Path) -> None:
    copy = shutil.copy(path, tmp_path / "mine.py")
    assert len(check(data, tmp_path, loss=str(copy))) == 2


@pytest.mark.parametrize("path", sorted((ROOT / "tool_config").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_copied_tool(data: tuple[str, str], tmp_path: Path, path: Path) -> None:
    loop = _LOOPS.get(path.stem)
    rows = tuple(_for_loop(Path(file), loop, tmp_path) for file in data) if loop else data
    check(rows, tmp_path, tools=str(shutil.copy(path, tmp_path / "mine.yaml")))


def test_the_example_of_a_tool_of_ones_own(
    data: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "src/verl_coder/tools/README.md").read_text()
    (tmp_path / "timed.py").write_text(re.findall(r"```python\n(.*?)```", page, re.S)[0])
    yaml = (ROOT / "tool_config/python_interpreter.yaml").read_text()
    named = yaml.replace("verl_coder.tools.python_interpreter.PythonInterpreter", "timed.TimedInterpreter")
    (tmp_path / "mine.yaml").write_text(named)
    monkeypatch.syspath_prepend(str(tmp_path))
    check(data, tmp_path, tools=str(tmp_path / "mine.yaml"))
    with EmbeddedSandbox() as sandbox:
        monkeypatch.setenv("SANDBOX_URL", sandbox.url)
        from verl.tools.tool_registry import initialize_tools_from_config

        tool = initialize_tools_from_config(str(tmp_path / "mine.yaml"))[0]
        agent = SimpleNamespace(extra_fields={}, tools_kwargs={})
        said, _, _ = asyncio.run(tool.execute("one", {"code": "print(6 * 7)"}, agent_data=agent))
    assert re.fullmatch(r"42\n\(\d+\.\d\d s\)", said.text or "")
    assert agent.extra_fields == {"tool_calls": 1, "tool_successes": 1}


_LOOPS = {
    "python_session": "session_agent",
    "python_session_brief": "session_agent",
    "run_tests": "session_agent",
    "feedback": "feedback_agent",
    "python_debugger": "debugger_agent",
    "python_debugger_brief": "debugger_agent",
    "python_debugger_late": "debugger_agent",
    "python_debugger_late_brief": "debugger_agent",
}
"""What `data prepare --protocol session`, `debugger` and `feedback` name in their rows."""


def _for_loop(path: Path, loop: str, folder: Path) -> str:
    table = pq.read_table(path)
    place = table.schema.get_field_index("agent_name")
    names = pa.array([loop] * table.num_rows)
    pq.write_table(table.set_column(place, "agent_name", names), folder / path.name)
    return str(folder / path.name)


def long_prompts(data: tuple[str, str], tmp_path: Path) -> tuple[str, str]:
    """The sample problems with prompts as long as most of MBPP's with the tool: 400 to 700 tokens."""
    paths = []
    for path in data:
        rows = pq.read_table(path).to_pylist()[:40]
        for number, row in enumerate(rows):
            row["prompt"][-1]["content"] += " word" * (90 + 2 * number)
        paths.append(str(tmp_path / Path(path).name))
        pq.write_table(pa.Table.from_pylist(rows, schema=pq.read_schema(path)), paths[-1])
    return paths[0], paths[1]


def test_other_data_needs_the_lengths_that_its_row_names(data: tuple[str, str], tmp_path: Path) -> None:
    longer = long_prompts(data, tmp_path)
    with pytest.raises(
        ConfigError,
        match=r"0 of 40 prompts fit data.max_prompt_length=96 tokens.* keeps 33 of 40, as many as",
    ):
        check(longer, tmp_path)
    row = next(line for line in README.splitlines() if line.startswith("| the data |"))
    overrides = re.search(r"`(data\.max_prompt_length=[^`]*)`", row)
    assert overrides
    check(longer, tmp_path, *overrides[1].split())


def test_a_copied_recipe_and_one_setting(data: tuple[str, str], tmp_path: Path) -> None:
    recipe = shutil.copytree(ROOT / "recipes/tiny_cpu", tmp_path / "mine")
    notes = check(data, tmp_path, "trainer.total_training_steps=40", recipe=str(recipe))
    assert "40 steps take 10 epochs of 4 steps: trainer.total_epochs=4 is raised" in notes[-1]


def test_a_running_sandbox(data: tuple[str, str], tmp_path: Path) -> None:
    with EmbeddedSandbox() as sandbox:
        check(data, tmp_path, f"verl_coder.sandbox_url={sandbox.url}")
