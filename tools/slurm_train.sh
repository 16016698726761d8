#!/usr/bin/env bash
# Train with Slurm, one process for each GPU, on as many nodes as it takes.
#   tools/slurm_train.sh PARTITION JOB_NAME CONFIG [options of tools/train.py]
# Environment: GPUS (8), GPUS_PER_NODE (8 or GPUS), CPUS_PER_TASK (5),
# SRUN_ARGS (more options of srun), and the config's knobs.
set -euo pipefail
if [ $# -lt 3 ]; then sed -n '2,5s/^# //p' "$0" >&2; exit 2; fi
exec bash "$(dirname "$0")/_slurm.sh" "$1" "$2" train.py "${@:3}"
