"""Video files, URLs and stdin as a `Source`: every picture upright, in a working format, with its own time.

Note [Closed containers]
    An `av` container and its streams refer to each other, so what they hold, decoder and pools, is freed by Python's
    cycle collector only, and that runs by the number of new objects: a clip opened again 60 times kept 170 MiB. So
    each close collects.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import av

from livematte.config import InputSettings
from livematte.errors import EndedEarly, SourceError
from livematte.frames import AlphaArray, AudioPacket, DevicePicture, Frame, StreamInfo, Timestamp
from livematte.reporting import Once, Reporter
from livematte.sources.audio import Sound, audio_tracks
from livematte.sources.metadata import kept_metadata, start_timecode
from livematte.sources.opening import dropped_tracks, is_live_url
from livematte.sources.orientation import Orientation, of_frame
from livematte.sources.pictures import PictureChain, Tags
from livematte.sources.reader import Reader
from livematte.sources.timing import Repair, Window, fraction, is_variable, shift_timecode

if TYPE_CHECKING:
    from livematte.sources.nvdec_surface import DeviceChain

_NO_TIMESTAMPS: Final = 0x80
"""AVFMT_NOTIMESTAMPS: the format stores no times (raw H.264, HEVC, MPEG-4)."""
_OWN_CLOCK: Final = 0x0200
"""AVFMT_TS_DISCONT: times begin anywhere and may jump (MPEG-TS, MPEG-PS, RTSP)."""
_DEFAULT_RATE: Final = Fraction(25)
_PAST_END_SECONDS: Final = 5
"""How far pictures are read past `--end` while an audio track has not reached it."""


class VideoSource:
    """A container's best video track and all its audio tracks, in stream order.

    Raises `SourceError` where it cannot be opened or holds no picture that can be decoded; `info` is complete after
    that. Iteration raises `EndedEarly` at the end of what could be read (`reader.py`, Note [Ended early]).
    """

    def __init__(self, spec: str, settings: InputSettings, *, reporter: Reporter) -> None:
        self._say = Once(reporter)
        self._window = Window.from_settings(settings)
        self._reader = self._open(spec)
        try:
            self._prepare(settings, is_live=is_live_url(spec))
        except BaseException:
            self._reader.close()
            raise

    def _open(self, spec: str) -> Reader:
        """The container with its decoder; other decoders override it."""
        return Reader(spec)

    def _prepare(self, settings: InputSettings, *, is_live: bool) -> None:
        reader = self._reader
        container, video = reader.container, reader.video
        self.name, self.is_live = reader.name, is_live
        self.decoder = f"{reader.decoder.name} ({reader.how})"
        flags = container.format.flags
        self._untimed = bool(flags & _NO_TIMESTAMPS)
        self._rate = fraction(video.average_rate) or fraction(video.guessed_rate) or fraction(video.base_rate)
        if self._untimed:  # the stream's rate is FFmpeg's default, whatever the codec says
            self._rate = fraction(reader.decoder.framerate) or _DEFAULT_RATE
        self._time_base = 1 / (self._rate or _DEFAULT_RATE) if self._untimed else reader.time_base
        self._repair = Repair(max(1, round(1 / (self._rate or _DEFAULT_RATE) / self._time_base)))
        tracks = audio_tracks(container)
        starts = [self._start_of(stream) for stream in (video, *(track.stream for track in tracks))]
        own_clock = bool(flags & _OWN_CLOCK) or is_live
        self._origin = max(Fraction(0), min(starts)) if own_clock or not self._window.is_whole else Fraction(0)
        self._rebase = own_clock and self._origin > 0
        self._sound = Sound({track.stream.index: i for i, track in enumerate(tracks)}, self._window, self._origin)
        self._shift: int | None = None
        self._index = 0
        self._video_done = False
        reader.use([track.stream for track in tracks])
        if self._window.start and not self._untimed:
            reader.seek(self._origin + self._window.start)
        variable = not is_live and not self._untimed and is_variable(reader.look_ahead(), reader.time_base)
        self._items = reader.items()
        self._chain: PictureChain | DeviceChain | None = None
        self._settings = settings
        self._pending = self._until_first_frame()
        self.info = self._describe(tracks, variable=variable)
        self._say_what_it_is(tracks)

    def __iter__(self) -> Iterator[Frame | AudioPacket]:
        pending, self._pending = self._pending, []
        while pending and not self._reader.is_closed:
            yield pending.pop(0)
        try:
            for item in self._items:
                yield from self._admit(item)
                if self._video_done and self._sound.is_over:
                    return
        finally:
            if self._repair.missing or self._repair.backward:
                self._say_repairs()
        if not self.is_live and not self._video_done:
            self._check_end()

    @property
    def damaged(self) -> int:
        """Packets that could not be decoded, so far."""
        return self._reader.damaged

    def close(self) -> None:
        """See `Source.close`. Frees the decoder at once (Note [Closed containers])."""
        self._reader.close()
        gc.collect()

    # --- setting up ---

    def _start_of(self, stream: Any) -> Fraction:
        base = fraction(stream.time_base)
        return stream.start_time * base if base is not None and stream.start_time is not None else Fraction(0)

    def _until_first_frame(self) -> list[Frame | AudioPacket]:
        """Everything up to and with the first frame: format and size are known only when it is decoded."""
        pending: list[Frame | AudioPacket] = []
        for item in self._items:
            made = list(self._admit(item))
            pending += made
            if any(isinstance(one, Frame) for one in made):
                return pending
            if self._video_done:
                break
        damaged = f" ({self.damaged} packets are damaged)" if self.damaged else ""
        if self._chain is None and (self._index or not self._window.is_whole):
            raise SourceError(
                f"'{self.name}' has no pictures between --start and --end{damaged}. "
                "Choose times that lie inside the video."
            )
        raise SourceError(
            f"'{self.name}' holds no picture that can be decoded{damaged}. Check that it plays elsewhere."
        )

    def _describe(self, tracks: tuple[Any, ...], *, variable: bool) -> StreamInfo:
        reader, chain = self._reader, self._chain
        assert chain is not None
        container, video = reader.container, reader.video
        metadata, left_out = kept_metadata(
            container.metadata, video.metadata, keep_location=self._settings.keep_location
        )
        if left_out:
            self._say.note("the input's GPS position is left out; --keep-location keeps it.")
        seconds = self._expected_seconds()
        count = int(video.frames) if video.frames and self._window.is_whole else None
        if count is None and seconds is not None and self._rate:
            count = max(1, round(seconds * self._rate))
        others = [stream.metadata for stream in container.streams]
        return StreamInfo(
            name=self.name,
            width=chain.width,
            height=chain.height,
            pix_fmt=chain.pix_fmt,
            color=chain.color,
            time_base=self._time_base,
            frame_rate=self._rate,
            bits=chain.layout.bits,
            is_variable_rate=variable,
            duration_seconds=None if seconds is None else float(seconds),
            frame_count=count,
            sample_aspect_ratio=chain.sample_aspect_ratio(fraction(video.sample_aspect_ratio)),
            has_alpha=chain.has_alpha,
            start_timecode=self._timecode(start_timecode(container.metadata, video.metadata, others)),
            audio=tracks,
            metadata=metadata,
            source_size=chain.upright_size,
        )

    def _timecode(self, stored: str) -> str | None:
        if not stored or not self._rate:
            return None
        skipped = self._first_seconds - self._start_of(self._reader.video) if self._window.start else Fraction(0)
        moved = shift_timecode(stored, skipped, self._rate)
        if moved is None:
            self._say.warn(f"the input's timecode '{stored}' is not one that can be read; the output gets none.")
        return moved

    def _expected_seconds(self) -> Fraction | None:
        if self.is_live:
            return None
        video, container = self._reader.video, self._reader.container
        whole = None
        if video.duration is not None and video.duration > 0:
            whole = video.duration * self._reader.time_base
        elif container.duration is not None and container.duration > 0:
            whole = Fraction(container.duration, 1_000_000)
        if whole is None:
            return self._window.end - self._window.start if self._window.end is not None else None
        end = whole if self._window.end is None else min(whole, self._window.end)
        return max(Fraction(0), end - self._window.start)

    def _say_what_it_is(self, tracks: tuple[Any, ...]) -> None:
        reader, say = self._reader, self._say
        kept = {reader.video.index, *(track.stream.index for track in tracks)}
        dropped = dropped_tracks(reader.container, kept)
        if dropped:
            say.note(f"left out of the output: {dropped}.")
        if self._untimed:
            source = "as its codec says" if reader.decoder.framerate else "because its codec names no rate"
            say.note(
                f"'{self.name}' is a raw stream without times; its pictures are taken to come at "
                f"{float(self._rate or _DEFAULT_RATE):g} a second, {source}."
            )
        if self._rebase and not self._window.start:
            say.note(
                f"the input's clock begins at {float(self._origin):.2f} s; times are shifted, so that the output's "
                "begins at 0."
            )
        if self.info.is_variable_rate:
            say.note("the input has a variable frame rate.")

    # --- running ---

    def _admit(self, item: av.Packet[Any] | av.VideoFrame) -> Iterator[Frame | AudioPacket]:
        if isinstance(item, av.Packet):
            yield from self._sound.take(item)
        elif not self._video_done:
            yield from self._admit_picture(item)
        elif self._is_far_past_end(item):
            self._sound.done.update(self._sound.track_of)

    def _is_far_past_end(self, picture: av.VideoFrame) -> bool:
        if picture.pts is None or self._window.end is None:
            return True
        return picture.pts * self._time_base - self._origin > self._window.end + _PAST_END_SECONDS

    def _admit_picture(self, picture: av.VideoFrame) -> Iterator[Frame | AudioPacket]:
        pts = self._repair.previous + 1 if self._repair.previous is not None else 0
        pts = self._repair(pts if self._untimed else picture.pts)
        moment = pts * self._time_base - self._origin
        if self._window.end is not None and moment >= self._window.end:
            self._video_done = True
            return
        if moment < self._window.start:
            return
        if self._shift is None:
            self._shift = self._first_picture(picture, pts)
            yield from self._sound.start(self._shift * self._time_base)
        if picture.is_corrupt:
            self._say.warn("some pictures of the input are damaged; they are used as the decoder repaired them.")
        assert self._chain is not None
        made, alpha, color = self._chain(picture)
        yield self._frame(made, alpha, color, Timestamp(pts - self._shift, self._time_base), picture.duration)

    def _first_picture(self, picture: av.VideoFrame, pts: int) -> int:
        """The first picture that is wanted fixes orientation, format, size, and the clock's zero, which is returned."""
        self._first_seconds = pts * self._time_base
        orientation = of_frame(picture)
        if orientation is None:
            self._say.warn("the input asks to be turned by an angle that is not a quarter turn; it is left as stored.")
        if picture.interlaced_frame:
            self._say.note(
                "the input is interlaced; its lines pass as they are. For a cleaner edge, deinterlace it first "
                "(ffmpeg -i IN -vf bwdif OUT)."
            )
        self._chain = self._make_chain(picture, orientation or Orientation())
        if self._window.start:
            return pts
        return round(self._origin / self._time_base) if self._rebase else 0

    def _make_chain(self, first: av.VideoFrame, orientation: Orientation) -> PictureChain | DeviceChain:
        """What brings decoded pictures into the run's form, set up by the first one."""
        return PictureChain(
            first,
            orientation=orientation,
            size=self._settings.size,
            tags=Tags.of(self._reader.decoder),
            reporter=self._say,
        )

    def _frame(
        self,
        picture: av.VideoFrame | DevicePicture,
        alpha: AlphaArray | None,
        color: Any,
        time: Timestamp,
        duration: int | None,
    ) -> Frame:
        ticks = 1 if self._untimed else (duration or None)
        frame = Frame(picture=picture, time=time, duration=ticks, index=self._index, color=color, alpha=alpha)
        self._index += 1
        return frame

    def _say_repairs(self) -> None:
        missing, backward = self._repair.missing, self._repair.backward
        if missing:
            self._say.warn(f"{_pictures(missing)} of the input had no time; they follow at the nominal rate.")
        if backward:
            self._say.warn(
                f"{_pictures(backward)} of the input had a time that was not after the one before; each was moved "
                "right behind it."
            )

    def _check_end(self) -> None:
        until = None if self._window.end is None else self._origin + self._window.end
        missing = self._reader.missing_seconds(until)
        if missing >= 1:
            raise EndedEarly(
                f"'{self.name}' ended early: its own index lists {float(missing):.1f} s more than could be read. "
                "The file is cut off; copy or download it again."
            )


def open_video(spec: str, settings: InputSettings, *, reporter: Reporter) -> VideoSource:
    """A `VideoSource` of a file, a URL or `-` (stdin)."""
    return VideoSource(spec, settings, reporter=reporter)


def _pictures(number: int) -> str:
    return f"{number} picture{'s' * (number != 1)}"
