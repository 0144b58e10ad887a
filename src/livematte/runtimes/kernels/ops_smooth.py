"""Launches of smooth.cu: alpha steadied in time at the network's size, and luma reduced for it and for scene cuts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np

from livematte.runtimes.cuda.base import DeviceArray, Grid, Stream
from livematte.runtimes.kernels import KernelLibrary
from livematte.runtimes.kernels.picture420 import Arguments, number, numbers, over, shapes_of
from livematte.runtimes.kernels.planes import PlaneSet

Content: TypeAlias = tuple[int, int, int, int]
"""(left, top, width, height) of the part of a network's alpha that stands for the picture."""

GATE_SIDE_PX: Final = 256
"""Shorter side at which motion is measured where alpha is larger (`matting/temporal.py`)."""
CUT_SIZE: Final = (64, 36)
"""Width and height of the luma that scenes are compared by (`matting/scene.py`); turned for portrait pictures."""
_BLOCK: Final[Grid] = (32, 8, 1)


def gate_shape(height: int, width: int) -> tuple[int, int]:
    """(height, width) of the quiet luma for alpha of this size."""
    scale = min(1.0, GATE_SIDE_PX / min(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def cut_shape(height: int, width: int) -> tuple[int, int]:
    """(height, width) of the luma by which scenes of pictures of this size are compared."""
    return (CUT_SIZE[1], CUT_SIZE[0]) if width >= height else CUT_SIZE


class SmoothOps:
    """Each method queues launches on a stream and allocates nothing; all can be captured.

    `alpha` is the network's output, (..., h, w) float16 or float32; `content` names the part of it that stands for
    the picture (None: all). Everything else is float32 of the content's size. `parameters` is the block of
    `parameters.py`: its region is applied as alpha is read, and with `is_first` no past is read. `past` is what the
    call for the frame before wrote to `out`; the two are never the same arrays. ValueError: shapes or types differ.
    """

    def __init__(self, library: KernelLibrary) -> None:
        self._library = library

    def keep(
        self,
        alpha: DeviceArray,
        out: DeviceArray,
        parameters: DeviceArray,
        stream: Stream,
        *,
        content: Content | None = None,
    ) -> None:
        """No smoothing (`none`, and what `ofd` takes): the region, and float32."""
        arguments, grid = _alpha(alpha, out, content)
        self._launch("lm_keep", grid, [*arguments, out, parameters], stream)

    def ema(
        self,
        alpha: DeviceArray,
        past: DeviceArray,
        out: DeviceArray,
        parameters: DeviceArray,
        stream: Stream,
        *,
        content: Content | None = None,
    ) -> None:
        """Exponential moving average (`temporal.Exponential`)."""
        arguments, grid = _alpha(alpha, out, content)
        _check_same(past, out)
        self._launch("lm_ema", grid, [*arguments, past, out, parameters], stream)

    def quiet_luma(self, planes: PlaneSet, out: DeviceArray, stream: Stream) -> None:
        """The luma by which `adaptive` tells motion: `out` (`gate_shape`) float32, 0..255, its noise averaged away."""
        height, width = out.shape
        grid = (over(width, _BLOCK[0]), over(height, _BLOCK[1]), 1)
        self._launch(_name("lm_quiet_luma", planes), grid, [*_luma(planes), out, *numbers(width, height)], stream)

    def adaptive(
        self,
        alpha: DeviceArray,
        past: DeviceArray,
        quiet: tuple[DeviceArray, DeviceArray],
        out: DeviceArray,
        parameters: DeviceArray,
        stream: Stream,
        *,
        content: Content | None = None,
    ) -> None:
        """Lets go where the picture moves (`temporal.Adaptive`). `quiet`: this frame's luma and the last one's."""
        arguments, grid = _alpha(alpha, out, content)
        _check_same(past, out)
        _check_same(*quiet)
        wanted = gate_shape(*out.shape)
        if quiet[0].shape != wanted:
            raise ValueError(f"the quiet luma for alpha of {out.shape} is {wanted}, got {shapes_of(quiet)}")
        gate = numbers(wanted[1], wanted[0])
        self._launch("lm_adaptive", grid, [*arguments, past, *quiet, *gate, out, parameters], stream)

    def one_euro(
        self,
        alpha: DeviceArray,
        past: Sequence[DeviceArray],
        out: Sequence[DeviceArray],
        parameters: DeviceArray,
        stream: Stream,
        *,
        content: Content | None = None,
    ) -> None:
        """One-euro filter (`temporal.OneEuro`); past and out: smoothed alpha, the network's alpha, speed."""
        arguments, grid = _alpha(alpha, out[0], content)
        for before, after in zip(past, out, strict=True):
            _check_same(before, after)
            _check_same(after, out[0], may_be_one=True)
        self._launch("lm_one_euro", grid, [*arguments, *past, *out, parameters], stream)

    def ofd(self, frames: Sequence[DeviceArray], out: DeviceArray, parameters: DeviceArray, stream: Stream) -> None:
        """One-frame delay (`temporal.OneFrameDelay`). `frames`: before, held and after, as `keep` wrote them."""
        for frame in frames:
            _check_same(frame, out)
        before, held, after = frames
        height, width = out.shape
        grid = (over(width, _BLOCK[0]), over(height, _BLOCK[1]), 1)
        self._launch("lm_ofd", grid, [before, held, after, *numbers(width, height), out, parameters], stream)

    def cut_statistics(self, planes: PlaneSet, out: DeviceArray, stream: Stream) -> None:
        """The luma by which scenes are compared: `out` (`cut_shape`) float32, 0..255; the comparison is the host's."""
        height, width = out.shape
        if (height, width) != cut_shape(planes.height, planes.width):
            raise ValueError(f"scenes are compared by {cut_shape(planes.height, planes.width)}, got {shapes_of([out])}")
        arguments = [*_luma(planes), out, *numbers(width, height)]
        kernel = self._library.kernel("smooth", _name("lm_cut_luma", planes))
        kernel.launch((over(width * height, 16), 1, 1), (256, 1, 1), arguments, stream)

    def _launch(self, name: str, grid: Grid, arguments: Arguments, stream: Stream) -> None:
        self._library.kernel("smooth", name).launch(grid, _BLOCK, arguments, stream)


def _alpha(alpha: DeviceArray, out: DeviceArray, content: Content | None) -> tuple[Arguments, Grid]:
    """(alpha, is_half, pitch, width, height), and blocks for `out`."""
    if alpha.dtype not in (np.float16, np.float32):
        raise ValueError(f"a network's alpha is float16 or float32, got {alpha.dtype}")
    full_height, full_width = alpha.shape[-2:]
    left, top, width, height = content or (0, 0, full_width, full_height)
    if left + width > full_width or top + height > full_height or min(left, top) < 0:
        raise ValueError(f"the content {content} does not lie inside of the network's alpha {alpha.shape}")
    if out.shape != (height, width) or out.dtype != np.float32:
        raise ValueError(f"the smoothed alpha is ({height}, {width}) float32, got {shapes_of([out])}")
    first = (top * full_width + left) * alpha.dtype.itemsize
    where = alpha.pointer + first if first else alpha
    arguments = [where, number(alpha.dtype == np.float16), *numbers(full_width, width, height)]
    return arguments, (over(width, _BLOCK[0]), over(height, _BLOCK[1]), 1)


def _check_same(one: DeviceArray, other: DeviceArray, *, may_be_one: bool = False) -> None:
    if one.shape != other.shape or one.dtype != other.dtype:
        raise ValueError(f"two arrays that belong together differ: {shapes_of([one, other])}")
    if one.pointer == other.pointer and not may_be_one:
        raise ValueError("past and present lie in the same memory; a slot reads its predecessor's and writes its own")


def _luma(planes: PlaneSet) -> Arguments:
    """plane, pitch, width, height, shift, scale."""
    luma, kind = planes.planes[0], planes.format
    scale = np.float32(255 / kind.peak)
    return [luma.pointer, *numbers(luma.pitch, planes.width, planes.height, kind.shift), scale]


def _name(kernel: str, planes: PlaneSet) -> str:
    return f"{kernel}_{8 * planes.format.sample_bytes}"
