#!/usr/bin/env bash
# From nothing to a fine-tuned video CLIP, tested and applied to a video:
#   bash tools/quickstart.sh [VIDEO ...] [--seeds 0 1 2]
# Makes .venv (or uses the active environment), renders a small video data
# set, trains a small CLIP on still frames, fine-tunes it on the videos, and
# prints a table. Finished steps are not done again.
set -euo pipefail
start="$PWD"
source "$(dirname "${BASH_SOURCE[0]}")/_env.sh"
case "${1:-}" in -h|--help) sed -n '2,6s/^# //p' "${BASH_SOURCE[0]}"; exit 0 ;; esac
vifi_env ''
# Videos are named relative to where the user stands.
arguments=()
for argument in "$@"; do
    if [ -e "$start/$argument" ]; then argument="$start/$argument"; fi
    arguments+=("$argument")
done
exec "$PYTHON" -m projects.vifi_clip_tools quickstart ${arguments[@]+"${arguments[@]}"}
