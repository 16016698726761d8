#!/usr/bin/env bash
# From an environment with torch (2.11 or later, with its torchvision) and a
# GPU to one JSON of figures, in at most nine minutes:
#
#   benchmarks/gpu.sh VIDEO... --out gpu.json
#   WHEELS=DIR benchmarks/gpu.sh VIDEO...     # no network: wheels to install
#   benchmarks/gpu.sh --tiny                  # on a CPU: whether it runs
#
# What is missing is installed into that environment, that of $PYTHON (python3
# by default). Options are those of benchmarks/gpu.py.
set -euo pipefail
start=$SECONDS
cd_to=$(dirname "$0")/..
python=${PYTHON:-python3}
export PYTHONPATH=$cd_to${PYTHONPATH:+:$PYTHONPATH}
"$python" - <<'PY'
import torch
version = tuple(int(part) for part in torch.__version__.split('.')[:2])
if version < (2, 11):
    raise SystemExit(f'torch {torch.__version__}: 2.11 or later is needed')
PY
if ! "$python" -c 'import pebble, decord, projects.vifi_clip' 2>/dev/null; then
    needs=$(mktemp)
    "$python" - "$cd_to" >"$needs" <<'PY'
import configparser, pathlib, sys
setup = configparser.ConfigParser()
setup.read(pathlib.Path(sys.argv[1], 'setup.cfg'))
print(setup['options']['install_requires'], 'pebble', sep='\n')
PY
    # torch and torchvision stay as they are.
    grep -vE '^torch(vision)?==' "$cd_to/constraints.txt" >"$needs.pins"
    "$python" -m pip install -q -r "$needs" -c "$needs.pins" \
        ${WHEELS:+--no-index --find-links "$WHEELS"}
fi
exec timeout -k 10 $((540 - SECONDS + start)) \
    "$python" "$cd_to/benchmarks/gpu.py" "$@"
