#!/usr/bin/env bash
# Test on several GPUs of a machine (or several processes on CPU, with gloo).
#   tools/dist_test.sh CONFIG CHECKPOINT NUM_PROCESSES [options of tools/test.py]
# Several machines: NNODES, NODE_RANK, MASTER_ADDR and PORT in the environment.
set -euo pipefail
if [ $# -lt 3 ]; then sed -n '2,4s/^# //p' "$0" >&2; exit 2; fi
exec bash "$(dirname "$0")/_launch.sh" "$3" test.py "$1" "$2" "${@:4}"
