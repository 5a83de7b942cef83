"""The documents: every link leads somewhere, every key of the tables is a setting, every page has a menu."""

import copy
import os
import re
import runpy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from documented_commands import ROOT, _documents
from omegaconf import DictConfig, OmegaConf

from verl_coder import prompts_reference
from verl_coder.errors import ConfigError
from verl_coder.launch.preflight.grpo import check_grpo
from verl_coder.launch.preflight.optimiser import check_optimiser
from verl_coder.launch.preflight.sizes import check_batch_sizes, check_checkpoint_settings
from verl_coder.launch.preflight.unread import check_unread
from verl_coder.launch.preflight.values import check_values
from verl_coder.launch.recipe import compose, find_recipe
from verl_coder.run.run_dir import RunDir
from verl_coder.run.settings import parse_settings

PAGES = _documents()
COMING = (ROOT / "docs" / "coming_from.md").read_text()
TABLES = COMING.split("\n## ")[1:]
_CODE = re.compile(r"^(`{3,})[^\n]*\n.*?^\1|^    [^\n]*$|(`+)[^`].*?\2", re.M | re.S)
_LINK = re.compile(r"!?\[(?:[^\]\[]|\[[^\]]*\])*\]\(([^)\s]+)\)")
_KEY = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z0-9_]+)+")
_VARIABLE = re.compile(r"\b([A-Z][A-Z_]+)=")


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def links(text: str) -> list[str]:
    """Targets of the links in a page, without those that leave the repository and what stands in code."""
    found = _LINK.findall(_CODE.sub("code", text))
    return [target for target in found if not re.match(r"[a-z]+:", target)]


@cache
def anchors(page: Path) -> frozenset[str]:
    """The anchors that GitHub gives to the headings of a page."""
    text = re.sub(r"^(`{3,}).*?^\1", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    heads = re.findall(r"^#+ +(.*)$", text, re.M)
    return frozenset(re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in links(page.read_text(encoding="utf-8")):
        file, _, anchor = target.partition("#")
        place = (page.parent / file).resolve() if file else page
        assert place.exists(), f"{target}: no such file"
        assert place.is_relative_to(ROOT.resolve()), f"{target}: outside the repository"
        if anchor:
            assert anchor in anchors(place), f"{target}: no such heading"


def test_links_in_code_are_none_and_those_of_pages_are_found() -> None:
    assert links("`[a](b)` [c `d`](e.md#f) [g](https://h)\n\n    [i](j)\n") == ["e.md#f"]
    assert sum(len(links(page.read_text(encoding="utf-8"))) for page in PAGES) > 80


def included(page: Path) -> bool:
    """Whether the site has the page: sphinx's patterns, of which `**` passes through folders and `*` does not."""
    site = runpy.run_path(str(ROOT / "docs" / "site" / "conf.py"))

    def matches(path: str, pattern: str) -> bool:
        wild = re.escape(pattern).replace(r"\*\*", ".*").replace(r"\*", "[^/]*")
        return re.fullmatch(wild, path) is not None

    name = name_of(page)
    above = [name, *(parent.as_posix() for parent in Path(name).parents)][:-1]
    left_out = any(matches(path, pattern) for path in above for pattern in site["exclude_patterns"])
    return not left_out and any(matches(name, pattern) for pattern in site["include_patterns"])


def test_every_page_that_a_page_of_the_site_links_to_is_on_it_too() -> None:
    """Else sphinx, to which a warning is an error, makes no site."""
    pages = [page for page in PAGES if included(page)]
    assert len(pages) > 40
    for page in pages:
        for target in links(page.read_text(encoding="utf-8")):
            file = Path(os.path.normpath(page.parent / target.partition("#")[0]))
            if file.suffix == ".md":
                assert included(file), (
                    f"{name_of(page)} links to {target}, which docs/site/conf.py leaves out"
                )


def test_every_page_of_docs_is_in_the_sites_menu() -> None:
    menu = (ROOT / "docs" / "site" / "index.rst").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        assert f"   ../{page.stem}\n" in menu, page.name


def test_the_page_of_prompts_is_what_the_code_says() -> None:
    written = (ROOT / "docs" / "prompts.md").read_text(encoding="utf-8")
    assert written == prompts_reference.reference(), "python -m verl_coder.prompts_reference"


def test_an_old_page_of_prompts_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompts_reference, "repository_root", lambda: tmp_path)
    monkeypatch.setattr(prompts_reference, "reference", lambda: "new\n")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "prompts.md").write_text("old\n")
    with pytest.raises(ConfigError, match="out of date"):
        prompts_reference.main(["--check"])
    prompts_reference.main([])
    prompts_reference.main(["--check"])


def right_hand_codes(text: str = COMING) -> list[str]:
    """What stands between backticks in the right-hand columns of docs/coming_from.md, or of a part of it."""
    rows = re.findall(r"^\| (?!there|---).*? \| (.*) \|$", text, re.M)
    return [code for row in rows for code in re.findall(r"`([^`]+)`", row)]


def overrides(text: str = COMING) -> list[str]:
    """The `key=value` of the right-hand columns."""
    return [code for code in right_hand_codes(text) if _KEY.fullmatch(code.partition("=")[0]) and "=" in code]


@pytest.fixture(scope="module")
def recipe() -> DictConfig:
    """A real one, which the tables are put over; a key that it has not is refused."""
    config = compose(find_recipe("qwen_grpo"))
    OmegaConf.set_struct(config, True)  # what Hydra refuses too, in a tenth of the time
    return config


def test_the_tables_name_many_settings() -> None:
    assert len(TABLES) == 3 and len(overrides()) > 55


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.splitlines()[0])
def test_a_table_can_be_taken_as_it_stands(table: str, recipe: DictConfig, tmp_path: Path) -> None:
    """Every key is a setting, and all values together pass the checks before a run that need no files."""
    config = copy.deepcopy(recipe)
    config.merge_with_dotlist(overrides(table))
    ours = config.verl_coder
    ours.out, ours.run_name, ours.recipe, ours.teacher.traces = str(tmp_path), "o", "r", "traces.parquet"
    OmegaConf.resolve(config)
    settings = parse_settings(ours)
    check_values(config)
    check_unread(config)
    check_optimiser(config, "actor_rollout_ref.actor.optim")
    check_batch_sizes(config)
    check_checkpoint_settings(config, RunDir(tmp_path))
    check_grpo(config, settings)


def test_a_key_that_is_named_without_a_value_is_a_setting(recipe: DictConfig) -> None:
    missing: Any = object()
    for code in right_hand_codes():
        if _KEY.fullmatch(code) and not code.endswith((".py", ".yaml", ".sh")):
            parent, _, last = code.rpartition(".")
            section = OmegaConf.select(recipe, parent, default=missing)
            assert section is not missing and last in section, code


def test_every_variable_of_the_tables_is_a_knob_of_the_script() -> None:
    script = (ROOT / "run_scripts" / "run_qwen_grpo.sh").read_text()
    named = {name for code in right_hand_codes() for name in _VARIABLE.findall(code)}
    assert len(named) >= 5
    for name in named:
        assert re.search(rf"^{name}=", script, re.M), name


def test_every_file_of_the_tables_is_there() -> None:
    for code in right_hand_codes():
        if code.startswith(("recipes/", "config/", "run_scripts/")):
            assert (ROOT / code).exists(), code


@pytest.mark.parametrize(
    "asked",
    ["eval_every_n_steps", "max_eval_samples", "force_new_wandb_run", "enable_curriculum"],
)
def test_the_names_that_newcomers_bring_are_there(asked: str) -> None:
    assert f"| `{asked}` |" in COMING
