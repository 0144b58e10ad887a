"""Launches of blur.cu and composite.cu: the person over something else, and the ways out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from livematte.color import LUMA_WEIGHTS, ColorSpec
from livematte.runtimes.cuda.base import DeviceArray, Grid, Stream
from livematte.runtimes.kernels import KernelLibrary
from livematte.runtimes.kernels.parameters import LEAST_SIGMA
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
    shapes_of,
    types,
    units_grid,
)
from livematte.runtimes.kernels.planes import PlaneSet

GROW_PX: Final = 4.0
"""By how much alpha grows before the room is blurred, px at 1080 lines (`compositing/compositor.py`, Note [Blur])."""
_SQUARE_SHARE: Final = 1 - 1 / math.sqrt(2)  # of the radius; `matting/edges.py`
_FURTHEST_GROWTH: Final = 12  # chroma samples: BLUR_HALO in blur.cu
_BLUR_TILE: Final = 32
_BLUR_BLOCKS: Final = 264  # two a multiprocessor of an H100; the kernels stride
_RGBA_TILE: Final = (64, 16)


@dataclass(frozen=True, slots=True)
class BlurLayout:
    """Where the blur's arrays lie in the scratch memory, for one size of picture."""

    blocks: Grid
    """Of the first launch, which also leaves one partial sum each."""
    cells: int
    """(cells, 4) float32: weighted Y, U, V, weight. This and the following are offsets in bytes."""
    across: int
    """The same, blurred along x."""
    partial: int
    """(blocks, 4) float32."""
    means: int
    """(cells, 2) uint32: Y, U | V << 16."""
    nbytes: int


def blur_layout(width: int, height: int, least_px: float | None = None) -> BlurLayout:
    """The layout for 4:2:0 pictures of this size; see `blur_scratch`."""
    chroma_width, chroma_height = chroma_size(width, height)
    step = 1 if least_px is None else blur_step(least_px, width, height)
    cells = over(chroma_width, step) * over(chroma_height, step)
    blocks = over(chroma_width, _BLUR_TILE), over(chroma_height, _BLUR_TILE), 1
    layout = Layout()
    return BlurLayout(
        blocks=blocks,
        cells=layout.take(cells, 4),
        across=layout.take(cells, 4),
        partial=layout.take(blocks[0] * blocks[1], 4),
        means=layout.take(cells, 2, dtype=np.uint32),
        nbytes=layout.nbytes,
    )


def blur_scratch(width: int, height: int, least_px: float | None = None) -> int:
    """Bytes of scratch that `CompositeOps.over_blur` needs for 4:2:0 pictures of this size.

    `least_px`: the narrowest radius (px at the picture's size) that the blocks will ever name; None: any. At 1080p 21
    MB for any, 0.3 MB from 40 px on.
    """
    return blur_layout(width, height, least_px).nbytes


def blur_step(px: float, width: int, height: int) -> int:
    """Chroma samples a side of the blocks on which a blur of this radius is made."""
    chroma_width, chroma_height = chroma_size(width, height)
    sigma = px / 2 * min(chroma_width / width, chroma_height / height)
    step = 1
    while step < 16 and sigma / (2 * step) >= LEAST_SIGMA:
        step *= 2
    return step


def growth(height: int) -> tuple[int, int, float]:
    """(radius of the square, crosses, part of one more cross) by which chroma's alpha grows, for `height` lines."""
    rows = -(-height // 2)
    whole, part = divmod(GROW_PX * rows / 1080, 1.0)
    square = round(int(whole) * _SQUARE_SHARE * math.sqrt(2))
    return square, int(whole) - square, part if part >= 1e-3 else 0.0


def rgb_matrix(color: ColorSpec, bits: int) -> tuple[float, ...]:
    """y_zero, y_scale, middle, red_v, green_u, green_v, blue_u: from samples of `bits` bits to 0..255."""
    red, blue = LUMA_WEIGHTS.get(color.colorspace, LUMA_WEIGHTS["bt709"])
    green = 1 - red - blue
    steps, peak = 1 << (bits - 8), (1 << bits) - 1
    full = color.color_range == "pc"
    luma = 255 / peak if full else 255 / (219 * steps)
    chroma = 255 / peak if full else 255 / (224 * steps)
    to_red, to_blue = 2 * (1 - red) * chroma, 2 * (1 - blue) * chroma
    return (
        0.0 if full else 16.0 * steps,
        luma,
        float(1 << (bits - 1)),
        to_red,
        -to_blue * blue / green,
        -to_red * red / green,
        to_blue,
    )


class CompositeOps:
    """Each method queues launches on a stream and allocates nothing; all can be captured.

    `front`: the person's picture, cleaned or not, 4:2:0. `alpha`: (H, W) uint8 or uint16. `out`: a picture of the same
    size and depth, whose chroma may lie otherwise, or a (H, W, 4) uint8 array, which becomes RGBA in full range by the
    front's own matrix and range. ValueError: sizes, formats or types that do not fit.
    """

    def __init__(self, library: KernelLibrary) -> None:
        self._library = library

    def over_colour(
        self,
        front: PlaneSet,
        alpha: DeviceArray,
        out: PlaneSet | DeviceArray,
        parameters: DeviceArray,
        stream: Stream,
    ) -> None:
        """Over the block's `colour`."""
        if isinstance(out, PlaneSet):
            self._planes("colour", front, alpha, out, [parameters], stream)
        else:
            self._rgba("colour", front, alpha, out, [number(1), parameters], stream)

    def over_image(
        self, front: PlaneSet, alpha: DeviceArray, behind: PlaneSet, out: PlaneSet | DeviceArray, stream: Stream
    ) -> None:
        """Over a picture or a video's frame, of the same size and depth and in the same matrix and range."""
        check_alike(front, behind)
        if isinstance(out, PlaneSet):
            self._planes("image", front, alpha, out, picture_arguments(behind), stream)
        else:
            self._rgba("image", front, alpha, out, picture_arguments(behind), stream)

    def over_blur(
        self,
        front: PlaneSet,
        alpha: DeviceArray,
        picture: PlaneSet,
        out: PlaneSet | DeviceArray,
        scratch: DeviceArray,
        parameters: DeviceArray,
        stream: Stream,
        *,
        least_px: float | None = None,
    ) -> None:
        """Over `picture`, the camera's own, blurred without the person (`parameters.set_blur`).

        `scratch`: uint8, of `blur_scratch` bytes for the same `least_px`, below which the block must not go. `out` may
        not be `picture`.
        """
        check_alike(front, picture)
        layout = blur_layout(front.width, front.height, least_px)
        base = check_scratch(scratch, layout.nbytes, "blur_scratch")
        self._find_room(picture, alpha, layout, base, parameters, stream)
        behind: Arguments = [base + layout.means, parameters]
        if isinstance(out, PlaneSet):
            self._planes("blur", front, alpha, out, behind, stream)
        else:
            self._rgba("blur", front, alpha, out, behind, stream)

    def straight(
        self, front: PlaneSet, alpha: DeviceArray, out: DeviceArray, parameters: DeviceArray, stream: Stream
    ) -> None:
        """The person's own colours and alpha as straight RGBA."""
        self._rgba("colour", front, alpha, out, [number(0), parameters], stream)

    def alpha_plane(
        self, alpha: DeviceArray, out: DeviceArray, bits: int, stream: Stream, *, pitch: int | None = None
    ) -> None:
        """Alpha as full-range samples of `bits` bits, 8 to 16, rounded (`planes.alpha_to_bits`).

        `out`: (H, W) uint8 for 8 bits, else uint16; or, with `pitch` (bytes a row), (H, pitch in samples).
        """
        height, width = alpha.shape
        itemsize = 1 if bits == 8 else 2
        row = width * itemsize if pitch is None else pitch
        if not 8 <= bits <= 16 or out.dtype.itemsize != itemsize or out.shape != (height, row // itemsize):
            raise ValueError(
                f"an alpha plane of {bits} bits for {shapes_of([alpha])} cannot go into {shapes_of([out])}"
            )
        if row < width * itemsize or row % itemsize:
            raise ValueError(
                f"{row} bytes a row are too few for {width} samples of {itemsize} bytes, or no whole number"
            )
        self._library.kernel("composite", f"lm_alpha_plane_{8 * alpha.dtype.itemsize}_{8 * itemsize}").launch(
            (over(width, 128), over(height, BLOCK[1]), 1),
            BLOCK,
            [alpha, *numbers(width, height), out, *numbers(row, (1 << bits) - 1)],
            stream,
        )

    def _planes(
        self, kind: str, front: PlaneSet, alpha: DeviceArray, out: PlaneSet, behind: Arguments, stream: Stream
    ) -> None:
        check_alike(front, out)
        arguments = [*front_arguments(front, alpha), *picture_arguments(out), *behind]
        kernel = self._library.kernel("composite", f"lm_over_{kind}_{types(front, alpha)}")
        kernel.launch(units_grid(front.width, front.height), BLOCK, arguments, stream)

    def _rgba(
        self, kind: str, front: PlaneSet, alpha: DeviceArray, out: DeviceArray, behind: Arguments, stream: Stream
    ) -> None:
        if out.shape != (front.height, front.width, 4) or out.dtype != np.uint8:
            raise ValueError(
                f"RGBA of this picture is ({front.height}, {front.width}, 4) uint8, got {shapes_of([out])}"
            )
        matrix = floats(*rgb_matrix(front.color, front.format.bits))
        arguments = [*front_arguments(front, alpha), out, *matrix, *behind]
        grid = over(front.width, _RGBA_TILE[0]), over(front.height, _RGBA_TILE[1]), 1
        kernel = self._library.kernel("composite", f"lm_rgba_{kind}_{types(front, alpha)}")
        kernel.launch(grid, BLOCK, arguments, stream)

    def _find_room(
        self,
        picture: PlaneSet,
        alpha: DeviceArray,
        layout: BlurLayout,
        base: int,
        parameters: DeviceArray,
        stream: Stream,
    ) -> None:
        square, crosses, part = growth(picture.height)
        if square + crosses + (part > 0) > _FURTHEST_GROWTH:
            raise ValueError(f"a picture of {picture.height} lines is too high to be blurred on the device")
        cells, across, partial = base + layout.cells, base + layout.across, base + layout.partial
        size = numbers(picture.width, picture.height)
        reach: Arguments = [*numbers(square, crosses), np.float32(part)]
        self._library.kernel("blur", f"lm_blur_cells_{types(picture, alpha)}").launch(
            layout.blocks,
            (256, 1, 1),
            [*front_arguments(picture, alpha), *reach, cells, partial, parameters],
            stream,
        )
        blocks = layout.blocks[0] * layout.blocks[1]
        grid = (min(_BLUR_BLOCKS, 4 * blocks), 1, 1)
        self._library.kernel("blur", "lm_blur_across").launch(
            grid, (256, 1, 1), [cells, across, *size, parameters], stream
        )
        self._library.kernel("blur", "lm_blur_down").launch(
            grid, (256, 1, 1), [across, partial, number(blocks), base + layout.means, *size, parameters], stream
        )
