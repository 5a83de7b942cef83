"""The recipe: the very functions that a run calls before Ray starts (launch/preflight/), one by one."""

from pathlib import Path

from verl_coder.doctor.check import CheckResult, DoctorCheck, passed, skipped, warned
from verl_coder.doctor.situation import NotHereError, Situation
from verl_coder.doctor.tools import CHECKS as TOOL_CHECKS
from verl_coder.words import counted


def _composes(situation: Situation) -> CheckResult:
    config = situation.config
    return passed(
        f"{situation.recipe}: {config.trainer.nnodes} x {config.trainer.n_gpus_per_node} {config.trainer.device}"
    )


def _settings(situation: Situation) -> CheckResult:
    from verl_coder.launch.preflight.grpo import check_grpo
    from verl_coder.launch.preflight.settings import check_settings, notes_on_settings

    plan = situation.plan
    check_settings(plan.config, plan.settings, plan.run_dir)
    check_grpo(plan.config, plan.settings)
    rollout = plan.config.actor_rollout_ref.rollout
    if notes := notes_on_settings(plan.config, plan.settings, plan.overrides):
        return warned("; ".join(line.removeprefix("note: ") for line in notes), "leave it out, or set that")
    return passed(
        f"batch {plan.config.data.train_batch_size} x {rollout.n}, every value of its kind and range"
    )


def _reward(situation: Situation) -> CheckResult:
    from verl_coder.launch.preflight.reward import check_reward

    grades = check_reward(situation.config)
    return passed(
        f"{situation.config.reward.custom_reward_function.path}: a finite score and the same keys for six verdicts"
        + ("" if grades else ", by no tests")
    )


def _loss(situation: Situation) -> CheckResult:
    from verl_coder.launch.preflight.policy_loss import check_policy_loss

    plan = situation.plan
    check_policy_loss(plan.config, plan.settings)
    given = plan.settings.policy_loss.path
    if given is None:
        return passed(f"verl's {plan.config.actor_rollout_ref.actor.policy_loss.loss_mode}")
    return passed(f"{given}: finite, with a gradient, on-policy and off-policy")


def _curriculum(situation: Situation) -> CheckResult:
    from verl_coder.launch.preflight.curriculum import check_curriculum

    plan = situation.plan
    try:
        there = len(situation.data_sets) == 2
    except NotHereError:
        there = False
    check_curriculum(plan.config, plan.settings.curriculum, plan.run_dir, data_is_there=there)
    if plan.settings.curriculum is None:
        return skipped("the recipe has no curriculum")
    return passed(
        f"{counted(len(plan.settings.curriculum.names), 'stage')}"
        + ("" if there else "; their rows are not made yet")
    )


def _traces(situation: Situation) -> CheckResult:
    from verl_coder.launch.preflight.composite import check_composite

    plan, not_yet = situation.plan, situation.not_made_yet
    if not plan.settings.is_composite:
        return skipped("the recipe has one source (GRPO)")
    try:
        is_here = bool(situation.model_folder)
    except NotHereError:
        is_here = False
    told = check_composite(plan.config, plan.settings, data_is_there=not not_yet, model_is_there=is_here)
    words, traces = plan.settings.describe_sources(), plan.settings.teacher.traces
    if plan.settings.uses_teacher and not Path(str(traces)).is_file():
        words += f"; {traces}: {not_yet}"
    elif plan.settings.uses_teacher and not is_here:
        words += "; the traces were not tried with the model, which is not on this machine"
    if told:
        return warned(
            "; ".join(line.removeprefix("warning: ") for line in told), "traces of this run's problems"
        )
    return passed(words)


def _resume(situation: Situation) -> CheckResult:
    from verl_coder.launch.status import is_running
    from verl_coder.run.resume import check as check_resume

    plan = situation.plan
    if is_running(plan.run_dir):
        where = plan.run_dir.path
        words = situation.what_stands or "a run, at work"
        return warned(
            f"{where}: {words}: another start there is refused until it has ended",
            f"wait for it (verl-coder status {where}), or OUT= elsewhere",
        )
    plan.run_dir.check_records()
    plan.run_dir.check_shape(plan.config)
    if not (plan.run_dir.checkpoint_step() or plan.run_dir.finished_steps()):
        return skipped(f"{plan.run_dir.path}: {situation.what_stands or 'no run stands there'}")
    check_resume(plan.run_dir.resume, plan.config, plan.settings.resume_may_change)
    return passed(f"the run in {plan.run_dir.path} goes on after step {plan.run_dir.checkpoint_step()}")


_YAML = "mend the recipe's YAML, or the override"
COMPOSES = DoctorCheck(name="recipe", component="recipe", look=_composes, fix=_YAML)
CHECKS = (
    DoctorCheck(name="settings", component="recipe", look=_settings, fix=_YAML),
    *TOOL_CHECKS,
    DoctorCheck(
        name="reward", component="recipe", look=_reward, fix="mend the file of REWARD=, at the line named"
    ),
    DoctorCheck(
        name="policy-loss", component="recipe", look=_loss, fix="mend the file of LOSS=, at the line named"
    ),
    DoctorCheck(name="curriculum", component="recipe", look=_curriculum, fix="mend config/curriculum/"),
    DoctorCheck(name="traces", component="recipe", look=_traces, fix="make the traces for this model"),
    DoctorCheck(
        name="resume", component="recipe", look=_resume, fix="take the change back, or OUT= elsewhere"
    ),
)
