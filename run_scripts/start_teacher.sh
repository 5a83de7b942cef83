#!/usr/bin/env bash
# Serve a teacher in the foreground: vLLM's OpenAI-compatible server. Stop it with Ctrl-C.
#
#   bash run_scripts/start_teacher.sh                                  # GPUs: Qwen/Qwen3-32B-FP8; none: a small model
#   MODEL=Qwen/Qwen3-8B bash run_scripts/start_teacher.sh              # another one, a folder or a hub name
#   MODEL=data/model NAME=teacher bash run_scripts/start_teacher.sh --max-num-seqs 64   # anything of `vllm serve`
#
# Then: verl-coder teacher generate --model NAME --problems ... --out ... (its --base-url is http://127.0.0.1:8129/v1).
# `--dry-run` as the first argument prints the command alone. The key that clients must send is TEACHER_API_KEY, if set.
set -euo pipefail

PROFILE="${PROFILE:-}"                     # cpu | gpu; empty: gpu with an NVIDIA GPU, else cpu
MODEL="${MODEL:-}"                         # empty: Qwen/Qwen3-32B-FP8 on GPUs, Qwen/Qwen2.5-Coder-0.5B-Instruct without
NAME="${NAME:-}"                           # under which it is served, the --model of `teacher generate`; empty: MODEL
GPUS="${GPUS:-}"                           # numbers of the GPUs that it takes (6,7); empty: CUDA_VISIBLE_DEVICES, else all of this machine
HOST="${HOST:-127.0.0.1}"
PORT="${PORT:-8129}"
MAX_MODEL_LEN="${MAX_MODEL_LEN:-}"         # prompt and answer, in tokens; empty: 16384 on GPUs, 4096 without
NEEDS_GIB="${NEEDS_GIB:-44}"               # GPU memory for weights and cache, a whole number, which decides over how many GPUs it is split
TENSOR_PARALLEL="${TENSOR_PARALLEL:-}"     # GPUs of one copy; empty: the fewest that hold NEEDS_GIB
REASONING_PARSER="${REASONING_PARSER:-}"   # empty: by the model's name; none: no parser
TOOL_PARSER="${TOOL_PARSER:-hermes}"       # none: calls are left in the text (teacher generate --no-structured-calls)

dry_run=""
if [ "${1:-}" = --dry-run ]; then dry_run=1; shift; fi

# shellcheck source=run_scripts/environment.sh
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
for name in PORT NEEDS_GIB MAX_MODEL_LEN TENSOR_PARALLEL; do
  [[ "${!name:-1}" =~ ^[1-9][0-9]*$ ]] || fail "$name=${!name}" "a whole number of 1 or more"
done
if [ -n "$dry_run" ]; then choose_profile; PYTHON="${PYTHON:-python}"; else make_environment; fi

# GPU memory in MiB, one line a GPU.
gpu_memory() { nvidia-smi ${GPUS:+-i "$GPUS"} --query-gpu=memory.total --format=csv,noheader,nounits; }

# The fewest GPUs (a power of two) whose memory, less a tenth, holds NEEDS_GIB.
split_over() {
  local count="$1" mib="$2" size=1
  while [ $((size * mib * 9 / 10)) -lt $((NEEDS_GIB * 1024)) ]; do
    size=$((size * 2))
    [ "$size" -le "$count" ] ||
      fail "$MODEL needs about $NEEDS_GIB GiB of GPU memory, and here are $count GPU(s) of $((mib / 1024)) GiB" \
        "name a smaller teacher (MODEL=Qwen/Qwen3-8B NEEDS_GIB=20), or give NEEDS_GIB= if it is one"
  done
  echo "$size"
}

reasoning_parser_of() {
  case "${1,,}" in
    *qwen3*coder*|*qwen3*instruct*) echo none ;;
    *qwen3*|*qwq*) echo qwen3 ;;
    *deepseek*r1*) echo deepseek_r1 ;;
    *) echo none ;;
  esac
}

flags=()
if [ "$PROFILE" = gpu ]; then
  MODEL="${MODEL:-Qwen/Qwen3-32B-FP8}"
  GPUS="${GPUS:-${CUDA_VISIBLE_DEVICES:-}}"
  [ -z "$GPUS" ] || export CUDA_VISIBLE_DEVICES="$GPUS"
  mapfile -t memory < <(gpu_memory)
  [ "${#memory[@]}" -gt 0 ] || fail "PROFILE=gpu, and nvidia-smi lists no GPU${GPUS:+ of GPUS=$GPUS}" "use PROFILE=cpu${GPUS:+, or other numbers}"
  smallest="$(printf '%s\n' "${memory[@]}" | sort -n | head -1)"
  if [ -z "$TENSOR_PARALLEL" ]; then TENSOR_PARALLEL="$(split_over "${#memory[@]}" "$smallest")" || exit 1; fi
  copies=$((${#memory[@]} / TENSOR_PARALLEL))
  [ "$copies" -gt 0 ] || fail "TENSOR_PARALLEL=$TENSOR_PARALLEL, and here are ${#memory[@]} GPU(s)${GPUS:+ of GPUS=$GPUS}" "at most that many"
  flags+=(--tensor-parallel-size "$TENSOR_PARALLEL" --gpu-memory-utilization 0.92)
  [ "$copies" -lt 2 ] || flags+=(--data-parallel-size "$copies")
  MAX_MODEL_LEN="${MAX_MODEL_LEN:-16384}"
else
  MODEL="${MODEL:-Qwen/Qwen2.5-Coder-0.5B-Instruct}"
  MAX_MODEL_LEN="${MAX_MODEL_LEN:-4096}"
  export VLLM_CPU_KVCACHE_SPACE="${VLLM_CPU_KVCACHE_SPACE:-1}" VLLM_CPU_OMP_THREADS_BIND="${VLLM_CPU_OMP_THREADS_BIND:-nobind}"
  # Of a CPU's memory, vLLM wants this share free at the start; compiling would take longer than it saves here.
  flags+=(--gpu-memory-utilization "${MEMORY_SHARE:-0.4}" --enforce-eager --max-num-seqs 32)
  # Without AVX-512 a CPU only emulates bfloat16, slower by far.
  grep -q -m 1 -E 'avx512_bf16|amx_bf16' /proc/cpuinfo || flags+=(--dtype float32)
fi
REASONING_PARSER="${REASONING_PARSER:-$(reasoning_parser_of "$MODEL")}"
[ "$REASONING_PARSER" = none ] || flags+=(--reasoning-parser "$REASONING_PARSER")
[ "$TOOL_PARSER" = none ] || flags+=(--enable-auto-tool-choice --tool-call-parser "$TOOL_PARSER")
[ -z "${TEACHER_API_KEY:-}" ] || export VLLM_API_KEY="$TEACHER_API_KEY"

# vLLM's CPU build has another package name than its own command looks for: there the server's module is run itself.
if [ "$PROFILE" = gpu ]; then server=(vllm.entrypoints.cli.main serve "$MODEL")
else server=(vllm.entrypoints.openai.api_server --model "$MODEL")
fi
command=("$PYTHON" -m "${server[@]}" --served-model-name "${NAME:-$MODEL}"
  --host "$HOST" --port "$PORT" --max-model-len "$MAX_MODEL_LEN" "${flags[@]}" "$@")
say "teacher: ${NAME:-$MODEL} at http://$HOST:$PORT/v1"
if [ -n "$dry_run" ]; then as_typed ${GPUS:+"CUDA_VISIBLE_DEVICES=$GPUS"} "${command[@]}"; exit; fi
exec "${command[@]}"
