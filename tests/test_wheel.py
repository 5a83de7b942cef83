"""The wheel: what is in it, and that it works away from a checkout. Built with the build backend that is installed."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from verl_coder.paths import CONTENT_FOLDERS, CONTENT_OF_THE_WHEEL, recipe_names, repository_root

pytest.importorskip(
    "setuptools", minversion="70.1", reason="the build backend, which holds bdist_wheel since 70.1"
)
ROOT = repository_root()
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", "*.egg-info")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, since setuptools writes build/ beside the source."""
    source = tmp_path_factory.mktemp("source")
    for name in ("src", *CONTENT_FOLDERS):
        shutil.copytree(ROOT / name, source / name, ignore=LEFT_OUT)
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    program = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", program, str(source)],
        cwd=source,
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"]},
    )
    assert done.returncode == 0, done.stderr
    return next(source.glob("*.whl"))


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel unpacked, as an installer leaves it."""
    folder = tmp_path_factory.mktemp("lib") / "python" / "site-packages"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def _files(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(folder).as_posix()


def _away(site: Path, place: Path, program: str) -> str:
    """What a program prints that imports the package from `site`, in a folder that is no checkout."""
    environment = {"PYTHONPATH": str(site), "PYTHONSAFEPATH": "1", "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_holds_every_file_of_the_package_and_of_the_content_folders_and_nothing_else(wheel: Path) -> None:
    wanted = {f"verl_coder/{name}" for name in _files(ROOT / "src" / "verl_coder")}
    for folder in CONTENT_FOLDERS:
        wanted |= {f"verl_coder/{CONTENT_OF_THE_WHEEL}/{folder}/{name}" for name in _files(ROOT / folder)}
    with zipfile.ZipFile(wheel) as archive:
        assert {name for name in archive.namelist() if ".dist-info/" not in name} == wanted


def test_away_from_a_checkout_it_lists_the_recipes(site: Path, tmp_path: Path) -> None:
    program = (
        "import sys; sys.argv = ['verl-coder', 'recipes', '--json']; from verl_coder.cli import main; main()"
    )
    assert [recipe["name"] for recipe in json.loads(_away(site, tmp_path, program))] == recipe_names()


def test_away_from_a_checkout_what_is_read_is_the_wheels_and_what_is_written_the_working_folders(
    site: Path, tmp_path: Path
) -> None:
    program = (
        "from verl_coder.paths import *\n"
        "for path in ('rewards/binary.py', 'src/verl_coder/tiny/base', 'data/sample/train.parquet'):\n"
        "    print(resolve_content_path(path))\n"
        "print(work_root())"
    )
    reward, model, data, work = map(Path, _away(site, tmp_path, program).split())
    assert reward == site / "verl_coder" / CONTENT_OF_THE_WHEEL / "rewards" / "binary.py"
    assert model == site / "verl_coder" / "tiny" / "base"
    assert reward.is_file() and model.is_dir()
    assert (data, work) == (tmp_path / "data/sample/train.parquet", tmp_path)


def test_a_recipes_data_are_made_in_the_working_folder(site: Path, tmp_path: Path) -> None:
    program = (
        "from verl_coder.launch.plan import prepare_data\n"
        "prepare_data('python data_prep/sample.py --out data/sample --train 8 --val 4')"
    )
    _away(site, tmp_path, program)
    assert (tmp_path / "data/sample/train.parquet").is_file()


def test_a_folder_of_the_users_own_comes_before_the_wheels(site: Path, tmp_path: Path) -> None:
    """Who copies the content folders out edits the copies."""
    for name in ("recipes", "config"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copytree(tmp_path / "recipes/tiny_cpu", tmp_path / "recipes/mine")
    (tmp_path / "below").mkdir()
    program = (
        "from verl_coder.paths import *\nprint(repository_root() == work_root(), 'mine' in recipe_names())"
    )
    assert _away(site, tmp_path / "below", program).split() == ["True", "True"]
