"""Between host and device: how a picture lies in a slot, and how results become arrays and pictures of the host.

Note [One copy a picture]
    A picture's planes lie in one block, in pinned memory as on the device, so that a frame is one copy in each
    direction, whatever its format. The host fills the pinned block from the planes of the decoded picture (which
    have pitches and lifetimes of their own) and copies results out of it at once: what leaves matting is ordinary
    memory, and no sink can hold a slot up or keep a pointer into a context that is gone.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, Final

import av
import numpy as np
import numpy.typing as npt

from livematte.color import COLOR_RANGES, COLORSPACES, ColorSpec
from livematte.frames import AlphaArray
from livematte.matting.planar import like
from livematte.planes import PlaneArray, layout, new_picture, plane_arrays

_PITCH_BYTES: Final = 128
_OFFSET_BYTES: Final = 256
"""Rows and planes begin on these, so that every kernel may read in words of 16 bytes."""
_MOST_IDLE: Final = 12
"""Arrays that wait for their next use at most: what a pipeline's channels hold, and some."""

_SEMI_PLANAR: Final[dict[str, tuple[type[np.uint8] | type[np.uint16], int]]] = {
    "nv12": (np.uint8, 0),
    "p010le": (np.uint16, 6),
}
"""Formats with U and V side by side -> (dtype, unused low bits of a sample)."""


@dataclass(frozen=True, slots=True)
class PlanePlace:
    """Where one plane lies in a picture's block."""

    offset: int
    """Bytes from the block's start."""
    pitch: int
    """Bytes a row."""
    width: int
    """Columns, each of `element_bytes`."""
    height: int
    element_bytes: int
    """1 or 2; of a plane with U and V side by side, of the pair: 2 or 4."""


@dataclass(frozen=True, slots=True)
class PictureLayout:
    """How a picture of one format and size lies in one block of memory."""

    sw_format: str
    width: int
    height: int
    planes: tuple[PlanePlace, ...]
    nbytes: int

    def arrays(self, block: npt.NDArray[np.uint8]) -> list[PlaneArray]:
        """Views (h, w) of the planes in a host block (nbytes,) uint8; pairs of U and V are two columns."""
        views: list[PlaneArray] = []
        for place in self.planes:
            rows = block[place.offset : place.offset + place.pitch * place.height].reshape(place.height, place.pitch)
            samples: Any = rows.view(sample_dtype(self.sw_format))
            views.append(samples[:, : place.width * place.element_bytes // samples.itemsize])
        return views


def sample_dtype(sw_format: str) -> type[np.uint8] | type[np.uint16]:
    """dtype of the samples of a format that lies in slots."""
    if sw_format in _SEMI_PLANAR:
        return _SEMI_PLANAR[sw_format][0]
    return layout(sw_format).dtype


def peak_and_shift(sw_format: str) -> tuple[int, int]:
    """(largest value of a sample, unused low bits below it) of a format that lies in slots."""
    if sw_format not in _SEMI_PLANAR:
        return layout(sw_format).peak, 0
    dtype, shift = _SEMI_PLANAR[sw_format]
    return (1 << (8 * np.dtype(dtype).itemsize - shift)) - 1, shift


def picture_layout(sw_format: str, width: int, height: int) -> PictureLayout:
    """The layout of a picture in planar YUV, nv12 or p010le; ValueError for other formats."""
    item = np.dtype(sample_dtype(sw_format)).itemsize
    if sw_format in _SEMI_PLANAR:
        sides = [(width, height, item), (-(-width // 2), -(-height // 2), 2 * item)]
    else:
        kind = layout(sw_format)
        chroma = -(-width // (1 << kind.log2_chroma_width)), -(-height // (1 << kind.log2_chroma_height)), item
        sides = [(width, height, item), chroma, chroma]
    places: list[PlanePlace] = []
    offset = 0
    for columns, rows, element in sides:
        pitch = _up_to(columns * element, _PITCH_BYTES)
        places.append(PlanePlace(offset, pitch, columns, rows, element))
        offset = _up_to(offset + pitch * rows, _OFFSET_BYTES)
    return PictureLayout(sw_format, width, height, tuple(places), offset)


def fill_block(block: npt.NDArray[np.uint8], at: PictureLayout, picture: av.VideoFrame) -> None:
    """Copy a host picture's planes into a host block. The picture has the layout's format and size."""
    for target, source in zip(at.arrays(block), plane_arrays(picture), strict=True):
        np.copyto(target, source)


def picture_from(
    block: npt.NDArray[np.uint8], at: PictureLayout, color: ColorSpec, model: av.VideoFrame | None
) -> av.VideoFrame:  # fmt: skip
    """A host picture with the samples of a host block; planar, where the block has U and V side by side.

    `model`: a picture of the same size whose time and tags it gets; None: it gets the tags of `color`, and no time.
    """
    planes = at.arrays(block)
    pix_fmt = at.sw_format
    if pix_fmt in _SEMI_PLANAR:
        spare = _SEMI_PLANAR[pix_fmt][1]
        pix_fmt = {0: "yuv420p", 6: "yuv420p10le"}[spare]
        planes = [np.right_shift(plane, spare) if spare else plane for plane in planes]
        planes = [planes[0], planes[1][:, 0::2], planes[1][:, 1::2]]
    if model is not None and model.format.name == pix_fmt:
        picture = like(model)
    else:
        picture = new_picture(pix_fmt, at.width, at.height)
        picture.colorspace, picture.color_range = COLORSPACES[color.colorspace], COLOR_RANGES[color.color_range]
    for target, source in zip(plane_arrays(picture), planes, strict=True):
        np.copyto(target, source)
    return picture


def _up_to(value: int, step: int) -> int:
    return -(-value // step) * step


class _Lease:
    """Owns an array's memory while somebody looks at it; then it goes back for its next use."""

    __slots__ = ("__array_interface__", "_home", "_memory")

    def __init__(self, memory: npt.NDArray[Any], home: deque[npt.NDArray[Any]]) -> None:
        self.__array_interface__ = memory.__array_interface__
        self._memory = memory
        self._home = home

    def __del__(self) -> None:
        self._home.append(self._memory)


class Recycled:
    """Host arrays of one shape whose memory is used again once the last view of it is gone. Any thread.

    Fresh memory costs its page faults for every frame: 0.5 ms for an alpha plane at 1080p, where the copy takes 0.15.
    """

    def __init__(self, shape: tuple[int, int], dtype: npt.DTypeLike) -> None:
        self._shape = shape
        self._dtype = np.dtype(dtype)
        self._idle: deque[npt.NDArray[Any]] = deque(maxlen=_MOST_IDLE)

    def copy_of(self, source: npt.NDArray[Any]) -> AlphaArray:
        """A copy of `source` (of the shape and dtype that were given)."""
        try:
            memory = self._idle.pop()
        except IndexError:
            memory = np.empty(self._shape, self._dtype)
        np.copyto(memory, source)
        copy: AlphaArray = np.asarray(_Lease(memory, self._idle))
        return copy


@dataclass(slots=True)
class Copies:
    """What went over the bus, or from one place of the device to another, since the start."""

    up: int = 0
    up_bytes: int = 0
    across: int = 0
    """Planes copied out of the decoder's surfaces, on the device."""
    down: int = 0
    down_bytes: int = 0

    def sent(self, nbytes: int) -> None:
        """Count one copy to the device."""
        self.up += 1
        self.up_bytes += nbytes

    def fetched(self, nbytes: int) -> None:
        """Count one copy to the host."""
        self.down += 1
        self.down_bytes += nbytes
