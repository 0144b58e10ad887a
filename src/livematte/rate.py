"""A constant frame rate out of any timestamps: frames are repeated or dropped, and counted."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Final

from livematte.frames import MattedFrame, StreamInfo, Timestamp
from livematte.sources.timing import parse_rate

_STANDARD: Final = tuple(
    Fraction(*rate)
    for rate in ((24000, 1001), (24,), (25,), (30000, 1001), (30,), (48,), (50,), (60000, 1001), (60,), (100,), (120,))
)
_NEAR: Final = Fraction(1, 20)


def constant_rate(text: str, info: StreamInfo | None = None) -> Fraction:
    """The rate that `--constant-rate` asks for: a number, or `auto` for the source's nominal rate, else 30.

    A variable source's nominal rate is its mean (29.87), which no editor has: `auto` takes the standard rate within 5 %
    of it. Decimal NTSC rates (23.976, 29.97, 59.94) are their exact fractions. UsageError for what is not a rate.
    """
    if text != "auto":
        return parse_rate(text)
    mean = (info.frame_rate if info is not None else None) or Fraction(30)
    if info is None or not info.is_variable_rate:
        return mean
    nearest = min(_STANDARD, key=lambda rate: abs(rate - mean))
    return nearest if abs(nearest - mean) <= _NEAR * mean else mean


class ConstantRate:
    """Maps frames onto the grid `first + n / rate`: each grid point shows the newest frame at that time.

    Works on matted frames, so that smoothing in time sees every frame of the source. Half a grid step of tolerance
    keeps a source that jitters around the rate from being dropped and repeated in turns.
    """

    def __init__(self, rate: Fraction) -> None:
        self.rate = rate
        self.repeated = 0
        self.dropped = 0
        self._first: Fraction | None = None
        self._held: MattedFrame | None = None
        self._emitted = 0

    def push(self, matted: MattedFrame) -> list[MattedFrame]:
        """Take a frame; give back the copies of the one before that fill the grid up to it."""
        moment = matted.frame.time.seconds
        if self._first is None:
            self._first = moment
        held, self._held = self._held, matted
        return [] if held is None else self._fill(held, until=round((moment - self._first) * self.rate))

    def flush(self) -> list[MattedFrame]:
        """The end: the last frame, for as long as it lasts."""
        held, self._held = self._held, None
        if held is None or self._first is None:
            return []
        frame = held.frame
        lasts = (frame.duration or 0) * frame.time.time_base
        end = round((frame.time.seconds + lasts - self._first) * self.rate)
        return self._fill(held, until=max(end, self._emitted + (self._emitted == 0)))

    def _fill(self, held: MattedFrame, *, until: int) -> list[MattedFrame]:
        numbers = range(self._emitted, until)
        self._emitted = max(self._emitted, until)
        if not numbers:
            self.dropped += 1
            return []
        self.repeated += len(numbers) - 1
        return [self._at(held, number) for number in numbers]

    def _at(self, held: MattedFrame, number: int) -> MattedFrame:
        assert self._first is not None
        time_base = 1 / self.rate
        offset = round(self._first / time_base)
        stamped = replace(held.frame, time=Timestamp(offset + number, time_base), duration=1, index=number)
        return MattedFrame(stamped, held.matte)
