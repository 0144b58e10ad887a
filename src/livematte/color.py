"""Colour as a stream states it: matrix, range, primaries and transfer, in FFmpeg's words.

Note [Untagged colour]
    Many files carry no colour tags. The rule that players follow, and that we state: RGB formats are full range;
    YUV with 720 lines or more is BT.709, with fewer BT.601 (`bt470bg` for 576 lines, else `smpte170m`); the range
    is limited unless the format's name says otherwise (`yuvj`). What was guessed is marked in `guessed`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

COLORSPACES: Final = {
    "rgb": 0, "bt709": 1, "unknown": 2, "fcc": 4, "bt470bg": 5, "smpte170m": 6, "smpte240m": 7,
    "ycgco": 8, "bt2020nc": 9, "bt2020c": 10, "ictcp": 14,
}  # fmt: skip
"""FFmpeg's name -> AVColorSpace."""
COLOR_RANGES: Final = {"unknown": 0, "tv": 1, "pc": 2}
"""FFmpeg's name -> AVColorRange."""
COLOR_PRIMARIES: Final = {
    "bt709": 1, "unknown": 2, "bt470m": 4, "bt470bg": 5, "smpte170m": 6, "smpte240m": 7, "film": 8,
    "bt2020": 9, "smpte428": 10, "smpte431": 11, "smpte432": 12, "ebu3213": 22,
}  # fmt: skip
"""FFmpeg's name -> AVColorPrimaries."""
COLOR_TRCS: Final = {
    "bt709": 1, "unknown": 2, "gamma22": 4, "gamma28": 5, "smpte170m": 6, "smpte240m": 7, "linear": 8,
    "log100": 9, "log316": 10, "iec61966-2-4": 11, "bt1361e": 12, "iec61966-2-1": 13, "bt2020-10": 14,
    "bt2020-12": 15, "smpte2084": 16, "smpte428": 17, "arib-std-b67": 18,
}  # fmt: skip
"""FFmpeg's name -> AVColorTransferCharacteristic."""
LUMA_WEIGHTS: Final[dict[str, tuple[float, float]]] = {
    "bt709": (0.2126, 0.0722), "fcc": (0.30, 0.11), "bt470bg": (0.299, 0.114), "smpte170m": (0.299, 0.114),
    "smpte240m": (0.212, 0.087), "bt2020nc": (0.2627, 0.0593), "bt2020c": (0.2627, 0.0593),
}  # fmt: skip
"""Matrix -> (Kr, Kb): red's and blue's share of luma. `ycgco` and `ictcp`, which hardly occur, are read as BT.709."""


def name_of(table: dict[str, int], value: int | None) -> str:
    """FFmpeg's name of an enum value; `unknown` for None and for values that the table does not know."""
    return next((name for name, number in table.items() if number == value), "unknown")


@dataclass(frozen=True, slots=True)
class ColorSpec:
    """How a picture's numbers mean colours. All names are FFmpeg's; none is ever `unknown` for matrix and range."""

    colorspace: str
    """Matrix: a key of `COLORSPACES`; `rgb` for RGB formats."""
    color_range: str
    """`tv` (limited) or `pc` (full). The alpha plane is always full range, whatever this says."""
    color_primaries: str = "unknown"
    color_trc: str = "unknown"
    guessed: frozenset[str] = frozenset()
    """Names of the fields above that the source did not state (Note [Untagged colour])."""

    @property
    def is_hdr(self) -> bool:
        """True for PQ (`smpte2084`) and HLG (`arib-std-b67`), which networks see tone-mapped."""
        return self.color_trc in ("smpte2084", "arib-std-b67")


def resolve(
    *, colorspace: int | None, color_range: int | None, primaries: int | None, trc: int | None,
    is_rgb: bool, height: int, full_range_name: bool = False,
) -> ColorSpec:  # fmt: skip
    """A `ColorSpec` from FFmpeg's enum values, with what is missing filled in by Note [Untagged colour]."""
    guessed: set[str] = set()
    matrix = "rgb" if is_rgb else name_of(COLORSPACES, colorspace)
    if matrix in ("unknown", "rgb") and not is_rgb:
        guessed.add("colorspace")
        matrix = "bt709" if height >= 720 else ("bt470bg" if height == 576 else "smpte170m")
    spread = "pc" if full_range_name else name_of(COLOR_RANGES, color_range)
    if spread == "unknown":
        guessed.add("color_range")
        spread = "pc" if is_rgb else "tv"
    return ColorSpec(
        colorspace=matrix,
        color_range=spread,
        color_primaries=name_of(COLOR_PRIMARIES, primaries),
        color_trc=name_of(COLOR_TRCS, trc),
        guessed=frozenset(guessed),
    )
