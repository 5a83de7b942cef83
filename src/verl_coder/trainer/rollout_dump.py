"""`rollouts/<step>.jsonl`: verl's dump with the verdict, the tools, the advantage and, where asked for, the tokens."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from transfer_queue import KVBatchMeta
from verl.utils.debug import marked_timer

from verl_coder.trainer.recipe_trainer import RecipeTrainer, place_of, read_columns, read_plain

_FIELDS = (
    *("prompts", "responses", "rm_scores", "reward_model", "extra_info", "extra_fields", "num_turns"),
    *("response_mask", "advantages"),
)
_TOKEN_FIELDS = ("loss_mask", "rollout_log_probs")


class RolloutDumpMixin(RecipeTrainer):
    """verl's `_log_rollout_data`, which knows texts and scores alone, by our own; verl's names stay."""

    _dumped_step: int = 0
    """Step whose file is made, or being made."""

    def _log_rollout_data(
        self, batch: KVBatchMeta, timing_raw: dict[str, float], rollout_data_dir: str
    ) -> None:
        if self._dumped_step == self.global_steps:
            return  # before its evaluation
        self._dumped_step = self.global_steps
        with marked_timer("dump_rollout_generations", timing_raw, color="green"):
            # Samples of a prompt stand together, in order.
            order = sorted(range(len(batch.keys)), key=lambda place: place_of(batch.keys[place]))
            fields = (*_FIELDS, *_TOKEN_FIELDS) if self.settings.rollout_tokens else _FIELDS
            data = read_columns(batch, *fields)
            columns = {name: _rows(data.get(name, None), len(batch.keys)) for name in fields}
            rows = [
                self._dump_row(batch.keys[place], {name: column[place] for name, column in columns.items()})
                for place in order
            ]
            names = list(dict.fromkeys(name for row in rows for name in row))
            extra = {name: [row.get(name) for row in rows] for name in names if name not in _VERLS}
            inputs, outputs, truths, scores = ([row[name] for row in rows] for name in _VERLS)
            self._dump_generations(inputs, outputs, truths, scores, extra, rollout_data_dir)

    def _dump_row(self, key: str, row: Mapping[str, Any]) -> dict[str, Any]:
        """One line of the file, without the step."""
        extra = dict(row["extra_fields"] or {})
        info = dict(row["extra_info"] or {})
        line = {
            **dict(extra.get("reward_extra_info") or {}),
            "input": self._decode(row["prompts"]),
            "output": self._decode(row["responses"]),
            "gts": dict(row["reward_model"] or {}).get("ground_truth"),
            "score": float(row["rm_scores"].sum()),
            "uid": key,
            "problem_id": info.get("problem_id"),
            "difficulty": info.get("difficulty"),
            "tool_calls": extra.get("tool_calls"),
            "tool_successes": extra.get("tool_successes"),
            "turns": None if row["num_turns"] is None else int(row["num_turns"]) // 2,
            "response_tokens": len(row["responses"]),
            "end_reason": str(extra.get("end_reason") or ""),
        }
        if extra.get("tool_sandbox_unavailable"):
            line["sandbox_unavailable"] = 1.0  # what the reward says of the rest is no verdict
        if row["advantages"] is not None and row["response_mask"] is not None:
            line["advantage"] = sequence_advantage(row["advantages"], row["response_mask"])
        if self.settings.rollout_tokens:
            line["tokens"] = token_columns(row, self._token_text)
        return line

    def _decode(self, ids: torch.Tensor) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=True))

    def _token_text(self, token: int) -> str:
        """The text of a token by itself; one tokenizer call per token that a run ever writes."""
        known: dict[int, str] = self.__dict__.setdefault("_token_texts", {})
        if token not in known:
            known[token] = str(self.tokenizer.decode([token]))
        return known[token]


_VERLS = ("input", "output", "gts", "score")
"""Arguments of verl's `_dump_generations`, in order."""


def sequence_advantage(advantages: torch.Tensor, response_mask: torch.Tensor) -> float | None:
    """The advantage of a response, (T,) both: GRPO's is the same on every learnt token. None where none is learnt."""
    learnt = response_mask.bool()
    return round(float(advantages[learnt].mean()), 6) if learnt.any() else None


def token_columns(row: Mapping[str, Any], text_of: Callable[[int], str]) -> dict[str, list[Any]]:
    """`text`, `learnt` and `log_prob` of each token of a response; what the batch lacks is left out."""
    columns: dict[str, list[Any]] = {"text": [text_of(token) for token in row["responses"].tolist()]}
    masks = [row[name].bool() for name in ("response_mask", "loss_mask") if row[name] is not None]
    if masks:
        columns["learnt"] = [
            int(all(flags)) for flags in zip(*(mask.tolist() for mask in masks), strict=True)
        ]
    if row["rollout_log_probs"] is not None:
        columns["log_prob"] = [round(value, 4) for value in row["rollout_log_probs"].tolist()]
    return columns


def _rows(column: Any, count: int) -> Sequence[Any]:
    """A column of TransferQueue by row, None for each where the batch has no such column."""
    if column is None:
        return [None] * count
    return list(column.unbind()) if torch.is_tensor(column) else read_plain(column)
