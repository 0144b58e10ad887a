"""Audio tracks on their way into a file: copied where the container takes the codec, else decoded and encoded.

Note [Audio]
    A copied packet keeps its bytes and its exact time; the sinks share packets, so each makes its own copy. What a
    container does not take becomes PCM in MOV, AAC in MP4, Opus in WebM and FLAC in Matroska, and it is said.
    Encoders know some arrangements of speakers only: libopus refuses AC-3's 5.1(side), AAC a track that does not say
    which speakers its channels are. Then the usual arrangement for that number of channels is taken, else stereo.
    What a decoder gives before time 0 (AAC's and Opus's run-in) is cut off: no player shows it, and PCM in MOV
    would begin with it.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Protocol

import av
import numpy as np
from av.audio.resampler import AudioResampler

from livematte.frames import AudioPacket, AudioTrack, StreamInfo
from livematte.reporting import Reporter
from livematte.sinks.formats import FORMATS, Format
from livematte.sources.timing import fraction

_OPUS_RATES = (48000, 24000, 16000, 12000, 8000)
_AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
_BIT_RATES = {"aac": 96_000, "libopus": 64_000}
"""Bits a second and channel."""
_ENCODER_NAMES = {"aac": "AAC", "libopus": "Opus", "flac": "FLAC", "pcm_s16le": "PCM", "pcm_s24le": "PCM (24 bits)"}


_USUAL_LAYOUTS = {
    1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1",
}  # fmt: skip
"""Channels -> the arrangement that files mean who do not say it, and that libopus and AAC know."""
_MOV_LANGUAGES = {
    "deu": "ger", "nld": "dut", "swe": "sve", "ell": "gre", "isl": "ice", "zho": "chi", "sqi": "alb", "mkd": "mac",
    "hye": "arm", "kat": "geo", "bod": "tib", "mya": "bur", "msa": "may", "fre": "fra", "rum": "ron", "cze": "ces",
    "slo": "slk",
}  # fmt: skip
"""QuickTime numbers its languages, and FFmpeg's MOV muxer knows each by one of its ISO 639-2 codes only."""


class _Track(Protocol):
    """One output track: packets in, packets of the output container out."""

    def feed(self, packet: Any) -> list[Any]: ...

    def flush(self) -> list[Any]: ...


class AudioTracks:
    """All audio tracks of a source, added to a container before its header is written."""

    def __init__(self, container: Any, chosen: Format, info: StreamInfo, *, reporter: Reporter) -> None:
        self._tracks: list[_Track | None] = []
        for number, track in enumerate(info.audio):
            self._tracks.append(_add(container, chosen, track, number, reporter))

    def feed(self, item: AudioPacket) -> list[Any]:
        """Packets to mux for one packet of the source."""
        track = self._tracks[item.track]
        return track.feed(item.packet) if track is not None else []

    def flush(self) -> list[Any]:
        """The rest, at the end of the source."""
        return [packet for track in self._tracks if track is not None for packet in track.flush()]


def _add(container: Any, chosen: Format, track: AudioTrack, number: int, reporter: Reporter) -> _Track | None:
    codec = canonical_codec(track)
    where = chosen.suffixes[0].lstrip(".").upper()
    if codec in chosen.audio_copy:
        return _Copied(container, track)
    if chosen.audio_else is None:
        return None
    encoder = _encoder_for(chosen.audio_else, track)
    try:
        layout = _layout_for(encoder, track)
        made = _Encoded(container, track, encoder, layout)
    except (av.error.FFmpegError, ValueError) as error:
        reporter.warn(f"Audio track {number + 1} ({codec}) is left out: it cannot be converted for {where} ({error}).")
        return None
    becomes = _ENCODER_NAMES[encoder]
    if av.AudioLayout(layout).nb_channels < track.channels:
        becomes += f", mixed down to {layout}"
    taken = codec in FORMATS[chosen.name].audio_copy
    because = "as --audio-codec pcm asks" if taken else f"because {where} does not take it"
    reporter.note(f"Audio track {number + 1} ({codec}) becomes {becomes}, {because}.")
    return made


def canonical_codec(track: AudioTrack) -> str:
    """FFmpeg's name of the codec (`mp3`), whatever its decoder is called (`mp3float`)."""
    context = getattr(track.stream, "codec_context", None)
    codec = getattr(context, "codec", None)
    return str(getattr(codec, "canonical_name", track.codec))


def _encoder_for(policy: str, track: AudioTrack) -> str:
    """`pcm` is 16 bits for 16-bit sources, else 24."""
    if policy != "pcm":
        return policy
    sample_format = getattr(track.stream.codec_context, "format", None)
    name = str(getattr(sample_format, "name", "s16"))
    return "pcm_s16le" if name in ("u8", "u8p", "s16", "s16p") else "pcm_s24le"


def _layout_for(encoder: str, track: AudioTrack) -> str:
    """The first arrangement of speakers that the encoder opens with: the track's, the usual one, stereo.

    FFmpegError: not even stereo works.
    """
    own = track.stream.codec_context.layout.name
    for layout in (own, _USUAL_LAYOUTS.get(track.channels, own)):
        if _opens(encoder, layout, _nearest_rate(encoder, track.sample_rate)) is None:
            return str(layout)
    error = _opens(encoder, "stereo", _nearest_rate(encoder, track.sample_rate))
    if error is not None:
        raise error
    return "stereo"


def _opens(encoder: str, layout: str, rate: int) -> av.error.FFmpegError | ValueError | None:
    """None where the encoder works with this arrangement, else why not."""
    try:
        context: Any = av.CodecContext.create(encoder, "w")
        context.sample_rate, context.layout = rate, layout
        context.format = context.codec.audio_formats[0]
        context.open(strict=False)
    except (av.error.FFmpegError, ValueError) as error:
        return error
    return None


def _describe(container: Any, stream: Any, track: AudioTrack) -> None:
    if track.language:
        is_mov = container.format.name == "mov"
        stream.metadata["language"] = _MOV_LANGUAGES.get(track.language, track.language) if is_mov else track.language


class _Copied:
    """A track whose packets pass as they are."""

    def __init__(self, container: Any, track: AudioTrack) -> None:
        self._stream = container.add_stream_from_template(track.stream)
        self._needs_positive_times = container.format.name == "nut"
        _describe(container, self._stream, track)

    def feed(self, packet: Any) -> list[Any]:
        is_too_early = self._needs_positive_times and packet.pts is not None and packet.pts < 0
        if packet.size == 0 or is_too_early:
            return []
        copied = copy_packet(packet)
        copied.stream = self._stream
        return [copied]

    def flush(self) -> list[Any]:
        return []


def copy_packet(packet: Any) -> Any:
    """A packet of one's own with the same bytes, times and side data."""
    copied: Any = av.Packet(bytes(packet))
    copied.time_base = packet.time_base
    copied.pts, copied.dts, copied.duration = packet.pts, packet.dts, packet.duration
    copied.is_keyframe = packet.is_keyframe
    if packet.has_sidedata("skip_samples"):
        copied.set_sidedata(packet.get_sidedata("skip_samples"))
    return copied


class _Encoded:
    """A track that is decoded and encoded anew, by a decoder of its own (the source's is on another thread)."""

    def __init__(self, container: Any, track: AudioTrack, encoder: str, layout: str) -> None:
        source = track.stream.codec_context
        decoder: Any = av.CodecContext.create(canonical_codec(track), "r")
        decoder.extradata = source.extradata
        decoder.sample_rate = track.sample_rate
        decoder.layout = source.layout.name
        self._decoder = decoder
        rate = _nearest_rate(encoder, track.sample_rate)
        options = {"strict": "-2"} if encoder == "aac" else {}
        self._stream = container.add_stream(encoder, rate=rate, options=options)
        self._stream.codec_context.layout = layout
        if encoder in _BIT_RATES:
            self._stream.codec_context.bit_rate = _BIT_RATES[encoder] * self._stream.codec_context.layout.nb_channels
        self._stream.codec_context.time_base = Fraction(1, rate)
        _describe(container, self._stream, track)
        self._rate = rate
        self._source_rate = track.sample_rate
        self._resumes: Fraction | None = None
        """Time of the first sample after what the decoder was told to cut off."""
        self._resampler: AudioResampler | None = None

    def feed(self, packet: Any) -> list[Any]:
        if packet.size == 0:
            return []
        made: list[Any] = []
        try:
            frames = self._decoder.decode(copy_packet(packet))
        except av.error.InvalidDataError:
            return []  # A damaged audio packet is a gap, as in every player; the next one carries its own time.
        skipped = _skipped_at_start(packet)
        if skipped and packet.pts is not None:
            self._resumes = packet.pts * (fraction(packet.time_base) or 0) + Fraction(skipped, self._source_rate)
        for frame in frames:
            if self._resumes is not None:  # the decoder cuts its run-in off, but leaves the time as it was
                frame.pts = round(self._resumes / (fraction(frame.time_base) or Fraction(1, self._source_rate)))
                self._resumes = None
            made += self._encode(frame)
        return made

    def flush(self) -> list[Any]:
        made: list[Any] = []
        for frame in self._decoder.decode(None):
            made += self._encode(frame)
        if self._resampler is not None:
            for frame in self._resampler.resample(None):
                made += self._stream.encode(frame)
            made += self._stream.encode(None)
        return made

    def _encode(self, decoded: Any) -> list[Any]:
        frame = _from_zero(decoded)
        if frame is None:
            return []
        if self._resampler is None:
            context = self._stream.codec_context
            if not context.is_open:
                context.open()
            self._resampler = AudioResampler(
                format=context.format, layout=context.layout, rate=self._rate, frame_size=context.frame_size or None
            )
        made: list[Any] = []
        for ready in self._resampler.resample(frame):
            made += self._stream.encode(ready)
        return made


def _skipped_at_start(packet: Any) -> int:
    """Samples that the decoder cuts off from this packet on (AV_PKT_DATA_SKIP_SAMPLES: the first of its numbers)."""
    if not packet.has_sidedata("skip_samples"):
        return 0
    return int.from_bytes(bytes(packet.get_sidedata("skip_samples"))[:4], "little")


def _from_zero(frame: Any) -> Any | None:
    """What of a decoded frame lies at or after time 0; None: nothing does (Note [Audio])."""
    if frame.pts is None or frame.pts >= 0:
        return frame
    base = fraction(frame.time_base) or Fraction(1, frame.sample_rate)
    early = round(-frame.pts * base * frame.sample_rate)
    if early >= frame.samples:
        return None
    a_moment = 1 if frame.format.is_planar else frame.layout.nb_channels
    kept: Any = np.ascontiguousarray(frame.to_ndarray()[:, early * a_moment :])
    made = av.AudioFrame.from_ndarray(kept, format=frame.format.name, layout=frame.layout.name)
    made.sample_rate, made.pts, made.time_base = frame.sample_rate, 0, base
    return made


def _nearest_rate(encoder: str, rate: int) -> int:
    allowed = {"libopus": _OPUS_RATES, "aac": _AAC_RATES}.get(encoder)
    if allowed is None or rate in allowed:
        return rate
    larger = [known for known in allowed if known >= rate]
    return min(larger) if larger else max(allowed)
