"""Pictures as a camera gives them: packed 8-bit pixels of one size, in the colours of `camera_colors.py`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, cast

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.video.reformatter import VideoReformatter

from livematte.color import ColorSpec
from livematte.color_convert import (
    SWS_ACCURATE_RND,
    SWS_AREA,
    SWS_BICUBIC,
    SWS_FULL_CHR_H_INT,
    SWS_MATRICES,
    SWS_RANGES,
    to_rgb,
)
from livematte.frames import AlphaArray
from livematte.live.base import LiveFrame, Placeholder
from livematte.live.outputs.camera_colors import CAMERA_MATRIX, CAMERA_RANGE, to_camera_colors
from livematte.planes import PlaneArray, alpha_to_bits, layout, plane_arrays
from livematte.reporting import Reporter
from livematte.sinks import chroma, matrix

cv: Any = cv2  # OpenCV's own stubs know neither dtypes nor scalars as operands

PixelName = Literal["YUYV", "UYVY", "I420", "NV12", "RGB", "RGBA"]
"""Names as pyvirtualcam's `PixelFormat` has them."""
Bytes = npt.NDArray[np.uint8]

_HALF_HEIGHT: Final = frozenset({"I420", "NV12"})


@dataclass(frozen=True, slots=True)
class Region:
    """Where a picture lies within the camera's: px, all even."""

    left: int
    top: int
    width: int
    height: int


class CameraPacker:
    """Makes a camera's pictures, of one size and format. Used by one thread; the result is overwritten by the next."""

    def __init__(self, pixel: PixelName, width: int, height: int, *, reporter: Reporter) -> None:
        """`width` and `height`: even, px."""
        self._pixel, self._width, self._height = pixel, width, height
        self._reporter = reporter
        self._reformatter = VideoReformatter()
        self._region: Region | None = None
        self._buffer = np.zeros(_buffer_shape(pixel, width, height), np.uint8)

    def pack(self, picture: av.VideoFrame, color: ColorSpec) -> Bytes:
        """An opaque picture in a working format (`frames.py`) as the camera's bytes.

        Returns (H, W, 3) or (H, W, 4) uint8 for RGB and RGBA, else a flat array. A picture of another size is scaled
        with its aspect kept, over black.
        """
        if self._pixel in ("RGB", "RGBA"):
            self._place_rgb(self._fit_rgb(_rgb(picture, color), picture), None)
            return self._buffer
        region = self._settle(picture.width, picture.height)
        planes = self._camera_planes(picture, color, region)
        self._place(planes, region)
        return self._buffer.reshape(-1)

    def pack_straight(self, foreground: av.VideoFrame, color: ColorSpec, alpha: AlphaArray) -> Bytes:
        """STRAIGHT colours and (H, W) alpha as (H, W, 4) RGBA; outside the picture alpha is 0. RGBA only."""
        if self._pixel != "RGBA":
            raise ValueError(f"{self._pixel} carries no alpha")
        fitted = self._fit_rgb(_rgb(foreground, color), foreground)
        narrow = alpha_to_bits(alpha, 8)
        self._place_rgb(fitted, self._fit_rgb(cast(Bytes, narrow), foreground))
        return self._buffer

    # -- geometry -----------------------------------------------------------------------------------------------

    def _settle(self, width: int, height: int) -> Region:
        """The region for a picture of this size; where it is another than before, the rest becomes black."""
        region = fit(width, height, self._width, self._height)
        if region != self._region:
            self._region = region
            self._blacken()
            if not self._is_own_size(width, height):
                self._reporter.note(
                    f"The picture is {width}x{height}; the camera keeps {self._width}x{self._height}, so it is scaled "
                    "to fit."
                )
        return region

    def _is_own_size(self, width: int, height: int) -> bool:
        """True also for an odd side, which loses its last row or column: cameras have even sides."""
        return (width - width % 2, height - height % 2) == (self._width, self._height)

    def _blacken(self) -> None:
        """Black and, in RGBA, transparent."""
        self._buffer[:] = 0
        if self._pixel in ("YUYV", "UYVY"):
            pairs = self._buffer.reshape(self._height, self._width, 2)
            luma = 0 if self._pixel == "YUYV" else 1
            pairs[..., luma], pairs[..., 1 - luma] = 16, 128
        elif self._pixel in _HALF_HEIGHT:
            self._buffer[: self._height], self._buffer[self._height :] = 16, 128

    # -- YUV ----------------------------------------------------------------------------------------------------

    def _camera_planes(self, picture: av.VideoFrame, color: ColorSpec, region: Region) -> list[PlaneArray]:
        """8-bit Y, U, V of the region's size in the camera's colours; chroma 4:2:0 or 4:2:2 as the format has it."""
        kind = layout(picture.format.name)
        if kind.is_rgb or color.is_hdr:
            rgb = to_rgb(picture, color, region.width, region.height)
            return self._scaled(av.VideoFrame.from_ndarray(rgb, "rgb24"), region, None)
        if kind.bits > 8 or not self._is_own_size(picture.width, picture.height):
            planes = self._scaled(picture, region, color)
        else:
            planes = plane_arrays(picture)[:3]
        luma = planes[0][: region.height, : region.width]
        rows = region.height // 2 if self._pixel in _HALF_HEIGHT else region.height
        differences = [_chroma_at(plane, rows, region.width // 2) for plane in planes[1:]]
        return to_camera_colors([luma, *differences], color)

    def _scaled(self, picture: av.VideoFrame, region: Region, color: ColorSpec | None) -> list[PlaneArray]:
        """One libswscale pass to the region's size and 8 bits; None: from RGB into the camera's own colours."""
        own = CAMERA_MATRIX if color is None else color.colorspace
        number = SWS_MATRICES.get(own, SWS_MATRICES["bt709"])
        spread = SWS_RANGES[CAMERA_RANGE if color is None else color.color_range]
        shrinks = region.width < picture.width
        converted = self._reformatter.reformat(
            picture,
            width=region.width,
            height=region.height,
            format="yuv420p" if self._pixel in _HALF_HEIGHT else "yuv422p",
            src_colorspace=None if color is None else number,
            dst_colorspace=number,
            src_color_range=SWS_RANGES["pc"] if color is None else spread,
            dst_color_range=spread,
            interpolation=SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT | (SWS_AREA if shrinks else SWS_BICUBIC),
            threads=1,
        )
        return plane_arrays(converted)

    def _place(self, planes: list[PlaneArray], region: Region) -> None:
        luma, blue, red = cast(list[Bytes], planes)
        left, top, width, height = region.left, region.top, region.width, region.height
        if self._pixel in ("YUYV", "UYVY"):
            pairs = self._buffer.reshape(self._height, self._width, 2)[top : top + height, left : left + width]
            between = cv.merge([blue, red]).reshape(height, width)
            pairs[:] = cv.merge([luma, between] if self._pixel == "YUYV" else [between, luma])
            return
        self._buffer[top : top + height, left : left + width] = luma
        rows, columns = slice(top // 2, (top + height) // 2), slice(left // 2, (left + width) // 2)
        below = self._buffer[self._height :].reshape(-1)
        if self._pixel == "NV12":
            below.reshape(self._height // 2, self._width // 2, 2)[rows, columns] = cv.merge([blue, red])
            return
        halves = below.reshape(2, self._height // 2, self._width // 2)
        halves[0, rows, columns], halves[1, rows, columns] = blue, red

    # -- RGB ----------------------------------------------------------------------------------------------------

    def _fit_rgb(self, pixels: Bytes, picture: av.VideoFrame) -> Bytes:
        """(h, w) or (h, w, c) at the region's size."""
        region = self._settle(picture.width, picture.height)
        if self._is_own_size(picture.width, picture.height):
            return pixels[: region.height, : region.width]
        way = cv2.INTER_AREA if region.width < picture.width else cv2.INTER_LINEAR
        return cast(Bytes, cv.resize(pixels, (region.width, region.height), interpolation=way))

    def _place_rgb(self, rgb: Bytes, alpha: Bytes | None) -> None:
        region = self._region
        assert region is not None, "_settle comes first"
        inner = self._buffer[region.top : region.top + region.height, region.left : region.left + region.width]
        if self._pixel == "RGB":
            inner[:] = rgb
            return
        if alpha is None:
            self._buffer[..., 3] = 255  # an opaque picture has opaque black around it
            alpha = np.full(rgb.shape[:2], 255, np.uint8)
        elif inner.shape != self._buffer.shape:
            self._buffer[..., 3] = 0
        inner[:] = cv.merge([*cv.split(np.ascontiguousarray(rgb)), np.ascontiguousarray(alpha)])


def fit(width: int, height: int, wide: int, high: int) -> Region:
    """The largest region with the picture's aspect in the middle of `wide` x `high`; even numbers, at least 2."""
    if (width - width % 2, height - height % 2) == (wide, high):
        return Region(0, 0, wide, high)
    scale = min(wide / width, high / height)
    inner_width = min(wide, max(2, 2 * round(width * scale / 2)))
    inner_height = min(high, max(2, 2 * round(height * scale / 2)))
    return Region((wide - inner_width) // 4 * 2, (high - inner_height) // 4 * 2, inner_width, inner_height)


def is_same(item: LiveFrame | Placeholder, last: LiveFrame | Placeholder) -> bool:
    """True where both show one picture: the very item, or a copy of it that differs in what is not shown."""
    if item is last:
        return True
    if isinstance(item, LiveFrame) and isinstance(last, LiveFrame):
        return (item.generation, item.number) == (last.generation, last.number) and item.composite is last.composite
    return False


def even_size(width: int, height: int) -> tuple[int, int]:
    """The camera's size for pictures of this size: it has even sides, so an odd one loses a row or column."""
    return max(2, width - width % 2), max(2, height - height % 2)


def _chroma_at(plane: PlaneArray, rows: int, columns: int) -> PlaneArray:
    """A chroma plane at (rows, columns): halved or doubled with the right siting, an odd rest cut off."""
    shape = plane.shape
    halves = (rows if shape[0] <= rows + 1 else 2 * rows, columns if shape[1] <= columns + 1 else 2 * columns)
    plane = plane[: halves[0], : halves[1]]
    if plane.shape[1] > columns or plane.shape[0] > rows:
        target = (min(plane.shape[0], rows), columns)
        plane = chroma.reduce(cast(PlaneArray, np.ascontiguousarray(plane)), *target)
    if plane.shape[0] < rows:
        taller = np.empty((rows, columns), plane.dtype)
        chroma.enlarge(cast(PlaneArray, np.ascontiguousarray(plane)), taller)
        return taller
    return plane


def _rgb(picture: av.VideoFrame, color: ColorSpec) -> Bytes:
    """(H, W, 3) full-range RGB at the picture's own size."""
    kind = layout(picture.format.name)
    if color.is_hdr:
        return to_rgb(picture, color, picture.width, picture.height)
    planes = plane_arrays(picture)[:3]
    if not kind.is_rgb:
        for index in (1, 2):
            if planes[index].shape != planes[0].shape:
                full = np.empty_like(planes[0])
                chroma.enlarge(planes[index], full)
                planes[index] = full
    elif color.color_range == "tv":
        return to_rgb(picture, color, picture.width, picture.height)
    return cast(Bytes, matrix.to_rgb(planes, kind.bits, color, wide=False))


def _buffer_shape(pixel: PixelName, width: int, height: int) -> tuple[int, ...]:
    if pixel in ("RGB", "RGBA"):
        return (height, width, len(pixel))
    return (height * 3 // 2, width) if pixel in _HALF_HEIGHT else (height, 2 * width)
