"""Planes of host pictures as NumPy arrays: the one place that knows how a pixel format lies in memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias, cast

import av
import numpy as np
import numpy.typing as npt

PlaneArray: TypeAlias = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
"""(h, w) samples of one plane."""
AlphaArray: TypeAlias = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
"""(H, W), linear coverage at the picture's size; see Note [Alpha scale] in `frames.py`."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Memory layout of a working format (`frames.py`, Note [Working formats])."""

    pix_fmt: str
    is_rgb: bool
    bits: int
    log2_chroma_width: int
    """0: as wide as luma; 1: half as wide, rounded up."""
    log2_chroma_height: int
    has_alpha: bool

    @property
    def dtype(self) -> type[np.uint8] | type[np.uint16]:
        return np.uint8 if self.bits == 8 else np.uint16

    @property
    def peak(self) -> int:
        """Largest sample value: 255 for 8 bits, 1023 for 10."""
        return (1 << self.bits) - 1


@cache
def layout(pix_fmt: str) -> Layout:
    """Layout of a planar 8..16-bit YUV or RGB format, with or without alpha; ValueError for any other."""
    known = av.VideoFormat(pix_fmt)
    parts = known.components
    depth = {part.bits for part in parts}
    packed = len({part.plane for part in parts}) != len(parts)
    if packed or len(parts) < 3 or len(depth) != 1 or known.has_palette or known.is_big_endian or max(depth) > 16:
        raise ValueError(f"'{pix_fmt}' is not a planar working format (planar YUV or RGB, 8 to 16 bits)")
    if "f32" in pix_fmt or "f16" in pix_fmt:
        raise ValueError(f"'{pix_fmt}' holds floats; the working formats hold integers")
    probe = av.VideoFormat(pix_fmt, 8, 8)
    chroma = probe.components[1]
    return Layout(
        pix_fmt=pix_fmt,
        is_rgb=known.is_rgb,
        bits=depth.pop(),
        log2_chroma_width={8: 0, 4: 1, 2: 2}[chroma.width],
        log2_chroma_height={8: 0, 4: 1, 2: 2}[chroma.height],
        has_alpha=len(parts) == 4,
    )


def plane_arrays(picture: av.VideoFrame) -> list[PlaneArray]:
    """Views (h, w) onto the picture's planes, without copying; uint8 for 8 bits, else uint16.

    In the plane order of the format: Y, U, V for YUV and G, B, R for planar RGB; alpha last where there is one.
    A decoded picture may still be a reference of its decoder: write only to pictures that you made.
    """
    dtype = layout(picture.format.name).dtype
    views: list[PlaneArray] = []
    for plane in picture.planes:
        pitch = plane.line_size // np.dtype(dtype).itemsize
        memory = memoryview(cast(Any, plane))
        rows = np.frombuffer(memory, dtype, count=pitch * plane.height).reshape(plane.height, pitch)
        views.append(cast(PlaneArray, rows[:, : plane.width]))
    return views


def new_picture(pix_fmt: str, width: int, height: int) -> av.VideoFrame:
    """A picture with memory of its own, its samples undefined."""
    return av.VideoFrame(width, height, pix_fmt)


def alpha_to_bits(alpha: AlphaArray, bits: int) -> PlaneArray:
    """Alpha (Note [Alpha scale] in `frames.py`) as full-range samples of `bits` bits, rounded; no copy if equal."""
    source_peak = 255 if alpha.dtype == np.uint8 else 65535
    target_peak = (1 << bits) - 1
    if source_peak == target_peak:
        return alpha
    return _rescale_table(source_peak, target_peak)[alpha]


def alpha_from_bits(plane: PlaneArray, bits: int, *, wide: bool) -> AlphaArray:
    """A codec's alpha plane of `bits` bits as uint8, or as uint16 where `wide`; rounded."""
    target_peak = 65535 if wide else 255
    source_peak = (1 << bits) - 1
    if source_peak == target_peak:
        return plane.copy()
    return _rescale_table(source_peak, target_peak)[plane]


@cache
def _rescale_table(source_peak: int, target_peak: int) -> PlaneArray:
    """Table that maps 0..source_peak onto 0..target_peak, rounded half up."""
    values = np.arange(source_peak + 1, dtype=np.uint64)
    table = (values * (2 * target_peak) + source_peak) // (2 * source_peak)
    return table.astype(np.uint8) if target_peak <= 255 else table.astype(np.uint16)
