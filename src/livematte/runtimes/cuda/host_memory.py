"""The null driver's memory: the host's, made hostile, so that what a GPU forgives most of the time shows at once."""

from __future__ import annotations

import ctypes
from collections import deque

import numpy as np

from livematte.runtimes.cuda.base import HostArray
from livematte.runtimes.cuda.errors import check

ALIGNMENT = 256
"""What cuMemAlloc gives."""
GUARD = 256
"""Bytes after each block that nobody may write."""
_GUARD_BYTE = 0xA7
_MOST_KEPT = 64_000_000
"""Bytes of freed memory that are kept to catch late uses."""
OUT_OF_MEMORY = 2
ILLEGAL_ADDRESS = 700


class _Block:
    __slots__ = ("nbytes", "offset", "pointer", "storage")

    def __init__(self, storage: HostArray, nbytes: int) -> None:
        base = storage.ctypes.data
        self.pointer = -(-base // ALIGNMENT) * ALIGNMENT
        self.offset = self.pointer - base
        self.storage = storage
        self.nbytes = nbytes

    @property
    def content(self) -> HostArray:
        return self.storage[self.offset : self.offset + self.nbytes]

    @property
    def guard(self) -> HostArray:
        start = self.offset + self.nbytes
        return self.storage[start : start + GUARD]


class HostMemory:
    """Blocks of host memory with guards; fresh and freed ones are filled with bytes that are wrong in every type.

    `total_bytes` is the size of the pretended device. `fresh` fills new blocks (0xFF: NaN as float16 and float32, 255
    as uint8), `freed` those that were given back; these are kept a while, and a later use of them is found.
    """

    def __init__(self, total_bytes: int, *, fresh: int = 0xFF, freed: int = 0xFE) -> None:
        self.total_bytes = total_bytes
        self.free_bytes = total_bytes
        self.problems: list[str] = []
        """What was found wrong, in words; whoever closes the driver reports it."""
        self._fresh = fresh
        self._freed = freed
        self._blocks: dict[int, _Block] = {}
        self._kept: deque[_Block] = deque()
        self._kept_bytes = 0

    def allocate(self, nbytes: int, *, is_pinned: bool = False) -> int:
        """Address of a new block. CudaError 2 where the pretended device is full (page-locked memory is free)."""
        if not is_pinned:
            check(OUT_OF_MEMORY if nbytes > self.free_bytes else 0, "taking memory")
            self.free_bytes -= nbytes
        block = _Block(np.empty(nbytes + ALIGNMENT + GUARD, np.uint8), nbytes)
        block.content[:] = self._fresh
        block.guard[:] = _GUARD_BYTE
        self._blocks[block.pointer] = block
        return block.pointer

    def free(self, pointer: int, *, is_pinned: bool = False) -> None:
        """Poison a block and keep it, to see whether somebody writes to it later."""
        block = self._blocks.pop(pointer)
        if not is_pinned:
            self.free_bytes += block.nbytes
        if not bool((block.guard == _GUARD_BYTE).all()):
            self.problems.append(f"something wrote past the end of an array of {block.nbytes} bytes")
        block.content[:] = self._freed
        self._kept.append(block)
        self._kept_bytes += block.nbytes
        while self._kept_bytes > _MOST_KEPT:
            self._release(self._kept.popleft())

    def close(self) -> None:
        """Look at everything that was freed a last time."""
        while self._kept:
            self._release(self._kept.popleft())

    def refuse_freed(self, pointer: int, nbytes: int, what: str) -> None:
        """CudaError 700 where the range touches memory that was freed."""
        for block in self._kept:
            if pointer < block.pointer + block.nbytes and block.pointer < pointer + nbytes:
                check(ILLEGAL_ADDRESS, f"{what} of memory that was given back")

    def _release(self, block: _Block) -> None:
        self._kept_bytes -= block.nbytes
        if not bool((block.content == self._freed).all()):
            self.problems.append(f"something wrote to an array of {block.nbytes} bytes after it was given back")


def move(into: int, source: int, nbytes: int) -> None:
    """Copy host memory."""
    ctypes.memmove(into, source, nbytes)


def fill(pointer: int, byte: int, nbytes: int) -> None:
    """Fill host memory with a byte."""
    ctypes.memset(pointer, byte, nbytes)
