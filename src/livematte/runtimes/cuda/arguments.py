"""A kernel's arguments as the driver takes them: an array of addresses, each pointing at one argument's value."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import numpy as np

from livematte.errors import UsageError

_ALIGNMENT = 16
"""The strictest alignment that a CUDA type asks for (float4, and structs that hold it)."""


class ArgumentBlock:
    """Copies of the values, and their addresses: `kernelParams` of cuLaunchKernel. It owns them."""

    __slots__ = ("_values", "pointers", "sizes")

    def __init__(self, values: Sequence[bytes]) -> None:
        self.sizes = tuple(len(value) for value in values)
        """Bytes of each argument."""
        offsets: list[int] = []
        end = 0
        for size in self.sizes:
            offsets.append(end)
            end += -(-size // _ALIGNMENT) * _ALIGNMENT
        self._values = ctypes.create_string_buffer(end + _ALIGNMENT)
        base = -(-ctypes.addressof(self._values) // _ALIGNMENT) * _ALIGNMENT
        for value, offset in zip(values, offsets, strict=True):
            ctypes.memmove(base + offset, value, len(value))
        self.pointers = (ctypes.c_void_p * len(offsets))(*(base + offset for offset in offsets))
        """`void* args[]`."""

    @property
    def address(self) -> int:
        """Address of the array of addresses; 0 for a kernel without arguments."""
        return ctypes.addressof(self.pointers) if self.sizes else 0


def value_of(argument: object, kernel: str, at: int) -> bytes:
    """The bytes of an argument that is no array. UsageError for a type whose width would be a guess."""
    if isinstance(argument, np.generic):
        return argument.tobytes()
    if isinstance(argument, int) and not isinstance(argument, bool):
        if not 0 <= argument < 1 << 64:
            raise UsageError(f"argument {at} of the kernel {kernel} is {argument}; an int is a 64-bit address.")
        return argument.to_bytes(8, "little")
    raise UsageError(
        f"argument {at} of the kernel {kernel} is a {type(argument).__name__}; give a NumPy scalar of the kernel's "
        "exact type (np.float32(0.5), np.int32(3)), a DeviceArray, or an int as an address."
    )


def check_sizes(given: tuple[int, ...], wanted: tuple[int, ...] | None, kernel: str) -> None:
    """UsageError where number or sizes of the arguments are not the kernel's; nothing where these are not known.

    The driver reads as many bytes as the kernel declares: a missing argument would be a crash of the process.
    """
    if wanted is None or given == wanted:
        return
    raise UsageError(
        f"the kernel {kernel} takes {len(wanted)} arguments of {_list(wanted)} bytes; given were {len(given)} of "
        f"{_list(given)}."
    )


def _list(sizes: tuple[int, ...]) -> str:
    return "(" + ", ".join(map(str, sizes)) + ")"
