"""Turning pictures upright by exact plane transposes.

Note [Display matrix]
    Containers store how to show a picture as a 3x3 matrix of fixed-point numbers (ISO/IEC 14496-12, `tkhd`):
    x' = a x + c y, y' = b x + d y in picture coordinates (y downward). Phones record sideways and set it to a
    quarter turn. PyAV does not apply it. Quarter turns and mirrors only move samples, so they are applied to the
    planes without any loss, before anything else sees the picture.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import av
import cv2
import numpy as np

from livematte.frames import AlphaArray
from livematte.planes import PlaneArray, layout, new_picture, plane_arrays

_HALF: Final = 1 << 15


@dataclass(frozen=True, slots=True)
class Orientation:
    """What brings a stored picture upright: first the transpose (x and y change places), then the mirrors."""

    transpose: bool = False
    mirror_x: bool = False
    """Left and right change places."""
    mirror_y: bool = False
    """Top and bottom change places."""

    @property
    def is_identity(self) -> bool:
        return not (self.transpose or self.mirror_x or self.mirror_y)

    @property
    def words(self) -> str:
        """For messages: `turned by 90° clockwise`."""
        return _WORDS[(self.transpose, self.mirror_x, self.mirror_y)]


_WORDS: Final = {
    (False, False, False): "as it is",
    (False, True, False): "mirrored left to right",
    (False, False, True): "mirrored top to bottom",
    (False, True, True): "turned by 180°",
    (True, False, False): "mirrored along its diagonal",
    (True, True, False): "turned by 90° clockwise",
    (True, False, True): "turned by 90° counter-clockwise",
    (True, True, True): "mirrored along its other diagonal",
}

EXIF: Final = {
    1: Orientation(), 2: Orientation(False, True, False), 3: Orientation(False, True, True),
    4: Orientation(False, False, True), 5: Orientation(True, False, False), 6: Orientation(True, True, False),
    7: Orientation(True, True, True), 8: Orientation(True, False, True),
}  # fmt: skip
"""EXIF 2.32's Orientation tag -> what brings the picture upright."""


def from_matrix(matrix: Sequence[int]) -> Orientation | None:
    """Orientation of a display matrix (9 numbers, row by row); None where it is no quarter turn or mirror."""
    a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]
    straight, crossed = min(abs(a), abs(d)), min(abs(b), abs(c))
    if max(straight, crossed) < _HALF or (straight > 0 and crossed > 0 and 50 * min(straight, crossed) > straight):
        return None
    if straight > crossed:
        return Orientation(False, a < 0, d < 0)
    return Orientation(True, c < 0, b < 0)


def of_frame(picture: av.VideoFrame) -> Orientation | None:
    """Orientation by the picture's own display matrix; identity without one, None for other angles."""
    try:
        matrix = cast(Mapping[str, Any], picture.side_data).get("DISPLAYMATRIX")
    except ValueError:  # PyAV up to 18 stumbles over side data that it has no name for (EXIF); it still knows the angle
        return _TURNS.get(picture.rotation % 360)
    return Orientation() if matrix is None else from_matrix(struct.unpack("=9i", bytes(matrix)[:36]))


_TURNS: Final = {
    0: Orientation(),
    90: Orientation(True, False, True),
    180: Orientation(False, True, True),
    270: Orientation(True, True, False),
}
"""Counter-clockwise degrees -> orientation."""


def upright_format(pix_fmt: str, orientation: Orientation) -> str:
    """The working format after turning: 4:2:2 turned by a quarter becomes 4:4:4, all others stay."""
    shape = layout(pix_fmt)
    if orientation.transpose and shape.log2_chroma_width != shape.log2_chroma_height:
        return pix_fmt.replace("422", "444")
    return pix_fmt


def turn_picture(picture: av.VideoFrame, orientation: Orientation) -> av.VideoFrame:
    """The picture upright, in `upright_format`; the same object where nothing turns."""
    if orientation.is_identity:
        return picture
    target_format = upright_format(picture.format.name, orientation)
    width, height = picture.width, picture.height
    size = (height, width) if orientation.transpose else (width, height)
    made = new_picture(target_format, *size)
    spread = target_format != picture.format.name
    for number, (source, target) in enumerate(zip(plane_arrays(picture), plane_arrays(made), strict=True)):
        if spread and number in (1, 2):
            source = cast(PlaneArray, np.repeat(source, 2, axis=1)[:, :width])
        turn_plane(source, orientation, into=target)
    copy_tags(picture, made)
    return made


def turn_plane(source: PlaneArray, orientation: Orientation, *, into: PlaneArray) -> None:
    """Write `source` (h, w), turned, to `into` ((w, h) with a transpose)."""
    code = {(False, True): 0, (True, False): 1, (True, True): -1}.get((orientation.mirror_x, orientation.mirror_y))
    if orientation.transpose:
        if code is None:
            np.copyto(into, cv2.transpose(source))
            return
        turns = {0: cv2.ROTATE_90_COUNTERCLOCKWISE, 1: cv2.ROTATE_90_CLOCKWISE}
        done = cv2.rotate(source, turns[code]) if code in turns else cv2.flip(cv2.transpose(source), -1)
        np.copyto(into, done)
    elif code is None:
        np.copyto(into, source)
    else:
        np.copyto(into, cv2.flip(source, code))


def turn_alpha(alpha: AlphaArray, orientation: Orientation) -> AlphaArray:
    """Alpha (h, w), turned like its picture."""
    if orientation.is_identity:
        return alpha
    shape = alpha.shape[::-1] if orientation.transpose else alpha.shape
    made = np.empty(shape, alpha.dtype)
    turn_plane(alpha, orientation, into=made)
    return made


def copy_tags(source: av.VideoFrame, target: av.VideoFrame) -> None:
    """Colour tags and time from one picture to another."""
    target.colorspace, target.color_range = source.colorspace, source.color_range
    target.color_primaries, target.color_trc = source.color_primaries, source.color_trc
    target.pts = source.pts
    if source.time_base is not None:
        target.time_base = source.time_base
