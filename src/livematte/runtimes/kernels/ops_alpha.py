"""Launches the kernels of `alpha.cu` and `edges.cu`: alpha up to the picture's size, and the edge controls.

Methods only queue work on a stream and allocate nothing, so all of it can be captured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from livematte.errors import UsageError
from livematte.matting.edges import Edges
from livematte.matting.refine import GUIDED_EPSILON, GUIDED_RADIUS_PX
from livematte.runtimes.cuda.base import Argument, DeviceArray, Stream
from livematte.runtimes.kernels import KernelLibrary
from livematte.runtimes.kernels.planes import Plane
from livematte.runtimes.kernels.staging import AREA, staging

Content = tuple[int, int, int, int]
"""(left, top, width, height) of the picture inside a padded network."""

WIDEST_PX: Final = 50.0
"""Largest shrink and feather of the settings, px at 1080 lines."""
MOVE_STEPS: Final = 16
"""Unit steps of one launch; as in `edges.cu`."""
BOXES_FROM_PX: Final = 4.0
"""Feathers from here on are box means; as in `edges.cu`."""
MOST_LINES: Final = 5400
"""Pictures with more lines could need boxes wider than 255 px, whose sums do not fit into 32 bits."""
_SHARED_BYTES: Final = 47 << 10
_MOST_RADIUS: Final = 4
_COEFFICIENT_TILE: Final = (32, 16)


@dataclass(frozen=True, slots=True)
class EdgeKinds:
    """Which edge controls a chain of launches holds. Inside these bounds the parameter block decides for each frame.

    Levels and the region's border are always there, at no cost.
    """

    widest_shrink_px: float = 0.0
    """At the picture's size, to either side; 0: no launches for it."""
    widest_feather_px: float = 0.0
    """At the picture's size; 0: no launches for it."""

    @classmethod
    def widest(cls, height: int) -> EdgeKinds:
        """Everything that the settings allow, for a picture of `height` lines."""
        return cls(WIDEST_PX * height / 1080, WIDEST_PX * height / 1080)

    @classmethod
    def of(cls, edges: Edges, height: int) -> EdgeKinds:
        """What these controls need, for a picture of `height` lines."""
        return cls(abs(edges.shrink_px) * height / 1080, edges.feather_px * height / 1080)

    @property
    def moves(self) -> int:
        """Launches that move the edge."""
        return -(-int(np.float32(self.widest_shrink_px)) // MOVE_STEPS)


def guided_scratch(height: int, width: int) -> int:
    """Bytes that `AlphaOps.guided` needs for an alpha of this size: luma, slopes and offsets in float32."""
    return height * width * 12


def edges_scratch(height: int, width: int, dtype: npt.DTypeLike) -> int:
    """Bytes that `AlphaOps.edges` needs for alpha (height, width): three of its own kind, and 32-bit sums."""
    return height * width * 4 + 3 * _plane_bytes(height, width, dtype)


def _plane_bytes(height: int, width: int, dtype: npt.DTypeLike) -> int:
    return -(-height * width * np.dtype(dtype).itemsize // 256) * 256


class AlphaOps:
    """Kernels on alpha. Made once; used by one thread at a time."""

    def __init__(self, library: KernelLibrary) -> None:
        self._library = library

    def upsample(
        self, small: DeviceArray, full: DeviceArray, stream: Stream, *, content: Content | None = None
    ) -> None:
        """Queue: the network's alpha (..., h, w), float32 or float16, to `full` (H, W), uint8 or uint16, bicubic.

        Phase, border and rounding are those of `matting/refine.py` (`Bicubic`). `content`: the part of `small` that is
        the picture.
        """
        suffix = _suffix(full)
        pointer, row, width, height = _crop(small, content)
        lines, columns = full.shape
        source: list[Argument] = [pointer, *_ints(small.dtype == np.float16, row, width, height), full,
                                  *_ints(columns, lines)]  # fmt: skip
        cells = -(-128 * width // columns) + 5
        for tile_rows in (32, 16, 8, 4):
            rows = -(-tile_rows * height // lines) + 5
            shared = 4 * rows * (cells + 128)
            if shared <= _SHARED_BYTES:
                self._library.kernel("alpha", f"lm_upsample_{suffix}").launch(
                    (-(-columns // 128), -(-lines // tile_rows), 1),
                    (256, 1, 1),
                    [*source, *_ints(tile_rows, cells, columns % 2 == 0)],
                    stream,
                    shared_bytes=shared,
                )
                return
        self._library.kernel("alpha", f"lm_upsample_{suffix}_direct").launch(*_over(columns, lines), source, stream)

    def guided(
        self,
        small: DeviceArray,
        luma: Plane,
        peak: int,
        full: DeviceArray,
        scratch: DeviceArray,
        stream: Stream,
        *,
        content: Content | None = None,
        shift: int = 0,
        radius_px: int = GUIDED_RADIUS_PX,
        epsilon: float = GUIDED_EPSILON,
    ) -> None:
        """Queue: the network's alpha to `full` by the fast guided filter (`matting/refine.py`, `Guided`).

        luma: the picture's first plane (H, W), 0..`peak` above `shift` bits of 0. scratch: uint8, `guided_scratch` of
        the picture's part of `small`. Where that has the picture's own size, alpha is only rounded, as on the host.
        """
        pointer, row, width, height = _crop(small, content)
        lines, columns = full.shape
        if (luma.height, luma.width) != (lines, columns):
            raise UsageError(f"luma is {luma.width}x{luma.height} and alpha {columns}x{lines}: they must be one size.")
        if (width, height) == (columns, lines):
            self.upsample(small, full, stream, content=content)
            return
        if not 1 <= radius_px <= _MOST_RADIUS:
            raise UsageError(
                f"the guided filter's radius is 1 to {_MOST_RADIUS} px of the network's size, not {radius_px}."
            )
        _check_scratch(scratch, guided_scratch(height, width))
        coefficients = scratch.pointer
        guide = coefficients + height * width * 8
        sample = f"u{8 * luma.element_bytes}"
        plan = staging(((luma.width, luma.height, luma.element_bytes),), (width, height), (AREA, AREA))
        self._library.kernel("alpha", f"lm_guide_{sample}{'' if plan.shared_bytes else '_direct'}").launch(
            (-(-width // plan.block[0]), -(-height // plan.block[1]), 1),
            (*plan.block, 1),
            [luma.pointer, *_ints(luma.pitch, luma.width, luma.height), np.float32(1 / (1 << shift)),
             np.float32(1 / peak), guide, *_ints(width, height, luma.allows_vectors, plan.rooms[0][0])],
            stream,
            shared_bytes=plan.shared_bytes,
        )  # fmt: skip
        tile_columns, tile_rows = _COEFFICIENT_TILE
        self._library.kernel("alpha", "lm_coefficients").launch(
            (-(-width // tile_columns), -(-height // tile_rows), 1),
            (256, 1, 1),
            [guide, pointer, *_ints(small.dtype == np.float16, row, width, height, radius_px), np.float32(epsilon),
             np.float32(1 / peak), coefficients],
            stream,
            shared_bytes=_coefficient_bytes(radius_px),
        )  # fmt: skip
        quads = (
            luma.pointer % (4 * luma.element_bytes) == luma.pitch % (4 * luma.element_bytes) == 0 and columns % 4 == 0
        )
        self._library.kernel("alpha", f"lm_guided_{_suffix(full)}_{sample}").launch(
            (-(-columns // 128), -(-lines // 8), 1),
            (32, 8, 1),
            [coefficients, *_ints(width, height), luma.pointer, *_ints(luma.pitch, shift), full,
             *_ints(columns, lines, quads)],
            stream,
        )  # fmt: skip

    def edges(
        self,
        alpha: DeviceArray,
        out: DeviceArray,
        scratch: DeviceArray,
        parameters: DeviceArray,
        stream: Stream,
        *,
        has: EdgeKinds,
    ) -> None:
        """Queue: levels, shrink and feather (`matting/edges.py`), then 0 outside of the region, on alpha (H, W).

        alpha, out: uint8 or uint16, of one size; may be the same array. scratch: uint8, `edges_scratch` (not read
        where `has` names neither shrink nor feather). parameters: the block of `parameters.py`; shrink and feather in
        it must not exceed what `has` allows: what lies beyond is cut off.
        """
        suffix = _suffix(out)
        if alpha.shape != out.shape or alpha.dtype != out.dtype:
            raise UsageError(f"alpha is {alpha.shape} {alpha.dtype} and its result {out.shape} {out.dtype}.")
        lines, columns = out.shape
        size = _ints(columns, lines)
        moves, softens = has.widest_shrink_px > 0, has.widest_feather_px > 0
        if not moves and not softens:
            self._levels(alpha, out, parameters, stream, keeps=True)
            return
        if lines > MOST_LINES:
            raise UsageError(f"edge controls on the GPU take pictures of up to {MOST_LINES} lines; this has {lines}.")
        _check_scratch(scratch, edges_scratch(lines, columns, out.dtype))
        step = _plane_bytes(lines, columns, out.dtype)
        even, odd, third, sums = (scratch.pointer + number * step for number in range(4))
        self._levels(alpha, even, parameters, stream, keeps=False, like=out)
        source: Argument = even
        if moves:
            source = third if softens else out
            self._move((even, odd, source), size, suffix, parameters, stream, has=has)
        if softens:
            self._soften(source, out, sums, suffix, parameters, stream, has=has)
        self._library.kernel("edges", f"lm_keep_{suffix}").launch(
            *_over(columns, lines), [out, parameters, *size], stream
        )

    def _levels(
        self,
        alpha: DeviceArray,
        out: DeviceArray | int,
        parameters: DeviceArray,
        stream: Stream,
        *,
        keeps: bool,
        like: DeviceArray | None = None,
    ) -> None:
        lines, columns = alpha.shape
        total = lines * columns
        ends = (alpha.pointer, out if isinstance(out, int) else out.pointer)
        quads = all(pointer % (4 * alpha.dtype.itemsize) == 0 for pointer in ends)
        self._library.kernel("edges", f"lm_levels_{_suffix(alpha)}").launch(
            (-(-total // 1024), 1, 1),
            (256, 1, 1),
            [alpha, out, parameters, *_ints(columns), np.uint32(total), *_ints(keeps, quads)],
            stream,
        )

    def _move(
        self, places: tuple[int, int, Argument], size: list[Argument], suffix: str, parameters: DeviceArray,
        stream: Stream, *, has: EdgeKinds,
    ) -> None:  # fmt: skip
        """From the first place, by way of it and the second, to the third."""
        even, odd, target = places
        widest = np.float32(has.widest_shrink_px)
        columns, lines = (int(side) for side in size)  # type: ignore[arg-type]
        kernel = self._library.kernel("edges", f"lm_move_{suffix}")
        for number in range(has.moves):
            ends = (odd, even) if number % 2 else (even, odd)
            kernel.launch(
                (-(-columns // 64), -(-lines // 32), 1),
                (256, 1, 1),
                [*ends, parameters, widest, np.int32(number), *size],
                stream,
            )
        self._library.kernel("edges", f"lm_move_part_{suffix}").launch(
            *_over(columns, lines), [even, odd, target, parameters, widest, *size], stream
        )

    def _soften(
        self, source: Argument, out: DeviceArray, sums: int, suffix: str, parameters: DeviceArray, stream: Stream, *,
        has: EdgeKinds,
    ) -> None:  # fmt: skip
        lines, columns = out.shape
        size = _ints(columns, lines)
        widest = np.float32(has.widest_feather_px)
        self._library.kernel("edges", f"lm_soften_{suffix}").launch(
            (-(-columns // 64), -(-lines // 16), 1), (256, 1, 1), [source, out, parameters, widest, *size], stream
        )
        if widest < BOXES_FROM_PX:
            return
        across = self._library.kernel("edges", f"lm_box_rows_{suffix}")
        down = self._library.kernel("edges", f"lm_box_columns_{suffix}")
        for number in range(3):
            origin = source if number == 0 else out
            ends = [parameters, widest, np.int32(number), *size]
            across.launch((-(-columns // 256), -(-lines // 8), 1), (256, 1, 1), [origin, sums, *ends], stream)
            down.launch((-(-columns // 256), -(-lines // 64), 1), (256, 1, 1), [sums, out, *ends], stream)


def _suffix(alpha: DeviceArray) -> str:
    if len(alpha.shape) != 2 or alpha.dtype not in (np.uint8, np.uint16):
        raise UsageError(
            f"alpha at the picture's size is (height, width), uint8 or uint16; this is {alpha.shape}, {alpha.dtype}."
        )
    return "u8" if alpha.dtype == np.uint8 else "u16"


def _crop(small: DeviceArray, content: Content | None) -> tuple[int, int, int, int]:
    """(address, numbers a row, width, height) of the picture's part of a network's alpha."""
    if (
        small.dtype not in (np.float16, np.float32)
        or len(small.shape) < 2
        or any(side != 1 for side in small.shape[:-2])
    ):
        raise UsageError(
            f"a network's alpha is (height, width) of float16 or float32; this is {small.shape} of {small.dtype}."
        )
    height, width = small.shape[-2:]
    left, top, across, down = content or (0, 0, width, height)
    if left < 0 or top < 0 or across < 1 or down < 1 or left + across > width or top + down > height:
        raise UsageError(f"content {content} does not lie inside an alpha of {width}x{height}.")
    return small.pointer + (top * width + left) * small.dtype.itemsize, width, across, down


def _check_scratch(scratch: DeviceArray, wanted: int) -> None:
    if scratch.nbytes < wanted:
        raise UsageError(f"scratch memory of {scratch.nbytes} bytes was given, and {wanted} are needed.")


def _coefficient_bytes(radius: int) -> int:
    columns, rows = _COEFFICIENT_TILE
    outer = (columns + 4 * radius) * (rows + 4 * radius)
    summed = (columns + 2 * radius) * (rows + 4 * radius)
    inner = (columns + 2 * radius) * (rows + 2 * radius)
    return 4 * (2 * outer + 4 * summed + 2 * inner + 2 * columns * (rows + 2 * radius))


def _over(width: int, height: int) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Grid and block for one thread a pixel."""
    return (-(-width // 32), -(-height // 8), 1), (32, 8, 1)


def _ints(*values: int) -> list[Argument]:
    return [np.int32(value) for value in values]
