"""Foreground and alpha -> the picture that an encoder takes. Planes are copied; only what differs is converted.

Note [What is exact]
    Where source and encoder agree in matrix, range, subsampling and depth, samples are copied bit for bit. Deeper
    planes are a left shift (exact for limited range), alpha is written by our own rounding tables (libswscale moves
    it by 1), chroma is resampled by `chroma.py`. libswscale is used between RGB and YUV only, with matrix and range
    given. Alpha is always full range, whatever the colours are.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, cast

import av
import cv2
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from livematte.color import ColorSpec
from livematte.frames import AlphaArray
from livematte.planes import PlaneArray, alpha_to_bits, layout, new_picture, plane_arrays
from livematte.reporting import Reporter
from livematte.sinks import chroma, matrix
from livematte.sinks.encoding import Encoding, padded_size
from livematte.sinks.matrix import levels
from livematte.sinks.stacked import halves
from livematte.sinks.tags import tag

_SCALING = int(Interpolation.BICUBIC)
"""For pictures that changed their size in mid-stream."""

_PACKED = frozenset({"rgba", "rgb24", "rgba64be", "rgb48be", "bgra", "bgr0"})
_GREY = frozenset({"gray", "gray16le", "gray16be"})
_RING = 3
"""Pictures used in turn: an encoder may still hold the last one, frame-threaded ones (PNG) one a thread more. A picture
that is held longer is copied by FFmpeg before it is written to (`make_writable`): the number is about speed only.
Fresh pictures instead cost 3 ms a 1080p frame in page faults."""


class Packer:
    """Makes an encoder's pictures, of one size and format, out of foregrounds and alphas. Used by one thread.

    A picture that it returns is overwritten a few calls later, unless the encoder still refers to it. `held` is how
    many pictures the encoder keeps while it works.
    """

    def __init__(self, encoding: Encoding, width: int, height: int, *, reporter: Reporter, held: int = 0) -> None:
        self._ring_size = _RING + held
        self._encoding = encoding
        self._width, self._height = width, height
        self._padded = padded_size(encoding, width, height)
        self._reporter = reporter
        self._reformatter = VideoReformatter()
        self._ring: list[av.VideoFrame] = []
        self._next = 0

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the encoder's pictures: even where the codec needs it, two halves where stacked."""
        width, height = self._padded
        return (width, 2 * height) if self._encoding.stacked else (width, height)

    def pack(self, picture: av.VideoFrame | None, color: ColorSpec, alpha: AlphaArray | None) -> av.VideoFrame:
        """The encoder's picture: colours of `picture` (None: alpha is written as grey), `alpha` in its own plane.

        `alpha` is needed where the encoding has alpha or is grey, and ignored otherwise.
        """
        picture, alpha = self._fit(picture), self.fit_alpha(alpha)
        name = self._encoding.pix_fmt
        if self._encoding.content == "alpha":
            target = self._take()
            self._fill_grey(target, _given(alpha))
        elif name in _PACKED:
            target = self._take()
            if self._encoding.premultiplied:
                self._fill_premultiplied(target, _shown(picture), color, _given(alpha))
            else:
                self._fill_packed(target, _shown(picture), color, alpha)
        elif self._encoding.stacked:
            target = self._take()
            upper, lower = halves(target)
            self._fill_planes(upper, _shown(picture), color)
            self._fill_luma(lower, _given(alpha))
        else:
            target = self._take()
            self._fill_planes(plane_arrays(target), _shown(picture), color)
            if self._encoding.has_alpha:
                planes = plane_arrays(target)
                write_alpha(planes[3][: self._height, : self._width], _given(alpha), self._encoding.plane_bits)
        tag(target, self._encoding.color)
        return target

    def wide_rgb(self, picture: av.VideoFrame, color: ColorSpec) -> PlaneArray:
        """(H, W, 3) uint16 up to 65535: the picture's full-range RGB in its own transfer, at the file's size."""
        return self._to_rgb(_shown(self._fit(picture)), color, True)

    def _take(self) -> av.VideoFrame:
        """The next picture of the ring, safe to write."""
        if len(self._ring) < self._ring_size:
            self._ring.append(new_picture(self._encoding.pix_fmt, *self.size))
            return self._ring[-1]
        self._next = (self._next + 1) % self._ring_size
        picture = self._ring[self._next]
        picture.make_writable()
        return picture

    def _fit(self, picture: av.VideoFrame | None) -> av.VideoFrame | None:
        """A source that changed its size: the picture is scaled to the size that the file was opened with."""
        width, height = self._width, self._height
        if picture is None or (picture.width, picture.height) == (width, height):
            return picture
        self._reporter.note(
            f"The picture changed to {picture.width}x{picture.height}; the output keeps {width}x{height}, "
            "so later pictures are scaled to it."
        )
        return self._reformatter.reformat(picture, width=width, height=height, interpolation=_SCALING)

    def fit_alpha(self, alpha: AlphaArray | None) -> AlphaArray | None:
        """Alpha at the size that the file was opened with."""
        if alpha is None or alpha.shape == (self._height, self._width):
            return alpha
        interpolation = cv2.INTER_AREA if alpha.shape[1] > self._width else cv2.INTER_LINEAR
        return cast(AlphaArray, cv2.resize(alpha, (self._width, self._height), interpolation=interpolation))

    def _fill_grey(self, target: av.VideoFrame, alpha: AlphaArray) -> None:
        """Alpha as luma, colourless."""
        name = self._encoding.pix_fmt
        if name in _GREY:
            _write_grey(target, alpha, self._encoding.plane_bits)
            return
        self._fill_luma(plane_arrays(target), alpha)

    def _fill_luma(self, planes: list[PlaneArray], alpha: AlphaArray) -> None:
        """Alpha as the luma of Y, U and V, chroma neutral."""
        known = layout(self._encoding.pix_fmt)
        inner = planes[0][: self._height, : self._width]
        if self._encoding.color.color_range == "pc":
            write_alpha(inner, alpha, known.bits)
        else:
            np.take(_limited_alpha_table(alpha.dtype == np.uint16, known.bits), alpha, out=inner, mode="clip")
        _pad(planes[0], self._height, self._width)
        for plane in planes[1:3]:
            plane[:] = 1 << (known.bits - 1)

    def _fill_packed(
        self, target: av.VideoFrame, picture: av.VideoFrame, color: ColorSpec, alpha: AlphaArray | None
    ) -> None:
        """Interleaved RGB, with alpha as the fourth channel."""
        name = self._encoding.pix_fmt
        pixels = packed_array(target)
        if name in ("bgra", "bgr0"):
            green, blue, red = plane_arrays(picture)[:3]
            fourth = alpha_to_bits(_given(alpha), 8) if name == "bgra" else np.full_like(green, 255)
            cv2.merge([blue, green, red, fourth], dst=pixels)
            return
        wide = name.endswith("be")
        rgb = self._to_rgb(picture, color, wide)
        if pixels.shape[2] == 4:
            fourth = alpha_to_bits(_given(alpha), 16 if wide else 8)
            rgb = cast(PlaneArray, cv2.cvtColor(rgb, cv2.COLOR_RGB2RGBA, dst=None if wide else pixels))
            rgb = cast(PlaneArray, cv2.insertChannel(fourth, rgb, 3))
        if wide:
            np.copyto(pixels, rgb.byteswap())
        elif pixels.shape[2] == 3:
            np.copyto(pixels, rgb)

    def _fill_premultiplied(
        self, target: av.VideoFrame, picture: av.VideoFrame, color: ColorSpec, alpha: AlphaArray
    ) -> None:
        """`bgra`, 8 bits, colours times alpha (Porter & Duff 1984)."""
        fourth = alpha_to_bits(alpha, 8)
        rgb = self._to_rgb(picture, color, False)
        shade = cv2.merge([fourth, fourth, fourth])
        times = cv2.multiply(rgb, shade, scale=1 / 255)
        red, green, blue = cv2.split(times)
        pixels = packed_array(target)
        pixels[: self._height, : self._width] = cv2.merge([blue, green, red, fourth])
        _pad(pixels, self._height, self._width)

    def _to_rgb(self, picture: av.VideoFrame, color: ColorSpec, wide: bool) -> PlaneArray:
        """(H, W, 3) full-range RGB by the picture's own matrix."""
        known = layout(picture.format.name)
        planes = plane_arrays(picture)[:3]
        for index in (1, 2):
            if planes[index].shape != planes[0].shape:
                full = np.empty_like(planes[0])
                chroma.enlarge(planes[index], full)
                planes[index] = full
        return matrix.to_rgb(planes, known.bits, color, wide=wide)

    def _fill_planes(self, wanted_planes: list[PlaneArray], picture: av.VideoFrame, color: ColorSpec) -> None:
        """Planar YUV or planar RGB, plane by plane."""
        source, wanted = layout(picture.format.name), layout(self._encoding.pix_fmt)
        planes, bits, spread = plane_arrays(picture)[:3], source.bits, color.color_range
        outside = self._encoding.color
        if source.is_rgb and not wanted.is_rgb:
            planes = matrix.to_yuv(planes, bits, outside, wanted.bits)
            bits, spread = wanted.bits, outside.color_range
        for index, (plane, full) in enumerate(zip(planes, wanted_planes[:3], strict=True)):
            is_chroma = index > 0 and not wanted.is_rgb
            remap = _remapping(bits, wanted.bits, spread, outside.color_range, is_chroma)
            shift_x, shift_y = (wanted.log2_chroma_width, wanted.log2_chroma_height) if is_chroma else (0, 0)
            height, width = -(-self._height >> shift_y), -(-self._width >> shift_x)
            _move(plane, full[:height, :width], remap)
            _pad(full, height, width)


Remap = Callable[[PlaneArray, PlaneArray | None], PlaneArray]
"""Samples to samples of another depth or range, into the given array or a new one."""


def _move(plane: PlaneArray, target: PlaneArray, remap: Remap | None) -> None:
    """One plane into its place: remapped where depth or range differ, resampled where the sizes differ."""
    if plane.shape == target.shape:
        if remap is None:
            np.copyto(target, plane)
        else:
            remap(plane, target)
    elif plane.size < target.size:
        chroma.enlarge(plane if remap is None else remap(plane, None), target)
    else:
        small = chroma.reduce(plane, *target.shape)
        np.copyto(target, small if remap is None else remap(small, None))


@cache
def _remapping(bits: int, wanted_bits: int, spread: str, wanted_spread: str, is_chroma: bool) -> Remap | None:
    """How samples change from one depth and range to another; None: not at all."""
    if spread == wanted_spread:
        if bits == wanted_bits:
            return None
        if bits < wanted_bits:
            return _shift_up(wanted_bits - bits)
    table = _sample_table(bits, wanted_bits, spread, wanted_spread, is_chroma)
    if bits == 8:
        return lambda plane, out: cast(PlaneArray, cv2.LUT(plane, table, dst=out).reshape(plane.shape))
    return lambda plane, out: np.take(table, plane, out=out, mode="clip")


def _shift_up(bits: int) -> Remap:
    """A left shift into uint16: exact for limited range (0.2 ms a 1080p plane, an eighth of cv2.multiply)."""

    def shift(plane: PlaneArray, out: PlaneArray | None) -> PlaneArray:
        return np.left_shift(plane, bits, out=out, dtype=np.uint16)

    return shift


def _sample_table(bits: int, wanted_bits: int, spread: str, wanted_spread: str, is_chroma: bool) -> PlaneArray:
    """Table of ITU-T H.273's quantisation: black and white of one range and depth onto those of the other."""
    values = np.arange(1 << bits, dtype=np.float64)
    low, span = levels(bits, spread, is_chroma)
    wanted_low, wanted_span = levels(wanted_bits, wanted_spread, is_chroma)
    mapped = np.floor((values - low) / span * wanted_span + wanted_low + 0.5)
    dtype = np.uint8 if wanted_bits == 8 else np.uint16
    return cast(PlaneArray, np.clip(mapped, 0, (1 << wanted_bits) - 1).astype(dtype))


def write_alpha(target: PlaneArray, alpha: AlphaArray, bits: int) -> None:
    """Alpha into a plane of `bits` bits, full range, rounded to nearest; `target` is a (H, W) view."""
    if alpha.dtype == np.uint8 and bits > 8:
        cv2.LUT(alpha, _alpha_table(bits), dst=target)
    elif alpha.dtype == np.uint16 and bits < 16:
        # The float product is exact after rounding for every one of the 65536 values (tested): 65535 is odd, so
        # there are no ties. A table lookup takes twice as long.
        depth = cv2.CV_8U if bits == 8 else cv2.CV_16U
        cv2.multiply(alpha, cast(Any, ((1 << bits) - 1) / 65535.0), dst=target, dtype=depth)
    else:
        np.copyto(target, alpha)


@cache
def _alpha_table(bits: int) -> PlaneArray:
    return alpha_to_bits(np.arange(256, dtype=np.uint8), bits)


@cache
def _limited_alpha_table(wide: bool, bits: int) -> PlaneArray:
    """Alpha (uint8, or uint16 where wide) -> limited-range luma of `bits` bits."""
    return _sample_table(16 if wide else 8, bits, "pc", "tv", False)


def _write_grey(target: av.VideoFrame, alpha: AlphaArray, bits: int) -> None:
    view = _rows(target, np.uint8 if bits == 8 else np.uint16, 1)
    if target.format.name.endswith("be"):
        np.copyto(view, alpha_to_bits(alpha, bits).byteswap())
    else:
        write_alpha(view, alpha, bits)


def first_plane(picture: av.VideoFrame) -> PlaneArray:
    """(H, W) view onto the luma of a planar YUV picture or onto a grey one; native byte order (a copy for `be`)."""
    wide = picture.format.components[0].bits > 8
    view = _rows(picture, np.uint16 if wide else np.uint8, 1)
    return view.byteswap() if wide and picture.format.name.endswith("be") else view


def packed_array(picture: av.VideoFrame) -> PlaneArray:
    """(H, W, C) view onto an interleaved picture; uint16 samples keep their byte order (`be`: swapped)."""
    name = picture.format.name
    wide = "64" in name or "48" in name
    channels = 3 if name in ("rgb24", "bgr24") or "48" in name else 4
    view = _rows(picture, np.uint16 if wide else np.uint8, channels)
    return view.reshape(picture.height, picture.width, channels)


def _rows(picture: av.VideoFrame, dtype: type[np.uint8] | type[np.uint16], channels: int) -> PlaneArray:
    """(H, W * channels) view onto the first plane."""
    plane = picture.planes[0]
    memory: Any = np.frombuffer(memoryview(cast(Any, plane)), dtype)
    pitch = plane.line_size // np.dtype(dtype).itemsize
    rows: PlaneArray = memory[: pitch * picture.height].reshape(picture.height, pitch)
    return rows[:, : picture.width * channels]


def _pad(plane: PlaneArray, height: int, width: int) -> None:
    """Replicate the last row and column into what a codec needs beyond the picture."""
    if plane.shape[1] > width:
        plane[:height, width:] = plane[:height, width - 1 : width]
    if plane.shape[0] > height:
        plane[height:] = plane[height - 1 : height]


def _given(alpha: AlphaArray | None) -> AlphaArray:
    """Alpha, which the pipeline owes a sink that asked for it; None is a fault of the caller's."""
    if alpha is None:
        raise TypeError("the sink was handed a frame without the alpha that it asked for")
    return alpha


def _shown(picture: av.VideoFrame | None) -> av.VideoFrame:
    """A picture, which the pipeline owes a sink that asked for it; None is a fault of the caller's."""
    if picture is None:
        raise TypeError("the sink was handed a frame without the picture that it asked for")
    return picture
