"""The back end without a device: host memory, kernels that were compiled for the processor, streams by `simulator`.

For tests, and for the whole device path on machines without a GPU; chosen by name only. Kernel images are the bytes
`LMSHIM\\0` + path of a shared library + `\\0`; a kernel K in it is the C function `K__run(gx, gy, gz, bx, by, bz,
shared_bytes, void** args)`, and `K__sizes`, where it exists, lists the bytes of its arguments, ended by a 0.
"""

from __future__ import annotations

import ctypes

from livematte.errors import DeviceError
from livematte.runtimes.cuda.arguments import ArgumentBlock
from livematte.runtimes.cuda.backend import HostCall
from livematte.runtimes.cuda.base import DeviceFacts, Grid
from livematte.runtimes.cuda.driver import CudaDriver
from livematte.runtimes.cuda.errors import CudaError, check, is_fatal
from livematte.runtimes.cuda.host_memory import HostMemory, fill, move
from livematte.runtimes.cuda.simulator import Node, SimulatedEvent, Simulator

IMAGE_MAGIC = b"LMSHIM\0"
INVALID_DEVICE = 101
INVALID_IMAGE = 200
NOT_FOUND = 500
TOTAL_BYTES = 8_000_000_000
_POINTER_BYTES = 8
_POISONS = (0xFF, 0xFE, 0x7F, 0xA9)
"""As float16 NaN, NaN, NaN and a small number; as float32 NaN, -1.7e38, 3.4e38 and a small number."""


def open_null(ordinal: int = 0, *, seed: int | None = None, total_bytes: int = TOTAL_BYTES) -> CudaDriver:
    """A driver over host memory. With a `seed`, work runs late and in a random order that events permit.

    `total_bytes` is the memory that the device pretends to have. DeviceError for any ordinal but 0.
    """
    check(INVALID_DEVICE if ordinal != 0 else 0, f"using device {ordinal} of the null driver, which has one,")
    return CudaDriver(NullBackend(seed, total_bytes))


class NullBackend:
    """`backend.Backend` over host memory."""

    name = "null"

    def __init__(self, seed: int | None = None, total_bytes: int = TOTAL_BYTES) -> None:
        at = seed or 0
        fresh = _POISONS[at % len(_POISONS)]
        self._memory = HostMemory(total_bytes, fresh=fresh, freed=_POISONS[(at + 1) % len(_POISONS)])
        self._simulator = Simulator(seed)
        self._events: dict[int, SimulatedEvent] = {}
        self._libraries: dict[int, ctypes.CDLL] = {}
        self._functions: dict[int, tuple[ctypes.CDLL, str]] = {}
        self._graphs: dict[int, list[Node]] = {}
        self._last_handle = 0

    @property
    def facts(self) -> DeviceFacts:
        return DeviceFacts(0, "host memory", (0, 0), self._memory.total_bytes, 0)

    @property
    def is_dead(self) -> bool:
        return is_fatal(self._simulator.fault_code)

    # The device.

    def make_current(self) -> None:
        """Every thread reaches the host's memory; the driver object keeps the rule."""

    def free_bytes(self) -> int:
        return self._memory.free_bytes

    def synchronize(self) -> None:
        with self._simulator.entered("waiting for the device"):
            self._simulator.finish_all()

    def close(self) -> None:
        self._memory.close()
        if self._memory.problems:
            raise DeviceError(f"memory of the null driver was misused: {'; '.join(self._memory.problems)}.")

    # Streams and host functions.

    def create_stream(self, high_priority: bool) -> int:
        with self._simulator.entered("making a stream"):
            return self._simulator.new_stream()

    def destroy_stream(self, stream: int) -> None:
        with self._simulator.entered("closing a stream"):
            self._simulator.drop_stream(stream)

    def wait_event(self, stream: int, event: int) -> None:
        with self._simulator.entered("letting a stream wait for an event"):
            self._simulator.wait(stream, self._events[event])

    def synchronize_stream(self, stream: int) -> None:
        with self._simulator.entered("waiting for a stream"):
            self._simulator.finish_stream(stream)

    def is_stream_done(self, stream: int) -> bool:
        with self._simulator.entered("asking whether a stream is done"):
            return self._simulator.is_stream_done(stream)

    def call(self, stream: int, call: HostCall) -> None:
        with self._simulator.entered("queueing a function of the host"):
            self._simulator.push(stream, call)

    def forget(self, call: HostCall) -> None:
        """The queue or graph that holds the call is its only holder."""

    # Events.

    def create_event(self, timing: bool) -> int:
        with self._simulator.entered("making an event"):
            handle = self._new_handle()
            self._events[handle] = SimulatedEvent()
            return handle

    def destroy_event(self, event: int) -> None:
        with self._simulator.entered("closing an event"):
            del self._events[event]

    def record_event(self, event: int, stream: int) -> None:
        with self._simulator.entered("recording an event"):
            self._simulator.record(self._events[event], stream)

    def synchronize_event(self, event: int) -> None:
        with self._simulator.entered("waiting for an event"):
            self._simulator.finish_event(self._events[event])

    def is_event_done(self, event: int) -> bool:
        with self._simulator.entered("asking whether an event is reached"):
            return self._simulator.is_event_done(self._events[event])

    def elapsed_ms(self, since: int, until: int) -> float:
        return (self._events[until].stamp - self._events[since].stamp) * 1000.0

    # Memory.

    def allocate(self, nbytes: int) -> int:
        with self._simulator.entered("taking memory"):
            return self._memory.allocate(nbytes)

    def free(self, pointer: int) -> None:
        with self._simulator.entered("giving memory back"):
            self._memory.free(pointer)

    def allocate_pinned(self, nbytes: int) -> int:
        with self._simulator.entered("taking page-locked memory"):
            return self._memory.allocate(nbytes, is_pinned=True)

    def free_pinned(self, pointer: int) -> None:
        with self._simulator.entered("giving page-locked memory back"):
            self._memory.free(pointer, is_pinned=True)

    def copy_up(self, device: int, host: int, nbytes: int, stream: int) -> None:
        self._queue_copy(device, host, nbytes, stream)

    def copy_down(self, host: int, device: int, nbytes: int, stream: int) -> None:
        self._queue_copy(host, device, nbytes, stream)

    def copy(self, into: int, source: int, nbytes: int, stream: int) -> None:
        self._queue_copy(into, source, nbytes, stream)

    def fill(self, pointer: int, byte: int, nbytes: int, stream: int) -> None:
        def run() -> None:
            self._memory.refuse_freed(pointer, nbytes, "a fill")
            fill(pointer, byte, nbytes)

        with self._simulator.entered("filling memory"):
            self._simulator.push(stream, run)

    # Kernels.

    def load(self, image: bytes) -> int:
        path, end, _ = image.removeprefix(IMAGE_MAGIC).partition(b"\0")
        what = "loading a kernel image"
        if not image.startswith(IMAGE_MAGIC) or not end:
            check(INVALID_IMAGE, f"{what} (the null driver takes libraries for the processor only)")
        try:
            library = ctypes.CDLL(path.decode())
        except (OSError, UnicodeDecodeError) as error:
            raise CudaError(f"{what} failed: {error}. Build it again.", INVALID_IMAGE) from error
        with self._simulator.entered(what):
            handle = self._new_handle()
            self._libraries[handle] = library
            return handle

    def unload(self, module: int) -> None:
        with self._simulator.entered("unloading a kernel image"):
            library = self._libraries.pop(module)
            self._functions = {at: entry for at, entry in self._functions.items() if entry[0] is not library}

    def function(self, module: int, name: str) -> int:
        library = self._libraries[module]
        check(0 if hasattr(library, f"{name}__run") else NOT_FOUND, f"finding the kernel {name}")
        with self._simulator.entered(f"finding the kernel {name}"):
            handle = self._new_handle()
            self._functions[handle] = (library, name)
            return handle

    def argument_sizes(self, function: int) -> tuple[int, ...] | None:
        library, name = self._functions[function]
        try:
            first = ctypes.c_uint.in_dll(library, f"{name}__sizes")
        except ValueError:
            return None
        table = ctypes.cast(ctypes.byref(first), ctypes.POINTER(ctypes.c_uint))
        sizes: list[int] = []
        while table[len(sizes)]:
            sizes.append(table[len(sizes)])
        return tuple(sizes)

    def launch(
        self, function: int, grid: Grid, block: Grid, arguments: ArgumentBlock, *, stream: int, shared_bytes: int
    ) -> None:
        library, name = self._functions[function]
        kernel = ctypes.CFUNCTYPE(None, *(ctypes.c_uint,) * 7, ctypes.c_void_p)((f"{name}__run", library))

        def run() -> None:
            for pointer, size in zip(arguments.pointers, arguments.sizes, strict=True):
                if size == _POINTER_BYTES and pointer is not None:
                    value = ctypes.c_uint64.from_address(pointer).value
                    self._memory.refuse_freed(value, 1, f"a use by the kernel {name}")
            kernel(*grid, *block, shared_bytes, arguments.address)

        with self._simulator.entered("launching a kernel"):
            self._simulator.push(stream, run)

    # Graphs.

    def begin_capture(self, stream: int) -> None:
        with self._simulator.entered("beginning to capture a graph"):
            self._simulator.begin(stream)

    def end_capture(self, stream: int) -> int:
        with self._simulator.entered("capturing a graph"):
            nodes = self._simulator.end(stream)
            handle = self._new_handle()
            self._graphs[handle] = nodes
            return handle

    def count_nodes(self, graph: int) -> int:
        return len(self._graphs[graph])

    def destroy_graph(self, graph: int) -> None:
        del self._graphs[graph]

    def instantiate(self, graph: int) -> int:
        handle = self._new_handle()
        self._graphs[handle] = self._graphs[graph]
        return handle

    def launch_graph(self, executable: int, stream: int) -> None:
        with self._simulator.entered("launching a graph"):
            self._simulator.launch(self._graphs[executable], stream)

    def destroy_executable(self, executable: int) -> None:
        del self._graphs[executable]

    def _queue_copy(self, into: int, source: int, nbytes: int, stream: int) -> None:
        def run() -> None:
            self._memory.refuse_freed(source, nbytes, "a copy")
            self._memory.refuse_freed(into, nbytes, "a copy")
            move(into, source, nbytes)

        with self._simulator.entered("a copy"):
            self._simulator.push(stream, run)

    def _new_handle(self) -> int:
        self._last_handle += 1
        return self._last_handle
