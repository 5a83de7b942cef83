"""What every part of our trainer knows: the recipe's settings, the run's folder, where warnings go."""

from pathlib import Path

from verl.trainer.ppo.v1.trainer_base import PPOTrainer

from verl_coder.tracking.notices import Notices
from verl_coder.trainer.run_dir import RunDir
from verl_coder.trainer.settings import Settings, parse_settings


class RunTrainer(PPOTrainer):
    """Base of the mixins of rl_trainer.py."""

    @property
    def settings(self) -> Settings:
        """The recipe's `verl_coder:` section."""
        return parse_settings(self.config.verl_coder)

    @property
    def run_dir(self) -> RunDir:
        """The folder of this run."""
        return RunDir(Path(self.settings.out))

    @property
    def notices(self) -> Notices:
        """Warnings, each said once."""
        if not hasattr(self, "_notices"):
            self._notices = Notices(self.run_dir.notices)
        return self._notices
