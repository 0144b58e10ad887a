"""Which blocks average a plane's samples, and how much shared memory their samples need (`area.cuh`)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

AREA: Final = 1
TRIANGLE: Final = 0
"""`area.cuh`'s kinds of weight."""

_TILES: Final = ((32, 8), (32, 4), (32, 2), (32, 1), (16, 1))
"""Blocks of pixels; the first whose samples fit into shared memory is taken."""
_SHARED_BYTES: Final = 44 << 10
"""Every GPU gives a block 48 kB without being asked; the kernels' own tables take 1 of them."""


@dataclass(frozen=True, slots=True)
class Staging:
    """A block, and the shared memory that holds its samples."""

    block: tuple[int, int]
    rooms: tuple[tuple[int, int], ...]
    """(bytes a row, rows) a plane."""
    shared_bytes: int
    """0: nothing fits, the kernel reads the planes directly."""


@cache
def staging(shapes: tuple[tuple[int, int, int], ...], out: tuple[int, int], kinds: tuple[int, int]) -> Staging:
    """For planes of (width, height, bytes an element) that become `out` (width, height) pixels by `kinds` (x, y)."""
    for block in _TILES:
        rooms = tuple(_room(shape, out, kinds, block) for shape in shapes)
        total = sum(row * rows for row, rows in rooms)
        if total <= _SHARED_BYTES:
            return Staging(block, rooms, total)
    return Staging(_TILES[0], ((0, 0),) * len(shapes), 0)


def _room(
    shape: tuple[int, int, int], out: tuple[int, int], kinds: tuple[int, int], block: tuple[int, int]
) -> tuple[int, int]:
    """(bytes a row, rows) that a block's samples of one plane need at most."""
    width, height, element = shape
    sides = []
    for size, pixels, kind, tile in zip((width, height), out, kinds, block, strict=True):
        samples = -(-min(tile, pixels) * size // pixels) + 1
        if kind == TRIANGLE or size < pixels:
            samples += 2 * (max(size, pixels) // pixels + 2)
        sides.append(min(samples, size))
    # Rows are fetched from a multiple of 16 bytes on to another; 16 more put neighbouring rows into other banks.
    return -(-(sides[0] * element + 15) // 16) * 16 + 16, sides[1]
