#!/usr/bin/env bash
# Supervised fine-tuning of a model on traces, with verl's SFT trainer: the model is in OUT/model, the MODEL= of an RL run.
#
#   TRACES=data/traces.parquet TOOLS=tool_config/python_interpreter.yaml bash run_scripts/run_sft.sh
#   MODEL=src/verl_coder/tiny/base TRACES=data/tiny_traces.parquet \
#     TOOLS=tool_config/python_interpreter_brief.yaml OUT=outputs/tiny_sft bash run_scripts/run_sft.sh
#   bash run_scripts/run_sft.sh --dry-run                              # every check, memory and steps; nothing is started
#   bash run_scripts/run_sft.sh optim.weight_decay=0.1                 # anything of verl's: Hydra overrides
#
# The same command again goes on where a run was stopped (SIGTERM saves first), or says that it has finished.
set -euo pipefail

PROFILE="${PROFILE:-}"             # cpu | gpu; empty: gpu with an NVIDIA GPU, else cpu
MODEL="${MODEL:-Qwen/Qwen2.5-Coder-1.5B-Instruct}"   # folder or hub name
TRACES="${TRACES:-}"               # Parquet file: problem_id, messages
VALIDATION="${VALIDATION:-}"       # Parquet file of held-out traces; empty: VAL_SHARE of the problems of TRACES
VAL_SHARE="${VAL_SHARE:-0.05}"
TOOLS="${TOOLS:-}"                 # tool_config/*.yaml of the RL run, which its prompt describes; none: no tools
OUT="${OUT:-}"                     # OUT/model, OUT/summary.json, OUT/metrics.jsonl, OUT/sft.log; empty: outputs/sft-seed<SEED> of the checkout
LORA_RANK="${LORA_RANK:-}"         # of an adapter on all linear layers, merged at the end; empty: all parameters learn
LORA_ALPHA="${LORA_ALPHA:-}"       # empty: twice the rank
KEEP="${KEEP:-}"                   # best (of the evaluations, the default) | last: which step OUT/model is of
CPU_NUMBERS="${CPU_NUMBERS:-}"     # products on a CPU: float32 (the default) | bfloat16, where the processor has them
EPOCHS="${EPOCHS:-3}"
BATCH_SIZE="${BATCH_SIZE:-32}"     # traces a step
MICRO_TOKENS="${MICRO_TOKENS:-}"   # tokens in one pass, the memory knob; empty: 8192 on a GPU, 2048 on a CPU
LEARNING_RATE="${LEARNING_RATE:-}" # the highest; empty: 1e-5, with LoRA 1e-4
MAX_PROMPT_LENGTH="${MAX_PROMPT_LENGTH:-1024}"       # tokens; a longer trace is left out and counted
MAX_RESPONSE_LENGTH="${MAX_RESPONSE_LENGTH:-2048}"
ATTENTION="${ATTENTION:-}"         # of transformers: sdpa, flash_attention_2 with flash_attn; empty: packed, on a CPU shared_prefix (src/verl_coder/platform)
SEED="${SEED:-0}"                  # held-out share, order of the data

# shellcheck source=run_scripts/environment.sh
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
[ -n "$TRACES" ] || fail "TRACES is not set" "name a Parquet file of traces, for instance the one of: verl-coder tiny traces --out data/tiny_traces.parquet"
make_environment
OUT="${OUT:-$REPO_ROOT/outputs/sft-seed$SEED}"   # a relative OUT= is where you stand

arguments=()
for knob in MODEL TRACES OUT VAL_SHARE VALIDATION TOOLS EPOCHS BATCH_SIZE MICRO_TOKENS LEARNING_RATE \
  MAX_PROMPT_LENGTH MAX_RESPONSE_LENGTH LORA_RANK LORA_ALPHA KEEP CPU_NUMBERS SEED PROFILE; do
  option="${knob,,}"
  [ -z "${!knob}" ] || arguments+=("--${option//_/-}" "${!knob}")
done
[ -z "$ATTENTION" ] || arguments+=("+model.override_config.attn_implementation=$ATTENTION")
exec "$PYTHON" -m verl_coder.cli sft "${arguments[@]}" "$@"
