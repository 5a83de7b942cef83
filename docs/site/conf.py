"""Sphinx: the Markdown files of the repository as a site, where they lie. run_scripts/build_docs.sh calls it."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
project = "verl-coder"
author = "verl-coder"
release = re.findall(r'__version__ = "(.*)"', (ROOT / "src/verl_coder/__init__.py").read_text())[0]
extensions = ["myst_parser"]
root_doc = "docs/site/index"
include_patterns = [
    "docs/**",
    "recipes/*/README.md",
    "rewards/README.md",
    "losses/README.md",
    "data_prep/README.md",
    "docker/README.md",
    "cluster/README.md",
    "src/verl_coder/**.md",
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
]
exclude_patterns = [".*", "outputs", "data", "tests", "build", "dist"]
myst_heading_anchors = 4
suppress_warnings = ["myst.header"]  # a page may begin a level below the one above it, as on GitHub
html_theme = "furo"
html_title = f"verl-coder {release}"
html_copy_source = False
html_show_sphinx = False
pygments_style = "default"
# Blocks of the documents' own: indented commands are shown as they are.
highlight_language = "none"
