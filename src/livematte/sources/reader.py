"""Demuxing and decoding of one container: pictures and audio packets in stream order, damage skipped and counted.

Note [Closing while reading]
    FFmpeg crashes when a container is closed under a running read. So each native step holds a lock, `close`
    takes it, and where a read does not come back within `CLOSE_WAIT_SECONDS` (stdin without data), the thread that
    reads gives the container back itself as soon as its read returns. PyAV's streams point into the container: after
    `close` no attribute of a stream (an `AudioTrack`'s too) may be read, so a pipeline closes its sources last.

Note [Ended early]
    A container's duration is a guess in many files, so it never decides. What decides is an input/output error,
    or the video track's own index: where it lists a second more than was read, the file was cut off. MOV and MP4 have
    their whole index in the header; AVI and GIF at least state the number of pictures.

Note [AVI's times]
    AVI stores pictures in decoding order, one a tick, and no presentation times; FFmpeg passes its guess on, which is
    wrong where B-frames change the order. But the n-th picture that is shown has the n-th smallest decoding time.
"""

from __future__ import annotations

import heapq
import threading
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Final

import av
import av.error
from av.codec.hwaccel import HWAccel

from livematte.errors import EndedEarly, SourceError
from livematte.sources.ffmpeg_errors import is_damage, reason
from livematte.sources.opening import (
    PIPE_HINT,
    Stdin,
    choose_video,
    display_name,
    is_live_url,
    make_decoder,
    open_container,
)
from livematte.sources.timing import fraction

CLOSE_WAIT_SECONDS: Final = 5.0
_RETRIES: Final = 50
"""Damaged places in a row that a demuxer may report before it counts as unable to go on."""
_PEEK_PACKETS: Final = 48
_PEEK_BYTES: Final = 8 << 20
_REORDERED: Final = 8
"""Pictures that B-frames may move: the latest times of a look ahead have gaps that will be filled."""

_MOST_REORDERED: Final = 16
"""Pictures that H.264 and HEVC may hold back at most."""


class Reader:
    """One opened container with its video decoder. Used by one thread; `close` from any."""

    how = "software"
    """What decodes, for the status line: `h264 (software)`."""

    def __init__(self, spec: str, *, hwaccel: HWAccel | None = None) -> None:
        self.name = display_name(spec)
        self._hint = PIPE_HINT if spec == "-" else "Check the file or connection and try again."
        self.damaged = 0
        self._lock = threading.Lock()
        self._closing = False
        self._ahead: deque[av.Packet[Any]] = deque()
        self._demux: Iterator[av.Packet[Any]] | None = None
        self._packets = 0
        self._last_seconds: Fraction | None = None
        self._ticks: list[int] = []
        """Decoding times of pictures that the decoder still holds, a heap; for AVI only."""
        self._sought = False
        self._stdin = Stdin() if spec == "-" else None
        self.container = open_container(spec, self._stdin, hwaccel=hwaccel)
        try:
            self.video = choose_video(self.container, self.name)
            self.decoder: Any = make_decoder(self.video)
            if is_live_url(spec):
                self.decoder.thread_type = "SLICE"  # a thread a frame keeps as many frames back
        except BaseException:
            self.container.close()
            raise
        self.time_base = fraction(self.video.time_base) or Fraction(1, 1000)
        self._has_no_pts = self.container.format.name == "avi"
        self._streams: list[Any] = [self.video]

    @property
    def is_closed(self) -> bool:
        return self._closing

    def use(self, streams: list[Any]) -> None:
        """Which other streams' packets are wanted; called before anything is read."""
        self._streams = [self.video, *streams]

    def seek(self, seconds: Fraction) -> bool:
        """To the keyframe at or before this time of the input; False where the input cannot be sought.

        AVI is read from its beginning: behind a keyframe B-frames get lost, which would shift all times after them.
        """
        if self._has_no_pts:
            return False
        try:
            self.container.seek(int(seconds // self.time_base), stream=self.video, backward=True)
        except (av.error.FFmpegError, OSError):
            return False
        self._sought = True
        return True

    def look_ahead(self) -> list[int]:
        """Presentation times of the first pictures, sorted, in ticks, without losing a packet; few or none is fine."""
        index = self.video.index_entries
        if not self._sought and len(index) >= 4 and len(index) == self.video.frames:
            return sorted(index[i].timestamp for i in range(min(len(index), 600)))
        size = count = 0
        times = []
        while count < _PEEK_PACKETS and size < _PEEK_BYTES:
            packet = self._read_packet()
            if packet is None:
                break
            self._ahead.append(packet)
            size += packet.size
            if packet.stream is self.video and packet.pts is not None:
                count += 1
                times.append(packet.pts)
        return sorted(times)[: -_REORDERED if count >= _PEEK_PACKETS else None]

    def items(self) -> Iterator[av.Packet[Any] | av.VideoFrame]:
        """Audio packets and decoded pictures. EndedEarly where reading broke off after the first picture."""
        while not self._closing:
            packet = self._ahead.popleft() if self._ahead else self._read_packet()
            if packet is None:
                break
            if packet.stream is not self.video:
                yield packet
                continue
            self._note_position(packet)
            yield from self._in_order(self._decode(packet))
        if not self._closing:
            yield from self._in_order(self._decode(None))

    def _in_order(self, pictures: list[av.VideoFrame]) -> list[av.VideoFrame]:
        """Pictures with the times that they are shown at (Note [AVI's times])."""
        for picture in pictures if self._has_no_pts else ():
            # Packets that never became a picture (damage, the second field of one).
            waiting = sum(tick <= picture.dts for tick in self._ticks) if picture.dts is not None else 0
            for _ in range(waiting - 1 - _MOST_REORDERED):
                heapq.heappop(self._ticks)
            picture.pts = heapq.heappop(self._ticks) if self._ticks else None
        return pictures

    def missing_seconds(self, until: Fraction | None) -> Fraction:
        """How much more the video track's own index lists than was read (Note [Ended early]); 0: nothing."""
        with self._lock:
            if self._closing:  # the stream's memory is gone with its container
                return Fraction(0)
            return self._missing_seconds(until)

    def _missing_seconds(self, until: Fraction | None) -> Fraction:
        index = self.video.index_entries
        listed = len(index)
        if listed and self._last_seconds is not None:
            end = index[listed - 1].timestamp * self.time_base
            missing = (min(end, until) if until is not None else end) - self._last_seconds
            if missing > 0:
                return missing
        rate = fraction(self.video.average_rate)
        if self.video.frames > self._packets and rate and not self._sought and "mov" not in self.container.format.name:
            read = max(self._packets / rate, self._last_seconds or Fraction(0))  # AVI counts repeats as pictures
            missing = max(Fraction(0), self.video.frames / rate - read)
            return missing if until is None else min(missing, max(Fraction(0), until - self._packets / rate))
        return Fraction(0)

    def close(self) -> None:
        """Give the container back (Note [Closing while reading]). Calling it again does nothing."""
        self._closing = True
        if self._lock.acquire(timeout=CLOSE_WAIT_SECONDS):
            try:
                self._give_back()
            finally:
                self._lock.release()

    def _give_back(self) -> None:
        self._ahead.clear()
        closing = getattr(self._demux, "close", None)
        if closing is not None:
            closing()
        self._demux = None
        self.container.close()

    def _read_packet(self) -> av.Packet[Any] | None:
        """The next packet with data; None at the end and after `close`."""
        retries = 0
        while True:
            with self._lock:
                if self._closing:
                    self._give_back()
                    return None
                try:
                    if self._demux is None:
                        self._demux = iter(self.container.demux(self._streams))
                    packet = next(self._demux, None)
                except (av.error.FFmpegError, OSError) as error:
                    self._demux = None
                    self._raise_interruption()
                    retries += 1
                    if not is_damage(error) or retries > _RETRIES:
                        raise self._broken_off(error) from error
                    continue
            if packet is None:
                self._raise_interruption()
                return None
            if packet.size:  # PyAV's last, empty packets mean "flush"; AVI's empty ones repeat a picture
                return packet

    def _raise_interruption(self) -> None:
        if self._stdin is not None:
            self._stdin.raise_interruption()

    def _decode(self, packet: av.Packet[Any] | None) -> list[av.VideoFrame]:
        with self._lock:
            if self._closing:
                return []
            try:
                return list(self.decoder.decode(packet))
            except av.error.EOFError:
                return []
            except (av.error.FFmpegError, ValueError) as error:
                self._count_damage(packet, error)
                return []

    def _count_damage(self, packet: av.Packet[Any] | None, error: BaseException) -> None:
        """A packet could not be decoded (None: what the decoder still held)."""
        if isinstance(error, av.error.MemoryError):
            raise SourceError(f"'{self.name}' cannot be decoded: memory ran out.") from error
        self.damaged += 1
        if packet is not None and packet.dts in self._ticks:
            self._ticks.remove(packet.dts)
            heapq.heapify(self._ticks)

    def _note_position(self, packet: av.Packet[Any]) -> None:
        self._packets += 1
        stamp = packet.dts if packet.dts is not None else packet.pts
        if self._has_no_pts and stamp is not None:
            heapq.heappush(self._ticks, stamp)
        if stamp is not None:
            seconds = stamp * self.time_base
            if self._last_seconds is None or seconds > self._last_seconds:
                self._last_seconds = seconds

    def _broken_off(self, error: BaseException) -> SourceError:
        where = "" if self._last_seconds is None else f" after {float(self._last_seconds):.1f} s"
        kind = SourceError if self._last_seconds is None else EndedEarly
        return kind(f"reading '{self.name}' broke off{where}: {reason(error)}. {self._hint}")
