"""The worst frames of an evaluation, kept small, and their contact sheet."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from livematte.frames import AlphaArray, Frame
from livematte.metrics import as_unit
from livematte.sheet import Rgb, shrunk_alpha

cv: Any = cv2  # OpenCV's own stubs know neither dtypes nor scalars as operands

_CELL_WIDTH: Final = 320
_GAP: Final = 6
_LINE: Final = 20
_PAPER: Final = (24, 24, 27)
_INK: Final = (228, 228, 231)
_APART_SECONDS: Final = 0.5
"""Two frames of a clip that are nearer show the same fault: the worse one stands for both."""


@dataclass(frozen=True, slots=True)
class WorstFrame:
    """One frame at the sheet's size."""

    clip: str
    seconds: float
    badness: float
    """The number by which it is one of the worst."""
    label: str
    rows: tuple[tuple[str, Rgb], ...]
    """(what it is, (h, w, 3) RGB): source, true, predicted, error; those that there are."""


@dataclass(slots=True)
class Worst:
    """The worst few frames of all clips, no two of one moment. Memory does not grow with the clips."""

    most: int = 6
    frames: list[WorstFrame] = field(default_factory=list)
    """Unordered."""

    def wants(self, clip: str, seconds: float, badness: float) -> bool:
        """True where such a frame would be kept; so that cells are made for those alone."""
        near = self._near(clip, seconds)
        if near is not None:
            return badness > near.badness
        return self.most > 0 and (len(self.frames) < self.most or badness > min(one.badness for one in self.frames))

    def add(self, frame: WorstFrame) -> None:
        """Keep a frame that `wants` said yes to."""
        near = self._near(frame.clip, frame.seconds)
        if near is not None:
            self.frames.remove(near)
        self.frames.append(frame)
        if len(self.frames) > self.most:
            self.frames.remove(min(self.frames, key=lambda one: one.badness))

    def ordered(self) -> list[WorstFrame]:
        """The worst first."""
        return sorted(self.frames, key=lambda one: -one.badness)

    def _near(self, clip: str, seconds: float) -> WorstFrame | None:
        """The worst kept frame of about the same moment."""
        same = [one for one in self.frames if one.clip == clip and abs(one.seconds - seconds) < _APART_SECONDS]
        return max(same, key=lambda one: one.badness, default=None)


def rows_of(predicted: AlphaArray, true: AlphaArray | None, colours: Frame | None) -> tuple[tuple[str, Rgb], ...]:
    """The pictures of one column, at the sheet's width."""
    height, width = predicted.shape
    size = min(_CELL_WIDTH, width), max(1, round(height * min(_CELL_WIDTH, width) / width))
    rows: list[tuple[str, Rgb]] = []
    if colours is not None:
        rows.append(("source", colours.rgb(width=size[0], height=size[1])))
    if true is not None:
        rows.append(("true", _grey(true, size)))
    rows.append(("predicted", _grey(predicted, size)))
    if true is not None:
        rows.append(("error", error_picture(predicted, true, size)))
    return tuple(rows)


def error_picture(predicted: AlphaArray, true: AlphaArray, size: tuple[int, int]) -> Rgb:
    """(h, w, 3): red where the prediction is too opaque, blue where it is too transparent, black where it is right."""
    difference = as_unit(predicted) - as_unit(true)
    channels = []
    for part in (difference, np.zeros_like(difference), -difference):
        small = cv.resize(np.maximum(part, 0), size, interpolation=cv2.INTER_AREA)
        channels.append(np.rint(small * 255).astype(np.uint8))
    return np.dstack(channels)


def _grey(alpha: AlphaArray, size: tuple[int, int]) -> Rgb:
    small: npt.NDArray[np.uint8] = shrunk_alpha(alpha, *size)
    return np.dstack([small] * 3)


def worst_sheet(frames: list[WorstFrame], lines: list[str]) -> Rgb:
    """(H, W, 3): a column a frame with its label above, the kinds of pictures below each other; `lines` at the foot."""
    columns = [_column(frame) for frame in frames]
    height = max(column.shape[0] for column in columns)
    body = np.hstack([_padded(column, height) for column in columns])
    foot = Image.new("RGB", (body.shape[1], _LINE * len(lines) + _GAP), _PAPER)
    for number, line in enumerate(lines):
        ImageDraw.Draw(foot).text((_GAP, number * _LINE + 2), line, _INK, font=ImageFont.load_default(size=13))
    return np.vstack([body, np.asarray(foot)])


def _column(frame: WorstFrame) -> Rgb:
    width = frame.rows[0][1].shape[1] + 2 * _GAP
    head = Image.new("RGB", (width, _LINE), _PAPER)
    ImageDraw.Draw(head).text((_GAP, 3), frame.label, _INK, font=ImageFont.load_default(size=13))
    parts = [np.asarray(head)]
    for what, picture in frame.rows:
        named = Image.fromarray(picture)
        font = ImageFont.load_default(size=11)
        ImageDraw.Draw(named).text((4, 2), what, (255, 255, 255), font=font, stroke_width=1, stroke_fill=(0, 0, 0))
        parts.append(np.pad(np.asarray(named), ((0, _GAP), (_GAP, _GAP), (0, 0)), constant_values=_PAPER[0]))
    return np.vstack(parts)


def _padded(column: Rgb, height: int) -> Rgb:
    missing = height - column.shape[0]
    return column if not missing else np.pad(column, ((0, missing), (0, 0), (0, 0)), constant_values=_PAPER[0])
