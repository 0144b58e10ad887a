"""blur.cu and composite.cu in NumPy: the same numbers in the same order, float32 and integers.

Against the host (tests/kernels/test_composite.py): colours and pictures are equal to `compositor.over`; the blur is
not, because the host rounds the weighted planes and their blocks to integers and this does not.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from livematte.runtimes.kernels.ops_composite import growth
from livematte.runtimes.kernels.parameters import Block
from livematte.runtimes.kernels.reference_grid import (
    AnyPlane,
    F,
    Integers,
    Planes,
    Samples,
    Taps,
    across_first,
    blocks_sum,
    chroma_alpha,
    down_first,
    half_up,
    moved,
    neighbours,
    peak_of,
    taps,
    weight_for,
)

_TRUST = F(1e-3)


def over(front: Planes, alpha: AnyPlane, behind: Planes) -> list[AnyPlane]:
    """The person over planes of the same size and depth."""
    shares = alpha.astype(np.int64), chroma_alpha(alpha)
    result: list[AnyPlane] = []
    for number, (plane, room) in enumerate(zip(front, behind, strict=True)):
        top = peak_of(plane)
        weight = weight_for(shares[number > 0], peak_of(alpha), top)
        base = np.broadcast_to(room, plane.shape).astype(np.int64)
        result.append(moved(base, plane.astype(np.int64), base, weight, top).astype(plane.dtype))
    return result


def colour_planes(front: Planes, block: Block) -> list[AnyPlane]:
    """The block's colour as planes."""
    return [np.full_like(plane, block["colour"][0, number]) for number, plane in enumerate(front)]


def rgba(planes: Planes, alpha: AnyPlane | None, matrix: tuple[float, ...]) -> npt.NDArray[np.uint8]:
    """(H, W, 4): full-range RGB of the planes, and alpha in 8 bits (None: opaque). `matrix`: `rgb_matrix`."""
    y_zero, y_scale, middle, red_v, green_u, green_v, blue_u = (F(value) for value in matrix)
    height, width = planes[0].shape
    blue, red = (_chroma_full(plane, height, width) - middle for plane in planes[1:])
    luma = (planes[0].astype(F) - y_zero) * y_scale
    rgb = [luma + red_v * red, luma + green_u * blue + green_v * red, luma + blue_u * blue]
    opacity = np.full((height, width), 255, np.int64)
    if alpha is not None:
        opacity = weight_for(alpha.astype(np.int64), peak_of(alpha), 255)
    channels = [np.clip(np.rint(channel), 0, 255).astype(np.uint8) for channel in rgb]
    return np.dstack([*channels, opacity.astype(np.uint8)])


def _chroma_full(plane: AnyPlane, height: int, width: int) -> Samples:
    """Chroma at every pixel; samples lie in the middle of 2x2 pixels."""
    wide = neighbours(plane, 1).astype(F)
    return across_first(wide, _between_middles(height), _between_middles(width))


def _between_middles(count: int) -> Taps:
    index = np.arange(count)
    first = (index + 1) >> 1
    return Taps(first, first + 1, np.where(index & 1, F(0.25), F(0.75)).astype(F))


def alpha_plane(alpha: AnyPlane, bits: int) -> AnyPlane:
    """Full-range samples of `bits` bits."""
    peak, top = peak_of(alpha), (1 << bits) - 1
    values = alpha.astype(np.int64)
    scaled = values if peak == top else (values * top + peak // 2) // peak
    return scaled.astype(np.uint8 if bits == 8 else np.uint16)


def blurred_room(planes: Planes, alpha: AnyPlane, block: Block) -> list[AnyPlane]:
    """Planes blurred without the person, as they stand behind it."""
    mean = blur_means(planes, alpha, block)
    step = F(block["blur_step"][0])
    result: list[AnyPlane] = []
    for number, plane in enumerate(planes):
        scale = F(1) / step if number else F(0.5) / step
        rows, columns = plane.shape
        down, across = taps(rows, scale, mean[number].shape[0]), taps(columns, scale, mean[number].shape[1])
        result.append(half_up(down_first(mean[number], down, across)).astype(plane.dtype))
    return result


def blur_means(planes: Planes, alpha: AnyPlane, block: Block) -> list[Integers]:
    """The grid of means of Y, U, V."""
    weight = room_weight(alpha)
    luma = (blocks_sum(planes[0]) + 2) >> 2
    channels = [plane.astype(F) * weight for plane in (luma, planes[1], planes[2])] + [weight]
    step = int(block["blur_step"][0])
    cells = [_reduced(channel, step) for channel in channels]
    sums = [F(cell.sum(dtype=F)) for cell in cells]
    whole = max(sums[3], F(1e-6))
    blurred = [_gaussian(cell, block) for cell in cells]
    bottom = blurred[3] + _TRUST
    found = [np.rint((blurred[k] + _TRUST * (sums[k] / whole)) / bottom) for k in range(3)]
    return [np.clip(mean, 0, 65535).astype(np.int64) for mean in found]


def room_weight(alpha: AnyPlane) -> Samples:
    """How much each chroma sample says about the room, 0..1."""
    peak = peak_of(alpha)
    square, crosses, part = growth(alpha.shape[0])
    grown = _largest(
        chroma_alpha(alpha), [(y, x) for y in range(-square, square + 1) for x in range(-square, square + 1)]
    )
    cross = [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0)]
    for _ in range(crosses):
        grown = _largest(grown, cross)
    if part > 0:
        further = _largest(grown, cross)
        mixed = grown.astype(F) * (F(1) - F(part)) + further.astype(F) * F(part)
        grown = np.rint(mixed).astype(np.int64)
    rest = (peak - np.minimum(peak, 8 * grown)).astype(F)
    unit = F(1) / F(peak)
    return np.asarray(np.rint(rest * rest * unit) * unit, F)


def _largest(plane: Integers, offsets: list[tuple[int, int]]) -> Integers:
    reach = max(max(abs(y), abs(x)) for y, x in offsets)
    wide, (rows, columns) = neighbours(plane, reach), plane.shape
    views = [wide[reach + y : reach + y + rows, reach + x : reach + x + columns] for y, x in offsets]
    return np.asarray(np.max(views, axis=0), np.int64)


def _reduced(channel: Samples, step: int) -> Samples:
    """Means over step x step, a short last block repeats its last row and column; rows are summed first."""
    rows, columns = channel.shape
    whole = np.pad(channel, ((0, -rows % step), (0, -columns % step)), mode="edge")
    sums = whole[:, ::step]
    for k in range(1, step):
        sums = sums + whole[:, k::step]
    total = sums[::step]
    for k in range(1, step):
        total = total + sums[k::step]
    return np.asarray(total * (F(1) / F(step * step)), F)


def _gaussian(cell: Samples, block: Block) -> Samples:
    for axis in (1, 0):
        along = 1 - axis  # the block's weights are those of x, then of y
        radius, weights = int(block["blur_radius"][0, along]), block["blur_weights"][0, along]
        count = cell.shape[axis]
        index = np.arange(count)
        total = cell * weights[0]
        for k in range(1, radius + 1):
            before = np.take(cell, np.maximum(index - k, 0), axis=axis)
            after = np.take(cell, np.minimum(index + k, count - 1), axis=axis)
            total = total + (before + after) * weights[k]
        cell = np.asarray(total, F)
    return cell
