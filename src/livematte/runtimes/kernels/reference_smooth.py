"""smooth.cu in NumPy: the same numbers in the same order, float32.

Against the host's own functions (tests/kernels/test_smooth.py): luma is reduced by OpenCV's own fixed point, so what
decides about cuts and stillness is equal for 8 bits; the smoothers differ by the order of float32 operations, 2e-5 of
alpha at most.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from livematte.runtimes.kernels.ops_smooth import cut_shape, gate_shape
from livematte.runtimes.kernels.parameters import Block
from livematte.runtimes.kernels.reference_grid import (
    AnyPlane,
    F,
    Integers,
    Samples,
    Taps,
    across_first,
    box_mean,
    neighbours,
    ratio,
    taps,
)

_STILL = F(1.5)
_MOVING = F(4.0)
_RAMP_SHARE = F(0.025)


def keep(alpha: npt.NDArray[np.floating], block: Block) -> Samples:
    """Alpha (h, w) float16 or float32 inside the region, float32."""
    values = alpha.astype(F)
    left, top, right, bottom = (F(side) for side in block["region"][0])
    if left <= 0 and top <= 0 and right >= 1 and bottom >= 1:
        return values
    height, width = values.shape
    ramp = np.maximum(F(1), _RAMP_SHARE * F(min(width, height)))
    down, across = _profile(height, top, bottom, ramp), _profile(width, left, right, ramp)
    return np.asarray(values * np.minimum(down[:, None], across[None, :]), F)


def _profile(count: int, begin: np.float32, end: np.float32, ramp: np.float32) -> Samples:
    middle = np.arange(count, dtype=F) + F(0.5)
    one = np.ones(count, F)
    rising = one if begin <= 0 else (middle - begin * F(count)) / ramp
    falling = one if end >= 1 else (end * F(count) - middle) / ramp
    return np.clip(np.minimum(rising, falling), F(0), F(1)).astype(F)


def ema(alpha: npt.NDArray[np.floating], past: Samples, block: Block) -> Samples:
    """The exponential average."""
    now = keep(alpha, block)
    if block["is_first"][0]:
        return now
    weight = block["strength"][0, 0]
    return np.asarray(past * (F(1) - weight) + now * weight, F)


def one_euro(
    alpha: npt.NDArray[np.floating], past: tuple[Samples, Samples, Samples], block: Block
) -> tuple[Samples, Samples, Samples]:
    """(smoothed, alpha, speed) from those of the frame before."""
    now = keep(alpha, block)
    if block["is_first"][0]:
        return now, now, np.zeros_like(now)
    weight, slope, floor, rate = block["strength"][0]
    state, previous, speed = past
    speed = speed * (F(1) - weight) + (now * rate - previous * rate) * weight
    share = np.abs(speed) * slope + floor
    return np.asarray(state + share / (share + F(1)) * (now - state), F), now, speed


def ofd(before: Samples, held: Samples, after: Samples, block: Block) -> Samples:
    """The held frame without what flickers in it."""
    if block["is_first"][0]:
        return held
    tolerance = block["strength"][0, 0]
    flickers = np.abs(before - after) <= tolerance
    for neighbour in (before, after):
        flickers &= np.abs(held - neighbour) > tolerance
    return np.where(flickers, (before + after) * F(0.5), held)


def quiet_luma(luma: AnyPlane, peak: int, alpha_shape: tuple[int, int]) -> Samples:
    """Luma (H, W) 0..peak as `adaptive` compares it, for alpha of this shape."""
    return box_mean(_reduced(luma, peak, gate_shape(*alpha_shape), 2), 2)


def cut_luma(luma: AnyPlane, peak: int) -> Samples:
    """Luma (H, W) 0..peak as scenes are compared by."""
    return _reduced(luma, peak, cut_shape(*luma.shape), 4)


def _reduced(luma: AnyPlane, peak: int, shape: tuple[int, int], parts: int) -> Samples:
    """LINEAR to `parts` times the shape, rounded, and the rounded mean of parts x parts of it; 0..255."""
    height, width = shape
    rows, columns = luma.shape
    down = taps(parts * height, ratio(rows, parts * height), rows)
    across = taps(parts * width, ratio(columns, parts * width), columns)
    middle = _enlarged(luma, down, across)
    sums = middle.reshape(height, parts, width, parts).sum(axis=(1, 3))
    mean = (sums + 2) >> 2 if parts == 2 else np.rint(sums.astype(F) * F(1 / parts**2))
    return np.asarray(mean.astype(F) * F(255 / peak), F)


def _enlarged(luma: AnyPlane, down: Taps, across: Taps) -> Integers:
    """OpenCV's INTER_LINEAR: 8 bits in fixed point with weights of 11 bits, 16 in floats."""
    one, top = F(1), F(2048)
    if luma.dtype == np.uint8:
        left, right, above, below = (
            np.rint(share * top).astype(np.int64)
            for share in (one - across.share, across.share, one - down.share, down.share)
        )
        grid = luma.astype(np.int64)
        row = (grid[:, across.first] * left + grid[:, across.second] * right) >> 4
        total = ((above[:, None] * row[down.first]) >> 16) + ((below[:, None] * row[down.second]) >> 16)
        return np.asarray((total + 2) >> 2, np.int64)
    values = luma.astype(F)
    wide = values[:, across.first] * (one - across.share) + values[:, across.second] * across.share
    tall = wide[down.first] * (one - down.share)[:, None] + wide[down.second] * down.share[:, None]
    return np.asarray(np.rint(tall), np.int64)


def adaptive(alpha: npt.NDArray[np.floating], past: Samples, luma: Samples, last: Samples, block: Block) -> Samples:
    """The average that lets go where the picture moves; luma and last are `quiet_luma`'s."""
    now = keep(alpha, block)
    if block["is_first"][0]:
        return now
    weight = block["strength"][0, 0]
    motion = (box_mean(np.abs(luma - last), 1) - _STILL) * (F(1) / (_MOVING - _STILL))
    motion = np.clip(motion, F(0), F(1))
    wide, (height, width) = neighbours(motion, 1), motion.shape
    grown = np.max([wide[y : y + height, x : x + width] for y in range(3) for x in range(3)], axis=0)
    gain = np.asarray(grown * (F(1) - weight) + weight, F)
    rows, columns = now.shape
    gain = across_first(gain, taps(rows, ratio(height, rows), height), taps(columns, ratio(width, columns), width))
    return np.asarray(past + (now - past) * gain, F)
