#!/usr/bin/env bash
# Tests on several GPUs, or on several CPU processes where there is no GPU.
#   tools/dist_test.sh CONFIG CHECKPOINT GPUS [options of tools/test.py]
# Several nodes: set NNODES, NODE_RANK, MASTER_ADDR and PORT on each. PYTHON names another interpreter.
set -euo pipefail

if [ $# -lt 3 ]; then
    echo "usage: $0 CONFIG CHECKPOINT GPUS [options of tools/test.py]" >&2
    exit 2
fi
TOOLS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tools/launch_env.sh
. "$TOOLS/launch_env.sh"

run_distributed "$3" "$TOOLS/test.py" "$1" "$2" --launcher pytorch "${@:4}"
