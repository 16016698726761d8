"""Real clips whose frames say which frame they are, and bad ones; labels."""
import os
import threading
import time
from contextlib import contextmanager
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Optional, Sequence, Tuple

import av
import numpy as np

NUM_BITS = 8  # indices 0..255, one horizontal band of the frame per bit
FPS = 25
LABELS = ['a red ring', 'a blue star', 'a green heart']

# What a decoder runs before it serves; names of files say what it does.
BAD_DECODER = '''
import os, signal, time
from projects.vifi_clip.datasets.video_file import VideoFile
frames = VideoFile.frames
def misbehave(video, indices):
    name = os.path.basename(video._source)
    if name == 'crash.mp4':
        os.kill(os.getpid(), signal.SIGSEGV)
    if name == 'hang.mp4':
        time.sleep(600)
    if name == 'exit.mp4':
        os._exit(7)
    if name == 'fail.mp4':
        raise MemoryError('4 GiB')
    return frames(video, indices)
VideoFile.frames = misbehave
'''


def coded_frame(index: int, size: Tuple[int, int]) -> np.ndarray:
    """Draw a frame, uint8 RGB [H, W, 3], of an index from 0 to 255.

    Red and green hold the index as black or white horizontal bands, so any
    crop that keeps the full height, at any scale, still shows it. Blue is a
    ramp from left (0) to right (255) and tells where a crop was taken.
    """
    width, height = size
    bits = (index >> np.arange(NUM_BITS)) & 1
    bands = bits[np.arange(height) * NUM_BITS // height] * 255
    frame = np.empty((height, width, 3), dtype=np.uint8)
    frame[..., :2] = bands[:, None, None]
    frame[..., 2] = np.linspace(0, 255, width)[None]
    return frame


def read_index(frame: np.ndarray) -> int:
    """Read the index back from a decoded, resized or cropped frame of full
    height, [H, W, 3], 0 to 255."""
    green = np.asarray(frame, dtype=np.float64)[..., 1].mean(axis=1)
    centres = (np.arange(NUM_BITS) + 0.5) * len(green) / NUM_BITS
    return int(((green[centres.astype(int)] > 128) << np.arange(NUM_BITS)
                ).sum())


def read_crop(frame: np.ndarray) -> int:
    """Tell which third of the picture a crop [H, W, 3] was taken from."""
    blue = float(np.asarray(frame, dtype=np.float64)[..., 2].mean())
    return int(np.digitize(blue, (113, 142)))


def write_mp4(path, num_frames: int = 16, size: Tuple[int, int] = (96, 64), *,
              frames: Optional[Sequence[np.ndarray]] = None, fps: int = FPS,
              faststart: bool = False) -> str:
    """Encode a short H.264 clip; returns ``path`` as a string.

    It has ``frames``, uint8 RGB [H, W, 3] each, or so many of a ``size``
    (width and height, both even) by :func:`coded_frame`. ``faststart`` puts
    the index (moov) before the pictures, so that a file cut short still opens.
    """
    return write_video(path, count=num_frames, size=size, pictures=frames,
                       fps=fps, faststart=faststart, crf='12')


def is_upright(frame):
    """Whether blue rises from left to right; bands out of order would give
    another number."""
    blue = frame[..., 2].mean(0)
    return blue[:9].mean() < 50 and blue[-9:].mean() > 205


def write_video(path, codec='libx264', count=90, times=None, rotation=None,
                size=(160, 96), turn=np.asarray, pictures=None, fps=FPS,
                faststart=False, **options):
    """Encode frames 0 to ``count``, shown at ``times`` (ticks of 1/1000 s), by
    any codec.

    ``rotation`` is what the display matrix says (degrees counter-clockwise,
    whether it is mirrored then); ``turn`` changes frames before encoding.
    """
    base = Fraction(1, 1000 if times else fps)
    if pictures is None:
        pictures = [np.ascontiguousarray(turn(coded_frame(number, size)))
                    for number in range(count)]
    muxing = dict(movflags='faststart') if faststart else {}
    with av.open(str(path), 'w', options=muxing) as file:
        stream = file.add_stream(codec, rate=fps, options={
            'threads': '1', **options})
        stream.pix_fmt = 'yuvj420p' if codec == 'mjpeg' else 'yuv420p'
        stream.height, stream.width = pictures[0].shape[:2]
        stream.bit_rate = 2_000_000
        if times:
            stream.codec_context.time_base = base
        if rotation:
            stream.set_display_rotation(rotation[0], hflip=rotation[1])
        for picture, pts in zip(pictures, times or range(len(pictures))):
            frame = av.VideoFrame.from_ndarray(picture, format='rgb24')
            frame.pts, frame.time_base = pts, base
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return str(path)


def make_bad(kind, folder) -> str:
    """Make a file that cannot be read; kinds such as 'cut.avi' are cut after
    60 % of a video."""
    path = folder / (kind if '.' in kind else f'{kind}.mp4')
    if kind == 'text':
        path.write_text('no video\n' * 500)
    elif kind == 'empty':
        path.touch()
    elif kind == 'folder':
        path.mkdir()
    elif kind == 'pipe':
        os.mkfifo(path)
    elif kind == 'sound':
        with av.open(str(path), 'w') as container:
            stream = container.add_stream('aac', rate=8000)
            frame = av.AudioFrame.from_ndarray(
                np.zeros((1, 8000), np.float32), 'fltp', 'mono')
            frame.rate = 8000
            container.mux(stream.encode(frame))
            container.mux(stream.encode())
    elif kind != 'absent':
        # the index of an MP4 is at its end, which is lost, or before
        write_mp4(path, 60, faststart=kind == 'cut.mp4')
        content = path.read_bytes()
        path.write_bytes(content[:len(content) * 6 // 10])
    return str(path)


def spoil(source, target, number) -> str:
    """Copy a video, and overwrite the content of a packet."""
    with av.open(source) as file:
        packet = [p for p in file.demux(video=0) if p.size][number]
        start, end = packet.pos + 8, packet.pos + packet.size  # NAL's head
    content = Path(source).read_bytes()
    target.write_bytes(content[:start] + b'\x55' * (end - start)
                       + content[end:])
    return str(target)


@contextmanager
def served(content: bytes, pause: float = .01, port: int = 0):
    """Serve a stream in small parts; yield its address."""
    class Handler(BaseHTTPRequestHandler):

        def do_GET(self):
            self.send_response(200)
            self.send_header('Content-Type', 'video/mp2t')
            self.end_headers()
            try:
                for i in range(0, len(content), 188 * 20):
                    self.wfile.write(content[i:i + 188 * 20])
                    time.sleep(pause)
            except OSError:  # the reader has gone
                pass

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(('127.0.0.1', port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f'http://127.0.0.1:{server.server_port}/live.ts'
    finally:
        server.shutdown()
        server.server_close()


def until(true, seconds=20):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(.02)
