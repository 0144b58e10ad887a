"""What a camera offers, and which of it is asked for: size, rate, and raw or compressed pictures.

Note [Choosing a mode]
    What was asked for (`--camera-size`, `--camera-rate`, `--camera-format`) must be there, else it is an error that
    lists what is; `~1920x1080` asks for that size or what is next. What was not asked for: 1280x720 at 30, or what is
    next to it. A rate below 24 weighs more than any size, because a slow picture is what people see first. At the same
    size and rate raw comes before MJPEG: it costs no decoding and has no blocks. USB 2 carries about 24 MB/s of
    pictures: raw 720p (2 bytes a pixel) at 13 a second; so drivers offer raw 720p at 5 or 10, and MJPEG is then what
    has the rate.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from livematte.config import LiveSettings
from livematte.errors import SourceError, UsageError
from livematte.sources.timing import parse_rate

COMPRESSED: Final = ("mjpeg", "h264", "hevc", "mpeg4")
"""Codecs that cameras send; every other format name is a raw pixel format."""
_PREFERENCE: Final = ("nv12", "yuyv422", "uyvy422", "yuv420p", "yuv422p", "yvyu422", "nv21", "mjpeg", "rgb24", "bgr24")
"""Raw YUV, MJPEG, raw RGB, then all others: H.264 lags by frames, grey is an infrared sensor's."""
_TARGET: Final = (1280, 720)
DEFAULT_RATE: Final = Fraction(30)
_SIZE: Final = re.compile(r"(~?)\s*(\d{2,5})\s*[xX*]\s*(\d{2,5})")
_DSHOW: Final = re.compile(
    r"(?:pixel_format=(?P<raw>\w+)|vcodec=(?P<codec>\w+))\s+"
    r"min s=(?P<w0>\d+)x(?P<h0>\d+) fps=(?P<r0>[\d.]+)\s+max s=(?P<w1>\d+)x(?P<h1>\d+) fps=(?P<r1>[\d.]+)"
)
_AVFOUNDATION: Final = re.compile(r"(\d+)x(\d+)@\[([\d.]+) ([\d.]+)\]fps")


@dataclass(frozen=True, slots=True, order=True)
class Mode:
    """One picture format at one size and one rate."""

    width: int
    height: int
    rate: Fraction
    """Pictures a second."""
    format: str
    """FFmpeg's name of a pixel format (`yuyv422`) or a codec (`mjpeg`); empty: the system converts to any."""

    @property
    def is_compressed(self) -> bool:
        return self.format in COMPRESSED

    def __str__(self) -> str:
        name = f", {format_words(self.format)}" if self.format else ""
        return f"{self.width}x{self.height} at {rate_words(self.rate)}{name}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the person asked of the camera; None: nothing in particular."""

    size: tuple[int, int] | None = None
    rate: Fraction | None = None
    format: str | None = None
    near: bool = False
    """`~1920x1080`: that size or what is next to it."""

    @property
    def is_soft(self) -> bool:
        """True where any mode will do in the end."""
        return (self.size is None or self.near) and self.rate is None and self.format is None

    @classmethod
    def of(cls, settings: LiveSettings) -> Wanted:
        """From `--camera-size`, `--camera-rate` and `--camera-format`; UsageError where one cannot be read."""
        size, near = None, False
        if settings.camera_size is not None:
            found = _SIZE.fullmatch(settings.camera_size.strip())
            if found is None:
                raise UsageError(
                    f"--camera-size is '{settings.camera_size}'; write WIDTHxHEIGHT, such as 1280x720, or "
                    "~WIDTHxHEIGHT for that size or what is next to it."
                )
            size, near = (int(found[2]), int(found[3])), bool(found[1])
        rate = parse_rate(settings.camera_rate) if settings.camera_rate is not None else None
        name = settings.camera_format.strip().lower() if settings.camera_format is not None else None
        return cls(size, rate, _ALIASES.get(name, name) if name else None, near)


_ALIASES: Final = {
    "yuyv": "yuyv422", "yuy2": "yuyv422", "uyvy": "uyvy422", "mjpg": "mjpeg", "jpeg": "mjpeg", "i420": "yuv420p",
    "yu12": "yuv420p", "h.264": "h264", "grey": "gray",
}  # fmt: skip
"""What people call formats -> FFmpeg's name."""


def choose_mode(modes: Iterable[Mode], wanted: Wanted, camera: str) -> Mode | None:
    """The best of `modes` (Note [Choosing a mode]); None where there are none to choose from.

    SourceError where nothing has what was asked for; it lists what the camera named `camera` has.
    """
    offered = list(modes)
    if not offered:
        return None
    fitting = [mode for mode in offered if _fits(mode, wanted)]
    if not fitting:
        asked = " ".join(
            part
            for part in (
                f"{wanted.size[0]}x{wanted.size[1]}" if wanted.size else "",
                f"at {rate_words(wanted.rate)}" if wanted.rate else "",
                f"in {format_words(wanted.format)}" if wanted.format else "",
            )
            if part
        )
        raise SourceError(
            f"{camera} cannot give {asked}. It has: {modes_words(offered)}. Choose one of these with --camera-size, "
            "--camera-rate and --camera-format, or leave them out."
        )
    return min(fitting, key=lambda mode: _cost(mode, wanted))


def _fits(mode: Mode, wanted: Wanted) -> bool:
    if wanted.size is not None and not wanted.near and (mode.width, mode.height) != wanted.size:
        return False
    if wanted.format is not None and mode.format and mode.format != wanted.format:
        return False
    return wanted.rate is None or _same_rate(mode.rate, wanted.rate)


def _same_rate(one: Fraction, other: Fraction) -> bool:
    """29.97 is 30 here: drivers round."""
    return abs(one - other) <= other / 100


def _cost(mode: Mode, wanted: Wanted) -> tuple[float, ...]:
    width, height = wanted.size or _TARGET
    rate = wanted.rate or DEFAULT_RATE
    area = abs(math.log2(mode.width * mode.height / (width * height)))
    shape = abs(math.log2(mode.width * height / (mode.height * width)))
    grey = mode.format.startswith("gray")
    name = _PREFERENCE.index(mode.format) if mode.format in _PREFERENCE else len(_PREFERENCE)
    slow = (mode.rate < 15) * 2 + (mode.rate < 24)
    return (grey, slow, area + shape, float(abs(mode.rate - rate)), name)


def rate_words(rate: Fraction) -> str:
    """`30`, `29.97`."""
    return f"{float(rate):.2f}".rstrip("0").rstrip(".")


def format_words(name: str) -> str:
    """What the format is called in messages: `MJPEG`, `YUYV`, `NV12`."""
    known = {"yuyv422": "YUYV", "uyvy422": "UYVY", "yvyu422": "YVYU", "h264": "H.264", "gray": "grey"}
    return known.get(name, name if name.startswith("yuv") else name.upper())


def modes_words(modes: Sequence[Mode]) -> str:
    """The offered modes, short: `1280x720 at 30 (MJPEG) or 10 (YUYV), 640x480 at 30 (MJPEG, YUYV)`."""
    sizes: dict[tuple[int, int], dict[str, list[str]]] = {}
    for mode in sorted(modes, key=lambda one: (-one.width * one.height, -one.rate, one.format)):
        rates = sizes.setdefault((mode.width, mode.height), {})
        names = rates.setdefault(rate_words(mode.rate), [])
        word = format_words(mode.format) if mode.format else ""
        if word not in names:
            names.append(word)
    parts = []
    for (width, height), rates in sizes.items():
        best: dict[str, str] = {}
        for rate, names in rates.items():  # falling rates: the first one that a format comes with is its fastest
            for name in names:
                best.setdefault(name, rate)
        by_rate: dict[str, list[str]] = {}
        for name, rate in best.items():
            by_rate.setdefault(rate, []).append(name)
        words = (f"{rate} ({', '.join(names)})" if names != [""] else rate for rate, names in by_rate.items())
        parts.append(f"{width}x{height} at {' or '.join(words)}")
    return ", ".join(parts)


# --- what FFmpeg's Windows and macOS devices log ---


def parse_dshow_modes(lines: Iterable[str]) -> list[Mode]:
    """The lines of dshow's `list_options`: `vcodec=mjpeg  min s=1280x720 fps=5 max s=1280x720 fps=30`."""
    modes: set[Mode] = set()
    for line in lines:
        for found in _DSHOW.finditer(line):
            name = found["raw"] or found["codec"]
            smallest = (int(found["w0"]), int(found["h0"]))
            largest = (int(found["w1"]), int(found["h1"]))
            slowest, fastest = (_decimal_rate(found[key]) for key in ("r0", "r1"))
            for width, height in _sizes_within(smallest, largest):
                modes.update(Mode(width, height, rate, name) for rate in rates_within(slowest, fastest))
    return sorted(modes)


def parse_avfoundation_modes(lines: Iterable[str]) -> list[Mode]:
    """AVFoundation's answer to a mode that is not there: `  1280x720@[15.000000 30.000000]fps`.

    FFmpeg takes only a range's fastest rate there.
    """
    modes = {
        Mode(int(found[1]), int(found[2]), _decimal_rate(found[4]), "")
        for line in lines
        for found in _AVFOUNDATION.finditer(line)
    }
    return sorted(modes)


def _decimal_rate(text: str) -> Fraction:
    """`30.000030` is 30: the systems count in 100 ns; 29.97 is the NTSC fraction."""
    value = Fraction(text)
    for exact in (Fraction(round(value)), Fraction(round(value) * 1000, 1001)):
        if exact and abs(value - exact) < Fraction(1, 200):
            return exact
    return value.limit_denominator(1001)


def _sizes_within(smallest: tuple[int, int], largest: tuple[int, int]) -> list[tuple[int, int]]:
    if smallest == largest:
        return [largest]
    return sizes_within((*smallest, 2), (*largest, 2))


_USUAL_SIZES: Final = (
    (320, 240), (640, 360), (640, 480), (960, 540), (1280, 720), (1280, 960), (1920, 1080), (2560, 1440), (3840, 2160),
)  # fmt: skip
_USUAL_RATES: Final = (15, 24, 25, 30, 50, 60)


def sizes_within(smallest: tuple[int, int, int], largest: tuple[int, int, int]) -> list[tuple[int, int]]:
    """The usual sizes in a range; (width, height, step) of both ends. The ends are in it."""
    (w0, h0, step_x), (w1, h1, step_y) = (smallest[0], smallest[1], smallest[2]), largest
    inside = [
        (width, height)
        for width, height in _USUAL_SIZES
        if w0 <= width <= w1 and h0 <= height <= h1
        if (width - w0) % max(1, step_x) == 0 and (height - h0) % max(1, step_y) == 0
    ]
    return sorted({(w0, h0), *inside, (w1, h1)})


def rates_within(slowest: Fraction, fastest: Fraction) -> list[Fraction]:
    """The usual rates in a range, and its ends."""
    if fastest <= 0:
        return []
    inside = [Fraction(rate) for rate in _USUAL_RATES if slowest <= rate <= fastest]
    return sorted({*([slowest] if slowest > 0 else []), *inside, fastest})
