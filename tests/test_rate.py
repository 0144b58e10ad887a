"""Constant rate out of any timestamps."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livematte.color import ColorSpec
from livematte.errors import UsageError
from livematte.frames import Frame, Matte, MattedFrame, StreamInfo, Timestamp
from livematte.planes import new_picture
from livematte.rate import ConstantRate, constant_rate

PICTURE = new_picture("yuv420p", 2, 2)
ALPHA = np.zeros((2, 2), np.uint8)


def matted(index: int, pts: int, duration: int) -> MattedFrame:
    frame = Frame(PICTURE, Timestamp(pts, Fraction(1, 1000)), duration, index, ColorSpec("bt709", "tv"))
    return MattedFrame(frame, Matte(ALPHA))


def info(rate: Fraction, *, variable: bool = False) -> StreamInfo:
    color = ColorSpec("bt709", "tv")
    return StreamInfo("clip", 2, 2, "yuv420p", color, Fraction(1, 1000), rate, is_variable_rate=variable)


@pytest.mark.parametrize(
    ("text", "rate"),
    [("25", Fraction(25)), ("29.97", Fraction(30000, 1001)), ("23.976", Fraction(24000, 1001)),
     ("30000/1001", Fraction(30000, 1001)), ("12.5", Fraction(25, 2)), ("auto", Fraction(48))],
)  # fmt: skip
def test_rates_are_exact(text: str, rate: Fraction) -> None:
    assert constant_rate(text, info(Fraction(48))) == rate


@pytest.mark.parametrize(
    ("mean", "rate"),
    [("29.87", Fraction(30000, 1001)), ("30.02", Fraction(30)), ("23.7", Fraction(24000, 1001)), ("59.2", None),
     ("18.5", Fraction(37, 2)), ("25.4", Fraction(25))],
)  # fmt: skip
def test_auto_takes_a_rate_that_editors_have_for_a_variable_source(mean: str, rate: Fraction | None) -> None:
    assert constant_rate("auto", info(Fraction(mean), variable=True)) == (rate or Fraction(60000, 1001))
    assert constant_rate("auto", info(Fraction(mean))) == Fraction(mean)


@pytest.mark.parametrize("text", ["0", "-3", "many", "1/0", "100000"])
def test_a_rate_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a frame rate"):
        constant_rate(text)


@given(st.lists(st.integers(1, 200), min_size=1, max_size=60), st.sampled_from([5, 24, 30, 60]), st.integers(0, 5000))
def test_the_grid_has_no_gap_and_the_clip_keeps_its_length(steps: list[int], whole: int, first: int) -> None:
    rate = ConstantRate(Fraction(whole))
    out: list[MattedFrame] = []
    pts = first
    for index, step in enumerate(steps):
        out += rate.push(matted(index, pts, step))
        pts += step
    out += rate.flush()
    times = [one.frame.time for one in out]
    assert all(b.pts - a.pts == 1 for a, b in pairwise(times))
    assert abs(len(out) * Fraction(1, whole) - Fraction(sum(steps), 1000)) <= Fraction(1, whole)
    assert len(out) == len(steps) + rate.repeated - rate.dropped
