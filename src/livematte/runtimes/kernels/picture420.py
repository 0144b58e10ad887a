"""4:2:0 pictures as arguments of the kernels in smooth.cu, means.cu, foreground.cu, blur.cu and composite.cu."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np

from livematte.runtimes.cuda.base import Argument, DeviceArray, Grid
from livematte.runtimes.kernels.planes import FORMATS as ALL_FORMATS
from livematte.runtimes.kernels.planes import PlaneSet

FORMATS: Final = tuple(
    name for name, kind in ALL_FORMATS.items() if (kind.log2_chroma_width, kind.log2_chroma_height) == (1, 1)
)
"""Formats that foreground and compositing kernels read and write."""
BLOCK: Final[Grid] = (16, 16, 1)
"""Threads of a block, one a unit (`picture420.cuh`, Note [Units])."""
_BLOCK_PX: Final = (128, 32)

Arguments: TypeAlias = list[Argument]


def chroma_size(width: int, height: int) -> tuple[int, int]:
    """(width, height) of the chroma planes of a 4:2:0 picture."""
    return -(-width // 2), -(-height // 2)


def over(count: int, size: int) -> int:
    """Blocks of `size` that cover `count`."""
    return -(-count // size)


def units_grid(width: int, height: int) -> Grid:
    """Blocks for a picture at one unit a thread."""
    return over(width, _BLOCK_PX[0]), over(height, _BLOCK_PX[1]), 1


def number(value: int) -> np.int32:
    """An `int` of a kernel."""
    return np.int32(value)


def numbers(*values: int) -> Arguments:
    """Several `int`s of a kernel."""
    return [np.int32(value) for value in values]


def floats(*values: float) -> Arguments:
    """Several `float`s of a kernel."""
    return [np.float32(value) for value in values]


def picture_arguments(picture: PlaneSet) -> Arguments:
    """y, u, v, y_pitch, c_pitch, form. ValueError: not a 4:2:0 format that the kernels know."""
    kind = ALL_FORMATS.get(picture.pix_fmt)
    if kind is None or picture.pix_fmt not in FORMATS:
        raise ValueError(f"these kernels take {', '.join(FORMATS)}, not '{picture.pix_fmt}'; it takes the host's path")
    luma, chroma = picture.planes[0], picture.planes[1]
    if kind.is_interleaved:
        red, step = chroma.pointer + kind.sample_bytes, 2
    else:
        red, step = picture.planes[2].pointer, 1
        if picture.planes[2].pitch != chroma.pitch:
            raise ValueError(
                f"the planes U and V lie with {chroma.pitch} and {picture.planes[2].pitch} bytes a row; the kernels "
                "read both with one pitch"
            )
    for name, pitch in (("luma", luma.pitch), ("chroma", chroma.pitch)):
        if pitch % kind.sample_bytes:
            raise ValueError(f"a {name} row of {pitch} bytes is no whole number of samples of '{picture.pix_fmt}'")
    return [luma.pointer, chroma.pointer, red, *numbers(luma.pitch, chroma.pitch, step | kind.shift << 8)]


def front_arguments(picture: PlaneSet, alpha: DeviceArray) -> Arguments:
    """A picture, its alpha, width and height. ValueError: sizes or types that do not fit."""
    if alpha.shape != (picture.height, picture.width):
        raise ValueError(
            f"alpha has the shape {alpha.shape}, the picture {picture.width}x{picture.height}; they must be of one size"
        )
    return [*picture_arguments(picture), alpha, *numbers(picture.width, picture.height)]


def types(picture: PlaneSet, alpha: DeviceArray) -> str:
    """The end of a kernel's name: bits of the samples' and alpha's types, such as `8_16`."""
    if alpha.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"alpha is {alpha.dtype}; the kernels take uint8 or uint16 (Note [Alpha scale] in frames.py)")
    return f"{8 * picture.format.sample_bytes}_{8 * alpha.dtype.itemsize}"


def check_alike(first: PlaneSet, second: PlaneSet) -> None:
    """ValueError where two pictures differ in size or depth; how their chroma lies may differ."""
    if (first.width, first.height, first.format.bits) != (second.width, second.height, second.format.bits):
        raise ValueError(
            f"one picture is {first.width}x{first.height} with {first.format.bits} bits ({first.pix_fmt}), the other "
            f"{second.width}x{second.height} with {second.format.bits} ({second.pix_fmt}); size and depth must agree"
        )


class Layout:
    """Offsets of arrays in one scratch allocation, each at a multiple of 256 bytes."""

    def __init__(self) -> None:
        self.nbytes = 0

    def take(self, *shape: int, dtype: type[np.generic] = np.float32) -> int:
        """Room for one array more; gives back its offset."""
        offset = self.nbytes
        size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        self.nbytes += over(size, 256) * 256
        return offset


def check_scratch(scratch: DeviceArray, wanted: int, name: str) -> int:
    """The scratch array's address. ValueError where it is too small."""
    if scratch.nbytes < wanted:
        raise ValueError(f"scratch has {scratch.nbytes:,} bytes and {wanted:,} are needed; ask {name} for the size")
    return scratch.pointer


def shapes_of(arrays: Sequence[DeviceArray]) -> str:
    """Shapes and types, for messages."""
    return ", ".join(f"{array.shape} {array.dtype}" for array in arrays)
