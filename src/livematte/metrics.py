"""Errors of a predicted alpha against the true one, in the definitions and scales of the field.

    name    scale      0 is perfect; smaller is better
    MAD     x 1e3      mean absolute difference
    MSE     x 1e3      mean squared difference
    SAD     / 1e3      sum of absolute differences
    Grad    / 1e3      difference of edge strength (Rhemann et al. 2009)
    Conn    / 1e3      difference of connectedness to the largest solid part (Rhemann et al. 2009)
    dtSSD   x 1e2      difference of the change from frame to frame: flicker (Erofeev et al. 2015)

Alpha is (H, W): float in 0..1, or uint8 or uint16 over its full range; the two need not have the same dtype. A clip's
error is the mean over its frames (dtSSD: over its pairs of neighbours), a set's error the mean over its clips.

Note [Scales]
    They are those of the evaluation script of RVM (Lin et al. 2022, https://arxiv.org/abs/2108.11515), which later
    papers follow, with one difference: that script stretches each alpha to its own minimum and maximum before it
    takes gradients, so that a uniform error disappears. Grad here does not, and cannot be compared with its tables.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from livematte.errors import UsageError

Alpha = npt.NDArray[Any]
Plane = npt.NDArray[np.float32]

FRAME_METRICS: Final = ("MAD", "MSE", "SAD", "Grad", "Conn", "dtSSD")
"""Every name that `ClipScore` knows, in the order of tables."""
DEFAULT_METRICS: Final = ("MAD", "MSE", "Grad", "dtSSD")
"""What is computed unless Conn (30 times as slow) or SAD is asked for."""

_GRADIENT_SIGMA: Final = 1.4  # px; the value of Rhemann's and all later scripts
_CONN_STEPS: Final = 10
_CONN_TOLERANCE: Final = 0.15  # differences below it do not count as disconnected (Rhemann et al. 2009)


def as_unit(alpha: Alpha) -> Plane:
    """Alpha (H, W) as float32 in 0..1; no copy where it is that already. UsageError: another shape, type or range."""
    if alpha.ndim != 2:
        raise UsageError(f"alpha must be a plane (H, W), got an array of shape {alpha.shape}; pass one channel.")
    if alpha.dtype == np.uint8 or alpha.dtype == np.uint16:
        return alpha.astype(np.float32) * np.float32(1 / np.iinfo(alpha.dtype).max)
    if not np.issubdtype(alpha.dtype, np.floating):
        raise UsageError(f"alpha must be float (0..1), uint8 or uint16, got {alpha.dtype}; convert it first.")
    plane = alpha.astype(np.float32, copy=False)
    if plane.size and not (plane.min() >= -1e-3 and plane.max() <= 1 + 1e-3):  # also false for NaN
        raise UsageError(
            f"alpha as floats must lie in 0..1, got {plane.min():.4g}..{plane.max():.4g}; divide by its full scale."
        )
    return plane


def mad(predicted: Alpha, true: Alpha) -> float:
    """Mean absolute difference: 1e3 / N * sum |a - a*|."""
    a, b = _pair(predicted, true)
    return float(cv2.norm(a, b, cv2.NORM_L1)) / a.size * 1e3


def mse(predicted: Alpha, true: Alpha) -> float:
    """Mean squared difference: 1e3 / N * sum (a - a*)^2."""
    a, b = _pair(predicted, true)
    return float(cv2.norm(a, b, cv2.NORM_L2SQR)) / a.size * 1e3


def sad(predicted: Alpha, true: Alpha) -> float:
    """Sum of absolute differences: 1e-3 * sum |a - a*|. Grows with the picture's size."""
    a, b = _pair(predicted, true)
    return float(cv2.norm(a, b, cv2.NORM_L1)) / 1e3


def grad(predicted: Alpha, true: Alpha) -> float:
    """Difference of edge strength: 1e-3 * sum (|G a| - |G a*|)^2. Grows with the picture's size.

    |G a| is the length of the gradient by Gaussian derivatives with sigma 1.4 px, each filter normalised to length 1,
    borders repeated. Rhemann et al. 2009, "A Perceptually Motivated Online Benchmark for Image Matting",
    https://doi.org/10.1109/CVPR.2009.5206503. Without a stretch of alpha: see Note [Scales].
    """
    a, b = _pair(predicted, true)
    return float(cv2.norm(_edge_strength(a), _edge_strength(b), cv2.NORM_L2SQR)) / 1e3


def conn(predicted: Alpha, true: Alpha) -> float:
    """Difference of connectedness: 1e-3 * sum |phi(a) - phi(a*)|. Grows with the picture's size.

    Source region: the largest 4-connected part where both alphas reach a level. A pixel's level l is the highest of
    0, 0.1 .. 1 up to which it belongs to it; phi(a) = 1 - (a - l) where a - l >= 0.15, else 1. Rhemann et al. 2009,
    https://doi.org/10.1109/CVPR.2009.5206503.
    """
    a, b = _pair(predicted, true)
    reached = np.full(a.shape, -1.0, np.float32)
    for step in range(1, _CONN_STEPS + 1):
        level = step / _CONN_STEPS
        solid = _largest_part((a >= level) & (b >= level))
        reached[(reached < 0) & ~solid] = (step - 1) / _CONN_STEPS
    reached[reached < 0] = 1.0
    return float(np.abs(_phi(a - reached) - _phi(b - reached)).sum()) / 1e3


def dtssd(predicted: Alpha, previous_predicted: Alpha, true: Alpha, previous_true: Alpha) -> float:
    """Flicker between two neighbouring frames: 1e2 * sqrt(1 / N * sum ((a_t - a_t-1) - (a*_t - a*_t-1))^2).

    Erofeev et al. 2015, "Perceptually Motivated Benchmark for Video Matting", https://doi.org/10.5244/C.29.99.
    """
    a, b = _pair(predicted, true)
    last_a, last_b = _pair(previous_predicted, previous_true)
    _check_shapes(a, last_a)
    return _dtssd(a - b, last_a - last_b)


@dataclass
class ClipScore:
    """Errors of one clip, frame by frame: `add` each pair in order, then read `mean`.

    Keeps the numbers of each frame and the last difference, so memory does not grow with the picture.
    """

    metrics: Sequence[str] = DEFAULT_METRICS
    """Names of `FRAME_METRICS`."""
    frames: int = 0
    by_frame: dict[str, list[float]] = field(default_factory=dict)
    """Name -> one number a frame (dtSSD: from the second frame on)."""
    _last_difference: Plane | None = None

    def __post_init__(self) -> None:
        unknown = [name for name in self.metrics if name not in FRAME_METRICS]
        if unknown:
            raise UsageError(f"unknown metric {', '.join(unknown)}. There are: {', '.join(FRAME_METRICS)}.")
        self.by_frame = {name: [] for name in self.metrics}

    def add(self, predicted: Alpha, true: Alpha) -> dict[str, float]:
        """Score the next frame; gives back its numbers. UsageError where sizes differ, also from the last frame's."""
        a, b = _pair(predicted, true)
        row = {name: _PER_FRAME[name](a, b) for name in self.metrics if name in _PER_FRAME}
        if "dtSSD" in self.metrics:
            difference = a - b
            if self._last_difference is not None:
                _check_shapes(difference, self._last_difference)
                row["dtSSD"] = _dtssd(difference, self._last_difference)
            self._last_difference = difference
        for name, value in row.items():
            self.by_frame[name].append(value)
        self.frames += 1
        return row

    @property
    def mean(self) -> dict[str, float]:
        """Mean over the frames by name; NaN where there was nothing to average (dtSSD of a single frame)."""
        return {name: math.fsum(rows) / len(rows) if rows else math.nan for name, rows in self.by_frame.items()}


def score_clip(pairs: Iterable[tuple[Alpha, Alpha]], metrics: Sequence[str] = DEFAULT_METRICS) -> dict[str, float]:
    """Mean errors of a clip given as (predicted, true) pairs in order."""
    score = ClipScore(metrics)
    for predicted, true in pairs:
        score.add(predicted, true)
    return score.mean


def mean_over_clips(by_clip: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """A set's errors: each clip counts once, whatever its length. `by_clip`: clip -> name -> error."""
    if not by_clip:
        return {}
    names = next(iter(by_clip.values())).keys()
    return {name: math.fsum(row[name] for row in by_clip.values()) / len(by_clip) for name in names}


def _pair(predicted: Alpha, true: Alpha) -> tuple[Plane, Plane]:
    a, b = as_unit(predicted), as_unit(true)
    _check_shapes(a, b)
    return a, b


def _check_shapes(a: Plane, b: Plane) -> None:
    if a.shape != b.shape:
        raise UsageError(
            f"the alphas differ in size: {a.shape[1]}x{a.shape[0]} and {b.shape[1]}x{b.shape[0]} (width x height). "
            "Errors are defined at one size: scale one of them first, or check that the clips belong together."
        )
    if a.size == 0:
        raise UsageError("the alphas are empty (no pixels); pass planes of at least 1x1.")


@cache
def _gaussian_derivative() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """(derivative, smoothing): 1-D kernels whose outer product has length 1; cut off where a tap is below 1e-2."""
    sigma, smallest = _GRADIENT_SIGMA, 1e-2
    half = math.ceil(sigma * math.sqrt(-2 * math.log(math.sqrt(2 * math.pi) * sigma * smallest)))
    x = np.arange(-half, half + 1, dtype=np.float64)
    smoothing = np.exp(-(x**2) / (2 * sigma**2)) / (sigma * math.sqrt(2 * math.pi))
    derivative = -x * smoothing / sigma**2
    return derivative / np.linalg.norm(derivative), smoothing / np.linalg.norm(smoothing)


def _edge_strength(alpha: Plane) -> Plane:
    derivative, smoothing = _gaussian_derivative()
    across = cv2.sepFilter2D(alpha, cv2.CV_32F, derivative, smoothing, borderType=cv2.BORDER_REPLICATE)
    down = cv2.sepFilter2D(alpha, cv2.CV_32F, smoothing, derivative, borderType=cv2.BORDER_REPLICATE)
    return cv2.magnitude(across, down).astype(np.float32, copy=False)


def _largest_part(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    areas = stats[1:, cv2.CC_STAT_AREA]
    if not len(areas):
        return np.zeros_like(mask)
    largest: npt.NDArray[np.bool_] = labels == int(areas.argmax()) + 1
    return largest


def _phi(above_level: Plane) -> Plane:
    return 1 - above_level * (above_level >= _CONN_TOLERANCE)


def _dtssd(difference: Plane, last_difference: Plane) -> float:
    return math.sqrt(float(cv2.norm(difference, last_difference, cv2.NORM_L2SQR)) / difference.size) * 1e2


_PER_FRAME: Final = {"MAD": mad, "MSE": mse, "SAD": sad, "Grad": grad, "Conn": conn}
