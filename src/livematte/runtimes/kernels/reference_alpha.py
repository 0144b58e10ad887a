"""`alpha.cu` and `edges.cu` in NumPy: the same float32 operations in the same order, for tests and proofs on GPUs."""

from __future__ import annotations

from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt

from livematte.runtimes.kernels.ops_alpha import BOXES_FROM_PX
from livematte.runtimes.kernels.reference_picture import Samples, means
from livematte.runtimes.kernels.staging import AREA

AlphaPlane = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
FloatPlane = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

_ONE: Final = np.float32(1)
_SQUARE_SHARE: Final = np.float32(0.41421356237309503)
_WIDEST_BOX: Final = 255


def quantise(scaled: FloatPlane, dtype: npt.DTypeLike) -> AlphaPlane:
    """Alpha times the dtype's peak -> whole steps, the ends settled (`matting/refine.py`, Note [Alpha's ends])."""
    peak = int(np.iinfo(np.dtype(dtype)).max)
    made = np.rint(np.clip(scaled, np.float32(0), np.float32(peak))).astype(np.int64)
    if peak > 255:
        made[made <= 128] = 0
        made[made >= peak - 128] = peak
    return _as_alpha(made, dtype)


def _as_alpha(values: npt.NDArray[Any], dtype: npt.DTypeLike) -> AlphaPlane:
    return cast(AlphaPlane, values.astype(dtype))


def place(size: int, out: int) -> tuple[IntArray, FloatPlane]:
    """(sample left of each of `out` pixels, how far it lies beyond, 0..1), centres on centres."""
    scaled = (2 * np.arange(out, dtype=np.int64) + 1) * size - out
    whole = scaled // (2 * out)
    return whole, (scaled - whole * 2 * out).astype(np.float32) / np.float32(2 * out)


def cubic_weights(t: FloatPlane) -> list[FloatPlane]:
    """Keys' kernel with a = -0.75 at the four samples around a place."""
    a, two, three, four, five, eight = (np.float32(v) for v in (-0.75, 2, 3, 4, 5, 8))
    s, near = _ONE - t, t + _ONE
    first = ((a * near - five * a) * near + eight * a) * near - four * a
    second = ((a + two) * t - (a + three)) * t * t + _ONE
    third = ((a + two) * s - (a + three)) * s * s + _ONE
    return [first, second, third, _ONE - first - second - third]


def upsample(small: npt.NDArray[Any], shape: tuple[int, int], dtype: npt.DTypeLike) -> AlphaPlane:
    """(h, w) float16 or float32 -> (H, W) uint8 or uint16, as `AlphaOps.upsample`."""
    height, width = small.shape
    peak = np.float32(np.iinfo(np.dtype(dtype)).max)
    stepped = quantise(small.astype(np.float32) * peak, dtype).astype(np.float32)
    columns, across = place(width, shape[1])
    rows, down = place(height, shape[0])
    lines = _four([stepped[:, np.clip(columns + k - 1, 0, width - 1)] for k in range(4)], cubic_weights(across))
    weights = [weight[:, None] for weight in cubic_weights(down)]
    grown = _four([lines[np.clip(rows + k - 1, 0, height - 1)] for k in range(4)], weights)
    return quantise(grown, dtype)


def _four(values: list[FloatPlane], weights: list[FloatPlane]) -> FloatPlane:
    first, second, third, last = (value * weight for value, weight in zip(values, weights, strict=True))
    return np.asarray(((first + second) + third) + last, np.float32)


def guide(luma: Samples, peak: int, shape: tuple[int, int], *, shift: int = 0) -> FloatPlane:
    """Luma (H, W) as a share of its peak, (h, w)."""
    mean = means(luma, shape[1], shape[0], AREA, AREA)
    return np.asarray(np.rint(mean * np.float32(1 / (1 << shift))) * np.float32(1 / peak), np.float32)


def coefficients(
    guided: FloatPlane, alpha: FloatPlane, *, radius: int, epsilon: float, share: float
) -> tuple[FloatPlane, FloatPlane]:
    """(slope in units of `share`, offset), each (h, w): the box means of those of every window."""
    count = np.float32((2 * radius + 1) ** 2)
    sums = [_box(plane, radius) / count for plane in (guided, alpha, guided * alpha, guided * guided)]
    covariance = sums[2] - sums[0] * sums[1]
    variance = sums[3] - sums[0] * sums[0]
    slope = covariance / (variance + np.float32(epsilon))
    offset = sums[1] - slope * sums[0]
    return _box(slope, radius) / count * np.float32(share), _box(offset, radius) / count


def _box(plane: FloatPlane, radius: int) -> FloatPlane:
    """Sums over windows, across and then down, mirrored at the border, added up from left to right."""
    padded = np.pad(plane, radius, mode="symmetric")
    across = np.zeros((padded.shape[0], plane.shape[1]), np.float32)
    for k in range(2 * radius + 1):
        across += padded[:, k : k + plane.shape[1]]
    total = np.zeros(plane.shape, np.float32)
    for k in range(2 * radius + 1):
        total += across[k : k + plane.shape[0]]
    return total


def guided(
    small: npt.NDArray[Any], luma: Samples, peak: int, dtype: npt.DTypeLike, *, shift: int = 0, radius: int = 1,
    epsilon: float = 1e-3,
) -> AlphaPlane:  # fmt: skip
    """(h, w) float alpha -> (H, W), as `AlphaOps.guided`; luma as it lies in memory."""
    alpha = small.astype(np.float32)
    if alpha.shape == luma.shape:
        return upsample(small, luma.shape, dtype)
    slope, offset = coefficients(
        guide(luma, peak, alpha.shape, shift=shift), alpha, radius=radius, epsilon=epsilon, share=1 / peak
    )
    grey = (luma >> shift).astype(np.float32)
    scale = np.float32(np.iinfo(np.dtype(dtype)).max)
    return quantise((_linear(slope, luma.shape) * grey + _linear(offset, luma.shape)) * scale, dtype)


def _linear(plane: FloatPlane, shape: tuple[int, int]) -> FloatPlane:
    """OpenCV's INTER_LINEAR, the four products added in its order."""
    height, width = plane.shape
    columns, right = _between(width, shape[1])
    rows, lower = _between(height, shape[0])
    lines = plane[:, columns] * (_ONE - right) + plane[:, np.minimum(columns + 1, width - 1)] * right
    below = lower[:, None]
    return np.asarray(lines[rows] * (_ONE - below) + lines[np.minimum(rows + 1, height - 1)] * below, np.float32)


def _between(size: int, out: int) -> tuple[IntArray, FloatPlane]:
    whole, fraction = place(size, out)
    fraction[(whole < 0) | (whole >= size - 1)] = 0
    return np.clip(whole, 0, size - 1), fraction


# --- Edge controls ---


def edges(alpha: AlphaPlane, parameters: Any) -> AlphaPlane:
    """Levels, shrink, feather and the region's border, as `AlphaOps.edges`; parameters: one record of `PARAMETERS`."""
    made = levels(alpha, *parameters["levels"])
    made = moved(made, parameters["shrink_px"])
    made = softened(made, parameters["feather_px"])
    left, top, right, bottom = parameters["keep_px"]
    kept = np.zeros_like(made)
    kept[top:bottom, left:right] = made[top:bottom, left:right]
    return kept


def levels(alpha: AlphaPlane, black: np.float32, white: np.float32) -> AlphaPlane:
    """`matting/edges.py`, `stretch_levels`."""
    if black == 0 and white == 1:
        return alpha
    peak = np.float32(np.iinfo(alpha.dtype).max)
    ramp = (alpha.astype(np.float32) / peak - black) / (white - black)
    return _as_alpha(np.rint(np.clip(ramp, np.float32(0), _ONE) * peak), alpha.dtype)


def moved(alpha: AlphaPlane, px: np.float32) -> AlphaPlane:
    """`matting/edges.py`, `move_edge`."""
    length = abs(np.float32(px))
    whole = int(length)
    part = np.float32(length - np.float32(whole))
    flip = np.iinfo(alpha.dtype).max if px < 0 else 0
    made = alpha ^ alpha.dtype.type(flip)
    squares = int(np.rint(np.float32(whole) * _SQUARE_SHARE))
    for step in range(whole):
        made = _least(made, square=step < squares)
    if part < np.float32(1e-3):
        return made ^ alpha.dtype.type(flip)
    further = _least(made, square=False) ^ alpha.dtype.type(flip)
    made = made ^ alpha.dtype.type(flip)
    blend = made.astype(np.float32) * (_ONE - part) + further.astype(np.float32) * part
    return _as_alpha(np.rint(blend), alpha.dtype)


def _least(plane: AlphaPlane, *, square: bool) -> AlphaPlane:
    """Minimum over a square or a cross of 3 x 3; the border repeats."""
    height, width = plane.shape
    padded = np.pad(plane, 1, mode="edge")
    least = plane
    for down in range(3):
        for across in range(3):
            if square or down == 1 or across == 1:
                least = np.minimum(least, padded[down : down + height, across : across + width])
    return least


def softened(alpha: AlphaPlane, px: np.float32) -> AlphaPlane:
    """`matting/edges.py`, `soften`."""
    px = np.float32(px)
    if px <= 0:
        return alpha
    if px < BOXES_FROM_PX:
        return _gaussian(alpha, px)
    for number in range(3):
        alpha = _mean_box(alpha, box_width(px, number))
    return alpha


def _gaussian(alpha: AlphaPlane, px: np.float32) -> AlphaPlane:
    sigma = np.maximum(px / np.float32(2), np.float32(0.05))
    radius = min(int(np.rint(sigma * np.float32(6 if alpha.dtype == np.uint8 else 8) + _ONE)) // 2, 8)
    weights = [_ONE]
    for k in range(1, radius + 1):
        weights.append(np.exp(-(np.float32(k * k)) / (np.float32(2) * sigma * sigma)))
    total = weights[0]
    for weight in weights[1:]:
        total = total + np.float32(2) * weight
    weights = [weight / total for weight in weights]
    padded = np.pad(alpha, radius, mode="edge").astype(np.float32)
    across = _sum_pairs(padded, weights, axis=1)
    made = _sum_pairs(across, weights, axis=0)
    peak = np.float32(np.iinfo(alpha.dtype).max)
    return _as_alpha(np.rint(np.clip(made, np.float32(0), peak)), alpha.dtype)


def _sum_pairs(plane: FloatPlane, weights: list[np.float32], *, axis: int) -> FloatPlane:
    radius = len(weights) - 1
    size = plane.shape[axis] - 2 * radius

    def at(offset: int) -> FloatPlane:
        return np.take(plane, np.arange(radius + offset, radius + offset + size), axis=axis)

    total = weights[0] * at(0)
    for k in range(1, radius + 1):
        total = total + weights[k] * (at(-k) + at(k))
    return np.asarray(total, np.float32)


def box_width(px: np.float32, number: int) -> int:
    """Width of box 0, 1 or 2 of the three that stand for a Gaussian of sigma px / 2."""
    one = np.float32
    sigma = one(px) / one(2)
    ideal = np.sqrt(one(4) * sigma * sigma + _ONE)
    narrow = 2 * int((ideal - _ONE) / one(2)) + 1
    n = one(narrow)
    narrow_ones = np.rint((one(12) * sigma * sigma - one(3) * n * n - one(12) * n - one(9)) / (one(-4) * n - one(4)))
    return min(narrow if number < narrow_ones else narrow + 2, _WIDEST_BOX)


def _mean_box(alpha: AlphaPlane, box: int) -> AlphaPlane:
    """Exact: whole-number sums, the mean rounded."""
    reach = box // 2
    padded = np.pad(alpha, reach, mode="edge").astype(np.int64)
    sums = np.pad(padded, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    total = sums[box:, box:] - sums[:-box, box:] - sums[box:, :-box] + sums[:-box, :-box]
    return _as_alpha((2 * total + box * box) // (2 * box * box), alpha.dtype)
