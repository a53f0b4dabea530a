#!/usr/bin/env bash
# Trains on several GPUs, or on several CPU processes where there is no GPU.
#   tools/dist_train.sh CONFIG GPUS [options of tools/train.py]
# Several nodes: set NNODES, NODE_RANK, MASTER_ADDR and PORT on each. PYTHON names another interpreter.
set -euo pipefail

if [ $# -lt 2 ]; then
    echo "usage: $0 CONFIG GPUS [options of tools/train.py]" >&2
    exit 2
fi
TOOLS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tools/launch_env.sh
. "$TOOLS/launch_env.sh"

run_distributed "$2" "$TOOLS/train.py" "$1" --launcher pytorch "${@:3}"
