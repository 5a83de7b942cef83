"""The `verl_coder:` section of a recipe: every key that is ours and not verl's."""

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal

from omegaconf import DictConfig, OmegaConf
from pydantic import Field, model_validator

from verl_coder.sections import (
    NUMERIC,
    Count,
    NotNegative,
    Positive,
    PositiveCount,
    Section,
    Share,
    read_section,
)
from verl_coder.words import counted

PLACE = "verl_coder"
CURRICULUM = f"{PLACE}.curriculum"


class Schedule(Section):
    """From `start` to `end` in `steps` training steps; then `end`. Constant stays at `start` and has no `end` and
    `steps`; a number is constant.

    The cosine form with warm-up is CHORD's for its mu (arXiv 2508.11408): up from 0, then down to a valley.
    """

    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """Its form."""
    start: NotNegative
    """Weight of the first step after the warm-up."""
    end: NotNegative = 0.0
    """Weight that it comes to."""
    steps: PositiveCount = 1
    """Training steps from the end of the warm-up to `end`."""
    warmup_steps: Count = 0
    """Training steps of a linear rise from 0 to `start`, before anything else."""

    @model_validator(mode="before")
    @classmethod
    def _from_number(cls, value: Any) -> Any:
        return value if isinstance(value, Mapping | Schedule) else {"start": value}

    @model_validator(mode="after")
    def _is_whole(self) -> "Schedule":
        if self.schedule != "constant" and not {"end", "steps"} <= self.model_fields_set:
            raise ValueError(f"a {self.schedule} schedule needs start, end, steps")
        # All of them stand, with `schedule`, where a whole schedule was written down (run/resume.py).
        given, fields = self.model_fields_set, type(self).model_fields
        is_written_down = "schedule" in given
        unused = [
            name
            for name in ("end", "steps")
            if name in given and not (is_written_down and getattr(self, name) == fields[name].default)
        ]
        if self.schedule == "constant" and unused:
            raise ValueError(
                f"{' and '.join(unused)} of a constant schedule would have no effect: add schedule: linear or cosine, "
                "or give the number alone"
            )
        return self

    def value(self, step: int) -> float:
        """The weight of training step `step`, the first of which is 1."""
        if step <= self.warmup_steps:
            return self.start * step / (self.warmup_steps + 1)
        if self.schedule == "constant":
            return self.start
        progress = min(max(step - 1 - self.warmup_steps, 0) / self.steps, 1.0)
        if self.schedule == "cosine":
            progress = (1 - math.cos(math.pi * progress)) / 2
        return self.start + (self.end - self.start) * progress

    @property
    def highest(self) -> float:
        """The largest value it ever has."""
        return self.start if self.schedule == "constant" else max(self.start, self.end)

    def describe(self) -> str:
        """`0.3`, or `1 -> 0.1 (cosine, 20 steps)`."""
        warm_up = f"{counted(self.warmup_steps, 'step')} of warm-up"
        if self.schedule == "constant":
            return f"{self.start:g}" + (f" ({warm_up})" if self.warmup_steps else "")
        told = f"{self.schedule}, {counted(self.steps, 'step')}" + (
            f" after {warm_up}" if self.warmup_steps else ""
        )
        return f"{self.start:g} -> {self.end:g} ({told})"


class LossWeights(Section):
    """The weights of the three terms, each a number or a schedule."""

    alpha: Schedule = Schedule(start=1.0)
    """Of verl's policy loss (with its KL and entropy terms)."""
    beta: Schedule = Schedule(start=0.0)
    """Of the teacher's traces."""
    gamma: Schedule = Schedule(start=0.0)
    """Of the model's own passing rollouts."""

    @model_validator(mode="after")
    def _something_is_trained(self) -> "LossWeights":
        if not any(weight.highest for weight in (self.alpha, self.beta, self.gamma)):
            raise ValueError("alpha, beta and gamma are all 0, nothing would be trained; set one above 0")
        return self


class TeacherSettings(Section):
    """Which traces the teacher's term learns from."""

    traces: str | None = None
    """Parquet file with `problem_id` and `messages` (see traces.py)."""
    rows: PositiveCount = 16
    """Traces in each mini-batch, over all workers."""
    max_group_pass_rate: Annotated[float, Field(ge=0, lt=1), NUMERIC] | None = None
    """HPT's gate: teach only where at most this share of the prompt's rollouts passed, and only that prompt's own
    traces; 0 is "where no rollout passed". null teaches always and fills up from the pool."""


class SelfSettings(Section):
    """Which of its own rollouts the model is trained on again."""

    top_k: PositiveCount = 1
    """Passing rollouts taken per prompt: the best reward first, then the shortest."""
    only_mixed: bool = False
    """Take none of a prompt that every rollout solves."""


class PolicyLossSettings(Section):
    """A policy loss of the user's own, in the place of verl's."""

    path: str | None = None
    """File with `token_loss` (losses/README.md); null: verl's, by `actor.policy_loss.loss_mode`."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """Of its function."""


class CompositeSettings(Section):
    """The sections of the update's losses together."""

    losses: LossWeights = LossWeights()
    policy_loss: PolicyLossSettings = PolicyLossSettings()
    """Of which the policy term is made."""
    teacher: TeacherSettings = TeacherSettings()
    self_sft: SelfSettings = SelfSettings()

    @property
    def is_composite(self) -> bool:
        """Whether anything differs from verl's own update."""
        return self.losses != LossWeights()

    @property
    def uses_teacher(self) -> bool:
        """Whether the teacher's term ever counts."""
        return self.losses.beta.highest > 0

    @property
    def uses_self(self) -> bool:
        """Whether the self-SFT term ever counts."""
        return self.losses.gamma.highest > 0

    def describe_sources(self) -> str:
        """The three terms, for a run's plan."""
        parts = [f"{self.losses.alpha.describe()} GRPO"]
        if self.uses_teacher:
            parts.append(
                f"{self.losses.beta.describe()} teacher ({counted(self.teacher.rows, 'row')} a mini-batch)"
            )
        if self.uses_self:
            parts.append(f"{self.losses.gamma.describe()} self (top {self.self_sft.top_k} a prompt)")
        return " + ".join(parts)

    @model_validator(mode="after")
    def _teacher_has_traces(self) -> "CompositeSettings":
        if self.uses_teacher and not self.teacher.traces:
            raise ValueError(
                "losses.beta is above 0 and teacher.traces names no file: name one, or set beta to 0"
            )
        return self


class Stage(Section):
    """One stage of a curriculum: the problems it adds and what it takes to leave it."""

    name: str = ""
    """Of this stage alone; its number where none is given."""
    values: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Difficulties that belong to it (`by: difficulty`)."""
    low: Share = 0.0
    """Lowest pass rate that belongs to it."""
    high: Share = 1.0
    """Pass rates in [low, high) belong to it; `high` 1 includes 1 (`by: pass_rate`)."""
    threshold: Annotated[float, Field(gt=0, le=1), NUMERIC] | None = None
    """Held-out pass rate at which the stage is done; null in the last stage, and only there."""


class CurriculumSettings(Section):
    """Stages, each with further problems, from the easy ones to the hard ones."""

    by: Literal["difficulty", "pass_rate"]
    """Which value of a row's `extra_info` says to which stage it belongs."""
    stages: Annotated[tuple[Stage, ...], Field(strict=False)]
    """Two or more, in the order in which they are trained on."""
    evaluations: PositiveCount = 2
    """A stage is done when so many evaluations in a row reach its threshold."""
    max_steps: PositiveCount = 100
    """A stage is left after so many steps, with a warning."""
    mix_in: Annotated[float, Field(ge=0, lt=1), NUMERIC] = 0.0
    """Share of a later batch that comes from earlier stages."""

    @model_validator(mode="after")
    def _stages_follow_each_other(self) -> "CurriculumSettings":
        if len(self.stages) < 2:
            raise ValueError(f"stages has {len(self.stages)} stage(s): a curriculum has two or more")
        for index, stage in enumerate(self.stages):
            if stage.threshold is None and index < len(self.stages) - 1:
                raise ValueError(f"stages[{index}].threshold is missing: only the last stage has none")
            if stage.threshold is not None and index == len(self.stages) - 1:
                raise ValueError(
                    f"stages[{index}].threshold={stage.threshold:g}: training stays in the last stage, leave it out"
                )
            if self.names.index(self.names[index]) < index:
                raise ValueError(f"stages[{index}].name={self.names[index]}: two stages have that name")
            if self.by == "difficulty" and not stage.values:
                raise ValueError(
                    f"stages[{index}].values is empty: name the difficulties that belong to the stage"
                )
            if self.by == "pass_rate" and stage.low >= stage.high:
                raise ValueError(
                    f"stages[{index}]: low={stage.low}, high={stage.high} is no range of pass rates"
                )
        return self

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the stages, in order."""
        return tuple(stage.name or str(index + 1) for index, stage in enumerate(self.stages))

    def stage_of(self, extra_info: Mapping[str, Any]) -> int | None:
        """Stage of a problem; None for one that no stage takes."""
        value = extra_info.get(self.by)
        if value is None:
            return None
        for index, stage in enumerate(self.stages):
            if self.by == "difficulty":
                if str(value) in stage.values:
                    return index
            elif stage.low <= float(value) < stage.high or float(value) == stage.high == 1.0:
                return index
        return None


class Settings(CompositeSettings):
    """Ours, beside verl's own tree. The launcher fills in the first three."""

    run_name: str
    """Name of the run: the last part of `out`; filled in by the launcher."""
    out: str
    """Folder of the run: configuration, metrics, rollouts, checkpoints, summary; filled in by the launcher."""
    recipe: str
    """Name of the recipe's folder; filled in by the launcher."""
    seed: Count = 0
    """Seeds the data order, the actor and the sampler."""
    prepare: str | None = None
    """Command that makes the data files of the recipe where they are missing, run in the repository."""
    sandbox_url: str | None = None
    """URLs of running sandboxes, comma-separated; null takes SANDBOX_URL, else starts the embedded one for the run."""
    sandbox_port: Annotated[int, Field(ge=0, le=65535)] = 0
    """Port of the embedded sandbox on loopback; 0 takes a free one."""
    sandbox_isolation: Literal["auto", "namespaces", "light", "none"] = "auto"
    """Of the embedded sandbox (see src/verl_coder/sandbox/README.md)."""
    sandbox_unsafe: bool = False
    """Let the embedded sandbox run model-written code where it cannot protect this machine from it."""
    poll_interval_s: Annotated[float, Field(gt=0, le=10), NUMERIC] = 0.1
    """How often the trainer asks whether the rollouts are there (verl's own: 2 s)."""
    max_sandbox_unavailable_share: Share = 0.25
    """Share of a step's samples without a verdict (sandbox down) above which the run stops; above it an evaluation has
    no effect."""
    on_bad_score: Literal["stop", "mask"] = "stop"
    """A reward that returns a score that is no finite number: stop the run, or mask the sample, which then counts
    as failed."""
    max_failed_share: Share = 0.25
    """Share of a step's samples whose reward raised, or whose rollout was lost, above which the run stops; above it an
    evaluation has no effect."""
    watchdog: bool = True
    """End the run when one of its processes dies or stands still, or a phase makes no progress."""
    watchdog_least_s: Positive = 60.0
    """What a phase, or a rollout after the others, may take without progress at least, however fast it was before."""
    watchdog_factor: Annotated[float, Field(ge=2), NUMERIC] = 5.0
    """What a phase may take, in multiples of the longest it took so far."""
    watchdog_first_s: Positive = 1800.0
    """What a phase may take without progress the first time, when nothing is known of it."""
    memory_check: bool = True
    """Refuse a run that the memory plan says does not fit (launch/memory_plan.py)."""
    plan_for: str | None = None
    """GPU that memory and time are planned for where none is here (launch/cards.py: L4, A100-40GB, ...); null: H100."""
    wandb: Literal["auto", "online", "offline", "disabled"] = "auto"
    """online, offline (keep for a later push), disabled, or auto: $WANDB_MODE, else online where W&B has a key."""
    wandb_finish_timeout_s: NotNegative = 20.0
    """How long the end of a run waits for W&B; what it lacks then is sent by `verl-coder wandb push`."""
    keep_best: bool = True
    """Keep the checkpoint with the best held-out pass rate, beside the last trainer.max_actor_ckpt_to_keep."""
    eval_samples: Count = 0
    """Sampled answers per problem of an evaluation, at the training temperature; 0: greedy answers only."""
    eval_table_rows: Count = 32
    """Rows of the table of samples that each evaluation writes."""
    rollout_tokens: bool = False
    """Write the tokens of the training rollouts, too: which were learnt, and their log-probs."""
    curriculum: CurriculumSettings | None = None
    """Stages over difficulty or measured pass rate; null trains on everything at once."""
    resume_may_change: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Keys, or TRAIN, VAL, REWARD, LOSS, TOOLS, that a resume may change beyond the list of run/resume.py."""
    skip_rows_without_gradient: bool = True
    """Compute no row of an update whose loss is 0 whatever the model says: all samples of its prompt had one
    reward. `actor/ppo_kl` and `actor/pg_clipfrac` are then means over the other rows."""
    stop_after_code: bool = False
    """An answer of one turn (rows of `single_turn_agent`) ends with its first block of code: what would follow changes
    no reward. Not for a model that thinks in blocks of code."""
    mask_overlong: bool = False
    """Train on no sample that was cut off at the response length (DAPO's over-long filtering)."""
    mask_void_turns: bool = False
    """Train on no sample whose last turn has neither a tool call nor code (SimpleTIR's filter)."""


def parse_settings(section: DictConfig) -> Settings:
    """The section as Settings; ConfigError names an unknown key or a value that is not allowed."""
    values = OmegaConf.to_container(section, resolve=True)
    assert isinstance(values, dict)
    return read_section(Settings, {str(key): value for key, value in values.items()}, PLACE)
