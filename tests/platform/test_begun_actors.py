"""Who makes an actor gets the one that has begun; where there is none it is made as ever."""

from typing import Any

import pytest
import ray

from verl_coder.platform.begun_actors import BegunActors


class Usual:
    """Ray's class of actors."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def options(self, **options: Any) -> "Usual":
        self.asked.append(options)
        return self

    def remote(self, *arguments: Any, **named: Any) -> Any:
        return ("usual", arguments, named)


class Begun:
    """The handle of one that has begun."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.become, self.heard, self.failure = self, [], failure

    def remote(self, *arguments: Any, **named: Any) -> Any:
        self.heard.append((arguments, named))
        return self.failure


@pytest.fixture(autouse=True)
def _ray_gets(monkeypatch: pytest.MonkeyPatch) -> None:
    def get(given: Any) -> Any:
        if isinstance(given, Exception):
            raise given
        return given

    monkeypatch.setattr(ray, "get", get)


def test_the_one_that_has_begun_becomes_what_is_asked_for() -> None:
    usual, begun = Usual(), Begun()
    seen: list[dict[str, Any]] = []
    actors = BegunActors(usual, lambda options: seen.append(options) or begun)
    assert actors.options(name="one").remote(1, config="c") is begun
    assert begun.heard == [((1,), {"config": "c"})] and seen == [{"name": "one"}] and usual.asked == []


def test_where_none_has_begun_it_is_made_with_its_options() -> None:
    usual = Usual()
    assert BegunActors(usual, lambda _: None).options(name="two").remote(1, a=2) == ("usual", (1,), {"a": 2})
    assert usual.asked == [{"name": "two"}]


def test_an_actor_that_cannot_be_made_is_the_error_of_who_makes_it() -> None:
    with pytest.raises(ValueError, match="no such model"):
        BegunActors(Usual(), lambda _: Begun(ValueError("no such model"))).remote()
