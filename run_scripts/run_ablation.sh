#!/usr/bin/env bash
# Train every arm of recipes/ablation/arms.yaml with every seed, then print one table.
#
#   bash run_scripts/run_ablation.sh
#   SEEDS="0" ARMS="grpo grpo_teacher" bash run_scripts/run_ablation.sh trainer.total_training_steps=8
#
# Ctrl-C at any time: the same command goes on where it was; finished runs are kept.
set -euo pipefail

PROFILE="${PROFILE:-}"                   # cpu | gpu; empty: gpu with an NVIDIA GPU, else cpu
SEEDS="${SEEDS:-0 1 2}"
ARMS="${ARMS:-}"                         # empty: all of arms.yaml
MODEL="${MODEL:-data/tiny_weak}"         # the base of every arm; the default is made where it is missing
OUT="${OUT:-outputs/ablation}"           # OUT/<arm>-seed<n>, OUT/table.md

source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
make_environment
cd "$REPO_ROOT"
if [ "$MODEL" = data/tiny_weak ] && [ ! -d "$MODEL" ]; then
  "$PYTHON" -m verl_coder.cli tiny weaken --out "$MODEL"
fi
exec "$PYTHON" -m verl_coder.cli ablation run --seeds "$SEEDS" --arms "$ARMS" --model "$MODEL" --out "$OUT" "$@"
