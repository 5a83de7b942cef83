#!/usr/bin/env bash
# Recompile the two pinned environments, and the third file below, from the extras in pyproject.toml: bash requirements/compile.sh
# Needs uv. The CPU build of torch is taken from WHEELS (a folder) where that is set, else from the
# wheel index that PyTorch documents.
set -euo pipefail
cd "$(dirname "$0")/.."
WHEELS="${WHEELS:-}"

common=(--python-version 3.11 --python-platform x86_64-manylinux_2_34 --no-header --no-emit-index-url --no-emit-find-links --quiet "$@")
if [ -n "$WHEELS" ]; then cpu=(--find-links "$WHEELS"); else cpu=(--torch-backend cpu); fi

uv pip compile pyproject.toml --extra cpu --extra dev "${cpu[@]}" --overrides requirements/cpu-overrides.txt \
  "${common[@]}" -o requirements/cpu.txt
uv pip compile pyproject.toml --extra gpu --extra dev "${common[@]}" -o requirements/gpu.txt

# The package index's own torch, for a machine that reaches no index with the CPU build: it, and the CUDA libraries
# that it is linked with; the rest of what it needs stands in cpu.txt (run_scripts/environment.sh).
torch="$(grep -E '^torch==' requirements/cpu.txt)"
printf '%s\n' "${torch%+cpu}" | uv pip compile - --no-annotate "${common[@]}" | grep -E '^(torch|cuda-|nvidia-)' \
  >requirements/cpu-index-torch.txt
