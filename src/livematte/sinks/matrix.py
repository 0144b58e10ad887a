"""RGB and YUV, whole planes at a time, by the matrices of ITU-T H.273.

Note [Matrix]
    One affine 3 x 4 map a pixel (`cv2.transform`): 2.4 ms for a 1080p picture on one core, where libswscale with the
    flags that make it unbiased (ACCURATE_RND, FULL_CHR_H_INT) takes 16, and without them is off by 3/255 on average.
    Chroma comes in full size, raised by `chroma.py` with the right siting. Against exact arithmetic the result is
    within 0.5/255 on average, most of it from rounding to 8 bits twice. libswscale's 16-bit RGB would also end at
    65280 for white.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt

from livematte.color import LUMA_WEIGHTS, ColorSpec
from livematte.planes import PlaneArray

Affine = npt.NDArray[np.float64]


def levels(bits: int, spread: str, is_chroma: bool) -> tuple[float, float]:
    """(zero, span) of a plane: 16 and 219 for 8-bit limited luma, 128 and 224 for its chroma, 128 and 255 if full."""
    scale = float(1 << (bits - 8))
    if spread == "pc":
        return (128.0 * scale if is_chroma else 0.0), float((1 << bits) - 1)
    return (128.0 * scale, 224.0 * scale) if is_chroma else (16.0 * scale, 219.0 * scale)


def to_rgb(planes: Sequence[PlaneArray], bits: int, color: ColorSpec, *, wide: bool) -> PlaneArray:
    """(H, W, 3) full-range RGB, uint8 or (wide) uint16 up to 65535, of three full-size planes of `bits` bits.

    Planes are Y, U, V; or G, B, R where `color.colorspace` is `rgb`. No tone mapping: HDR stays HDR.
    """
    is_rgb = color.colorspace == "rgb"
    ordered = [planes[2], planes[0], planes[1]] if is_rgb else list(planes)
    peak = 65535.0 if wide or bits > 8 else 255.0
    if peak == 65535.0 and bits == 8:
        ordered = [plane.astype(np.uint16) for plane in ordered]
    joined = cast(PlaneArray, cv2.merge(cast(Any, ordered)))
    if is_rgb:
        scale = peak / ((1 << bits) - 1)
        rgb = joined if scale == 1.0 else cast(PlaneArray, cv2.multiply(joined, _every(scale)))
    else:
        rgb = cast(PlaneArray, cv2.transform(joined, _yuv_to_rgb(color.colorspace, color.color_range, bits, peak)))
    if peak == 65535.0 and not wide:
        return cast(PlaneArray, cv2.multiply(rgb, _every(255.0 / 65535.0), dtype=cv2.CV_8U))
    return rgb


def to_yuv(planes: Sequence[PlaneArray], bits: int, color: ColorSpec, wanted_bits: int) -> list[PlaneArray]:
    """Full-size limited-range Y, U, V of `wanted_bits` bits in the matrix of `color`, from G, B, R planes."""
    ordered: list[PlaneArray] = [planes[2], planes[0], planes[1]]
    if wanted_bits > 8 and bits == 8:
        ordered = [plane.astype(np.uint16) for plane in ordered]
    joined = cv2.merge(cast(Any, ordered))
    yuv = cv2.transform(joined, _rgb_to_yuv(color.colorspace, color.color_range, bits, wanted_bits))
    # No clipping: RGB within its range cannot leave limited-range YUV, and only that is asked for.
    if wanted_bits == 8 and bits > 8:
        yuv = yuv.astype(np.uint8)
    return cast(list[PlaneArray], list(cv2.split(yuv)))


def _every(scale: float) -> Any:
    """A factor for all channels: OpenCV reads a bare number as the first channel's alone."""
    return (scale, scale, scale, scale)


@cache
def _yuv_to_rgb(matrix: str, spread: str, bits: int, peak: float) -> Affine:
    red, blue = LUMA_WEIGHTS.get(matrix, LUMA_WEIGHTS["bt709"])
    green = 1.0 - red - blue
    linear = np.array(
        [
            [1.0, 0.0, 2 * (1 - red)],
            [1.0, -2 * (1 - blue) * blue / green, -2 * (1 - red) * red / green],
            [1.0, 2 * (1 - blue), 0.0],
        ]
    )
    luma, chroma = levels(bits, spread, False), levels(bits, spread, True)
    scaled = linear / np.array([luma[1], chroma[1], chroma[1]]) * peak
    offset = -scaled @ np.array([luma[0], chroma[0], chroma[0]])
    return np.hstack([scaled, offset[:, None]])


@cache
def _rgb_to_yuv(matrix: str, spread: str, bits: int, wanted_bits: int) -> Affine:
    red, blue = LUMA_WEIGHTS.get(matrix, LUMA_WEIGHTS["bt709"])
    luma_row = np.array([red, 1.0 - red - blue, blue])
    rows = np.stack(
        [
            luma_row,
            (np.array([0.0, 0.0, 1.0]) - luma_row) / (2 * (1 - blue)),
            (np.array([1.0, 0.0, 0.0]) - luma_row) / (2 * (1 - red)),
        ]
    )
    luma, chroma = levels(wanted_bits, spread, False), levels(wanted_bits, spread, True)
    spans, zeros = np.array([luma[1], chroma[1], chroma[1]]), np.array([luma[0], chroma[0], chroma[0]])
    return np.hstack([rows * spans[:, None] / ((1 << bits) - 1), zeros[:, None]])
