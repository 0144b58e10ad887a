"""Errors in time: dtSSD against a true alpha, and flicker along the picture's own motion without one."""

from __future__ import annotations

import math
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from livematte.errors import UsageError
from livematte.metrics.planes import Alpha, Plane, Region, as_unit, check_shapes, distance, unit_pair

cv: Any = cv2  # OpenCV's own stubs know neither dtypes nor scalars as operands

Flow = npt.NDArray[np.float32]

_FLOW_SIDE_PX: Final = 448
"""Longer side at which motion is found and flicker measured: an 18th of 1080p's pixels. On the composite `group` the
plain change of alpha is 20.4, and the one along this motion 4.1."""
_CONSISTENT_SHARE: Final = 0.01
_CONSISTENT_PX: Final = 0.5
"""Forward and backward flow agree where |f + b|^2 <= 0.01 (|f|^2 + |b|^2) + 0.5 (Sundaram et al. 2010)."""


def dtssd(
    predicted: Alpha,
    previous_predicted: Alpha,
    true: Alpha,
    previous_true: Alpha,
    *,
    region: Region | None = None,
) -> float:
    """Flicker between two neighbouring frames: 1e2 * sqrt(1 / N * sum ((a_t - a_t-1) - (a*_t - a*_t-1))^2).

    Erofeev et al. 2015, "Perceptually Motivated Benchmark for Video Matting", https://doi.org/10.5244/C.29.99.
    NaN in an empty region.
    """
    a, b = unit_pair(predicted, true)
    last_a, last_b = unit_pair(previous_predicted, previous_true)
    check_shapes(a, last_a)
    return difference_of_changes(a - b, last_a - last_b, region)


def difference_of_changes(difference: Plane, last_difference: Plane, region: Region | None = None) -> float:
    """dtSSD from the two frames' a - a*."""
    total, count = distance(difference, last_difference, cv2.NORM_L2SQR, region)
    return math.sqrt(total / count) * 1e2 if count else math.nan


def warped_change(alpha: Alpha, previous: Alpha, backward: Flow, forward: Flow) -> float:
    """Change of alpha along the motion: 1e2 * sqrt(1 / N * sum (a_t(x) - a_t-1(x + b(x)))^2), over pixels seen twice.

    backward, forward: (H, W, 2) float32, px: where a pixel of this frame was in the last one, and the reverse.
    The warping error of Lai et al. 2018, "Learning Blind Video Temporal Consistency",
    https://arxiv.org/abs/1808.00449, on alpha and with a root, so that its scale is dtSSD's. Pixels that come into view
    or leave it are left out by the forward-backward check of Sundaram et al. 2010, "Dense Point Trajectories by
    GPU-Accelerated Large Displacement Optical Flow", https://doi.org/10.1007/978-3-642-15549-9_32. NaN where none is
    seen twice.
    """
    now, before = unit_pair(alpha, previous)
    height, width = now.shape
    if backward.shape != (height, width, 2) or forward.shape != (height, width, 2):
        raise UsageError(
            f"flow must be (H, W, 2) at alpha's size {width}x{height}, got {backward.shape} and {forward.shape}."
        )
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    came_from = cv.merge([columns + backward[..., 0], rows + backward[..., 1]])
    returned = cv.remap(forward, came_from, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    lengths = (backward**2).sum(axis=2) + (returned**2).sum(axis=2)
    seen_twice = ((backward + returned) ** 2).sum(axis=2) <= _CONSISTENT_SHARE * lengths + _CONSISTENT_PX
    seen_twice &= (came_from >= 0).all(axis=2) & (came_from[..., 0] <= width - 1) & (came_from[..., 1] <= height - 1)
    warped = cv.remap(before, came_from, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    total, count = distance(now, warped, cv2.NORM_L2SQR, seen_twice)
    return math.sqrt(total / count) * 1e2 if count else math.nan


class Flicker:
    """Flicker of a clip without a true alpha (`warped_change`), frame by frame; keeps one frame.

    The motion is that of the pictures, by dense inverse search: Kroeger et al. 2016, "Fast Optical Flow using Dense
    Inverse Search", https://arxiv.org/abs/1603.03590, both ways. What is measured is the change of alpha that motion
    does not explain. It falls to 0 for a matte that is constantly wrong: read it beside an error, where there is one.
    """

    def __init__(self) -> None:
        self._flow = cv.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._last: tuple[Plane, npt.NDArray[np.uint8]] | None = None

    def add(self, alpha: Alpha, luma: npt.NDArray[np.uint8]) -> float | None:
        """The next frame: its alpha (H, W) and its picture's luma (h, w) uint8, at any size of the same shape.

        Gives back the pair's flicker, None for the first frame and after a change of size.
        """
        size = flow_size(alpha.shape[1], alpha.shape[0])
        small = cv.resize(as_unit(alpha), size, interpolation=cv2.INTER_AREA)
        grey = cv.resize(luma, size, interpolation=cv2.INTER_AREA)
        last, self._last = self._last, (small, grey)
        if last is None or last[0].shape != small.shape:
            return None
        backward = self._flow.calc(grey, last[1], None)
        forward = self._flow.calc(last[1], grey, None)
        return warped_change(small, last[0], backward, forward)

    def reset(self) -> None:
        """Forget the last frame: another clip begins."""
        self._last = None


def flow_size(width: int, height: int) -> tuple[int, int]:
    """(width, height) at which motion is found: at most 448 px on the longer side, at least 16 on the shorter."""
    scale = min(1.0, _FLOW_SIDE_PX / max(width, height))
    return max(16, round(width * scale)), max(16, round(height * scale))
