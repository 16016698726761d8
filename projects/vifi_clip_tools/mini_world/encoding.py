"""Writes frames as a short H.264 file, or one frame as a JPEG."""
import av
import cv2
import numpy as np

# x264's macroblock tree is not repeatable, not even in one thread: with it
# about one clip in three differed between runs (PyAV 18), without it none.
_X264 = {'crf': '18', 'preset': 'veryfast', 'x264-params': 'mbtree=0'}


def write_video(path: str, frames: np.ndarray, fps: int) -> None:
    """Encode frames as H.264 in an mp4 file.

    The same frames give the same bytes.

    Args:
        path (str): File to write.
        frames (np.ndarray): Frames [T, H, W, 3], RGB, uint8, H and W even.
        fps (int): Frames per second.
    """
    with av.open(path, 'w', options=dict(fflags='+bitexact')) as container:
        stream = container.add_stream('libx264', rate=fps, options=_X264)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = 'yuv420p'
        stream.thread_count = 1
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(frame, format='rgb24')
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def write_still(path: str, frame: np.ndarray) -> None:
    """Encode one frame as JPEG, as pictures on the web are.

    Args:
        path (str): File to write.
        frame (np.ndarray): Frame [H, W, 3], RGB, uint8.

    Raises:
        OSError: The file cannot be written.
    """
    picture = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
    if not cv2.imwrite(path, picture, [cv2.IMWRITE_JPEG_QUALITY, 95]):
        raise OSError(f'cannot write {path}')
