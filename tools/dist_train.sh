#!/usr/bin/env bash
# Train on several GPUs of a machine (or several processes on CPU, with gloo).
#   tools/dist_train.sh CONFIG NUM_PROCESSES [options of tools/train.py]
# Several machines: NNODES, NODE_RANK, MASTER_ADDR and PORT in the environment.
set -euo pipefail
if [ $# -lt 2 ]; then sed -n '2,4s/^# //p' "$0" >&2; exit 2; fi
exec bash "$(dirname "$0")/_launch.sh" "$2" train.py "$1" "${@:3}"
