"""YUV of any matrix and range in the colours that programs take an untagged camera's for.

Note [Camera colours]
    A virtual camera carries no colour tags, so the pixels have to be what programs take an untagged camera's for:
    BT.601 in limited range, for every YUV format. The sources: the USB video class says that a camera which states
    nothing has SMPTE 170M coefficients; V4L2's sRGB colour space, which v4l2loopback states, defaults to
    V4L2_YCBCR_ENC_601 in limited range (https://www.kernel.org/doc/html/latest/userspace-api/media/v4l/
    colorspaces-details.html); Chrome reads OBS' virtual camera as BT.601, and shows false colours where it was BT.709
    (https://github.com/webrtc/samples/issues/1587); OBS' own capture source does the same
    (https://github.com/obsproject/obs-studio/issues/3378); and pyvirtualcam turns RGB into YUV by BT.601 limited
    (libyuv). A BT.709 picture sent as it is would show red as 233 0 2 and green as 20 255 9. RGB, RGBA: full range.

Note [Matrix change]
    From one YUV matrix to another without a way through RGB (libswscale goes through 8-bit RGB and clips): greys stay,
    chroma is a 2 x 2 map at its own size, and luma gets a share of chroma added, computed at chroma's size and
    enlarged. BT.709 4:2:0 to YUYV takes 1.1 ms for 720p on one core, to I420 0.6; without a change 0.5 and 0.05.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from livematte.color import LUMA_WEIGHTS, ColorSpec
from livematte.planes import PlaneArray
from livematte.sinks import chroma, matrix

cv: Any = cv2  # OpenCV's own stubs know neither dtypes nor scalars as operands

CAMERA_MATRIX: Final = "smpte170m"
CAMERA_RANGE: Final = "tv"


def to_camera_colors(planes: list[PlaneArray], color: ColorSpec) -> list[PlaneArray]:
    """8-bit Y, U, V of any subsampling in the camera's matrix and range (Notes [Camera colours], [Matrix change])."""
    change = _change(color.colorspace, color.color_range)
    if change is None:
        return planes
    luma, blue, red = planes
    (blue_to_luma, red_to_luma), rows = change.luma, change.chroma
    scaled = [
        cv.addWeighted(blue, from_blue, red, from_red, 128 - 128 * (from_blue + from_red))
        for from_blue, from_red in rows
    ]
    if not (blue_to_luma or red_to_luma):
        return [cv.addWeighted(luma, change.scale, luma, 0, change.offset), *scaled]
    share = cv.addWeighted(blue, blue_to_luma, red, red_to_luma, 128 - 128 * (blue_to_luma + red_to_luma))
    full: PlaneArray = np.empty(luma.shape, np.uint8)
    chroma.enlarge(share, full)
    return [cv.addWeighted(luma, change.scale, full, 1, change.offset - 128), *scaled]


@dataclass(frozen=True, slots=True)
class _Change:
    """From one matrix and range to the camera's, on 8-bit samples."""

    scale: float
    """Luma's factor."""
    offset: float
    """Added to luma."""
    luma: tuple[float, float]
    """Shares of (U - 128) and (V - 128) that are added to luma."""
    chroma: tuple[tuple[float, float], tuple[float, float]]
    """Shares of (U - 128) and (V - 128) in the new U and in the new V."""


@cache
def _change(colorspace: str, color_range: str) -> _Change | None:
    """None: the colours are the camera's already."""
    weights = LUMA_WEIGHTS.get(colorspace, LUMA_WEIGHTS["bt709"])
    if weights == LUMA_WEIGHTS[CAMERA_MATRIX] and color_range == CAMERA_RANGE:
        return None
    turned = np.linalg.inv(_rgb_of(LUMA_WEIGHTS[CAMERA_MATRIX])) @ _rgb_of(weights)
    if weights == LUMA_WEIGHTS[CAMERA_MATRIX]:
        turned = np.eye(3)
    luma_zero, luma_span = matrix.levels(8, color_range, False)
    chroma_span = matrix.levels(8, color_range, True)[1]
    new_zero, new_span = matrix.levels(8, CAMERA_RANGE, False)
    new_chroma = matrix.levels(8, CAMERA_RANGE, True)[1]
    scale = new_span / luma_span
    rows = turned[1:, 1:] * (new_chroma / chroma_span)
    return _Change(
        scale=scale,
        offset=new_zero - scale * luma_zero,
        luma=(float(turned[0, 1]) * new_span / chroma_span, float(turned[0, 2]) * new_span / chroma_span),
        chroma=((float(rows[0, 0]), float(rows[0, 1])), (float(rows[1, 0]), float(rows[1, 1]))),
    )


def _rgb_of(weights: tuple[float, float]) -> npt.NDArray[np.float64]:
    """(3, 3): Y 0..1, Cb and Cr -0.5..0.5 to RGB 0..1, by ITU-T H.273."""
    red, blue = weights
    green = 1 - red - blue
    return np.array(
        [
            [1.0, 0.0, 2 * (1 - red)],
            [1.0, -2 * (1 - blue) * blue / green, -2 * (1 - red) * red / green],
            [1.0, 2 * (1 - blue), 0.0],
        ]
    )
