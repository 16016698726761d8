# Sourced by the launchers, with $here set: the active environment's Python,
# or that of the environment which quickstart.sh made.
python=python
if [ -z "${VIRTUAL_ENV:-}${CONDA_PREFIX:-}" ] && [ -x "$here/../.venv/bin/python" ]; then
    python="$here/../.venv/bin/python"
fi
