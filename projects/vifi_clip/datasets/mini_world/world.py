"""The vocabulary of the small world: what exists, and who does what."""
from typing import List, NamedTuple

COLOURS = ('red', 'orange', 'yellow', 'green', 'blue', 'purple')
SHAPES = ('ring', 'star', 'heart', 'arrow', 'moon', 'cross')
MOTIONS = ('bouncing', 'sliding', 'spinning', 'pulsing', 'blinking',
           'orbiting')

# Each object has three of the six motions, so that knowing the object alone
# is right at most one time in three. Within each half every motion occurs
# twice, so that what is learnt about motions on the base half can carry over
# to the novel half, whose objects are all new.
_BASE = (
    ('red', 'ring', ('bouncing', 'sliding', 'spinning')),
    ('blue', 'star', ('pulsing', 'blinking', 'orbiting')),
    ('green', 'heart', ('bouncing', 'spinning', 'blinking')),
    ('yellow', 'arrow', ('sliding', 'pulsing', 'orbiting')),
)
_NOVEL = (
    ('purple', 'moon', ('bouncing', 'sliding', 'blinking')),
    ('orange', 'cross', ('spinning', 'pulsing', 'orbiting')),
    ('red', 'star', ('bouncing', 'pulsing', 'orbiting')),
    ('blue', 'ring', ('sliding', 'spinning', 'blinking')),
)
# Two objects of the training videos with motions new to them, then two
# objects that no training video shows (the stills do).
_ZERO_SHOT = (
    ('red', 'ring', ('pulsing', 'orbiting')),
    ('orange', 'cross', ('bouncing', 'blinking')),
    ('green', 'moon', ('sliding', 'spinning')),
    ('purple', 'arrow', ('spinning', 'orbiting')),
)


def with_article(noun: str) -> str:
    """Put the indefinite article before ``noun``: 'an orange moon'."""
    return f'{"an" if noun[0] in "aeiou" else "a"} {noun}'


class VideoClass(NamedTuple):
    """One class of the data set.

    Attributes:
        colour (str): One of :data:`COLOURS`.
        shape (str): One of :data:`SHAPES`.
        motion (str): One of :data:`MOTIONS`.
    """

    colour: str
    shape: str
    motion: str

    @property
    def name(self) -> str:
        """str: The class name in natural words, 'a red ring bouncing'."""
        return f'{with_article(self.colour)} {self.shape} {self.motion}'

    @property
    def slug(self) -> str:
        """str: The name of the class's folder, 'red-ring-bouncing'."""
        return '-'.join(self)


def _expand(table) -> List[VideoClass]:
    return [
        VideoClass(colour, shape, motion) for colour, shape, motions in table
        for motion in motions
    ]


def base_classes() -> List[VideoClass]:
    """The 12 base classes, labels 0 to 11 of the full list."""
    return _expand(_BASE)


def novel_classes() -> List[VideoClass]:
    """The 12 novel classes, labels 12 to 23 of the full list."""
    return _expand(_NOVEL)


def train_classes() -> List[VideoClass]:
    """All 24 training classes; the position is the label."""
    return base_classes() + novel_classes()


def zero_shot_classes() -> List[VideoClass]:
    """The 8 classes that no training video shows."""
    return _expand(_ZERO_SHOT)
