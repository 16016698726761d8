"""The options of ``vifi-clip attention``."""
import os.path as osp
from dataclasses import dataclass
from typing import List, Optional

from ..cli.options import ModelOptions, SeveralModels
from ..cli.parsing import argument, number, option, part

METHODS = ('rollout', 'last', 'gradient')


@dataclass(frozen=True, kw_only=True)
class AttentionOptions:
    """What to draw, of which video, and into which files."""

    clip: str = argument(metavar='VIDEO', help='a video file or a web address')
    out: Optional[str] = option('-o', help='write a grid of frames and maps, '
                                '.png')
    video: Optional[str] = option(help='write the clip beside its overlays, '
                                  '.mp4')
    npz: Optional[str] = option(help='write the maps as numbers, .npz')
    labels: Optional[str] = option(
        help='class names separated by commas, or a file of them (default: '
        "the config's classes)")
    text: Optional[str] = option(
        help='any text, for which gradient maps show the evidence (default: '
        "each model's best label)")
    methods: List[str] = option(
        '--method', nargs='+', choices=METHODS, metavar='METHOD',
        default=list(METHODS), help='any of rollout, last and gradient '
        '(default: all three)')
    given_names: Optional[List[str]] = option(
        '--names', nargs='+', metavar='NAMES', help='names of the models, in '
        'their order (default: their file names)')
    columns: int = option(
        '--frames', type=number(int, 1, 32), metavar='FRAMES', default=8,
        help='columns of the grid, spread evenly over the frames that the '
        'model sees (default: 8)')
    video_frames: int = option(
        type=number(int, 1, 1000), default=64, help='frames of the video, '
        'spread evenly over the clip (default: 64)')
    per_frame: bool = option(
        action='store_true', help='scale each frame on its own (default: one '
        'scale for the video)')
    overwrite: bool = option(action='store_true',
                             help='replace files that exist')
    several: SeveralModels = part(SeveralModels)

    @property
    def models(self) -> List[ModelOptions]:
        """The models side by side."""
        return self.several.each()

    @property
    def names(self) -> List[str]:
        """A name for each model: the user's, or the stem of its file."""
        if self.given_names is not None:
            return self.given_names
        files = [model.config if model.checkpoint in (None, 'none')
                 else model.checkpoint for model in self.models]
        return [osp.splitext(osp.basename(file))[0] for file in files]

    def __post_init__(self) -> None:
        if not (self.out or self.video or self.npz):
            raise ValueError('nothing to write: give --out grid.png, --video '
                             'overlay.mp4 or --npz maps.npz')
        if self.text is not None and not self.text.strip():
            raise ValueError('--text is empty')
        if self.text and 'gradient' not in self.methods:
            raise ValueError(f'--text {self.text!r} is for --method gradient; '
                             'the other methods depend on the frame alone')
        if self.several.inference:
            raise ValueError('attention maps need the model as it was '
                             'trained: leave out --precision, --compile and '
                             '--text-bf16')
        names, models = self.names, self.models
        if len(names) != len(models):
            raise ValueError(f'--names: {len(names)} names for {len(models)} '
                             'models')
        for i, name in enumerate(names):
            if name in names[:i]:
                raise ValueError(f'two models are called {name!r}: give them '
                                 'different --names')
