"""W&B is asked by its own client, and only where a run would talk to it."""

import sys
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import pytest
from doctor.conftest import Ward, find


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Stands in for W&B's client: it raises, or knows a user."""

    def answer(*, error: Exception | None = None, username: str = "") -> None:
        class Api:
            def __init__(self, timeout: float) -> None:
                self.timeout = timeout

            @property
            def viewer(self) -> SimpleNamespace:
                if error is not None:
                    raise error
                return SimpleNamespace(username=username)

        monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(Api=Api))

    return answer


def test_a_key_that_the_server_refuses_is_a_warning_with_a_way_on(
    ward: Ward, client: Callable[..., None]
) -> None:
    ward.plan = replace(ward.plan, wandb_mode="online")
    client(error=RuntimeError("permission denied (401)\ntrace"))
    with ward.situation() as situation:
        result = find("wandb", situation)
    assert result.status == "WARN" and "permission denied (401)" in result.text
    assert "wandb login" in result.fix and "WANDB_MODE=offline" in result.fix


def test_a_key_that_the_server_knows_passes_with_the_name(ward: Ward, client: Callable[..., None]) -> None:
    ward.plan = replace(ward.plan, wandb_mode="online")
    client(username="somebody")
    with ward.situation() as situation:
        assert find("wandb", situation).text == "online as somebody"


def test_offline_nobody_is_asked(ward: Ward, client: Callable[..., None]) -> None:
    client(error=RuntimeError("asked"))
    with ward.situation() as situation:
        assert find("wandb", situation).status == "PASS"
