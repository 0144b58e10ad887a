"""Chroma planes between 4:2:0, 4:2:2 and 4:4:4, with the siting of MPEG video.

Note [Chroma siting]
    MPEG-2, H.264, HEVC, VP9 and ProRes place chroma "left": horizontally on every second luma sample, vertically
    (4:2:0) half way between two rows (ITU-T H.273, chroma_loc 0). libswscale, asked through PyAV, centres it
    horizontally too, which moves colours by half a luma pixel: measured on a ramp, 69.75 70.25 70.75 where
    70 70.5 71 is right. So the planes are resampled here: linear interpolation up, [1 2 1] / 4 and a mean of two rows
    down. It is also faster: 2.5 against 3.4 ms for 4:2:0 to 4:4:4 at 1080p.
"""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np

from livematte.planes import PlaneArray

_HALF_BAND = np.array([[0.25, 0.5, 0.25]], np.float32)


def enlarge(plane: PlaneArray, target: PlaneArray) -> None:
    """Interpolate `plane` to the size of `target`, doubling the sides that differ; written into `target`."""
    height, width = target.shape
    taller = plane.shape[0] != height
    wider = plane.shape[1] != width
    if taller and not wider and height == 2 * plane.shape[0]:
        cv2.resize(plane, (width, height), dst=target, interpolation=cv2.INTER_LINEAR)
        return
    tall = _double_rows(plane) if taller else plane
    if wider:
        _double_columns(tall[:height], target)
    else:
        np.copyto(target, tall[:height])


def reduce(plane: PlaneArray, height: int, width: int) -> PlaneArray:
    """Halve the sides of `plane` that differ from (height, width); rounded to nearest."""
    if plane.shape[1] != width:
        filtered = cv2.filter2D(plane, -1, _HALF_BAND, borderType=cv2.BORDER_REPLICATE)
        plane = cast(PlaneArray, np.ascontiguousarray(filtered[:, ::2]))
    if plane.shape[0] != height:
        if plane.shape[0] % 2:
            plane = np.concatenate([plane, plane[-1:]])
        plane = cast(PlaneArray, cv2.addWeighted(plane[0::2], 0.5, plane[1::2], 0.5, 0.0))
    return plane.reshape(height, width)


def _double_rows(plane: PlaneArray) -> PlaneArray:
    size = (plane.shape[1], 2 * plane.shape[0])
    tall = cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR)
    return cast(PlaneArray, tall.reshape(size[1], size[0]))


def _double_columns(plane: PlaneArray, target: PlaneArray) -> None:
    """Even columns are the samples themselves, odd ones the mean of their neighbours (Note [Chroma siting])."""
    height, width = target.shape
    if plane.shape[1] == 1:
        target[:] = plane
        return
    following = np.concatenate([plane[:, 1:], plane[:, -1:]], axis=1)
    between = cv2.addWeighted(plane, 0.5, following, 0.5, 0.0).reshape(plane.shape)
    if width == 2 * plane.shape[1]:
        cv2.merge([plane, between], dst=target.reshape(height, plane.shape[1], 2))
        return
    target[:, 0::2] = plane[:, : (width + 1) // 2]
    target[:, 1::2] = between[:, : width // 2]
