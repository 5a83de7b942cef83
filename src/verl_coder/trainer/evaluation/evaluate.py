"""Evaluation while training: greedy and sampled answers to the held-out problems, all in flight at once."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import transfer_queue as tq
from transfer_queue import KVBatchMeta
from verl.utils import tensordict_utils as tu

from verl_coder.errors import RolloutsLostError
from verl_coder.evaluation.statistics import tool_statistics
from verl_coder.files import write_atomically
from verl_coder.trainer.checkpointing import CheckpointMixin
from verl_coder.trainer.evaluation.report import Answer, evaluation_metrics, sample_table
from verl_coder.trainer.evaluation.workers import SAMPLED
from verl_coder.trainer.recipe_trainer import read_plain
from verl_coder.trainer.repeatable import prompt_names


class EvaluationMixin(CheckpointMixin):
    """verl's `_validate`, which knows one kind of answer and no tools, by our own; verl's metric names stay."""

    def _validate(self) -> dict[str, Any]:
        answers: list[Answer] = []
        expected: dict[tuple[str, str], int] = {}
        named = 0
        for batch_dict in self.val_dataloader:
            rows = self._with_sampled_rows(batch_dict, named)
            named += len(rows["uid"])
            for uid, source, sampled in zip(rows["uid"], rows["data_source"], rows[SAMPLED], strict=True):
                if not sampled:
                    expected[str(source), str(uid)] = self.config.actor_rollout_ref.rollout.val_kwargs.n
            answers += self._answer(rows)
        self._dump(answers)
        greedy = [answer for answer in answers if not answer.sampled and answer.graded]
        for answer in answers:
            if not answer.sampled and not answer.graded:
                expected[answer.data_source, answer.uid] -= 1  # no verdict is not a wrong answer
        metrics: dict[str, Any] = {}
        if greedy:
            metrics |= self._val_metrics_update(
                [answer.data_source for answer in greedy],
                [answer.uid for answer in greedy],
                complete([{"reward": answer.score, **answer.infos} for answer in greedy]),
                [answer.turns for answer in greedy],
                {key: count for key, count in expected.items() if count > 0},
            )
            calls = tool_statistics([a.tool_calls for a in greedy], [a.tool_successes for a in greedy])
            metrics |= {f"val-aux/tool_calls/{name}": calls[name] for name in ("mean", "rate")}
        metrics |= evaluation_metrics(answers)
        metrics |= self._write_table(answers)
        if self._says_enough(metrics):
            self.evaluated(greedy, metrics)
        return metrics

    def evaluated(self, greedy: Sequence[Answer], metrics: dict[str, Any]) -> None:
        """What follows from an evaluation that says enough; other mixins add to it."""
        if "eval/greedy/pass_at_1" in metrics:
            self.note_pass_rate(metrics["eval/greedy/pass_at_1"])

    def _says_enough(self, metrics: Mapping[str, Any]) -> bool:
        """False, with a warning, where too many answers have no verdict, or failed, for anything to follow from it."""
        lost = metrics["eval/unavailable_share"]
        if lost > self.settings.max_sandbox_unavailable_share:
            self.notices.say(
                f"evaluation {self.global_steps}",
                f"the evaluation after step {self.global_steps} says little: {lost:.0%} of its answers have no "
                "verdict, because the sandbox did not answer",
            )
        failed = metrics.get("eval/failed_share", 0.0)
        if failed > self.settings.max_failed_share:
            self.notices.say(
                f"failed {self.global_steps}",
                f"the evaluation after step {self.global_steps} counts {failed:.0%} of its answers as failed, because "
                "their reward raised or gave no finite score, or their rollout was lost",
            )
        return (
            lost <= self.settings.max_sandbox_unavailable_share and failed <= self.settings.max_failed_share
        )

    def _with_sampled_rows(self, batch_dict: Mapping[str, Any], first: int) -> dict[str, Any]:
        """The batch, and behind it, with verl_coder.eval_samples, each problem once more to be sampled.

        `first`: rows of the batches before it.
        """
        count, samples = len(batch_dict["raw_prompt"]), self.settings.eval_samples
        copies = 2 if samples else 1
        rows = {
            name: torch.cat([value] * copies) if torch.is_tensor(value) else np.concatenate([value] * copies)
            for name, value in batch_dict.items()
        }
        greedy_n = self.config.actor_rollout_ref.rollout.val_kwargs.n
        rows["uid"] = _objects(prompt_names(self.global_steps, first, count * copies))
        rows[SAMPLED] = _objects([False] * count + [True] * (count * (copies - 1)))
        rows["__rollout_n__"] = _objects([greedy_n] * count + [samples] * (count * (copies - 1)))
        rows.setdefault("data_source", _objects(["unknown"] * (count * copies)))
        return rows

    def _answer(self, rows: dict[str, Any]) -> list[Answer]:
        """Generate, run the tools, grade; one Answer per finished trajectory."""
        batch = tu.get_tensordict(rows)
        tu.assign_non_tensor_data(batch, "global_steps", self.global_steps)
        tu.assign_non_tensor_data(batch, "validate", True)
        tags = [{"is_prompt": True, "status": "pending", "global_steps": self.global_steps}] * len(batch)
        tq.kv_batch_put(keys=list(rows["uid"]), partition_id="val", tags=[dict(tag) for tag in tags])
        self.asked_answers = int(sum(rows["__rollout_n__"]))
        self.agent_loop_manager.generate_sequences(batch)
        done, _ = self.replay_buffer.sample(
            global_steps=self.global_steps, partition_id="val", batch_size=len(rows["uid"])
        )
        if not done.keys:
            raise RolloutsLostError(f"none of {self.asked_answers} answers of the evaluation came back")
        if self.reward_loop_manager.reward_loop_worker_handles is None:
            self.checkpoint_manager.sleep_replicas()
            done = self._compute_reward_colocate(done)
            self.checkpoint_manager.update_weights()
        try:
            return self._read_answers(done, {uid: place for place, uid in enumerate(rows["uid"])}, rows)
        finally:
            tq.kv_clear(keys=done.keys, partition_id=done.partition_id)

    def _read_answers(self, done: KVBatchMeta, place: dict[str, int], rows: dict[str, Any]) -> list[Answer]:
        keys = last_outputs(done.keys)
        if not keys:
            return []
        data = tq.kv_batch_get(
            keys=keys,
            partition_id=done.partition_id,
            select_fields=["uid", "prompts", "responses", "rm_scores", "num_turns", "extra_fields"],
        )
        ids = {name: data[name].unbind() for name in ("prompts", "responses")}
        prompts, texts = (
            [self.tokenizer.decode(row, skip_special_tokens=True) for row in rows_of]
            for rows_of in ids.values()
        )
        scores = [float(row.sum()) for row in data["rm_scores"].unbind()]
        uids, turns, extras = (read_plain(data[name]) for name in ("uid", "num_turns", "extra_fields"))
        answers = []
        for i, uid in enumerate(uids):
            row, extra = place[uid], dict(extras[i] or {})
            info = dict(rows["extra_info"][row]) if "extra_info" in rows else {}
            truth = rows["reward_model"][row] if "reward_model" in rows else {}
            infos = dict(extra.get("reward_extra_info") or {})
            if extra.get("tool_sandbox_unavailable"):
                infos["sandbox_unavailable"] = 1.0  # what the reward says of the rest is no verdict
            answers.append(
                Answer(
                    uid=uid,
                    problem_id=str(info.get("problem_id", uid)),
                    difficulty=str(info.get("difficulty", "unknown")),
                    data_source=str(rows["data_source"][row]),
                    sampled=bool(rows[SAMPLED][row]),
                    prompt=prompts[i],
                    text=texts[i],
                    score=scores[i],
                    infos=infos,
                    turns=int(turns[i]),
                    response_tokens=len(ids["responses"][i]),
                    end_reason=str(extra.get("end_reason") or ""),
                    tool_calls=int(extra.get("tool_calls", 0)),
                    tool_successes=int(extra.get("tool_successes", 0)),
                    ground_truth=str(dict(truth).get("ground_truth")),
                    extra_info=info,
                )
            )
        return answers

    def _dump(self, answers: Sequence[Answer]) -> None:
        """`validation/<step>.jsonl`: everything, as verl names it."""
        folder = self.config.trainer.get("validation_data_dir", None)
        if not folder:
            return
        ordered = sorted(answers, key=lambda answer: (answer.problem_id, answer.sampled))
        self._dump_generations(
            inputs=[answer.prompt for answer in ordered],
            outputs=[answer.text for answer in ordered],
            gts=[answer.ground_truth for answer in ordered],
            scores=[answer.score for answer in ordered],
            reward_extra_infos_dict=_columns([_dump_row(answer) for answer in ordered]),
            dump_path=folder,
        )

    def _write_table(self, answers: Sequence[Answer]) -> dict[str, str]:
        """The table of samples of this step, by its place for the trackers."""
        table = sample_table(answers, self.settings.eval_table_rows)
        if not table:
            return {}
        path = self.run_dir.samples / f"step_{self.global_steps:06d}.jsonl"
        try:
            write_atomically(path, "".join(json.dumps(row) + "\n" for row in table))
        except OSError as error:
            self.notices.say("samples", f"{path} cannot be written ({error}); training goes on")
            return {}
        return {"tables/eval/samples": str(path.relative_to(self.run_dir.path))}


def _dump_row(answer: Answer) -> dict[str, Any]:
    """A line of `validation/<step>.jsonl`, but for what verl writes of itself; names as in `rollouts/`."""
    return {
        **answer.infos,  # of a reward that uses one of these names, it is no longer its own
        "problem_id": answer.problem_id,
        "sampled": answer.sampled,
        "tool_calls": answer.tool_calls,
        "tool_successes": answer.tool_successes,
        "turns": answer.turns // 2,
        "response_tokens": answer.response_tokens,
        "end_reason": answer.end_reason,
    }


def last_outputs(keys: Sequence[str]) -> list[str]:
    """Keys {uid}_{session}_{index}: the last index of each session, in the order of the sessions."""
    last: dict[str, tuple[int, str]] = {}
    for key in keys:
        session, _, index = key.rpartition("_")
        if session not in last or int(index) > last[session][0]:
            last[session] = (int(index), key)
    return [key for _, key in last.values()]


def _objects(values: Sequence[Any]) -> np.ndarray:
    """A column of Python objects, as verl's batches have them."""
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def complete(rows: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """Columns for verl's statistics: 0 where an answer that failed lacks a number that others have."""
    columns = _columns(rows)
    for values in columns.values():
        if any(isinstance(value, int | float) for value in values):
            values[:] = [0.0 if value is None else value for value in values]
    return columns


def _columns(rows: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """Rows to columns; None where a row lacks a key."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {name: [row.get(name) for row in rows] for name in names}
