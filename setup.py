"""Puts the content folders into a wheel, below the package; all else about the package stands in pyproject.toml."""

import shutil
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "src"))

from verl_coder.paths import CONTENT_FOLDERS, CONTENT_OF_THE_WHEEL  # noqa: E402


class BuildWithContent(build_py):
    """The package, and in a wheel the content folders; an editable installation reads those of the checkout."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        place = Path(self.build_lib) / "verl_coder" / CONTENT_OF_THE_WHEEL
        if place.exists():
            shutil.rmtree(place)
        for name in CONTENT_FOLDERS:
            shutil.copytree(HERE / name, place / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))


setup(cmdclass={"build_py": BuildWithContent})
