#!/usr/bin/env bash
# The whole way from one YAML: data, teacher, SFT, training, evaluation, report.
#
#   bash run_scripts/run_pipeline.sh all                                   # every stage of CONFIG
#   CONFIG=my_config.yaml OUT=outputs/mine bash run_scripts/run_pipeline.sh all
#   bash run_scripts/run_pipeline.sh sft train                             # these stages: data teacher sft train evaluate report
#   bash run_scripts/run_pipeline.sh all --dry-run                         # what would run, what is skipped, and why
#
# The same command again skips what has not changed, and goes on where it was stopped.
set -euo pipefail

PROFILE="${PROFILE:-}"   # cpu | gpu; empty: gpu with an NVIDIA GPU, else cpu
CONFIG="${CONFIG:-}"     # YAML of the pipeline; empty: config/pipeline/tiny.yaml on a CPU, qwen.yaml on a GPU
OUT="${OUT:-}"           # folder of all that is written; empty: the YAML's

# shellcheck source=run_scripts/environment.sh
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
[ $# -gt 0 ] || fail "no stage is named" "all, or some of: data teacher sft train evaluate report"
make_environment
[ -n "$CONFIG" ] || { [ "$PROFILE" = cpu ] && CONFIG="$REPO_ROOT/config/pipeline/tiny.yaml" || CONFIG="$REPO_ROOT/config/pipeline/qwen.yaml"; }

arguments=(--config "$CONFIG")
[ -z "$OUT" ] || arguments+=(--out "$OUT")
exec "$PYTHON" -m verl_coder.cli pipeline "${arguments[@]}" "$@"
