#!/usr/bin/env bash
# Run the test suite in its own environment, one process for each core up to 4:
#   bash tools/run_tests.sh [--fast] [pytest arguments]
# --fast leaves out what takes more than five seconds. What was skipped is
# listed at the end, with the reason.
set -euo pipefail
case "${1:-}" in -h|--help) sed -n '2,5s/^# //p' "$0"; exit 0 ;; esac
source "$(dirname "${BASH_SOURCE[0]}")/_env.sh"
vifi_env '[test]'
cores="$("$PYTHON" -c 'import os; print(min(4, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()))')"
# A file's tests stay in one process, since they share models and clips.
exec "$PYTHON" -m pytest -rs -n "$cores" --dist loadfile "$@"
