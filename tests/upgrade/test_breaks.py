"""A fake foreign `vllm` of few lines is recorded, then changed: each seeded break is named, with its place."""

from collections.abc import Callable
from pathlib import Path

import pytest

from verl_coder.errors import ConfigError
from verl_coder.upgrade.packages import other_folder
from verl_coder.upgrade.review import Review

ENGINE = '''
class Base:
    def step(self, batch, timing=None):
        """Text that may change."""
        return batch

    def close(self):
        self.ended = True


class Engine(Base):
    def __init__(self, model, seed=0):
        self.model = model


def load(path, *, strict=True):
    # A comment that may change.
    return path
'''
OURS = """
import vllm.engine as _engine
from vllm.engine import Engine, load


class Mixin:
    def step(self, batch, timing=None):
        return super().step(batch, timing)

    def close(self):
        print(self.model)


class OurEngine(Mixin, Engine):
    pass


def read(engine: Engine):
    load("x", strict=False)
    return engine.model


def ours(path, *, strict=True):
    return path


_engine.load = ours
"""
COSTS = "vllm: {size: small, what_for: engine, to_move: a day}\n"


@pytest.fixture
def check(tmp_path: Path) -> Callable[..., str]:
    """Records the fake package, replaces texts in it, and returns what `check` says."""
    place = tmp_path / "repository" / "src" / "mine.py"
    for path, text in (
        (tmp_path / "old" / "vllm" / "__init__.py", ""),
        (tmp_path / "old" / "vllm" / "engine.py", ENGINE),
        (tmp_path / "new" / "vllm" / "__init__.py", ""),
        (place, OURS),
        (tmp_path / "costs.yaml", COSTS),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    contracts = tmp_path / "contracts"
    contracts.mkdir()

    def review(at: str) -> Review:
        return Review(
            tmp_path / at, root=tmp_path / "repository", contracts=contracts, costs=tmp_path / "costs.yaml"
        )

    def changed(*pairs: tuple[str, str], file: str = "engine.py") -> str:
        from verl_coder.upgrade.contract import write_contract

        write_contract(review("old").now["vllm"], contracts)
        text = ENGINE
        for old, new in pairs:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "new" / "vllm" / file).write_text(text)
        return "\n".join(review("new").check().lines)

    return changed


def test_the_same_source_and_other_comments_break_nothing(check: Callable[..., str]) -> None:
    told = check(("Text that may change.", "Other words."), ("# A comment that may change.", "# Other."))
    assert "0 breaks" in told and "BREAK" not in told and "NOT RECORDED" not in told


def test_a_renamed_method_is_named_at_the_override_of_a_mixin(check: Callable[..., str]) -> None:
    told = check(("def step(", "def run_step("))
    assert "vllm.engine.Engine.step: was a function, is gone" in told
    assert "src/mine.py:7 [vllm: small]" in told


def test_a_new_parameter_of_an_overridden_method_is_named(check: Callable[..., str]) -> None:
    told = check(("batch, timing=None):", "batch, metrics, timing=None):"))
    assert "were (self, batch, timing=None), are (self, batch, metrics, timing=None)" in told


def test_a_keyword_that_is_no_longer_taken_is_named(check: Callable[..., str]) -> None:
    told = check(("strict=True", "exact=True"))
    assert "vllm.engine.load: its parameters were (path, *, strict=True), are (path, *, exact=True)" in told


def test_a_changed_body_of_what_is_replaced_is_named(check: Callable[..., str]) -> None:
    told = check(("    return path", "    return path or 1"), ("self.ended = True", "self.ended = 1"))
    assert "vllm.engine.load: its body has changed" in told
    # `close` of ours does not call the foreign one; `step` does, so that its body is no concern.
    assert "vllm.engine.Engine.close: its body has changed" in told
    assert "Engine.step" not in told


def test_a_value_that_is_gone_is_named_where_it_is_read(check: Callable[..., str]) -> None:
    told = check(("self.model = model", "self.net = model"))
    assert "vllm.engine.Engine.model: was a value, is gone" in told and "src/mine.py:11" in told


def test_a_moved_module_is_named_with_its_new_home(check: Callable[..., str]) -> None:
    told = check(file="core.py")
    assert "vllm.engine: was a module, is gone" in told
    assert "vllm.core" in told


def test_another_base_class_is_named(check: Callable[..., str]) -> None:
    told = check(("class Engine(Base):", "class Other(Base): ...\n\n\nclass Engine(Other):"))
    assert "its base classes were (Base), are (Other)" in told


def test_a_call_without_a_new_needed_value_is_named() -> None:
    from verl_coder.upgrade.parameters import call_problems

    takes = ["path", "kind", "*", "strict=True"]
    assert call_problems(takes, 1, ["strict"], open_ended=False) == ["needs kind"]
    assert call_problems(takes, 3, ["exact"], open_ended=False) == [
        "takes 2 values by position, we give 3",
        "takes no exact=",
    ]
    assert call_problems([*takes, "**more"], 2, ["exact"], open_ended=False) == []


def test_a_version_that_is_nowhere_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^--at .*nowhere: no such folder$"):
        other_folder(str(tmp_path / "nowhere"))
