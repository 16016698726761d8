"""One video reader in a process of its own, for ``tools/bench_decode.py``.

Run as a script, ``decode_child.py READER [FOLDER]``; FOLDER goes first on the
path, so that decord and decord2, both imported as ``decord``, can be compared
and so that a reader that crashes takes nothing down with it. Requests come
and answers go as lines of JSON. Each reader reads as the transforms of
``datasets/decoding.py`` do: opens the file, decodes the frames asked for, in
order, to RGB.
"""
import sys

if __name__ == '__main__':
    sys.path.pop(0)  # the folder of this file, whose names are not for all
    if len(sys.argv) > 2:
        sys.path.insert(0, sys.argv[2])

import importlib.metadata  # noqa: E402
import io  # noqa: E402
import json  # noqa: E402
import time  # noqa: E402
from typing import Callable, List, Tuple  # noqa: E402

import numpy as np  # noqa: E402

# Reads frames of a file: (path, indices or None, threads) to the number of
# frames in the file and the frames [T, H, W, 3].
Reader = Callable[[str, List[int], int], Tuple[int, np.ndarray]]


def _decord_of(name: str) -> Tuple[str, Reader]:
    import decord
    found = [
        one for one in ('decord', 'decord2')
        if _version(one) == decord.__version__
    ]
    if found and name not in found:
        raise ImportError(
            f'the decord that is installed is {found[0]} '
            f'{decord.__version__}; both have one import name: pip install '
            f'--no-deps --target FOLDER {name}, and --path {name}=FOLDER')

    def read(path, indices, threads):
        with open(path, 'rb') as file:
            data = io.BytesIO(file.read())
        video = decord.VideoReader(data, num_threads=threads)
        frames = video.get_batch(indices).asnumpy() if indices else None
        return len(video), frames

    return decord.__version__, read


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ''


def _pyav() -> Tuple[str, Reader]:
    import av

    def read(path, indices, threads):
        with open(path, 'rb') as file:
            container = av.open(io.BytesIO(file.read()))
        with container:
            stream = container.streams.video[0]
            if not indices:
                return stream.frames, None
            if threads > 1:  # as many as FFmpeg likes
                stream.thread_type = 'AUTO'
            wanted, frames = set(indices), []
            for index, frame in enumerate(container.decode(stream)):
                if index in wanted:
                    frames.append(frame.to_rgb().to_ndarray())
                if index == indices[-1]:
                    break
            return stream.frames, np.stack(frames)

    return av.__version__, read


def _opencv() -> Tuple[str, Reader]:
    import cv2

    def read(path, indices, threads):
        video = cv2.VideoCapture(path)
        if not video.isOpened():
            raise OSError('OpenCV cannot open it')
        frames = []
        for index in indices or ():
            # as mmcv's VideoReader, which MMAction2 uses, goes to a frame
            if round(video.get(cv2.CAP_PROP_POS_FRAMES)) != index:
                video.set(cv2.CAP_PROP_POS_FRAMES, index)
            good, frame = video.read()
            if not good:
                raise OSError(f'OpenCV cannot read frame {index}')
            frames.append(frame)
        count = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
        video.release()
        return count, np.stack(frames)[..., ::-1] if frames else None

    return cv2.__version__, read


def _torchcodec() -> Tuple[str, Reader]:
    import torchcodec
    from torchcodec.decoders import VideoDecoder
    try:
        VideoDecoder(b'no video')  # loads FFmpeg, which it does not bring
    except Exception as error:
        if 'Could not load libtorchcodec' in str(error):
            raise ImportError('torchcodec finds no shared libraries of an '
                              'FFmpeg that it can use; install FFmpeg')

    def read(path, indices, threads):
        video = VideoDecoder(path, dimension_order='NHWC',
                             num_ffmpeg_threads=threads, seek_mode='exact')
        frames = video.get_frames_at(indices).data if indices else None
        return len(video), None if frames is None else frames.numpy()

    return torchcodec.__version__, read


MAKERS = dict(
    decord=lambda: _decord_of('decord'),
    decord2=lambda: _decord_of('decord2'),
    pyav=_pyav,
    opencv=_opencv,
    torchcodec=_torchcodec)


def answer(read: Reader, request: dict) -> dict:
    """Read one video.

    Args:
        read (Callable): The reader.
        request (dict): ``path``, ``indices`` (ascending; empty: only count),
            ``threads`` and ``save`` (a .npy file for the frames, or None).

    Returns:
        dict: ``count``, ``seconds`` and ``cpu`` (of all threads), or
        ``error``.
    """
    start, cpu = time.perf_counter(), time.process_time()
    try:
        count, frames = read(request['path'], request['indices'],
                             request['threads'])
    except Exception as error:
        text = str(error).strip().splitlines() or ['no message']
        return dict(error=f'{type(error).__name__}: {text[0]}')
    found = dict(
        count=count,
        seconds=time.perf_counter() - start,
        cpu=time.process_time() - cpu)
    if request['save']:
        np.save(request['save'], frames)
    return found


def main() -> None:
    """Say whether the reader is there, then answer until the input ends."""
    answers = sys.stdout
    sys.stdout = sys.stderr  # libraries may print
    try:
        version, read = MAKERS[sys.argv[1]]()
        hello = dict(version=version)
    except Exception as error:  # torchcodec raises RuntimeError and OSError
        text = str(error).strip().splitlines() or ['no message']
        hello = dict(error=f'{type(error).__name__}: {text[0]}')
    print(json.dumps(hello), file=answers, flush=True)
    if 'error' in hello:
        return
    for line in sys.stdin:
        print(json.dumps(answer(read, json.loads(line))), file=answers,
              flush=True)


if __name__ == '__main__':
    main()
