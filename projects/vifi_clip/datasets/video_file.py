"""The frames of a video file by their numbers, with PyAV (FFmpeg).

Frames are numbered in the order in which they are shown. Two ways lead to
them, with the same numbers and the same pixels:

    by packets  In some containers each packet tells when its frame is shown;
                sorted, these times number the frames. Decoding begins at the
                last key frame that is shown no later than a wanted frame, and
                leaves out what nobody wants and no other frame refers to.
    in order    All frames are decoded from the start: of all other kinds of
                files, and as soon as a frame does not come, or comes damaged,
                on the first way.
"""
import sys
import time
from bisect import bisect_right
from itertools import islice
from types import SimpleNamespace
from typing import (Any, Callable, Dict, Iterator, List, Optional, Sequence,
                    Set, Tuple)

import av
import numpy as np
from av.video.frame import PictureType
from av.video.reformatter import VideoReformatter

from .containers import (FrameCountChanged, Packet, Source, VideoCutShort,
                         VideoTimedOut, check_file, end_of, open_container,
                         picture_stream, turned, unreadable)
from .planes import YUV, read_planes

# Share of the frames that must decode for a file to count as whole; a few are
# often missing at the end of good files.
_WHOLE = 0.9
_CUT = 'the file is cut short'
# Where a packet has the time of its frame, and each packet is one frame.
_TIMED = ('mov,mp4,m4a,3gp,3g2,mj2', 'matroska,webm', 'mpegts')
_ONE_FRAME = ('h264', 'hevc', 'vp9', 'av1', 'libdav1d', 'mpeg4', 'mjpeg')
# What may begin anywhere: recordings of broadcasts.
_STREAMS = ('mpegts', 'mpeg', 'mpegvideo', 'h264', 'hevc')
# Containers whose head tells the length.
_LONG = ('matroska,webm', 'flv', 'asf')
# PyAV raises IndexError where a damaged file grows another stream.
_FAILURES = (av.FFmpegError, OSError, ValueError, IndexError)


class _Doubt(Exception):
    """A frame did not come by packets."""


class VideoFile:
    """A video, opened.

    Args:
        source (str | bytes): A file on the local disk, or its content.
        in_order (bool): Decode all frames. Defaults to False: where needed.
        num_threads (int): Threads that decode a frame, which does not change
            it. Defaults to 1.
        timeout (float): Seconds that opening, or one call of
            :meth:`frames`, may take. Defaults to 600.
        max_memory (int): Bytes of packets, and of frames, that may be kept;
            a larger file is read anew. Defaults to 256 MiB.

    Attributes:
        avg_fps (float): Frames in a second.
        container (str): FFmpeg's names of the format, with commas.
        by_packets (bool): Whether frames are found by their packets.
        num_damaged (int): Frames found damaged so far.

    Raises:
        UnreadableVideo: It is no video, is damaged or cut short, or takes
            longer than ``timeout``.
    """

    def __init__(self, source: Source, in_order: bool = False,
                 num_threads: int = 1, timeout: float = 600.,
                 max_memory: int = 256 << 20) -> None:
        check_file(source)
        self._source = source
        self._settings = num_threads, timeout, max_memory
        self._timeout, self._max_memory = self._settings[1:]
        self._deadline = time.monotonic() + timeout
        self._container = open_container(source)
        self.container = self._container.format.name
        self._stream = picture_stream(self._container)
        self._decoder = self._stream.codec_context
        self._decoder.thread_type = 'SLICE'
        self._decoder.thread_count = num_threads
        self._size = self._decoder.width, self._decoder.height
        self._reformatter = VideoReformatter()  # keeps its tables
        self._frames: Dict[int, Any] = {}  # all of them, if they are few
        self._feed: Iterator = iter(())
        self._position = -1  # of the next packet; -1 before and at the end
        self._start = 0  # position of the key frame where decoding began
        self._last = -1  # number of the frame that came out last
        self.num_damaged, self._num_errors, self._is_spoilt = 0, 0, False
        try:
            # Some decoders read skip_frame only here.
            self._decoder.open(False)
            self._read_packets()
            self._numbers = self._number_packets()
            self.by_packets = bool(self._numbers) and not in_order
            self._total = (len(self._numbers) if self.by_packets
                           else self._decode_all())
            self._time_frames()
        except _FAILURES as error:
            raise unreadable(source, error) from error

    def __len__(self) -> int:
        return self._total

    def frames(self, indices: Sequence[int],
               picture: Optional[Callable] = None) -> List[Any]:
        """Return frames, uint8 RGB [H, W, 3] each, upright; or what
        ``picture`` makes of PyAV's.

        All have the size of the first one. Calls with ascending indices pass
        through the file once.

        Raises:
            IndexError: The video has no such frame.
            UnreadableVideo: One of them cannot be decoded.
            FrameCountChanged: See there.
        """
        picture = picture or self._picture
        order = np.ravel(indices).tolist()
        unique = sorted(set(order))
        if unique and not 0 <= unique[0] <= unique[-1] < self._total:
            raise IndexError(f'the video has frames 0 to {self._total - 1}, '
                             f'not {unique[0]} to {unique[-1]}')
        self._deadline = time.monotonic() + self._timeout
        try:
            try:
                # Frames that lack others which they need look whole.
                with av.logging.Capture() as words:
                    pictures = self._pictures(unique, picture)
                if self.by_packets and {part for _, part, _ in words} - {
                        'swscaler'}:  # that speaks of colours
                    raise _Doubt
            except _Doubt:
                # Damaged parts stay as a decoder had them: take a new one.
                video = VideoFile(self._source, True, *self._settings)
                if len(video) != self._total:
                    raise unreadable(
                        self._source, 'its packets are not its frames',
                        FrameCountChanged) from None
                vars(self).update(vars(video))
                pictures = self._pictures(unique, picture)
        except _FAILURES as error:
            raise unreadable(self._source, error) from error
        return [pictures[number] for number in order]

    def planes(self, indices: Sequence[int]
               ) -> Tuple[Sequence[np.ndarray], Optional[YUV]]:
        """Return frames as :func:`.planes.read_planes` does."""
        return read_planes(self, indices, self._size, self._decoder.pix_fmt)

    def frame_times(self) -> np.ndarray:
        """Return the second at which each frame is shown, from 0, and at last
        the end: [total + 1]."""
        return self._times

    def get_avg_fps(self) -> float:
        """Return the frames in a second, as decord's reader does."""
        return self.avg_fps

    def get_batch(self, indices: Sequence[int]) -> Any:
        """Return frames as decord's reader does."""
        frames = self.frames(indices)
        return SimpleNamespace(asnumpy=lambda: np.stack(frames))

    # Packets

    def _read_packets(self) -> None:
        self._packets: List[Packet] = []
        held, size = [], 0
        for packet in self._container.demux(self._stream):
            self._check_time()
            if not packet.size:
                continue  # the end, or a picture that AVI repeats
            self._packets.append(Packet(
                packet.pts, packet.is_keyframe, not packet.is_discard,
                packet.is_corrupt, packet.duration or 0))
            size += packet.size
            if size <= self._max_memory:
                held.append(packet)
        self._held = held if size <= self._max_memory else None
        # Nothing is shown before the first key frame.
        self._keys = [i for i, packet in enumerate(self._packets)
                      if packet.is_key] or [0]
        self._check_whole()

    def _check_whole(self) -> None:
        count, promised = len(self._packets), self._stream.frames
        if not count:
            raise ValueError('it has no frames')
        if count < _WHOLE * promised:
            raise unreadable(self._source, f'{_CUT}: {count} of {promised} '
                             'frames are there', VideoCutShort)
        lost = self._keys[0]
        if (lost > (1 - _WHOLE) * count
                and self.container not in _STREAMS):
            raise ValueError(f'its first key frame is lost, and {lost} of '
                             f'{count} frames with it')
        if self.container not in _LONG or not (
                self._container.duration):
            return
        seconds = self._container.duration / av.time_base
        if end_of(self._packets, self._stream) < _WHOLE * seconds:
            # Its sound may be longer.
            with open_container(self._source) as container:
                end = max((float((packet.pts + (packet.duration or 0))
                                 * packet.time_base)
                           for packet in container.demux()
                           if packet.pts is not None), default=0.)
            if end < _WHOLE * seconds:
                raise unreadable(self._source, f'{_CUT}: {end:.1f} of '
                                 f'{seconds:.1f} s are there', VideoCutShort)

    def _number_packets(self) -> Dict[int, int]:
        """Numbers of the frames by the times of their packets; none where
        these do not tell."""
        packets = self._packets
        if (self.container not in _TIMED or not all(self._size)
                or self._decoder.name not in _ONE_FRAME
                or any(p.time is None or p.is_corrupt for p in packets)):
            return {}
        self._key_times = [packets[i].time for i in self._keys]
        times = sorted(p.time for p in packets if p.is_shown)
        if (not packets[0].is_key or len(set(times)) < len(times)
                or packets[0].time > min(p.time for p in packets)
                or self._key_times != sorted(self._key_times)):
            return {}
        self._shown = times
        return {shown: number for number, shown in enumerate(times)}

    def _packets_from(self, start: int) -> Iterator:
        """Packets from the one at ``start``, then None."""
        if self._held is not None:
            yield from islice(self._held, start, None)
        else:
            with open_container(self._source) as container:
                packets = (p for p in container.demux(
                    container.streams[self._stream.index]) if p.size)
                yield from islice(packets, start, None)
        yield None

    # Decoding

    def _pictures(self, unique: List[int], picture: Callable) -> dict:
        """Frames of ascending numbers, as pixels."""
        if self._frames:
            return {number: picture(self._frames[number]) for number in unique}
        pending, end = unique[::-1], max(unique, default=0)
        # Decoders are up to 16 frames ahead, which the next call may want.
        wanted = {*unique, *range(end, end + 17)}
        pictures: Dict[int, Any] = {}
        while pending:
            for number, frame in self._step(pending[-1], wanted):
                if pending and number == pending[-1]:
                    pictures[pending.pop()] = picture(frame)
            if pending and (self._last > pending[-1] or self._position < 0):
                if self.by_packets:
                    raise _Doubt
                raise ValueError(f'frame {pending[-1]} cannot be decoded')
        return pictures

    def _step(self, target: int, wanted: Set[int]) -> List[Tuple[int, Any]]:
        """Decode the next packet on the way to a frame; returns the frames
        that come out, with their numbers."""
        self._check_time()
        self._go_to(target)
        packet = next(self._feed)
        self._position += 1
        if self.by_packets and packet is not None:
            if packet.pts < self._packets[self._start].time:
                return []  # shown before the key frame: refers to others
            needed = self._numbers.get(packet.pts) in wanted
            self._decoder.skip_frame = 'DEFAULT' if needed else 'NONREF'
        try:
            frames = self._decoder.decode(packet)
        except av.InvalidDataError:
            if self.by_packets:
                raise _Doubt from None
            self._num_errors += 1
            self._is_spoilt = True
            frames = []
        if packet is None:
            self._position = -1
        return [(self._number(frame), frame) for frame in frames]

    def _go_to(self, target: int) -> None:
        """Begin anew, at the key frame before a frame, if that is nearer."""
        start = self._keys[0]
        if self.by_packets:
            start = self._keys[bisect_right(
                self._key_times, self._shown[target]) - 1]
        if self._position < 0 or target <= self._last:
            self._feed = self._packets_from(start)
        elif start > self._position:
            skipped = start - self._position
            next(islice(self._feed, skipped, skipped), None)
        else:
            return
        self._position, self._start, self._last = start, start, -1
        self._decoder.flush_buffers()

    def _number(self, frame: Any) -> int:
        """Number of a frame that came out."""
        if not self.by_packets:
            # Damage goes on in the frames that follow, up to a key frame,
            # unless it is in a B frame.
            if frame.key_frame:
                self._is_spoilt = False
            if frame.is_corrupt and frame.pict_type != PictureType.B:
                self._is_spoilt = True
            self.num_damaged += self._is_spoilt or frame.is_corrupt
            self._last += 1
            return self._last
        number = self._numbers.get(frame.pts)
        begins = self._last < 0 and self._packets[self._start].is_shown
        if number is None or frame.is_corrupt or (
                begins and not frame.key_frame):
            raise _Doubt
        self._last = number
        return number

    def _decode_all(self) -> int:
        """Decode all frames, keep them if they are few, and return how many
        there are.

        Frames have the numbers of their packets unless many do not come and
        nothing is damaged; one that is lost is as the one before it.
        """
        held: List[Any] = []
        times, size, ended = [], 0, False
        with av.logging.Capture() as words:
            while not ended:
                for _, frame in self._step(sys.maxsize, set()):
                    times.append(frame.pts)
                    size += 3 * frame.width * frame.height // 2  # YUV 4:2:0
                    if size <= self._max_memory:
                        held.append(frame)
                    else:
                        held.clear()
                ended = self._position < 0
        total, numbers = len(times), self._numbers
        if not total:
            raise ValueError('no frame of it can be decoded')
        if held and set(times) <= set(numbers) and (
                total >= _WHOLE * len(numbers) or self.num_damaged
                or self._num_errors
                or any(level <= av.logging.ERROR for level, *_ in words)):
            self.num_damaged += len(numbers) - total
            frames = {numbers[frame.pts]: frame for frame in held}
            total, frame = len(numbers), held[0]
            for number in range(total):
                frame = self._frames[number] = frames.get(number, frame)
        else:
            self.num_damaged += self._num_errors
            self._shown = times
            self._frames = dict(enumerate(held))
        if self.num_damaged > (1 - _WHOLE) * total:
            raise ValueError(f'{self.num_damaged} of {total} frames are '
                             'damaged')
        return total

    def _picture(self, frame: Any) -> np.ndarray:
        width, height = self._size
        rgb = self._reformatter.reformat(
            frame, width=width or None, height=height or None, format='rgb24',
            threads=self._settings[0])  # else one for each core
        return turned(rgb, frame.side_data.get('DISPLAYMATRIX'))

    def _time_frames(self) -> None:
        """Set avg_fps and the times of the frames."""
        shown = self._shown
        unit = float(self._stream.time_base)
        # AVI says when a frame is decoded, not when it is shown.
        timed = (self.container != 'avi' and None not in shown
                 and (np.diff(shown) > 0).all())
        length = (shown[-1] - shown[0]) * unit if timed else 0.
        rate = self._stream.average_rate
        if rate:
            self.avg_fps = float(rate)
        else:
            self.avg_fps = (self._total - 1) / length if length else 25.
        if not timed:
            self._times = np.arange(self._total + 1) / self.avg_fps
            return
        end = max(end_of(self._packets, self._stream) - shown[0] * unit,
                  length)
        if end == length:  # nothing tells how long the last frame is shown
            end += 1 / self.avg_fps
        self._times = np.append((np.asarray(shown) - shown[0]) * unit, end)

    def _check_time(self) -> None:
        if time.monotonic() > self._deadline:
            why = f'decoding it takes more than {self._timeout:g} s'
            raise unreadable(self._source, why, VideoTimedOut)
