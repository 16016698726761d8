"""The transforms of a whole batch on the model's device.

Letters: U frames that were decoded, M frames of a sample, N of a batch.
"""
from typing import Dict, List, Sequence, Tuple

import torch
import torch.nn.functional as F
from mmaction.models.data_preprocessors import ActionDataPreprocessor
from mmaction.registry import MODELS
from mmaction.utils import SampleList
from torch import Tensor

from ..datasets.deferred import DeferredClip
from ..datasets.planes import YUV

# Fractions are cut off behind every change of colours, as in torchvision; of
# a value that should be whole, this much may be lacking.
_CUT = 5e-5


@MODELS.register_module()
class DeviceTransforms(ActionDataPreprocessor):
    """ActionDataPreprocessor that carries out what a pipeline put off
    (:mod:`~..datasets.deferred`), on the device and before all else.

    Pixels have whole numbers from 0 to 255 after each step, as in a worker.
    Samples that come finished stay as they are.
    """

    def preprocess(self, inputs: List[Tensor], data_samples: SampleList,
                   training: bool = False) -> Tuple[Tensor, SampleList]:
        """Make the frames of a batch, then see ActionDataPreprocessor."""
        clips = [sample and sample.pop('deferred', None)
                 for sample in data_samples or ()]
        if any(clips):
            inputs = make_frames(inputs, clips)
        return super().preprocess(inputs, data_samples, training)


def make_frames(inputs: Sequence[Tensor],
                clips: Sequence[DeferredClip]) -> List[Tensor]:
    """Make the frames of a batch.

    Args:
        inputs (Sequence[Tensor]): Of each sample its decoded frames, uint8:
            planes [U, H * 3 / 2, W] or RGB [U, H, W, 3]; or finished ones.
        clips (Sequence[DeferredClip]): What to do to them; None of finished
            ones.

    Returns:
        list[Tensor]: [M, 3, H, W] each, float32 with whole numbers from 0 to
        255, or as given.

    Raises:
        ValueError: The samples' frames are not as many, or differ in size.
    """
    # Products in half precision would have other colours.
    with torch.autocast(inputs[0].device.type, enabled=False):
        made = [x if clip is None else _reshape(x, clip)
                for x, clip in zip(inputs, clips)]
        if len(shapes := {tuple(x.shape) for x in made}) > 1:
            raise ValueError(
                'samples of a batch have frames [M, 3, H, W] of different '
                f'shapes, {sorted(shapes)}: let the pipeline resize them to '
                'one size, or set batch_size=1')
        colours = [frame[2] for x, clip in zip(made, clips) for frame in (
            clip.frames if clip else [(0, (), ())] * len(x))]
        if any(colours):
            made = list(_recolour(torch.cat([x.float() for x in made]),
                                  colours).split([len(x) for x in made]))
    return made


def to_rgb(planes: Tensor, yuv: YUV) -> Tensor:
    """Turn planes, uint8 [U, H * 3 / 2, W], to float32 [U, 3, H, W], with the
    pixels of swscale on x86: each pair of pixels in each direction has one
    colour."""
    height, width = planes.shape[1] * 2 // 3, planes.shape[2]
    quarter = height * width // 4
    y, u, v = (plane.int() for plane in planes.flatten(1).split(
        [4 * quarter, quarter, quarter], 1))
    u, v = (plane.view(-1, height // 2, 1, width // 2, 1)
            for plane in (u, v))

    def term(x: Tensor, black: int, weight: int) -> Tensor:
        return (8 * (x - black) * weight) >> 16

    y = term(y, yuv.black, yuv.luma).view(
        -1, height // 2, 2, width // 2, 2)
    rgb = [y + term(v, 128, yuv.red_v),
           y + (term(u, 128, yuv.green_u) + term(v, 128, yuv.green_v)),
           y + term(u, 128, yuv.blue_u)]
    return torch.stack(rgb, 1).clamp_(0, 255).float().view(
        -1, 3, height, width)


def _reshape(x: Tensor, clip: DeferredClip) -> Tensor:
    """Make the frames [M, 3, h, w] of a sample, but for their colours."""
    rgb = (to_rgb(x, clip.yuv) if clip.yuv else
           x.permute(0, 3, 1, 2).float())  # [U, 3, H, W]
    made: Dict[tuple, Tensor] = {(): rgb}

    def make(geometry: tuple) -> Tensor:
        if geometry not in made:  # crops of one view share what was before
            made[geometry] = _STEPS[geometry[-1][0]](
                make(geometry[:-1]), *geometry[-1][1:])
        return made[geometry]

    kinds = list(dict.fromkeys(geometry for _, geometry, _ in clip.frames))
    order = [kinds.index(geometry) * len(rgb) + number
             for number, geometry, _ in clip.frames]
    x = torch.cat([make(geometry) for geometry in kinds])
    if order == list(range(len(x))):
        return x
    return x[torch.tensor(order, device=x.device)]


def _resize(x: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(x, (height, width), mode='bilinear').round_()


def _crop(x: Tensor, top: int, bottom: int, left: int, right: int) -> Tensor:
    return x[..., top:bottom, left:right]


_STEPS = dict(resize=_resize, crop=_crop, flip=Tensor.flip)


def _recolour(x: Tensor, colours: Sequence[tuple]) -> Tensor:
    """Change the colours of each frame, [N, 3, H, W], in its own order, all
    that are due for the same operation at once."""
    for turn in range(max(map(len, colours))):
        for number, adjust in enumerate(_ADJUST):
            due = {row: steps[turn][1] for row, steps in enumerate(colours)
                   if len(steps) > turn and steps[turn][0] == number}
            if due:
                rows = torch.tensor(list(due), device=x.device)
                values = x.new_tensor(list(due.values())).view(-1, 1, 1, 1)
                x[rows] = adjust(x[rows], values)
    return x


def _whole(x: Tensor) -> Tensor:
    return x.add_(_CUT).floor_().clamp_(0, 255)


def _grey(x: Tensor) -> Tensor:
    red, green, blue = x.split(1, 1)
    return _whole(.2989 * red + .587 * green + .114 * blue)


def _brightness(x: Tensor, factor: Tensor) -> Tensor:
    return _whole(x * factor)


def _contrast(x: Tensor, factor: Tensor) -> Tensor:
    mean = _grey(x).mean((1, 2, 3), keepdim=True)
    return _whole(factor * x + (1 - factor) * mean)


def _saturation(x: Tensor, factor: Tensor) -> Tensor:
    return _whole(factor * x + (1 - factor) * _grey(x))


def _hue(x: Tensor, turn: Tensor) -> Tensor:
    red, green, blue = x.split(1, 1)
    top = x.amax(1, keepdim=True)
    chroma = top - x.amin(1, keepdim=True)
    span = chroma.clamp(min=1)
    hue = torch.where(
        top == red, (green - blue) / span,
        torch.where(top == green, 2 + (blue - red) / span,
                    4 + (red - green) / span)) + 6 * turn
    # Sixths of a circle from where red, green and blue begin to fall.
    place = (hue + hue.new_tensor([5, 3, 1]).view(3, 1, 1)) % 6
    x = top - chroma * torch.minimum(place, 4 - place).clamp_(0, 1)
    return _whole(x * (255.999 / 255))


# In the order in which torchvision numbers them.
_ADJUST = (_brightness, _contrast, _saturation, _hue)
