"""Times: what people write, timestamps that need repair, variable frame rates and SMPTE timecode.

Note [Drop-frame timecode]
    At 30000/1001 and 60000/1001 pictures a second, SMPTE ST 12-1:2014 leaves out the numbers 0 and 1 (0 to 3 at 60)
    at the start of each minute that is not a multiple of ten, so that the count follows the clock. No picture is
    dropped, only numbers. Such a timecode is written with a semicolon before the frames.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from livematte.config import InputSettings
from livematte.errors import UsageError

_CLOCK: Final = re.compile(r"(?:(?:(\d+):)?(\d{1,2}):)?(\d+(?:\.\d*)?|\.\d+)")
_TIMECODE: Final = re.compile(r"(\d{2}):(\d{2}):(\d{2})([:;.])(\d{2,3})")


def fraction(value: Any) -> Fraction | None:
    """PyAV's rational (a Fraction up to 18, an AVRational from 19) as a Fraction; None where it says nothing."""
    if value is None:
        return None
    num = getattr(value, "numerator", None)
    den = getattr(value, "denominator", None)
    if num is None or den is None:
        num, den = value.num, value.den
    return Fraction(int(num), int(den)) if num and den else None


def parse_time(text: str, option: str) -> Fraction:
    """`12.5` or `[hh:]mm:ss[.fraction]` as exact seconds; UsageError names the option."""
    found = _CLOCK.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"{option} is '{text}'; write seconds (12.5) or [hh:]mm:ss[.fraction], like 1:02:03.5.")
    hours, minutes, seconds = found.groups()
    return Fraction(int(hours or 0) * 3600 + int(minutes or 0) * 60) + Fraction(seconds.rstrip(".") or "0")


def parse_rate(text: str) -> Fraction:
    """`30`, `29.97` or `30000/1001` as an exact rate; 23.976, 29.97 and 59.94 mean the NTSC fractions."""
    ntsc = {"23.976": (24000, 1001), "23.98": (24000, 1001), "29.97": (30000, 1001), "59.94": (60000, 1001)}
    try:
        rate = Fraction(*ntsc[text.strip()]) if text.strip() in ntsc else Fraction(text.strip())
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not 0 < rate <= 1000:
        raise UsageError(f"'{text}' is not a frame rate; write 30, 23.976 or 30000/1001 (above 0, up to 1000).")
    return rate


@dataclass(frozen=True, slots=True)
class Window:
    """The part of the input that is wanted, in seconds from its beginning."""

    start: Fraction = Fraction(0)
    end: Fraction | None = None

    @classmethod
    def from_settings(cls, settings: InputSettings) -> Window:
        """From `--start` and `--end`; UsageError where they are unreadable or leave nothing."""
        start = parse_time(settings.start, "--start") if settings.start is not None else Fraction(0)
        end = parse_time(settings.end, "--end") if settings.end is not None else None
        if end is not None and end <= start:
            raise UsageError(f"--end ({settings.end}) must lie after --start ({settings.start or 0}).")
        return cls(start, end)

    def holds(self, seconds: Fraction) -> bool:
        """True for a picture that starts at this moment of the input."""
        return seconds >= self.start and (self.end is None or seconds < self.end)

    @property
    def is_whole(self) -> bool:
        """True where nothing is cut away."""
        return self.start == 0 and self.end is None


@dataclass(slots=True)
class Repair:
    """Gives every picture a time that lies after the one before it, and counts what had to be made up."""

    nominal: int
    """Ticks a frame, for pictures without a time; at least 1."""
    previous: int | None = None
    missing: int = 0
    backward: int = 0

    def __call__(self, pts: int | None) -> int:
        """The time to use for a picture that says `pts`.

        A missing time follows the previous one at the nominal rate. One that does not increase is set a single
        tick after its predecessor, so that the times that follow stay their own.
        """
        if pts is None:
            self.missing += 1
            pts = 0 if self.previous is None else self.previous + self.nominal
        elif self.previous is not None and pts <= self.previous:
            self.backward += 1
            pts = self.previous + 1
        self.previous = pts
        return pts


def is_variable(times: Sequence[int], time_base: Fraction) -> bool:
    """True where the gaps between these times (sorted, in ticks) differ by more than rounding explains.

    Rounding: one tick (Matroska's milliseconds turn 30 frames a second into gaps of 33 and 34), or 1 % of a gap.
    """
    gaps = sorted(later - earlier for earlier, later in itertools.pairwise(times) if later > earlier)
    if len(gaps) < 3:
        return False
    middle = gaps[len(gaps) // 2]
    tolerance = max(Fraction(1), Fraction(middle, 100))
    return gaps[-1] - gaps[0] > tolerance and (gaps[-1] - gaps[0]) * time_base > Fraction(1, 2000)


# --- SMPTE timecode: Note [Drop-frame timecode] ---


def timecode_to_frames(timecode: str, rate: Fraction) -> int | None:
    """Number of the picture that carries this timecode, counted from 00:00:00:00; None for what is no timecode."""
    found = _TIMECODE.fullmatch(timecode.strip())
    if found is None:
        return None
    hours, minutes, seconds, frames = (int(found[i]) for i in (1, 2, 3, 5))
    nominal = _nominal(rate)
    count = ((hours * 60 + minutes) * 60 + seconds) * nominal + frames
    if found[4] == ":":
        return count
    total_minutes = hours * 60 + minutes
    return count - _dropped_a_minute(nominal) * (total_minutes - total_minutes // 10)


def frames_to_timecode(count: int, rate: Fraction, *, drop: bool) -> str:
    """Timecode of picture `count`, counted from 00:00:00:00; it wraps after 24 hours."""
    nominal = _nominal(rate)
    if drop:
        dropped = _dropped_a_minute(nominal)
        a_minute = nominal * 60 - dropped
        ten_minutes = a_minute * 10 + dropped
        count %= ten_minutes * 6 * 24
        tens, rest = divmod(count, ten_minutes)
        count += dropped * 9 * tens
        if rest >= nominal * 60:
            count += dropped * ((rest - nominal * 60) // a_minute + 1)
    else:
        count %= nominal * 86400
    seconds, frames = divmod(count, nominal)
    digits = 3 if nominal > 100 else 2
    mark = ";" if drop else ":"
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{mark}{frames:0{digits}}"


def shift_timecode(timecode: str, seconds: Fraction, rate: Fraction) -> str | None:
    """The timecode `seconds` later; None for what is no timecode."""
    count = timecode_to_frames(timecode, rate)
    if count is None:
        return None
    drop = ":" not in timecode.strip()[8:9]
    return frames_to_timecode(count + round(seconds * rate), rate, drop=drop)


def _nominal(rate: Fraction) -> int:
    """Pictures that a second of timecode counts: 30 for 30000/1001."""
    return max(1, round(rate))


def _dropped_a_minute(nominal: int) -> int:
    return 4 if nominal == 60 else 2
