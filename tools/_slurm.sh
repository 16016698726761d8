#!/usr/bin/env bash
# srun as MMAction2's tools call it; used by slurm_*.sh.
#   tools/_slurm.sh PARTITION JOB_NAME SCRIPT [arguments]
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
gpus="${GPUS:-8}"
per_node="${GPUS_PER_NODE:-8}"
cpus="${CPUS_PER_TASK:-5}"
for name in gpus per_node cpus; do
    if ! [[ "${!name}" =~ ^[1-9][0-9]*$ ]]; then
        echo "error: GPUS, GPUS_PER_NODE and CPUS_PER_TASK must be whole numbers of at least 1, got '${!name}'" >&2
        exit 2
    fi
done
if [ "$gpus" -lt "$per_node" ]; then per_node="$gpus"; fi
if [ $(( gpus % per_node )) != 0 ]; then
    echo "error: GPUS=$gpus is not a multiple of GPUS_PER_NODE=$per_node" >&2
    exit 2
fi
command -v srun >/dev/null || {
    echo "error: there is no srun here; without Slurm use tools/dist_train.sh or tools/dist_test.sh" >&2
    exit 2
}
source "$here/_python.sh"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-$cpus}"
# SRUN_ARGS: more options of srun, words with spaces between.
# shellcheck disable=SC2086
exec srun -p "$1" --job-name="$2" --gres="gpu:$per_node" --ntasks="$gpus" \
    --ntasks-per-node="$per_node" --cpus-per-task="$cpus" --kill-on-bad-exit=1 \
    ${SRUN_ARGS:-} "$python" -u "$here/$3" "${@:4}" --launcher slurm
