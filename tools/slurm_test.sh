#!/usr/bin/env bash
# Tests as a Slurm job.
#   tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [options of tools/test.py]
# GPUS (8), GPUS_PER_NODE (8; 0 asks for none), CPUS_PER_TASK (5) and SRUN_ARGS come from the environment.
set -euo pipefail

if [ $# -lt 4 ]; then
    echo "usage: [GPUS=8] $0 PARTITION JOB_NAME CONFIG CHECKPOINT [options of tools/test.py]" >&2
    exit 2
fi
TOOLS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tools/launch_env.sh
. "$TOOLS/launch_env.sh"

run_slurm "$1" "$2" "$TOOLS/test.py" "$3" "$4" --launcher slurm "${@:5}"
