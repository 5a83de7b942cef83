"""A headless Chromium, where Debian's is installed."""

import importlib.util
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from verl_coder.paths import repository_root


def _driver() -> ModuleType:
    """benchmarks/chromium.py, which the benchmark of the report drives, too."""
    if "chromium" not in sys.modules:
        path = repository_root() / "benchmarks" / "chromium.py"
        spec = importlib.util.spec_from_file_location("chromium", path)
        assert spec is not None and spec.loader is not None
        sys.modules["chromium"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["chromium"])
    return sys.modules["chromium"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One tab for the tests of a module."""
    driver = _driver()
    if driver.find_chromium() is None:
        pytest.skip("chromium is not installed (Debian: apt-get install chromium)")
    with driver.open_page() as page:
        yield page


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """The tab as a laptop shows it, without the errors of the test before."""
    browser.size(1366, 820)
    browser.scheme("light")
    browser.errors.clear()
    browser.requests.clear()
    yield browser
