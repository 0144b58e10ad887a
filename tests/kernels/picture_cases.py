"""Pictures with odd sizes and odd pitches for the kernels' tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from kernels.shim.cases import Workbench

from livematte.color import ColorSpec
from livematte.runtimes.kernels.planes import FORMATS, Plane, PlaneSet, plane_shapes

BT709 = ColorSpec("bt709", "tv")
ALIGNED = -1
"""As padding: rows begin at multiples of 16 bytes, so that the kernels read 16 bytes at a time."""


def random_planes(rng: np.random.Generator, pix_fmt: str, width: int, height: int) -> list[npt.NDArray[Any]]:
    """Y, U, V as they lie in memory, over the whole range of the format, soft enough to look like a picture."""
    kind = FORMATS[pix_fmt]
    dtype = np.uint8 if kind.bits == 8 else np.uint16
    shapes = plane_shapes(pix_fmt, width, height)
    sizes = [(down, across) for across, down, _ in shapes]
    if kind.is_interleaved:
        sizes = [sizes[0], sizes[1], sizes[1]]
    return [(rng.integers(0, kind.peak + 1, size) << kind.shift).astype(dtype) for size in sizes]


def on_bench(
    bench: Workbench,
    pix_fmt: str,
    planes: list[npt.NDArray[Any]],
    color: ColorSpec,
    *,
    padding: int = 0,
    odd: bool = False,
) -> PlaneSet:
    """The planes in the bench's memory, each row followed by `padding` bytes; `odd`: from an odd sample on."""
    kind = FORMATS[pix_fmt]
    height, width = planes[0].shape
    if kind.is_interleaved:
        planes = [planes[0], np.stack(planes[1:], axis=-1).reshape(planes[1].shape[0], -1)]
    made = []
    for plane, (across, down, element) in zip(planes, plane_shapes(pix_fmt, width, height), strict=True):
        row = plane.view(np.uint8).reshape(down, -1)
        pitch = row.shape[1] + (-row.shape[1] % 16 if padding == ALIGNED else padding)
        lead = kind.sample_bytes if odd else 0
        memory = np.full(lead + pitch * down, 0xA5, np.uint8)
        memory[lead:].reshape(down, pitch)[:, : row.shape[1]] = row
        made.append(Plane(bench.array(memory).pointer + lead, pitch, across, down, element))
    return PlaneSet(pix_fmt, width, height, tuple(made), color)
