"""Our mixins over verl's trainer, of which only what they call is there."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from omegaconf import OmegaConf

from verl_coder.trainer.stopping import StopMixin


class FakeTrainer(StopMixin):
    """A trainer without model, workers or Ray."""

    def __init__(self, out: Path, mode: str = "sync", **settings: Any) -> None:
        self.config = OmegaConf.create(
            {
                "trainer": {
                    "default_local_dir": str(out / "checkpoints"),
                    "max_actor_ckpt_to_keep": 2,
                    "max_critic_ckpt_to_keep": 2,
                    "test_freq": 1,
                },
                "actor_rollout_ref": {
                    "actor": {"fsdp_config": {"param_offload": False, "optimizer_offload": False}}
                },
                "verl_coder": {"run_name": "r", "out": str(out), "recipe": "tiny_cpu", **settings},
            }
        )
        self.weights, self.place, self.state = b"w" * 1000, 0, dict[str, Any]()
        self.phases: list[str] = []
        self.trainer_mode, self.global_steps, self.total_training_steps = mode, 1, 100
        self.timing_raw: dict[str, float] = {}
        self.steps_per_epoch = 100
        self.train_dataloader = SimpleNamespace(state_dict=lambda: {"place": self.place})
        self.checkpoint_callback = SimpleNamespace(on_save=lambda **_: None)
        self._dump_futures: list[Any] = []

    def checkpoint_state(self) -> dict[str, Any]:
        """As a mixin with a state of its own would have it."""
        return dict(self.state)

    def _enter_phase(self, phase: str, step: int | None = None) -> None:
        self.phases.append(phase)

    def _shutdown_dump_executor(self) -> None:
        pass

    def on_sample_end(self) -> None:
        """Abstract in verl's trainer."""

    def on_step_end(self) -> None:
        """Abstract in verl's trainer."""


def verls_save(trainer: FakeTrainer) -> None:
    """What verl writes: the actor's files, the order of the data, the tracker."""
    root = Path(trainer.config.trainer.default_local_dir)
    actor = root / f"global_step_{trainer.global_steps}" / "actor"
    actor.mkdir(parents=True)
    (actor / "model.pt").write_bytes(trainer.weights)
    (actor.parent / "data.pt").write_text("verl's")
    (root / "latest_checkpointed_iteration.txt").write_text(str(trainer.global_steps))
