"""Samples that are not trained on: those without a verdict, cut off ones, and ones whose last turn is void."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from transfer_queue import KVBatchMeta
from verl.utils.config import omega_conf_to_dataclass

from verl_coder.errors import RewardError, SandboxUnavailableError
from verl_coder.extraction import extract_code
from verl_coder.protocols import PROTOCOLS
from verl_coder.trainer.recipe_trainer import (
    WHOLE_FIELD,
    RecipeTrainer,
    read_columns,
    read_extra_fields,
    read_plain,
    write_columns,
)
from verl_coder.trainer.rollout_faults import SampleFault, faults_of


def unavailable_rows(extra_fields: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """(B,) bool: the sandbox failed the sample's tool call or its grading, so it is neither right nor wrong."""
    return np.array(
        [
            bool(fields.get("tool_sandbox_unavailable"))
            or bool((fields.get("reward_extra_info") or {}).get("sandbox_unavailable"))
            for fields in extra_fields
        ],
        dtype=bool,
    )


def neutral_scores(scores: torch.Tensor, uids: Sequence[str], unavailable: np.ndarray) -> torch.Tensor:
    """(B,) scores in which a row without a verdict has the mean of its group's other rows.

    So it moves no mean score. A group in which no row has a verdict, or one alone, becomes constant, hence has zero
    advantage throughout; in others these rows leave the group (`advantage_groups`).
    """
    result = scores.clone()
    groups = np.array([str(uid) for uid in uids])
    for uid in np.unique(groups[unavailable]):
        members = groups == uid
        known = members & ~unavailable
        mean = scores[torch.from_numpy(known)].mean() if known.any() else torch.tensor(0.0)
        result[torch.from_numpy(members & unavailable)] = mean.to(result.dtype)
        if not known.any():
            result[torch.from_numpy(members)] = 0.0
    return result


def advantage_groups(uids: Sequence[str], unavailable: np.ndarray) -> list[str]:
    """The group of each row in GRPO's baseline: a row without a verdict leaves one in which two or more have one.

    In it even a neutral score would make the standard deviation smaller, and all other advantages larger. The row is
    masked, so its own advantage is 0 wherever it stands.
    """
    groups = np.array([str(uid) for uid in uids])
    known = {uid: int((groups[~unavailable] == uid).sum()) for uid in np.unique(groups[unavailable])}
    return [
        f"{uid}/without a verdict/{row}" if lacks and known[uid] > 1 else str(uid)
        for row, (uid, lacks) in enumerate(zip(groups, unavailable, strict=True))
    ]


def turn_ends(eos_token_id: int, generation_config: Any) -> set[int]:
    """Tokens at which generation ends by itself: the tokenizer's, and those of the model's generation settings."""
    given = getattr(generation_config, "eos_token_id", None)
    return {eos_token_id, *(given if isinstance(given, list | tuple) else [] if given is None else [given])}


def is_overlong(
    response_ids: torch.Tensor, *, end_of_turn: set[int], max_tokens: int, end_reason: str = ""
) -> bool:
    """A response, (T,) tokens, that was cut off (DAPO): as its agent loop says, see agent_loops/end_reason.py.

    Where the loop says nothing: at the response length, or before the turn's end.
    """
    if end_reason:
        return end_reason == "length"
    return len(response_ids) >= max_tokens or int(response_ids[-1]) not in end_of_turn


def last_turn(response_ids: torch.Tensor, response_mask: torch.Tensor) -> torch.Tensor:
    """The tokens of the last assistant turn, both (T,): the last run of ones in the mask."""
    ones = torch.nonzero(response_mask).flatten()
    if not len(ones):
        return response_ids[:0]
    gaps = torch.nonzero(ones.diff() > 1).flatten()
    first = ones[gaps[-1] + 1] if len(gaps) else ones[0]
    return response_ids[first : ones[-1] + 1]


def is_void_turn(text: str) -> bool:
    """An assistant's last turn with neither a whole tool call nor code (SimpleTIR, arXiv 2509.02479)."""
    if any(protocol.has_call(text) for protocol in PROTOCOLS.values()):
        return False
    return extract_code(text) is None


class SampleMasksMixin(RecipeTrainer):
    """A masked sample keeps its row and trains no token: not by the policy term, KL, entropy, nor self-SFT."""

    def _compute_advantage(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> KVBatchMeta:
        real = np.array([not tag.get("is_padding", False) for tag in batch.tags], dtype=bool)
        extra_fields = read_extra_fields(batch)
        failed = self._failed_rows(faults_of(extra_fields), real, metrics)
        unavailable = unavailable_rows(extra_fields) & real
        share = float(unavailable.sum()) / max(int(real.sum()), 1)
        metrics["sandbox/unavailable_share"] = share
        if share > self.settings.max_sandbox_unavailable_share:
            raise SandboxUnavailableError(
                f"step {self.global_steps}: {share:.0%} of the samples have no verdict because the sandbox did "
                "not answer (verl_coder.max_sandbox_unavailable_share); the last checkpoint is kept"
            )
        no_score = unavailable | failed
        masked = no_score | self._masked_by_their_end(batch, extra_fields, real, metrics)
        scores: list[torch.Tensor] | None = None
        if masked.any() and masked[real].all():
            self.notices.say(
                f"masked {self.global_steps}",
                f"step {self.global_steps}: every sample is masked (masked/*_share, sandbox/unavailable_share): the "
                "rollouts of this step train nothing",
            )
            scores = list(read_columns(batch, "rm_scores")["rm_scores"].unbind())
            # Their tokens stay until the advantages are there, which some estimators do not make of none.
            _mask(batch, np.zeros_like(real), real)
        elif masked.any():
            _mask(batch, masked, no_score)
            # pass@k's advantage refuses a row that is alone.
            if no_score.any() and self.config.algorithm.adv_estimator != "grpo_passk":
                _take_out(batch, no_score)
        result = super()._compute_advantage(batch, metrics)
        if scores is not None:
            # What they earned is shown all the same.
            kept = [torch.zeros_like(row) if bad else row for row, bad in zip(scores, no_score, strict=True)]
            write_columns(batch, {"rm_scores": kept})
        if failed.any():
            _score_zero(batch, failed)
        correction = self.config.algorithm.get("rollout_correction") or {}
        if correction.get("rollout_rs") and not correction.get("bypass_mode"):
            _count_kept_tokens(batch)
        if scores is not None:
            _mask(batch, real, np.zeros_like(real))
        return result

    def _masked_by_their_end(
        self,
        batch: KVBatchMeta,
        extra_fields: Sequence[Mapping[str, Any]],
        real: np.ndarray,
        metrics: dict[str, Any],
    ) -> np.ndarray:
        """(B,) bool: samples that the settings mask for how they end; self-SFT imitates none, masked or not."""
        masked, whole = np.zeros_like(real), real.copy()
        for name, wanted, judge in (
            ("overlong", self.settings.mask_overlong, self._is_overlong),
            ("void_turn", self.settings.mask_void_turns, self._is_void),
        ):
            if not wanted and not self.settings.uses_self:
                continue
            found = _judge_rows(batch, extra_fields, judge) & real
            whole &= ~found
            if wanted:
                metrics[f"masked/{name}_share"] = float(found.sum()) / max(int(real.sum()), 1)
                masked |= found
        if self.settings.uses_self:
            write_columns(batch, {WHOLE_FIELD: [torch.tensor([int(one)]) for one in whole]})
        return masked

    def _failed_rows(
        self, faults: Sequence[SampleFault | None], real: np.ndarray, metrics: dict[str, Any]
    ) -> np.ndarray:
        """(B,) bool: rows without a score of their own; RewardError where one of them must end the run."""
        there = [fault if is_real else None for fault, is_real in zip(faults, real, strict=True)]
        for fault in there:
            if fault and fault.kind == "bad_score" and self.settings.on_bad_score == "stop":
                raise RewardError(
                    f"step {self.global_steps}: the reward's {fault.what} for {fault.where}: mend "
                    f"{self.config.reward.custom_reward_function.path} and go on with "
                    "verl_coder.resume_may_change=[REWARD], or go on with verl_coder.on_bad_score=mask"
                )
        failed = np.array([fault is not None for fault in there], dtype=bool)
        count = max(int(real.sum()), 1)
        for kind in ("reward_raised", "bad_score", "lost"):
            share = sum(fault is not None and fault.kind == kind for fault in there) / count
            if share:
                metrics[f"masked/{kind}_share"] = share
        share = float(failed.sum()) / count
        if share > self.settings.max_failed_share:
            first = next(fault for fault in there if fault)
            raise RewardError(
                f"step {self.global_steps}: {share:.0%} of the samples have no score "
                f"(verl_coder.max_failed_share={self.settings.max_failed_share:g}); the first: {first.what} for "
                f"{first.where}; a mended reward goes on with verl_coder.resume_may_change=[REWARD]"
            )
        return failed

    def _is_overlong(self, response_ids: torch.Tensor, _: torch.Tensor, end_reason: str) -> bool:
        most = self.config.data.max_response_length
        return is_overlong(response_ids, end_of_turn=self._turn_ends, max_tokens=most, end_reason=end_reason)

    @cached_property
    def _turn_ends(self) -> set[int]:
        model = omega_conf_to_dataclass(self.config.actor_rollout_ref.model)
        return turn_ends(self.tokenizer.eos_token_id, model.generation_config)

    def _is_void(self, response_ids: torch.Tensor, response_mask: torch.Tensor, _: str) -> bool:
        return is_void_turn(self.tokenizer.decode(last_turn(response_ids, response_mask).tolist()))


def _score_zero(batch: KVBatchMeta, failed: np.ndarray) -> None:
    """After the advantages: a failed row counts as 0 in the statistics, where its group's mean stood in for it."""
    rows = read_columns(batch, "rm_scores")["rm_scores"].unbind()
    columns = [torch.zeros_like(row) if bad else row for row, bad in zip(rows, failed, strict=True)]
    write_columns(batch, {"rm_scores": columns})


def _judge_rows(
    batch: KVBatchMeta,
    extra_fields: Sequence[Mapping[str, Any]],
    judge: Callable[[torch.Tensor, torch.Tensor, str], bool],
) -> np.ndarray:
    """(B,) bool: what `judge` says of each row's response, its mask, and why it ended."""
    data = read_columns(batch, "responses", "response_mask")
    reasons = [str(fields.get("end_reason") or "") for fields in extra_fields]
    rows = zip(data["responses"].unbind(), data["response_mask"].unbind(), reasons, strict=True)
    return np.array([judge(*row) for row in rows], dtype=bool)


def _count_kept_tokens(batch: KVBatchMeta) -> None:
    """Let the token mean divide by the tokens that verl's rejection has kept.

    verl rejects in `response_mask`, and counts the tokens of the mean in `loss_mask`.
    """
    data = read_columns(batch, "response_mask", "loss_mask")
    kept = [
        response.to(loss.dtype)
        for response, loss in zip(data["response_mask"].unbind(), data["loss_mask"].unbind(), strict=True)
    ]
    write_columns(batch, {"loss_mask": kept})


def _mask(batch: KVBatchMeta, masked: np.ndarray, unavailable: np.ndarray) -> None:
    """Zero the masks of `masked` rows; those without a verdict also get a neutral score."""
    data = read_columns(batch, "uid", "rm_scores", "response_mask", "loss_mask")
    columns: dict[str, list[torch.Tensor]] = {
        name: [
            torch.zeros_like(row) if hidden else row
            for row, hidden in zip(data[name].unbind(), masked, strict=True)
        ]
        for name in ("response_mask", "loss_mask")
    }
    if unavailable.any():
        per_token = [row.clone() for row in data["rm_scores"].unbind()]
        scores = torch.stack([row.sum() for row in per_token])
        neutral = neutral_scores(scores, read_plain(data["uid"]), unavailable)
        for row, score in zip(per_token, neutral, strict=True):
            row.zero_()
            row[-1] = score
        columns["rm_scores"] = per_token
    write_columns(batch, columns)


def _take_out(batch: KVBatchMeta, no_score: np.ndarray) -> None:
    """Put `advantage_groups` in the place of the prompts' names; who reads them later counts no row without tokens."""
    uids = read_plain(read_columns(batch, "uid")["uid"])
    write_columns(batch, {"uid": advantage_groups(uids, no_score)})
