#!/usr/bin/env bash
# The documentation as a site that opens from disk: bash run_scripts/build_docs.sh [arguments of sphinx-build]
# A warning is an error: a link that leads nowhere, a page that no menu has. Its tools are in an environment of their own.
set -euo pipefail
DOCS_VENV="${DOCS_VENV:-}"   # where they are installed; empty: .venv-docs in the repository
SITE="${SITE:-}"             # where the pages go; empty: outputs/site

source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
DOCS_VENV="${DOCS_VENV:-$REPO_ROOT/.venv-docs}"
SITE="${SITE:-$REPO_ROOT/outputs/site}"
pins="$REPO_ROOT/requirements/docs.txt"
if [ "$(cat "$DOCS_VENV/pins" 2>/dev/null)" != "$(cksum <"$pins")" ]; then
  base="$(find_python)" || exit 1
  say "installing requirements/docs.txt into $DOCS_VENV"
  make_venv DOCS_VENV "$DOCS_VENV" "$base"
  "$DOCS_VENV/bin/python" -m pip install --progress-bar off --no-deps --disable-pip-version-check -r "$pins" >"$DOCS_VENV/install.log" 2>&1 ||
    fail "installing requirements/docs.txt" "see the end of $DOCS_VENV/install.log"
  cksum <"$pins" >"$DOCS_VENV/pins"
fi
"$DOCS_VENV/bin/python" -m sphinx -q -W --keep-going -c "$REPO_ROOT/docs/site" "$@" "$REPO_ROOT" "$SITE" ||
  fail "the pages have errors, each named above" "mend them; docs/site/index.rst is the menu"
say "pages: $SITE/docs/site/index.html"
