"""Samples that begin alike are computed once up to where they part; logits only where a token is trained.

The first is `attn_implementation: shared_prefix`, on a CPU.

The samples of a GRPO group have one prompt, and often the first words of the answer in common. verl computes them once
a sample, in the update and in the passes for old and reference log-probabilities. Here a micro-batch is laid out as

    [common tokens] [own tokens of sample 1] [own tokens of sample 2] ...

with the positions that the tokens have in their samples, which `packed_attention.py` reads as a tree of depth two.
Every token's output is copied to all samples that it stands for, so losses and gradients are those of the samples one
by one; the sums are taken in another order. It needs `actor_rollout_ref.model.use_remove_padding=true`.

Of a prompt and of a tool's output no token is trained, and no loss reads its log-probability: with any attention the
vocabulary's logits are left out there, and log-probability and entropy are 0.
Importing the module puts both into verl's FSDP engine.
"""

import inspect
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
import verl.workers.engine.fsdp.transformer_impl as _fsdp
from tensordict import TensorDict
from transformers import AttentionInterface, AttentionMaskInterface
from verl.utils import tensordict_utils as tu

from verl_coder.platform.environment import cpu_platform_selected
from verl_coder.platform.label_log_probs import LabelHead, Question, label_head_of
from verl_coder.platform.packed_attention import packed_attention, packed_mask
from verl_coder.platform.tensordicts import replaced

NAME = "shared_prefix"
_LEAST = 16
"""Common tokens under which sharing is not worth the second piece of a sample."""
_TEXT = {"input_ids", "attention_mask", "position_ids"}


@dataclass
class Cluster:
    """Rows (numbers in the batch) whose first `shared` tokens are the same."""

    rows: list[int]
    shared: int
    tokens: int


def clusters(rows: list[list[int]]) -> list[Cluster]:
    """Rows of token ids -> clusters with the fewest tokens to compute, greedily in sorted order.

    The last common token is computed once a row, because what follows it, its label, is not common.
    """
    found: list[Cluster] = []
    last: list[int] = []
    for number in sorted(range(len(rows)), key=lambda number: rows[number]):
        row = rows[number]
        if found:
            cluster = found[-1]
            common = _common(last, row) - 1
            shared = min(common, cluster.shared) if len(cluster.rows) > 1 else common
            saved = (len(cluster.rows) - 1) * cluster.shared
            if shared >= _LEAST and shared * len(cluster.rows) > saved:
                cluster.tokens += saved + len(row) - shared * len(cluster.rows)
                cluster.rows.append(number)
                cluster.shared = shared
                last = row
                continue
        found.append(Cluster([number], 0, len(row)))
        last = row
    return found


def _common(first: list[int], second: list[int]) -> int:
    """How many tokens two rows begin with alike."""
    low, high = 0, min(len(first), len(second))
    while low < high:
        middle = (low + high + 1) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


@dataclass
class SharedLayout:
    """`source` (packed tokens,): where each stands among the batch's; `expand` (tokens of the batch,): the way back."""

    source: torch.Tensor
    expand: torch.Tensor


def layout_of(input_ids: Any) -> SharedLayout | None:
    """How the rows of jagged `input_ids` are laid out; None where no two of them share a beginning."""
    offsets = input_ids.offsets().tolist()
    found = clusters([row.tolist() for row in input_ids.unbind()])
    if all(cluster.shared == 0 for cluster in found):
        return None
    source, expand, packed = [], torch.empty(offsets[-1], dtype=torch.long), 0
    for cluster in found:
        root, head = offsets[cluster.rows[0]], packed
        source.append(torch.arange(root, root + cluster.shared))
        packed += cluster.shared
        for row in cluster.rows:
            begin, end = offsets[row], offsets[row + 1]
            source.append(torch.arange(begin + cluster.shared, end))
            expand[begin : begin + cluster.shared] = torch.arange(head, head + cluster.shared)
            own = end - begin - cluster.shared
            expand[begin + cluster.shared : end] = torch.arange(packed, packed + own)
            packed += own
    return SharedLayout(torch.cat(source), expand)


def trained_tokens(batch: TensorDict) -> torch.Tensor | None:
    """(tokens of the batch,) bool: where what comes next has a loss; None where the batch does not say.

    `loss_mask` and every field `..._weights` hold a number for each of a row's last tokens, 0 where there is none.
    """
    if "loss_mask" not in batch.keys():  # noqa: SIM118 - a TensorDict is not iterated by key
        return None
    offsets = batch["input_ids"].offsets()
    found = torch.zeros(int(offsets[-1]), dtype=torch.bool, device=offsets.device)
    for name, values in batch.items():
        if (name == "loss_mask" or name.endswith("_weights")) and getattr(values, "is_nested", False):
            # The token before the first of them predicts it: one place to the left.
            shift = torch.repeat_interleave(offsets[1:] - values.offsets()[1:], values.offsets().diff())
            places = torch.arange(len(shift), device=shift.device) + shift - 1
            within = places >= torch.repeat_interleave(offsets[:-1], values.offsets().diff())
            found[places[within & (values.values() != 0)]] = True
    return found


def micro_batches(rows: list[list[int]], most: int, least: int = 1) -> list[list[int]]:
    """At least `least` micro-batches of at most `most` tokens to compute, rows that begin alike together.

    Raises ValueError where a row alone is longer, or `least` is more than there are rows.
    """
    longest = max(len(row) for row in rows)
    if longest > most or least > len(rows):
        raise ValueError(
            f"{len(rows)} rows, the longest of {longest} tokens: not to be had in {least} of {most} tokens"
        )
    batches: list[list[int]] = [[]]
    filled = 0
    for cluster in clusters(rows):
        shared = cluster.shared
        for place, row in enumerate(cluster.rows):
            tokens = len(rows[row]) - (shared if place else 0)
            if batches[-1] and filled + tokens > most:
                batches.append([])
                filled, tokens = 0, len(rows[row])
            batches[-1].append(row)
            filled += tokens
    while len(batches) < least:
        batches.sort(key=len)
        widest = batches.pop()
        batches += [widest[: len(widest) // 2], widest[len(widest) // 2 :]]
    return batches


def _prepare_micro_batches(data: TensorDict, dp_group: Any = None, **options: Any) -> tuple[Any, Any]:
    """verl's micro-batches, by tokens to compute where samples that begin alike are computed once."""
    shares = tu.get_non_tensor_data(data, "shares_prefixes", False)
    if not (shares and tu.get_non_tensor_data(data, "use_dynamic_bsz", True)):
        return _verls_micro_batches(data=data, dp_group=dp_group, **options)
    rows = [row.tolist() for row in data["input_ids"].unbind()]
    most = int(data["max_token_len_per_gpu"])
    indices = micro_batches(rows, most)
    if dist.is_initialized() and dp_group is not None:
        # Every rank has as many: each is a collective of FSDP.
        count = torch.tensor([len(indices)], device=data["input_ids"].device)
        dist.all_reduce(count, op=dist.ReduceOp.MAX, group=dp_group)
        indices = micro_batches(rows, most, least=int(count.item()))
    return [tu.index_select_tensor_dict(data, numbers) for numbers in indices], indices


def _prepare_model_inputs(engine: Any, micro_batch: TensorDict) -> tuple[dict[str, Any], dict[str, Any]]:
    """verl's inputs, with what samples have in common once, and logits where they are trained."""
    inputs, outputs = _verls_inputs(engine, micro_batch)
    if not _is_plain(engine, micro_batch) or outputs["pad_size"] or not inputs.keys() <= _TEXT:
        return inputs, outputs
    layout = layout_of(micro_batch["input_ids"]) if _has_attention(engine) else None
    if layout is not None:
        for name in ("input_ids", "position_ids"):
            inputs[name] = inputs[name][:, layout.source]
        for name in ("input_ids_rmpad_rolled", "temperature_rmpad"):
            outputs[name] = outputs[name][layout.source]
    trained = trained_tokens(micro_batch) if _chooses_logits(engine) else None
    keep = None
    if trained is not None:
        packed = trained
        if layout is not None:
            packed = torch.zeros(len(layout.source), dtype=torch.bool)
            packed[layout.expand[trained]] = True
        # At least one: a loss over no logits has no gradient to give to the other ranks' collectives.
        packed[0] |= not packed.any()
        keep = packed.nonzero().view(-1)
        inputs["logits_to_keep"] = keep
        for name in ("input_ids_rmpad_rolled", "temperature_rmpad"):
            outputs[name] = outputs[name][keep]
    head = _label_head(engine, micro_batch)
    question = None
    if head is not None:
        question = head.question = _question(outputs, micro_batch)
    if layout is not None or keep is not None or question is not None:
        outputs[NAME] = _Pass(layout, keep, inputs["input_ids"].numel(), question)
    return inputs, outputs


@dataclass
class _Pass:
    """A pass over `tokens`, of which those of `keep` have logits; its answer where it was asked for no logits."""

    layout: SharedLayout | None
    keep: torch.Tensor | None
    tokens: int
    question: Question | None


def _label_head(engine: Any, micro_batch: TensorDict) -> LabelHead | None:
    """The model's, on a CPU, where nothing needs the logits themselves: no gradient goes through the entropy."""

    def wanted(key: str) -> bool:
        return bool(tu.get_non_tensor_data(micro_batch, key, False))

    if not cpu_platform_selected() or wanted("calculate_sum_pi_squared") or wanted("distillation_only"):
        return None
    if wanted("calculate_entropy") and torch.is_grad_enabled():
        return None
    return label_head_of(engine.module)


def _question(outputs: dict[str, Any], micro_batch: TensorDict) -> Question:
    """The log-probabilities of the next tokens, and the entropies if the batch asks for them."""
    labels, temperature = outputs["input_ids_rmpad_rolled"], outputs["temperature_rmpad"]
    entropy = tu.get_non_tensor_data(micro_batch, "calculate_entropy", False)
    return Question(
        labels,
        None if outputs.get("temperature_is_one", False) else temperature,
        torch.empty(labels.shape, dtype=torch.float32, device=labels.device) if entropy else None,
    )


def _prepare_model_outputs(
    engine: Any, output: Any, output_args: dict[str, Any], micro_batch: TensorDict, logits_processor_func: Any
) -> dict[str, Any]:
    """verl's outputs (log-probabilities, entropy), each token's given to every sample that it stands for."""
    asked: _Pass | None = output_args.pop(NAME, None)
    if asked is None:
        return _verls_outputs(engine, output, output_args, micro_batch, logits_processor_func)
    ids, keep, layout = micro_batch["input_ids"], asked.keep, asked.layout
    if asked.question is not None:
        found = {"log_probs": output.logits.squeeze(0)}
        if asked.question.entropies is not None:
            found["entropy"] = asked.question.entropies
    else:
        computed = asked.tokens if keep is None else len(keep)
        # verl takes of the batch only how many rows and tokens there are.
        counted = torch.nested.nested_tensor_from_jagged(
            ids.values().new_zeros(computed), _offsets(computed, ids.size(0), ids.device)
        )
        with replaced(micro_batch, "input_ids", counted) as packed:
            given = _verls_outputs(engine, output, output_args, packed, logits_processor_func)
        found = {name: value.values() for name, value in given.items()}

    def spread(values: torch.Tensor) -> torch.Tensor:
        if keep is not None:
            values = values.new_zeros(asked.tokens).index_copy(0, keep, values)
        return values if layout is None else values[layout.expand]

    return {
        name: torch.nested.nested_tensor_from_jagged(spread(value), ids.offsets())
        for name, value in found.items()
    }


def _offsets(tokens: int, rows: int, device: torch.device) -> torch.Tensor:
    """Offsets of `rows` rows with `tokens` in all."""
    return torch.cat([torch.zeros(rows), torch.tensor([tokens])]).to(device=device, dtype=torch.long)


def _chooses_logits(engine: Any) -> bool:
    """Whether the model's forward pass takes the places whose logits are wanted."""
    model = engine.module
    model = model.get_base_model() if hasattr(model, "get_base_model") else model
    return "logits_to_keep" in inspect.signature(type(model).forward).parameters


def _forward_backward_batch(engine: Any, data: TensorDict, *args: Any, **options: Any) -> Any:
    tu.assign_non_tensor(data, shares_prefixes=_shares(engine, data))
    return _verls_batch(engine, data, *args, **options)


def _shares(engine: Any, data: TensorDict) -> bool:
    """Whether the model has this attention, and the batch is one that can be laid out anew."""
    return _has_attention(engine) and _is_plain(engine, data)


def _has_attention(engine: Any) -> bool:
    return bool(engine.model_config.hf_config._attn_implementation == NAME)


def _is_plain(engine: Any, data: TensorDict) -> bool:
    """Whether the batch is text in packed rows with verl's own log-probabilities."""

    def wanted(key: str, default: bool) -> bool:
        return bool(tu.get_non_tensor_data(data, key, default))

    return (
        wanted("use_remove_padding", True)
        and not (
            wanted("use_fused_kernels", False)
            or wanted("distillation_use_topk", False)
            or engine.use_ulysses_sp
        )
        and data["position_ids"].dim() == 2
        and type(engine).prepare_model_outputs is _prepare_model_outputs  # not a critic's
    )


engine_module: Any = _fsdp
"""verl's, with what stands here in it."""
_base, _engine = engine_module.FSDPEngine, engine_module.FSDPEngineWithLMHead
_verls_micro_batches, _verls_batch = engine_module.prepare_micro_batches, _base.forward_backward_batch
_verls_inputs, _verls_outputs = _engine.prepare_model_inputs, _engine.prepare_model_outputs
engine_module.prepare_micro_batches = _prepare_micro_batches
_base.forward_backward_batch = _forward_backward_batch
_engine.prepare_model_inputs, _engine.prepare_model_outputs = _prepare_model_inputs, _prepare_model_outputs
AttentionInterface.register(NAME, packed_attention)
AttentionMaskInterface.register(NAME, packed_mask)
