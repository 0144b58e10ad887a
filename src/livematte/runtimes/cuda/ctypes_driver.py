"""CUDA's calls through ctypes, straight into the driver's library.

Both back ends for real GPUs stand on this: it holds the primary context, and does what their libraries lack (pycuda has
no graphs, no priorities and no host functions) or what must be the same for both (capture, launches by address). It is
a whole back end by itself, which the contract suite runs too; it needs nothing but the driver.

Note [Primary context]. We retain the device's primary context with flags of our own before any library does: blocking
waits, so that a thread that waits for the GPU leaves its core to the encoders. FFmpeg's decoder asks for exactly these
flags and refuses a context that is active with others; ONNX Runtime and TensorRT take whatever is there.
"""

from __future__ import annotations

import ctypes
from ctypes import byref, c_float, c_int, c_size_t, c_uint, c_ulonglong, c_void_p

from livematte.runtimes.cuda.arguments import ArgumentBlock
from livematte.runtimes.cuda.backend import HostCall
from livematte.runtimes.cuda.base import DeviceFacts, Grid
from livematte.runtimes.cuda.errors import check, is_fatal
from livematte.runtimes.cuda.libcuda import HOST_FUNCTION, load_library, start

NOT_READY = 600
INVALID_DEVICE = 101
NO_DEVICE = 100

SCHED_BLOCKING_SYNC = 0x04
NON_BLOCKING = 0x01
EVENT_DISABLE_TIMING = 0x02
PINNED_PORTABLE = 0x01
CAPTURE_THREAD_LOCAL = 1
_MAJOR, _MINOR = 75, 76
"""CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR."""
_MOST_PARAMETERS = 4096
"""More than any kernel takes: the loop that asks for them must end."""

_calls: dict[int, HostCall] = {}
"""Host functions that a stream or a graph of this process may still call."""


def _call_back(token: int) -> None:
    """What the driver's thread calls; the token is the id of a HostCall."""
    call = _calls[token]
    if not call.is_kept:
        del _calls[token]
    call()


_trampoline = HOST_FUNCTION(_call_back)
"""One C function for all of them, which lives as long as the module does."""


class CtypesBackend:
    """`backend.Backend` over libcuda alone."""

    name = "ctypes"

    def __init__(self, ordinal: int = 0) -> None:
        self._cuda = load_library()
        self._is_dead = False
        self._version = start(self._cuda)
        self._device = self._find(ordinal)
        self._context = self._retain()
        self.make_current()
        self._facts = self._ask(ordinal)
        least, greatest = c_int(), c_int()
        self.check(self._cuda.cuCtxGetStreamPriorityRange(byref(least), byref(greatest)), "asking for priorities")
        self._highest_priority = greatest.value

    @property
    def facts(self) -> DeviceFacts:
        return self._facts

    @property
    def is_dead(self) -> bool:
        return self._is_dead

    @property
    def context(self) -> int:
        """The primary context's CUcontext."""
        return self._context

    def check(self, code: int, what: str) -> None:
        """CudaError unless `code` is 0; remembers that the context is dead."""
        if code == 0:
            return
        self._is_dead = self._is_dead or is_fatal(code)
        words = ctypes.c_char_p()
        self._cuda.cuGetErrorString(code, byref(words))
        check(code, what, self._version, (words.value or b"").decode("utf-8", "replace"))

    # The device.

    def make_current(self) -> None:
        self.check(self._cuda.cuCtxSetCurrent(self._context), "using the GPU's context on this thread")

    def free_bytes(self) -> int:
        free, total = c_size_t(), c_size_t()
        self.check(self._cuda.cuMemGetInfo_v2(byref(free), byref(total)), "asking for the GPU's free memory")
        return free.value

    def synchronize(self) -> None:
        self.check(self._cuda.cuCtxSynchronize(), "waiting for the GPU")

    def close(self) -> None:
        # A dead context cannot be released either; the process is ending, or should be.
        self._cuda.cuDevicePrimaryCtxRelease_v2(self._device)
        current, flags, is_active = c_void_p(), c_uint(), c_int()
        self._cuda.cuDevicePrimaryCtxGetState(self._device, byref(flags), byref(is_active))
        self._cuda.cuCtxGetCurrent(byref(current))
        # Other libraries, or another driver of ours, may hold the same context and count on it on this thread.
        if not is_active.value and current.value == self._context:
            self._cuda.cuCtxSetCurrent(None)

    # Streams and host functions.

    def create_stream(self, high_priority: bool) -> int:
        stream = c_void_p()
        priority = self._highest_priority if high_priority else 0
        self.check(self._cuda.cuStreamCreateWithPriority(byref(stream), NON_BLOCKING, priority), "making a stream")
        return _number(stream)

    def destroy_stream(self, stream: int) -> None:
        self.check(self._cuda.cuStreamDestroy_v2(stream), "closing a stream")

    def wait_event(self, stream: int, event: int) -> None:
        self.check(self._cuda.cuStreamWaitEvent(stream, event, 0), "letting a stream wait for an event")

    def synchronize_stream(self, stream: int) -> None:
        self.check(self._cuda.cuStreamSynchronize(stream), "waiting for a stream")

    def is_stream_done(self, stream: int) -> bool:
        return self._is_done(self._cuda.cuStreamQuery(stream), "asking whether a stream is done")

    def call(self, stream: int, call: HostCall) -> None:
        _calls[id(call)] = call
        code = self._cuda.cuLaunchHostFunc(stream, _trampoline, id(call))
        if code != 0:
            self.forget(call)
            self.check(code, "queueing a function of the host")

    def forget(self, call: HostCall) -> None:
        _calls.pop(id(call), None)

    # Events.

    def create_event(self, timing: bool) -> int:
        event = c_void_p()
        self.check(self._cuda.cuEventCreate(byref(event), 0 if timing else EVENT_DISABLE_TIMING), "making an event")
        return _number(event)

    def destroy_event(self, event: int) -> None:
        self.check(self._cuda.cuEventDestroy_v2(event), "closing an event")

    def record_event(self, event: int, stream: int) -> None:
        self.check(self._cuda.cuEventRecord(event, stream), "recording an event")

    def synchronize_event(self, event: int) -> None:
        self.check(self._cuda.cuEventSynchronize(event), "waiting for an event")

    def is_event_done(self, event: int) -> bool:
        return self._is_done(self._cuda.cuEventQuery(event), "asking whether an event is reached")

    def elapsed_ms(self, since: int, until: int) -> float:
        elapsed = c_float()
        self.check(
            self._cuda.cuEventElapsedTime(byref(elapsed), since, until), "asking for the time between two events"
        )
        return elapsed.value

    # Memory.

    def allocate(self, nbytes: int) -> int:
        pointer = c_ulonglong()
        self.check(self._cuda.cuMemAlloc_v2(byref(pointer), nbytes), "taking memory of the GPU")
        return pointer.value

    def free(self, pointer: int) -> None:
        self.check(self._cuda.cuMemFree_v2(pointer), "giving memory of the GPU back")

    def allocate_pinned(self, nbytes: int) -> int:
        pointer = c_void_p()
        self.check(self._cuda.cuMemHostAlloc(byref(pointer), nbytes, PINNED_PORTABLE), "taking page-locked memory")
        return _number(pointer)

    def free_pinned(self, pointer: int) -> None:
        self.check(self._cuda.cuMemFreeHost(pointer), "giving page-locked memory back")

    def copy_up(self, device: int, host: int, nbytes: int, stream: int) -> None:
        self.check(self._cuda.cuMemcpyHtoDAsync_v2(device, host, nbytes, stream), "a copy to the GPU")

    def copy_down(self, host: int, device: int, nbytes: int, stream: int) -> None:
        self.check(self._cuda.cuMemcpyDtoHAsync_v2(host, device, nbytes, stream), "a copy from the GPU")

    def copy(self, into: int, source: int, nbytes: int, stream: int) -> None:
        self.check(self._cuda.cuMemcpyDtoDAsync_v2(into, source, nbytes, stream), "a copy on the GPU")

    def fill(self, pointer: int, byte: int, nbytes: int, stream: int) -> None:
        self.check(self._cuda.cuMemsetD8Async(pointer, byte, nbytes, stream), "filling memory of the GPU")

    # Kernels.

    def load(self, image: bytes) -> int:
        module = c_void_p()
        # PTX is text and must end with a zero byte; a cubin knows its own length.
        self.check(self._cuda.cuModuleLoadData(byref(module), image + b"\0"), "loading a kernel image")
        return _number(module)

    def unload(self, module: int) -> None:
        self.check(self._cuda.cuModuleUnload(module), "unloading a kernel image")

    def function(self, module: int, name: str) -> int:
        function = c_void_p()
        self.check(self._cuda.cuModuleGetFunction(byref(function), module, name.encode()), f"finding the kernel {name}")
        return _number(function)

    def argument_sizes(self, function: int) -> tuple[int, ...] | None:
        if not hasattr(self._cuda, "cuFuncGetParamInfo"):
            return None
        sizes: list[int] = []
        offset, size = c_size_t(), c_size_t()
        for at in range(_MOST_PARAMETERS):
            if self._cuda.cuFuncGetParamInfo(function, at, byref(offset), byref(size)) != 0:
                break
            sizes.append(size.value)
        # A driver that knows the call and not this image says no to the first one, as it does for a kernel without any.
        return tuple(sizes) or None

    def launch(
        self, function: int, grid: Grid, block: Grid, arguments: ArgumentBlock, *, stream: int, shared_bytes: int
    ) -> None:
        code = self._cuda.cuLaunchKernel(function, *grid, *block, shared_bytes, stream, arguments.address or None, None)
        self.check(code, "launching a kernel")

    # Graphs.

    def begin_capture(self, stream: int) -> None:
        self.check(self._cuda.cuStreamBeginCapture_v2(stream, CAPTURE_THREAD_LOCAL), "beginning to capture a graph")

    def end_capture(self, stream: int) -> int:
        graph = c_void_p()
        self.check(self._cuda.cuStreamEndCapture(stream, byref(graph)), "capturing a graph")
        return _number(graph)

    def count_nodes(self, graph: int) -> int:
        count = c_size_t()
        self.check(self._cuda.cuGraphGetNodes(graph, None, byref(count)), "counting the nodes of a graph")
        return count.value

    def destroy_graph(self, graph: int) -> None:
        self.check(self._cuda.cuGraphDestroy(graph), "closing a graph")

    def instantiate(self, graph: int) -> int:
        executable = c_void_p()
        self.check(self._cuda.cuGraphInstantiateWithFlags(byref(executable), graph, 0), "making a graph ready")
        return _number(executable)

    def launch_graph(self, executable: int, stream: int) -> None:
        self.check(self._cuda.cuGraphLaunch(executable, stream), "launching a graph")

    def destroy_executable(self, executable: int) -> None:
        self.check(self._cuda.cuGraphExecDestroy(executable), "closing a graph")

    # Opening.

    def _find(self, ordinal: int) -> int:
        count, device = c_int(), c_int()
        self.check(self._cuda.cuDeviceGetCount(byref(count)), "counting the GPUs")
        self.check(NO_DEVICE if count.value == 0 else 0, "using a GPU")
        if not 0 <= ordinal < count.value:
            self.check(INVALID_DEVICE, f"using cuda:{ordinal} of {count.value} GPUs (the first is cuda:0)")
        self.check(self._cuda.cuDeviceGet(byref(device), ordinal), f"using cuda:{ordinal}")
        return device.value

    def _retain(self) -> int:
        flags, is_active = c_uint(), c_int()
        state = self._cuda.cuDevicePrimaryCtxGetState(self._device, byref(flags), byref(is_active))
        self.check(state, "asking for the state of the GPU's context")
        # Where another library came first, its flags stay: they cost a core that spins, and nothing else of ours.
        if not is_active.value:
            code = self._cuda.cuDevicePrimaryCtxSetFlags_v2(self._device, SCHED_BLOCKING_SYNC)
            self.check(code, "setting how to wait for the GPU")
        context = c_void_p()
        self.check(self._cuda.cuDevicePrimaryCtxRetain(byref(context), self._device), "making the GPU's context")
        return _number(context)

    def _ask(self, ordinal: int) -> DeviceFacts:
        name = ctypes.create_string_buffer(256)
        total, major, minor = c_size_t(), c_int(), c_int()
        cuda = self._cuda
        self.check(cuda.cuDeviceGetName(name, len(name), self._device), "asking for the GPU's name")
        self.check(cuda.cuDeviceTotalMem_v2(byref(total), self._device), "asking for the GPU's memory")
        for value, attribute in ((major, _MAJOR), (minor, _MINOR)):
            code = cuda.cuDeviceGetAttribute(byref(value), attribute, self._device)
            self.check(code, "asking for the GPU's compute capability")
        return DeviceFacts(
            ordinal=ordinal,
            name=name.value.decode("utf-8", "replace"),
            capability=(major.value, minor.value),
            total_bytes=total.value,
            driver_version=self._version,
        )

    def _is_done(self, code: int, what: str) -> bool:
        if code == NOT_READY:
            return False
        self.check(code, what)
        return True


def _number(handle: c_void_p) -> int:
    """A handle's value; a null pointer is 0."""
    return handle.value or 0
