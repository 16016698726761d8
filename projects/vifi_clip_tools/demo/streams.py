"""Streams on the page: those that were named when it was started, and no
others, since a server must not connect to whatever a visitor types."""
import threading
import time
from dataclasses import dataclass, replace
from typing import Dict, List, Optional, Sequence, Tuple

from projects.vifi_clip.errors import UserError
from ..predict.stream import LiveFrames, check_stream, public_name

WINDOW, STRIDE = 2., 1.  # seconds, as predict has them
_IDLE = 10.  # seconds after which a stream that nobody watches is closed
_MOST_LINES = 20


@dataclass(frozen=True)
class Watched:
    """What a visitor has seen of a stream; times are of time.monotonic."""
    name: Optional[str]
    start: float
    came: float = 0.  # when the newest frame came
    # seconds since the start, best label, its probability, delay in seconds;
    # newest first
    lines: Tuple[Tuple[float, str, float, float], ...] = ()

    @property
    def age(self) -> float:
        """Seconds since the newest frame, or since the start without one."""
        return time.monotonic() - (self.came or self.start)

    def add(self, came: float, label: str, score: float) -> 'Watched':
        """Add an answer of now."""
        now = time.monotonic()
        line = now - self.start, label, score, now - came
        return replace(self, came=came,
                       lines=(line, *self.lines)[:_MOST_LINES])


class Streams:
    """One reader of each stream for all visitors, who see its name without
    password and query."""

    def __init__(self, addresses: Sequence[str] = ()) -> None:
        self._addresses: Dict[str, str] = {}
        for number, address in enumerate(addresses, 1):
            check_stream(address)
            name = public_name(address)
            if name in self._addresses:
                name += f' ({number})'
            self._addresses[name] = address
        self._readers: Dict[str, LiveFrames] = {}
        self._lock = threading.Lock()

    @property
    def names(self) -> List[str]:
        """Return what visitors may choose from."""
        return list(self._addresses)

    def reader(self, name: Optional[str], num_frames: int) -> LiveFrames:
        """Return the reader of a stream, started if it is not running, which
        keeps enough for views of ``num_frames``."""
        if name not in self._addresses:
            raise UserError('Choose a stream.')
        with self._lock:
            reader = self._readers.get(name)
            if reader is None or reader.ended:
                reader = self._readers[name] = LiveFrames(
                    self._addresses[name], WINDOW, 2 * num_frames,
                    idle=_IDLE).start()
            return reader

    def close(self) -> None:
        """End all readers."""
        for reader in self._readers.values():
            reader.stop()
