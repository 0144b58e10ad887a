"""Steers the fakecuda that is loaded in this process, and looks into it. Only for child processes (see plugin.py)."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

_RUN: Final = ctypes.CFUNCTYPE(None, *[ctypes.c_uint] * 7, ctypes.POINTER(ctypes.c_void_p))
_LIVE: Final = (
    "contexts", "streams", "events", "graphs", "graph_execs", "modules", "blocks", "pinned", "pending", "bytes",
)  # fmt: skip
_COUNTS: Final = (
    "HtoD", "HtoD_bytes", "DtoH", "DtoH_bytes", "DtoD", "DtoD_bytes", "HtoH", "HtoH_bytes", "pageable",
    "kernels", "graphs",
)  # fmt: skip
_POLICIES: Final = ("random", "eager", "lazy")
IMAGE_OF_REGISTERED: Final = b"LMSHIM\0@\0"
"""The image of a module that holds every kernel given to `Control.kernel`."""

PythonKernel = Callable[[tuple[int, int, int], tuple[int, int, int], int, list[int]], None]
"""(grid, block, shared_bytes, addresses of the arguments' values)."""


class Control:
    """The control functions of fakecuda. RuntimeError where the process's libcuda is another one."""

    def __init__(self) -> None:
        try:
            self._library = ctypes.CDLL("libcuda.so.1")
            self._library.fake_calls.restype = ctypes.c_uint64
        except (OSError, AttributeError) as error:
            raise RuntimeError(f"fakecuda is not loaded: {error}; run this through the fixture `fakecuda`") from error
        self._kept: list[Any] = []

    def reset(self, seed: int = 0) -> None:
        """A fresh machine: no context, no memory, no work, no counts. What the environment asks to fail, fails."""
        self._library.fake_reset(ctypes.c_uint64(seed))

    def fail(self, name: str, *, nth: int = 1, code: int = 999) -> None:
        """The nth call of `name` from now (0: every one) returns this code. `_v2` and the like do not count."""
        self._library.fake_fail(name.encode(), ctypes.c_long(nth), code)

    def mend(self) -> None:
        """Nothing fails any more."""
        self._library.fake_mend()

    def policy(self, policy: Literal["random", "eager", "lazy"]) -> None:
        """How work runs: by the seed, at once at the next call, or only when a call waits for it."""
        self._library.fake_policy(_POLICIES.index(policy))

    def calls(self, name: str) -> int:
        """How often this entry was called since the last reset."""
        return int(self._library.fake_calls(name.encode()))

    def damage(self) -> list[str]:
        """What was done to memory that must not be: overwritten guards, use after free; [] when all is well."""
        return self._lines("fake_damage")

    def unknown(self) -> list[str]:
        """Entries that were asked for and that fakecuda does not play."""
        return self._lines("fake_unknown")

    def live(self) -> dict[str, int]:
        """How many of each are alive: contexts, streams, events, graphs, blocks of memory, pending work."""
        values = (ctypes.c_uint64 * len(_LIVE))()
        self._library.fake_live(values)
        return dict(zip(_LIVE, values, strict=True))

    def copies(self) -> dict[str, int]:
        """Copies and bytes by direction, copies to or from pageable memory, kernels and graphs run since the reset."""
        values = (ctypes.c_uint64 * len(_COUNTS))()
        self._library.fake_counts(values)
        return dict(zip(_COUNTS, values, strict=True))

    def peek(self, pointer: int, size: int) -> bytes:
        """Bytes of device memory as they are now, whatever is pending; ValueError outside of live memory."""
        into = ctypes.create_string_buffer(size)
        if self._library.fake_peek(into, ctypes.c_uint64(pointer), ctypes.c_size_t(size)):
            raise ValueError(f"no live device memory of {size} bytes at {pointer:#x}")
        return into.raw

    def poke(self, pointer: int, data: bytes) -> None:
        """Write device memory at once; ValueError outside of live memory."""
        if self._library.fake_poke(ctypes.c_uint64(pointer), data, ctypes.c_size_t(len(data))):
            raise ValueError(f"no live device memory of {len(data)} bytes at {pointer:#x}")

    def run_all(self) -> int:
        """Run everything that is pending, in the seed's order; the number of pieces."""
        count = 0
        while self._library.fake_step():
            count += 1
        return count

    def kernel(self, name: str, function: PythonKernel, *, sizes: Sequence[int]) -> None:
        """A kernel in Python, in the module whose image is `IMAGE_OF_REGISTERED`; `sizes` of its arguments in bytes."""

        def run(gx: int, gy: int, gz: int, bx: int, by: int, bz: int, shared: int, arguments: Any) -> None:
            addresses = [int(arguments[i] or 0) for i in range(len(sizes))]
            function((gx, gy, gz), (bx, by, bz), shared, addresses)

        callback = _RUN(run)
        self._kept.append(callback)
        self._library.fake_kernel(name.encode(), callback, len(sizes), (ctypes.c_uint * len(sizes))(*sizes))

    def _lines(self, name: str) -> list[str]:
        into = ctypes.create_string_buffer(1 << 16)
        getattr(self._library, name)(into, ctypes.c_size_t(len(into)))
        return into.value.decode().splitlines()
