"""Errors of one frame: SAD, MAD, MSE, Grad, Conn. Each is a distance between two planes made from the two alphas."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from livematte.metrics.planes import Alpha, Plane, Region, distance, unit_pair

_GRADIENT_SIGMA: Final = 1.4  # px; the value of Rhemann's and all later scripts
_CONN_STEPS: Final = 10
_CONN_TOLERANCE: Final = 0.15  # differences below it do not count as disconnected (Rhemann et al. 2009)


def mad(predicted: Alpha, true: Alpha, *, region: Region | None = None) -> float:
    """Mean absolute difference: 1e3 / N * sum |a - a*|. NaN in an empty region."""
    return _MEASURES["MAD"](*unit_pair(predicted, true), [region])[0]


def mse(predicted: Alpha, true: Alpha, *, region: Region | None = None) -> float:
    """Mean squared difference: 1e3 / N * sum (a - a*)^2. NaN in an empty region."""
    return _MEASURES["MSE"](*unit_pair(predicted, true), [region])[0]


def sad(predicted: Alpha, true: Alpha, *, region: Region | None = None) -> float:
    """Sum of absolute differences: 1e-3 * sum |a - a*|. Grows with the picture's size."""
    return _MEASURES["SAD"](*unit_pair(predicted, true), [region])[0]


def grad(predicted: Alpha, true: Alpha, *, region: Region | None = None) -> float:
    """Difference of edge strength: 1e-3 * sum (|G a| - |G a*|)^2. Grows with the picture's size.

    |G a| is the length of the gradient by Gaussian derivatives with sigma 1.4 px, each filter normalised to length 1,
    borders repeated. Rhemann et al. 2009, "A Perceptually Motivated Online Benchmark for Image Matting",
    https://doi.org/10.1109/CVPR.2009.5206503. Without a stretch of alpha: see Note [Scales].
    """
    return _MEASURES["Grad"](*unit_pair(predicted, true), [region])[0]


def conn(predicted: Alpha, true: Alpha, *, region: Region | None = None) -> float:
    """Difference of connectedness: 1e-3 * sum |phi(a) - phi(a*)|. Grows with the picture's size.

    Source region: the largest 4-connected part where both alphas reach a level. A pixel's level l is the highest of
    0, 0.1 .. 1 up to which it belongs to it; phi(a) = 1 - (a - l) where a - l >= 0.15, else 1. Rhemann et al. 2009,
    https://doi.org/10.1109/CVPR.2009.5206503, with their weight lambda at 1, as in the scripts of Xu et al. 2017
    ("Deep Image Matting", https://arxiv.org/abs/1703.03872) and later ones. The whole picture is looked at also where
    only a `region` of it is summed.
    """
    return _MEASURES["Conn"](*unit_pair(predicted, true), [region])[0]


@dataclass(frozen=True, slots=True)
class _Measure:
    """scale * distance(prepared a, prepared b), by the number of pixels where it `is_mean`."""

    norm: int
    scale: float
    is_mean: bool
    prepare: Callable[[Plane, Plane], tuple[Plane, Plane]]

    def __call__(self, a: Plane, b: Plane, regions: Sequence[Region | None]) -> list[float]:
        """One number a region; what the pair is made into is made once."""
        a, b = self.prepare(a, b)
        found = []
        for region in regions:
            total, count = distance(a, b, self.norm, region)
            if self.is_mean:
                total = total / count if count else math.nan
            found.append(total * self.scale)
        return found


def frame_errors(names: Sequence[str], a: Plane, b: Plane, regions: Sequence[Region | None]) -> list[dict[str, float]]:
    """name -> error for each region, of the names that a single frame has (all but dtSSD). Planes are `as_unit`'s."""
    rows: list[dict[str, float]] = [{} for _ in regions]
    for name in names:
        if name in _MEASURES:
            for row, value in zip(rows, _MEASURES[name](a, b, regions), strict=True):
                row[name] = value
    return rows


def _as_they_are(a: Plane, b: Plane) -> tuple[Plane, Plane]:
    return a, b


def _edge_strengths(a: Plane, b: Plane) -> tuple[Plane, Plane]:
    return _edge_strength(a), _edge_strength(b)


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


def _connectedness(a: Plane, b: Plane) -> tuple[Plane, Plane]:
    """(phi(a), phi(a*))."""
    reached = np.full(a.shape, -1.0, np.float32)
    for step in range(1, _CONN_STEPS + 1):
        level = step / _CONN_STEPS
        solid = _largest_part((a >= level) & (b >= level))
        reached[(reached < 0) & ~solid] = (step - 1) / _CONN_STEPS
    reached[reached < 0] = 1.0
    return _phi(a - reached), _phi(b - reached)


def _largest_part(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    areas = stats[1:, cv2.CC_STAT_AREA]
    if not len(areas):
        return np.zeros_like(mask)
    largest: npt.NDArray[np.bool_] = labels == int(areas.argmax()) + 1
    return largest


def _phi(above_level: Plane) -> Plane:
    return 1 - above_level * (above_level >= _CONN_TOLERANCE)


_MEASURES: Final = {
    "MAD": _Measure(cv2.NORM_L1, 1e3, True, _as_they_are),
    "MSE": _Measure(cv2.NORM_L2SQR, 1e3, True, _as_they_are),
    "SAD": _Measure(cv2.NORM_L1, 1e-3, False, _as_they_are),
    "Grad": _Measure(cv2.NORM_L2SQR, 1e-3, False, _edge_strengths),
    "Conn": _Measure(cv2.NORM_L1, 1e-3, False, _connectedness),
}
