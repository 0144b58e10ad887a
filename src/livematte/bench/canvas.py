"""One set of drawing calls with two hands: SVG for the page, Pillow for the PNG. Charts are drawn once, on either."""

from __future__ import annotations

from html import escape
from typing import Final, Literal, Protocol

from PIL import Image, ImageDraw, ImageFont

Anchor = Literal["start", "middle", "end"]
INK: Final = "#18181b"
FAINT: Final = "#d4d4d8"
MUTED: Final = "#71717a"
PAPER: Final = "#ffffff"
COLOURS: Final = (
    "#2563eb", "#d97706", "#059669", "#db2777", "#7c3aed", "#0891b2", "#65a30d", "#dc2626", "#475569", "#facc15",
    "#a16207", "#6ee7b7", "#f9a8d4", "#c4b5fd",
)  # fmt: skip


class Canvas(Protocol):
    """Draws in px from the top left corner; colours are `#rrggbb`."""

    def rectangle(self, x: float, y: float, width: float, height: float, *, fill: str, title: str = "") -> None:
        """A filled rectangle; `title` is shown where the pointer rests."""

    def line(self, x1: float, y1: float, x2: float, y2: float, *, colour: str = FAINT) -> None:
        """A line of 1 px."""

    def dot(self, x: float, y: float, *, fill: str, title: str = "") -> None:
        """A disc of radius 5 px."""

    def text(self, x: float, y: float, words: str, *, anchor: Anchor = "start", colour: str = INK) -> None:
        """One line of 12 px text whose baseline is at y."""


class Svg:
    """Collects SVG elements."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._elements: list[str] = []

    def rectangle(self, x: float, y: float, width: float, height: float, *, fill: str, title: str = "") -> None:
        """See `Canvas`."""
        self._elements.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(0.0, width):.1f}" height="{max(0.0, height):.1f}" '
            f'fill="{fill}">{_title(title)}</rect>'
        )

    def line(self, x1: float, y1: float, x2: float, y2: float, *, colour: str = FAINT) -> None:
        """See `Canvas`."""
        self._elements.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>')

    def dot(self, x: float, y: float, *, fill: str, title: str = "") -> None:
        """See `Canvas`."""
        self._elements.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{fill}">{_title(title)}</circle>')

    def text(self, x: float, y: float, words: str, *, anchor: Anchor = "start", colour: str = INK) -> None:
        """See `Canvas`."""
        self._elements.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(words)}</text>'
        )

    def markup(self, label: str) -> str:
        """The picture as an element of a page; `label` says what it shows to those who cannot see it."""
        return (
            f'<svg viewBox="0 0 {self.width} {self.height}" width="{self.width}" height="{self.height}" role="img" '
            f'aria-label="{escape(label, quote=True)}" font-family="system-ui, sans-serif" font-size="12">'
            f"{''.join(self._elements)}</svg>"
        )


def _title(words: str) -> str:
    return f"<title>{escape(words)}</title>" if words else ""


class Drawing:
    """Draws on a Pillow picture, at twice the size for sharp text."""

    SCALE: Final = 2

    def __init__(self, width: int, height: int) -> None:
        self.image = Image.new("RGB", (width * self.SCALE, height * self.SCALE), PAPER)
        self._draw = ImageDraw.Draw(self.image)
        self._font = ImageFont.load_default(12 * self.SCALE)

    def rectangle(self, x: float, y: float, width: float, height: float, *, fill: str, title: str = "") -> None:
        """See `Canvas`."""
        if width > 0 and height > 0:
            s = self.SCALE
            self._draw.rectangle((x * s, y * s, (x + width) * s, (y + height) * s), fill=fill)

    def line(self, x1: float, y1: float, x2: float, y2: float, *, colour: str = FAINT) -> None:
        """See `Canvas`."""
        s = self.SCALE
        self._draw.line((x1 * s, y1 * s, x2 * s, y2 * s), fill=colour, width=s)

    def dot(self, x: float, y: float, *, fill: str, title: str = "") -> None:
        """See `Canvas`."""
        s = self.SCALE
        self._draw.ellipse(((x - 5) * s, (y - 5) * s, (x + 5) * s, (y + 5) * s), fill=fill)

    def text(self, x: float, y: float, words: str, *, anchor: Anchor = "start", colour: str = INK) -> None:
        """See `Canvas`."""
        place = {"start": "ls", "middle": "ms", "end": "rs"}[anchor]
        self._draw.text((x * self.SCALE, y * self.SCALE), words, fill=colour, font=self._font, anchor=place)
