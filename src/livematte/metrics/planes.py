"""Planes of alpha as the metrics take them."""

from __future__ import annotations

from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from livematte.errors import UsageError

Alpha: TypeAlias = npt.NDArray[Any]
Plane: TypeAlias = npt.NDArray[np.float32]
Region: TypeAlias = npt.NDArray[np.bool_]
"""(H, W): where to measure."""


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


def unit_pair(predicted: Alpha, true: Alpha) -> tuple[Plane, Plane]:
    """Both as `as_unit` gives them. UsageError where their sizes differ or they are empty."""
    a, b = as_unit(predicted), as_unit(true)
    check_shapes(a, b)
    return a, b


def check_shapes(a: Plane, b: Plane) -> None:
    """UsageError where sizes differ or there are no pixels."""
    if a.shape != b.shape:
        raise UsageError(
            f"the alphas differ in size: {a.shape[1]}x{a.shape[0]} and {b.shape[1]}x{b.shape[0]} (width x height). "
            "Errors are defined at one size: scale one of them first, or check that the clips belong together."
        )
    if a.size == 0:
        raise UsageError("the alphas are empty (no pixels); pass planes of at least 1x1.")


def distance(a: Plane, b: Plane, norm: int, region: Region | None) -> tuple[float, int]:
    """(sum of differences by `norm`, number of pixels), in the region where there is one; the sum is in float64.

    norm: `cv2.NORM_L1` (absolute) or `cv2.NORM_L2SQR` (squared).
    """
    if region is None:
        return float(cv2.norm(a, b, norm)), a.size
    if region.shape != a.shape or region.dtype != np.bool_:
        raise UsageError(
            f"a region must be a boolean mask of {a.shape[1]}x{a.shape[0]}, got {region.dtype} {region.shape}."
        )
    mask = region.view(np.uint8)
    return float(cv2.norm(a, b, norm, mask)), cv2.countNonZero(mask)
