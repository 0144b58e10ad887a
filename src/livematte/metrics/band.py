"""The unknown band of a generated trimap: where matting is hard, and where papers measure it."""

from __future__ import annotations

from typing import Any, Final

import cv2
import numpy as np

from livematte.metrics.planes import Alpha, Region, as_unit

cv: Any = cv2  # OpenCV's own stubs know neither dtypes nor scalars as operands

BAND_PX: Final = 15.0
"""Half width of the band at 1080 lines, as a picture's height scales it."""
_KNOWN_BACKGROUND: Final = 0.05
_KNOWN_FOREGROUND: Final = 0.95
"""True alpha up to the first is background, from the second on foreground: a codec's noise is not a soft edge."""


def unknown_band(true: Alpha, *, band_px: float = BAND_PX) -> Region:
    """(H, W) boolean: where a trimap made from the true alpha (H, W) says 0.5.

    Foreground and background of the true alpha, each eroded by a disc of `band_px` (at 1080 lines); the rest is
    unknown. The way in which trimaps are made from mattes since Xu et al. 2017, "Deep Image Matting",
    https://arxiv.org/abs/1703.03872, with one width instead of a random one.
    """
    alpha = as_unit(true)
    radius = max(1, round(band_px * alpha.shape[0] / 1080))
    disc = cv.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    surely = (alpha >= _KNOWN_FOREGROUND).view(np.uint8)
    maybe = (alpha > _KNOWN_BACKGROUND).view(np.uint8)
    band: Region = cv.subtract(cv.dilate(maybe, disc), cv.erode(surely, disc)).view(np.bool_)
    return band
