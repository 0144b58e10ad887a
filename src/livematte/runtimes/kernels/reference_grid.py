"""What the NumPy references share: 4:2:0 planes, interpolated grids, weights; float32 in the kernels' own order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Samples: TypeAlias = npt.NDArray[np.float32]
Integers: TypeAlias = npt.NDArray[np.int64]
AnyPlane: TypeAlias = npt.NDArray[Any]
Planes: TypeAlias = Sequence[AnyPlane]
"""Y, U, V of a 4:2:0 picture, right-aligned samples."""

F: TypeAlias = np.float32


@dataclass(frozen=True, slots=True)
class Taps:
    """Neighbours on a grid for each sample of the fine side, and the second one's share."""

    first: Integers
    second: Integers
    share: Samples


def taps(fine: int, scale: np.float32, size: int) -> Taps:
    """`tap_at` of picture420.cuh for samples 0..fine-1 on a grid of `size`; `scale` = size / fine size."""
    place = (np.arange(fine, dtype=F) + F(0.5)) * scale - F(0.5)
    below = np.floor(place)
    first = below.astype(np.int64)
    outside = (first < 0) | (first >= size - 1)
    first = np.where(outside, np.where(first < 0, 0, size - 1), first)
    share = np.where(outside, F(0), place - below).astype(F)
    return Taps(first, np.minimum(first + 1, size - 1), share)


def ratio(size: int, fine: int) -> np.float32:
    """size / fine as the kernels divide it."""
    return F(size) / F(fine)


def between(a: Samples, b: Samples, share: Samples | np.float32) -> Samples:
    """a + share (b - a)."""
    return np.asarray(a + share * (b - a), F)


def across_first(grid: AnyPlane, down: Taps, across: Taps) -> Samples:
    """The grid (rows, columns) interpolated along rows, then along columns."""
    values = grid.astype(F)
    row = between(values[:, across.first], values[:, across.second], across.share[None, :])
    return between(row[down.first], row[down.second], down.share[:, None])


def down_first(grid: AnyPlane, down: Taps, across: Taps) -> Samples:
    """The grid (rows, columns) interpolated along columns, then along rows: `Walk` of picture420.cuh."""
    values = grid.astype(F)
    column = between(values[down.first], values[down.second], down.share[:, None])
    return between(column[:, across.first], column[:, across.second], across.share[None, :])


def half_up(values: Samples) -> Integers:
    """Rounded to integers, halves upward."""
    return np.asarray(np.floor(values + F(0.5)), np.int64)


def neighbours(plane: AnyPlane, radius: int) -> AnyPlane:
    """The plane with `radius` samples more to each side, its borders repeated."""
    return np.pad(plane, radius, mode="edge")


def box_mean(plane: Samples, radius: int) -> Samples:
    """Mean over (2 radius + 1)^2, borders repeated; summed row by row from the upper left."""
    wide = neighbours(plane, radius)
    height, width = plane.shape
    side = 2 * radius + 1
    total = np.zeros_like(plane)
    for y in range(side):
        for x in range(side):
            total = total + wide[y : y + height, x : x + width]
    return np.asarray(total * (F(1) / F(side * side)), F)


def peak_of(alpha: AnyPlane) -> int:
    """1 in the scale of alpha's type."""
    return int(np.iinfo(alpha.dtype).max)


def in_pairs(plane: AnyPlane) -> Integers:
    """The plane with even sides: an odd last column and row repeated."""
    height, width = plane.shape
    return np.pad(plane.astype(np.int64), ((0, height % 2), (0, width % 2)), mode="edge")


def blocks_sum(plane: AnyPlane) -> Integers:
    """Sums over 2x2 pixels; (chroma height, chroma width)."""
    even = in_pairs(plane)
    return even[::2, ::2] + even[::2, 1::2] + even[1::2, ::2] + even[1::2, 1::2]


def chroma_alpha(alpha: AnyPlane) -> Integers:
    """Mean alpha of the pixels under each chroma sample, rounded."""
    return np.asarray((blocks_sum(alpha) + 2) >> 2, np.int64)


def weight_for(alpha: Integers, alpha_peak: int, top: int) -> Integers:
    """Alpha in 0..alpha_peak as a weight in 0..top, both 255 or 65535."""
    if alpha_peak == top:
        return alpha
    if top == 255:
        return np.asarray(np.rint(alpha.astype(F) * (F(1) / F(257))), np.int64)
    return alpha * 257


def moved(base: Integers, plus: Integers, minus: Integers, weight: Integers, top: int) -> Integers:
    """base + weight (plus - minus), the product rounded, clamped to 0..top."""
    difference = plus - minus
    product = np.abs(difference).astype(F) * weight.astype(F) * (F(1) / F(top))
    change = np.rint(product).astype(np.int64)
    return np.asarray(np.clip(np.where(difference < 0, base - change, base + change), 0, top), np.int64)
