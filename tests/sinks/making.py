"""Frames with exact alpha from a formula, and the writing and reading that the sink tests share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image, ImageSequence

from livematte.color import ColorSpec
from livematte.config import OutputSettings
from livematte.frames import AlphaArray, AudioTrack, Composite, Frame, Matte, MattedFrame, StreamInfo, Timestamp
from livematte.planes import layout, new_picture, plane_arrays
from livematte.reporting import ListReporter
from livematte.sinks import open_sink

BT709 = ColorSpec("bt709", "tv", "bt709", "bt709")
RGB = ColorSpec("rgb", "pc", "bt709", "iec61966-2-1")
FORMATS_WITH_ALPHA = {"mov": "clip.mov", "webm": "clip.webm", "mkv": "clip.mkv", "png": "pictures/", "nut": "clip.nut"}


def picture(pix_fmt: str, width: int, height: int, index: int = 0) -> av.VideoFrame:
    """Smooth gradients with a little texture that move with `index`, within limited range."""
    made = new_picture(pix_fmt, width, height)
    known = layout(pix_fmt)
    for number, plane in enumerate(plane_arrays(made)):
        rows, columns = np.mgrid[: plane.shape[0], : plane.shape[1]]
        values = 126 + 70 * np.sin((columns + 3 * index) / 17 + number) + 30 * np.cos((rows - index) / 11 + number)
        plane[:] = (values * (1 << (known.bits - 8))).astype(plane.dtype)
    return made


def alpha(width: int, height: int, index: int = 0, *, wide: bool = False) -> AlphaArray:
    """A soft disc that moves, over a strip that ramps from 0 to 1: 0, 1 and everything between."""
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    radius = 0.3 * min(width, height)
    distance = np.hypot(columns - width / 2 - 2 * index, rows - height * 0.45)
    disc = np.clip((radius - distance) / max(1.0, 0.1 * radius) + 0.5, 0, 1)
    strip = np.where(rows > 0.85 * height, columns / max(1, width - 1), 0.0)
    share = np.maximum(disc, strip)
    return np.rint(share * 65535).astype(np.uint16) if wide else np.rint(share * 255).astype(np.uint8)


@dataclass
class Shot:
    """A source's description and the times of its frames."""

    pix_fmt: str = "yuv420p"
    width: int = 96
    height: int = 64
    pts: Sequence[int] = tuple(range(0, 8 * 3000, 3000))
    time_base: Fraction = Fraction(1, 90000)
    rate: Fraction | None = Fraction(30)
    color: ColorSpec | None = None
    durations: Sequence[int | None] | None = None
    timecode: str | None = None
    audio: tuple[AudioTrack, ...] = ()
    aspect: Fraction | None = None
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def spec(self) -> ColorSpec:
        return self.color or (RGB if layout(self.pix_fmt).is_rgb else BT709)

    @property
    def info(self) -> StreamInfo:
        return StreamInfo(
            name="shot", width=self.width, height=self.height, pix_fmt=self.pix_fmt, color=self.spec,
            time_base=self.time_base, frame_rate=self.rate, bits=layout(self.pix_fmt).bits, audio=self.audio,
            start_timecode=self.timecode, sample_aspect_ratio=self.aspect, metadata=self.metadata,
        )  # fmt: skip

    def item(self, index: int, wants: str, *, wide: bool = False) -> MattedFrame | Composite:
        """What a sink that `wants` so much is handed for frame `index`."""
        shown = picture(self.pix_fmt, self.width, self.height, index)
        duration = self.durations[index] if self.durations else None
        frame = Frame(shown, Timestamp(self.pts[index], self.time_base), duration, index, self.spec)
        matted = MattedFrame(frame, Matte(alpha(self.width, self.height, index, wide=wide), shown))
        return Composite(shown, matted) if wants == "composite" else matted


def write(target: str | Path, shot: Shot, *, reporter: ListReporter | None = None, **settings: Any) -> Any:
    """Write a whole shot; returns the closed sink."""
    sink = start(target, shot, reporter=reporter, **settings)
    for index in range(len(shot.pts)):
        sink.write(shot.item(index, sink.wants, wide=sink.alpha_bits > 8))
    sink.close()
    return sink


def start(target: str | Path, shot: Shot, *, reporter: ListReporter | None = None, **settings: Any) -> Any:
    """An open sink for the shot."""
    sink = open_sink(
        str(target), settings=OutputSettings(**settings), info=shot.info, reporter=reporter or ListReporter()
    )
    sink.open(shot.info)
    return sink


def decode(path: str | Path, decoder: str | None = None) -> list[av.VideoFrame]:
    """All pictures of a file, by FFmpeg's default decoder or the named one."""
    found: list[av.VideoFrame] = []
    if str(path).endswith(".webp"):
        return [av.VideoFrame.from_ndarray(one, format="rgba") for one in webp_pictures(path)]
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context: Any = stream.codec_context
        if decoder is not None:
            context = av.CodecContext.create(decoder, "r")
            context.extradata = stream.codec_context.extradata
        for packet in container.demux(stream):
            found += context.decode(packet if packet.size else None)
    return found


def webp_pictures(path: str | Path) -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    """All pictures of an animated WebP as (H, W, 4) RGBA, by Pillow: FFmpeg 8.1 cannot decode it."""
    with Image.open(path) as animation:
        return [np.asarray(one.convert("RGBA")) for one in ImageSequence.Iterator(animation)]


def times(path: str | Path) -> list[Fraction]:
    """Presentation times of a file's pictures, exact, in order."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        base = Fraction(stream.time_base or 1)
        return sorted(packet.pts * base for packet in container.demux(stream) if packet.pts is not None)
