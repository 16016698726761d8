#!/usr/bin/env bash
# Run the test suite in its own environment:
#   bash tools/run_tests.sh [pytest arguments]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_env.sh"
vifi_env '[test]'
exec "$PYTHON" -m pytest "$@"
