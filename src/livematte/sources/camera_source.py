"""A camera that is open, as a live `Source`.

Note [A camera's memory]
    FFmpeg hands v4l2's buffers out as packets without copying them, and raw decoding refers to the packet's memory.
    Closing the device unmaps that memory under whoever still holds it. So a picture that no conversion has copied is
    copied here, nothing decodes in threads that keep packets (which would also cost a frame of delay a thread), and
    packets are let go of before the device is closed.

Note [A camera that hangs]
    A read of v4l2 or dshow waits for a frame without end, and asks nobody. `close` waits for a running read for
    `_CLOSE_WAIT_SECONDS`; after that, the reading thread gives the device back itself when its read returns. Where it
    never does, only the end of the process frees the camera: the supervisor kills the worker.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import av
import av.error
from av.container import InputContainer

from livematte.errors import SourceError
from livematte.frames import AudioPacket, Frame, StreamInfo, Timestamp
from livematte.planes import new_picture, plane_arrays
from livematte.reporting import Once, Reporter
from livematte.sources.camera_clock import CameraClock
from livematte.sources.camera_errors import reading_error
from livematte.sources.camera_kinds import Camera, System
from livematte.sources.camera_modes import DEFAULT_RATE, Mode, format_words, rate_words
from livematte.sources.ffmpeg_errors import is_damage
from livematte.sources.mirror import mirrored
from livematte.sources.orientation import Orientation, copy_tags
from livematte.sources.pictures import PictureChain, Tags
from livematte.sources.timing import fraction

_CLOSE_WAIT_SECONDS: Final = 2.0
_MOST_DAMAGED: Final = 90
"""Damaged frames in a row, three seconds of them, after which a camera counts as broken."""
_LENIENT_AFTER: Final = 30
"""FFmpeg shows half of a cut-off JPEG without a word unless it is told to be strict. After so many refused in a row it
is the camera that writes them like this, and they are taken as they are."""
_RETRY_SECONDS: Final = 0.002
_STALE_NS: Final = 250_000_000
"""Frames that waited longer than this for the first reader (while the engine was made ready) are thrown away."""
_DRAIN_NS: Final = 2_000_000_000
_UVC_TAGS: Final = Tags(colorspace=6, color_primaries=1, color_trc=1)
"""What an untagged USB camera's YUV is: BT.601's matrix, BT.709's primaries and curve, at every size (USB Video Class
1.5, 3.9.2.6, default values)."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A device that FFmpeg has opened."""

    container: InputContainer
    camera: Camera
    mode: Mode | None
    """What was asked for; None: as the camera stood."""
    system: System


class CameraSource:
    """An open camera. `stale` counts the frames that queued up while nobody read, thrown away before the first one."""

    is_live = True

    def __init__(self, opened: Opened, *, mirror: bool, reporter: Reporter) -> None:
        self._say = Once(reporter)
        self._camera = opened.camera
        self._mirror = mirror
        self._container = opened.container
        self._demux: Iterator[Any] | None = None
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._index = 0
        self._in_a_row = 0
        self.stale = 0
        self.damaged = 0
        try:
            self._prepare(opened)
        except BaseException:
            self.close()
            raise

    def _prepare(self, opened: Opened) -> None:
        if not self._container.streams.video:
            raise SourceError(f"{self._camera} gives no pictures. Choose another with --input.")
        self._video = self._container.streams.video[0]
        self._decoder: Any = self._video.codec_context
        self._decoder.thread_count = 1  # Note [A camera's memory]
        self._is_strict = self._decoder.name == "mjpeg"
        if self._is_strict:
            self._decoder.options = {"err_detect": "explode"}
        self._time_base = fraction(self._video.time_base) or Fraction(1, 1_000_000)
        rate = fraction(self._video.average_rate) or (opened.mode.rate if opened.mode else None) or DEFAULT_RATE
        self._nominal = max(1, round(1 / rate / self._time_base))
        self._clock = CameraClock(self._time_base, self._nominal, is_monotonic=opened.system == "linux")
        first = self._next_picture()
        if first is None:
            raise SourceError(f"{self._camera} gave no picture before it was closed.")
        self._opened_ns = time.monotonic_ns()
        self._coded = str(first[0].format.name)
        self._first: tuple[av.VideoFrame, int] | None = first
        self._chain = PictureChain(
            first[0],
            orientation=Orientation(),
            size=None,
            tags=_UVC_TAGS if opened.system != "macos" and self._has_no_tags() else Tags.of(self._decoder),
            reporter=self._say,
        )
        self.info = self._describe(rate)
        self.name = self.info.name
        self._say_what_was_got(opened.mode, rate)

    def _has_no_tags(self) -> bool:
        return int(self._decoder.colorspace) == 2

    def _describe(self, rate: Fraction) -> StreamInfo:
        chain = self._chain
        name = str(self._decoder.name)
        is_raw = name in ("rawvideo", "wrapped_avframe")
        coded = self._coded if is_raw else name
        self.decoder = f"raw {coded}" if is_raw else f"{name} (software)"
        number = f"camera {self._camera.number}" if self._camera.number >= 0 else self._camera.path
        got = f"{chain.width}x{chain.height} at {rate_words(rate)}, {format_words(coded)}"
        return StreamInfo(
            name=f"{number}: {self._camera.name}, {got}",
            width=chain.width,
            height=chain.height,
            pix_fmt=chain.pix_fmt,
            color=chain.color,
            time_base=self._time_base,
            frame_rate=rate,
            bits=chain.layout.bits,
            sample_aspect_ratio=chain.sample_aspect_ratio(fraction(self._video.sample_aspect_ratio)),
            source_size=chain.upright_size,
        )

    def _say_what_was_got(self, mode: Mode | None, rate: Fraction) -> None:
        if mode is None:
            return
        if (mode.width, mode.height) != self._chain.stored_size or abs(mode.rate - rate) > mode.rate / 50:
            self._say.warn(
                f"{self._camera} was asked for {mode}, and gives {self._chain.stored_size[0]}x"
                f"{self._chain.stored_size[1]} at {rate_words(rate)}."
            )

    # -- running --

    def __iter__(self) -> Iterator[Frame | AudioPacket]:
        first, self._first = self._first, None
        if first is not None and time.monotonic_ns() - self._opened_ns < _STALE_NS:
            yield self._frame(*first)
        else:
            self._drain()
        del first
        while (found := self._next_picture()) is not None:
            yield self._frame(*found)
            del found
        self._say_what_happened()

    def close(self) -> None:
        """Give the camera back (Note [A camera that hangs]). Calling it again does nothing."""
        self._closing.set()
        if self._lock.acquire(timeout=_CLOSE_WAIT_SECONDS):
            try:
                self._give_back()
            finally:
                self._lock.release()

    def _give_back(self) -> None:
        self._first = None
        closing = getattr(self._demux, "close", None)
        if closing is not None:
            closing()
        self._demux = None
        self._container.close()

    def _drain(self) -> None:
        """Throw away what queued up since the camera was opened: packets that come without being waited for."""
        began = time.monotonic_ns()
        patience = int(self._nominal * self._time_base * 1_000_000_000) // 4
        while not self._closing.is_set():
            asked = time.monotonic_ns()
            if asked - began > _DRAIN_NS or self._next_packet() is None:
                return
            self.stale += 1
            if time.monotonic_ns() - asked > patience:
                return

    def _next_picture(self) -> tuple[av.VideoFrame, int] | None:
        """(picture, when its read returned in ns); None after `close`."""
        while (found := self._next_packet()) is not None:
            packet, read_ns = found
            pictures = self._decode(packet)
            del packet, found
            if pictures:
                return pictures[-1], read_ns
        return None

    def _next_packet(self) -> tuple[Any, int] | None:
        while True:
            with self._lock:
                if self._closing.is_set():
                    self._give_back()
                    return None
                try:
                    if self._demux is None:
                        self._demux = iter(self._container.demux(self._video))
                    packet = next(self._demux, None)
                except BlockingIOError:  # AVFoundation: no frame yet
                    self._demux = packet = None
                    wait = True
                except (av.error.FFmpegError, OSError) as error:
                    self._demux = None
                    if not is_damage(error):
                        raise reading_error(error, self._camera) from error
                    self._count_damaged()
                    continue
                else:
                    wait = False
            if wait:
                self._closing.wait(_RETRY_SECONDS)
            elif packet is None:
                raise reading_error(None, self._camera)
            elif packet.size:
                return packet, time.monotonic_ns()
            elif packet.dts is not None or packet.pts is not None:  # v4l2 marks a broken transfer with an empty packet;
                self._count_damaged()  # without times it is PyAV's sign of the end

    def _decode(self, packet: Any) -> list[av.VideoFrame]:
        with self._lock:
            if self._closing.is_set():
                return []
            try:
                pictures = list(self._decoder.decode(packet))
            except av.error.EOFError:
                return []
            except (av.error.FFmpegError, ValueError) as error:
                if isinstance(error, av.error.MemoryError):
                    raise SourceError(f"{self._camera}: memory ran out.") from error
                self._count_damaged()
                return []
            if any(picture.is_corrupt for picture in pictures):
                self._count_damaged()
                return []
            self._in_a_row = 0 if pictures else self._in_a_row
            return pictures

    def _count_damaged(self) -> None:
        self.damaged += 1
        self._in_a_row += 1
        if self._is_strict and self._in_a_row > _LENIENT_AFTER:
            self._is_strict = False
            self._decoder = av.CodecContext.create("mjpeg", "r")
            self._decoder.thread_count = 1
            self._say.note(f"{self._camera}'s JPEGs all break the standard; they are taken as they can be read.")
            return
        self._say.warn(
            f"{self._camera} sends damaged frames; they are skipped. A shorter cable or another port may help."
        )
        if self._in_a_row > _MOST_DAMAGED:
            raise SourceError(
                f"{self._camera} sends nothing but damaged frames. Unplug it and plug it into another port, or ask for "
                "another mode (--camera-size, --camera-format)."
            )

    def _frame(self, picture: av.VideoFrame, read_ns: int) -> Frame:
        ticks, captured_ns = self._clock(picture.pts, read_ns)
        made, _, color = self._chain(picture)
        if made is picture:
            made = _copied(picture)  # Note [A camera's memory]
        frame = Frame(
            picture=made,
            time=Timestamp(ticks, self._time_base),
            duration=self._nominal,
            index=self._index,
            color=color,
            captured_ns=captured_ns,
        )
        self._index += 1
        if self._clock.jumps:
            self._say.note(f"{self._camera}'s clock jumped; the frames' times go on without the jump.")
        return mirrored(frame) if self._mirror else frame

    def _say_what_happened(self) -> None:
        if self.damaged:
            self._say.note(f"{self.damaged} damaged frames of {self._camera} were skipped.")


def _copied(picture: av.VideoFrame) -> av.VideoFrame:
    """The same picture in memory of its own."""
    made = new_picture(picture.format.name, picture.width, picture.height)
    for source, target in zip(plane_arrays(picture), plane_arrays(made), strict=True):
        target[:] = source
    copy_tags(picture, made)
    return made
