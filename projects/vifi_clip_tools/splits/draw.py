"""The draw of K videos, the same on every machine."""
import hashlib
from typing import List, Sequence, Tuple, TypeVar

Item = TypeVar('Item')


def draw(items: Sequence[Tuple[str, Item]], count: int,
         seed: int) -> List[Item]:
    """Draw ``count`` items; a smaller draw is part of a larger one.

    Ordering by a hash needs no random generator, whose streams may change
    from one release of a library to the next, and the order of the items
    makes no difference. ``mini_world`` draws by the same rule.

    Args:
        items (Sequence[tuple[str, Item]]): Distinct keys, and what they
            stand for.
        count (int): How many to draw; all, if there are fewer.
        seed (int): Draws of different seeds are independent.

    Returns:
        list[Item]: What was drawn, in the order of the keys.
    """

    def order(item):
        return hashlib.sha256(f'{seed} {item[0]}'.encode()).digest()

    drawn = sorted(items, key=order)[:count]
    return [value for _, value in sorted(drawn, key=lambda item: item[0])]
