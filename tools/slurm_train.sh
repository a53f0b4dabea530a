#!/usr/bin/env bash
# Trains as a Slurm job.
#   tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [options of tools/train.py]
# GPUS (8), GPUS_PER_NODE (8; 0 asks for none), CPUS_PER_TASK (5) and SRUN_ARGS come from the environment.
#
# Inside a batch job, a training that was asked to stop (exit code 75) puts its job back into the queue, and --resume
# goes on where it stopped. Slurm asks 5 minutes before the time limit, and when the job is preempted:
#   sbatch --requeue --open-mode=append --signal=USR1@300 --time=12:00:00 --ntasks=8 --gres=gpu:8 --cpus-per-task=5 \
#       --wrap 'tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR --resume'
# REQUEUE=0 leaves the queue alone.
set -euo pipefail

if [ $# -lt 4 ]; then
    echo "usage: [GPUS=8] $0 PARTITION JOB_NAME CONFIG WORK_DIR [options of tools/train.py]" >&2
    exit 2
fi
TOOLS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tools/launch_env.sh
. "$TOOLS/launch_env.sh"

run_slurm "$1" "$2" "$TOOLS/train.py" "$3" --work-dir "$4" --launcher slurm "${@:5}" &
JOB=$!
# srun hands these on to all processes.
trap 'SIGNALLED=1; kill -TERM "$JOB" || true' TERM INT
trap 'SIGNALLED=1; kill -USR1 "$JOB" || true' USR1
while
    SIGNALLED=0 CODE=0
    wait "$JOB" || CODE=$?
    [ "$SIGNALLED" = 1 ] # a signal ended the waiting, not the job
do :; done
if [ "$CODE" -eq 75 ] && [ -n "${SLURM_JOB_ID:-}" ] && [ "${REQUEUE:-1}" != 0 ]; then
    scontrol requeue "$SLURM_JOB_ID" || true
fi
exit "$CODE"
