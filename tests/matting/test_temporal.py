"""Smoothing in time: constants in seconds, nothing lost, nothing trailing where the picture moves."""

from __future__ import annotations

import math

import numpy as np
import pytest

from livematte.matting.temporal import (
    STRENGTHS,
    Adaptive,
    Exponential,
    NoSmoother,
    OneEuro,
    OneFrameDelay,
    Smoother,
    make_smoother,
)

ALGORITHMS = ("none", "ema", "adaptive", "one-euro", "ofd")
STILL = np.full((54, 96), 100, np.uint8)


def plane(value: float, shape: tuple[int, int] = (12, 16)) -> np.ndarray:
    return np.full(shape, value, np.float32)


def run(smoother: Smoother, alphas: list[np.ndarray], *, rate: float = 30, lumas: list[np.ndarray] | None = None):
    """Smoothed alphas of a whole clip."""
    smoothed = []
    for number, alpha in enumerate(alphas):
        luma = STILL if lumas is None else lumas[number]
        ready = smoother.push(alpha, number / rate, luma, 255)
        if ready is not None:
            smoothed.append(ready.copy())
    return smoothed + [alpha.copy() for alpha in smoother.flush()]


@pytest.mark.parametrize("smooth", ["off", "normal", "strong"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_each_frame_comes_out_once_and_constant_alpha_is_unchanged(algorithm: str, smooth: str) -> None:
    smoother = make_smoother(algorithm, smooth)
    for value in (0.0, 0.3, 1.0):
        smoothed = run(smoother, [plane(value)] * 5)
        assert len(smoothed) == 5
        assert np.allclose(smoothed, value, atol=1e-6)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_delay_is_what_it_says_and_buffers_may_be_overwritten(algorithm: str) -> None:
    smoother = make_smoother(algorithm, "normal")
    shared_buffer = plane(0)
    first_out = None
    for number in range(4):
        shared_buffer[:] = 0.5
        ready = smoother.push(shared_buffer, number / 30, STILL, 255)
        if ready is not None and first_out is None:
            first_out = number
        if ready is not None:
            assert np.allclose(ready, 0.5)
        if algorithm != "none":
            shared_buffer[:] = 9  # a session's next estimate
    assert first_out == smoother.delay_frames


@pytest.mark.parametrize("rate", [12, 30, 120])
@pytest.mark.parametrize("smoother", [Exponential(0.2), Adaptive(0.2)], ids=["ema", "adaptive"])
def test_time_constants_are_seconds_at_every_rate(smoother: Smoother, rate: int) -> None:
    """After one time constant a step has come 1 - 1/e of the way, whatever the frame rate."""
    smoother.reset()
    smoother.push(plane(0), 0.0, STILL, 255)
    for number in range(1, round(0.2 * rate) + 1):
        smoothed = smoother.push(plane(1), number * 0.2 / round(0.2 * rate), STILL, 255)
    assert float(smoothed[0, 0]) == pytest.approx(1 - math.exp(-1), abs=1e-4)


def test_uneven_intervals_give_the_same_as_even_ones() -> None:
    values = []
    for moments in ((0.0, 0.1, 0.2, 0.3), (0.0, 0.02, 0.21, 0.3)):
        smoother = Exponential(0.2)
        smoother.push(plane(0), moments[0], STILL, 255)
        for moment in moments[1:]:
            smoothed = smoother.push(plane(1), moment, STILL, 255)
        values.append(float(smoothed[0, 0]))
    assert values[0] == pytest.approx(values[1], abs=1e-5)


def test_adaptive_steadies_what_stands_still() -> None:
    random = np.random.default_rng(0)
    flicker = [plane(0.5) + random.normal(scale=0.1, size=(12, 16)).astype(np.float32) for _ in range(40)]
    lumas = [STILL + random.integers(-2, 3, STILL.shape).astype(np.uint8) for _ in flicker]  # sensor noise
    steadied = run(Adaptive(0.15), flicker, lumas=lumas)
    changes = [np.std(np.diff(np.stack(clip[10:]), axis=0)) for clip in (flicker, steadied)]
    assert changes[1] < 0.35 * changes[0]


def test_adaptive_leaves_no_trail_where_the_picture_moves() -> None:
    """A bright bar moves over a dark picture and alpha with it: alpha comes out as it went in."""
    alphas, lumas = [], []
    for step in range(12):
        bar = np.zeros((36, 64), np.float32)
        bar[:, 4 * step : 4 * step + 12] = 1
        alphas.append(bar)
        lumas.append((40 + 160 * np.kron(bar, np.ones((5, 5)))).astype(np.uint8))
    trailing = run(Exponential(0.15), alphas, lumas=lumas)
    for alpha, smoothed, trail in zip(
        alphas[1:], run(Adaptive(0.15), alphas, lumas=lumas)[1:], trailing[1:], strict=True
    ):
        assert np.abs(smoothed - alpha).mean() < 0.005
        assert np.abs(trail - alpha).mean() > 0.05


def test_adaptive_reads_deep_luma_and_measures_large_alphas_smaller() -> None:
    deep = np.full((600, 900), 400, np.uint16)
    smoother = Adaptive(0.15)
    smoother.push(plane(0.2, (600, 900)), 0.0, deep, 1023)
    smoothed = smoother.push(plane(0.8, (600, 900)), 1 / 30, deep, 1023)
    assert smoothed.shape == (600, 900)
    assert np.allclose(smoothed, 0.2 + 0.6 * -math.expm1(-1 / 30 / 0.15), atol=1e-4)


def test_one_euro_by_hand() -> None:
    """Second frame: speed 15 a second, low-passed at 1 Hz; cut-off 2 + 4 * speed; then a first-order low-pass."""
    smoother = OneEuro(min_cutoff_hz=2.0, beta=4.0)
    smoother.push(plane(0.0), 0.0, STILL, 255)
    smoothed = smoother.push(plane(0.5), 1 / 30, STILL, 255)
    speed_ratio = 2 * math.pi * 1.0 / 30
    speed = 15 * speed_ratio / (speed_ratio + 1)
    ratio = 2 * math.pi * (2 + 4 * speed) / 30
    assert float(smoothed[0, 0]) == pytest.approx(0.5 * ratio / (ratio + 1), rel=1e-5)


def test_ofd_by_hand() -> None:
    before, flickering, after = plane(0.8), plane(0.8), plane(0.84)
    flickering[0, 0] = 0.2  # a hole in one frame: the mean of its neighbours
    flickering[1, 1], after[1, 1] = 0.3, 0.3  # a change that stays
    flickering[2, 2] = 0.75  # within the tolerance of both
    smoothed = run(OneFrameDelay(0.1), [before, flickering, after])
    assert len(smoothed) == 3
    assert float(smoothed[1][0, 0]) == pytest.approx(0.82)
    assert float(smoothed[1][1, 1]) == pytest.approx(0.3)
    assert float(smoothed[1][2, 2]) == pytest.approx(0.75)
    assert np.array_equal(smoothed[0], before)
    assert np.array_equal(smoothed[2], after)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_reset_forgets(algorithm: str) -> None:
    smoother = make_smoother(algorithm, "strong")
    run_before = [plane(0.0), plane(0.0), plane(0.0)]
    for number, alpha in enumerate(run_before):
        smoother.push(alpha, number / 30, STILL, 255)
    smoother.reset()
    first = smoother.push(plane(1.0), 3 / 30, STILL, 255)
    if first is None:
        first = smoother.push(plane(1.0), 4 / 30, STILL, 255)
    assert np.allclose(first, 1.0)


@pytest.mark.parametrize("algorithm", ["ema", "adaptive", "one-euro"])
@pytest.mark.parametrize(("moment", "shape"), [(5.0, (12, 16)), (-1.0, (12, 16)), (0.1, (10, 16))])
def test_gaps_backward_times_and_other_sizes_start_anew(algorithm: str, moment: float, shape: tuple[int, int]) -> None:
    smoother = make_smoother(algorithm, "strong")
    smoother.push(plane(0.0), 0.0, STILL, 255)
    assert np.allclose(smoother.push(plane(1.0, shape), moment, STILL, 255), 1.0)


def test_off_is_no_smoother_and_names_are_checked() -> None:
    assert isinstance(make_smoother("adaptive", "off"), NoSmoother)
    assert set(STRENGTHS) == {"normal", "strong"}
    with pytest.raises(ValueError, match="ema, adaptive"):
        make_smoother("kalman", "normal")
