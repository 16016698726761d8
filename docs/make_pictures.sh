#!/usr/bin/env bash
# Make the pictures of README and docs/ anew, from the small world:
#   bash tools/quickstart.sh && bash docs/make_pictures.sh [CHECKPOINT]
# Clips and words were chosen so that a picture shows what its command is for:
# with 42 test videos a class, and a run of `vifi-clip report --mini`.
# quickstart.png, mini.png and performance.png come from tools/quickstart.sh,
# `vifi-clip report --mini` and `python benchmarks/speed.py`.
# Those of the web page need chromium, chromium-driver and the extra test.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
here=tools
source tools/_python.sh
world="${DATA_ROOT:-data/mini}"
tuned="${1:-work_dirs/quickstart/vifi_mini.pth}"
for file in "$world/annotations/target_val.txt" "$tuned"; do
    [ -e "$file" ] || { echo "error: $file is not there; bash tools/quickstart.sh makes it" >&2; exit 2; }
done
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
vifi() { "$python" -m projects.vifi_clip_tools "$@"; }

vifi attention "$world/videos/blue-star-pulsing/val_009.mp4" --config vifi_mini \
    --checkpoint none "$tuned" --names "frozen CLIP" ViFi-CLIP \
    --method gradient --text "a blue star pulsing" \
    --out "$work/attention.png"
vifi tsne "$world/annotations/target_val.txt" --root "$world" \
    --classes "$world/annotations/target_classes.txt" --config vifi_mini \
    --checkpoint "$tuned" --names ViFi-CLIP --dpi 150 --out "$work/tsne.png"
vifi index "$world/videos/*/val_*.mp4" --config small_world --index "$work/index"
vifi search "a green heart blinking" --index "$work/index" --topk 6 --sheet \
    "$work/search.jpg"
"$python" -c "from projects.vifi_clip_tools.demo.server import write_examples
write_examples('$work')"
vifi predict "$work/three_scenes.mp4" --config small_world \
    --labels "a red ring spinning, a green heart blinking, an orange cross pulsing" \
    --timeline "$work/timeline.png" --window 2 --stride 0.25
clips=()
for clip in red-ring-bouncing/val_000 green-heart-spinning/val_003 \
        blue-star-orbiting/val_006 yellow-arrow-sliding/val_000 \
        orange-cross-pulsing/val_001 purple-moon-blinking/val_002; do
    clips+=("$world/videos/$clip.mp4")
done
for clip in "${clips[@]}"; do  # one folder each: some have the same name
    vifi predict "$clip" --config small_world --topk 3 \
        --labels "$world/annotations/classes.txt" \
        --save-video "$work/clips/$(basename "$(dirname "$clip")")"
done
"$python" - "$work" <<'PYTHON'
import sys
from pathlib import Path
import numpy as np
from PIL import Image
from projects.vifi_clip.datasets.contained_video import open_video
work = Path(sys.argv[1])
files = [open_video(str(path)) for path in sorted(work.glob('clips/*/*.mp4'))]
frames = np.stack([np.stack(list(file.frames(
    np.linspace(0, len(file) - 1, 20).astype(int).tolist()))) for file in files])
rows = [np.concatenate(frames[i:i + 3], 2) for i in (0, 3)]
pages = [Image.fromarray(page) for page in np.concatenate(rows, 1)]
pages[0].save(work / 'moving.webp', save_all=True, append_images=pages[1:],
              duration=160, loop=0, quality=60,
              method=6)
PYTHON
if command -v chromedriver >/dev/null; then
    VIFI_PICTURES="$work" "$python" -m pytest -q \
        -o python_functions=take_pictures tests/demo/test_browser.py
else
    echo "no chromedriver: the screenshots of the web page stay as they are"
fi
# 256 colours: a third of the size, and no difference to see; heat maps have more
"$python" - "$work" <<'PYTHON'
import sys
from pathlib import Path
from PIL import Image
for path in Path(sys.argv[1]).glob('*.png'):
    image = Image.open(path).convert('RGB')
    if path.stem == 'attention':
        image.save(path.with_suffix('.jpg'), quality=82, optimize=True)
        path.unlink()
        continue
    # Median cut would turn the few pixels of a rare colour into another.
    image.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=4,
                   dither=Image.Dither.NONE).save(path, optimize=True)
PYTHON
for picture in "$work"/*.png "$work"/*.jpg "$work"/*.webp; do
    mv "$picture" "docs/$(basename "$picture")"
    echo "docs/$(basename "$picture")"
done
