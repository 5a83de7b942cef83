"""Addresses and keys are checked before anything is sent."""

import pytest

from verl_coder.errors import ConfigError
from verl_coder.teacher.addresses import check_key, check_url


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://a..b/v1", "is no address"),
        (f"http://{'a' * 70}.com/v1", "is no address"),
        ("http://127.0.0.1:port/v1", "is no address"),
        ("127.0.0.1:8000", "write http://HOST:PORT/v1"),
    ],
)
def test_what_is_no_address_is_one_line(url: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_url(url)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/v1", "http://[::1]:1/v1", "http://my_host/v1"])
def test_an_address_loses_its_last_slash_alone(url: str) -> None:
    assert check_url(f"{url}/") == check_url(url) == url


def test_the_end_of_a_line_is_no_part_of_a_key() -> None:
    assert check_key(" sk-x\r\n", "TEACHER_API_KEY") == "sk-x"
    assert check_key("", "TEACHER_API_KEY") == ""


@pytest.mark.parametrize("key", ["sk\nx", "sk x", "sk-\u00fc", "sk\0"])
def test_a_key_that_no_header_holds_names_its_variable_and_not_itself(key: str) -> None:
    with pytest.raises(ConfigError, match="the key in OPENAI_API_KEY holds the character") as error:
        check_key(key, "OPENAI_API_KEY")
    assert key not in str(error.value)
