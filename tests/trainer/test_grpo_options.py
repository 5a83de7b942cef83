"""Every option of GRPO in the trainer's README reaches verl's code, by the recipe's key, and does what it says."""

from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from tensordict import TensorDict
from verl.protocol import DataProto
from verl.trainer.ppo.rollout_corr_helper import compute_rollout_correction_and_add_to_batch
from verl.trainer.ppo.v1.utils import compute_advantage_for_multi_trajectories
from verl.utils import tensordict_utils as tu
from verl.utils.config import omega_conf_to_dataclass
from verl.workers.utils.losses import ppo_loss

from verl_coder.launch.recipe import compose, find_recipe

LENGTHS = (4, 2)
ADVANTAGES = (1.0, -1.0)


@pytest.fixture(scope="module")
def composed() -> DictConfig:
    """The smallest recipe, composed over verl's tree once."""
    return compose(find_recipe("tiny_cpu"))


def _with(config: DictConfig, **options: Any) -> DictConfig:
    """A copy with options by their dotted keys, where a key that is not there is an error."""
    copy = config.copy()
    OmegaConf.set_struct(copy, True)
    for key, value in options.items():
        OmegaConf.update(copy, key.replace("__", "."), value)
    return copy


def _actor(config: DictConfig, **options: Any) -> Any:
    given = {f"actor_rollout_ref__actor__{key}": value for key, value in options.items()}
    return omega_conf_to_dataclass(_with(config, **given).actor_rollout_ref.actor)


def _nested(rows: list[torch.Tensor]) -> torch.Tensor:
    return torch.nested.as_nested_tensor(rows, layout=torch.jagged)


def _loss(
    actor: Any,
    *,
    ratio: float = 1.0,
    rows: tuple[int, ...] = (0, 1),
    entropy: float | None = None,
    ref_shift: float = 0.0,
    weights: float | None = None,
) -> tuple[float, torch.Tensor]:
    """verl's loss of two rollouts of 4 and 2 tokens with advantages 1 and -1, and its gradient at their log-probs."""
    lengths = [LENGTHS[row] for row in rows]
    leaf = torch.full((sum(lengths) + len(rows),), -1.0, requires_grad=True)  # one prompt token each
    offsets = torch.tensor([0, *np.cumsum([length + 1 for length in lengths])])
    output = {"log_probs": torch.nested.nested_tensor_from_jagged(leaf * 1.0, offsets=offsets)}
    if entropy is not None:
        output["entropy"] = torch.nested.nested_tensor_from_jagged(
            torch.full((len(leaf),), entropy), offsets=offsets
        )
    ones = [torch.ones(length) for length in lengths]
    fields = {
        "prompts": _nested([torch.ones(1, dtype=torch.long) for _ in rows]),
        "responses": _nested([one.long() for one in ones]),
        "response_mask": _nested([one.long() for one in ones]),
        "old_log_probs": _nested([-one - float(np.log(ratio)) for one in ones]),
        "ref_log_prob": _nested([-one - ref_shift for one in ones]),
        "advantages": _nested([ADVANTAGES[row] * one for row, one in zip(rows, ones, strict=True)]),
    }
    if weights is not None:
        fields["rollout_is_weights"] = _nested([weights * one for one in ones])
    data = TensorDict(fields, batch_size=len(rows))
    tu.assign_non_tensor(data, dp_size=1, batch_num_tokens=sum(LENGTHS), global_batch_size=len(LENGTHS))
    loss, _ = ppo_loss(actor, output, data)
    loss.backward()
    assert leaf.grad is not None
    return loss.item(), leaf.grad


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("token-mean", (-4 + 2) / 6),
        ("seq-mean-token-mean", (-1 + 1) / 2),
        ("seq-mean-token-sum", (-4 + 2) / 2),
        ("seq-mean-token-sum-norm", (-4 + 2) / 2 / 352),
    ],
)
def test_the_loss_is_aggregated_as_the_recipe_says(composed: DictConfig, mode: str, expected: float) -> None:
    actor = _actor(composed, loss_agg_mode=mode, loss_scale_factor=352, use_kl_loss=False)
    assert _loss(actor)[0] == pytest.approx(expected, abs=1e-6)


def test_with_a_constant_the_dr_grpo_loss_does_not_depend_on_the_micro_batches(composed: DictConfig) -> None:
    options: dict[str, Any] = {"loss_agg_mode": "seq-mean-token-sum-norm", "use_kl_loss": False}
    for factor, same in ((352, True), (None, False)):
        actor = _actor(composed, loss_scale_factor=factor, **options)
        parts = _loss(actor, rows=(0,))[0] + _loss(actor, rows=(1,))[0]
        assert (parts == pytest.approx(_loss(actor)[0], abs=1e-6)) is same


@pytest.mark.parametrize(
    ("ratio", "row", "low", "high", "moves"),
    [
        (1.25, 0, 0.2, 0.2, False),
        (1.25, 0, 0.2, 0.28, True),
        (0.75, 1, 0.2, 0.2, False),
        (0.75, 1, 0.3, 0.2, True),
    ],
)
def test_the_two_sides_of_the_clip_are_set_apart(
    composed: DictConfig, ratio: float, row: int, low: float, high: float, moves: bool
) -> None:
    actor = _actor(composed, clip_ratio_low=low, clip_ratio_high=high, use_kl_loss=False)
    assert bool(_loss(actor, ratio=ratio, rows=(row,))[1].any()) is moves


def test_the_kl_loss_is_added_with_its_coefficient(composed: DictConfig) -> None:
    plain = _loss(_actor(composed, use_kl_loss=False))[0]
    actor = _actor(composed, use_kl_loss=True, kl_loss_coef=0.5, kl_loss_type="k1")
    assert _loss(actor, ref_shift=0.2)[0] == pytest.approx(plain + 0.5 * 0.2, abs=1e-6)


def test_the_entropy_is_subtracted_with_its_coefficient(composed: DictConfig) -> None:
    actor = _actor(composed, use_kl_loss=False, entropy_coeff=0.1)
    assert _loss(actor, entropy=2.0)[0] == pytest.approx(_loss(actor)[0] - 0.1 * 2.0, abs=1e-6)


@pytest.mark.parametrize("by_std", [True, False])
def test_the_advantage_is_divided_by_the_groups_spread_or_not(composed: DictConfig, by_std: bool) -> None:
    algorithm = _with(composed, algorithm__norm_adv_by_std_in_grpo=by_std).algorithm
    scores = torch.tensor([1.0, 0.0, 0.0, 0.5, 0.5])
    rewards = torch.zeros(5, 3)
    rewards[:, -1] = scores
    data = DataProto(
        batch=TensorDict({"token_level_rewards": rewards, "response_mask": torch.ones(5, 3)}, batch_size=5),
        non_tensor_batch={"uid": np.array(["a", "a", "a", "b", "b"], dtype=object)},
    )
    result = compute_advantage_for_multi_trajectories(
        data,
        batch_keys=["a_0_0", "a_1_0", "a_2_0", "b_0_0", "b_1_0"],
        adv_estimator=algorithm.adv_estimator,
        norm_adv_by_std_in_grpo=algorithm.norm_adv_by_std_in_grpo,
        config=algorithm,
    ).batch["advantages"][:, 0]
    centred = scores[:3] - scores[:3].mean()
    expected = centred / scores[:3].std() if by_std else centred
    torch.testing.assert_close(result[:3], expected, atol=1e-4, rtol=0)
    assert not result[3:].any()


def _correct(config: DictConfig, **options: Any) -> tuple[DataProto, dict[str, Any]]:
    """verl's correction of one row whose tokens the trainer finds 1, e and 1/e times as likely as the rollout did."""
    given = {f"algorithm__rollout_correction__{key}": value for key, value in options.items()}
    batch = {
        "old_log_probs": torch.tensor([[-1.0, -1.0, -1.0]]),
        "rollout_log_probs": torch.tensor([[-1.0, -2.0, 0.0]]),
        "response_mask": torch.ones(1, 3, dtype=torch.long),
    }
    return compute_rollout_correction_and_add_to_batch(
        DataProto(batch=TensorDict(batch, batch_size=1)), _with(config, **given).algorithm.rollout_correction
    )


def test_the_mismatch_weights_are_cut_at_their_threshold_and_multiply_the_loss(composed: DictConfig) -> None:
    data, metrics = _correct(composed, rollout_is="token", rollout_is_threshold=2.0)
    expected = torch.tensor([[1.0, 2.0, float(np.exp(-1))]])
    torch.testing.assert_close(data.batch["rollout_is_weights"], expected)
    assert "rollout_corr/rollout_is_mean" in metrics
    actor = _actor(composed, use_kl_loss=False)
    assert _loss(actor, weights=0.5)[0] == pytest.approx(0.5 * _loss(actor)[0], abs=1e-6)


def test_without_a_setting_the_mismatch_is_measured_only(composed: DictConfig) -> None:
    data, metrics = _correct(composed)
    assert "rollout_is_weights" not in data.batch and data.batch["response_mask"].all()
    assert "rollout_corr/kl" in metrics


def test_rejection_masks_the_tokens_out_of_bounds(composed: DictConfig) -> None:
    data, _ = _correct(composed, rollout_rs="token_k1", rollout_rs_threshold="0.5_2.0")
    assert data.batch["response_mask"].tolist() == [[1, 0, 0]]
