"""`python -m verl_coder.launch.worker CONFIG.yaml`: the process that drives Ray. Started by launch.py."""

import sys

from omegaconf import DictConfig, OmegaConf

from verl_coder.launch.supervise import end_with_parent


def main(config_path: str) -> None:
    """Run the resolved configuration in `config_path` through verl's own entry point."""
    end_with_parent()
    from verl.trainer.main_ppo import run_ppo
    from verl.trainer.ppo.utils import need_critic, need_reference_policy
    from verl.utils.config import validate_config
    from verl.utils.device import auto_set_device

    from verl_coder.platform.plugin import require_loaded
    from verl_coder.trainer.task_runner import CoderTaskRunner

    require_loaded()
    config = OmegaConf.load(config_path)
    assert isinstance(config, DictConfig)
    auto_set_device(config)
    validate_config(
        config=config,
        use_reference_policy=need_reference_policy(config),
        use_critic=need_critic(config),
    )
    run_ppo(config, task_runner_class=CoderTaskRunner)


if __name__ == "__main__":
    main(sys.argv[1])
