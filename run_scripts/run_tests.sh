#!/usr/bin/env bash
# Lint, types and tests: bash run_scripts/run_tests.sh [pytest arguments, for instance -m "not e2e"]
# Tests run in two processes, a file in one of them, in the order that tests/conftest.py gives; -n 0 runs them in one.
set -euo pipefail
export PROFILE="${PROFILE:-cpu}"
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
make_environment dev
cd "$REPO_ROOT"
"$PYTHON" -m ruff check .
"$PYTHON" -m ruff format --check .
"$PYTHON" -m mypy
# Each worker, and each of the processes that tests start, would compile our sources and the tests anew.
unset PYTHONDONTWRITEBYTECODE
exec "$PYTHON" -m pytest -n 2 --dist loadfile --no-loadscope-reorder "$@"
