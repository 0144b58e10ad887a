"""The block of values that may change from frame to frame, as it lies in device memory.

Note [Parameter block]
    A captured graph repeats its launches with the very arguments of the capture. What changes between frames is
    therefore read by the kernels from a block in device memory (`parameters.cuh`, the same layout), one block a slot,
    filled on the host and copied down ahead of the launch. What decides the shape of the work (sizes, formats, which
    mode, which kind of background) is an argument, and another choice is another graph.

    Values are derived on the host in float64 wherever the host's own path does so (an exponential's weight, a
    Gaussian's taps), so that both paths round the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from livematte.matting.temporal import Strength

BLUR_TAPS: Final = 104
"""Half of the widest Gaussian, its middle included."""

PARAMETERS: Final = np.dtype(
    [
        ("interval_seconds", np.float32),
        ("is_first", np.int32),
        ("strength", np.float32, (4,)),
        ("region", np.float32, (4,)),
        ("keep_px", np.int32, (4,)),
        ("colour", np.int32, (3,)),
        ("despill", np.float32),
        ("shrink_px", np.float32),
        ("feather_px", np.float32),
        ("levels", np.float32, (2,)),
        ("blur_px", np.float32),
        ("blur_step", np.int32),
        ("blur_radius", np.int32, (2,)),
        ("reserved", np.int32, (2,)),
        ("blur_weights", np.float32, (2, BLUR_TAPS)),
    ],
    align=True,
)
"""`struct Parameters` of `parameters.cuh`: 944 bytes, without padding."""

Block: TypeAlias = npt.NDArray[np.void]
"""(1,) of `PARAMETERS`."""
Mode = Literal["none", "ema", "adaptive", "one-euro", "ofd"]

LONGEST_GAP_SECONDS: Final = 0.5
"""After a longer gap between two frames the past says nothing about the present (`matting/temporal.py`)."""
LEAST_SIGMA: Final = 1.2
"""Standard deviation, in blocks, on the coarsest grid that a blur is made on (`compositing/compositor.py`)."""
_COARSEST_STEP: Final = 16
_SPEED_CUTOFF_HZ: Final = 1.0


class Rectangle(Protocol):
    """A part of the picture as shares of its sides (`matting.region.Region`)."""

    @property
    def left(self) -> float: ...
    @property
    def top(self) -> float: ...
    @property
    def right(self) -> float: ...
    @property
    def bottom(self) -> float: ...


def neutral(width: int, height: int) -> Block:
    """A block for pictures of this size that changes nothing: a first frame, no region, no edge controls."""
    block: Block = np.zeros(1, PARAMETERS)
    block["is_first"] = 1
    set_region(block, None, width, height)
    set_edges(block, height=height)
    return block


def as_bytes(block: Block) -> npt.NDArray[np.uint8]:
    """(944,) uint8 view of the block, for the copy to the device."""
    return block.view(np.uint8).reshape(PARAMETERS.itemsize)


def set_time(block: Block, mode: Mode, strength: Strength | None, interval_seconds: float | None) -> None:
    """What the smoother needs for the next frame.

    `interval_seconds`: since the frame before; None: there is none (a start, a cut, a seek, another size). A gap above
    half a second, and time that does not go on, begin anew as well. For `ofd` it is the interval between the frame
    that is given out and the one after it, and None while there is none before it. `strength` may be None for `none`.
    """
    continues = interval_seconds is not None and 0 < interval_seconds <= LONGEST_GAP_SECONDS
    block["is_first"] = not continues
    block["interval_seconds"] = interval_seconds if continues else 0.0
    block["strength"] = 0.0
    if continues and interval_seconds is not None and strength is not None:
        block["strength"][0] = _terms(mode, strength, interval_seconds)


def _terms(mode: Mode, strength: Strength, interval: float) -> Sequence[float]:
    """The four numbers of `strength`, by mode; `smooth.cu` says what each means."""
    if mode == "ema":
        return (-math.expm1(-interval / strength.ema_seconds), 0, 0, 0)
    if mode == "adaptive":
        return (-math.expm1(-interval / strength.still_seconds), 0, 0, 0)
    if mode == "one-euro":
        turn = 2 * math.pi * interval
        speed = _SPEED_CUTOFF_HZ * turn
        return (speed / (speed + 1), turn * strength.beta, turn * strength.min_cutoff_hz, 1 / interval)
    if mode == "ofd":
        return (strength.ofd_tolerance, 0, 0, 0)
    return (0, 0, 0, 0)


def set_region(block: Block, region: Rectangle | None, width: int, height: int) -> None:
    """The part of a picture of `width` x `height` px that is kept; None: all of it."""
    left, top, right, bottom = (
        (0.0, 0.0, 1.0, 1.0) if region is None else (region.left, region.top, region.right, region.bottom)
    )
    block["region"][0] = left, top, right, bottom
    first = max(0, math.ceil(left * width - 0.5)), max(0, math.ceil(top * height - 0.5))
    end = min(width, math.ceil(right * width - 0.5)), min(height, math.ceil(bottom * height - 0.5))
    block["keep_px"][0] = *first, *end


def set_edges(
    block: Block,
    *,
    height: int,
    shrink: float = 0.0,
    feather: float = 0.0,
    levels: tuple[float, float] = (0.0, 1.0),
    despill: float = 0.0,
) -> None:
    """Edge controls: `shrink` and `feather` in px at 1080 lines, for a picture of `height` lines; the rest 0..1."""
    block["shrink_px"] = shrink * height / 1080
    block["feather_px"] = feather * height / 1080
    block["levels"][0] = levels
    block["despill"] = despill


def set_colour(block: Block, samples: Sequence[int]) -> None:
    """The background's colour as three samples in plane order (`compositing.canvas.flat_values`)."""
    block["colour"][0] = samples


def smallest_blur_px(width: int, height: int) -> float:
    """Radius, px at the picture's size, below which the blur needs luma's own grid, which only the host's path has.

    About 4.8 px for 4:2:0 at 1080 lines; `blur` alone is 40.
    """
    return 2 * LEAST_SIGMA / min(_chroma_shares(width, height))


def _chroma_shares(width: int, height: int) -> tuple[float, float]:
    """Chroma samples a pixel, along x and y, of a 4:2:0 picture."""
    return -(-width // 2) / width, -(-height // 2) / height


def set_blur(block: Block, px: float, width: int, height: int) -> None:
    """Blur with radius `px` (two standard deviations, px at the picture's size) for a 4:2:0 picture.

    ValueError: below `smallest_blur_px`, or wider than the block's taps reach.
    """
    across, down = _chroma_shares(width, height)
    sigma = px / 2 * across, px / 2 * down
    if min(sigma) < LEAST_SIGMA - 1e-9:
        raise ValueError(
            f"a blur of {px:.3g} px is too narrow for the device; it takes {smallest_blur_px(width, height):.3g} px or "
            "more at this size. The host's path blurs narrower ones."
        )
    step = 1
    while step < _COARSEST_STEP and min(sigma) / (2 * step) >= LEAST_SIGMA:
        step *= 2
    block["blur_px"] = px
    block["blur_step"] = step
    block["blur_weights"] = 0
    for axis in (0, 1):
        weights = gaussian_half(sigma[axis] / step)
        if len(weights) > BLUR_TAPS:
            raise ValueError(f"a blur of {px:.4g} px needs {len(weights)} taps, and the block holds {BLUR_TAPS}.")
        block["blur_radius"][0, axis] = len(weights) - 1
        block["blur_weights"][0, axis, : len(weights)] = weights


def gaussian_half(sigma: float) -> npt.NDArray[np.float32]:
    """(radius + 1,) weights of a Gaussian from its middle outward; the whole sums to 1.

    The radius is OpenCV's for float pictures: 4 standard deviations.
    """
    radius = (round(sigma * 8 + 1) | 1) // 2
    weights = np.exp(-np.square(np.arange(radius + 1) / sigma) / 2)
    return np.asarray(weights / (weights[0] + 2 * weights[1:].sum()), np.float32)
