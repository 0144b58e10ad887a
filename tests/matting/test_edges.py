"""Edge controls: nothing by default, and px that mean px."""

from __future__ import annotations

import numpy as np
import pytest
from formula_pictures import disc
from hypothesis import given
from hypothesis import strategies as st

from livematte.errors import UsageError
from livematte.matting.edges import Edges, move_edge, soften, stretch_levels


def radius_of(alpha: np.ndarray) -> float:
    """Radius of a disc by its area."""
    return float(np.sqrt(alpha.astype(np.float64).sum() / np.iinfo(alpha.dtype).max / np.pi))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_defaults_give_back_the_very_array(dtype: type) -> None:
    alpha = disc(90, 120, dtype=dtype)
    assert Edges().is_neutral
    assert Edges().apply(alpha) is alpha


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("px", [0.25, 0.5, 1.0, 2.5, 7.0, 20.0])
@pytest.mark.parametrize("sign", [1, -1])
def test_shrink_moves_the_edge_by_px(px: float, sign: int, dtype: type) -> None:
    alpha = disc(400, 400, radius=100, soft_px=8, dtype=dtype)
    moved = radius_of(alpha) - radius_of(move_edge(alpha, sign * px))
    assert moved == pytest.approx(sign * px, abs=0.1 + 0.06 * px)


def test_shrink_is_round() -> None:
    """The edge moves the same way along the axes and the diagonals (a square would be off by 41 %)."""
    moved = move_edge(disc(400, 400, radius=100, soft_px=1), 20) > 127
    middle = 199.5
    y, x = np.nonzero(moved)
    angles, reach = np.arctan2(y - middle, x - middle), np.hypot(y - middle, x - middle)
    by_direction = [reach[np.abs(angles - a) < 0.02].max() for a in np.linspace(-3, 3, 25)]
    assert max(by_direction) - min(by_direction) < 3


def test_px_are_px_at_1080_lines() -> None:
    small, large = disc(270, 270, radius=60, soft_px=4), disc(540, 540, radius=120, soft_px=8)
    controls = Edges(shrink_px=8)
    moved = [radius_of(a) - radius_of(controls.apply(a)) for a in (small, large)]
    assert moved == pytest.approx([2, 4], abs=0.4)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("px", [2.0, 6.0, 20.0])
def test_feather_softens_about_px_and_keeps_the_edge(px: float, dtype: type) -> None:
    peak = np.iinfo(dtype).max
    step = np.zeros((64, 400), dtype)
    step[:, 200:] = peak
    row = soften(step, px)[32].astype(np.float64) / peak
    assert row[200 - round(px / 2)] + row[199 + round(px / 2)] == pytest.approx(
        1, abs=0.02
    )  # the half stays where it was
    assert row[199 - round(px)] < 0.06
    assert row[200 - max(1, round(px / 4))] > 0.2


def test_levels_by_hand() -> None:
    alpha = np.array([[0, 51, 102, 153, 204, 255]], np.uint8)
    assert stretch_levels(alpha, 0.2, 0.8).tolist() == [[0, 0, 85, 170, 255, 255]]
    wide = alpha.astype(np.uint16) * 257
    assert stretch_levels(wide, 0.2, 0.8).tolist() == [[0, 0, 21845, 43690, 65535, 65535]]


@given(st.floats(0, 0.9), st.floats(0.05, 0.1))
def test_levels_never_turn_around(black: float, span: float) -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    stretched = stretch_levels(ramp, black, black + span).ravel().astype(int)
    assert (np.diff(stretched) >= 0).all()
    assert stretched[0] == 0
    assert stretched[255] == 255


@pytest.mark.parametrize("levels", [(0.5, 0.5), (0.8, 0.2), (-0.1, 1.0), (0.0, 1.1), (float("nan"), 1.0)])
def test_levels_that_cannot_be_are_said(levels: tuple[float, float]) -> None:
    with pytest.raises(UsageError, match="--levels needs 0 <= BLACK < WHITE <= 1"):
        Edges(0, 0, *levels)


def test_order_is_levels_shrink_feather() -> None:
    alpha = disc(270, 270, radius=60, soft_px=20)
    controls = Edges(shrink_px=8, feather_px=4, black=0.1, white=0.9)
    by_hand = soften(move_edge(stretch_levels(alpha, 0.1, 0.9), 2), 1)
    assert np.array_equal(controls.apply(alpha), by_hand)
