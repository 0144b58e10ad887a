"""What runs in child processes over fakecuda: contexts, and calls that fail. Each function gives what JSON can hold."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

from fakecuda.control import Control
from livematte.errors import LivematteError
from livematte.runtimes.cuda.choice import open_driver
from livematte.runtimes.cuda.ctypes_driver import CtypesBackend
from livematte.runtimes.cuda.driver import CudaDriver
from livematte.runtimes.cuda.errors import CudaError
from livematte.runtimes.cuda.graphs import capture


def _open(backend: str) -> CudaDriver:
    driver = CudaDriver(CtypesBackend()) if backend == "ctypes" else open_driver(backend)
    assert isinstance(driver, CudaDriver)
    return driver


def _primary() -> list[int]:
    """[flags, is active] of the primary context."""
    flags, is_active = ctypes.c_uint(), ctypes.c_int()
    library = ctypes.CDLL("libcuda.so.1")
    assert library.cuInit(0) == 0
    assert library.cuDevicePrimaryCtxGetState(0, ctypes.byref(flags), ctypes.byref(is_active)) == 0
    return [flags.value, is_active.value]


def context(backend: str) -> dict[str, Any]:
    """The primary context before, while and after a driver is open."""
    before = _primary()
    driver = _open(backend)
    during = _primary()
    facts = driver.device
    streams = [_flags_and_priority(driver.stream(high_priority=high).handle) for high in (False, True)]
    driver.close()
    return {
        "before": before,
        "during": during,
        "after": _primary(),
        "capability": facts.capability,
        "name": facts.name,
        "streams": streams,
    }


def _flags_and_priority(stream: int) -> list[int]:
    flags, priority = ctypes.c_uint(), ctypes.c_int()
    library = ctypes.CDLL("libcuda.so.1")
    assert library.cuStreamGetFlags(ctypes.c_void_p(stream), ctypes.byref(flags)) == 0
    assert library.cuStreamGetPriority(ctypes.c_void_p(stream), ctypes.byref(priority)) == 0
    return [flags.value, priority.value]


def interchange() -> list[bool]:
    """Whether the package cuda-core takes our stream and our array as they are."""
    from cuda.core import Device
    from cuda.core.utils import StridedMemoryView

    driver = _open("cuda-core")
    stream, array = driver.stream(), driver.array((4, 6), np.float16)
    device = Device(0)
    device.set_current()
    taken = device.create_stream(stream)
    view = StridedMemoryView.from_any_interface(array, stream_ptr=-1)
    same = [
        int(taken.handle) == stream.handle,
        view.ptr == array.pointer,
        view.shape == (4, 6),
        view.dtype == np.float16,
    ]
    array.close()
    driver.close()
    return same


def opening(backend: str) -> str:
    """What opening says where it fails."""
    try:
        _open(backend).close()
    except LivematteError as error:
        return f"{error.exit_code}: {error}"
    return "opened"


def _work(driver: CudaDriver, image: bytes) -> None:
    """Something of everything."""
    stream, side, event = driver.stream(), driver.stream(high_priority=True), driver.event(timing=True)
    array, other, pinned = (
        driver.array((64,), np.float32),
        driver.array((64,), np.float32),
        driver.pinned((64,), np.float32),
    )
    array.fill(1, stream)
    event.record(stream)
    side.wait(event)
    array.upload(pinned, stream)
    other.copy_from(array, stream)
    other.download(pinned, stream)
    module = driver.module(image)
    with capture(driver, stream) as recording:
        module.function("lm_test_nothing").launch((1, 1, 1), (1, 1, 1), [], stream)
        stream.call(lambda: None)
    graph = recording.finish()
    graph.launch(stream)
    stream.is_done()
    event.synchronize()
    event.elapsed_ms(event)
    stream.synchronize()
    driver.free_bytes()
    for thing in (graph, module, array, other, pinned, event, side, stream):
        thing.close()
    driver.synchronize()


CALLS = (
    "cuStreamCreateWithPriority", "cuEventCreate", "cuMemAlloc", "cuMemHostAlloc", "cuMemsetD8Async", "cuEventRecord",
    "cuStreamWaitEvent", "cuMemcpyHtoDAsync", "cuMemcpyDtoDAsync", "cuMemcpyDtoHAsync", "cuModuleLoadData",
    "cuStreamBeginCapture", "cuModuleGetFunction", "cuLaunchKernel", "cuLaunchHostFunc", "cuStreamEndCapture",
    "cuGraphGetNodes", "cuGraphInstantiateWithFlags", "cuGraphLaunch", "cuStreamQuery", "cuEventSynchronize",
    "cuEventElapsedTime", "cuStreamSynchronize", "cuMemGetInfo", "cuGraphExecDestroy", "cuMemFree", "cuCtxSynchronize",
)  # fmt: skip


def failures(backend: str, image: str, code: int, skipped: list[str]) -> dict[str, str]:
    """Call -> what a failure of it with `code` came out as; a driver is closed after each."""
    control = Control()
    said: dict[str, str] = {}
    for name in CALLS:
        if name in skipped:
            continue
        control.reset(1)
        driver = _open(backend)
        control.fail(name, code=code)
        said[name] = _outcome(lambda driver=driver: _work(driver, image.encode("latin-1")))  # type: ignore[misc]
        control.mend()
        said[name] += " " + _outcome(lambda driver=driver: _close(driver))  # type: ignore[misc]
        assert control.damage() == []
    return said


def _close(driver: CudaDriver) -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        driver.close()


def _outcome(work: Callable[[], None]) -> str:
    try:
        work()
    except CudaError as error:
        return f"CudaError {error.code}"
    return "fine"
