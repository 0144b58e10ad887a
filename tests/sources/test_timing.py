from __future__ import annotations

from fractions import Fraction

import pytest

from livematte.config import InputSettings
from livematte.errors import UsageError
from livematte.sources.timing import (
    Repair,
    Window,
    fraction,
    frames_to_timecode,
    is_variable,
    parse_rate,
    parse_time,
    shift_timecode,
    timecode_to_frames,
)

NTSC = Fraction(30000, 1001)


class AVRational:
    """What PyAV 19 gives."""

    def __init__(self, num: int, den: int) -> None:
        self.num, self.den = num, den


@pytest.mark.parametrize(
    ("value", "want"),
    [
        (Fraction(1, 90000), Fraction(1, 90000)), (AVRational(30000, 1001), NTSC), (AVRational(0, 1), None),
        (None, None), (AVRational(1, 0), None),
    ],
)  # fmt: skip
def test_rationals_of_every_pyav_become_fractions(value: object, want: Fraction | None) -> None:
    assert fraction(value) == want


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("12.5", Fraction(25, 2)), ("0", Fraction(0)), ("1:02", Fraction(62)), ("01:02:03.25", Fraction(14893, 4)),
        (".5", Fraction(1, 2)), ("90", Fraction(90)), ("0:00:01.", Fraction(1)),
    ],
)  # fmt: skip
def test_times_are_exact(text: str, seconds: Fraction) -> None:
    assert parse_time(text, "--start") == seconds


@pytest.mark.parametrize("text", ["", "abc", "-1", "1:2:3:4", "1e3", "12,5"])
def test_an_unreadable_time_names_the_option(text: str) -> None:
    with pytest.raises(UsageError, match="--end"):
        parse_time(text, "--end")


@pytest.mark.parametrize(
    ("text", "rate"), [("24", Fraction(24)), ("23.976", Fraction(24000, 1001)), ("30000/1001", NTSC), ("29.97", NTSC)]
)
def test_rates(text: str, rate: Fraction) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["0", "-5", "abc", "1/0", "2000"])
def test_impossible_rates(text: str) -> None:
    with pytest.raises(UsageError, match="frame rate"):
        parse_rate(text)


def test_the_window_is_half_open() -> None:
    window = Window.from_settings(InputSettings(start="1", end="2"))
    assert [window.holds(Fraction(n, 2)) for n in range(6)] == [False, False, True, True, False, False]
    assert Window.from_settings(InputSettings()).is_whole


def test_a_window_that_holds_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="after --start"):
        Window.from_settings(InputSettings(start="2", end="2"))


def test_missing_times_follow_and_backward_ones_move_one_tick() -> None:
    repair = Repair(nominal=10)
    assert [repair(pts) for pts in (5, None, 25, 25, 24, 40)] == [5, 15, 25, 26, 27, 40]
    assert (repair.missing, repair.backward) == (1, 2)


@pytest.mark.parametrize(
    ("times", "base", "variable"),
    [
        ([0, 33, 67, 100, 133, 167, 200], Fraction(1, 1000), False),
        ([0, 3753, 7507, 11261, 15015], Fraction(1, 90000), False),
        ([0, 20, 50, 60, 110], Fraction(1, 600), True),
        ([0, 512, 1024, 1536, 2560], Fraction(1, 12800), True),
        ([0, 512], Fraction(1, 12800), False),
        ([], Fraction(1, 1000), False),
    ],
)
def test_rounding_is_not_taken_for_a_variable_rate(times: list[int], base: Fraction, variable: bool) -> None:
    assert is_variable(times, base) is variable


@pytest.mark.parametrize(
    ("timecode", "count", "rate"),
    [
        ("00:00:00:00", 0, Fraction(25)),
        ("01:00:00:00", 90000, Fraction(25)),
        ("00:00:59;29", 1799, NTSC),
        ("00:01:00;02", 1800, NTSC),
        ("00:02:00;02", 3598, NTSC),
        ("00:10:00;00", 17982, NTSC),
        ("01:00:00;00", 107892, NTSC),
        ("23:59:59;29", 2589407, NTSC),
        ("00:01:00;04", 3600, Fraction(60000, 1001)),
        ("01:00:00:00", 108000, NTSC),
    ],
)
def test_timecode_counts_as_smpte_says(timecode: str, count: int, rate: Fraction) -> None:
    assert timecode_to_frames(timecode, rate) == count
    assert frames_to_timecode(count, rate, drop=";" in timecode) == timecode


def test_every_drop_frame_number_of_an_hour_comes_back() -> None:
    for count in range(0, 107892, 13):
        written = frames_to_timecode(count, NTSC, drop=True)
        assert timecode_to_frames(written, NTSC) == count
        minutes, frames = int(written[3:5]), int(written[9:])
        assert not (minutes % 10 and written[6:8] == "00" and frames < 2)


def test_timecode_shifts_with_the_start_and_wraps_at_midnight() -> None:
    assert shift_timecode("10:00:00:00", Fraction(5, 2), Fraction(24)) == "10:00:02:12"
    assert shift_timecode("00:00:59;29", 1 / NTSC, NTSC) == "00:01:00;02"
    assert shift_timecode("23:59:59:24", Fraction(1, 25), Fraction(25)) == "00:00:00:00"
    assert shift_timecode("not a timecode", Fraction(1), Fraction(25)) is None
