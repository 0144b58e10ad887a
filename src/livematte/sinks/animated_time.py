"""How long each picture of an animation stands, and what is said of animations before they are written.

Note [Delays]
    Animated pictures have no timestamps: each picture states how long it stands. So a picture's delay is known when the
    next one comes, the first picture is at 0, and a rounded delay must not add up. Both clocks here round the *end* of
    each picture, from the exact sum of what came before: the error never exceeds half a unit, however long the clip.
    APNG's delay is a fraction of two 16-bit numbers: exact for every usual rate and every source clock up to 65535 Hz,
    and for 90 kHz wherever the step reduces to it (3003/90000 = 1001/30000). WebP's is whole milliseconds.
    Browsers show a picture whose delay is 10 ms or less for 100 ms (Chromium, WebKit and Gecko alike).
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from livematte.frames import StreamInfo, Timestamp
from livematte.reporting import Reporter

_UINT16: Final = 65535
_SHORTEST_MS: Final = 10
_KEPT_DENOMINATOR: Final = 10**15
"""What rounding left over is carried on in units this fine: exact for all that matters, and it stays a small number."""
_LARGE_BYTES: Final = 100_000_000
_APNG_BYTES_A_PIXEL: Final = 0.5
"""Measured: 0.52 (compression_level 3) and 0.55 (1) for a person who fills the picture, 8 bits a channel."""


class Steps:
    """Turns the times of pictures into how long each stands."""

    def __init__(self, nominal_seconds: Fraction, *, reporter: Reporter) -> None:
        self._nominal = nominal_seconds
        self._reporter = reporter
        self._last: Fraction | None = None
        self._last_duration: Fraction | None = None

    def next(self, time: Timestamp, duration: int | None) -> Fraction | None:
        """Take the next picture's time; returns how long the one before stands, in seconds. None: it is the first."""
        now, before = Fraction(time.seconds), self._last
        if before is not None and now <= before:
            self._reporter.warn(
                "The input has frames that do not come after the one before; they are put one tick later, in order."
            )
            now = before + Fraction(time.time_base)
        self._last = now
        self._last_duration = duration * Fraction(time.time_base) if duration else None
        if before is None:
            return None
        if (now - before) * 1000 <= _SHORTEST_MS:
            self._reporter.note(
                "Some pictures stand for 10 ms or less, and browsers show such pictures for 100 ms. For the right "
                "speed there write the animation with --constant-rate 50 or less."
            )
        return now - before

    def end(self) -> Fraction:
        """How long the last picture stands: as long as its frame says, else as the nominal rate has it."""
        return self._last_duration or self._nominal


class Fractions:
    """Delays as APNG states them (Note [Delays])."""

    def __init__(self) -> None:
        self._owed = Fraction(0)

    def take(self, seconds: Fraction) -> tuple[int, int]:
        """(numerator, denominator) of a delay, both at most 65535."""
        wanted = max(Fraction(0), seconds + self._owed)
        largest = int(_UINT16 / wanted) if wanted > 1 else _UINT16
        given = min(wanted.limit_denominator(max(1, largest)), Fraction(_UINT16))
        self._owed = (wanted - given).limit_denominator(_KEPT_DENOMINATOR)
        return given.numerator, given.denominator


class Milliseconds:
    """Delays as WebP states them (Note [Delays])."""

    def __init__(self) -> None:
        self._end = Fraction(0)
        self._written = 0

    def take(self, seconds: Fraction) -> int:
        """A delay in ms, at least 1."""
        self._end += seconds
        given = min(max(1, round(self._end * 1000) - self._written), (1 << 24) - 1)
        self._written += given
        return given


def nominal_seconds(info: StreamInfo) -> Fraction:
    """Seconds a picture by the nominal rate; 1/25 where there is none."""
    return 1 / Fraction(info.frame_rate) if info.frame_rate else Fraction(1, 25)


def animation_notes(what: str, info: StreamInfo) -> tuple[str, ...]:
    """What animations cannot say: sentences for a person."""
    aspect = info.sample_aspect_ratio
    if aspect is not None and aspect != 1:
        return (f"The input's pixels are not square ({aspect}), and {what} cannot say so: it will look stretched.",)
    return ()


def size_notes(info: StreamInfo, bits: int) -> tuple[str, ...]:
    """The word about a large APNG, before it is written; the forecast of the run follows once pictures are there."""
    if info.frame_count is None:
        return ()
    size = int(info.frame_count * info.width * info.height * _APNG_BYTES_A_PIXEL * (3 if bits > 8 else 1))
    if size < _LARGE_BYTES:
        return ()
    return (
        f"{info.frame_count} pictures of {info.width}x{info.height} as APNG will take something like {size / 1e6:.0f} "
        "MB, and a browser unpacks every one of them. --format webp takes about a twentieth, webm less.",
    )
