"""Takes the green or blue that a screen throws onto the person out of the edge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import cv2
import numpy as np

from livematte.color import LUMA_WEIGHTS, ColorSpec
from livematte.matting.planar import PlaneGroup
from livematte.planes import Layout, PlaneArray

cv: Any = cv2  # OpenCV's own stubs know neither dtypes nor scalars as operands

_SCREEN_EXCESS: Final = 0.08
"""By how much (of 1) a room's green or blue exceeds the mean of the other two before it can spill."""


def take_spill_out(
    planes: Sequence[PlaneArray],
    groups: Sequence[PlaneGroup],
    kind: Layout,
    amount: float,
    *,
    room: Sequence[PlaneArray],
    color: ColorSpec | None,
) -> None:
    """Lower the screen's channel in the band to the mean of the other two, by `amount` (0..1); in place.

    The rule of keyers ("average" despill; Wright 2017, "Digital Compositing for Film and Video", chapter 3). Green or
    blue is told from the room's own mean colour; another room spills nothing and nothing is done. Opaque samples stay.
    """
    shares = LUMA_WEIGHTS.get(color.colorspace if color else "bt709", LUMA_WEIGHTS["bt709"])
    rows = _rows_of_excess(shares, is_rgb=kind.is_rgb)
    scales = _unit_scales(kind, is_full=color is not None and color.color_range == "pc")
    mean = [(float(plane.mean()) - zero) * scale for plane, (zero, scale) in zip(room, scales, strict=True)]
    screen = max(rows, key=lambda name: float(np.dot(rows[name], mean)))
    if float(np.dot(rows[screen], mean)) < _SCREEN_EXCESS:
        return
    pixels = groups[-1].alpha.shape[::-1]
    units = [
        cv.resize(plane, pixels, interpolation=cv2.INTER_AREA).astype(np.float32) * np.float32(scale)
        - np.float32(zero * scale)
        for plane, (zero, scale) in zip(planes, scales, strict=True)
    ]
    excess = sum(np.float32(share) * unit for share, unit in zip(rows[screen], units, strict=True))
    excess = np.maximum(excess, 0) * np.float32(amount)
    effects = _effects(screen, shares, is_rgb=kind.is_rgb)
    for group in groups:
        spread = cv.resize(excess, group.alpha.shape[::-1], interpolation=cv2.INTER_LINEAR)
        where = cv.inRange(group.alpha, 1, group.peak) > group.opaque
        for number in group.planes:
            if effects[number]:
                change = spread[where] * np.float32(effects[number] / scales[number][1])
                planes[number][where] = np.clip(np.rint(planes[number][where] - change), 0, kind.peak)


def _rows_of_excess(shares: tuple[float, float], *, is_rgb: bool) -> dict[str, tuple[float, float, float]]:
    """Screen -> weights of the three planes (in units) that give how far it exceeds the mean of the other channels."""
    if is_rgb:  # G, B, R
        return {"green": (1, -0.5, -0.5), "blue": (-0.5, 1, -0.5)}
    red, blue = shares
    green = 1 - red - blue
    to_red, to_blue = 2 * (1 - red), 2 * (1 - blue)  # R = Y + to_red V, B = Y + to_blue U
    green_u, green_v = -to_blue * blue / green, -to_red * red / green
    return {
        "green": (0, green_u - to_blue / 2, green_v - to_red / 2),
        "blue": (0, to_blue - green_u / 2, -to_red / 2 - green_v / 2),
    }


def _effects(screen: str, shares: tuple[float, float], *, is_rgb: bool) -> tuple[float, float, float]:
    """What each plane (in units) loses when the screen's channel is lowered by 1."""
    if is_rgb:
        return (1, 0, 0) if screen == "green" else (0, 1, 0)
    red, blue = shares
    luma = 1 - red - blue if screen == "green" else blue
    own_blue = 0 if screen == "green" else 1
    return luma, (own_blue - luma) / (2 * (1 - blue)), -luma / (2 * (1 - red))


def _unit_scales(kind: Layout, *, is_full: bool) -> list[tuple[float, float]]:
    """(zero, factor) of each plane: (sample - zero) * factor is 0..1 for luma and RGB, -0.5..0.5 for chroma."""
    step, middle = 1 << (kind.bits - 8), float(1 << (kind.bits - 1))
    if kind.is_rgb:
        return [(0.0, 1 / kind.peak)] * 3
    if is_full:
        return [(0.0, 1 / kind.peak), (middle, 1 / kind.peak), (middle, 1 / kind.peak)]
    return [(16.0 * step, 1 / (219 * step)), (middle, 1 / (224 * step)), (middle, 1 / (224 * step))]
