"""means.cu and foreground.cu in NumPy: the same numbers in the same order, float32 and integers.

Only the sums over the whole grid add up in another order; they weigh where a window trusts nothing near, and may move
a mean by one step. Against `matting.foreground.clean` see tests/kernels/test_kernel_foreground.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from livematte.color import ColorSpec
from livematte.runtimes.kernels.ops_foreground import means_layout, screen_constants
from livematte.runtimes.kernels.reference_grid import (
    AnyPlane,
    F,
    Integers,
    Planes,
    Samples,
    across_first,
    blocks_sum,
    box_mean,
    chroma_alpha,
    down_first,
    half_up,
    moved,
    neighbours,
    peak_of,
    ratio,
    taps,
    weight_for,
)

_TRUST = (F(0.002), F(0.002), F(0.02))
_SEEN = F(2) * F(0.03) - F(1)
_SCREEN_EXCESS = F(0.08)
_COARSEST = 4


@dataclass(frozen=True, slots=True)
class Means:
    """F^ and B^ of the three planes on the grid, integers."""

    front: tuple[Integers, Integers, Integers]
    back: tuple[Integers, Integers, Integers]


def nearest(target: int, source: int) -> Integers:
    """Indices into `source` under the middles of 0..target-1: INTER_NEAREST_EXACT, whose ties differ by version."""
    return np.asarray((2 * np.arange(target, dtype=np.int64) + 1) * source // (2 * target), np.int64)


def means(planes: Planes, alpha: AnyPlane, bits: int) -> Means:
    """F^ and B^ (matting/foreground.py, Note [Foreground]) over the whole picture."""
    height, width = alpha.shape
    columns, rows = means_layout(width, height).grid
    values = [plane[nearest(rows, plane.shape[0])][:, nearest(columns, plane.shape[1])].astype(F) for plane in planes]
    small = chroma_alpha(alpha)
    picked = small[nearest(rows, small.shape[0])][:, nearest(columns, small.shape[1])]
    sure = picked.astype(F) * (F(2) / F(peak_of(alpha))) - F(1)
    flat = F(1 << (bits - 1))
    front = _fused(values, np.maximum(sure, F(0)), [np.full_like(sure, flat)] * 3)
    back = _fused(values, np.minimum(sure, F(0)), front)
    near = _nearness(sure)
    return Means(
        _rounded([(plane - flat) * near + flat for plane in front]),
        _rounded(back),
    )


def _rounded(planes: list[Samples]) -> tuple[Integers, Integers, Integers]:
    first, second, third = (np.clip(np.rint(plane), 0, 65535).astype(np.int64) for plane in planes)
    return first, second, third


def _fused(values: list[Samples], sure: Samples, beyond: list[Samples]) -> list[Samples]:
    weight = (sure * sure) * (sure * sure)
    channels = [weight, *(plane * weight for plane in values)]
    whole = [F(channel.sum(dtype=F)) for channel in channels]
    found = list(beyond) if whole[0] < 1 else [np.full_like(weight, total / whole[0]) for total in whole[1:]]
    windows = (
        [_widest(channel) for channel in channels],
        [_middle(channel) for channel in channels],
        [box_mean(channel, 1) for channel in channels],
    )
    for window, trust in zip(windows, _TRUST, strict=True):
        total = window[0] + trust
        found = [(plane * trust + mean) / total for plane, mean in zip(found, window[1:], strict=True)]
    return found


def _middle(channel: Samples) -> Samples:
    """Mean over 7x7, borders repeated; summed along rows first."""
    wide, (rows, columns) = neighbours(channel, 3), channel.shape
    along = np.zeros((rows + 6, columns), F)
    for x in range(7):
        along = along + wide[:, x : x + columns]
    total = np.zeros_like(channel)
    for y in range(7):
        total = total + along[y : y + rows]
    return np.asarray(total * (F(1) / F(49)), F)


def _widest(channel: Samples) -> Samples:
    """Reduced to a quarter by area, mean over 7x7, enlarged again."""
    rows, columns = channel.shape
    cells = -(-rows // _COARSEST), -(-columns // _COARSEST)
    reduced = np.array(
        [[_cell(channel, row, column, cells) for column in range(cells[1])] for row in range(cells[0])], F
    )
    mean = box_mean(reduced, 3)
    return across_first(
        mean, taps(rows, ratio(cells[0], rows), cells[0]), taps(columns, ratio(cells[1], columns), cells[1])
    )


def _cell(channel: Samples, row: int, column: int, cells: tuple[int, int]) -> np.float32:
    """Mean over one coarse cell, samples weighted by how much of them lies in it."""
    across, down = ratio(channel.shape[1], cells[1]), ratio(channel.shape[0], cells[0])
    left, right, top, bottom = F(column) * across, F(column + 1) * across, F(row) * down, F(row + 1) * down
    total = F(0)
    for y in range(int(np.floor(top)), min(channel.shape[0], int(np.ceil(bottom)))):
        high = min(bottom, F(y + 1)) - max(top, F(y))
        for x in range(int(np.floor(left)), min(channel.shape[1], int(np.ceil(right)))):
            wide = min(right, F(x + 1)) - max(left, F(x))
            total = total + high * wide * channel[y, x]
    return F(total / (across * down))


def _nearness(sure: Samples) -> Samples:
    there = neighbours((sure >= _SEEN).astype(F), 1)
    rows, columns = sure.shape
    seen = np.max([there[y : y + rows, x : x + columns] for y in range(3) for x in range(3)], axis=0)
    down, across = (_mirrored(count) for count in (rows, columns))
    total = np.zeros_like(sure)
    for y in range(3):
        for x in range(3):
            total = total + seen[down[y : y + rows]][:, across[x : x + columns]]
    return np.asarray(total * (F(1) / F(9)), F)


def _mirrored(count: int) -> Integers:
    """Indices -1..count, mirrored at the middle of the border samples."""
    index = np.arange(-1, count + 1)
    if count == 1:
        return np.zeros_like(index)
    return np.where(index < 0, 1, np.where(index >= count, count - 2, index))


def clean(
    planes: Planes,
    alpha: AnyPlane,
    bits: int,
    *,
    keep_background: bool = False,
    despill: float | None = None,
    color: ColorSpec | None = None,
) -> list[AnyPlane]:
    """The straight foreground. `despill`: its amount, None: off; `color` tells it matrix and range."""
    found = means(planes, alpha, bits)
    small = chroma_alpha(alpha)
    is_opaque = (alpha == peak_of(alpha), blocks_sum(alpha) == 4 * peak_of(alpha))
    cleaned: list[AnyPlane] = []
    for number, plane in enumerate(planes):
        share = (alpha.astype(np.int64), small)[number > 0]
        pair = found.front[number], found.back[number]
        done = _unmixed(
            plane.astype(np.int64), weight_for(share, peak_of(alpha), peak_of(plane)), pair, bits, plane.dtype
        )
        kept = is_opaque[number > 0] | keep_background
        cleaned.append(np.where(kept, plane, done.astype(plane.dtype)))
    if despill is not None and color is not None:
        return take_spill_out(cleaned, alpha, found, bits, despill, color)
    return cleaned


def _unmixed(
    source: Integers, share: Integers, means: tuple[Integers, Integers], bits: int, dtype: np.dtype[Any]
) -> Integers:
    top, sample_peak = int(np.iinfo(dtype).max), (1 << bits) - 1
    (rows, columns), grid = source.shape, means[0].shape
    down, across = taps(rows, ratio(grid[0], rows), grid[0]), taps(columns, ratio(grid[1], columns), grid[1])
    front, back = (half_up(down_first(mean, down, across)) for mean in means)
    least = 26 if top == 255 else 6554
    above = np.maximum(share, least).astype(F) - F(least)
    gain = np.rint(above * above * (F(top) / (F(top - least) * F(top - least)))).astype(np.int64)
    expected = moved(back, front, back, share, top)
    own = np.minimum(moved(front, source, expected, gain, top), sample_peak)
    return np.where(gain == 0, np.minimum(front, sample_peak), own)


def take_spill_out(
    planes: list[AnyPlane], alpha: AnyPlane, found: Means, bits: int, amount: float, color: ColorSpec
) -> list[AnyPlane]:
    """The screen's colour out of the band (matting/despill.py)."""
    screen = _screen(found, bits, color)
    if not screen.is_on:
        return planes
    row, scale, offset = screen.row, screen.scale, screen.offset
    luma = (blocks_sum(planes[0]) + 2) >> 2
    units = [plane.astype(F) * scale[k] - offset[k] for k, plane in enumerate((luma, planes[1], planes[2]))]
    excess = row[0] * units[0] + row[1] * units[1] + row[2] * units[2]
    excess = np.maximum(excess, F(0)) * F(amount)
    rows, columns = alpha.shape
    down = taps(rows, ratio(excess.shape[0], rows), excess.shape[0])
    across = taps(columns, ratio(excess.shape[1], columns), excess.shape[1])
    spread = (across_first(excess, down, across), excess, excess)
    small = chroma_alpha(alpha)
    band = (
        (alpha > 0) & (alpha < peak_of(alpha)),
        (small > 0) & (blocks_sum(alpha) != 4 * peak_of(alpha)),
    )
    result: list[AnyPlane] = []
    for k, plane in enumerate(planes):
        lowered = np.rint(plane.astype(F) - spread[k] * screen.change[k])
        lowered = np.clip(lowered, 0, (1 << bits) - 1).astype(plane.dtype)
        result.append(np.where(band[k > 0], lowered, plane))
    return result


@dataclass(frozen=True, slots=True)
class _Screen:
    """`struct Screen`; unit = sample * scale - offset."""

    scale: list[np.float32]
    offset: list[np.float32]
    row: list[np.float32]
    """Weights of the planes, in units, that give the excess."""
    change: list[np.float32]
    """What each plane loses, in samples, for each unit of excess."""
    is_on: bool


def _screen(found: Means, bits: int, color: ColorSpec) -> _Screen:
    luma_scale, chroma_scale, red, blue, green_u, green_v, from_red, from_blue = (
        F(value) for value in screen_constants(color, bits)
    )
    is_full = color.color_range == "pc"
    scale = [luma_scale, chroma_scale, chroma_scale]
    middle = F(1 << (bits - 1)) * chroma_scale
    offset = [F(0) if is_full else F(16 << (bits - 8)) * luma_scale, middle, middle]
    each = F(1 / found.back[0].size)
    mean = [F(plane.sum()) * each * scale[k] - offset[k] for k, plane in enumerate(found.back)]
    half, to_red, to_blue = F(0.5), F(2) * (F(1) - red), F(2) * (F(1) - blue)
    greens = [F(0), green_u - to_blue * half, green_v - to_red * half]
    blues = [F(0), to_blue - green_u * half, -to_red * half - green_v * half]
    as_green, as_blue = (row[1] * mean[1] + row[2] * mean[2] for row in (greens, blues))
    is_green = as_green >= as_blue
    luma, own_blue = (F(1) - red - blue, F(0)) if is_green else (blue, F(1))
    span = [F((1 << bits) - 1)] * 2 if is_full else [F(219 << (bits - 8)), F(224 << (bits - 8))]
    change = [luma * span[0], (own_blue - luma) * from_blue * span[1], -luma * from_red * span[1]]
    is_on = bool(max(as_green, as_blue) >= _SCREEN_EXCESS)
    return _Screen(scale, offset, greens if is_green else blues, change, is_on)
