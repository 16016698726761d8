"""Recognise what a stream or a camera shows now, window by window, until
Ctrl-C: RTSP, HTTP, or a device; what PyAV opens.

Letters: T frames of a view.
"""
import errno
import re
import sys
import threading
import time
from collections import deque
from typing import Any, Deque, List, Optional, Tuple

import av
import numpy as np

from projects.vifi_clip.apis.inputs import (VideoInput, is_camera,
                                            parse_camera)
from projects.vifi_clip.errors import UserError
from ..cli.terminal import one_line
from .options import Options
from .texts import read_texts

_SIDE = 360  # pixels of the shorter side of frames that are kept
_LONGEST_WAIT = 10.  # seconds between two attempts to connect
# Not file: a playlist on a server must not open what is here.
_PROTOCOLS = 'rtsp,rtp,udp,tcp,http,https,httpproxy,tls,srtp,crypto'
_NO_RANGES = (' (an MP4 file needs a server with ranges, or -movflags '
              '+faststart when it is written; MPEG-TS always works)')
# What an address can begin with; FFmpeg wants small letters.
_SCHEMES = tuple(f'{name}://' for name in (
    'rtsp', 'rtsps', 'http', 'https', 'udp', 'rtp', 'srtp', 'tcp', 'tls'))


class LiveFrames:
    """The last frames of a stream, read in a thread that never waits for the
    model: frames that come meanwhile push out older ones.

    ``count`` frames are kept, spread over ``window`` seconds. A stream that
    ends or fails is connected again, after 1, 2, 4, ... up to 10 s.

    In a ``with`` block, a stream that gives no picture at first is a
    UserError. With :meth:`start` it is tried again like one that fails later,
    and the thread ends when nobody called :meth:`view` for ``idle`` seconds.
    """

    def __init__(self, address: str, window: float, count: int,
                 timeout: float = 30., idle: Optional[float] = None) -> None:
        check_stream(address)
        self.address, self.timeout, self.idle = address, timeout, idle
        self.name = public_name(address)
        self.reason = ''  # why no pictures come now
        self.frames: Deque[Tuple[float, np.ndarray]] = deque(maxlen=count)
        self.connections = 0
        self._gap = window / count  # seconds between frames that are kept
        self._stop, self._ready = threading.Event(), threading.Event()
        self._asked = time.monotonic()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> 'LiveFrames':
        """Begin to read, and wait for nothing."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """End the thread; it is not waited for."""
        self._stop.set()

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        idle = self.idle is not None and (
            time.monotonic() - self._asked > self.idle)
        return self._stop.is_set() or idle or not self._thread.is_alive()

    def __enter__(self) -> 'LiveFrames':
        self.start()
        self._ready.wait(self.timeout)
        if not self.frames:
            self.stop()
            raise UserError(f'{self.name} gives no pictures: '
                            f'{self.reason or f"none in {self.timeout:g} s"}')
        return self

    def __exit__(self, *error: Any) -> None:
        self.stop()
        self._thread.join(1)  # a daemon: what blocks, is left

    def _run(self) -> None:
        wait = .5
        while not self.ended:
            before = self.connections
            try:
                self._read()
                self.reason = 'it has ended'
            except IndexError:
                self.reason = 'it has no video'
            except av.ExitError:
                self.reason = f'nothing came for {self.timeout:g} s'
            except (OSError, ValueError, av.FFmpegError) as error:
                # error itself has the password
                self.reason = getattr(error, 'strerror', None) or str(error)
                if getattr(error, 'errno', None) == errno.EIO:
                    # FFmpeg's where a server closes after the last byte
                    self.reason = ('it has ended' if self.connections > before
                                   else self.reason + _NO_RANGES * (
                                       self.address.startswith('http')))
            if self.ended or not self.frames and self.idle is None:
                self._ready.set()
                return
            wait = 1. if self.connections > before else min(
                2 * wait, _LONGEST_WAIT)
            print(f'{self.name}: {self.reason}; connecting again in '
                  f'{wait:g} s', file=sys.stderr)
            self._stop.wait(wait)

    def _read(self) -> None:
        """Read until the stream ends, or is nothing but damaged."""
        kept, came = -np.inf, time.monotonic()
        with _opened(self.address, self.timeout) as container:
            pictures = container.streams.video[0].index
            for packet in container.demux():
                if self.ended:  # asked at sound, too: pictures may not come
                    return
                if packet.stream_index != pictures:
                    continue
                try:
                    frames = packet.decode()
                except av.InvalidDataError as error:
                    if time.monotonic() - came > self.timeout:
                        raise
                    self.reason = error.strerror
                    continue
                for frame in frames:
                    came, self.reason = time.monotonic(), ''
                    if kept < 0:  # what was before the break is another scene
                        kept = came
                        self.frames = deque([(came, _small(frame))],
                                            self.frames.maxlen)
                        self.connections += 1
                        self._ready.set()
                    elif came - kept >= self._gap or len(
                            self.frames) < self.frames.maxlen:
                        kept = came
                        self.frames.append((came, _small(frame)))

    def view(self, count: int) -> Tuple[np.ndarray, float]:
        """Return ``count`` frames spread over those that are kept, uint8 RGB
        [T, H, W, 3] of the last one's size, and when the last one came
        (``time.monotonic``; 0 where none came yet, and T is 0)."""
        self._asked = time.monotonic()
        kept = list(self.frames)
        if not kept:
            return np.empty((0, 1, 1, 3), np.uint8), 0.
        shape = kept[-1][1].shape
        kept = [item for item in kept if item[1].shape == shape]
        places = np.linspace(0, len(kept) - 1, count).round().astype(int)
        return np.stack([kept[i][1] for i in places]), kept[-1][0]


def check_stream(address: str) -> None:
    """Refuse what is no stream, such as a file."""
    if is_camera(address):
        parse_camera(address)
        if address.count(':') > 1:
            raise UserError(f'{address}: a stream of a camera has no end of '
                            'its own: give camera:0')
    elif not address.startswith(_SCHEMES):
        raise UserError(f'{public_name(address)} is neither a camera '
                        f'(camera:0) nor begins with {", ".join(_SCHEMES)}; '
                        'give a file without --stream')


def _opened(address: str, timeout: float) -> Any:
    if is_camera(address):
        return av.open(f'/dev/video{parse_camera(address)[0]}', format='v4l2')
    options = dict(protocol_whitelist=_PROTOCOLS)
    if address.startswith('rtsp'):
        options['rtsp_flags'] = 'prefer_tcp'  # UDP where it is refused
    # A title may be in any encoding.
    return av.open(address, options=options, timeout=(timeout, timeout),
                   metadata_errors='replace')


def _small(frame: av.VideoFrame) -> np.ndarray:
    factor = min(1., _SIDE / min(frame.width, frame.height))
    return frame.to_ndarray(format='rgb24', width=round(
        frame.width * factor), height=round(frame.height * factor))


def public_name(address: str) -> str:
    """Leave out what may be secret in an address: user, password, query, and
    what follows the first ``name=`` of a path, as some cameras have it."""
    shown = re.sub('//.*@', '//', one_line(address))
    return re.split('[?#]|[^/?#]*=', shown)[0]


def predict_stream(options: Options) -> None:
    """Print, each ``stride`` seconds, what the last ``window`` seconds show,
    and how old the newest frame is by then (in this process; what camera and
    network add, nothing here can tell)."""
    check_stream(options.stream)
    labels = read_texts(options)
    model = options.model.load(labels=labels, templates=options.templates)
    if options.templates:
        model.set_labels(model.class_names, options.templates)
    warned, seen = False, 0.
    with LiveFrames(options.stream, options.window, 2 * model.num_frames,
                    options.fetching.timeout) as live:
        start = time.monotonic()
        end = start + (options.seconds or np.inf)
        while (due := time.monotonic() + options.stride) - options.stride \
                < end:
            images, came = live.view(model.num_frames)
            said = 'no new picture'
            if came > seen:
                result, = model.predict(
                    [VideoInput('stream', frames=images)], topk=options.topk,
                    threshold=options.threshold)
                said, seen = _best(result), came
                if 'warning' in result and not warned:
                    warned = True
                    print(f'warning: {result["warning"]}', file=sys.stderr)
            now = time.monotonic()
            print(f'{now - start:7.1f} s  {said}  (delay {now - came:.1f} s)',
                  flush=True)
            time.sleep(max(0., min(due, end) - time.monotonic()))


def _best(result: dict) -> str:
    pairs: List[str] = [f'{one_line(str(label))} {100 * score:.1f}%'
                        for label, score in zip(result['labels'],
                                                result['scores'])]
    none = result['label'] not in result['labels']
    return ', '.join([result['label']] * none + pairs)
