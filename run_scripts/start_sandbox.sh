#!/usr/bin/env bash
# Starts the embedded sandbox server in the foreground; one per node is enough. Stop it with Ctrl-C.
#
#   bash run_scripts/start_sandbox.sh                        # http://127.0.0.1:8080
#   HOST=0.0.0.0 PORT=9000 bash run_scripts/start_sandbox.sh --workers 32
# Then give SANDBOX_URL=http://HOST:PORT to the training scripts. Further arguments: verl-coder sandbox serve --help

set -euo pipefail
HOST="${HOST:-127.0.0.1}"
PORT="${PORT:-8080}"

# shellcheck source=run_scripts/environment.sh
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
make_environment
exec "$PYTHON" -m verl_coder.cli sandbox serve --host "$HOST" --port "$PORT" "$@"
