"""One update from three sources: rollouts by GRPO, a teacher's traces, and the model's own best rollouts.

Traces join the mini-batches as rows whose response mask is zero, so that verl's policy, KL and entropy terms and
their token count do not see them; the model's own best rollouts are there anyway. Both get a weight per token
(`loss.token_weights`), and the actor's loss adds the weighted log-likelihood: no pass over the model is added
but the one over the traces, and none of them needs old or reference log-probabilities.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transfer_queue as tq
from omegaconf import OmegaConf
from tensordict import TensorDict
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.padding_utils import build_padding_position_ids
from verl.utils.config import omega_conf_to_dataclass
from verl.utils.metric import reduce_metrics
from verl.utils.py_functional import rename_dict

from verl_coder.platform.update_options import GRADIENT_FIELD
from verl_coder.traces import TraceRow, read_traces, rollout_tokenizer
from verl_coder.trainer.composite.choice import StepRollouts, TeacherPool, choose_rollouts, read_rollouts
from verl_coder.trainer.composite.gradient import count_computed_tokens, gradient_fields
from verl_coder.trainer.composite.layout import Layout
from verl_coder.trainer.composite.loss import (
    ALPHA_FIELD,
    WEIGHT_FIELDS,
    actor_loss,
    rollout_loss,
    take_token_means,
    token_weights,
)
from verl_coder.trainer.composite.policy_file import FILE_MODE, policy_file_of
from verl_coder.trainer.composite.source_metrics import SourceCounts, counts_of_step, source_metrics
from verl_coder.trainer.recipe_trainer import RecipeTrainer, jagged, write_columns

_TOKEN_FIELDS = ("prompts", "responses", "input_ids", "position_ids")
_ZERO_FIELDS = (
    "response_mask",
    "loss_mask",
    "old_log_probs",
    "advantages",
    "ref_log_prob",
    "rollout_is_weights",
)
"""What the actor's update reads of a text-only row; of the last two only what the recipe makes verl compute."""


@dataclass(frozen=True, kw_only=True)
class _Mixed:
    """A batch with the teacher's rows in it."""

    batch: KVBatchMeta
    added: list[str]
    """Keys of the rows that are not rollouts."""
    mini_batch_rows: int
    counts: dict[str, SourceCounts]


class TeacherGuidedMixin(RecipeTrainer):
    """Replaces the actor's update where the recipe's `verl_coder.losses` asks for more than GRPO."""

    _source_metrics: list[dict[str, float]]
    """`source/*` of the present step's updates."""

    def _setup(self) -> None:
        super()._setup()
        settings = self.settings
        if (self.config.get("distillation") or {}).get("enabled", False):
            return  # a loss of verl's own; not beside ours (launch/preflight/composite.py)
        section, policy = self.config.actor_rollout_ref.actor, policy_file_of(settings)
        if policy is not None:
            section = OmegaConf.merge(section, {"policy_loss": {"loss_mode": FILE_MODE}})
        loss = actor_loss if settings.is_composite else rollout_loss
        self.actor_rollout_wg.set_loss_fn(
            partial(loss, config=omega_conf_to_dataclass(section), policy=policy)
        )
        if settings.uses_teacher:
            assert settings.teacher.traces is not None
            model = omega_conf_to_dataclass(self.config.actor_rollout_ref.model)
            tokenise = rollout_tokenizer(self.config, self.tokenizer, model.hf_config.model_type)
            self._teacher_pool = TeacherPool(read_traces(Path(settings.teacher.traces)), tokenise.row)

    def step(self, metrics: dict[str, Any], timing_raw: dict[str, float]) -> KVBatchMeta:
        """A step, of one update or, in separate_async, of several."""
        self._source_metrics = []
        batch = super().step(metrics, timing_raw)
        metrics.update(counts_of_step(self._source_metrics))
        return batch

    def _update_actor(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> KVBatchMeta:
        settings = self.settings
        batch.extra_info[GRADIENT_FIELD] = gradient_fields(self.config, settings)
        if not settings.is_composite:
            batch = super()._update_actor(batch, metrics)
            take_token_means(metrics)
            count_computed_tokens(metrics)
            return batch
        mixed = self._mix(batch)
        mixed.batch.extra_info.update(
            self._update_options(mixed, settings.losses.alpha.value(self.global_steps))
        )
        try:
            output = self.actor_rollout_wg.update_actor(mixed.batch)
        finally:
            if mixed.added:
                tq.kv_clear(keys=mixed.added, partition_id=batch.partition_id)
        reported = dict(output["metrics"])
        sources = {name: reported.pop(name) for name in list(reported) if name.startswith(("term/", "pull/"))}
        of_sources = source_metrics(reduce_metrics(sources), mixed.counts)
        if settings.uses_teacher:
            of_sources |= self._left_out(self._teacher_pool)
        self._source_metrics.append(of_sources)
        metrics.update(of_sources)
        actor = reduce_metrics(rename_dict(reported, "actor/"))
        actor["perf/mfu/actor"] = actor.pop("actor/mfu")
        metrics.update(actor)
        take_token_means(metrics)
        count_computed_tokens(metrics)
        return batch

    def _left_out(self, pool: TeacherPool) -> dict[str, float]:
        """How many traces were left out so far; of those that are no rollout's the first is told."""
        for index, why in pool.refused.items():
            self.notices.say(
                "refused traces",
                f"verl_coder.teacher.traces, row {index}: {why}: left out (source/teacher/refused counts such rows)",
            )
        return {
            "source/teacher/too_long": float(pool.too_long),
            "source/teacher/refused": float(len(pool.refused)),
        }

    def _update_options(self, mixed: _Mixed, alpha: float) -> dict[str, Any]:
        """What verl's `_update_actor` tells the worker, for a batch with added rows."""
        actor, rollout = self.config.actor_rollout_ref.actor, self.config.actor_rollout_ref.rollout
        return {
            ALPHA_FIELD: alpha,
            "calculate_entropy": bool(actor.calculate_entropy or actor.entropy_coeff != 0.0),
            "distillation_use_topk": False,
            "distillation_only": False,
            # Counts rollouts only: verl's per-sequence means divide by it.
            "global_batch_size": actor.ppo_mini_batch_size * rollout.n,
            "mini_batch_size": mixed.mini_batch_rows,
            "epochs": actor.ppo_epochs,
            "seed": actor.data_loader_seed,
            # The order is set in `_mix`: the blocks must stay as they are weighted.
            "dataloader_kwargs": {"shuffle": False},
            "temperature": rollout.temperature,
        }

    @property
    def _update_name(self) -> str:
        """The step, and in separate_async which of its updates between two weight syncs."""
        part = self.local_trigger_step
        return f"{self.global_steps}/{part}" if part else f"{self.global_steps}"

    # ---- which rows ---------------------------------------------------------------------------

    def _mix(self, batch: KVBatchMeta) -> _Mixed:
        """Choose, weigh and place the rows of both supervised sources."""
        actor = self.config.actor_rollout_ref.actor
        layout = Layout(
            rows=len(batch),
            dp_size=max(self.actor_rollout_wg._dispatch_info["actor"]) + 1,
            mini_batch_rows=actor.ppo_mini_batch_size * self.config.actor_rollout_ref.rollout.n,
        )
        rng = random.Random(f"{self.settings.seed}/{self._update_name}")
        if actor.shuffle:
            batch = batch.select_keys(_shuffled_by_rank(batch.keys, layout, rng))
        rollouts = read_rollouts(batch)
        self_masks, self_weights, self_counts = self._weigh_self(rollouts, layout)
        zeros = [torch.zeros(len(mask)) for mask in self_masks]
        write_columns(batch, dict(zip(WEIGHT_FIELDS, (zeros, self_weights), strict=True)))
        traces, teacher_weights, teacher_counts = self._weigh_teacher(rollouts, layout, rng)
        counts = {
            "grpo": SourceCounts.of(
                [mask for mask in rollouts.masks if mask.any()],
                self.settings.losses.alpha.value(self.global_steps),
            ),
            "teacher": teacher_counts,
            "self": self_counts,
        }
        multiple = 1 if actor.use_dynamic_bsz else actor.ppo_micro_batch_size_per_gpu
        return self._place(batch, layout, multiple, traces, teacher_weights, counts)

    def _weigh_self(
        self, rollouts: StepRollouts, layout: Layout
    ) -> tuple[list[torch.Tensor], list[torch.Tensor], SourceCounts]:
        """Masks and token weights of all rollouts: not zero for the chosen ones."""
        settings = self.settings
        gamma = settings.losses.gamma.value(self.global_steps)
        chosen = (
            choose_rollouts(rollouts, settings.self_sft) if gamma > 0 else np.zeros(layout.rows, dtype=bool)
        )
        masks = [
            mask if take else torch.zeros_like(mask)
            for mask, take in zip(rollouts.masks, chosen, strict=True)
        ]
        numbers = layout.mini_batch_of
        counts = SourceCounts.of(
            [mask for mask in masks if mask.any()],
            gamma,
            len({number for number, take in zip(numbers, chosen, strict=True) if take}) / layout.mini_batches,
        )
        return masks, token_weights(masks, numbers, gamma), counts

    def _weigh_teacher(
        self, rollouts: StepRollouts, layout: Layout, rng: random.Random
    ) -> tuple[list[list[TraceRow]], list[list[torch.Tensor]], SourceCounts]:
        """The traces of each mini-batch and their token weights over the response."""
        settings = self.settings
        beta = settings.losses.beta.value(self.global_steps)
        rows: list[TraceRow] = []
        if beta > 0:
            pool, wanted = self._teacher_pool, settings.teacher.rows * layout.mini_batches
            gate, prompts = settings.teacher.max_group_pass_rate, rollouts.problem_pass_rates()
            if gate is None:
                rows = pool.choose(list(prompts), wanted, rng)
            else:
                taught = [name for name, rate in prompts.items() if rate <= gate and pool.has(name)]
                rows = pool.choose(taught, wanted, rng, fill=False)
                # HPT switches each prompt between the two losses and averages over the prompts.
                beta *= len(taught) / max(len(prompts), 1)
        numbers = [index % layout.mini_batches for index in range(len(rows))]
        masks = [torch.tensor(row.loss_mask) for row in rows]
        weights = token_weights(masks, numbers, beta)
        counts = SourceCounts.of(masks, beta, len(set(numbers)) / layout.mini_batches)
        step = layout.mini_batches
        return (
            [rows[number::step] for number in range(step)],
            [weights[number::step] for number in range(step)],
            counts,
        )

    # ---- into the batch -----------------------------------------------------------------------

    def _place(
        self,
        batch: KVBatchMeta,
        layout: Layout,
        multiple: int,
        traces: list[list[TraceRow]],
        weights: list[list[torch.Tensor]],
        counts: dict[str, SourceCounts],
    ) -> _Mixed:
        keys = [
            [f"teacher-{self._update_name}-{number}-{i}" for i in range(len(rows))]
            for number, rows in enumerate(traces)
        ]
        filler = [f"filler-{self._update_name}-{i}" for i in range(layout.filler_rows(traces, multiple))]
        added = [key for group in keys for key in group] + filler
        nothing = TraceRow(
            prompt_ids=(self.tokenizer.eos_token_id,),
            response_ids=(self.tokenizer.eos_token_id,),
            loss_mask=(0,),
        )
        rows = [row for group in traces for row in group] + [nothing] * len(filler)
        row_weights = [w for group in weights for w in group] + [torch.zeros(1)] * len(filler)
        tag = {**batch.tags[0], "is_padding": True}
        fields = self._put_rows(batch, added, rows, row_weights, tag)
        order = layout.interleave(batch.keys, keys, filler, multiple)
        tags = dict(zip(batch.keys, batch.tags, strict=True))
        return _Mixed(
            batch=KVBatchMeta(
                keys=order,
                tags=[tags.get(key, tag) for key in order],
                partition_id=batch.partition_id,
                fields=fields,
                extra_info=batch.extra_info,
            ),
            added=added,
            mini_batch_rows=layout.mini_batch_rows
            + layout.dp_size * layout.added_per_block(traces, multiple),
            counts=counts,
        )

    def _put_rows(
        self,
        batch: KVBatchMeta,
        keys: list[str],
        rows: Sequence[TraceRow],
        weights: Sequence[torch.Tensor],
        tag: dict[str, Any],
    ) -> list[str]:
        """Put the rows beside the rollouts, with the same columns and types; returns the columns of the update."""
        wanted = [*_TOKEN_FIELDS, *_ZERO_FIELDS, *WEIGHT_FIELDS]
        pattern = tq.kv_batch_get(keys=batch.keys[:1], partition_id=batch.partition_id, select_fields=wanted)[
            0
        ]
        present = [name for name in wanted if name in pattern]
        if keys:
            columns: dict[str, list[torch.Tensor]] = {name: [] for name in present}
            for row, weight in zip(rows, weights, strict=True):
                for name, value in _row_fields(row, weight, pattern).items():
                    if name in columns:
                        columns[name].append(value)
            tq.kv_batch_put(
                keys=keys,
                partition_id=batch.partition_id,
                fields=TensorDict(
                    {name: jagged(values) for name, values in columns.items()}, batch_size=len(keys)
                ),
                tags=[tag] * len(keys),
            )
        return present


def _row_fields(row: TraceRow, weights: torch.Tensor, pattern: Any) -> dict[str, torch.Tensor]:
    """A trace's columns, typed like those of a rollout."""
    prompt, response = torch.tensor(row.prompt_ids), torch.tensor(row.response_ids)
    input_ids = torch.cat([prompt, response])
    fields = {
        "prompts": prompt,
        "responses": response,
        "input_ids": input_ids,
        "position_ids": build_padding_position_ids(pattern["position_ids"], torch.ones_like(input_ids)),
        WEIGHT_FIELDS[0]: weights,
        WEIGHT_FIELDS[1]: torch.zeros_like(weights),
    }
    fields |= {
        name: torch.zeros(len(response), dtype=pattern[name].dtype)
        for name in _ZERO_FIELDS
        if name in pattern
    }
    return {name: value.to(pattern[name].dtype) for name, value in fields.items()}


def _shuffled_by_rank(keys: list[str], layout: Layout, rng: random.Random) -> list[str]:
    """The keys in an order in which every row stays on its rank."""
    rows = layout.rows // layout.dp_size
    order: list[str] = []
    for start in range(0, layout.rows, rows):
        order += rng.sample(keys[start : start + rows], k=rows)
    return order
