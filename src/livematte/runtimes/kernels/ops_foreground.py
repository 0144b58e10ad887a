"""Launches of means.cu and foreground.cu: straight foreground colours, the edge cleaned, the room filled over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from livematte.color import LUMA_WEIGHTS, ColorSpec
from livematte.runtimes.cuda.base import DeviceArray, Grid, Stream
from livematte.runtimes.kernels import KernelLibrary
from livematte.runtimes.kernels.picture420 import (
    BLOCK,
    Arguments,
    Layout,
    check_alike,
    check_scratch,
    chroma_size,
    floats,
    front_arguments,
    number,
    numbers,
    over,
    picture_arguments,
    types,
    units_grid,
)
from livematte.runtimes.kernels.planes import PlaneSet

SAMPLED_SIDE_PX: Final = 135
"""About the shorter side of the grid that the means are taken on (`matting/foreground.py`)."""
COARSEST: Final = 4
"""Reduction of the grid for the widest window."""
_CHANNELS: Final = 8
_KEEP_BACKGROUND: Final = 1
_WRITE_EXCESS: Final = 2
_IN_PLACE: Final = 4


@dataclass(frozen=True, slots=True)
class MeansLayout:
    """Sizes of the grid of means for one size of picture, and where its arrays lie in the scratch memory."""

    grid: tuple[int, int]
    """(width, height) in samples."""
    cells: tuple[int, int]
    """(width, height) of the grid reduced for the widest window."""
    survey_blocks: Grid
    means_blocks: Grid
    samples: int
    """(height, width, 4) float32: Y, U, V, 2 alpha - 1. This and the following are offsets in bytes."""
    coarse: int
    """(cells, 8) float32: weight, Y, U, V of the person, and of the room."""
    partial: int
    """(survey blocks, 8) float32 sums of the same."""
    luma: int
    """(height, width) uint32: F^ | B^ << 16."""
    chroma: int
    """(height, width, 2) uint32: the same of U and V."""
    room: int
    """(means blocks, 4) uint32 sums of B^."""
    screen: int
    """(16,) float32: the screen's colour, `struct Screen`."""
    excess: int
    """(chroma height, chroma width) float32, where despill is wanted."""
    nbytes: int


def means_layout(width: int, height: int, *, despill: bool = False) -> MeansLayout:
    """The layout for pictures of this size."""
    step = max(1, round(min(width, height) / SAMPLED_SIDE_PX))
    grid = over(width, step), over(height, step)
    cells = over(grid[0], COARSEST), over(grid[1], COARSEST)
    survey_blocks = over(cells[0], 8), over(cells[1], 4), 1
    means_blocks = over(grid[0], 32), over(grid[1], 8), 1
    layout = Layout()
    chroma_width, chroma_height = chroma_size(width, height)
    return MeansLayout(
        grid=grid,
        cells=cells,
        survey_blocks=survey_blocks,
        means_blocks=means_blocks,
        samples=layout.take(grid[1], grid[0], 4),
        coarse=layout.take(cells[1], cells[0], _CHANNELS),
        partial=layout.take(survey_blocks[0] * survey_blocks[1], _CHANNELS),
        luma=layout.take(grid[1], grid[0], dtype=np.uint32),
        chroma=layout.take(grid[1], grid[0], 2, dtype=np.uint32),
        room=layout.take(means_blocks[0] * means_blocks[1], 4, dtype=np.uint32),
        screen=layout.take(16),
        excess=layout.take(chroma_height, chroma_width) if despill else 0,
        nbytes=layout.nbytes,
    )


def foreground_scratch(width: int, height: int, *, despill: bool = False) -> int:
    """Bytes of scratch that `ForegroundOps.clean` needs at this size; 1.0 MB at 1080p, 3.1 with despill."""
    return means_layout(width, height, despill=despill).nbytes


@dataclass(frozen=True, slots=True)
class _Job:
    """One picture to be cleaned."""

    planes: PlaneSet
    alpha: DeviceArray
    layout: MeansLayout
    base: int
    """Address of the scratch memory."""
    stream: Stream


class ForegroundOps:
    """Each method queues launches on a stream and allocates nothing; all can be captured."""

    def __init__(self, library: KernelLibrary) -> None:
        self._library = library

    def clean(
        self,
        planes: PlaneSet,
        alpha: DeviceArray,
        planes_out: PlaneSet,
        scratch: DeviceArray,
        parameters: DeviceArray,
        stream: Stream,
        *,
        keep_background: bool = False,
        despill: bool = False,
    ) -> None:
        """The straight foreground of a 4:2:0 picture into `planes_out`, as `matting.foreground.clean`.

        `alpha`: (H, W) uint8 or uint16. `planes_out` has the same size and depth, its chroma may lie otherwise (`nv12`
        to `yuv420p`); it may be `planes` itself, and then only what changes is written. `scratch`: uint8, of
        `foreground_scratch` bytes. `keep_background`: colours stay as they are (only with `despill`). `despill`: takes
        the screen's colour out of the band, as much as the block says. The picture's own `color` tells matrix and
        range. ValueError: sizes, formats or types that do not fit, or nothing to do.
        """
        if keep_background and not despill:
            raise ValueError("with keep_background and without despill there is nothing to clean; pass the picture on")
        check_alike(planes, planes_out)
        layout = means_layout(planes.width, planes.height, despill=despill)
        job = _Job(planes, alpha, layout, check_scratch(scratch, layout.nbytes, "foreground_scratch"), stream)
        in_place = _same_memory(planes, planes_out)
        wish = _KEEP_BACKGROUND * keep_background | _WRITE_EXCESS * despill | _IN_PLACE * in_place
        self._find_means(job)
        if despill:
            self._find_screen(job, planes.color)
        self._go_over(job, planes_out, wish, parameters)
        if despill:
            self._take_spill_out(job, planes_out)

    def _find_means(self, job: _Job) -> None:
        layout, base = job.layout, job.base
        grid, cells = numbers(*layout.grid), numbers(*layout.cells)
        samples, coarse, partial = base + layout.samples, base + layout.coarse, base + layout.partial
        self._library.kernel("means", f"lm_survey_{types(job.planes, job.alpha)}").launch(
            layout.survey_blocks,
            (256, 1, 1),
            [*front_arguments(job.planes, job.alpha), samples, *grid, coarse, *cells, partial],
            job.stream,
        )
        blocks, flat = layout.survey_blocks[0] * layout.survey_blocks[1], 1 << (job.planes.format.bits - 1)
        results = [base + layout.luma, base + layout.chroma, base + layout.room]
        arguments: Arguments = [samples, coarse, partial, number(blocks), *grid, *cells, number(flat), *results]
        self._library.kernel("means", "lm_means").launch(layout.means_blocks, (256, 1, 1), arguments, job.stream)

    def _find_screen(self, job: _Job, color: ColorSpec) -> None:
        layout, bits = job.layout, job.planes.format.bits
        self._library.kernel("means", "lm_screen").launch(
            (1, 1, 1),
            (256, 1, 1),
            [
                job.base + layout.room,
                number(layout.means_blocks[0] * layout.means_blocks[1]),
                *floats(1 / (layout.grid[0] * layout.grid[1]), *screen_constants(color, bits)),
                *numbers(color.color_range == "pc", bits),
                job.base + layout.screen,
            ],
            job.stream,
        )

    def _go_over(self, job: _Job, planes_out: PlaneSet, wish: int, parameters: DeviceArray) -> None:
        planes, layout, base = job.planes, job.layout, job.base
        self._library.kernel("foreground", f"lm_clean_{types(planes, job.alpha)}").launch(
            units_grid(planes.width, planes.height),
            BLOCK,
            [
                *front_arguments(planes, job.alpha),
                *picture_arguments(planes_out),
                base + layout.luma,
                base + layout.chroma,
                *numbers(*layout.grid, planes.format.bits, wish),
                base + layout.excess,
                base + layout.screen,
                parameters,
            ],
            job.stream,
        )

    def _take_spill_out(self, job: _Job, planes_out: PlaneSet) -> None:
        layout = job.layout
        bits = number(planes_out.format.bits)
        self._library.kernel("foreground", f"lm_despill_{types(planes_out, job.alpha)}").launch(
            units_grid(planes_out.width, planes_out.height),
            BLOCK,
            [*front_arguments(planes_out, job.alpha), bits, job.base + layout.excess, job.base + layout.screen],
            job.stream,
        )


def screen_constants(color: ColorSpec, bits: int) -> tuple[float, ...]:
    """luma_scale, chroma_scale (units a sample), red, blue, green_u, green_v, from_red, from_blue: see `screen.cuh`."""
    red, blue = LUMA_WEIGHTS.get(color.colorspace, LUMA_WEIGHTS["bt709"])
    green, to_red, to_blue = 1 - red - blue, 2 * (1 - red), 2 * (1 - blue)
    peak, steps, full = (1 << bits) - 1, 1 << (bits - 8), color.color_range == "pc"
    scales = (1 / peak, 1 / peak) if full else (1 / (219 * steps), 1 / (224 * steps))
    return (*scales, red, blue, -to_blue * blue / green, -to_red * red / green, 1 / to_red, 1 / to_blue)


def _same_memory(one: PlaneSet, other: PlaneSet) -> bool:
    """Whether two pictures are one and lie alike. ValueError where they overlap only in part."""
    if [plane.pointer for plane in one.planes] == [plane.pointer for plane in other.planes]:
        if one.planes != other.planes or one.pix_fmt != other.pix_fmt:
            raise ValueError("a picture is cleaned in place only as it lies: same format, same pitch")
        return True
    return False
