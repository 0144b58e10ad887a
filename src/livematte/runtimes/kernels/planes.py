"""A picture's planes in device memory, as the kernels take them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from livematte.color import ColorSpec
from livematte.errors import UsageError


@dataclass(frozen=True, slots=True)
class Format:
    """How a pixel format lies in device memory."""

    bits: int
    """Significant bits of a sample."""
    shift: int
    """Bits below them, which are 0: P010 keeps its ten at the top of sixteen."""
    log2_chroma_width: int
    log2_chroma_height: int
    is_interleaved: bool
    """Two planes, the second U and V in turns; else three."""

    @property
    def sample_bytes(self) -> int:
        return 1 if self.bits == 8 else 2

    @property
    def peak(self) -> int:
        """The largest sample value, without `shift`."""
        return (1 << self.bits) - 1


def _planar() -> Iterator[tuple[str, Format]]:
    for name, across, down in (("420", 1, 1), ("422", 1, 0), ("444", 0, 0)):
        for suffix, bits in (("", 8), ("10le", 10), ("12le", 12), ("16le", 16)):
            yield f"yuv{name}p{suffix}", Format(bits, 0, across, down, False)


FORMATS: Final[dict[str, Format]] = {
    "nv12": Format(8, 0, 1, 1, True),
    "p010le": Format(10, 6, 1, 1, True),
    "p016le": Format(16, 0, 1, 1, True),
    **dict(_planar()),
}
"""Formats that the kernels read, as FFmpeg spells them. Whatever is not here takes the host's path."""

PITCH_BYTES: Final = 256
"""Rows begin at multiples of this: full memory transactions, and wide loads of 16 bytes everywhere."""


@dataclass(frozen=True, slots=True)
class Plane:
    """One plane in device memory."""

    pointer: int
    """Device address of the first element."""
    pitch: int
    """Bytes from one row to the next."""
    width: int
    """In elements: samples, or pairs of samples where two are interleaved."""
    height: int
    """Rows."""
    element_bytes: int
    """1, 2 or 4."""

    @property
    def row_bytes(self) -> int:
        """Bytes of a row that hold samples."""
        return self.width * self.element_bytes

    @property
    def allows_vectors(self) -> bool:
        """Rows can be read 16 bytes at a time: each begins at such a multiple, and padding follows up to the next."""
        return self.pointer % 16 == 0 and self.pitch % 16 == 0


@dataclass(frozen=True, slots=True)
class PlaneSet:
    """A picture in device memory."""

    pix_fmt: str
    """A key of `FORMATS`."""
    width: int
    height: int
    """In pixels, as it lies in memory: before rotation."""
    planes: tuple[Plane, ...]
    """Luma, then UV or U and V."""
    color: ColorSpec

    @classmethod
    def over(
        cls, pix_fmt: str, width: int, height: int, color: ColorSpec, *, pointer: int, pitch: int | None = None
    ) -> PlaneSet:
        """Planes one after another in one allocation of `layout_bytes`; `pitch` (bytes) is the luma plane's.

        Chroma planes get the pitch that their own width needs, by the same alignment. UsageError for other formats.
        """
        planes: list[Plane] = []
        for number, (across, down, element) in enumerate(plane_shapes(pix_fmt, width, height)):
            own = pitch if number == 0 and pitch is not None else _aligned(across * element, PITCH_BYTES)
            planes.append(Plane(pointer, own, across, down, element))
            pointer += own * down
        return cls(pix_fmt, width, height, tuple(planes), color)

    @property
    def format(self) -> Format:
        return FORMATS[self.pix_fmt]


def plane_shapes(pix_fmt: str, width: int, height: int) -> list[tuple[int, int, int]]:
    """(width in elements, height, bytes of an element) a plane. UsageError for formats that no kernel reads."""
    found = FORMATS.get(pix_fmt)
    if found is None:
        raise UsageError(
            f"pictures in '{pix_fmt}' have no kernels on the GPU; these have: {', '.join(FORMATS)}. "
            "Convert the picture first, or let the CPU do the matting (--device cpu)."
        )
    across = -(-width >> found.log2_chroma_width)
    down = -(-height >> found.log2_chroma_height)
    luma = (width, height, found.sample_bytes)
    if found.is_interleaved:
        return [luma, (across, down, 2 * found.sample_bytes)]
    return [luma, (across, down, found.sample_bytes), (across, down, found.sample_bytes)]


def layout_bytes(pix_fmt: str, width: int, height: int, *, pitch: int | None = None) -> int:
    """Bytes of the allocation that `PlaneSet.over` divides."""
    total = 0
    for number, (across, down, element) in enumerate(plane_shapes(pix_fmt, width, height)):
        own = pitch if number == 0 and pitch is not None else _aligned(across * element, PITCH_BYTES)
        total += own * down
    return total


def _aligned(value: int, to: int) -> int:
    return -(-value // to) * to
