"""The person's own wishes for the edge: levels, shrink, feather. The defaults cost nothing and change nothing.

The order is that of keyers: levels clean the ends first, then the edge moves, then it softens. Lengths are in px at
1080 lines, so that a setting looks the same at every size of picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np

from livematte.errors import UsageError
from livematte.frames import AlphaArray

cv: Any = cv2  # OpenCV's own stubs know neither dtypes nor scalars as operands

_CROSS: Final = cv.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
_SQUARE_SHARE: Final = 1 - 1 / math.sqrt(2)  # of the radius; makes the octagon of square and diamond a regular one
_BOXES_FROM_SIGMA: Final = 2.0


@dataclass(frozen=True, slots=True)
class Edges:
    """Edge controls of one run."""

    shrink_px: float = 0.0
    """Moves the edge inward, px at 1080 lines, fractions too; negative: outward."""
    feather_px: float = 0.0
    """Softens the edge over about this many px at 1080 lines to each side."""
    black: float = 0.0
    """Alpha at or below it becomes 0."""
    white: float = 1.0
    """Alpha at or above it becomes 1."""

    def __post_init__(self) -> None:
        if not (0 <= self.black < self.white <= 1):
            raise UsageError(
                f"--levels needs 0 <= BLACK < WHITE <= 1, got {self.black:g},{self.white:g}. "
                "The default is 0,1; --levels 0.05,0.95 cleans a hazy matte."
            )

    @property
    def is_neutral(self) -> bool:
        """True where `apply` gives back the very array it was given."""
        return self == Edges()

    def apply(self, alpha: AlphaArray) -> AlphaArray:
        """Alpha (H, W) uint8 or uint16 with the controls applied; the same array where they are neutral."""
        scale = alpha.shape[0] / 1080
        if (self.black, self.white) != (0.0, 1.0):
            alpha = stretch_levels(alpha, self.black, self.white)
        if self.shrink_px:
            alpha = move_edge(alpha, self.shrink_px * scale)
        if self.feather_px:
            alpha = soften(alpha, self.feather_px * scale)
        return alpha


def stretch_levels(alpha: AlphaArray, black: float, white: float) -> AlphaArray:
    """Alpha with `black`..`white` stretched linearly to 0..1 and clamped; rounded."""
    peak = int(np.iinfo(alpha.dtype).max)
    ramp = (np.arange(peak + 1) / peak - black) / (white - black)
    table = np.rint(np.clip(ramp, 0, 1) * peak).astype(alpha.dtype)
    if alpha.dtype == np.uint8:
        return cv.LUT(alpha, table)  # type: ignore[no-any-return]
    return table[alpha]  # type: ignore[return-value]


def move_edge(alpha: AlphaArray, px: float) -> AlphaArray:
    """Grey erosion (px > 0) or dilation (px < 0) of alpha by a disc of |px| pixels.

    The disc is an octagon out of squares and diamonds (van Herk-style passes whose cost does not explode with the
    radius); a fraction of a pixel is a blend between two neighbouring radii, exact for an edge that is a ramp.
    """
    morph = cv2.MORPH_ERODE if px > 0 else cv2.MORPH_DILATE
    whole, part = divmod(abs(px), 1.0)
    alpha = _move_whole(alpha, int(whole), morph)
    if part < 1e-3:
        return alpha
    further = cv.morphologyEx(alpha, morph, _CROSS, borderType=cv2.BORDER_REPLICATE)
    return cv.addWeighted(alpha, 1 - part, further, part, 0)  # type: ignore[no-any-return]


def _move_whole(alpha: AlphaArray, radius: int, morph: int) -> AlphaArray:
    square = round(radius * _SQUARE_SHARE * math.sqrt(2))
    if square:
        kernel = cv.getStructuringElement(cv2.MORPH_RECT, (2 * square + 1, 2 * square + 1))
        alpha = cv.morphologyEx(alpha, morph, kernel, borderType=cv2.BORDER_REPLICATE)
    diamond = radius - square
    if diamond:
        alpha = cv.morphologyEx(alpha, morph, _CROSS, iterations=diamond, borderType=cv2.BORDER_REPLICATE)
    return alpha


def soften(alpha: AlphaArray, px: float) -> AlphaArray:
    """Alpha blurred so that a hard edge becomes a ramp of about `px` pixels to each side (a Gaussian of sigma px / 2).

    Wide ones are three box means, whose cost does not grow with the width: Wells 1986,
    https://doi.org/10.1109/TPAMI.1986.4767776.
    """
    sigma = px / 2
    if sigma < _BOXES_FROM_SIGMA:
        return cv.GaussianBlur(  # type: ignore[no-any-return]
            alpha, (0, 0), max(sigma, 0.05), borderType=cv2.BORDER_REPLICATE
        )
    # Three boxes of width n have the variance 3 (n^2 - 1) / 12; two widths mixed come closest to it.
    ideal = math.sqrt(4 * sigma**2 + 1)
    narrow = 2 * int((ideal - 1) / 2) + 1
    narrow_ones = round((12 * sigma**2 - 3 * narrow**2 - 12 * narrow - 9) / (-4 * narrow - 4))
    for number in range(3):
        width = narrow if number < narrow_ones else narrow + 2
        alpha = cv.blur(alpha, (width, width), borderType=cv2.BORDER_REPLICATE)
    return alpha
