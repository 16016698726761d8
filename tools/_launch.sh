#!/usr/bin/env bash
# torchrun with MMAction2's environment variables; used by dist_*.sh.
#   tools/_launch.sh NUM_PROCESSES SCRIPT [arguments]
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
if ! [[ "$1" =~ ^[1-9][0-9]*$ ]]; then
    echo "error: the number of processes must be a whole number of at least 1, got '$1'" >&2
    exit 2
fi
nnodes="${NNODES:-1}"
if [ "$nnodes" = 1 ] && [ -z "${PORT:-}" ]; then
    # A free port, so that two runs on one machine do not meet.
    rendezvous=(--standalone)
else
    rendezvous=(--master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}")
fi
# Otherwise torchrun prints a long warning and sets 1.
if [ -z "${OMP_NUM_THREADS:-}" ]; then
    OMP_NUM_THREADS=$(( ($(nproc) + $1 - 1) / $1 ))
    export OMP_NUM_THREADS
fi
source "$here/_python.sh"
exec "$python" "$here/_torchrun.py" --nnodes="$nnodes" \
    --node_rank="${NODE_RANK:-0}" "${rendezvous[@]}" --nproc_per_node="$1" \
    "$here/$2" "${@:3}" --launcher pytorch
