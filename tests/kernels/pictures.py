"""4:2:0 pictures in a workbench's memory, with odd pitches and guarded gaps, and a person to composite."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from livematte.color import ColorSpec
from livematte.runtimes.kernels.planes import FORMATS, Format, Plane, PlaneSet, plane_shapes

AnyArray = npt.NDArray[Any]
LIMITED = ColorSpec("bt709", "tv")
FULL = ColorSpec("bt470bg", "pc")
_GUARD = 0xA5


@dataclass
class Placed:
    """A picture in a buffer: what the kernels get, and the way back."""

    planes: PlaneSet
    buffer: Any

    def read(self) -> list[AnyArray]:
        """Y, U, V, right-aligned. Fails where a gap between rows was written to."""
        kind, raw = self.planes.format, self.buffer.array
        found: list[AnyArray] = []
        touched = np.zeros(raw.size, bool)
        for plane in self.planes.planes:
            start = plane.pointer - self.buffer.pointer
            rows = raw[start : start + plane.pitch * plane.height].reshape(plane.height, plane.pitch)
            marks = touched[start : start + plane.pitch * plane.height].reshape(plane.height, plane.pitch)
            marks[:, : plane.row_bytes] = True
            samples = np.ascontiguousarray(rows[:, : plane.row_bytes]).view(_dtype(kind.bits)) >> kind.shift
            found += [samples[:, ::2], samples[:, 1::2]] if kind.is_interleaved and found else [samples]
        assert (raw[~touched] == _GUARD).all(), "a kernel wrote between the rows of a picture"
        return [np.ascontiguousarray(plane) for plane in found]


def place(
    bench: Any, pix_fmt: str, samples: list[AnyArray] | tuple[int, int], *, color: ColorSpec = LIMITED, gap: int = 0
) -> Placed:
    """A picture with these samples (Y, U, V), or of this (width, height) and undefined.

    `gap`: bytes beyond the row, rounded up to whole samples; with 0 the rows still lie at no special multiple.
    """
    kind = FORMATS[pix_fmt]
    width, height = samples if isinstance(samples, tuple) else samples[0].shape[::-1]
    shapes = plane_shapes(pix_fmt, width, height)
    pitches = [across * element + gap * kind.sample_bytes for across, _, element in shapes]
    starts = np.cumsum([0, *(pitch * rows for pitch, (_, rows, _) in zip(pitches, shapes, strict=True))])
    raw = np.full(starts[-1], _GUARD, np.uint8)
    for number, (across, rows, element) in enumerate(shapes):
        if not isinstance(samples, tuple):
            lines = raw[starts[number] : starts[number + 1]].reshape(rows, pitches[number])
            lines[:, : across * element] = _in_memory(samples, number, kind)
    buffer = bench.array(raw)
    planes = tuple(
        Plane(buffer.pointer + int(start), pitch, across, rows, element)
        for start, pitch, (across, rows, element) in zip(starts[:-1], pitches, shapes, strict=True)
    )
    return Placed(PlaneSet(pix_fmt, width, height, planes, color), buffer)


def _in_memory(samples: list[AnyArray], number: int, kind: Format) -> npt.NDArray[np.uint8]:
    """(rows, bytes) of plane `number`."""
    values = samples[number]
    if kind.is_interleaved and number:
        values = np.stack([samples[1], samples[2]], axis=2).reshape(values.shape[0], -1)
    return np.ascontiguousarray(values.astype(_dtype(kind.bits)) << kind.shift).view(np.uint8)


def _dtype(bits: int) -> type[np.uint8] | type[np.uint16]:
    return np.uint8 if bits == 8 else np.uint16


def scene(
    width: int, height: int, bits: int, *, seed: int = 0, room: tuple[int, int, int] | None = None
) -> list[AnyArray]:
    """Y, U, V of a textured picture, samples of `bits` bits; `room`: its mean colour in 8 bits."""
    rng = np.random.default_rng(seed)
    steps, dtype = 1 << (bits - 8), _dtype(bits)
    y, x = np.mgrid[0:height, 0:width]
    luma, blue, red = room or (110, 120, 132)
    planes = [luma + 60 * np.sin(x / 9.0 + y / 23.0) + rng.normal(0, 6, (height, width))]
    small = -(-height // 2), -(-width // 2)
    y, x = np.mgrid[0 : small[0], 0 : small[1]]
    planes += [
        blue + 30 * np.sin(x / 11.0) + rng.normal(0, 3, small),
        red + 25 * np.cos(y / 7.0) + rng.normal(0, 3, small),
    ]
    return [np.clip(np.rint(plane * steps), 0, (1 << bits) - 1).astype(dtype) for plane in planes]


def person(width: int, height: int, dtype: type[np.uint8] | type[np.uint16], *, soft: float = 0.06) -> AnyArray:
    """Alpha of an ellipse with a soft edge, a hard stripe, and haze in a corner."""
    y, x = np.mgrid[0:height, 0:width]
    distance = np.hypot((x / width - 0.45) / 0.25, (y / height - 0.6) / 0.42)
    alpha = np.clip((1.05 - distance) / (2 * soft) + 0.5, 0, 1)
    alpha[: max(1, height // 8), : max(1, width // 6)] = 0.02
    alpha[height // 3 : height // 3 + 3, width // 2 :] = 1.0
    peak = int(np.iinfo(dtype).max)
    return np.rint(alpha * peak).astype(dtype)
