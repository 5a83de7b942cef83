#!/usr/bin/env bash
# A Ray cluster for runs on several machines, each checked before it joins. The checkout and OUT= are on a disk that all see.
#
#   HOSTS="node1 node2" bash run_scripts/start_ray_cluster.sh ssh bash run_scripts/run_qwen_grpo.sh
#       from node1, by plain ssh: head here, workers there, the command on all of them, then everything ends
#   bash run_scripts/start_ray_cluster.sh head                     # the same by hand: on the first machine,
#   HEAD=node1 bash run_scripts/start_ray_cluster.sh worker        # on each other one,
#   NODES=2 bash run_scripts/start_ray_cluster.sh run bash run_scripts/run_qwen_grpo.sh    # and on the first again
#   bash run_scripts/start_ray_cluster.sh check                    # the checks alone
#
# `run` (and `ssh`) adds trainer.nnodes=NODES to the command, and starts it again after a failure that came later than
# MIN_S, when all machines are there again: it goes on from its last checkpoint. `--dry-run` first prints what would be run.
set -euo pipefail

PROFILE="${PROFILE:-}"       # cpu | gpu; empty: gpu with an NVIDIA GPU, else cpu
RECIPE="${RECIPE:-}"         # what the checks look at, and what run_qwen_grpo.sh trains; empty: its default
HOSTS="${HOSTS:-}"           # ssh: names, this machine's first
NODES="${NODES:-1}"          # run: machines that the cluster must have
HEAD="${HEAD:-}"             # name or address of the first machine; empty: this one
PORT="${PORT:-6379}"         # of the head
IP="${IP:-}"                 # this machine's address in the cluster; empty: its first, of a worker that by which it reaches the head
N_GPUS="${N_GPUS:-}"         # of this machine; empty: those that Ray finds (PROFILE=cpu: 1 logical one)
RETRIES="${RETRIES:-3}"      # how often a command that failed is started again
MIN_S="${MIN_S:-120}"        # a command that fails sooner is wrong, and is not started again
WAIT_S="${WAIT_S:-600}"      # how long machines may take to join, and a head may be silent
RAY_AUTH_MODE="${RAY_AUTH_MODE:-token}"            # who may join and use the cluster: token, who can read the file; disabled, everybody
RAY_AUTH_TOKEN_PATH="${RAY_AUTH_TOKEN_PATH:-}"     # that file; empty: .ray_auth_token of the checkout, made by the head
SSH="${SSH:-ssh -o BatchMode=yes}"
CHECKS="${CHECKS-python gpu nccl temporary-folder shared-memory open-files sandbox-mode sandbox-outcomes}"   # of `verl-coder doctor`; empty: none

dry_run=""
if [ "${1:-}" = --dry-run ]; then dry_run=1; shift; fi
role="${1:-}"
[ $# -eq 0 ] || shift
case "$role" in -h|--help) sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;; esac

# shellcheck source=run_scripts/environment.sh
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
case "$role" in head|worker|run|ssh|check) ;; *) fail "the first argument is ${role:-missing}" "name head, worker, run, ssh or check" ;; esac
for name in NODES PORT RETRIES MIN_S WAIT_S; do
  [[ "${!name}" =~ ^(0|[1-9][0-9]*)$ ]] || fail "$name=${!name}" "a whole number$(case "$name" in *_S) echo " of seconds" ;; esac)"
done
[ "$NODES" -gt 0 ] || fail "NODES=$NODES" "1 machine or more"
[ "$role" != ssh ] || [ -n "${HOSTS// /}" ] || fail "HOSTS= is empty" "name the machines, this one first: HOSTS=\"node1 node2\""
if [ -n "$dry_run" ]; then choose_profile; PYTHON="${PYTHON:-python}"; else make_environment; fi
# A folder of the user's own: over ssh it is read from another one.
if [ ! -d "$REPO_ROOT/recipes/$RECIPE" ] && [ -f "$RECIPE/recipe.yaml" ]; then RECIPE="$(cd "$RECIPE" && pwd)"; fi

# Ray by itself asks for a token wherever its head finds one in the home folder, and only there: here both sides are told.
export RAY_AUTH_MODE
if [ "$RAY_AUTH_MODE" = token ] && [ -z "${RAY_AUTH_TOKEN:-}" ]; then
  case "$RAY_AUTH_TOKEN_PATH" in
    "") RAY_AUTH_TOKEN_PATH="$REPO_ROOT/.ray_auth_token" ;;
    /*) ;;
    *) RAY_AUTH_TOKEN_PATH="$PWD/$RAY_AUTH_TOKEN_PATH" ;;   # over ssh it is read from another folder
  esac
  export RAY_AUTH_TOKEN_PATH
fi

attended=""       # the process that `attend` waits for
companions=()     # what runs beside it: Ray's head and the ssh connections of the role ssh
ray_head=""       # the first of these
stopping=""

# The first machine makes the token, whole or not at all, for its owner's eyes.
make_token() {
  local path="$RAY_AUTH_TOKEN_PATH"
  if [ -z "$path" ] || [ -s "$path" ] || [ -n "$dry_run" ]; then return 0; fi
  (umask 077; head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n' >"$path.$$") && mv "$path.$$" "$path" ||
    fail "RAY_AUTH_TOKEN_PATH=$path cannot be written" "name another file that all machines see, or RAY_AUTH_MODE=disabled"
}

# After the command, which is saved by now. They are asked by a signal that nobody else sends.
end_companions() {
  local companion
  for companion in "${companions[@]}"; do kill -USR1 "$companion" 2>/dev/null || true; done
  for companion in "${companions[@]}"; do
    while kill -0 "$companion" 2>/dev/null; do wait "$companion" 2>/dev/null || true; done
  done
}

# Runs a command and returns its status, or prints it. It is a child, so that a signal is passed on to it and its end is waited for;
# and in a session of its own (under the same process id), so that a signal of the terminal does not reach it, too.
attend() {
  if [ -n "$dry_run" ]; then as_typed "$@"; return; fi
  setsid "$@" &
  local status=0
  attended=$!
  # A signal that came before the child was known has not reached it.
  [ -z "$stopping" ] || kill -TERM "$attended" 2>/dev/null || true
  # A signal ends the waiting, too. Bash keeps the status of a child that has ended: the last `wait` asks for that.
  while kill -0 "$attended" 2>/dev/null; do wait "$attended" || true; done
  wait "$attended" || status=$?
  attended=""
  return "$status"
}

# Starts a function of this script beside it. What is sent to the whole group of processes does not end it: the command
# may be saving. Bash forgets traps there: without its own, the command that it runs would stay.
beside() {
  (companions=(); trap : TERM HUP; trap on_signal USR1; "$@") &
  companions+=("$!")
}

# The command alone: the rest of the cluster ends after it.
on_signal() {
  stopping=1
  [ -z "$attended" ] || kill -TERM "$attended" 2>/dev/null || true
}

# Ends the script, where a signal has asked for it, as the signal would have; fails where none has.
stop_if_asked() { [ -n "$stopping" ] && exit 143; }

own_address() {
  if [ -n "$IP" ]; then echo "$IP"; return; fi
  local all; all="$(hostname -I)" || fail "hostname -I" "name this machine's address: IP="
  [ -n "${all%% *}" ] || fail "this machine has no address" "name it: IP="
  echo "${all%% *}"
}

check_node() {
  local flags=() name
  for name in $CHECKS; do flags+=(--component "$name"); done
  [ -n "$CHECKS" ] || return 0
  [ -z "$RECIPE" ] || flags+=(--recipe "$RECIPE")
  attend env -u RAY_ADDRESS "$PYTHON" -m verl_coder.cli doctor "${flags[@]}" >&2 || stop_if_asked ||
    fail "$(hostname) is not fit for the run" "see the lines above (CHECKS= chooses what is looked at)"
}

# Ray with the arguments that describe this machine; Ray counts its GPUs itself, and finds a worker's address by the way
# to the head: its first one may be of a network that no other machine sees (docker0).
start_ray() {
  local address="$IP" flags=(--disable-usage-stats --block)
  if [ "$role" != worker ]; then address="$(own_address)" || exit 1; fi   # `fail` ends the $( ) alone
  [ -z "$address" ] || flags=(--node-ip-address "$address" "${flags[@]}")
  if [ "$PROFILE" = cpu ]; then
    flags+=(--num-gpus "${N_GPUS:-1}" --num-cpus 64 --object-store-memory 500000000)
  elif [ -n "$N_GPUS" ]; then flags+=(--num-gpus "$N_GPUS"); fi
  [ "$PROFILE" = gpu ] || export RAY_worker_niceness=0
  attend "$PYTHON" -m ray.scripts.scripts start "$@" "${flags[@]}"
}

head_listens() { (exec 3<>"/dev/tcp/$HEAD/$PORT") 2>/dev/null; }

# Whether the head that this script has started, if it has, still runs.
head_runs() { [ -z "$ray_head" ] || kill -0 "$ray_head" 2>/dev/null; }

wait_for_head() {
  local until=$((SECONDS + WAIT_S))
  [ -z "$dry_run" ] || return 0
  while [ -z "$stopping" ]; do
    head_runs || return 1
    ! head_listens || return 0
    [ "$SECONDS" -lt "$until" ] || return 1
    sleep 1
  done
}

# Joins again after Ray has ended here, for as long as there is a head.
serve_worker() {
  [ -n "$HEAD" ] || fail "HEAD= is empty" "name the first machine: HEAD=node1"
  wait_for_head || fail "no head at $HEAD:$PORT within $WAIT_S s" "start it there: bash run_scripts/start_ray_cluster.sh head"
  while [ -z "$stopping" ]; do
    start_ray --address "$HEAD:$PORT" || true
    [ -z "$dry_run" ] || return 0
    if [ -n "$stopping" ] || ! head_listens; then return 0; fi
    say "$(hostname): Ray has ended here; joining $HEAD:$PORT again"
    sleep 5
  done
}

wait_for_nodes() {
  attend "$PYTHON" -m verl_coder.launch.node_sandboxes --address "$RAY_ADDRESS" --nodes "$NODES" --wait-s "$WAIT_S" --only-wait
}

# The command, again after a failure for which it had been running a while.
run_command() {
  [ $# -gt 0 ] || fail "no command" "end the line with one, for instance: bash run_scripts/run_qwen_grpo.sh"
  local address="$HEAD" attempt status began
  [ -n "$address" ] || address="$(own_address)" || exit 1
  export RAY_ADDRESS="$address:$PORT" PROFILE
  for ((attempt = 0; ; attempt++)); do
    wait_for_nodes || stop_if_asked || fail "the cluster at $RAY_ADDRESS does not have $NODES machines" "start the others, or give NODES="
    began=$SECONDS status=0
    attend "$@" "trainer.nnodes=$NODES" || status=$?
    if [ "$status" -eq 0 ] || [ -n "$stopping" ]; then return "$status"; fi
    [ $((SECONDS - began)) -ge "$MIN_S" ] || fail "the command failed after $((SECONDS - began)) s" "mend it, then the same again"
    [ "$attempt" -lt "$RETRIES" ] || fail "the command failed $((attempt + 1)) times" "see its last lines; the same again goes on from the last checkpoint"
    head_runs || fail "the command failed (status $status), and Ray's head has ended" "see the lines above; the same again goes on from the last checkpoint"
    say "the command failed (status $status); again, when $NODES machines are there"
  done
}

over_ssh() {
  local names host name remote
  read -r -a names <<<"$HOSTS"
  [ -z "${RAY_AUTH_TOKEN:-}" ] || fail "RAY_AUTH_TOKEN does not travel by ssh" "put it into a file that all machines see: RAY_AUTH_TOKEN_PATH="
  HEAD="$(own_address)" || exit 1
  NODES="${#names[@]}"
  make_token
  check_node
  # What listens there now would be taken for the head below.
  [ -n "$dry_run" ] || ! head_listens || fail "something listens on $HEAD:$PORT already" "end it, or name another port: PORT="
  beside start_ray --head --port "$PORT" --dashboard-host 127.0.0.1
  ray_head="${companions[0]}"
  for host in "${names[@]:1}"; do
    # Their IP is that by which they reach the head: Ray finds it where none is given.
    remote="cd $(printf %q "$REPO_ROOT") && VENV=$(printf %q "$VENV_NAMED")"
    for name in HEAD PORT PROFILE RECIPE N_GPUS RAY_AUTH_MODE RAY_AUTH_TOKEN_PATH CHECKS WAIT_S; do
      remote+=" $name=$(printf %q "${!name}")"
    done
    remote+=" bash run_scripts/start_ray_cluster.sh worker"
    # shellcheck disable=SC2086  # SSH is a command with its options
    beside attend $SSH "$host" "$remote" </dev/null
  done
  [ -z "$dry_run" ] || wait
  wait_for_head || fail "Ray's head did not start on $HEAD:$PORT" "see the lines above"
  run_command "$@"
}

trap on_signal TERM INT HUP
trap end_companions EXIT
case "$role" in
  check) check_node ;;
  head) make_token; check_node; start_ray --head --port "$PORT" --dashboard-host 127.0.0.1 ;;
  worker) check_node; serve_worker ;;
  run) run_command "$@" ;;
  ssh) over_ssh "$@" ;;
esac
