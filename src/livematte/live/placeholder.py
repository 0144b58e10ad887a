"""What is shown where there is no frame: the background alone, or a calm card that says what is the matter.

Never the room: nothing that the camera gave has a part in it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from livematte.color import COLOR_PRIMARIES, COLOR_RANGES, COLOR_TRCS, COLORSPACES, ColorSpec
from livematte.compositing.backgrounds import open_background
from livematte.compositing.canvas import Canvas, RgbImage, rgb_planes
from livematte.compositing.compositor import parse_blur
from livematte.errors import LivematteError
from livematte.live.base import TRANSPARENT, Placeholder
from livematte.planes import PlaneArray, new_picture, plane_arrays
from livematte.reporting import ListReporter

CARD_COLOR: Final = ColorSpec("bt709", "tv", "bt709", "bt709")
_PAPER: Final = (38, 42, 50)
_INK: Final = (232, 234, 238)
_KEPT: Final = 16
"""Cards that are remembered: 22 MB at 720p. A run has about six reasons."""


def is_still(background: str) -> bool:
    """True for a colour, a picture or a video, which can be shown alone; blur and transparency need a person."""
    return background.strip().lower() != TRANSPARENT and parse_blur(background) is None


def check_background(background: str) -> None:
    """UsageError or SourceError where this background cannot be used."""
    if is_still(background):
        open_background(background, reporter=ListReporter()).close()


@dataclass(frozen=True, slots=True)
class _Key:
    width: int
    height: int
    reason: str
    background: str


class Placeholders:
    """Makes each placeholder once. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: OrderedDict[_Key, Placeholder] = OrderedDict()
        self._behind: tuple[Canvas, str, list[PlaneArray] | None] | None = None

    def get(self, width: int, height: int, *, reason: str, background: str) -> Placeholder:
        """The placeholder of this size. The same object for the same question, for as long as few others are asked."""
        key = _Key(width, height, reason, background)
        with self._lock:
            made = self._made.pop(key, None) or self._make(key)
            self._made[key] = made
            if len(self._made) > _KEPT:
                self._made.popitem(last=False)
            return made

    def _make(self, key: _Key) -> Placeholder:
        canvas = Canvas(key.width, key.height, "yuv420p", CARD_COLOR)
        planes = self._background(canvas, key.background)
        if planes is None:
            planes = rgb_planes(draw_card(key.width, key.height, key.reason), canvas)
        picture = new_picture("yuv420p", key.width, key.height)
        for target, plane in zip(plane_arrays(picture), planes, strict=True):
            target[:] = plane
        picture.colorspace, picture.color_range = COLORSPACES["bt709"], COLOR_RANGES["tv"]
        picture.color_primaries, picture.color_trc = COLOR_PRIMARIES["bt709"], COLOR_TRCS["bt709"]
        return Placeholder(picture, CARD_COLOR, key.reason)

    def _background(self, canvas: Canvas, background: str) -> list[PlaneArray] | None:
        """The background's planes, a video's first picture; None: a card is needed."""
        if self._behind is None or self._behind[:2] != (canvas, background):
            self._behind = (canvas, background, _first_picture(canvas, background))
        return self._behind[2]


def _first_picture(canvas: Canvas, background: str) -> list[PlaneArray] | None:
    try:
        if not is_still(background):
            return None
        opened = open_background(background, reporter=ListReporter())
        try:
            return list(opened.planes(canvas, 0.0))
        finally:
            opened.close()
    except LivematteError:  # the file went away meanwhile; the worker says so, and the card is always there
        return None


def draw_card(width: int, height: int, text: str) -> RgbImage:
    """(height, width, 3) uint8 sRGB: the text in the middle of a plain dark picture, as large as fits well."""
    card = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(card)
    size = max(8, round(height / 14))
    while True:
        font = ImageFont.load_default(size=size)
        lines = _wrapped(draw, text, font, 0.84 * width)
        box = draw.multiline_textbbox((0, 0), lines, font=font, align="center", spacing=0.4 * size)
        wide, high = box[2] - box[0], box[3] - box[1]
        if (wide <= 0.9 * width and high <= 0.8 * height) or size <= 8:
            break
        size = max(8, int(0.85 * size))
    place = ((width - wide) / 2 - box[0], (height - high) / 2 - box[1])
    draw.multiline_text(place, lines, fill=_INK, font=font, align="center", spacing=0.4 * size)
    return np.asarray(card, np.uint8)


def _wrapped(
    draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float
) -> str:
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and draw.textlength(longer, font=font) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)
