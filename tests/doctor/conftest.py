"""A plan, a sandbox and a tokenizer, each made once; a ward that holds copies of them for a fault to break."""

import copy
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from verl_coder.doctor.check import CheckResult, DoctorCheck, look
from verl_coder.doctor.examine import CHECKS
from verl_coder.doctor.situation import DoctorOptions, Situation
from verl_coder.launch.plan import Plan, TrainRequest, make_plan
from verl_coder.paths import repository_root
from verl_coder.run.run_dir import RunDir
from verl_coder.sandbox.embedded import EmbeddedSandbox

TINY = repository_root() / "src" / "verl_coder" / "tiny" / "base"


@pytest.fixture(scope="session")
def healthy_plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """The smallest recipe, planned once."""
    return make_plan(TrainRequest(recipe="tiny_cpu", out=str(tmp_path_factory.mktemp("doctor") / "run")))


@pytest.fixture(scope="session")
def true_sandbox() -> Iterator[str]:
    """One sandbox for all tests of this folder."""
    with EmbeddedSandbox() as sandbox:
        yield sandbox.url


@dataclass
class Ward:
    """What a fault may break: everything here is the test's own copy."""

    plan: Plan
    tmp: Path
    monkeypatch: pytest.MonkeyPatch
    sandbox_url: str
    tokenizer: Any
    ends: ExitStack
    options: DoctorOptions = field(default_factory=DoctorOptions)

    @property
    def config(self) -> Any:
        """The configuration, to be changed in place."""
        return self.plan.config

    def set(self, **settings: Any) -> None:
        """Change the `verl_coder:` section."""
        self.plan = replace(self.plan, settings=self.plan.settings.model_copy(update=settings))

    def write(self, name: str, text: str) -> Path:
        """A file of the test's own."""
        path = self.tmp / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def model(self) -> Path:
        """A copy of the tiny model, which the configuration names."""
        folder = self.tmp / "model"
        shutil.copytree(TINY, folder)
        self.config.actor_rollout_ref.model.path = str(folder)
        return folder

    def situation(self) -> Situation:
        """With all of this in it."""
        situation = Situation(self.options)
        situation.once("the recipe's configuration", lambda: self.plan)
        situation.once("the sandbox", lambda: self.sandbox_url)
        situation.once("the tokenizer", lambda: self.tokenizer)
        return situation


@pytest.fixture
def ward(
    healthy_plan: Plan, true_sandbox: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Ward]:
    """A healthy one."""
    for name in ("RAY_ADDRESS", "OMP_NUM_THREADS", "MASTER_PORT", "TEACHER_URL", "WANDB_MODE", "SANDBOX_URL"):
        monkeypatch.delenv(name, raising=False)
    plan = replace(
        healthy_plan,
        config=copy.deepcopy(healthy_plan.config),
        run_dir=RunDir(tmp_path / "run"),
        wandb_mode="offline",
    )
    plan.config.trainer.default_local_dir = str(plan.run_dir.checkpoints)
    with ExitStack() as ends:
        yield Ward(
            plan=plan,
            tmp=tmp_path,
            monkeypatch=monkeypatch,
            sandbox_url=true_sandbox,
            tokenizer=AutoTokenizer.from_pretrained(TINY),
            ends=ends,
        )


def check_named(name: str) -> DoctorCheck:
    """By its name."""
    return next(check for check in CHECKS if check.name == name)


def find(name: str, situation: Situation) -> CheckResult:
    """What one check says."""
    return look(check_named(name), situation).result
