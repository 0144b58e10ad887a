"""Which colours an output states: matrix, range, primaries and transfer of the planes that its encoder is given.

Note [Output colours]
    YUV sources keep their matrix, range, primaries and transfer; what a source did not state and we resolved by the
    rule in `color.py` is tagged as resolved, so that the next program does not have to guess. RGB sources become
    BT.709 limited where a codec wants YUV. ProRes has no range flag and is always limited; its frame header knows
    few values, so BT.470BG's matrix is written as SMPTE 170M (the same numbers) and the SMPTE 170M and BT.2020
    transfers as BT.709 (the same curve, ITU-T H.273).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import av

from livematte.color import COLOR_PRIMARIES, COLOR_RANGES, COLOR_TRCS, COLORSPACES, ColorSpec
from livematte.frames import StreamInfo
from livematte.planes import layout

_PRORES_MATRIX: Final = {"bt470bg": "smpte170m", "bt2020c": "bt2020nc"}
_PRORES_PRIMARIES: Final = frozenset({"bt709", "bt470bg", "smpte170m", "bt2020", "smpte431", "smpte432"})
_PRORES_TRC: Final = {
    "bt709": "bt709", "smpte170m": "bt709", "bt2020-10": "bt709", "bt2020-12": "bt709", "smpte2084": "smpte2084",
    "arib-std-b67": "arib-std-b67",
}  # fmt: skip


def yuv_color(info: StreamInfo) -> ColorSpec:
    """Colours of the YUV planes made from such a source."""
    if not layout(info.pix_fmt).is_rgb:
        return info.color
    return ColorSpec(
        colorspace="bt709",
        color_range="tv",
        color_primaries=_known(info.color.color_primaries, "bt709"),
        color_trc=_known(info.color.color_trc, "iec61966-2-1"),
    )


def grey_color(info: StreamInfo) -> ColorSpec:
    """Colours of alpha written as a grey picture: full range, so that 0 and 255 are 0 and 255."""
    return ColorSpec(colorspace=yuv_color(info).colorspace, color_range="pc")


def rgb_color(info: StreamInfo) -> ColorSpec:
    """Colours of RGB pictures made from such a source by its own matrix: the source's primaries and transfer."""
    return replace(info.color, colorspace="rgb", color_range="pc")


def prores_color(color: ColorSpec) -> ColorSpec:
    """What ProRes can state of `color` (Note [Output colours])."""
    matrix = _PRORES_MATRIX.get(color.colorspace, color.colorspace)
    return ColorSpec(
        colorspace=matrix,
        color_range="tv",
        color_primaries=color.color_primaries if color.color_primaries in _PRORES_PRIMARIES else "unknown",
        color_trc=_PRORES_TRC.get(color.color_trc, "unknown"),
    )


def tag(target: av.VideoFrame | av.VideoCodecContext, color: ColorSpec) -> None:
    """State `color` on a picture or an encoder. Some encoders (ProRes) read the picture's, some the encoder's."""
    target.colorspace = COLORSPACES.get(color.colorspace, 2)
    target.color_range = COLOR_RANGES.get(color.color_range, 0)
    target.color_primaries = COLOR_PRIMARIES.get(color.color_primaries, 2)
    target.color_trc = COLOR_TRCS.get(color.color_trc, 2)


def _known(value: str, otherwise: str) -> str:
    return otherwise if value == "unknown" else value
