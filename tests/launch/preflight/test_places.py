"""Where a run writes, and whom it asks, is tried before it starts."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from verl_coder.errors import ConfigError
from verl_coder.launch.plan import TrainRequest, make_plan
from verl_coder.launch.preflight.places import (
    check_disk,
    check_out,
    check_sandboxes,
    check_tools_sandboxes,
    sandbox_urls,
)
from verl_coder.launch.preflight.tools import check_tools
from verl_coder.launch.recipe import compose, find_recipe
from verl_coder.paths import repository_root
from verl_coder.run.settings import Settings
from verl_coder.sandbox.embedded import EmbeddedSandbox

INTERPRETER = (repository_root() / "tool_config" / "python_interpreter.yaml").read_text()


def settings(url: str | None) -> Settings:
    return Settings(run_name="r", out="/o", recipe="x", sandbox_url=url)


def test_an_out_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file is a file"):
        check_out(tmp_path / "file" / "run")


def test_an_out_that_cannot_be_written_is_refused() -> None:
    with pytest.raises(ConfigError, match="OUT: /proc/run: /proc cannot be written"):
        check_out(Path("/proc/run"))


def test_nothing_is_left_of_the_trial(tmp_path: Path) -> None:
    check_out(tmp_path / "a" / "run")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1:8080", "ftp://x", "http://", "http://h:x", "http://h:99999", "http://[::1", "http://h h"],
)
def test_an_address_without_scheme_or_host_is_named(url: str) -> None:
    with pytest.raises(ConfigError, match=r"verl_coder\.sandbox_url: .* is no address"):
        check_sandboxes(settings(url))


def test_of_several_sandboxes_the_silent_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with EmbeddedSandbox() as sandbox:
        check_sandboxes(settings(sandbox.url))
        with pytest.raises(ConfigError, match=r"no sandbox answers at http://127.0.0.1:9:"):
            check_sandboxes(settings(f"{sandbox.url},http://127.0.0.1:9"))
    monkeypatch.setenv("SANDBOX_URL", "http://127.0.0.1:9")
    with pytest.raises(ConfigError, match="SANDBOX_URL: no sandbox answers"):
        check_sandboxes(settings(None))


@pytest.mark.parametrize("given", ["", " ", ",", " , "])
def test_an_empty_address_is_none(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDBOX_URL", given)
    assert sandbox_urls(settings(given)) is None
    monkeypatch.setenv("SANDBOX_URL", "http://a:1 , http://b:2,")
    assert sandbox_urls(settings(None)) == "http://a:1,http://b:2"


@pytest.mark.parametrize(
    ("url", "words"), [("127.0.0.1:9", "is no address"), ("http://127.0.0.1:9", "no sandbox answers")]
)
def test_the_sandbox_of_a_tool_is_asked(url: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "tools.yaml"
    path.write_text(INTERPRETER.replace("sandbox_url: null", f"sandbox_url: {url}"))
    with pytest.raises(ConfigError, match=rf"TOOLS: .*tools.yaml: config.sandbox_url: .*{words}"):
        check_tools_sandboxes(check_tools(str(path)))
    path.write_text(INTERPRETER)
    check_tools_sandboxes(check_tools(str(path)))


def test_two_addresses_need_no_quotes_of_hydras(tmp_path: Path) -> None:
    two = "http://127.0.0.1:1,http://127.0.0.1:2"
    request = TrainRequest(recipe="tiny_cpu", out=str(tmp_path), overrides=(f"verl_coder.sandbox_url={two}",))
    assert make_plan(request).settings.sandbox_url == two


@pytest.mark.parametrize(
    "name", ["a(b", "a,b", "a=b", "a'b", "aé", "a#b", "a{b", "a}b", "a b", "a[b", 'a"b', "a&b", "a$b"]
)
def test_a_checkout_may_have_any_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repository: Callable[[Path], None]
) -> None:
    root = tmp_path / name
    repository(root)
    monkeypatch.setenv("VERL_CODER_ROOT", str(root))
    assert compose(find_recipe("tiny_cpu"), ("trainer.save_freq=7",)).trainer.save_freq == 7


@pytest.fixture
def repository() -> Callable[[Path], None]:
    """Makes a checkout of links to this one's content folders."""
    here = repository_root()

    def make(root: Path) -> None:
        root.mkdir()
        for name in ("recipes", "config"):
            (root / name).symlink_to(here / name)

    return make


def test_a_run_that_keeps_every_checkpoint_needs_the_disk_for_all_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("verl_coder.launch.preflight.places.free_bytes", lambda _: 0)

    def needed(keep: str) -> int:
        overrides = (f"trainer.max_actor_ckpt_to_keep={keep}", "trainer.save_freq=1")
        config = make_plan(TrainRequest(recipe="tiny_cpu", out=str(tmp_path), overrides=overrides)).config
        with pytest.raises(ConfigError, match=r"need (\d+) MiB.*max_actor_ckpt_to_keep") as caught:
            check_disk(config, tmp_path / "run", keep_best=True)
        found = re.search(r"need (\d+) MiB", str(caught.value))
        assert found
        return int(found[1])

    one_more = needed("3") - needed("2")
    assert needed("null") == pytest.approx(needed("2") + (12 - 4) * one_more, abs=8)
    assert needed("99") == needed("12") == needed("null")  # no more than are saved
