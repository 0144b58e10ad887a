"""A canvas: the format that a background has to be in, and the ways of colours and pictures into it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.video.reformatter import VideoReformatter

from livematte import color
from livematte.color import LUMA_WEIGHTS, ColorSpec
from livematte.color_convert import (
    SWS_ACCURATE_RND,
    SWS_AREA,
    SWS_BICUBIC,
    SWS_FULL_CHR_H_INP,
    SWS_FULL_CHR_H_INT,
    SWS_MATRICES,
    SWS_RANGES,
    to_rgb,
)
from livematte.planes import Layout, PlaneArray, layout, plane_arrays

cv: Any = cv2  # OpenCV's own stubs know neither dtypes nor scalars as operands

RgbImage = npt.NDArray[np.uint8]

_SDR_WHITE_NITS: Final = 203.0
"""Where SDR white lies in an HDR signal: Rep. ITU-R BT.2408, https://www.itu.int/pub/R-REP-BT.2408."""
_SMOOTH: Final = SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT | SWS_FULL_CHR_H_INP


@dataclass(frozen=True, slots=True)
class Canvas:
    """The pictures that a background has to match; a key for what was converted before."""

    width: int
    height: int
    pix_fmt: str
    color: ColorSpec

    @property
    def kind(self) -> Layout:
        """Memory layout of the format."""
        return layout(self.pix_fmt)


def flat_values(rgb: Sequence[int], canvas: Canvas) -> tuple[int, ...]:
    """One sRGB colour as sample values in the canvas's plane order, exact to rounding."""
    kind, spec = canvas.kind, canvas.color
    signal = _hdr_signal(np.array(rgb, np.uint8).reshape(1, 1, 3), spec).reshape(3)
    red, green, blue = (float(value) for value in signal)
    steps = 1 << (kind.bits - 8)
    full = spec.color_range == "pc"
    scale, zero = (float(kind.peak), 0.0) if full else (219.0 * steps, 16.0 * steps)
    if kind.is_rgb:
        return tuple(round(zero + scale * value) for value in (green, blue, red))
    share_red, share_blue = LUMA_WEIGHTS.get(spec.colorspace, LUMA_WEIGHTS["bt709"])
    luma = share_red * red + (1 - share_red - share_blue) * green + share_blue * blue
    chroma_scale, middle = (float(kind.peak) if full else 224.0 * steps), float(1 << (kind.bits - 1))
    blue_difference = (blue - luma) / (2 * (1 - share_blue))
    red_difference = (red - luma) / (2 * (1 - share_red))
    chroma = (min(round(middle + chroma_scale * value), kind.peak) for value in (blue_difference, red_difference))
    return (round(zero + scale * luma), *chroma)


def rgb_planes(rgb: RgbImage, canvas: Canvas) -> list[PlaneArray]:
    """An sRGB picture (h, w, 3) uint8, scaled to cover the canvas and cropped to its middle, in its format."""
    kind = canvas.kind
    if kind.is_rgb or canvas.color.is_hdr:
        rgb = _cover_rgb(rgb, canvas)
    if kind.is_rgb:
        signal = _hdr_signal(rgb, canvas.color)
        limited = canvas.color.color_range == "tv"
        steps = 1 << (kind.bits - 8)
        stored = signal * (219.0 * steps) + 16.0 * steps if limited else signal * float(kind.peak)
        rounded = np.rint(stored).astype(kind.dtype)
        return [np.ascontiguousarray(rounded[..., channel]) for channel in (1, 2, 0)]
    if canvas.color.is_hdr:
        # swscale's 16-bit RGB has white at 65280 (color_convert.py, Note [Colour conversion]).
        wide = np.rint(_hdr_signal(rgb, canvas.color) * 65280).astype(np.uint16)
        picture = av.VideoFrame.from_ndarray(wide, "rgb48le")
    else:
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), "rgb24")
    return _reformatted(picture, canvas, None, "pc")


def picture_planes(picture: av.VideoFrame, canvas: Canvas) -> list[PlaneArray]:
    """A decoded picture in any format, upright, scaled to cover the canvas and cropped, in its format and colours."""
    known = picture.format
    is_rgb = known.is_rgb or known.name == "pal8"
    spec = color.resolve(
        colorspace=int(picture.colorspace),
        color_range=int(picture.color_range),
        primaries=int(picture.color_primaries),
        trc=int(picture.color_trc),
        is_rgb=is_rgb,
        height=picture.height,
        full_range_name=known.name.startswith("yuvj"),
    )
    turns = round(picture.rotation / 90) % 4
    if turns or canvas.kind.is_rgb or spec.is_hdr != canvas.color.is_hdr:
        working = picture.reformat(format="gbrp" if is_rgb else "yuv444p10le", dst_color_range=_same_range(spec))
        upright = np.rot90(to_rgb(working, spec, picture.width, picture.height), turns)
        return rgb_planes(np.ascontiguousarray(upright), canvas)
    return _reformatted(picture, canvas, None if is_rgb else spec.colorspace, spec.color_range)


def _same_range(spec: ColorSpec) -> int:
    return SWS_RANGES[spec.color_range]


def _reformatted(picture: av.VideoFrame, canvas: Canvas, matrix: str | None, span: str) -> list[PlaneArray]:
    """One swscale pass to the size that covers the canvas, then the middle of its planes."""
    kind = canvas.kind
    width, height = _cover_size(picture.width, picture.height, canvas)
    shrinks = width < picture.width
    converted = VideoReformatter().reformat(
        picture,
        width=width,
        height=height,
        format=canvas.pix_fmt,
        src_colorspace=None if matrix is None else SWS_MATRICES.get(matrix, SWS_MATRICES["bt709"]),
        dst_colorspace=SWS_MATRICES.get(canvas.color.colorspace, SWS_MATRICES["bt709"]),
        src_color_range=SWS_RANGES[span],
        dst_color_range=SWS_RANGES[canvas.color.color_range],
        interpolation=_SMOOTH | (SWS_AREA if shrinks else SWS_BICUBIC),
    )
    across, down = 1 << kind.log2_chroma_width, 1 << kind.log2_chroma_height
    left, top = (width - canvas.width) // 2 // across, (height - canvas.height) // 2 // down  # in chroma samples
    cropped: list[PlaneArray] = []
    for number, plane in enumerate(plane_arrays(converted)):
        x, y = (left, top) if number else (left * across, top * down)
        columns = -(-canvas.width // across) if number else canvas.width
        rows = -(-canvas.height // down) if number else canvas.height
        part: PlaneArray = plane[y : y + rows, x : x + columns].copy()
        cropped.append(part)
    return cropped


def _cover_size(width: int, height: int, canvas: Canvas) -> tuple[int, int]:
    scale = max(canvas.width / width, canvas.height / height)
    return max(canvas.width, round(width * scale)), max(canvas.height, round(height * scale))


def _cover_rgb(rgb: RgbImage, canvas: Canvas) -> RgbImage:
    width, height = _cover_size(rgb.shape[1], rgb.shape[0], canvas)
    way = cv2.INTER_AREA if width < rgb.shape[1] else cv2.INTER_CUBIC
    scaled = cv.resize(rgb, (width, height), interpolation=way)
    top, left = (height - canvas.height) // 2, (width - canvas.width) // 2
    cropped: RgbImage = scaled[top : top + canvas.height, left : left + canvas.width]
    return cropped


def _hdr_signal(rgb: RgbImage, spec: ColorSpec) -> npt.NDArray[np.float32]:
    """sRGB as the signal 0..1 of the canvas's transfer: the same numbers for SDR; in HDR white lies at 203 nit.

    PQ and HLG by Rec. ITU-R BT.2100, https://www.itu.int/rec/R-REC-BT.2100 (HLG with a 1000 nit display's OOTF).
    """
    if not spec.is_hdr:
        return rgb.astype(np.float32) * np.float32(1 / 255)
    codes = np.arange(256) / 255
    linear = np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)
    light = linear.astype(np.float32)[rgb]
    if spec.color_primaries == "bt2020":
        to_bt2020 = ((0.6274, 0.3293, 0.0433), (0.0691, 0.9195, 0.0114), (0.0164, 0.0880, 0.8956))  # BT.2087
        light = light @ np.array(to_bt2020, np.float32).T
    if spec.color_trc == "smpte2084":
        share = (light * (_SDR_WHITE_NITS / 10000)) ** 0.1593017578125
        return np.asarray(((0.8359375 + 18.8515625 * share) / (1 + 18.6875 * share)) ** 78.84375, np.float32)
    # Display light to scene light with the inverse OOTF (gamma 1.2), a channel each, then the OETF.
    scene = (light * (_SDR_WHITE_NITS / 1000)) ** (1 / 1.2)
    root = np.sqrt(3 * scene)
    log = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-6)) + 0.55991073
    return np.asarray(np.where(scene <= 1 / 12, root, log), np.float32)
