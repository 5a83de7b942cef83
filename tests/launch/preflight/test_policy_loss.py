"""A policy loss that the update could not use is refused in one line with the file and the line."""

# ruff: noqa: E501 - a table of files

from pathlib import Path
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from verl_coder.errors import ConfigError
from verl_coder.launch.preflight.policy_loss import check_policy_file, check_policy_loss
from verl_coder.run.settings import PolicyLossSettings

HEAD = "import torch\n\ndef token_loss(log_prob, old_log_prob, advantages, response_mask, *, weight=1.0, **kwargs):\n"
PROMISE = "ROWS_WITHOUT_ADVANTAGE_HAVE_NO_GRADIENT = True\n"
GOOD = "    return -advantages * weight * log_prob\n"
BAD = {
    "a syntax error": ("x = (\n", 1, "never closed"),
    "no function": ("x = 1\n", 1, "defines no function 'token_loss'"),
    "an argument less": ("def token_loss(log_prob, advantages, config):\n    pass\n", 1, "lacks the argument 'old_log_prob'"),
    "an error": (HEAD + "    return advantages * log_probs\n", 4, "NameError"),
    "an end of the process": ("import os\nos._exit(0)\n" + HEAD + GOOD, 2, "ends the process"),
    "a mean": (HEAD + "    return -(advantages * log_prob).mean()\n", 3, "returned (), not losses of shape (5, 6)"),
    "nothing": (HEAD + "    return None\n", 3, "returned NoneType"),
    "a metric of another shape": (HEAD + "    return -advantages * log_prob, {'a': log_prob[0, :2]}\n", 3, "ValueError: the metric a has shape (2,), not (5, 6)"),
    "what a mask of booleans does not do": (HEAD + "    return -advantages * log_prob * (1 - response_mask)\n", 4, "RuntimeError: Subtraction"),
    "a detached loss": (HEAD + "    return -advantages * log_prob.detach()\n", 3, "no gradient at log_prob (on-policy)"),
    "a loss that on-policy has no gradient": (HEAD + "    return (log_prob - old_log_prob) ** 2\n", 3, "no gradient at log_prob (on-policy)"),
    "nan": (HEAD + "    return advantages * (log_prob - old_log_prob) / (log_prob - old_log_prob)\n", 3, "the loss is nan (on-policy)"),
    "a promise not kept: a row's own term": (PROMISE + HEAD + "    return -advantages * log_prob + log_prob ** 2\n", 4, "is not true"),
    "a promise not kept: a mean over rows": (PROMISE + HEAD + "    return -advantages * log_prob / log_prob.mean()\n", 4, "is not true"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_refused_with_file_and_line(what: str, tmp_path: Path) -> None:
    source, line, words = BAD[what]
    path = tmp_path / "mine.py"
    path.write_text(source)
    with pytest.raises(ConfigError) as caught:
        check_policy_file(path, {})
    message = str(caught.value)
    assert message.startswith(f"{path}:{line}: ") and words in message and "\n" not in message, message


def test_losses_of_whole_rows_have_no_nan_where_a_row_is_masked(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    ratio = "((log_prob - old_log_prob) * response_mask).sum(-1, keepdim=True) / response_mask.sum(-1, keepdim=True)"
    path.write_text(PROMISE + HEAD + f"    return -advantages * torch.exp({ratio}).expand_as(log_prob)\n")
    check_policy_file(path, {})


def test_old_log_probs_of_the_trial_are_those_of_a_policy(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        HEAD + "    return torch.log1p(-old_log_prob.exp().clamp(max=0.999)) - advantages * log_prob\n"
    )
    check_policy_file(path, {})


@pytest.mark.parametrize("promise", [PROMISE, ""])
def test_a_good_file_passes_with_its_parameters(promise: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(promise + HEAD + GOOD)
    check_policy_file(path, {"weight": 0.5})
    with pytest.raises(ConfigError, match=r"verl_coder.policy_loss.parameters.wieght: .*did you mean weight"):
        check_policy_file(path, {"wieght": 0.5})


def test_a_file_may_read_the_actors_settings(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        HEAD.replace("weight=1.0", "config") + "    return -advantages * log_prob * config.clip_ratio\n"
    )
    check_policy_file(path, {}, OmegaConf.create({"clip_ratio": 0.2}))


@pytest.mark.parametrize(
    ("given", "mode", "distilled", "words"),
    [
        (PolicyLossSettings(parameters={"a": 1}), "vanilla", False, "names no file"),
        (PolicyLossSettings(path="losses/clipped.py"), "gspo", False, "two policy losses"),
        (PolicyLossSettings(path="losses/clipped.py"), "vanilla", True, "distillation.enabled"),
    ],
)
def test_one_loss_at_a_time(given: PolicyLossSettings, mode: str, distilled: bool, words: str) -> None:
    config = OmegaConf.create(
        {
            "actor_rollout_ref": {"actor": {"policy_loss": {"loss_mode": mode}}},
            "distillation": {"enabled": distilled},
        }
    )
    settings = SimpleNamespace(policy_loss=given)
    with pytest.raises(ConfigError, match=words):
        check_policy_loss(config, settings)  # type: ignore[arg-type]
