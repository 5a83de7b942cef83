"""A run's folder, brought to the state of its last checkpoint before the run goes on."""

from contextlib import suppress

from omegaconf import OmegaConf, open_dict
from rich.console import Console

from verl_coder.files import write_atomically
from verl_coder.launch.plan import Plan
from verl_coder.run.checkpoint_files import awaits_evaluation, step_folder
from verl_coder.run.resume import record as record_resume
from verl_coder.run.sync_state import begin as begin_sync
from verl_coder.run.sync_state import copied_from


def make_resumable(plan: Plan, console: Console) -> None:
    """Bring the folder to the state of its last checkpoint, and write the resolved configuration."""
    step = plan.run_dir.checkpoint_step()
    # Without a checkpoint everything is done again, the evaluation before training too.
    forgotten = plan.run_dir.drop_metrics_after(step if step else -1)
    waits = awaits_evaluation(step_folder(plan.run_dir.checkpoints, step))
    if waits:  # where its metrics are there, a kill came before the checkpoint's word that they are
        plan.run_dir.drop_metrics_of(step)
    # The checkpoint's own step is not logged yet where its evaluation has not ended.
    logged = step - 1 if waits else min([step, *plan.run_dir.backup.steps()[-1:]])
    if copied := copied_from(plan.run_dir.sync_state):
        words = (
            f"a copy of {copied}, whose W&B run goes on there: this one begins a run of its own, linked to it"
        )
        console.print(words, highlight=False, soft_wrap=True)
    begin_sync(
        plan.run_dir.sync_state,
        mode=plan.wandb_mode,
        project=plan.config.trainer.project_name,
        name=plan.config.trainer.experiment_name,
        resumes_after=logged if step else None,
        new_run=plan.new_wandb_run,
    )
    if forgotten:
        console.print(forgotten, highlight=False, soft_wrap=True)
    if step:
        console.print(f"resuming {plan.settings.out} after step {step}", highlight=False, soft_wrap=True)
        with open_dict(plan.config):
            # The evaluation before training is that of step 0; here it would replace the metrics of `step`. (Where the
            # checkpoint lacks its own, the trainer turns it on again: trainer/interrupted_evaluation.py.)
            plan.config.trainer.val_before_train = False
    else:
        for path in (plan.run_dir.timing, plan.run_dir.wall):
            path.unlink(missing_ok=True)
    plan.run_dir.summary.unlink(missing_ok=True)  # of a run that was shorter
    with suppress(FileNotFoundError):  # of a start that has ended
        plan.run_dir.stuck.replace(plan.run_dir.stuck.with_name("stuck_before.txt"))
    plan.run_dir.record_shape(plan.config)
    record_resume(plan.run_dir.resume, plan.config)
    write_atomically(plan.run_dir.config, OmegaConf.to_yaml(plan.config))
