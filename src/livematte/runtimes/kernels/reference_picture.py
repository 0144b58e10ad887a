"""`picture.cu` in NumPy: the same float32 operations in the same order, for the tests and for proofs on GPUs."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from livematte.color import ColorSpec
from livematte.runtimes.kernels.planes import FORMATS
from livematte.runtimes.kernels.preprocess_spec import (
    PreprocessSpec,
    chroma_quarters,
    normalisation,
    target_of,
    yuv_to_rgb,
)
from livematte.runtimes.kernels.staging import AREA, TRIANGLE

Samples = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
FloatPlane = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


def taps(size: int, out: int, kind: int, quarter: int = 0) -> tuple[IntArray, IntArray]:
    """(first sample (out,), weights (out, most)) of `area.cuh`: whole numbers, 0 beyond a pixel's last sample."""
    pixel = np.arange(out, dtype=np.int64)
    unit = 4 if quarter else 1
    sample, moved = unit * out, quarter * out
    if kind == AREA:
        first = (unit * pixel * size + moved) // sample
        last = (unit * (pixel + 1) * size + moved - 1) // sample
    else:
        reach, centre = 2 * unit * max(size, out), (2 * pixel + 1) * size * unit + 2 * moved - sample
        first = (centre - reach) // (2 * sample) + 1
        last = -((-(centre + reach)) // (2 * sample)) - 1
    first, last = np.maximum(first, 0), np.minimum(last, size - 1)
    index = first[:, None] + np.arange(int((last - first).max()) + 1)[None, :]
    if kind == AREA:
        start = (unit * pixel * size + moved)[:, None]
        end = start + unit * size
        left = np.where(index == 0, np.minimum(start, 0), index * sample)
        right = np.where(index == size - 1, np.maximum(end, (index + 1) * sample), (index + 1) * sample)
        weights = np.minimum(end, right) - np.maximum(start, left)
    else:
        distance = (2 * index + 1) * sample - ((2 * pixel + 1) * size * unit + 2 * moved)[:, None]
        weights = 2 * unit * max(size, out) - np.abs(distance)
    return first, np.where(index <= last[:, None], weights, 0)


def means(
    plane: Samples, out_width: int, out_height: int, kind_x: int, kind_y: int, quarters: tuple[int, int] = (0, 0)
) -> FloatPlane:
    """(out_height, out_width) float32 means of a plane (h, w), rows summed in whole numbers, then downwards."""
    height, width = plane.shape
    first_x, weights_x = taps(width, out_width, kind_x, quarters[0])
    first_y, weights_y = taps(height, out_height, kind_y, quarters[1])
    sums = np.zeros((height, out_width), np.int64)
    for k in range(weights_x.shape[1]):
        sums += plane[:, np.minimum(first_x + k, width - 1)].astype(np.int64) * weights_x[:, k]
    lines = sums.astype(np.float32)
    totals = np.zeros((out_height, out_width), np.float32)
    for k in range(weights_y.shape[1]):
        weight = weights_y[:, k].astype(np.float32)[:, None]
        totals += weight * lines[np.minimum(first_y + k, height - 1)]
    every = weights_x.sum(1).astype(np.float32)[None, :] * weights_y.sum(1).astype(np.float32)[:, None]
    return np.asarray(totals / every, np.float32)


def turned(plane: npt.NDArray[Any], rotation: int) -> npt.NDArray[Any]:
    """A plane (h, w) turned clockwise by 0, 90, 180 or 270 degrees."""
    return np.ascontiguousarray(np.rot90(plane, -rotation // 90))


def preprocess(
    planes: list[Samples], pix_fmt: str, color: ColorSpec, shape: tuple[int, ...], spec: PreprocessSpec, *,
    dtype: npt.DTypeLike = np.float32,
) -> npt.NDArray[Any]:  # fmt: skip
    """The tensor (1, 3, h, w) or (1, h, w, 3) that `PictureOps.preprocess` writes.

    planes: Y, U, V (h, w), as the samples lie in memory (P010's shifted up); an interleaved plane already taken apart.
    """
    target = target_of(spec, shape)
    averaged = []
    for number, plane in enumerate(planes):
        kinds = [
            AREA if spec.scaling == "area" and luma >= pixels and size >= pixels else TRIANGLE
            for luma, size, pixels in zip(
                planes[0].shape[::-1], plane.shape[::-1], (target.width, target.height), strict=True
            )
        ]
        place = chroma_quarters(spec.chroma, FORMATS[pix_fmt]) if number else (0, 0)
        averaged.append(means(plane, target.width, target.height, kinds[0], kinds[1], place))
    made = yuv_to_rgb(color, FORMATS[pix_fmt])
    one = np.float32
    grey = (averaged[0] - one(made.y_zero)) * one(made.y_scale)
    u, v = averaged[1] - one(made.c_zero), averaged[2] - one(made.c_zero)
    red = grey + v * one(made.v_to_r)
    green = (grey + u * one(made.u_to_g)) + v * one(made.v_to_g)
    blue = grey + u * one(made.u_to_b)
    out = np.zeros(shape, dtype)
    flat = out.reshape(-1)
    gains, offsets = normalisation(spec)
    x, y = np.meshgrid(np.arange(target.width), np.arange(target.height))
    at = target.origin + x * target.step_x + y * target.step_y
    for colour, gain, offset, channel in zip((red, green, blue), gains, offsets, target.channels, strict=True):
        flat[at + channel] = (np.clip(colour, one(0), one(1)) * one(gain) + one(offset)).astype(dtype)
    return out
