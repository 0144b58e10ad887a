"""The driver interface by ctypes, for fakecuda's own tests: `Cuda()` checks every code, `Cuda.code` gives it back."""

from __future__ import annotations

import ctypes
from typing import Any

from fakecuda.control import Control


class CudaError(Exception):
    """A call returned a code other than 0."""

    def __init__(self, name: str, code: int) -> None:
        super().__init__(f"{name} returned {code}")
        self.code = code


class Cuda:
    """libcuda with the primary context of device 0 current, `control` beside it, and the few calls that tests need."""

    def __init__(self, *, seed: int = 0, flags: int = 4) -> None:
        self.library = ctypes.CDLL("libcuda.so.1")
        self.control = Control()
        self.control.reset(seed)
        self.check("cuInit", 0)
        self.check("cuDevicePrimaryCtxSetFlags_v2", 0, flags)
        self.context = self.make("cuDevicePrimaryCtxRetain", 0)
        self.check("cuCtxSetCurrent", self.context)

    def code(self, name: str, *arguments: Any) -> int:
        """The code of a call. int arguments are 64 bits wide: the callee takes what it needs."""
        wide = [ctypes.c_uint64(one & (2**64 - 1)) if isinstance(one, int) else one for one in arguments]
        return int(getattr(self.library, name)(*wide))

    def check(self, name: str, *arguments: Any) -> None:
        """A call that must return 0."""
        code = self.code(name, *arguments)
        if code:
            raise CudaError(name, code)

    def make(self, name: str, *arguments: Any) -> int:
        """A call whose first argument receives a handle, which is returned."""
        into = ctypes.c_void_p()
        self.check(name, ctypes.byref(into), *arguments)
        return int(into.value or 0)

    def alloc(self, size: int) -> int:
        return self.make("cuMemAlloc_v2", size)

    def pinned(self, data: bytes) -> int:
        """Pinned memory that holds `data`."""
        pointer = self.make("cuMemHostAlloc", len(data), 0)
        ctypes.memmove(pointer, data, len(data))
        return pointer

    def stream(self, *, blocking: bool = False) -> int:
        return self.make("cuStreamCreate", 0 if blocking else 1)

    def event(self) -> int:
        return self.make("cuEventCreate", 2)

    def upload(self, target: int, source: int, size: int, stream: int) -> None:
        self.check("cuMemcpyHtoDAsync_v2", target, source, size, stream)

    def download(self, source: int, size: int, stream: int = 0) -> bytes:
        """Bytes after everything in the stream is done."""
        into = ctypes.create_string_buffer(size)
        self.check("cuMemcpyDtoHAsync_v2", into, source, size, stream)
        return into.raw

    def fill(self, target: int, value: int, size: int, stream: int) -> None:
        self.check("cuMemsetD8Async", target, value, size, stream)

    def copy(self, target: int, source: int, size: int, stream: int) -> None:
        self.check("cuMemcpyDtoDAsync_v2", target, source, size, stream)

    def record(self, stream: int) -> int:
        event = self.event()
        self.check("cuEventRecord", event, stream)
        return event

    def wait(self, stream: int, event: int) -> None:
        self.check("cuStreamWaitEvent", stream, event, 0)

    def sync(self) -> int:
        """The code of waiting for everything."""
        return self.code("cuCtxSynchronize")

    def kernel(self, name: str) -> int:
        """A kernel that was registered with `control.kernel`."""
        module = self.make("cuModuleLoadData", b"LMSHIM\0@\0")
        return self.make("cuModuleGetFunction", module, name.encode())

    def launch(self, function: int, arguments: list[Any], stream: int, *, grid: int = 1, block: int = 1) -> int:
        """The code of a launch; arguments are ctypes values."""
        pointers = (ctypes.c_void_p * len(arguments))(*[ctypes.addressof(one) for one in arguments])
        sizes = [ctypes.c_uint(n) for n in (grid, 1, 1, block, 1, 1, 0)]
        return int(
            self.library.cuLaunchKernel(ctypes.c_void_p(function), *sizes, ctypes.c_void_p(stream), pointers, None)
        )

    def capture(self, stream: int, *, mode: int = 1) -> None:
        self.check("cuStreamBeginCapture_v2", stream, mode)

    def end_capture(self, stream: int) -> int:
        """An executable graph of what was captured."""
        into = ctypes.c_void_p()
        self.check("cuStreamEndCapture", stream, ctypes.byref(into))
        return self.make("cuGraphInstantiateWithFlags", int(into.value or 0), 0)

    def code_of_end(self, stream: int) -> int:
        into = ctypes.c_void_p()
        return self.code("cuStreamEndCapture", stream, ctypes.byref(into))
