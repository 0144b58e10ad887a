"""A camera's stamps made into times that only rise, and into the moment of capture on this machine's clock."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

_NS: Final = 1_000_000_000
_OLDEST_NS: Final = 10 * _NS
"""A stamp that lies further back than this is on another clock than ours."""
_JUMP_NS: Final = _NS


@dataclass(slots=True)
class CameraClock:
    """Times of a camera's frames. Pure: it is told when each read returned.

    Note [A camera's clock]
        Linux' drivers stamp a frame when it begins to arrive, nearly all of them (UVC's too) on CLOCK_MONOTONIC, which
        is `time.monotonic_ns()`; FFmpeg passes the stamp on in microseconds. So the stamp is the moment of capture
        where it lies in the ten seconds before the read returned; else that moment is taken, as on Windows and macOS,
        whose stamps count from elsewhere. Stamps also give the frames' times, as differences. A stamp that goes back,
        or gets ahead of the reads by more than a second, is a jump of the camera's clock: then the time between the
        reads counts. A reader that was late sees old stamps first and catches up: that is no jump.
    """

    time_base: Fraction
    nominal: int
    """Ticks a frame, where a stamp is missing; at least 1."""
    is_monotonic: bool
    """Stamps may be on `time.monotonic_ns()`'s clock."""
    jumps: int = 0
    _stamp: int | None = None
    _read_ns: int = 0
    _ticks: int = -1
    _youngest_ns: int | None = None
    """Least (read - stamp) so far: how far the two clocks lie apart."""

    def __call__(self, stamp: int | None, read_ns: int) -> tuple[int, int]:
        """(ticks since the first frame, moment of capture in ns) of the frame that says `stamp`."""
        return self._advance(stamp, read_ns), self._captured(stamp, read_ns)

    def _captured(self, stamp: int | None, read_ns: int) -> int:
        if stamp is None or not self.is_monotonic:
            return read_ns
        stamp_ns = int(stamp * self.time_base * _NS)
        return stamp_ns if read_ns - _OLDEST_NS <= stamp_ns <= read_ns else read_ns

    def _advance(self, stamp: int | None, read_ns: int) -> int:
        previous, last, last_read = self._stamp, self._ticks, self._read_ns
        age = None if stamp is None else read_ns - int(stamp * self.time_base * _NS)
        if last < 0:
            ticks = 0
        elif stamp is None or previous is None:
            ticks = last + self.nominal
        elif stamp <= previous or self._is_ahead(age):
            self.jumps += 1
            self._youngest_ns = None
            ticks = last + max(1, round(Fraction(read_ns - last_read, _NS) / self.time_base))
        else:
            ticks = last + stamp - previous
        if age is not None:
            self._youngest_ns = age if self._youngest_ns is None else min(self._youngest_ns, age)
        self._stamp = stamp if stamp is not None else previous
        self._read_ns, self._ticks = read_ns, ticks
        return ticks

    def _is_ahead(self, age: int | None) -> bool:
        return age is not None and self._youngest_ns is not None and age < self._youngest_ns - _JUMP_NS
