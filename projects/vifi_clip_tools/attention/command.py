"""``vifi-clip attention``: where the class token looks, as pictures."""

from ..cli.parsing import reader
from .options import AttentionOptions

_EXAMPLES = """examples:
  vifi-clip attention clip.mp4 --labels "arm wrestling, playing cards" \\
      --out grid.png
  vifi-clip attention clip.mp4 --text "playing cards" --method gradient \\
      --labels classes.txt --out grid.png --video overlay.mp4
  vifi-clip attention clip.mp4 --checkpoint none vifi.pth \\
      --names CLIP ViFi-CLIP --config vifi_k400 --out side_by_side.png

Methods: rollout follows attention through all layers; last shows the last
layer alone; gradient shows the evidence for a text."""


parse_args = reader(
    AttentionOptions, 'Show where a model looks: attention of the '
    'class token over the frames of a video', _EXAMPLES)


def run(options: AttentionOptions) -> None:
    """Write the pictures, and print what the models take the video for."""
    from .figures import write_figures
    write_figures(options)
