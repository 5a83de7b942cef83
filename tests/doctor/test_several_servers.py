"""With several sandboxes each is asked, and the one that fails is named."""

from collections.abc import Callable

import pytest

from verl_coder.doctor.check import CheckResult, failed, of_each_server, passed, warned
from verl_coder.doctor.situation import Situation

URLS = ["http://one:1", "http://two:2", "http://three:3"]


class _Given(Situation):
    """Only the addresses."""

    def __init__(self, urls: str) -> None:
        self._urls = urls

    @property
    def sandbox_url(self) -> str:
        return self._urls


def _bad_at(bad: str, worse: Callable[[str, str], CheckResult]) -> Callable[[Situation, str], CheckResult]:
    return lambda _, url: worse("it lies", "restart it") if url == bad else passed("as it says")


@pytest.mark.parametrize("bad", URLS)
@pytest.mark.parametrize("worse", [failed, warned])
def test_the_server_that_is_bad_is_named(bad: str, worse: Callable[[str, str], CheckResult]) -> None:
    found = of_each_server(_bad_at(bad, worse))(_Given(",".join(URLS)))
    assert found == worse(f"{bad}: it lies", "restart it")


def test_one_server_speaks_for_itself() -> None:
    assert of_each_server(_bad_at("", failed))(_Given(URLS[0])) == passed("as it says")


def test_all_servers_pass_together() -> None:
    assert of_each_server(_bad_at("", failed))(_Given(",".join(URLS))).text == "each of 3 servers: as it says"
