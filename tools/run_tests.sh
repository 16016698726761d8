#!/usr/bin/env bash
# Run the test suite in its own environment:
#   bash tools/run_tests.sh [pytest arguments]
set -euo pipefail
case "${1:-}" in -h|--help) sed -n '2,3s/^# //p' "$0"; exit 0 ;; esac
source "$(dirname "${BASH_SOURCE[0]}")/_env.sh"
vifi_env '[test]'
exec "$PYTHON" -m pytest "$@"
