"""Launches the kernels of `picture.cu`: planes to a network's input, and planes turned.

Methods only queue work on a stream and allocate nothing, so all of it can be captured.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from livematte.errors import UsageError
from livematte.runtimes.cuda.base import Argument, DeviceArray, Stream
from livematte.runtimes.kernels import KernelLibrary
from livematte.runtimes.kernels.planes import Plane, PlaneSet, plane_shapes
from livematte.runtimes.kernels.preprocess_spec import PreprocessSpec as PreprocessSpec
from livematte.runtimes.kernels.preprocess_spec import (
    Target,
    YuvToRgb,
    chroma_quarters,
    normalisation,
    target_of,
    yuv_to_rgb,
)
from livematte.runtimes.kernels.staging import AREA, TRIANGLE, staging

_LARGEST_SIDE: Final = 16384


class PictureOps:
    """Kernels on a picture's planes. Made once; used by one thread at a time."""

    def __init__(self, library: KernelLibrary) -> None:
        self._library = library

    def preprocess(self, planes: PlaneSet, out: DeviceArray, stream: Stream, *, spec: PreprocessSpec) -> None:
        """Queue: planes -> `out`, float32 or float16, as `spec` says. One pass over the planes.

        UsageError: a format without a kernel (`planes.FORMATS`), HDR (the host's path tone-maps), a tensor of another
        shape or dtype. Padding, where there is any, is written with every call.
        """
        _check(planes, out)
        target = target_of(spec, out.shape)
        kinds = (
            AREA if spec.scaling == "area" and planes.width >= target.width else TRIANGLE,
            AREA if spec.scaling == "area" and planes.height >= target.height else TRIANGLE,
        )
        _check_sums(planes, target, kinds)
        kind = planes.format
        shapes = tuple(plane_shapes(planes.pix_fmt, planes.width, planes.height))
        plan = staging(shapes, (target.width, target.height), kinds)
        if target.is_padded:
            out.fill(0, stream)
        luma, first, second = planes.planes[0], planes.planes[1], planes.planes[-1]
        name = f"lm_preprocess_{'semi' if kind.is_interleaved else 'planar'}_u{8 * kind.sample_bytes}"
        gains, offsets = normalisation(spec)
        arguments: list[Argument] = [
            luma.pointer, *_ints(luma.pitch, luma.width, luma.height),
            first.pointer, second.pointer, *_ints(first.pitch, first.width, first.height),
            *_ints(target.width, target.height, *kinds, *chroma_quarters(spec.chroma, kind)),
            *_ints(all(plane.allows_vectors for plane in planes.planes)),
            *_ints(*plan.rooms[0], *plan.rooms[1]),
            *_floats(*_matrix(yuv_to_rgb(planes.color, kind))), *_floats(*gains, *offsets),
            out, *_ints(out.dtype == np.float16, target.origin, target.step_x, target.step_y, *target.channels),
        ]  # fmt: skip
        self._library.kernel("picture", name if plan.shared_bytes else f"{name}_direct").launch(
            (-(-target.width // plan.block[0]), -(-target.height // plan.block[1]), 1),
            (*plan.block, 1),
            arguments,
            stream,
            shared_bytes=plan.shared_bytes,
        )

    def transpose(self, source: Plane, target: Plane, rotation: int, stream: Stream) -> None:
        """Queue: `source` turned clockwise by `rotation` into `target`, exactly; 0 is a copy from pitch to pitch.

        UsageError: sizes that do not belong together, elements of other than 1, 2 or 4 bytes, another angle.
        """
        size = (source.height, source.width) if rotation in (90, 270) else (source.width, source.height)
        if rotation not in (0, 90, 180, 270) or source.element_bytes not in (1, 2, 4):
            raise UsageError(
                f"planes are turned by 0, 90, 180 or 270 degrees, elements of 1, 2 or 4 bytes; this is {rotation} "
                f"degrees and {source.element_bytes} bytes."
            )
        if size != (target.width, target.height) or source.element_bytes != target.element_bytes:
            raise UsageError(
                f"a plane of {source.width}x{source.height} elements turned by {rotation} degrees is "
                f"{size[0]}x{size[1]}, and the target is {target.width}x{target.height}, elements of "
                f"{target.element_bytes} bytes."
            )
        if rotation == 0:
            self._copy(source, target, stream)
            return
        element = source.element_bytes
        quads = all(place % (4 * element) == 0 for plane in (source, target) for place in (plane.pointer, plane.pitch))
        self._library.kernel("picture", f"lm_turn_u{8 * element}").launch(
            (-(-source.width // 64), -(-source.height // 64), 1),
            (16, 16, 1),
            [source.pointer, *_ints(source.pitch, source.width, source.height), target.pointer,
             *_ints(target.pitch, rotation, quads)],
            stream,
        )  # fmt: skip

    def _copy(self, source: Plane, target: Plane, stream: Stream) -> None:
        vectors = source.allows_vectors and target.allows_vectors
        self._library.kernel("picture", "lm_copy_plane").launch(
            (-(-source.row_bytes // 512), -(-source.height // 8), 1),
            (32, 8, 1),
            [source.pointer, *_ints(source.pitch), target.pointer,
             *_ints(target.pitch, source.row_bytes, source.height, vectors)],
            stream,
        )  # fmt: skip


def _ints(*values: int) -> list[Argument]:
    return [np.int32(value) for value in values]


def _floats(*values: float) -> list[Argument]:
    return [np.float32(value) for value in values]


def _matrix(made: YuvToRgb) -> tuple[float, ...]:
    return (made.y_zero, made.y_scale, made.c_zero, made.v_to_r, made.u_to_g, made.v_to_g, made.u_to_b)


def _check(planes: PlaneSet, out: DeviceArray) -> None:
    if planes.color.is_hdr or planes.color.colorspace == "rgb":
        what = "RGB" if planes.color.colorspace == "rgb" else f"HDR ({planes.color.color_trc})"
        raise UsageError(
            f"{what} pictures are made ready for the network on the CPU, where there is a way to do it; the GPU's "
            "kernel takes YUV in standard dynamic range. Use the host's path (--device cpu) for this clip."
        )
    if max(planes.width, planes.height) > _LARGEST_SIDE:
        raise UsageError(
            f"a picture of {planes.width}x{planes.height} is too large; sides may have {_LARGEST_SIDE} px."
        )
    if out.dtype not in (np.float16, np.float32):
        raise UsageError(f"a network's input is float16 or float32; this one is {out.dtype}.")


def _check_sums(planes: PlaneSet, target: Target, kinds: tuple[int, int]) -> None:
    """A row's weighted sum is kept in 32 bits: enough for means over areas, not for every tent."""
    worst = 0
    for number, plane in enumerate(planes.planes):
        unit = 4 if number else 1  # chroma may lie between the samples of luma
        for kind, size, pixels in zip(kinds, (plane.width, plane.height), (target.width, target.height), strict=True):
            tent = 2 * pixels if size < pixels else 2 * size * (size // pixels + 2)
            weights = size if kind == AREA and size >= pixels else tent
            worst = max(worst, unit * weights)
    if worst * (planes.format.peak << planes.format.shift) >= 1 << 32:
        raise UsageError(
            f"{planes.width}x{planes.height} with {planes.format.bits} bits is too much for bilinear scaling down to "
            f"{target.width}x{target.height}; scaling = 'area' has no such limit."
        )
