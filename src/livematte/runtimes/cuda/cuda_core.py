"""The default back end: NVIDIA's own Python packages (`cuda-bindings`, the ground that `cuda-core` stands on).

Its calls are compiled, let go of Python's lock while they wait, and come as wheels for every system. What must be
the same for all back ends (context, capture, graphs, host functions) is inherited; cuda-core's own objects take our
streams by `__cuda_stream__` and our arrays by `__cuda_array_interface__`.
"""

from __future__ import annotations

import importlib
from typing import Any

from livematte.errors import DeviceError
from livematte.runtimes.cuda.arguments import ArgumentBlock
from livematte.runtimes.cuda.base import Grid
from livematte.runtimes.cuda.ctypes_driver import (
    EVENT_DISABLE_TIMING,
    NON_BLOCKING,
    PINNED_PORTABLE,
    CtypesBackend,
)
from livematte.runtimes.cuda.driver import CudaDriver
from livematte.runtimes.cuda.errors import PACKAGES


def open_cuda_core(ordinal: int) -> CudaDriver:
    """A driver over `cuda-bindings`. DeviceError (5) where the package, the NVIDIA driver or the GPU is missing."""
    return CudaDriver(CudaCoreBackend(ordinal))


def load_bindings() -> Any:
    """The module `cuda.bindings.driver`. DeviceError with the line that installs it."""
    try:
        return importlib.import_module("cuda.bindings.driver")
    except ImportError as error:
        raise DeviceError(f"{PACKAGES['cuda-core']} ({error}).") from error


class CudaCoreBackend(CtypesBackend):
    """`backend.Backend` over cuda-bindings."""

    name = "cuda-core"

    def __init__(self, ordinal: int = 0) -> None:
        self._bindings = load_bindings()
        super().__init__(ordinal)

    def _get(self, result: tuple[Any, ...], what: str) -> Any:
        """What a call gave; CudaError where its code, which comes first, is not 0."""
        self.check(int(result[0]), what)
        return result[1] if len(result) > 1 else None

    def free_bytes(self) -> int:
        return int(self._get(self._bindings.cuMemGetInfo(), "asking for the GPU's free memory"))

    def synchronize(self) -> None:
        self._get(self._bindings.cuCtxSynchronize(), "waiting for the GPU")

    # Streams and events.

    def create_stream(self, high_priority: bool) -> int:
        priority = self._highest_priority if high_priority else 0
        return int(self._get(self._bindings.cuStreamCreateWithPriority(NON_BLOCKING, priority), "making a stream"))

    def destroy_stream(self, stream: int) -> None:
        self._get(self._bindings.cuStreamDestroy(stream), "closing a stream")

    def wait_event(self, stream: int, event: int) -> None:
        self._get(self._bindings.cuStreamWaitEvent(stream, event, 0), "letting a stream wait for an event")

    def synchronize_stream(self, stream: int) -> None:
        self._get(self._bindings.cuStreamSynchronize(stream), "waiting for a stream")

    def is_stream_done(self, stream: int) -> bool:
        return self._is_done(int(self._bindings.cuStreamQuery(stream)[0]), "asking whether a stream is done")

    def create_event(self, timing: bool) -> int:
        return int(self._get(self._bindings.cuEventCreate(0 if timing else EVENT_DISABLE_TIMING), "making an event"))

    def destroy_event(self, event: int) -> None:
        self._get(self._bindings.cuEventDestroy(event), "closing an event")

    def record_event(self, event: int, stream: int) -> None:
        self._get(self._bindings.cuEventRecord(event, stream), "recording an event")

    def synchronize_event(self, event: int) -> None:
        self._get(self._bindings.cuEventSynchronize(event), "waiting for an event")

    def is_event_done(self, event: int) -> bool:
        return self._is_done(int(self._bindings.cuEventQuery(event)[0]), "asking whether an event is reached")

    def elapsed_ms(self, since: int, until: int) -> float:
        return float(
            self._get(self._bindings.cuEventElapsedTime(since, until), "asking for the time between two events")
        )

    # Memory.

    def allocate(self, nbytes: int) -> int:
        return int(self._get(self._bindings.cuMemAlloc(nbytes), "taking memory of the GPU"))

    def free(self, pointer: int) -> None:
        self._get(self._bindings.cuMemFree(pointer), "giving memory of the GPU back")

    def allocate_pinned(self, nbytes: int) -> int:
        return int(self._get(self._bindings.cuMemHostAlloc(nbytes, PINNED_PORTABLE), "taking page-locked memory"))

    def free_pinned(self, pointer: int) -> None:
        self._get(self._bindings.cuMemFreeHost(pointer), "giving page-locked memory back")

    def copy_up(self, device: int, host: int, nbytes: int, stream: int) -> None:
        self._get(self._bindings.cuMemcpyHtoDAsync(device, host, nbytes, stream), "a copy to the GPU")

    def copy_down(self, host: int, device: int, nbytes: int, stream: int) -> None:
        self._get(self._bindings.cuMemcpyDtoHAsync(host, device, nbytes, stream), "a copy from the GPU")

    def copy(self, into: int, source: int, nbytes: int, stream: int) -> None:
        self._get(self._bindings.cuMemcpyDtoDAsync(into, source, nbytes, stream), "a copy on the GPU")

    def fill(self, pointer: int, byte: int, nbytes: int, stream: int) -> None:
        self._get(self._bindings.cuMemsetD8Async(pointer, byte, nbytes, stream), "filling memory of the GPU")

    # Kernels.

    def load(self, image: bytes) -> int:
        # PTX is text and must end with a zero byte; a cubin knows its own length.
        return int(self._get(self._bindings.cuModuleLoadData(image + b"\0"), "loading a kernel image"))

    def unload(self, module: int) -> None:
        self._get(self._bindings.cuModuleUnload(module), "unloading a kernel image")

    def function(self, module: int, name: str) -> int:
        return int(self._get(self._bindings.cuModuleGetFunction(module, name.encode()), f"finding the kernel {name}"))

    def launch(
        self, function: int, grid: Grid, block: Grid, arguments: ArgumentBlock, *, stream: int, shared_bytes: int
    ) -> None:
        result = self._bindings.cuLaunchKernel(function, *grid, *block, shared_bytes, stream, arguments.address, 0)
        self._get(result, "launching a kernel")
