# Sourced by the launch scripts: chooses the interpreter and starts one process for each GPU.
# shellcheck shell=bash

REPO=$(dirname "$TOOLS")
if [ -z "${PYTHON:-}" ]; then
    if [ -x "$REPO/.venv/bin/python" ]; then PYTHON=$REPO/.venv/bin/python; else PYTHON=python; fi
fi
export PYTHONPATH="$REPO${PYTHONPATH:+:$PYTHONPATH}"

# launch_apart COMMAND ...: starts it in a process group of its own, JOB. A Ctrl-C at the terminal goes to every process
# of the group in the foreground, and would reach launcher, trainings and loader workers besides the script.
launch_apart() {
    set -m
    "$@" &
    JOB=$!
    set +m
    # Ctrl-Z and going on reach the group through the script.
    trap 'SIGNALLED=1; kill -TSTP -- "-$JOB" || true; kill -STOP $$' TSTP
    trap 'SIGNALLED=1; kill -CONT -- "-$JOB" || true' CONT
}

# run_distributed PROCESSES SCRIPT [arguments]
run_distributed() {
    local processes=$1
    case $processes in
    '' | *[!0-9]* | 0)
        echo "error: expected a number of GPUs (or CPU processes), got '$processes'" >&2
        exit 2
        ;;
    esac
    # A port that another run has: torchrun tells of it in a hundred lines, after a while.
    if [ "${NODE_RANK:-0}" = 0 ] && (exec 3<>"/dev/tcp/127.0.0.1/${PORT:-29500}") 2>/dev/null; then
        echo "error: expected a free port, got ${PORT:-29500}, which is taken; choose another by PORT=..." >&2
        exit 2
    fi
    # The cores of this machine, shared among its processes.
    local cores
    cores=$(getconf _NPROCESSORS_ONLN)
    export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((cores > processes ? cores / processes : 1))}
    export MKL_NUM_THREADS=${MKL_NUM_THREADS:-$OMP_NUM_THREADS}
    exec "$PYTHON" -m torch.distributed.run \
        --nnodes="${NNODES:-1}" \
        --node_rank="${NODE_RANK:-0}" \
        --master_addr="${MASTER_ADDR:-127.0.0.1}" \
        --master_port="${PORT:-29500}" \
        --nproc_per_node="$processes" \
        "${@:2}"
}

# run_slurm PARTITION JOB_NAME SCRIPT [arguments]
run_slurm() {
    local gpus=${GPUS:-8} per_node=${GPUS_PER_NODE:-8} cpus=${CPUS_PER_TASK:-5}
    local options=(-p "$1" --job-name="$2" --ntasks="$gpus" --cpus-per-task="$cpus" --kill-on-bad-exit=1)
    if [ "$per_node" -gt 0 ]; then
        if [ "$per_node" -gt "$gpus" ]; then per_node=$gpus; fi
        options+=(--gres="gpu:$per_node" --ntasks-per-node="$per_node")
    fi
    export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$cpus}
    export MKL_NUM_THREADS=${MKL_NUM_THREADS:-$OMP_NUM_THREADS}
    # shellcheck disable=SC2086  # SRUN_ARGS holds several words
    exec srun "${options[@]}" ${SRUN_ARGS:-} "$PYTHON" -u "${@:3}"
}
