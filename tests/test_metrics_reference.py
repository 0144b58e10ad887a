"""The metrics against plain float64 transcriptions of the papers' formulas, the band, and flicker along the motion."""

from __future__ import annotations

import math
from collections import deque

import cv2
import numpy as np
import pytest

from livematte import metrics
from livematte.errors import UsageError


def soft(seed: int, height: int = 14, width: int = 17) -> np.ndarray:
    """Alpha with solid, empty and soft parts: noise, blurred and stretched."""
    plane = cv2.GaussianBlur(np.random.default_rng(seed).random((height, width)), (0, 0), 1.6)
    return np.clip((plane - plane.mean()) * 4 + 0.5, 0, 1).astype(np.float32)


# -- transcriptions ------------------------------------------------------------------------------------------------


def reference_gradient(alpha: np.ndarray, sigma: float = 1.4) -> np.ndarray:
    """Rhemann 2009: length of the gradient by Gaussian derivatives, filters of length 1, borders repeated."""
    half = math.ceil(sigma * math.sqrt(-2 * math.log(math.sqrt(2 * math.pi) * sigma * 1e-2)))
    taps = range(-half, half + 1)
    gauss = {x: math.exp(-(x**2) / (2 * sigma**2)) / (sigma * math.sqrt(2 * math.pi)) for x in taps}
    kernel = {(x, y): -x / sigma**2 * gauss[x] * gauss[y] for x in taps for y in taps}
    length = math.sqrt(sum(value**2 for value in kernel.values()))
    height, width = alpha.shape
    strength = np.zeros(alpha.shape)
    for row in range(height):
        for column in range(width):
            across = down = 0.0
            for (x, y), value in kernel.items():
                at_row, at_column = np.clip(row + y, 0, height - 1), np.clip(column + x, 0, width - 1)
                across += value / length * float(alpha[at_row, at_column])
                at_row, at_column = np.clip(row + x, 0, height - 1), np.clip(column + y, 0, width - 1)
                down += value / length * float(alpha[at_row, at_column])
            strength[row, column] = math.hypot(across, down)
    return strength


def largest_part(mask: np.ndarray) -> np.ndarray:
    """Breadth-first search over four neighbours."""
    best: set[tuple[int, int]] = set()
    left = {(int(r), int(c)) for r, c in np.argwhere(mask)}
    while left:
        start = min(left)
        part, queue = {start}, deque([start])
        while queue:
            row, column = queue.popleft()
            for near in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
                if near in left and near not in part:
                    part.add(near)
                    queue.append(near)
        left -= part
        best = max(best, part, key=len)
    found = np.zeros(mask.shape, bool)
    for place in best:
        found[place] = True
    return found


def reference_phi(predicted: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rhemann 2009: l is the highest level up to which a pixel belongs to the source region, lambda 1, theta 0.15."""
    levels = np.zeros(true.shape)
    belongs = np.ones(true.shape, bool)
    for step in range(1, 11):
        level = np.float32(step / 10)
        belongs &= largest_part((predicted >= level) & (true >= level))
        levels[belongs] = step / 10
    phis = []
    for alpha in (predicted, true):
        distance = np.float32(alpha) - np.float32(levels)
        phis.append(1 - distance.astype(np.float64) * (distance >= np.float32(0.15)))
    return phis[0], phis[1]


@pytest.mark.parametrize("seed", range(4))
def test_frame_metrics_are_the_papers_formulas(seed: int) -> None:
    a, b = soft(seed), soft(seed + 100)
    x, y = a.astype(np.float64), b.astype(np.float64)
    region = np.random.default_rng(seed).random(a.shape) < 0.3
    phi_a, phi_b = reference_phi(a, b)
    maps = {
        metrics.sad: (np.abs(x - y) / 1e3, "sum"),
        metrics.mad: (np.abs(x - y) * 1e3, "mean"),
        metrics.mse: ((x - y) ** 2 * 1e3, "mean"),
        metrics.grad: ((reference_gradient(x) - reference_gradient(y)) ** 2 / 1e3, "sum"),
        metrics.conn: (np.abs(phi_a - phi_b) / 1e3, "sum"),
    }
    for measure, (expected, how) in maps.items():
        assert measure(a, b) == pytest.approx(getattr(np, how)(expected), rel=2e-5), measure.__name__
        inside = expected[region]
        assert measure(a, b, region=region) == pytest.approx(getattr(np, how)(inside), rel=2e-5), measure.__name__


@pytest.mark.parametrize("seed", range(3))
def test_dtssd_is_the_papers_formula(seed: int) -> None:
    a, last_a, b, last_b = (soft(seed * 4 + number) for number in range(4))
    squares = ((a.astype(float) - last_a) - (b.astype(float) - last_b)) ** 2
    region = np.random.default_rng(seed).random(a.shape) < 0.3
    assert metrics.dtssd(a, last_a, b, last_b) == pytest.approx(1e2 * math.sqrt(squares.mean()), rel=1e-5)
    assert metrics.dtssd(a, last_a, b, last_b, region=region) == pytest.approx(
        1e2 * math.sqrt(squares[region].mean()), rel=1e-5
    )


def test_conn_on_a_4x4_worked_out_by_hand() -> None:
    """Truth: the left half. Prediction: the left column is 1, the second 0.5.

    Both reach 1 in the left column, and 0.5 in the second: its level is 0.5. There phi(0.5) = 1 and
    phi*(1) = 1 - (1 - 0.5) = 0.5, in four pixels; everything else agrees: 2.
    """
    true = np.zeros((4, 4), np.float32)
    true[:, :2] = 1
    predicted = true.copy()
    predicted[:, 1] = 0.5
    assert metrics.conn(predicted, true) == pytest.approx(2 / 1e3)
    left = np.zeros((4, 4), bool)
    left[:2] = True
    assert metrics.conn(predicted, true, region=left) == pytest.approx(1 / 1e3)


def test_regions_by_hand_and_empty_ones() -> None:
    a, b = np.zeros((4, 4), np.float32), np.zeros((4, 4), np.float32)
    a[0] = 0.5
    row = np.zeros((4, 4), bool)
    row[0, :2] = True
    row[1, :2] = True
    assert metrics.mad(a, b, region=row) == pytest.approx(250)
    assert metrics.mse(a, b, region=row) == pytest.approx(125)
    assert metrics.sad(a, b, region=row) == pytest.approx(1 / 1e3)
    nowhere = np.zeros((4, 4), bool)
    assert math.isnan(metrics.mad(a, b, region=nowhere))
    assert metrics.sad(a, b, region=nowhere) == 0
    assert math.isnan(metrics.dtssd(a, b, b, b, region=nowhere))
    with pytest.raises(UsageError, match="boolean mask of 4x4"):
        metrics.mad(a, b, region=np.zeros((4, 5), bool))


# -- the band --------------------------------------------------------------------------------------------------------


def test_the_band_is_as_wide_as_it_says_on_both_sides_of_a_hard_edge() -> None:
    true = np.zeros((1080, 80), np.uint8)
    true[:, 40:] = 255
    band = metrics.unknown_band(true)
    assert band.dtype == np.bool_
    assert [int(place) for place in np.flatnonzero(band[500])] == list(range(40 - 15, 40 + 15))
    assert np.flatnonzero(metrics.unknown_band(true, band_px=4)[500]).size == 8
    half = metrics.unknown_band(true[:540])  # half the lines: half the px
    assert np.flatnonzero(half[200]).size == 16


def test_the_band_holds_all_that_is_soft_and_nothing_of_a_flat_picture() -> None:
    true = np.zeros((200, 200), np.float32)
    true[60:140, 60:140] = 0.5
    band = metrics.unknown_band(true)
    assert band[60:140, 60:140].all()
    assert not metrics.unknown_band(np.zeros((50, 50), np.uint8)).any()
    assert not metrics.unknown_band(np.full((50, 50), 65535, np.uint16)).any()


def test_a_score_has_the_band_beside_the_whole() -> None:
    true = np.zeros((120, 120), np.float32)
    true[:, 60:] = 1
    wrong_far = true.copy()
    wrong_far[:, :10] = 1  # an error that the band does not see
    score = metrics.ClipScore(metrics.FRAME_METRICS)
    band = metrics.unknown_band(true)
    score.add(wrong_far, true, band=band)
    assert score.mean["MAD"] == pytest.approx(1e3 * 10 / 120)
    assert score.band_mean["MAD"] == 0
    score.add(true, true, band=band)
    assert score.mean["dtSSD"] > 10
    assert score.band_mean["dtSSD"] == 0
    score.add(true, true, band=np.zeros((120, 120), bool))  # nobody there: not a frame of the band's mean
    assert len(score.band_by_frame["MAD"]) == 2
    assert len(score.by_frame["MAD"]) == 3


# -- flicker along the motion ------------------------------------------------------------------------------------------


def still_flow(height: int, width: int, x: float = 0.0) -> np.ndarray:
    flow = np.zeros((height, width, 2), np.float32)
    flow[..., 0] = x
    return flow


def test_warped_change_by_hand() -> None:
    """Nothing moves; one row of four changes by 0.5: 1e2 * sqrt(4 * 0.25 / 16) = 25."""
    before, now = np.zeros((4, 4), np.float32), np.zeros((4, 4), np.float32)
    now[0] = 0.5
    assert metrics.warped_change(now, before, still_flow(4, 4), still_flow(4, 4)) == pytest.approx(25.0)


def test_warped_change_follows_the_motion_and_leaves_out_what_comes_into_view() -> None:
    """Alpha moves one pixel to the right: along the motion nothing changes; the first column was not seen before."""
    before = np.zeros((4, 6), np.float32)
    before[:, 1:3] = 1
    now = np.roll(before, 1, axis=1)
    now[:, 0] = 1
    came_from, went_to = still_flow(4, 6, -1.0), still_flow(4, 6, 1.0)
    assert metrics.warped_change(now, before, came_from, went_to) == pytest.approx(0.0)
    assert metrics.warped_change(now, before, still_flow(4, 6), still_flow(4, 6)) > 10
    # Flows that contradict each other everywhere: no pixel is trusted.
    assert math.isnan(metrics.warped_change(now, before, still_flow(4, 6, 4.0), still_flow(4, 6, 4.0)))
    with pytest.raises(UsageError, match="flow must be"):
        metrics.warped_change(now, before, still_flow(4, 5), went_to)


def moving(index: int, *, step: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """(alpha, luma) of a textured disc that moves to the right over a textured ground that stands still."""
    random = np.random.default_rng(7)
    ground = cv2.GaussianBlur(random.integers(0, 256, (160, 240)).astype(np.float32), (0, 0), 2) * 3 - 255
    disc = cv2.GaussianBlur(random.integers(0, 256, (160, 240)).astype(np.float32), (0, 0), 2) * 3 - 255
    rows, columns = np.mgrid[:160, :240]
    alpha = np.clip((40 - np.hypot(rows - 80, columns - 80 - step * index)) / 2 + 0.5, 0, 1).astype(np.float32)
    luma = alpha * np.roll(disc, step * index, axis=1) + (1 - alpha) * ground
    return alpha, np.clip(luma, 0, 255).astype(np.uint8)


def test_flicker_sees_flicker_and_not_motion() -> None:
    steady, flickering, frozen = metrics.Flicker(), metrics.Flicker(), []
    changes: list[tuple[float, float]] = []
    last = None
    for index in range(6):
        alpha, luma = moving(index)
        pulse = alpha * (1.0 if index % 2 else 0.9)
        pair = steady.add(alpha, luma), flickering.add(pulse, luma)
        if last is not None:
            assert None not in pair
            changes.append(pair)
            frozen.append(1e2 * math.sqrt(((alpha - last) ** 2).mean()))
        last = alpha
    calm, wild = (sum(values) / len(values) for values in zip(*changes, strict=True))
    assert calm < 0.5 * sum(frozen) / len(frozen)  # most of the change is motion; the rest is at the disc's border
    # A matte that fades by 0.1 over a share s of the picture changes by 10 sqrt(s), beside what the border gives.
    share = float((moving(0)[0] > 0.5).mean())
    assert wild == pytest.approx(math.hypot(calm, 10 * math.sqrt(share)), rel=0.1)


def test_flicker_begins_anew_after_a_reset_and_another_size() -> None:
    flicker = metrics.Flicker()
    alpha, luma = moving(0)
    assert flicker.add(alpha, luma) is None
    assert flicker.add(alpha, luma) == pytest.approx(0, abs=0.05)
    assert flicker.add(alpha[:, :200], luma[:, :200]) is None
    flicker.reset()
    assert flicker.add(alpha[:, :200], luma[:, :200]) is None
