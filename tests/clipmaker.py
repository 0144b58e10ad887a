"""Makes small clips for tests, each in a few milliseconds: `from clipmaker import Clip, write_clip`.

Every picture is drawn by `pattern`, a formula of index and size, so that a test can compute what it should read.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt

from livematte.color import COLOR_PRIMARIES, COLOR_RANGES, COLOR_TRCS, COLORSPACES

LOSSLESS = "ffv1"
VARIABLE_PTS = (0, 20, 50, 60, 110, 130, 190, 200, 240, 300)
"""Uneven times in units of 1/600 s."""


@dataclass
class Clip:
    """What `write_clip` writes. The defaults are ten frames of 64x48 H.264 at 25 pictures a second."""

    width: int = 64
    height: int = 48
    frames: int = 10
    rate: Fraction = Fraction(25)
    codec: str = "libx264"
    pix_fmt: str = "yuv420p"
    options: dict[str, str] = field(default_factory=lambda: {"preset": "ultrafast", "crf": "16"})
    gop: int = 5
    pts: Sequence[int] | None = None
    """Times in `time_base` units instead of even ones."""
    time_base: Fraction | None = None
    """Default: 1/rate, or 1/600 with `pts`."""
    color: tuple[str, str, str, str] | None = None
    """(colorspace, color_range, color_primaries, color_trc), tagged in stream and frames."""
    rotation: float | None = None
    """Counter-clockwise degrees in the display matrix."""
    hflip: bool = False
    vflip: bool = False
    audio: Sequence[str] = ()
    """Encoders, one a track: `aac`, `libopus`, `pcm_s16le`."""
    audio_seconds: float | None = None
    """Default: as long as the pictures."""
    metadata: dict[str, str] = field(default_factory=dict)
    """The container's: `creation_time`, `location`, `timecode`."""
    stream_metadata: dict[str, str] = field(default_factory=dict)
    sample_aspect_ratio: Fraction | None = None
    alpha: bool = False
    """Fill plane 3 of an alpha format with `alpha_pattern`, else with the peak."""
    container_options: dict[str, str] = field(default_factory=dict)
    format: str | None = None

    @property
    def base(self) -> Fraction:
        return self.time_base or (Fraction(1, 600) if self.pts is not None else 1 / self.rate)

    @property
    def times(self) -> list[int]:
        """pts of every frame in `base` units."""
        return (
            list(self.pts) if self.pts is not None else [round(i / self.rate / self.base) for i in range(self.frames)]
        )


def pattern(index: int, width: int, height: int, *, peak: int = 255, plane: int = 0) -> npt.NDArray[np.uint16]:
    """(height, width) samples 1/8..7/8 of the peak: a diagonal ramp that moves with `index`, unlike in each plane."""
    y, x = np.mgrid[0:height, 0:width]
    phase = (x * (3 + plane) + y * (5 - plane) + index * 7 + plane * 40) % 192
    return ((phase + 32) * peak // 255).astype(np.uint16)


def alpha_pattern(index: int, width: int, height: int, *, peak: int = 255) -> npt.NDArray[np.uint16]:
    """(height, width) alpha 0..peak: opaque on the left, 0 on the right, a ramp between that moves with `index`."""
    x = np.arange(width, dtype=np.float64)
    ramp = np.clip((width * 0.6 + index % 4 - x) / max(1.0, width * 0.25), 0, 1)
    return np.broadcast_to(np.rint(ramp * peak).astype(np.uint16), (height, width)).copy()


def fill_planes(picture: av.VideoFrame, index: int, *, alpha: bool = False) -> None:
    """Draw `pattern` into every plane of a planar picture (alpha: `alpha_pattern`, or opaque)."""
    bits = picture.format.components[0].bits
    dtype = np.uint8 if bits == 8 else np.uint16
    peak = (1 << bits) - 1
    for number, plane in enumerate(picture.planes):
        pitch = plane.line_size // np.dtype(dtype).itemsize
        rows = np.frombuffer(memoryview(plane), dtype).reshape(plane.height, pitch)[:, : plane.width]
        if number == 3 and alpha:
            rows[:] = alpha_pattern(index, plane.width, plane.height, peak=peak)
        elif number == 3:
            rows[:] = peak
        else:
            rows[:] = pattern(index, plane.width, plane.height, peak=peak, plane=number)


def planes_of(picture: av.VideoFrame) -> list[npt.NDArray[np.generic]]:
    """Copies of the planes of a planar picture, (h, w) uint8 or uint16 (little-endian)."""
    bits = picture.format.components[0].bits
    dtype = np.uint8 if bits == 8 else np.uint16
    copies = []
    for plane in picture.planes:
        pitch = plane.line_size // np.dtype(dtype).itemsize
        rows = np.frombuffer(memoryview(plane), dtype).reshape(plane.height, pitch)
        copies.append(rows[:, : plane.width].copy())
    return copies


def make_picture(clip: Clip, index: int) -> av.VideoFrame:
    """Frame `index` of the clip, with its time and tags. Packed formats are made from gbrp(a)."""
    known = av.VideoFormat(clip.pix_fmt)
    planar = len({part.plane for part in known.components}) == len(known.components) >= 3
    if planar:
        picture = av.VideoFrame(clip.width, clip.height, clip.pix_fmt)
        fill_planes(picture, index, alpha=clip.alpha)
    else:
        has_alpha = len(known.components) in (2, 4) or known.has_palette
        picture = av.VideoFrame(clip.width, clip.height, "gbrap" if has_alpha else "gbrp")
        fill_planes(picture, index, alpha=clip.alpha)
        picture = picture.reformat(format=clip.pix_fmt)
    picture.pts = clip.times[index]
    picture.time_base = clip.base
    if clip.color is not None:
        colorspace, span, primaries, trc = clip.color
        picture.colorspace, picture.color_range = COLORSPACES[colorspace], COLOR_RANGES[span]
        picture.color_primaries, picture.color_trc = COLOR_PRIMARIES[primaries], COLOR_TRCS[trc]
    return picture


def write_clip(path: Path, clip: Clip | None = None) -> Path:
    """Write `clip` (default: `Clip()`) to `path`; the suffix chooses the container."""
    clip = clip or Clip()
    with av.open(str(path), "w", format=clip.format, options=clip.container_options) as container:
        container.metadata.update(clip.metadata)
        stream = _video_stream(container, clip)
        tracks = [_audio_stream(container, codec) for codec in clip.audio]
        seconds = clip.audio_seconds if clip.audio_seconds is not None else _seconds(clip)
        sound = [(track, frame) for track in tracks for frame in _tone(seconds, track)]
        sound.sort(key=lambda item: item[1].time)
        for index in range(len(clip.times)):
            now = float(clip.times[index] * clip.base)
            while sound and sound[0][1].time <= now:
                track, tone = sound.pop(0)
                container.mux(track.encode(tone))
            container.mux(stream.encode(make_picture(clip, index)))
        container.mux(stream.encode(None))
        for track, tone in sound:
            container.mux(track.encode(tone))
        for track in tracks:
            container.mux(track.encode(None))
    return path


def _seconds(clip: Clip) -> float:
    return float(clip.times[-1] * clip.base + 1 / clip.rate)


def _video_stream(container: av.container.OutputContainer, clip: Clip) -> av.VideoStream:
    stream = container.add_stream(clip.codec, rate=clip.rate, options=clip.options)
    stream.width, stream.height, stream.pix_fmt = clip.width, clip.height, clip.pix_fmt
    stream.codec_context.time_base = clip.base
    stream.time_base = clip.base
    stream.codec_context.gop_size = clip.gop
    stream.codec_context.max_b_frames = 0 if "libvpx" in clip.codec else stream.codec_context.max_b_frames
    stream.metadata.update(clip.stream_metadata)
    if clip.sample_aspect_ratio is not None:
        stream.codec_context.sample_aspect_ratio = clip.sample_aspect_ratio
    if clip.color is not None:
        colorspace, span, primaries, trc = clip.color
        context = stream.codec_context
        context.colorspace, context.color_range = COLORSPACES[colorspace], COLOR_RANGES[span]
        context.color_primaries, context.color_trc = COLOR_PRIMARIES[primaries], COLOR_TRCS[trc]
    if clip.rotation is not None or clip.hflip or clip.vflip:
        stream.set_display_rotation(clip.rotation or 0, hflip=clip.hflip, vflip=clip.vflip)
    return stream


def _audio_stream(container: av.container.OutputContainer, codec: str) -> av.AudioStream:
    stream = container.add_stream(codec, rate=48000)
    stream.layout = "stereo"
    return stream


def _tone(seconds: float, track: av.AudioStream) -> list[av.AudioFrame]:
    """A tone that slowly rises from 440 Hz, so that no two packets are equal: 20 ms frames, 48 kHz stereo."""
    kind = track.codec_context.format.name
    made = []
    for start in range(0, int(seconds * 48000), 960):
        moment = (start + np.arange(960)) / 48000
        wave = 0.3 * np.sin(2 * np.pi * (440 + 7 * moment) * moment)
        both = np.stack([wave, wave])
        data = both.astype(np.float32) if kind.startswith("flt") else np.rint(both * 32767).astype(np.int16)
        if not kind.endswith("p"):
            data = np.ascontiguousarray(data.T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(data, format=kind, layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
        made.append(frame)
    return made


def write_alpha_webm(
    path: Path, *, frames: int = 6, width: int = 64, height: int = 48, codec: str = "libvpx-vp9"
) -> Path:
    """VP9 (or `libvpx`: VP8) with an alpha plane, lossless for VP9."""
    options = {"deadline": "realtime", "cpu-used": "8", "auto-alt-ref": "0", "lag-in-frames": "0"}
    options |= {"lossless": "1"} if codec == "libvpx-vp9" else {"b": "4M"}
    clip = Clip(width=width, height=height, frames=frames, codec=codec, pix_fmt="yuva420p", options=options, alpha=True)
    return write_clip(path, clip)


def write_variable(path: Path, clip: Clip | None = None) -> Path:
    """Ten frames at `VARIABLE_PTS` / 600 s."""
    clip = clip or Clip()
    clip.pts, clip.frames = VARIABLE_PTS, len(VARIABLE_PTS)
    return write_clip(path, clip)


def write_truncated(path: Path, *, keep: float = 0.5, clip: Clip | None = None) -> Path:
    """A faststart clip (index at the front) cut off after the share `keep` of its bytes; 100 frames by default."""
    clip = clip or Clip(
        frames=100, options={"preset": "ultrafast", "crf": "1"}, container_options={"movflags": "faststart"}
    )
    write_clip(path, clip)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    return path


def write_corrupt(path: Path, *, every: int = 7, clip: Clip | None = None) -> Path:
    """A PNG-in-MOV clip in which each `every`th packet is overwritten with noise: it cannot be decoded."""
    clip = clip or Clip(codec="png", pix_fmt="rgb24", options={}, frames=30)
    write_clip(path, clip)
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    noise = np.random.default_rng(5)
    for position, size in places[every // 2 :: every]:
        data[position : position + size] = noise.integers(0, 256, size, dtype=np.uint8).tobytes()
    path.write_bytes(bytes(data))
    return path


def write_audio_only(path: Path) -> Path:
    """Half a second of sound without pictures."""
    with av.open(str(path), "w") as container:
        track = _audio_stream(container, "aac")
        for tone in _tone(0.5, track):
            container.mux(track.encode(tone))
        container.mux(track.encode(None))
    return path


def write_raw_h264(path: Path, clip: Clip | None = None) -> Path:
    """An Annex B stream without times."""
    clip = clip or Clip()
    clip.format = "h264"
    return write_clip(path, clip)


def write_pictures(
    folder: Path, count: int = 5, *, name: str = "frame_{:04d}.png", size: tuple[int, int] = (48, 64)
) -> Path:
    """`count` RGB pictures of `size` (height, width), numbered from 1; each filled with `pattern`."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        planes = [pattern(index, size[1], size[0], plane=number).astype(np.uint8) for number in range(3)]
        done, coded = cv2.imencode(Path(name).suffix, np.dstack(planes))
        assert done
        (folder / name.format(index + 1)).write_bytes(coded.tobytes())
    return folder


def clip_bytes(clip: Clip | None = None, *, suffix: str = "mkv") -> bytes:
    """A clip in memory, for pipes and servers."""
    clip = clip or Clip()
    target = io.BytesIO()
    formats = {"mkv": "matroska", "mp4": "mp4", "webm": "webm", "nut": "nut"}
    with av.open(target, "w", format=formats[suffix], options=clip.container_options) as container:
        stream = _video_stream(container, clip)
        for index in range(len(clip.times)):
            container.mux(stream.encode(make_picture(clip, index)))
        container.mux(stream.encode(None))
    return target.getvalue()


__all__ = [
    "LOSSLESS",
    "VARIABLE_PTS",
    "Clip",
    "alpha_pattern",
    "clip_bytes",
    "fill_planes",
    "make_picture",
    "pattern",
    "planes_of",
    "write_alpha_webm",
    "write_audio_only",
    "write_clip",
    "write_corrupt",
    "write_pictures",
    "write_raw_h264",
    "write_truncated",
    "write_variable",
]
