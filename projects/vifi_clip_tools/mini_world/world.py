"""The vocabulary of the small world: what exists, and who does what."""
from dataclasses import dataclass
from typing import NamedTuple, Optional

COLOURS = ('red', 'orange', 'yellow', 'green', 'blue', 'purple')
SHAPES = ('ring', 'star', 'heart', 'arrow', 'moon', 'cross')
MOTIONS = ('bouncing', 'sliding', 'spinning', 'pulsing', 'blinking',
           'orbiting')

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
    ('blue', 'ring', ('sliding', 'spinning', 'blinking')),
)
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
    ('orange', 'arrow', ('sliding', 'pulsing', 'blinking')),
)
_NOVEL = (
    ('yellow', 'star', ('bouncing', 'blinking', 'orbiting')),
    ('blue', 'cross', ('sliding', 'spinning', 'pulsing')),
    ('purple', 'ring', ('bouncing', 'spinning', 'pulsing')),
    ('red', 'arrow', ('sliding', 'blinking', 'orbiting')),
)
# Two objects of the training clips with motions new to them, then two
# objects that no other clip shows (the stills do).
_ZERO_SHOT = (
    ('red', 'ring', ('pulsing', 'orbiting')),
    ('orange', 'cross', ('bouncing', 'blinking')),
    ('green', 'moon', ('sliding', 'spinning')),
    ('purple', 'arrow', ('spinning', 'orbiting')),
)


@dataclass(frozen=True)
class WorldParams:
    """What the data set depends on.

    Attributes:
        seed (int): Seed of every draw, from 0.
        train_per_class (int): Training clips of each of the training set's
            24 classes.
        test_per_class (int): Validation clips of each of these, of the
            target set's 24 classes and of the 8 zero-shot classes.
        target_train_per_class (int, optional): Training clips of each of the
            target set's classes; 0 leaves the target set out. Defaults to
            None: ``train_per_class``, 24 at most (more than the 16 of the
            largest draw, so that the draws differ).
        num_stills (int): Captioned still frames.
        size (int): Side of the frames in pixels, even, from 32 to 1024.
    """

    seed: int = 0
    train_per_class: int = 32
    test_per_class: int = 42
    target_train_per_class: Optional[int] = None
    num_stills: int = 3000
    size: int = 64

    def __post_init__(self):
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
