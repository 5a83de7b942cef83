"""What users add takes as many files as the table of docs/architecture.md says, and then works."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import verl_coder.tools
from verl_coder.launch.plan import TrainRequest, make_plan
from verl_coder.launch.preflight.policy_loss import check_policy_loss
from verl_coder.launch.preflight.reward import check_reward_file
from verl_coder.launch.preflight.tools import check_tools
from verl_coder.paths import recipe_names, repository_root

TABLE = (repository_root() / "docs" / "architecture.md").read_text().partition("## To add a ...")[2]
PROMISED = {name: int(files) for name, files in re.findall(r"^\| (\w+) \|.*\| (\d+) \|$", TABLE, re.M)}
FOLDERS = ("recipes", "config", "tool_config", "rewards", "losses", "data_prep")

REWARD = """
from verl_coder.rewards import grade_answer, scored

async def compute_score(data_source, solution_str, ground_truth, extra_info, **kwargs):
    report = await grade_answer(solution_str, ground_truth)
    return scored(report, report.pass_rate ** 3)
"""

LOSS = """
def token_loss(log_prob, old_log_prob, advantages, response_mask, **kwargs):
    return -advantages * log_prob
"""

DATASET = """
from verl_coder.data import Dataset, Draft, HubSource, run_script
from verl_coder.problems import AssertTests

def to_draft(raw, split, options):
    return Draft(problem_id=f"mine/{raw['id']}", statement=raw["text"], tests=(AssertTests(tests=(raw["test"],)),))

DATASET = Dataset(
    name="mine", license="MIT", to_draft=to_draft,
    sources={"all": HubSource(repo="me/mine", patterns=("*.jsonl",))},
)
if __name__ == "__main__":
    run_script(DATASET)
"""

RECIPE = """
defaults: [ppo_trainer, base, hardware/cpu, tiny, _self_]
trainer:
  total_training_steps: 3
"""

TOOL = '''
from verl.tools.base_tool import BaseTool
from verl.tools.schemas import ToolResponse

class WordCount(BaseTool):
    """How many words a text has."""

    async def execute(self, instance_id, parameters, **kwargs):
        return ToolResponse(text=str(len(parameters["text"].split()))), 0.0, {}
'''

TOOL_YAML = """
# TOOLS=tool_config/mine.yaml bash run_scripts/run_qwen_grpo.sh
tools:
  - class_name: verl_coder.tools.mine.WordCount
    config: {type: native}
    tool_schema:
      type: function
      function:
        name: word_count
        description: Count words.
        parameters: {type: object, properties: {text: {type: string, description: A text.}}, required: [text]}
"""


@pytest.fixture
def add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, dict[str, str]], Path]:
    """Adds files to a throw-away copy of the content folders, as many as the table promises; its root."""
    root = tmp_path / "house"
    for folder in FOLDERS:
        shutil.copytree(repository_root() / folder, root / folder)
    monkeypatch.setenv("VERL_CODER_ROOT", str(root))
    monkeypatch.chdir(root)
    inside = root / "src" / "verl_coder" / "tools"
    monkeypatch.setattr(verl_coder.tools, "__path__", [*verl_coder.tools.__path__, str(inside)])

    def write(kind: str, files: dict[str, str]) -> Path:
        assert len(files) == PROMISED[kind]
        for name, text in files.items():
            assert not (root / name).exists()
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        return root

    return write


def plan(root: Path, **knobs: Any) -> Any:
    return make_plan(TrainRequest(**{"recipe": "tiny_cpu", "out": str(root / "out"), **knobs}))


def test_a_reward_is_one_file(add: Callable[[str, dict[str, str]], Path]) -> None:
    root = add("reward", {"rewards/mine.py": REWARD})
    section = plan(root, reward="rewards/mine.py").config.reward.custom_reward_function
    assert section.path == str(root / "rewards/mine.py")
    check_reward_file(section.path, section.name)


def test_a_loss_is_one_file(add: Callable[[str, dict[str, str]], Path]) -> None:
    root = add("loss", {"losses/mine.py": LOSS})
    planned = plan(root, loss="losses/mine.py")
    assert planned.settings.policy_loss.path == str(root / "losses/mine.py")
    check_policy_loss(planned.config, planned.settings)


def test_a_recipe_is_one_file(add: Callable[[str, dict[str, str]], Path]) -> None:
    root = add("recipe", {"recipes/mine/recipe.yaml": RECIPE})
    assert "mine" in recipe_names()
    planned = plan(root, recipe="mine")
    assert planned.config.trainer.total_training_steps == 3 and planned.settings.recipe == "mine"


def test_a_tool_is_a_class_and_a_yaml(add: Callable[[str, dict[str, str]], Path]) -> None:
    root = add("tool", {"src/verl_coder/tools/mine.py": TOOL, "tool_config/mine.yaml": TOOL_YAML})
    path = plan(
        root, tools="tool_config/mine.yaml"
    ).config.actor_rollout_ref.rollout.multi_turn.tool_config_path
    assert path == str(root / "tool_config/mine.yaml")
    check_tools(path)


def test_a_dataset_is_one_file(add: Callable[[str, dict[str, str]], Path]) -> None:
    from verl_coder.cli import app

    root = add("dataset", {"data_prep/mine.py": DATASET})
    raw = [{"id": i, "text": f"Return {i}.", "test": f"assert f() == {i}"} for i in range(20)]
    (root / "raw.jsonl").write_text("".join(json.dumps(row) + "\n" for row in raw))
    arguments = ["data", "prepare", "mine", "--source", "raw.jsonl", "--no-verify", "--out", "made"]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert sum(pq.read_metadata(path).num_rows for path in (root / "made").glob("*.parquet")) == 20
