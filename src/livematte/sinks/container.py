"""One video track, its encoder and the audio tracks in one container, written through PyAV.

Note [Exact times]
    The encoder and the stream get the source's own `time_base`. MOV and MP4 multiply its denominator until it is at
    least 10000, NUT likewise, so every pts stays exact (checked for 1/30, 1001/30000, 1/1000, 1/12288, 1/90000 and
    1/1000000); a first frame later than 0 is an edit-list entry in the movie's own time scale, 1/1000 unless
    `movie_timescale` says otherwise, so that is set too. Matroska and WebM round to 1 ms: their format's own unit.
    Encoders give packets no duration; the muxers then guess the last one from the nominal rate, so packets get their
    frame's duration here.
    AAC out of MP4 begins before 0 (its first packet only readies the decoder). FFmpeg would move every track, pictures
    too, until nothing is negative: 23 ms in Matroska and NUT. So that is switched off; Matroska stores such a packet
    as it is, NUT cannot, and goes without it (`audio.py`).
"""

from __future__ import annotations

import os
from fractions import Fraction
from typing import Any, Final

import av

from livematte.frames import AudioPacket, StreamInfo, Timestamp
from livematte.reporting import Reporter
from livematte.sinks.audio import AudioTracks
from livematte.sinks.encodings import Encoding
from livematte.sinks.matroska import state_pixel_shape
from livematte.sinks.tags import tag

_TECHNICAL: Final = frozenset(
    {"major_brand", "minor_version", "compatible_brands", "encoder", "duration", "handler_name", "vendor_id",
     "timecode", "alpha_mode", "language", "rotate"}
)  # fmt: skip
"""Metadata that described the old file, not its content."""
_DROP_FRAME_RATES: Final = (Fraction(30000, 1001), Fraction(60000, 1001))
_VP9_ALPHA: Final = "matroska_block_additional"
"""What FFmpeg calls the part of a VP9 packet that holds its alpha."""
_MOVIES: Final = ("mov", "mp4")
_X265_DELAY: Final = 2
"""Pictures by which x265's decoding times lag."""
_INT32: Final = (1 << 31) - 1


class Writer:
    """An open output container. `finish` or `discard` ends it, once."""

    def __init__(
        self, path: str, encoding: Encoding, info: StreamInfo, *, size: tuple[int, int], audio: bool, reporter: Reporter
    ) -> None:
        self._path = path
        self._encoding = encoding
        self._info = info
        self._reporter = reporter
        self._time_base = Fraction(info.time_base)
        self._container: Any = av.open(
            path, mode="w", format=encoding.format.container, container_options=_container_options(encoding, info)
        )
        self._stream = self._video_stream(size)
        self._audio = AudioTracks(self._container, encoding.format, info, reporter=reporter) if audio else None
        self._durations: dict[int, int] = {}
        self._last_pts: int | None = None
        self._frames = 0
        self._first: tuple[int, int] | None = None
        self._end = 0
        self.bytes_encoded = 0
        """Bytes of the pictures that the encoder has given out. Matroska's writer holds back 5 s of them."""
        self._container.metadata.update(_metadata(encoding, info, reporter))
        self._container.start_encoding()

    def _video_stream(self, size: tuple[int, int]) -> Any:
        encoding, info = self._encoding, self._info
        rate = info.frame_rate or Fraction(30)
        stream = self._container.add_stream(encoding.codec, rate=rate, options=dict(encoding.options))
        stream.width, stream.height = size
        stream.pix_fmt = encoding.pix_fmt
        stream.time_base = self._time_base
        context = stream.codec_context
        context.time_base = self._time_base
        context.thread_count = encoder_threads()
        if encoding.codec in ("prores_ks", "ffv1"):
            context.thread_type = "SLICE"
        if encoding.codec == "png":
            context.thread_type = "FRAME"  # a picture a core
        if encoding.codec_tag:
            context.codec_tag = encoding.codec_tag
        tag(context, encoding.color)
        aspect = info.sample_aspect_ratio
        if aspect is not None and aspect != 1:
            context.sample_aspect_ratio = Fraction(aspect)
        return stream

    def _state_pixel_shape(self) -> None:
        """MOV and MP4 have the pixel's shape from the encoder; Matroska gets it afterwards; NUT cannot."""
        aspect, name = self._info.sample_aspect_ratio, self._encoding.format.name
        if aspect is None or aspect == 1 or self._encoding.format.container in _MOVIES:
            return
        size = (self._stream.width, self._stream.height)
        if name in ("mkv", "webm") and state_pixel_shape(self._path, size, Fraction(aspect)):
            return
        self._reporter.note(
            f"The input's pixels are not square ({aspect}); {name.upper()} is written without that, so set the pixel "
            f"aspect ratio {aspect} where you play it, or write MOV."
        )

    def encode(self, picture: av.VideoFrame, time: Timestamp, duration: int | None) -> None:
        """Encode one picture at its own time. `time` may have another time base than the stream's: it is rescaled."""
        pts, length = time.pts, duration
        if Fraction(time.time_base) != self._time_base:
            pts = round(time.seconds / self._time_base)
            length = None if duration is None else round(duration * Fraction(time.time_base) / self._time_base)
        if self._last_pts is not None and pts <= self._last_pts:
            self._reporter.warn(
                "The input has frames that do not come after the one before; they are put one tick later, in order."
            )
            pts = self._last_pts + 1
        self._last_pts = pts
        self._frames += 1
        self._durations[pts] = length or self._nominal_duration()
        picture.pts = pts
        picture.time_base = self._time_base
        self._mux(self._stream.encode(picture))

    def audio(self, item: AudioPacket) -> None:
        """Write one audio packet of the source."""
        if self._audio is not None:
            self._container.mux(self._audio.feed(item))

    def finish(self) -> None:
        """Flush the encoders, write index and trailer, close the file."""
        try:
            if self._last_pts is not None:
                self._mux(self._stretch_last(self._repair_order(self._stream.encode(None))))
            if self._audio is not None:
                self._container.mux(self._audio.flush())
        except BaseException:
            self.discard()
            raise
        self._container.close()
        self._state_pixel_shape()

    def discard(self) -> None:
        """Close the file as it is; what its trailer says no longer matters. Never raises."""
        try:
            self._container.close()
        except (OSError, av.error.FFmpegError, ValueError):
            return

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            length = self._durations.pop(packet.pts, None)
            if length is not None:
                packet.duration = packet.duration or length
                self._end = max(self._end, packet.pts + length)
            if self._first is None and packet.dts is not None:
                self._first = (packet.pts, packet.dts)
            self.bytes_encoded += packet.size
            if packet.has_sidedata(_VP9_ALPHA):
                self.bytes_encoded += packet.get_sidedata(_VP9_ALPHA).buffer_size
            self._container.mux(packet)

    def _repair_order(self, packets: list[Any]) -> list[Any]:
        """x265 (4.2) takes the first decoding times from pictures that a clip of one or two does not have.

        They were what stood in memory, and nine of ten such files could not be written. So short a clip is not
        reordered.
        """
        if self._encoding.codec == "libx265" and self._frames <= _X265_DELAY:
            for packet in packets:
                packet.dts = packet.pts
        return packets

    def _stretch_last(self, packets: list[Any]) -> list[Any]:
        """H.264 comes in decoding order: its last packet is not the last picture, yet it must end the track."""
        if packets and packets[-1].dts is not None:
            end = max([self._end, *(pts + length for pts, length in self._durations.items())])
            first_pts, first_dts = self._first or (packets[0].pts, packets[0].dts)
            packets[-1].duration = max(1, end - first_pts - (packets[-1].dts - first_dts))
        return packets

    def _nominal_duration(self) -> int:
        rate = self._info.frame_rate
        return max(1, round(1 / (rate * self._time_base))) if rate else 1


def encoder_threads() -> int:
    """Threads for an encoder: all cores, at most 16 (ProRes and FFV1 slices, VP9 tiles and x264 gain nothing more)."""
    return max(1, min(16, os.cpu_count() or 1))


def _container_options(encoding: Encoding, info: StreamInfo) -> dict[str, str]:
    if encoding.format.container not in _MOVIES:
        return {"avoid_negative_ts": "disabled"}
    options = {"movflags": "+faststart"}
    scale = Fraction(info.time_base).denominator
    while scale < 10_000:
        scale *= 2
    options["movie_timescale"] = str(min(scale, _INT32))
    return options


def _metadata(encoding: Encoding, info: StreamInfo, reporter: Reporter) -> dict[str, str]:
    kept = {key: value for key, value in info.metadata.items() if key.lower() not in _TECHNICAL}
    if encoding.comment:
        said = [encoding.comment, *(value for key, value in kept.items() if key.lower() == "comment")]
        kept = {key: value for key, value in kept.items() if key.lower() != "comment"} | {"comment": "; ".join(said)}
    timecode = info.start_timecode
    if timecode is None:
        return kept
    if info.frame_rate is None:
        reporter.note(f"The start timecode {timecode} is left out: the input has no frame rate to count it in.")
        return kept
    if ";" in timecode and not any(info.frame_rate % known == 0 for known in _DROP_FRAME_RATES):
        reporter.note(
            f"The start timecode {timecode} is written as non-drop-frame: at {info.frame_rate} fps there is no "
            "drop-frame count."
        )
        timecode = timecode.replace(";", ":")
    kept["timecode"] = timecode
    return kept
