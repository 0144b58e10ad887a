"""What a batch is to show, as numbers: the planner draws them on the host, the composer paints them on the device.

A scene is a stack of layers, painted from the first to the last; a few scenes are painted twice, the second time
moved a little, as two neighbouring frames of a clip. Geometry is stored as inverse maps, from a pixel of the frame to
one of the picture, both measured from the corner.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

MAX_LAYERS = 12
RIPPLES = 3


class Outline(IntEnum):
    """Where a layer covers what lies below."""

    NONE = 0
    """No layer."""
    FRAME = 1
    """Everywhere."""
    ALPHA = 2
    """By the picture's own alpha."""
    SHAPE = 3
    """By a closed shape: a superellipse with a rippled rim."""
    BORROWED = 4
    """By the alpha of another picture."""


class Label(IntEnum):
    """What a layer adds to the true alpha where it covers."""

    ROOM = 0
    PERSON = 1
    PICTURE = 2
    """The picture's own alpha: a photograph shown as taken."""


_PLACED = [("picture", "i8"), ("level", "i8"), ("inverse", "f4", (2, 2, 3))]
"""A picture in both frames."""

COLOUR = np.dtype(
    [("gamma", "f4"), ("contrast", "f4"), ("brightness", "f4"), ("balance", "f4", (3,)), ("saturation", "f4")]
)

SHAPE = np.dtype([("power", "f4"), ("softness", "f4"), ("ripple", "f4", (RIPPLES,)), ("phase", "f4", (RIPPLES,))])
"""Rim where (|u|^power + |v|^power)^(1/power) = 1 + sum of ripple_k cos(k angle + phase_k); softness in units of u."""

LAYER = np.dtype(
    [
        ("outline", "i4"),
        ("label", "i4"),
        *_PLACED,
        ("mask", np.dtype(_PLACED)),  # Outline.BORROWED: the lending picture; Outline.SHAPE: `inverse` gives (u, v)
        ("shape", SHAPE),
        ("colour", COLOUR),
        ("bend", "f4", (2, 4)),  # see Atlas.sample
        ("smear", "f4", (2,)),  # motion blur: the whole path in pixels (x, y)
        ("defocus", "i4"),  # 0, or the factor 2, 4, 8 by which details are lost
        ("cloth", np.dtype(_PLACED)),  # a material worn by the figure; picture -1: none
        ("cloth_rim", "f4", (2,)),  # it begins at this y (pixels) and has this strength
        ("harmonise", "f4"),  # 0..1: how far the layer's mean colour moves to that of what lies below
        ("shadow", "f4", (3,)),  # strength 0..1, offset (x, y) in pixels
    ]
)

CAMERA = np.dtype(
    [
        ("colour", COLOUR),
        ("exposure", "f4"),  # 1: as composed; less: a dark room
        ("noise", "f4"),  # standard deviation of read noise, of 1
        ("shot", "f4"),  # ... of shot noise at white
        ("coarse_noise", "?"),  # noise in blotches of two pixels
        ("detail", "f4"),  # 1, or the scale down to which the picture went on its way
        ("jpeg", "f4"),  # quality 1..100; 0: none
        ("paired", "?"),  # painted twice
        ("kind", "i4"),  # index into KINDS
    ]
)

KINDS = ("empty", "photo", "portrait", "figure", "turned", "row", "before photo", "held")
"""What a scene shows; validation is reported by it. portrait: cut below or close; figure: whole; held: with things."""

Record = npt.NDArray[np.void]


@dataclass(frozen=True)
class Plan:
    """A batch of scenes."""

    size: tuple[int, int]
    """Height, width in pixels; multiples of 32."""
    layers: Record
    """LAYER, (scenes, MAX_LAYERS); Outline.NONE after the last one."""
    cameras: Record
    """CAMERA, (scenes,)."""


def plain_colour() -> Record:
    """COLOUR that changes nothing, shape ()."""
    colour = np.zeros((), COLOUR)
    for name in ("gamma", "contrast", "balance", "saturation"):
        colour[name] = 1
    return colour


def plain_layer() -> Record:
    """A LAYER that shows its picture unchanged once outline, label, picture and inverse are set; shape ()."""
    layer = np.zeros((), LAYER)
    layer["colour"] = plain_colour()
    layer["cloth"]["picture"] = -1
    layer["mask"]["picture"] = -1
    return layer
