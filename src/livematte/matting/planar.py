"""Arithmetic on the planes of a picture in integers: grids of alpha, the over operator, scratch memory."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, Final

import av
import cv2
import numpy as np
import numpy.typing as npt

from livematte.frames import AlphaArray
from livematte.planes import Layout, PlaneArray, new_picture

cv: Any = cv2  # OpenCV's own stubs know neither dtypes nor scalars as operands

_STRIP_BYTES: Final = 1 << 17
"""Planes are mixed in strips of this size, so that the six passes over a strip stay in the cache."""


@dataclass(slots=True)
class PlaneGroup:
    """Planes that share one sampling grid, with alpha on that grid."""

    planes: tuple[int, ...]
    """Indices of the picture's planes."""
    alpha: AlphaArray
    """Mean alpha of the pixels that each sample covers, rounded."""
    opaque: npt.NDArray[np.uint8]
    """255 where alpha is 1 in every pixel that the sample covers, else 0."""
    sample_peak: int
    """Largest value of the planes' samples."""

    @property
    def peak(self) -> int:
        """Alpha's value for 1."""
        return int(np.iinfo(self.alpha.dtype).max)


def split_groups(alpha: AlphaArray, kind: Layout) -> list[PlaneGroup]:
    """Alpha on the grid of each of the format's planes: one group, or two where chroma is subsampled."""
    peak = int(np.iinfo(alpha.dtype).max)
    opaque = cv.inRange(alpha, peak, peak)
    across, down = 1 << kind.log2_chroma_width, 1 << kind.log2_chroma_height
    if (across, down) == (1, 1):
        return [PlaneGroup((0, 1, 2), alpha, opaque, kind.peak)]
    chroma_alpha = reduce_exactly(alpha, across, down)
    # A mean of up to 16 values of 0 and 255 rounds to 255 only where all are 255.
    chroma_opaque = cv.inRange(reduce_exactly(opaque, across, down), 255, 255)
    return [
        PlaneGroup((0,), alpha, opaque, kind.peak),
        PlaneGroup((1, 2), chroma_alpha, chroma_opaque, kind.peak),
    ]


def reduce_exactly(plane: PlaneArray, across: int, down: int) -> PlaneArray:
    """Mean over blocks of `across` x `down` pixels, rounded; a short last block repeats its last row and column."""
    height, width = plane.shape
    below, right = -height % down, -width % across
    if below or right:
        plane = cv.copyMakeBorder(plane, 0, below, 0, right, cv2.BORDER_REPLICATE)
    size = ((width + right) // across, (height + below) // down)
    # LINEAR at exactly a half along one axis is the mean of two, four times as fast as AREA for that shape.
    way = cv2.INTER_LINEAR if {across, down} == {1, 2} else cv2.INTER_AREA
    reduced: PlaneArray = cv.resize(plane, size, interpolation=way)
    return reduced


class _Scratch(threading.local):
    """Buffers of one thread that outlive a call: fresh memory costs its page faults again for every frame."""

    def __init__(self) -> None:
        self._known: dict[str, PlaneArray] = {}

    def get(self, name: str, like: PlaneArray) -> PlaneArray:
        """A plane of this shape and dtype with undefined samples: the start of the last one's memory where it fits."""
        found = self._known.get(name)
        if found is None or found.size < like.size or found.dtype != like.dtype:
            found = self._known[name] = np.empty(like.size, like.dtype)
        plane: PlaneArray = found[: like.size].reshape(like.shape)
        return plane


scratch = _Scratch()


def mix(base: PlaneArray, plus: PlaneArray, minus: PlaneArray, weight: PlaneArray, out: PlaneArray) -> PlaneArray:
    """base + weight * (plus - minus) into `out`, in integers, each product rounded, clamped to the dtype; `out`.

    All of one shape and dtype (uint8 or uint16); weight is of full scale. With `minus` = `base` it is the over
    operator: exact to half a step, and exactly `base` or `plus` where the weight is 0 or 1. Four cheap passes and two
    multiplications: 0.9 ms for 1920x1080 uint8; in each strip only the rectangle that has any weight. `out` may be
    `base`.
    """
    scale = 1 / int(np.iinfo(base.dtype).max)
    step = max(8, _STRIP_BYTES // (base.shape[1] * base.itemsize))
    for top in range(0, base.shape[0], step):
        strip = slice(top, top + step)
        rows, columns = bounds(weight[strip])
        if out is not base:
            np.copyto(out[strip], base[strip])
        if rows.stop == rows.start:
            continue
        part = slice(top + rows.start, top + rows.stop), columns
        below, above, beneath, target, share = base[part], plus[part], minus[part], out[part], weight[part]
        up, down = scratch.get("up", below), scratch.get("down", below)
        cv.subtract(above, beneath, dst=up)
        cv.subtract(beneath, above, dst=down)
        cv.multiply(up, share, dst=up, scale=scale)
        cv.multiply(down, share, dst=down, scale=scale)
        cv.add(below, up, dst=target)
        cv.subtract(target, down, dst=target)
    return out


def bounds(plane: PlaneArray) -> tuple[slice, slice]:
    """(rows, columns) of the smallest rectangle that holds all samples other than 0; both empty where there is none."""
    left, top, width, height = cv.boundingRect(plane if plane.dtype == np.uint8 else (plane > 0).view(np.uint8))
    return slice(top, top + height), slice(left, left + width)


def weight_for(alpha: AlphaArray, dtype: npt.DTypeLike) -> AlphaArray:
    """Alpha in the full scale of this dtype, uint8 or uint16; the same array where it is that already."""
    if alpha.dtype == dtype:
        return alpha
    if alpha.dtype == np.uint16:
        return cv.convertScaleAbs(alpha, alpha=1 / 257)  # type: ignore[no-any-return]
    return np.multiply(alpha, 257, dtype=np.uint16)


def like(picture: av.VideoFrame) -> av.VideoFrame:
    """An empty picture with the time and the colour tags of this one."""
    fresh = new_picture(picture.format.name, picture.width, picture.height)
    fresh.pts = picture.pts
    if picture.time_base is not None:
        fresh.time_base = picture.time_base
    fresh.colorspace = picture.colorspace
    fresh.color_range = picture.color_range
    return fresh
