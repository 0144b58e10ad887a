"""The back end over pycuda, by name. Nothing is initialised by importing (`pycuda.autoinit` is never used).

pycuda does contexts, memory, ordinary streams and copies. It has no stream priorities, graphs or host functions, shows
no handles of events and functions, and packs a kernel's arguments by a guess of their types: these are inherited calls
into the driver's library, on the same context.

Note [pycuda's contexts]. pycuda keeps a stack of contexts for each thread and ends the process with abort() when a
thread ends with one on its stack. So our context is pushed around each call of pycuda's and popped again; below it, the
thread has the same context by the driver's own `cuCtxSetCurrent`.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import byref, c_void_p
from typing import Any

from livematte.errors import DeviceError
from livematte.runtimes.cuda.ctypes_driver import NON_BLOCKING, PINNED_PORTABLE, CtypesBackend
from livematte.runtimes.cuda.driver import CudaDriver
from livematte.runtimes.cuda.errors import MEANINGS, PACKAGES

OUT_OF_MEMORY = 2
UNKNOWN = 999


def open_pycuda(ordinal: int) -> CudaDriver:
    """A driver over pycuda. DeviceError (5) where the package, the NVIDIA driver or the GPU is missing."""
    return CudaDriver(PycudaBackend(ordinal))


class PycudaBackend(CtypesBackend):
    """`backend.Backend` over pycuda."""

    name = "pycuda"

    def __init__(self, ordinal: int = 0) -> None:
        if importlib.util.find_spec("pycuda") is None:
            raise DeviceError(f"{PACKAGES['pycuda']}.")
        # First the driver, whose absence would show as an unreadable ImportError of pycuda's.
        super().__init__(ordinal)
        try:
            self._pycuda: Any = importlib.import_module("pycuda.driver")
        except ImportError as error:
            super().close()
            raise DeviceError(f"pycuda is installed, but cannot be loaded: {error}. {PACKAGES['pycuda']}.") from error
        self._streams: dict[int, Any] = {0: None}
        self._allocations: dict[int, Any] = {}
        self._pinned: dict[int, Any] = {}
        try:
            self._pycuda.init()
            self._primary = self._pycuda.Device(ordinal).retain_primary_context()
        except self._pycuda.Error as error:
            super().close()
            raise DeviceError(f"pycuda cannot use cuda:{ordinal}: {error}.") from error

    @contextmanager
    def _active(self, what: str) -> Iterator[None]:
        """Our context on pycuda's stack; pycuda's errors become CudaErrors. See Note [pycuda's contexts]."""
        try:
            self._primary.push()
            try:
                yield
            finally:
                self._pycuda.Context.pop()
        except self._pycuda.Error as error:
            self.check(self._code_of(error), f"{what} ({error})")
            raise

    def _code_of(self, error: Exception) -> int:
        """CUDA's number of an error of pycuda's, which carries the driver's words only."""
        text = str(error)
        known = {words: code for code in MEANINGS if (words := self._words_of(code)) and words in text}
        if known:
            # The longest: one error's words may be a part of another's.
            return known[max(known, key=len)]
        return OUT_OF_MEMORY if isinstance(error, self._pycuda.MemoryError) else UNKNOWN

    def _words_of(self, code: int) -> str:
        words = ctypes.c_char_p()
        known = self._cuda.cuGetErrorString(code, byref(words)) == 0
        return (words.value or b"").decode("utf-8", "replace") if known else ""

    def free_bytes(self) -> int:
        with self._active("asking for the GPU's free memory"):
            return int(self._pycuda.mem_get_info()[0])

    def synchronize(self) -> None:
        with self._active("waiting for the GPU"):
            self._pycuda.Context.synchronize()

    def close(self) -> None:
        # detach() releases the primary context and leaves it on the driver's own stack, where it must not stay.
        self._primary.push()
        self._primary.detach()
        self._cuda.cuCtxPopCurrent_v2(byref(c_void_p()))
        super().close()

    # Streams. Those of high priority are the driver's own, and so are the calls on them.

    def create_stream(self, high_priority: bool) -> int:
        if high_priority:
            return super().create_stream(high_priority)
        with self._active("making a stream"):
            stream = self._pycuda.Stream(NON_BLOCKING)
        handle = int(stream.handle)
        self._streams[handle] = stream
        return handle

    def destroy_stream(self, stream: int) -> None:
        if stream not in self._streams:
            super().destroy_stream(stream)
            return
        with self._active("closing a stream"):
            # pycuda destroys it where its last reference goes: here, where the context is current.
            del self._streams[stream]

    def synchronize_stream(self, stream: int) -> None:
        queue = self._streams.get(stream)
        if queue is None:
            super().synchronize_stream(stream)
            return
        with self._active("waiting for a stream"):
            queue.synchronize()

    def is_stream_done(self, stream: int) -> bool:
        queue = self._streams.get(stream)
        if queue is None:
            return super().is_stream_done(stream)
        with self._active("asking whether a stream is done"):
            return bool(queue.is_done())

    # Memory.

    def allocate(self, nbytes: int) -> int:
        with self._active("taking memory of the GPU"):
            allocation = self._pycuda.mem_alloc(nbytes)
        pointer = int(allocation)
        self._allocations[pointer] = allocation
        return pointer

    def free(self, pointer: int) -> None:
        with self._active("giving memory of the GPU back"):
            self._allocations.pop(pointer).free()

    def allocate_pinned(self, nbytes: int) -> int:
        with self._active("taking page-locked memory"):
            array = self._pycuda.pagelocked_empty(nbytes, "uint8", mem_flags=PINNED_PORTABLE)
        pointer = int(array.ctypes.data)
        self._pinned[pointer] = array
        return pointer

    def free_pinned(self, pointer: int) -> None:
        with self._active("giving page-locked memory back"):
            self._pinned.pop(pointer).base.free()

    def copy_up(self, device: int, host: int, nbytes: int, stream: int) -> None:
        if stream not in self._streams:
            super().copy_up(device, host, nbytes, stream)
            return
        with self._active("a copy to the GPU"):
            self._pycuda.memcpy_htod_async(device, _buffer(host, nbytes), self._streams[stream])

    def copy_down(self, host: int, device: int, nbytes: int, stream: int) -> None:
        if stream not in self._streams:
            super().copy_down(host, device, nbytes, stream)
            return
        with self._active("a copy from the GPU"):
            self._pycuda.memcpy_dtoh_async(_buffer(host, nbytes), device, self._streams[stream])

    def copy(self, into: int, source: int, nbytes: int, stream: int) -> None:
        if stream not in self._streams:
            super().copy(into, source, nbytes, stream)
            return
        with self._active("a copy on the GPU"):
            self._pycuda.memcpy_dtod_async(into, source, nbytes, self._streams[stream])

    def fill(self, pointer: int, byte: int, nbytes: int, stream: int) -> None:
        if stream not in self._streams:
            super().fill(pointer, byte, nbytes, stream)
            return
        with self._active("filling memory of the GPU"):
            self._pycuda.memset_d8_async(pointer, byte, nbytes, self._streams[stream])


def _buffer(pointer: int, nbytes: int) -> ctypes.Array[ctypes.c_ubyte]:
    """Host memory as pycuda takes it."""
    return (ctypes.c_ubyte * nbytes).from_address(pointer)
