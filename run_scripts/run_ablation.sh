#!/usr/bin/env bash
# Train every arm of a recipe's arms.yaml with every seed, then write one table and one picture.
#
#   bash run_scripts/run_ablation.sh
#   RECIPE=tool_comparison bash run_scripts/run_ablation.sh
#   SEEDS="0" ARMS="grpo grpo_teacher" bash run_scripts/run_ablation.sh trainer.total_training_steps=8
#   bash run_scripts/run_ablation.sh --dry-run                         # check every arm, train none
#
# Ctrl-C at any time: the same command goes on where it was; finished runs are kept.
set -euo pipefail

PROFILE="${PROFILE:-}"                   # cpu | gpu; empty: gpu with an NVIDIA GPU, else cpu
RECIPE="${RECIPE:-ablation}"             # a folder of recipes/ with an arms.yaml
SEEDS="${SEEDS:-0 1 2}"
ARMS="${ARMS:-}"                         # empty: all of arms.yaml
AGAINST="${AGAINST:-}"                   # arm that the others are compared with; empty: the first of arms.yaml
MODEL="${MODEL:-}"                       # the base of every arm; empty: the recipe's, made where it is missing
OUT="${OUT:-}"                           # OUT/<arm>-seed<n>, OUT/table.md, OUT/curves.png; empty: outputs/<recipe> of the checkout

# shellcheck source=run_scripts/environment.sh
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
make_environment
for word in "$@"; do
  case "$word" in -h|--help) exec "$PYTHON" -m verl_coder.cli ablation run --help ;; esac
done
OUT="${OUT:-$REPO_ROOT/outputs/$(basename "$RECIPE")}"   # a relative OUT= is where you stand
arguments=(--recipe "$RECIPE" --seeds "$SEEDS" --arms "$ARMS" --against "$AGAINST" --out "$OUT")
# What a recipe's own base is made by, once all that was asked for is known to be right: a command line, so in quotes.
in_quotes() { "$PYTHON" -c 'import shlex, sys; print(shlex.quote(sys.argv[1]))' "$1"; }
if [ -z "$MODEL" ] && [ "$RECIPE" = ablation ]; then
  MODEL="$REPO_ROOT/data/tiny_weak"
  arguments+=(--model-made-by "tiny weaken --out $(in_quotes "$MODEL")")
elif [ -z "$MODEL" ] && [ "$RECIPE" = tool_comparison ]; then
  MODEL="$REPO_ROOT/data/tiny_tools/mixed/model"
  arguments+=(--model-made-by "tiny tools --out $(in_quotes "$REPO_ROOT/data/tiny_tools")")
fi
[ -z "$MODEL" ] || arguments+=(--model "$MODEL")
exec "$PYTHON" -m verl_coder.cli ablation run "${arguments[@]}" "$@"
