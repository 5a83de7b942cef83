"""Every file in losses/ passes its own check, says what it is in the README, and keeps what it promises."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from omegaconf import OmegaConf
from verl.trainer.ppo.core_algos import compute_policy_loss_vanilla

from verl_coder.launch.preflight.policy_loss import check_policy_file
from verl_coder.trainer.composite.policy_file import FUNCTION, PROMISE, load_policy_file, policy_loss

FOLDER = Path(__file__).parents[2] / "losses"
FILES = sorted(FOLDER.glob("*.py"))
ACTOR = OmegaConf.create(
    {"clip_ratio": 0.2, "clip_ratio_low": 0.1, "clip_ratio_high": 0.3, "clip_ratio_c": 3.0}
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_file_passes_its_own_check_and_stands_in_the_readme(path: Path) -> None:
    check_policy_file(path, {}, ACTOR)
    assert f"`{path.name}`" in (FOLDER / "README.md").read_text()
    assert getattr(load_policy_file(str(path)), PROMISE)


def test_the_example_of_the_readme_works(tmp_path: Path) -> None:
    example = (
        (FOLDER / "README.md").read_text().split("## Copy me")[1].split("```python\n")[1].split("```")[0]
    )
    (tmp_path / "mine.py").write_text(example)
    check_policy_file(tmp_path / "mine.py", {"high": 0.1}, ACTOR)


@pytest.mark.parametrize("mode", ["token-mean", "seq-mean-token-mean"])
@pytest.mark.parametrize("weighted", [False, True])
def test_clipped_is_verls_own_loss(mode: str, weighted: bool) -> None:
    draw = torch.Generator().manual_seed(3)
    old, change, advantages = (torch.randn(4, 7, generator=draw) for _ in range(3))
    mask = (torch.rand(4, 7, generator=draw) > 0.3).float()
    weights = torch.rand(4, 7, generator=draw) if weighted else None
    batch = {
        "dp_size": 1,
        "batch_num_tokens": int(mask.sum()),
        "global_batch_size": 4,
        "loss_scale_factor": None,
    }
    config = SimpleNamespace(**ACTOR, global_batch_info=batch, get=ACTOR.get)
    found = []
    function = getattr(load_policy_file(str(FOLDER / "clipped.py")), FUNCTION)
    for loss_of in (compute_policy_loss_vanilla, lambda *a, **k: policy_loss(function, *a, **k)):
        log_prob = (old + change).requires_grad_()
        loss, metrics = loss_of(old, log_prob, advantages, mask, mode, config, weights)
        found.append((loss, torch.autograd.grad(loss, log_prob)[0], metrics["actor/ppo_kl"]))
    torch.testing.assert_close(found[0], found[1])


def test_reinforce_counts_wrong_answers_as_it_is_told() -> None:
    function = getattr(load_policy_file(str(FOLDER / "reinforce.py")), FUNCTION)
    log_prob, advantages = torch.tensor([[-1.0, -1.0]]), torch.tensor([[2.0, -2.0]])
    given = {
        "log_prob": log_prob,
        "old_log_prob": log_prob,
        "advantages": advantages,
        "response_mask": log_prob,
    }
    assert function(**given, negative_weight=0.25).tolist() == [[2.0, -0.5]]
