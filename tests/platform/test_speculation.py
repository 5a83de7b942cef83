"""What settings say of guessed tokens is read, or refused, in one place."""

import pytest
from omegaconf import DictConfig, OmegaConf

from verl_coder.errors import ConfigError
from verl_coder.platform.speculation import PLACE, guessed_tokens, speculation_in


def settings(value: object) -> DictConfig:
    config = OmegaConf.create({})
    OmegaConf.update(config, PLACE, value, force_add=True)
    return config


@pytest.mark.parametrize("value", [None, "", {}])
def test_nothing_is_guessed_without_a_setting(value: object) -> None:
    assert speculation_in(settings(value)) == {}
    assert guessed_tokens(settings(value)) == 0


def test_json_and_a_mapping_say_the_same() -> None:
    text = settings('{"method": "ngram", "num_speculative_tokens": 4}')
    mapping = settings({"method": "ngram", "num_speculative_tokens": 4})
    assert speculation_in(text) == speculation_in(mapping)
    assert guessed_tokens(text) == guessed_tokens(mapping) == 4


@pytest.mark.parametrize("value", ["ngram", 4, "[4]", {"num_speculative_tokens": "four"}])
def test_what_is_no_object_with_a_number_is_refused_by_its_place(value: object) -> None:
    with pytest.raises(ConfigError, match=r"speculative_config=.*: give an object in JSON"):
        guessed_tokens(settings(value))
