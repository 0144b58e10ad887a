"""Affine maps of the plane as float64 (2, 3) matrices, and the mipmap level that a scale calls for."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from training.atlas import LEVELS

Affine = npt.NDArray[np.float64]
Point = tuple[float, float]


def similarity(
    scale: float, angle: float, source: Point, target: Point, *, flip: bool = False, stretch: float = 1.0
) -> Affine:
    """Scale, turn by `angle` radians and move, so that `source` comes to lie on `target`.

    flip: mirrored sideways first; stretch: widened by that factor first.
    """
    c, s = math.cos(angle) * scale, math.sin(angle) * scale
    wide = -stretch if flip else stretch
    linear = np.array([[c * wide, -s], [s * wide, c]])
    return np.column_stack([linear, np.array(target) - linear @ np.array(source)])


def inverted(m: Affine) -> Affine:
    """The map back."""
    linear = np.linalg.inv(m[:, :2])
    return np.column_stack([linear, -linear @ m[:, 2]])


def after(outer: Affine, inner: Affine) -> Affine:
    """`inner` first, then `outer`."""
    return np.column_stack([outer[:, :2] @ inner[:, :2], outer[:, :2] @ inner[:, 2] + outer[:, 2]])


def moved(m: Affine, point: Point) -> Point:
    """Where `m` takes a point."""
    x, y = m[:, :2] @ np.array(point) + m[:, 2]
    return float(x), float(y)


def level_for(inverse: Affine) -> int:
    """Mipmap level for a map from frame to picture: a frame's pixel covers at most about 1.3 texels of it."""
    texels = math.sqrt(abs(float(np.linalg.det(inverse[:, :2]))))
    return int(min(max(math.floor(math.log2(max(texels, 1e-6)) + 0.6), 0), LEVELS - 1))
