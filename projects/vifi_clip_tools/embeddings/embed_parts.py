"""What is embedded of a list so far, so that nothing is embedded twice."""
import io
import json
import os
import re
import time
import zipfile
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

import numpy as np

_JOB = 'job.json'
_PART = re.compile(r'\.?[0-9]{8}\.npz(\.tmp)?')
# Written as soon as one of them is reached: what a crash can lose.
MOST_VIDEOS, MOST_SECONDS = 16, 20.


class PartFolder:
    """A folder of finished pieces beside the file to be.

    Several processes may write to it; each embeds other videos.

    Args:
        out (str): The file to be.
    """

    def __init__(self, out: str) -> None:
        self.path = Path(f'{out}.parts')

    def job(self) -> Optional[Dict[str, Any]]:
        """What the pieces are of; None if there are none.

        Raises:
            ValueError: The folder holds something else.
        """
        self._files()
        try:
            return json.loads((self.path / _JOB).read_text('utf-8'))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise ValueError(f'{self.path / _JOB} is damaged; remove the '
                             'folder to start anew') from error

    def _files(self) -> List[str]:
        if not self.path.exists():
            return []
        names = (os.listdir(self.path) if self.path.is_dir()
                 else [self.path.name])
        foreign = [name for name in names if not _PART.fullmatch(name)
                   and name.lstrip('.') not in (_JOB, f'{_JOB}.tmp')]
        if foreign:
            raise ValueError(f'{self.path} is needed for unfinished work and '
                             f'holds {foreign[0]}; move that away')
        return names

    def start(self, job: Mapping[str, Any]) -> None:
        """Forget all pieces and begin others."""
        from projects.vifi_clip.checkpoints.files import AtomicLocalBackend
        self.remove()
        AtomicLocalBackend().put(
            json.dumps(job, indent=1).encode(), str(self.path / _JOB))

    def remove(self) -> None:
        """Delete what we wrote.

        Raises:
            ValueError: The folder holds something else.
        """
        for name in self._files():
            (self.path / name).unlink()
        if self.path.exists():
            self.path.rmdir()

    def read(self) -> Dict[int, Any]:
        """What is there: an embedding [D], or an error's text, by index."""
        found: Dict[int, Any] = {}
        for path in sorted(self.path.glob('[0-9]*.npz')):
            try:
                with np.load(path, allow_pickle=False) as part:
                    good, bad = part['good'], part['bad']
                    vectors, errors = part['embeddings'], part['errors']
            except (OSError, EOFError, ValueError, KeyError,
                    zipfile.BadZipFile):
                continue  # a machine went down: its videos are done again
            found.update(zip(good.tolist(), vectors))
            found.update(zip(bad.tolist(), map(str, errors)))
        return found


class PartWriter:
    """Writes pieces as they fill; a context that writes the last one.

    Args:
        folder (PartFolder): Where to.
    """

    def __init__(self, folder: PartFolder) -> None:
        self._folder = folder
        self._held: List[tuple] = []
        self._since = time.monotonic()

    def add(self, index: int, embedding: Optional[np.ndarray],
            error: str = '') -> None:
        """Note a video's embedding [D], or why there is none."""
        self._held.append((index, embedding, error))
        if (len(self._held) >= MOST_VIDEOS
                or time.monotonic() - self._since > MOST_SECONDS):
            self.flush()

    def flush(self) -> None:
        """Write what is held."""
        from projects.vifi_clip.checkpoints.files import AtomicLocalBackend
        if not self._held:
            return
        good = [(i, e) for i, e, _ in self._held if e is not None]
        bad = [(i, text) for i, e, text in self._held if e is None]
        out = io.BytesIO()
        np.savez(out,
                 good=np.array([i for i, _ in good], np.int64),
                 embeddings=_stack([e for _, e in good]),
                 bad=np.array([i for i, _ in bad], np.int64),
                 errors=np.array([text for _, text in bad], np.str_))
        name = f'{self._held[0][0]:08d}.npz'  # an index comes once
        AtomicLocalBackend().put(out.getbuffer(),
                                 str(self._folder.path / name))
        self._held, self._since = [], time.monotonic()

    def __enter__(self) -> 'PartWriter':
        return self

    def __exit__(self, *error) -> None:
        self.flush()


def _stack(vectors: Sequence[np.ndarray]) -> np.ndarray:
    return (np.stack(vectors).astype(np.float32) if vectors
            else np.empty((0, 0), np.float32))
