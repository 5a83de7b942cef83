"""Every recipe has Ray's workers prepare; the compiler is put off only where nothing is compiled."""

import gc
import sys

import pytest
import yaml

from verl_coder.paths import repository_root
from verl_coder.platform import collector, put_off, ray_worker


def _is_put_off() -> bool:
    return any(isinstance(finder, put_off._Finder) for finder in sys.meta_path)


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gc, "callbacks", list(gc.callbacks))
    others = [finder for finder in sys.meta_path if not isinstance(finder, put_off._Finder)]
    monkeypatch.setattr(sys, "meta_path", others)


def test_every_recipe_has_rays_workers_begin() -> None:
    base = yaml.safe_load((repository_root() / "config" / "base.yaml").read_text())
    named = base["ray_kwargs"]["ray_init"]["runtime_env"]["worker_process_setup_hook"]
    module, _, name = named.rpartition(".")
    assert module == ray_worker.__name__ and name == ray_worker.begin.__name__


@pytest.mark.parametrize(("value", "expected"), [("1", True), ("0", False), (None, False)])
def test_the_compiler_is_put_off_only_where_nothing_is_compiled(
    monkeypatch: pytest.MonkeyPatch, value: str | None, expected: bool
) -> None:
    if value is None:
        monkeypatch.delenv("TORCH_COMPILE_DISABLE", raising=False)
    else:
        monkeypatch.setenv("TORCH_COMPILE_DISABLE", value)
    ray_worker.begin()
    assert _is_put_off() is expected


def test_garbage_is_looked_through_as_the_collector_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gc, "callbacks", [])
    ray_worker.begin()
    assert gc.callbacks == [collector._freeze_survivors]
