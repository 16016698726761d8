#!/usr/bin/env bash
# Test with Slurm, one process for each GPU, on as many nodes as it takes.
#   tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [options of tools/test.py]
# Environment: GPUS (8), GPUS_PER_NODE (8 or GPUS), CPUS_PER_TASK (5),
# SRUN_ARGS (more options of srun), and the config's knobs.
set -euo pipefail
if [ $# -lt 4 ]; then sed -n '2,5s/^# //p' "$0" >&2; exit 2; fi
exec bash "$(dirname "$0")/_slurm.sh" "$1" "$2" test.py "${@:3}"
