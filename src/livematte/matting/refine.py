"""Alpha from the network's size to the picture's, and from float to integers.

Note [Alpha's ends]
    A sigmoid never quite reaches 0 or 1. In 8 bits rounding takes care of it: below half a step (0.5 / 255) alpha is
    0, above 254.5 / 255 it is 1. In 16 bits the same two bounds are applied, so that the room is as gone and the
    person as opaque as in 8 bits, and a picture's "alpha is 1" means the same in both.

Note [Fast guided filter]
    He, Sun and Tang 2013, "Guided Image Filtering", https://doi.org/10.1109/TPAMI.2012.213, and He and Sun 2015, "Fast
    Guided Filter", https://arxiv.org/abs/1505.00996: in each window of the picture alpha is a linear function of luma,
    alpha = a * luma + b, by least squares with `epsilon` against steep slopes. The coefficients are found at the
    network's size and only they are enlarged; alpha then takes its edges from the full-size luma. At 1080p that costs
    4 ms where the filter at full size costs 45.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from livematte.frames import AlphaArray
from livematte.planes import PlaneArray

cv: Any = cv2  # OpenCV's own stubs know neither dtypes nor scalars as operands

SmallAlpha = npt.NDArray[np.float32]

HALF_STEP: Final = 0.5 / 255
"""Alpha below it is 0, above 1 minus it 1 (Note [Alpha's ends])."""
_HALF_STEP_WIDE: Final = round(HALF_STEP * 65535)  # 128 of 65535: 129 rounds to 1 of 255

GUIDED_RADIUS_PX: Final = 1
"""Window of the guided filter, pixels of the network's size to each side; the best of the study (study_matting.py)."""
GUIDED_EPSILON: Final = 1e-3
"""Regularisation on luma in 0..1: structure with a variance below it is smoothed over."""


class Refiner(Protocol):
    """Brings alpha up to the picture's size."""

    def refine(self, alpha: SmallAlpha, luma: PlaneArray, peak: int) -> AlphaArray:
        """(h, w) float32 in 0..1 -> (H, W) uint8 or uint16 (`frames.py`, Note [Alpha scale]).

        `luma`: (H, W), the picture's first plane, 0..`peak`; it gives the size, and the guide where one is used.
        """


class Bicubic:
    """Cubic convolution, clamped: Keys 1981, https://doi.org/10.1109/TASSP.1981.1163711, OpenCV's a = -0.75.

    Quantises at the network's size, where it is cheap, so that the full-size pass is on integers and clamps by itself:
    0.7 ms at 1080p, where float32 and a conversion are 1.7.
    """

    def __init__(self, *, wide: bool) -> None:
        self._wide = wide

    def refine(self, alpha: SmallAlpha, luma: PlaneArray, peak: int) -> AlphaArray:
        """See `Refiner.refine`; `luma` gives the size alone."""
        height, width = luma.shape
        exact = quantise(alpha, wide=self._wide)
        if exact.shape == luma.shape:
            return exact
        grown = cv.resize(exact, (width, height), interpolation=cv2.INTER_CUBIC)
        return settle_ends(grown)


class Guided:
    """Fast guided filter on the luma plane, Note [Fast guided filter]."""

    def __init__(self, *, wide: bool, radius_px: int = GUIDED_RADIUS_PX, epsilon: float = GUIDED_EPSILON) -> None:
        self._wide = wide
        self._window = (2 * radius_px + 1, 2 * radius_px + 1)
        self._epsilon = epsilon

    def refine(self, alpha: SmallAlpha, luma: PlaneArray, peak: int) -> AlphaArray:
        """See `Refiner.refine`."""
        height, width = luma.shape
        if alpha.shape == luma.shape:
            return quantise(alpha, wide=self._wide)
        guide: SmallAlpha = cv.resize(luma, alpha.shape[::-1], interpolation=cv2.INTER_AREA).astype(np.float32)
        guide *= np.float32(1 / peak)
        slope, offset = self._coefficients(guide, alpha)
        slope = cv.resize(slope * np.float32(1 / peak), (width, height), interpolation=cv2.INTER_LINEAR)
        offset = cv.resize(offset, (width, height), interpolation=cv2.INTER_LINEAR)
        grown = cv.multiply(slope, luma.astype(np.float32), dst=slope)
        return quantise(cv.add(grown, offset, dst=grown), wide=self._wide)

    def _coefficients(self, guide: SmallAlpha, alpha: SmallAlpha) -> tuple[SmallAlpha, SmallAlpha]:
        mean_guide, mean_alpha = self._mean(guide), self._mean(alpha)
        covariance = self._mean(cv.multiply(guide, alpha)) - mean_guide * mean_alpha
        variance = self._mean(cv.multiply(guide, guide)) - mean_guide * mean_guide
        slope: SmallAlpha = cv.divide(covariance, variance + self._epsilon)
        offset: SmallAlpha = mean_alpha - slope * mean_guide
        return self._mean(slope), self._mean(offset)

    def _mean(self, plane: SmallAlpha) -> SmallAlpha:
        return cv.boxFilter(plane, cv2.CV_32F, self._window, borderType=cv2.BORDER_REFLECT)  # type: ignore[no-any-return]


def make_refiner(name: str, *, wide: bool) -> Refiner:
    """The refiner called `bicubic` or `guided`; `wide`: uint16 alpha. ValueError for another name."""
    if name == "bicubic":
        return Bicubic(wide=wide)
    if name == "guided":
        return Guided(wide=wide)
    raise ValueError(f"unknown refinement '{name}'; there are bicubic and guided")


def quantise(alpha: SmallAlpha, *, wide: bool) -> AlphaArray:
    """float32 alpha as uint8 or uint16, rounded, clamped, its ends settled (Note [Alpha's ends])."""
    if wide:
        return settle_ends(cv.addWeighted(alpha, 65535.0, alpha, 0.0, 0.0, dtype=cv2.CV_16U))
    return cv.addWeighted(alpha, 255.0, alpha, 0.0, 0.0, dtype=cv2.CV_8U)  # type: ignore[no-any-return]


def settle_ends(alpha: AlphaArray) -> AlphaArray:
    """uint16 alpha within half an 8-bit step of 0 or 1 becomes 0 or 1, in place; uint8 as it is."""
    if alpha.dtype == np.uint8:
        return alpha
    for _ in range(2):  # once from above on the inverse, once from below
        cv.bitwise_not(alpha, dst=alpha)
        cv.threshold(alpha, _HALF_STEP_WIDE, 0, cv2.THRESH_TOZERO, dst=alpha)
    return alpha
