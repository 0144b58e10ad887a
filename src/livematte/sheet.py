"""Contact sheets: matted frames over checker and magenta, where holes, halos and leftovers show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from livematte.color_convert import to_rgb
from livematte.frames import AlphaArray, DevicePicture, MattedFrame
from livematte.planes import alpha_to_bits

Rgb = npt.NDArray[np.uint8]

MAGENTA = (255, 0, 255)
_CELL_WIDTH = 320
_GAP = 6
_LINE = 20
_PAPER = (24, 24, 27)
_INK = (228, 228, 231)


@dataclass(frozen=True, slots=True)
class Cell:
    """One matted frame at the sheet's size."""

    source: Rgb
    """(h, w, 3) full-range RGB."""
    foreground: Rgb
    """(h, w, 3), straight."""
    alpha: npt.NDArray[np.uint8]
    """(h, w)."""
    label: str


def cell(matted: MattedFrame, label: str) -> Cell:
    """A matted frame, scaled to the width of a sheet's cell."""
    frame = matted.frame
    width = min(_CELL_WIDTH, frame.width)
    height = max(1, round(frame.height * width / frame.width))
    foreground = matted.matte.foreground
    if foreground is None or isinstance(foreground, DevicePicture):
        raise TypeError("a contact sheet needs the cleaned foreground on the host")
    return Cell(
        source=frame.rgb(width=width, height=height),
        foreground=to_rgb(foreground, frame.color, width, height),
        alpha=shrunk_alpha(matted.matte.alpha, width, height),
        label=label,
    )


def shrunk_alpha(alpha: AlphaArray, width: int, height: int) -> npt.NDArray[np.uint8]:
    """Alpha at a cell's size, (height, width) uint8, by area."""
    small = cv2.resize(alpha_to_bits(alpha, 8), (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)


def checker(height: int, width: int, square: int = 12) -> Rgb:
    """(height, width, 3): the grey squares that stand for transparency."""
    rows, columns = np.indices((height, width)) // square
    grey = np.where((rows + columns) % 2 == 0, np.uint8(204), np.uint8(255))
    return np.ascontiguousarray(np.repeat(grey[..., None], 3, axis=2), np.uint8)


def over(one: Cell, background: Rgb) -> Rgb:
    """The cell's foreground over an opaque picture of the same size."""
    weight = one.alpha.astype(np.float32)[..., None] / 255.0
    blended: Rgb = np.rint(one.foreground * weight + background * (1.0 - weight)).astype(np.uint8)
    return blended


def contact_sheet(cells: Sequence[Cell], lines: Sequence[str] = ()) -> Rgb:
    """(H, W, 3): a column a frame, with the source above, then over checker, then over magenta; `lines` below."""
    columns = []
    for one in cells:
        height, width = one.alpha.shape
        magenta = np.full((height, width, 3), MAGENTA, np.uint8)
        pictures = [one.source, over(one, checker(height, width)), over(one, magenta)]
        columns.append(np.vstack([_framed(picture) for picture in pictures]))
    body = np.hstack(columns)
    header = Image.new("RGB", (body.shape[1], _LINE), _PAPER)
    footer = Image.new("RGB", (body.shape[1], _LINE * len(lines) + (_GAP if lines else 0)), _PAPER)
    font = ImageFont.load_default(size=13)
    left = 0
    for one, column in zip(cells, columns, strict=True):
        ImageDraw.Draw(header).text((left + _GAP, 3), one.label, _INK, font=font)
        left += column.shape[1]
    for number, line in enumerate(lines):
        ImageDraw.Draw(footer).text((_GAP, number * _LINE + 2), line, _INK, font=font)
    parts = [np.asarray(header), body, *([np.asarray(footer)] if lines else [])]
    return np.vstack(parts)


def _framed(picture: Rgb) -> Rgb:
    return np.asarray(
        cv2.copyMakeBorder(picture, 0, _GAP, _GAP, _GAP, cv2.BORDER_CONSTANT, value=_PAPER[::-1]), np.uint8
    )
