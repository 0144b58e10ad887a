"""Contexts, capture, graphs, failures and entries: scenes of fakecuda's tests, as in `scenes.py`."""

from __future__ import annotations

import ctypes
import threading
from typing import Any

from fakecuda.driver import Cuda
from fakecuda.scenes import SIZE

# --- contexts ---


def contexts() -> dict[str, Any]:
    """Codes of the context rules."""
    cuda = Cuda(flags=4)
    flags, active = ctypes.c_uint(), ctypes.c_int()
    cuda.check("cuDevicePrimaryCtxGetState", 0, ctypes.byref(flags), ctypes.byref(active))
    seen: dict[str, Any] = {"flags": flags.value, "active": active.value}
    seen["old_set_flags"] = cuda.code("cuDevicePrimaryCtxSetFlags", 0, 0)
    stream, event = cuda.stream(), cuda.event()
    own = cuda.make("cuCtxCreate_v2", 0, 0)
    seen["stream_of_another"] = cuda.code("cuMemsetD8Async", cuda.alloc(8), 0, 8, stream)
    seen["event_of_another"] = cuda.code("cuEventRecord", event, 0)
    cuda.check("cuCtxDestroy_v2", own)
    cuda.check("cuCtxSetCurrent", 0)
    seen["no_current"] = cuda.code("cuMemAlloc_v2", ctypes.byref(ctypes.c_void_p()), 8)
    cuda.check("cuCtxSetCurrent", cuda.context)
    pointer = cuda.alloc(8)
    cuda.check("cuDevicePrimaryCtxRelease_v2", 0)
    seen["after_release"] = cuda.code("cuMemFree_v2", pointer)
    seen["blocks"] = cuda.control.live()["blocks"]
    seen["no_device"] = cuda.code("cuDeviceGet", ctypes.byref(ctypes.c_int()), 7)
    return seen


def current_is_per_thread() -> int:
    """The code of a call in a thread that made no context current."""
    cuda = Cuda()
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(cuda.code("cuCtxSynchronize")))
    thread.start()
    thread.join()
    return codes[0]


# --- capture and graphs ---


def replay(seeds: int) -> dict[str, int]:
    """A captured fork and join, replayed with new contents behind the recorded pointers; how many seeds were right."""
    right = 0
    for seed in range(seeds):
        cuda = Cuda(seed=seed)
        main, side = cuda.stream(), cuda.stream()
        one, two, out = (cuda.alloc(SIZE) for _ in range(3))
        cuda.capture(main)
        cuda.copy(two, one, SIZE, main)
        cuda.wait(side, cuda.record(main))
        cuda.copy(out, two, SIZE, side)
        cuda.fill(one, 0, 16, main)
        cuda.wait(main, cuda.record(side))
        graph = cuda.end_capture(main)
        assert cuda.control.peek(out, 1) == b"\xcb"  # capturing runs nothing
        for value in (1, 2, 3):
            cuda.fill(one, value, SIZE, main)
            cuda.check("cuGraphLaunch", graph, main)
            right += cuda.download(out, SIZE, main) == bytes([value]) * SIZE
    return {"right": right, "wanted": 3 * seeds}


def arguments_are_recorded() -> list[int]:
    """A graph replays the argument values of the launch, whatever became of the variables."""
    cuda = Cuda()
    seen: list[int] = []
    cuda.control.kernel("look", lambda *given: seen.append(ctypes.c_int.from_address(given[3][0]).value), sizes=[4])
    kernel, stream, value = cuda.kernel("look"), cuda.stream(), ctypes.c_int(41)
    cuda.capture(stream)
    assert cuda.launch(kernel, [value], stream) == 0
    value.value = 99
    graph = cuda.end_capture(stream)
    for _ in range(2):
        cuda.check("cuGraphLaunch", graph, stream)
    assert cuda.launch(kernel, [value], stream) == 0
    value.value = 0
    assert cuda.sync() == 0
    return seen


def replay_of_freed() -> dict[str, Any]:
    """A graph launched after one of its buffers was freed."""
    cuda = Cuda()
    stream, pointer = cuda.stream(), cuda.alloc(SIZE)
    cuda.capture(stream)
    cuda.fill(pointer, 1, SIZE, stream)
    graph = cuda.end_capture(stream)
    cuda.check("cuMemFree_v2", pointer)
    cuda.check("cuGraphLaunch", graph, stream)
    return {"sync": cuda.sync(), "damage": cuda.control.damage()}


def capture_rules() -> dict[str, Any]:
    """The codes of what must not be done while a stream is captured."""
    codes: dict[str, Any] = {}

    def during(name: str, act: Any, *, mode: int = 1, blocking: bool = False, thread: bool = False) -> None:
        cuda = Cuda()
        stream = cuda.stream(blocking=blocking)
        cuda.capture(stream, mode=mode)
        answers: list[int] = []

        def work() -> None:
            if thread:
                cuda.check("cuCtxSetCurrent", cuda.context)
            answers.append(act(cuda, stream))

        if thread:
            other = threading.Thread(target=work)
            other.start()
            other.join()
        else:
            work()
        codes[name] = [answers[0], cuda.code_of_end(stream)]

    def alloc(cuda: Cuda, _stream: int) -> int:
        return cuda.code("cuMemAlloc_v2", ctypes.byref(ctypes.c_void_p()), 8)

    during("alloc, thread-local", alloc)
    during("alloc, relaxed", alloc, mode=2)
    during("alloc elsewhere, thread-local", alloc, thread=True)
    during("alloc elsewhere, global", alloc, mode=0, thread=True)
    during("synchronize it", lambda cuda, stream: cuda.code("cuStreamSynchronize", stream))
    during("synchronize all", lambda cuda, _: cuda.sync())
    during("query its event", lambda cuda, stream: cuda.code("cuEventQuery", cuda.record(stream)))
    during("legacy beside a blocking one", lambda cuda, _: cuda.code("cuEventRecord", cuda.event(), 0), blocking=True)
    during("legacy beside a non-blocking one", lambda cuda, _: cuda.code("cuEventRecord", cuda.event(), 0))
    during("end in another thread", lambda cuda, stream: cuda.code_of_end(stream), thread=True)
    during("pageable copy", _pageable)
    during("foreign event", _foreign_event)
    during("unjoined", _fork_without_join)
    during("begin again", lambda cuda, stream: cuda.code("cuStreamBeginCapture_v2", stream, 1))
    during("nothing", lambda *_: 0)
    codes["legacy itself"] = Cuda().code("cuStreamBeginCapture_v2", 0, 1)
    codes["end without begin"] = _end_without_begin()
    return codes


def _pageable(cuda: Cuda, stream: int) -> int:
    pointer = ctypes.create_string_buffer(8)
    mode = ctypes.c_int(2)
    cuda.check("cuThreadExchangeStreamCaptureMode", ctypes.byref(mode))
    target = cuda.alloc(8)
    cuda.check("cuThreadExchangeStreamCaptureMode", ctypes.byref(mode))
    return cuda.code("cuMemcpyHtoDAsync_v2", target, pointer, 8, stream)


def _foreign_event(cuda: Cuda, stream: int) -> int:
    return cuda.code("cuStreamWaitEvent", stream, cuda.record(cuda.stream()), 0)


def _fork_without_join(cuda: Cuda, stream: int) -> int:
    side = cuda.stream()
    cuda.wait(side, cuda.record(stream))
    mode = ctypes.c_int(2)
    cuda.check("cuThreadExchangeStreamCaptureMode", ctypes.byref(mode))
    target = cuda.alloc(8)
    cuda.check("cuThreadExchangeStreamCaptureMode", ctypes.byref(mode))
    return cuda.code("cuMemsetD8Async", target, 0, 8, side)


def _end_without_begin() -> int:
    cuda = Cuda()
    return cuda.code_of_end(cuda.stream())


# --- host functions, failures, entries ---


def host_functions() -> dict[str, Any]:
    """Host functions run in stream order, may touch device memory, and may not call the driver."""
    cuda = Cuda()
    stream, pointer = cuda.stream(), cuda.alloc(SIZE)
    seen: list[Any] = []
    kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p)

    def look(_: int) -> None:
        seen.append(ctypes.string_at(pointer, 1)[0])
        seen.append(cuda.code("cuCtxSynchronize"))

    function = kind(look)
    cuda.fill(pointer, 8, SIZE, stream)
    cuda.check("cuLaunchHostFunc", stream, function, 0)
    cuda.fill(pointer, 9, SIZE, stream)
    assert cuda.sync() == 0
    return {"seen": seen, "damage": cuda.control.damage()}


def idle_machine(wait_seconds: float) -> bool:
    """Work runs although nobody calls: a host function sets what Python waits for."""
    cuda = Cuda()
    cuda.control.policy("lazy")
    done = threading.Event()
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: done.set())
    cuda.check("cuLaunchHostFunc", cuda.stream(), function, 0)
    return done.wait(wait_seconds)


def failures(names: list[str]) -> dict[str, int]:
    """The code of a call of each entry when it was to fail with 999."""
    into = (ctypes.c_uint64 * 8)()
    answers: dict[str, int] = {}
    for name in names:
        cuda = Cuda()
        cuda.control.fail(name, code=999)
        answers[name] = cuda.code(name, into, into, into, into)
    return answers


def second_failure() -> list[int]:
    """The codes of three calls, the second of which was to fail with 2."""
    cuda = Cuda()
    cuda.control.fail("cuMemAlloc", nth=2, code=2)
    return [cuda.code("cuMemAlloc_v2", ctypes.byref(ctypes.c_void_p()), 8) for _ in range(3)]


def failure_of_the_environment() -> list[int]:
    """The second and every later allocation: FAKE_FAIL=cuMemAlloc:2:2 gives 2 once."""
    cuda = Cuda()
    return [cuda.code("cuMemAlloc_v2", ctypes.byref(ctypes.c_void_p()), 8) for _ in range(3)]


def sticky_failure() -> list[int]:
    """A launch that fails with 700 kills the context: what follows says so."""
    cuda = Cuda()
    cuda.control.fail("cuLaunchKernel", code=700)
    cuda.control.kernel("nothing", lambda *_: None, sizes=[4])
    code = cuda.launch(cuda.kernel("nothing"), [ctypes.c_int(0)], cuda.stream())
    return [code, cuda.sync(), cuda.code("cuMemAlloc_v2", ctypes.byref(ctypes.c_void_p()), 8)]


def entries(version: int, names: list[str]) -> dict[str, Any]:
    """What cuGetProcAddress_v2 gives: whether there is an address, and the status; the same address as dlsym's name."""
    cuda = Cuda()
    answers: dict[str, Any] = {}
    for name in names:
        into, status = ctypes.c_void_p(), ctypes.c_int(-1)
        asked, _, form = name.partition("=")
        code = cuda.code("cuGetProcAddress_v2", asked.encode(), ctypes.byref(into), version, 0, ctypes.byref(status))
        same = bool(form) and into.value == ctypes.cast(getattr(cuda.library, form), ctypes.c_void_p).value
        answers[name] = [code, status.value, same]
    return {"answers": answers, "unknown": cuda.control.unknown()}


def texts(codes: list[int]) -> list[str]:
    """Names of codes."""
    cuda = Cuda()
    found = []
    for code in codes:
        into = ctypes.c_char_p()
        answer = cuda.code("cuGetErrorName", code, ctypes.byref(into))
        found.append(into.value.decode() if answer == 0 and into.value else str(answer))
    return found


def shim_kernel(path: str, seeds: int) -> int:
    """A kernel compiled for the CPU adds 1 to bytes; how many seeds were right."""
    right = 0
    for seed in range(seeds):
        cuda = Cuda(seed=seed)
        module = cuda.make("cuModuleLoadData", b"LMSHIM\0" + path.encode() + b"\0")
        kernel = cuda.make("cuModuleGetFunction", module, b"add_one")
        stream, pointer = cuda.stream(), cuda.alloc(SIZE)
        cuda.fill(pointer, 1, SIZE, stream)
        for _ in range(3):
            assert (
                cuda.launch(kernel, [ctypes.c_uint64(pointer), ctypes.c_int(SIZE)], stream, grid=SIZE // 64, block=64)
                == 0
            )
        right += cuda.download(pointer, SIZE, stream) == b"\4" * SIZE
        into = ctypes.c_void_p()
        assert cuda.code("cuModuleGetFunction", ctypes.byref(into), module, b"absent") == 500
    return right
