#!/usr/bin/env bash
# Train a model to program with a Python interpreter in the loop: GRPO, multi-turn, on verl.
#
#   bash run_scripts/run_qwen_grpo.sh                                  # all defaults
#   REWARD=rewards/binary.py SEED=1 bash run_scripts/run_qwen_grpo.sh  # knobs: the variables below
#   bash run_scripts/run_qwen_grpo.sh trainer.total_training_steps=40  # anything of verl's: Hydra overrides
#   bash run_scripts/run_qwen_grpo.sh --dry-run                        # check and print the plan
#
# The same command again resumes from the last checkpoint, or says that the run has finished.
set -euo pipefail

PROFILE="${PROFILE:-}"   # cpu | gpu; empty: gpu with an NVIDIA GPU, else cpu
RECIPE="${RECIPE:-}"     # folder under recipes/; empty: tiny_cpu on a CPU, qwen_grpo on a GPU
MODEL="${MODEL:-}"       # folder or hub name; empty: the recipe's
TRAIN="${TRAIN:-}"       # Parquet files, comma-separated; empty: the recipe's (made where missing)
VAL="${VAL:-}"           # Parquet files held out; empty: the recipe's
REWARD="${REWARD:-}"     # file with compute_score; empty: the recipe's
LOSS="${LOSS:-}"         # file with token_loss, such as losses/clipped.py; empty: verl's loss
TOOLS="${TOOLS:-}"       # tool_config/*.yaml; empty: the recipe's
OUT="${OUT:-}"           # folder of the run; empty: outputs/<recipe>-seed<seed>
SEED="${SEED:-}"         # order of the data, sampling; empty: the recipe's verl_coder.seed, which is 0 in config/base.yaml

source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
make_environment
[ -n "$RECIPE" ] || { [ "$PROFILE" = cpu ] && RECIPE=tiny_cpu || RECIPE=qwen_grpo; }

arguments=(--recipe "$RECIPE")
for knob in MODEL TRAIN VAL REWARD LOSS TOOLS OUT SEED; do
  [ -z "${!knob}" ] || arguments+=("--${knob,,}" "${!knob}")
done
exec "$PYTHON" -m verl_coder.cli train "${arguments[@]}" "$@"
