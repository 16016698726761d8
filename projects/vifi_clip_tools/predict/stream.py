"""Recognise what a stream or a camera shows now, window by window, until
Ctrl-C: RTSP, HTTP, or a device; what PyAV opens.

Letters: T frames of a view.
"""
import re
import sys
import threading
import time
from collections import deque
from typing import Any, Deque, List, Tuple

import av
import numpy as np

from projects.vifi_clip.apis.inputs import (VideoInput, is_camera,
                                            parse_camera, read_labels)
from projects.vifi_clip.errors import UserError
from ..cli.terminal import one_line
from .options import Options

_SIDE = 360  # pixels of the shorter side of frames that are kept
_LONGEST_WAIT = 10.  # seconds between two attempts to connect
# Not file: a playlist on a server must not open what is here.
_PROTOCOLS = 'rtsp,rtp,udp,tcp,http,https,httpproxy,tls,srtp,crypto'


class LiveFrames:
    """The last frames of a stream, read in a thread that never waits for the
    model: frames that come meanwhile push out older ones.

    ``count`` frames are kept, spread over ``window`` seconds. A stream that
    ends or fails is connected again, after 1, 2, 4, ... up to 10 s. Use it in
    a ``with`` block.
    """

    def __init__(self, address: str, window: float, count: int,
                 timeout: float = 30.) -> None:
        self.address, self.timeout = address, timeout
        self.frames: Deque[Tuple[float, np.ndarray]] = deque(maxlen=count)
        self.connections = 0
        self._gap = window / count  # seconds between frames that are kept
        self._stop, self._ready = threading.Event(), threading.Event()
        self._error = ''
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> 'LiveFrames':
        self._thread.start()
        self._ready.wait(self.timeout)
        if not self.frames:
            self._stop.set()
            raise UserError(f'{_public(self.address)} gives no pictures: '
                            f'{self._error or f"none in {self.timeout:g} s"}')
        return self

    def __exit__(self, *error: Any) -> None:
        self._stop.set()
        self._thread.join(1)  # a daemon: what blocks, is left

    def _run(self) -> None:
        wait = 1.
        while not self._stop.is_set():
            before = self.connections
            try:
                self._read()
                reason = 'it has ended'
            except (OSError, ValueError, av.FFmpegError) as error:
                reason = getattr(error, 'strerror', None) or str(error)
                self._error = reason  # error itself has the password
            if not self.frames or self._stop.is_set():
                self._ready.set()  # it never worked: no second attempt
                return
            wait = 1. if self.connections > before else min(
                2 * wait, _LONGEST_WAIT)
            print(f'{_public(self.address)}: {reason}; connecting again in '
                  f'{wait:g} s', file=sys.stderr)
            self._stop.wait(wait)

    def _read(self) -> None:
        """Read until the stream ends."""
        last = -np.inf
        with _opened(self.address, self.timeout) as container:
            for frame in container.decode(video=0):
                if self._stop.is_set():
                    return
                now = time.monotonic()
                self.connections += last < 0
                if now - last >= self._gap or len(
                        self.frames) < self.frames.maxlen:
                    last = now
                    self.frames.append((now, _small(frame)))
                    self._ready.set()

    def view(self, count: int) -> Tuple[np.ndarray, float]:
        """Return ``count`` frames spread over those that are kept, uint8 RGB
        [T, H, W, 3] of the last one's size, and when the last one came."""
        kept = list(self.frames)
        shape = kept[-1][1].shape
        kept = [item for item in kept if item[1].shape == shape]
        places = np.linspace(0, len(kept) - 1, count).round().astype(int)
        return np.stack([kept[i][1] for i in places]), kept[-1][0]


def _opened(address: str, timeout: float) -> Any:
    if is_camera(address):
        return av.open(f'/dev/video{parse_camera(address)[0]}', format='v4l2')
    if '://' not in address or address.lower().startswith('file:'):
        raise ValueError('it is neither a camera (camera:0) nor a web address'
                         '; give a file without --stream')
    options = dict(protocol_whitelist=_PROTOCOLS)
    if address.startswith('rtsp'):
        options['rtsp_transport'] = 'tcp'
    return av.open(address, options=options, timeout=(timeout, timeout))


def _small(frame: av.VideoFrame) -> np.ndarray:
    factor = min(1., _SIDE / min(frame.width, frame.height))
    return frame.to_ndarray(format='rgb24', width=round(
        frame.width * factor), height=round(frame.height * factor))


def _public(address: str) -> str:
    """Leave out the password of an address."""
    return re.sub(r'//[^/]*@', '//', one_line(address))


def predict_stream(options: Options) -> None:
    """Print, each ``stride`` seconds, what the last ``window`` seconds show,
    and how old the newest frame is by then (in this process; what camera and
    network add, nothing here can tell)."""
    labels = None if options.labels is None else read_labels(options.labels)
    model = options.model.load(labels=labels, templates=options.templates)
    if options.templates:
        model.set_labels(model.class_names, options.templates)
    end = time.monotonic() + (options.seconds or np.inf)
    start, warned = time.monotonic(), False
    with LiveFrames(options.stream, options.window, 2 * model.num_frames,
                    options.fetching.timeout) as live:
        while (due := time.monotonic() + options.stride) - options.stride \
                < end:
            images, came = live.view(model.num_frames)
            result, = model.predict(
                [VideoInput('stream', frames=images)], topk=options.topk,
                threshold=options.threshold)
            if 'warning' in result and not warned:
                warned = True
                print(f'warning: {result["warning"]}', file=sys.stderr)
            now = time.monotonic()
            print(f'{now - start:7.1f} s  {_best(result)}  (delay '
                  f'{now - came:.1f} s)', flush=True)
            time.sleep(max(0., min(due, end) - time.monotonic()))


def _best(result: dict) -> str:
    pairs: List[str] = [f'{one_line(str(label))} {100 * score:.1f}%'
                        for label, score in zip(result['labels'],
                                                result['scores'])]
    none = result['label'] not in result['labels']
    return ', '.join([result['label']] * none + pairs)
