"""How much of the frame a layer can touch, so that a CPU need not paint the rest."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from training.atlas import Extents, Window
from training.geometry import inverted
from training.plan import Outline, Record

GRAIN = 8
"""Windows begin and end at multiples of this many pixels, and a shadow is softened over as many."""
SHAPE_REACH = 1.6
"""A rippled rim's farthest point, of the shape's radius."""

Points = npt.NDArray[np.float64]


def window(
    layers: Record, frame: npt.NDArray[np.int64], outline: Outline, extents: Extents, size: tuple[int, int]
) -> Window | None:
    """The smallest window that holds all of `layers` (n,), each in its frame (0 or 1); None when none is in sight.

    size: the frame's height and width.
    """
    height, width = size
    if outline == Outline.FRAME:
        return Window(0, 0, height, width)
    boxes = np.array([_box(layer, int(f), outline, extents) for layer, f in zip(layers, frame, strict=True)])
    left, top = np.maximum(np.floor(boxes[:, :2].min(0) / GRAIN).astype(int) * GRAIN, 0)
    right, bottom = np.ceil(boxes[:, 2:].max(0) / GRAIN).astype(int) * GRAIN
    right, bottom = min(right, width), min(bottom, height)
    if right <= left or bottom <= top:
        return None
    return Window(int(top), int(left), int(bottom - top), int(right - left))


def _box(layer: np.void, frame: int, outline: Outline, extents: Extents) -> Points:
    """x0, y0, x1, y1 in pixels of the frame."""
    placed = layer if outline == Outline.ALPHA else layer["mask"]
    if outline == Outline.SHAPE:
        low, high = (-SHAPE_REACH, -SHAPE_REACH), (SHAPE_REACH, SHAPE_REACH)
    else:
        picture = placed["picture"]
        low, high = (0.0, 0.0), (float(extents.width[picture, 0]), float(extents.height[picture, 0]))
    corners = np.array([(x, y) for x in (low[0], high[0]) for y in (low[1], high[1])])
    m = inverted(np.asarray(placed["inverse"][frame], np.float64))
    reached = corners @ m[:, :2].T + m[:, 2]
    margin = np.full(2, 2.0)
    if outline == Outline.ALPHA:
        margin += np.abs(layer["bend"][frame, :2]) + np.abs(layer["smear"]) / 2
        if layer["shadow"][0] > 0:
            margin += np.abs(layer["shadow"][1:]) + 2 * GRAIN
    return np.concatenate([reached.min(0) - margin, reached.max(0) + margin])
