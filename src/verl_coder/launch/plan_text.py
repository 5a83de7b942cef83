"""What `--dry-run` prints."""

from rich.console import Console

from verl_coder.launch.plan import Plan, preparation


def print_plan(plan: Plan, console: Console) -> None:
    """What the run would do, and with what."""
    config = plan.config
    rollout, actor = config.actor_rollout_ref.rollout, config.actor_rollout_ref.actor
    rows = {
        "recipe": plan.settings.recipe,
        "model": config.actor_rollout_ref.model.path,
        "train": ", ".join(config.data.train_files),
        "held out": ", ".join(config.data.val_files),
        "data made by": preparation(plan) or "(there already)",
        "reward": config.reward.custom_reward_function.path,
        "tools": rollout.multi_turn.tool_config_path,
        "device": f"{config.trainer.nnodes} x {config.trainer.n_gpus_per_node} {config.trainer.device}",
        "batch": f"{config.data.train_batch_size} prompts x {rollout.n} samples, "
        f"mini-batch {actor.ppo_mini_batch_size}",
        "lengths": f"prompt {config.data.max_prompt_length}, response {config.data.max_response_length} tokens, "
        f"{rollout.multi_turn.max_assistant_turns} turns",
        "optimiser": f"lr {actor.optim.lr:g}, KL loss {actor.kl_loss_coef if actor.use_kl_loss else 0:g}, "
        f"entropy {actor.entropy_coeff:g}",
        "sources": plan.settings.composite.describe(),
        "steps": config.trainer.total_training_steps or f"{config.trainer.total_epochs} epochs",
        "output": plan.settings.out,
        "resumes from step": plan.run_dir.checkpoint_step(),
    }
    for name, value in rows.items():
        console.print(f"{name:>18}  {value}", highlight=False, soft_wrap=True)
