"""The vocabulary of the small world: what exists, and who does what."""
from dataclasses import dataclass
from typing import NamedTuple, Optional

from ..cli.parsing import (natural_int, number, option, positive_int,
                           random_seed)

COLOURS = ('red', 'orange', 'yellow', 'green', 'blue', 'purple')
SHAPES = ('ring', 'star', 'heart', 'arrow', 'moon', 'cross')
MOTIONS = ('bouncing', 'sliding', 'spinning', 'pulsing', 'blinking',
           'orbiting')
# What frames of a motion look like, in words of the stills' captions, since
# the small CLIP knows no others; short, since its text has 32 tokens.
_LOOKS = dict(
    bouncing='{a} {thing} at the top, at the bottom',
    sliding='{a} {thing} on the left, on the right',
    spinning='{a} {thing} upright, upside down',
    pulsing='a small {thing}, a large {thing}',
    blinking='{a} {thing}, a faint {thing}',
    orbiting='{a} {thing} at the top, on the left')

# The training set stands for Kinetics. Each object has three of the six
# motions, so that knowing the object alone is right at most one time in three.
# Every motion occurs equally often.
_TRAIN = (
    ('red', 'ring', ('bouncing', 'sliding', 'spinning')),
    ('blue', 'star', ('pulsing', 'blinking', 'orbiting')),
    ('green', 'heart', ('bouncing', 'spinning', 'blinking')),
    ('yellow', 'arrow', ('sliding', 'pulsing', 'orbiting')),
    ('purple', 'moon', ('bouncing', 'sliding', 'blinking')),
    ('orange', 'cross', ('spinning', 'pulsing', 'orbiting')),
    ('red', 'star', ('bouncing', 'pulsing', 'orbiting')),
    ('blue', 'ring', ('sliding', 'spinning', 'blinking')))
# The target set stands for HMDB-51: its objects are in no clip of another
# set. Within each half every motion occurs twice, so that what is learnt about
# motions on the base half can carry over to the novel half. The objects there
# are all new: two of colours and shapes that the base half lacks, two of its
# colours and shapes put together anew. The triples of motions are none of
# those above, where pulsing always goes with orbiting.
_BASE = (
    ('red', 'moon', ('bouncing', 'sliding', 'pulsing')),
    ('purple', 'heart', ('spinning', 'blinking', 'orbiting')),
    ('green', 'ring', ('bouncing', 'spinning', 'orbiting')),
    ('orange', 'arrow', ('sliding', 'pulsing', 'blinking')))
_NOVEL = (
    ('yellow', 'star', ('bouncing', 'blinking', 'orbiting')),
    ('blue', 'cross', ('sliding', 'spinning', 'pulsing')),
    ('purple', 'ring', ('bouncing', 'spinning', 'pulsing')),
    ('red', 'arrow', ('sliding', 'blinking', 'orbiting')))
# Two objects of the training clips with motions new to them, then two
# objects that no other clip shows (the stills do).
_ZERO_SHOT = (
    ('red', 'ring', ('pulsing', 'orbiting')),
    ('orange', 'cross', ('bouncing', 'blinking')),
    ('green', 'moon', ('sliding', 'spinning')),
    ('purple', 'arrow', ('spinning', 'orbiting')))


@dataclass(frozen=True, kw_only=True)
class WorldParams:
    """What the data set depends on, as options of the command line."""

    seed: int = option(type=random_seed, default=0)
    train_per_class: int = option(
        type=positive_int, default=32, help='training clips of each class of '
        'the training set (default: %(default)s)')
    test_per_class: int = option(
        type=positive_int, default=42, help='validation clips of each class; '
        '42 x 24 classes can show a difference of 3 points (default: '
        '%(default)s)')
    # By default more than the 16 of the largest draw, so that draws differ.
    target_train_per_class: Optional[int] = option(
        type=natural_int, help='training clips of each class of the target '
        'set; K-shot lists need K of them, 0 leaves the target set out '
        '(default: 24, or --train-per-class if that is less)')
    num_stills: int = option(type=positive_int, default=3000,
                             help='captioned still frames (default: '
                             '%(default)s)')
    size: int = option(
        type=number(int, 32, 1024), default=64,
        help='side of the frames in pixels (default: %(default)s)')

    def __post_init__(self) -> None:
        if self.size % 2:
            raise ValueError('--size must be even (H.264)')
        if self.target_train_per_class is None:
            # Frozen; the manifest tells the number.
            object.__setattr__(self, 'target_train_per_class',
                               min(self.train_per_class, 24))


def with_article(noun: str) -> str:
    """Put the indefinite article before ``noun``: 'an orange moon'."""
    return f'{"an" if noun[0] in "aeiou" else "a"} {noun}'


class VideoClass(NamedTuple):
    """One class of the data set."""

    colour: str
    shape: str
    motion: str

    @property
    def name(self) -> str:
        """The class name in natural words, 'a red ring bouncing'."""
        return f'{with_article(self.colour)} {self.shape} {self.motion}'

    @property
    def description(self) -> str:
        """What is seen, as a language model would write it behind the name:
        'a red ring pulsing: a small red ring, a large red ring'."""
        a = with_article(self.colour).split()[0]
        look = _LOOKS[self.motion].format(
            a=a, thing=f'{self.colour} {self.shape}')
        return f'{self.name}: {look}'

    @property
    def slug(self) -> str:
        """The name of the class's folder, 'red-ring-bouncing'."""
        return '-'.join(self)


def clip_path(cls: VideoClass, split: str, index: int) -> str:
    """Return the path of a clip in the data set's folder."""
    return f'videos/{cls.slug}/{split}_{index:03d}.mp4'


def still_path(index: int) -> str:
    """Return the path of a still frame in the data set's folder."""
    return f'stills/{index:04d}.jpg'


# The classes of each set; the position is the label. The target set's first
# 12 are its base half. The zero-shot classes have no training clips.
CLASSES = {
    name: [VideoClass(colour, shape, motion)
           for colour, shape, motions in objects for motion in motions]
    for name, objects in dict(
        train=_TRAIN, target=_BASE + _NOVEL, base=_BASE, novel=_NOVEL,
        zero_shot=_ZERO_SHOT).items()}
