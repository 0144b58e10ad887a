"""`--region X,Y,WIDTH,HEIGHT`: people are kept only inside a rectangle of the picture.

Note [Region's units]
    Four numbers of which none is above 1 are shares of the picture's width and height (0.25,0,0.5,1: the middle half);
    otherwise they are whole pixels of the input as it is shown: upright (a phone's clip is turned first) and before
    `--size`. Inside the border alpha rises from 0 over 2.5 % of the shorter side, so that nobody is cut off with a hard
    line; a side that lies on the picture's own edge has no such ramp.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from livematte.errors import UsageError
from livematte.frames import AlphaArray

cv: Any = cv2  # OpenCV's own stubs know neither dtypes nor scalars as operands

SmallAlpha = npt.NDArray[np.float32]

_RAMP_SHARE: Final = 0.025
"""Of the shorter side of the picture: how far inside its border a region reaches full weight."""
_LARGEST_SIDE: Final = 1 << 20
_SNAP: Final = 2e-4
"""A side this close to the picture's edge is on it: thirds are written as 0.3333 and 0.6666."""
_ROUNDING: Final = 1e-6
"""Shares may exceed 1 together by this: 0.1 + 0.9 need not be 1."""


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle as shares of the picture, 0..1."""

    left: float
    top: float
    right: float
    bottom: float
    _weights: dict[tuple[int, int], SmallAlpha] = field(default_factory=dict, compare=False, repr=False)

    def keep_inside(self, alpha: SmallAlpha) -> SmallAlpha:
        """Alpha (h, w) float32 times the region's weight: 0 outside, 1 from a ramp's width inside on."""
        height, width = alpha.shape
        weight = self._weights.get((width, height))
        if weight is None:
            self._weights.clear()
            weight = self._weights[width, height] = self.weight(width, height)
        return cv.multiply(alpha, weight)  # type: ignore[no-any-return]

    def weight(self, width: int, height: int) -> SmallAlpha:
        """(height, width) float32: 0 outside, 1 inside, a linear ramp along the inner side of the border."""
        ramp = max(1.0, _RAMP_SHARE * min(width, height))
        across = _profile(self.left, self.right, width, ramp)
        down = _profile(self.top, self.bottom, height, ramp)
        return np.minimum(down[:, None], across[None, :])

    def clear_outside(self, alpha: AlphaArray) -> None:
        """Set alpha (H, W), uint8 or uint16, to 0 outside, in place: pixels whose middle is outside."""
        height, width = alpha.shape
        left, right = (int(np.ceil(share * width - 0.5)) for share in (self.left, self.right))
        top, bottom = (int(np.ceil(share * height - 0.5)) for share in (self.top, self.bottom))
        alpha[: max(top, 0)] = 0
        alpha[bottom:] = 0
        alpha[:, : max(left, 0)] = 0
        alpha[:, right:] = 0


def _profile(begin: float, end: float, count: int, ramp: float) -> SmallAlpha:
    """(count,) weights of pixels' middles along one side."""
    middles = (np.arange(count) + 0.5).astype(np.float64)
    rising = np.ones(count) if begin <= 0 else (middles - begin * count) / ramp
    falling = np.ones(count) if end >= 1 else (end * count - middles) / ramp
    return np.clip(np.minimum(rising, falling), 0, 1).astype(np.float32)


def parse_region(text: str, width: int, height: int) -> Region:
    """A region from `X,Y,WIDTH,HEIGHT` (Note [Region's units]) for an input of `width` x `height` px.

    UsageError: not four numbers, no area, not within the picture.
    """
    x, y, wide, high = _four_numbers(text)
    if max(x, y, wide, high) > 1:
        if any(number != int(number) for number in (x, y, wide, high)):
            raise UsageError(
                f"--region is '{text}', which mixes pixels and shares: pixels are whole numbers, and shares are "
                f"all between 0 and 1. {_EXAMPLES}"
            )
        if x + wide > width or y + high > height:
            raise UsageError(
                f"--region is '{text}', which reaches to {x + wide:g},{y + high:g}, and the picture has "
                f"{width}x{height} px (upright, before --size). Make it smaller, or give shares: {_SHARES}."
            )
        x, wide, y, high = x / width, wide / width, y / height, high / height
    elif x + wide > 1 + _ROUNDING or y + high > 1 + _ROUNDING:
        raise UsageError(
            f"--region is '{text}', shares of the picture that reach to {x + wide:g},{y + high:g}; X + WIDTH and "
            f"Y + HEIGHT may be 1 at most. {_EXAMPLES}"
        )
    right, bottom = (1.0 if end > 1 - _SNAP else end for end in (x + wide, y + high))
    return Region(x, y, right, bottom)


def check_region(text: str) -> None:
    """UsageError where `text` is no region, whatever the picture's size: for settings that come before the source."""
    parse_region(text, _LARGEST_SIDE, _LARGEST_SIDE)


_SHARES: Final = "0.25,0,0.5,1 is the middle half"
_EXAMPLES: Final = f"Write X,Y,WIDTH,HEIGHT in px (320,0,640,720), or as shares of the picture: {_SHARES}."


def _four_numbers(text: str) -> tuple[float, float, float, float]:
    words = text.split(",")
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        numbers = []
    if len(numbers) != 4 or not all(np.isfinite(numbers)):
        raise UsageError(f"--region is '{text}', which is not four numbers. {_EXAMPLES}")
    if min(numbers) < 0 or min(numbers[2:]) <= 0:
        raise UsageError(
            f"--region is '{text}'; X and Y may be 0 or more, and WIDTH and HEIGHT must be above 0. {_EXAMPLES}"
        )
    return numbers[0], numbers[1], numbers[2], numbers[3]
