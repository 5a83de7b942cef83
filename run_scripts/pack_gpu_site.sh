#!/usr/bin/env bash
# Packs what requirements/gpu.txt pins for a GPU machine that reaches no package index and has PyTorch: parts that are copied
# there, and unpack.sh, which checks and joins them.
#
#   SITE_PYTHON=/path/to/python3.12 OUT=outputs/gpu_site bash run_scripts/pack_gpu_site.sh
#   there: bash unpack.sh /opt/site; export PYTHONPATH=<repository>/src:/opt/site     (docs/offline_gpu.md)
set -euo pipefail

SITE_PYTHON="${SITE_PYTHON:-python3}"        # of the version of the other machine's
ARCH="${ARCH:-90}"                           # its card's compute capability: 90 Hopper, 80 A100, 100 B200
PART_MB="${PART_MB:-60}"                     # of a part, at most
OUT="${OUT:-outputs/gpu_site}"
# What the other machine has already (nvidia-* and cuda-* are never taken):
HAS="${HAS:-torch torchaudio torchvision triton pandas pyarrow scipy sympy networkx mpmath numba llvmlite pillow grpcio ninja setuptools opencv-python-headless tensorboard tensorboard-data-server}"
# What a run of a text model does not import:
WITHOUT="${WITHOUT:-torchcodec tilelang z3-solver flashinfer-cubin flashinfer-python tokenspeed-mla tokenspeed-triton humming-kernels quack-kernels torch-c-dlpack-ext av mypy ruff pre-commit pytest pytest-asyncio pytest-rerunfailures pytest-timeout pytest-xdist hypothesis virtualenv matplotlib fonttools kiwisolver contourpy wandb sentry-sdk py-spy}"

# shellcheck source=run_scripts/environment.sh
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
"$SITE_PYTHON" -c 'import venv' 2>/dev/null || fail "SITE_PYTHON=$SITE_PYTHON runs no Python" "name an interpreter of the other machine's version"
[[ "$PART_MB" =~ ^[1-9][0-9]*$ ]] || fail "PART_MB=$PART_MB" "a whole number of megabytes"
[[ "$ARCH" =~ ^[1-9][0-9]+$ ]] || fail "ARCH=$ARCH" "a compute capability without the dot, such as 90"
[ ! -e "$OUT" ] || fail "$OUT is there already" "remove it, or name another OUT="
make_environment
mkdir -p "$OUT"
OUT="$(cd "$OUT" && pwd)"

"$SITE_PYTHON" -m venv "$OUT/venv"
grep -oE '^[A-Za-z0-9_.-]+==[^ ;\\]+' "$REPO_ROOT/requirements/gpu.txt" | grep -vE '^(nvidia|cuda)-' |
  awk -v left="$HAS $WITHOUT" 'BEGIN { n = split(left, names, " "); for (i = 1; i <= n; i++) out[names[i]] }
    { split($0, pin, "=="); if (!(pin[1] in out)) print }' >"$OUT/pins.txt"
echo "$(wc -l <"$OUT/pins.txt") packages for $("$SITE_PYTHON" -V) (log: $OUT/pip.log)"
"$OUT/venv/bin/python" -m pip install --no-deps --no-compile --target "$OUT/site" -r "$OUT/pins.txt" >"$OUT/pip.log" 2>&1 ||
  fail "pip: $(grep -m1 -E '^ERROR' "$OUT/pip.log")" "the whole of it is in $OUT/pip.log"

"$PYTHON" -m verl_coder.platform.fat_binary "$OUT/site" --arch "$ARCH"
rm -rf "$OUT/site"/ray/{jars,cpp,rllib} "$OUT/site/tests" "$OUT/site/vllm/vllm-rs" "$OUT/site/vllm/third_party/deep_gemm/include"
find "$OUT/site" \( -name "*.a" -o -name "*.pyi" -o -name "*.js.map" \) -delete
find "$OUT/site" -name __pycache__ -prune -exec rm -rf {} +

XZ_OPT='-T0 -1' tar -C "$OUT/site" -cJf - . | split -b "${PART_MB}MB" -d - "$OUT/part."
(cd "$OUT" && sha256sum part.* >parts.sha256)
cat >"$OUT/unpack.sh" <<'UNPACK'
#!/usr/bin/env bash
# bash unpack.sh FOLDER: checks the parts beside this script, unpacks them into FOLDER and makes the bytecode.
set -euo pipefail
site=$(realpath -m "${1:?usage: bash unpack.sh FOLDER}")
CDPATH='' cd -- "$(dirname "${BASH_SOURCE[0]}")"
sha256sum --quiet -c parts.sha256
mkdir -p "$site"
cat part.* | python3 -c 'import sys, tarfile; tarfile.open(fileobj=sys.stdin.buffer, mode="r|xz").extractall(sys.argv[1], filter="tar")' "$site"
python3 -m compileall -q -j 0 "$site" >/dev/null 2>&1 || true   # some packages hold files of other versions of Python
echo "PYTHONPATH=<repository>/src:$site"
UNPACK
echo "$(cat "$OUT"/part.* | wc -c | awk '{ printf "%.0f MB", $1 / 1e6 }') in $(find "$OUT" -name 'part.*' | wc -l) parts: copy $OUT/part.*, parts.sha256, unpack.sh"
