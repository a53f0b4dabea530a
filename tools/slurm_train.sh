#!/usr/bin/env bash
# Trains as a Slurm job.
#   tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [options of tools/train.py]
# GPUS (8), GPUS_PER_NODE (8; 0 asks for none), CPUS_PER_TASK (5) and SRUN_ARGS come from the environment.
#
# Inside a batch job, a training that was asked to stop (exit code 75) puts its job back into the queue, and --resume
# goes on where it stopped. Slurm asks 5 minutes before the time limit, and when the job is preempted:
#   sbatch --requeue --open-mode=append --signal=USR1@300 --time=12:00:00 --ntasks=8 --gres=gpu:8 --cpus-per-task=5 \
#       --wrap 'tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR --resume'
# Without --resume, or with --resume CHECKPOINT, a job begins at the same place each time, so it is not put back into the
# queue.
# REQUEUE=0 leaves the queue alone. Ctrl-C saves as well; a second one ends all processes at once, with code 130.
set -euo pipefail

if [ $# -lt 4 ]; then
    echo "usage: [GPUS=8] $0 PARTITION JOB_NAME CONFIG WORK_DIR [options of tools/train.py]" >&2
    exit 2
fi
TOOLS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tools/launch_env.sh
. "$TOOLS/launch_env.sh"

AGAIN_FROM= BEFORE=
for option in "${@:5}"; do
    case $BEFORE:$option in
    --resume:auto | --resume:-*) ;;
    --resume:*) AGAIN_FROM= ;; # a checkpoint
    esac
    case $option in
    --resume | --resume=auto) AGAIN_FROM=$option ;;
    --resume=*) AGAIN_FROM= ;;
    esac
    BEFORE=$option
done
if [ -n "${SLURM_JOB_ID:-}" ] && [ "${REQUEUE:-1}" != 0 ] && [ -z "$AGAIN_FROM" ]; then
    echo "$0: a job that is stopped stays out of the queue, as it would begin at the same place; --resume goes on" >&2
fi

launch_apart run_slurm "$1" "$2" "$TOOLS/train.py" "$3" --work-dir "$4" --launcher slurm "${@:5}"
ASKED=
# srun hands signals on to all processes.
stop() { # stop SIGNAL HANDED_ON
    SIGNALLED=1
    if [ "$1" = INT ] && [ -n "$ASKED" ]; then
        ASKED=INT
        kill -INT "$JOB" || true # (srun ends its processes at the second of two within a second)
        sleep 0.2
        kill -INT "$JOB" 2>/dev/null || true
    else
        ASKED=${ASKED:-$1}
        kill "-$2" "$JOB" || true
    fi
}
trap 'stop TERM TERM' TERM
trap 'stop INT TERM' INT
trap 'stop HUP TERM' HUP # the terminal was closed
trap 'stop USR1 USR1' USR1
while
    SIGNALLED=0 CODE=0
    wait "$JOB" || CODE=$?
    [ "$SIGNALLED" = 1 ] # a signal ended the waiting, not the job
do :; done
# Asked before there was anything to save, the processes end by the signal: the job is as little done as with 75.
AGAIN=0
case $ASKED:$CODE in
INT:0 | INT:75) ;;
INT:*) CODE=130 ;;
*:75 | TERM:143 | USR1:138) AGAIN=1 ;;
esac
if [ "$AGAIN" = 1 ] && [ -n "$AGAIN_FROM" ] && [ -n "${SLURM_JOB_ID:-}" ] && [ "${REQUEUE:-1}" != 0 ]; then
    scontrol requeue "$SLURM_JOB_ID" || true
fi
exit "$CODE"
