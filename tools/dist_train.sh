#!/usr/bin/env bash
# Trains on several GPUs, or on several CPU processes where there is no GPU.
#   tools/dist_train.sh CONFIG GPUS [options of tools/train.py]
# Several nodes: set NNODES, NODE_RANK, MASTER_ADDR and PORT on each. PYTHON names another interpreter.
# SIGTERM, SIGUSR1 and Ctrl-C save a checkpoint after the running iteration and end with code 75; --resume goes on.
# A second Ctrl-C ends all processes at once, with code 130.
set -euo pipefail

if [ $# -lt 2 ]; then
    echo "usage: $0 CONFIG GPUS [options of tools/train.py]" >&2
    exit 2
fi
TOOLS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tools/launch_env.sh
. "$TOOLS/launch_env.sh"

# torchrun ends with 1 whatever its processes end with: they write down when they were stopped.
MMDET_IR_STOPPED_FILE=$(mktemp)
export MMDET_IR_STOPPED_FILE
trap 'rm -f "$MMDET_IR_STOPPED_FILE"' EXIT
launch_apart run_distributed "$2" "$TOOLS/train.py" "$1" --launcher pytorch "${@:3}"
ASKED=
training_processes() { # of torchrun, as numbers; small systems have no pgrep, and macOS has no /proc
    local folder
    if [ -d /proc/self ]; then
        for folder in /proc/[0-9]*; do
            if grep -qs "^PPid:[[:space:]]*$JOB$" "$folder/status" && grep -qs train.py "$folder/cmdline"; then
                echo "${folder#/proc/}"
            fi
        done
    else
        pgrep -P "$JOB" -f train.py
    fi
}
# To the training processes: torchrun itself would kill them 30 seconds later, in the middle of a large checkpoint.
stop() { # stop SIGNAL
    SIGNALLED=1
    if [ "$1" = INT ] && [ -n "$ASKED" ]; then
        ASKED=INT
        rm -f "$MMDET_IR_STOPPED_FILE"
        kill -KILL -- "-$JOB" || true
    else
        ASKED=${ASKED:-$1}
        # shellcheck disable=SC2046 # one word each
        kill -USR1 $(training_processes) 2> /dev/null || kill -TERM "$JOB" || true
    fi
}
trap 'stop TERM' TERM
trap 'stop USR1' USR1
trap 'stop INT' INT
trap 'stop HUP' HUP # the terminal was closed
while
    SIGNALLED=0 CODE=0
    wait "$JOB" || CODE=$?
    [ "$SIGNALLED" = 1 ] # a signal ended the waiting, not the job
do :; done
if [ -s "$MMDET_IR_STOPPED_FILE" ]; then
    CODE=75
elif [ -n "$ASKED" ] && [ "$CODE" -ne 0 ]; then
    CODE=$((128 + $(kill -l "$ASKED"))) # there was nothing to save
fi
exit "$CODE"
