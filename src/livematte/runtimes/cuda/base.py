"""What every CUDA back end owes: a driver with streams, events, arrays, modules, and kernels that launch on streams.

The rules are the same for all of them and one contract suite holds them to it:

* **Threads.** The thread that opens a driver may use it; every other thread calls `Driver.make_current` once before
  its first use. A call from a thread that did not is a `DeviceError` of ours.
* **Order.** Work on one stream runs in the order it was given. Two streams know nothing of each other, and the legacy
  stream knows nothing of them either, until one waits for an event that the other recorded.
* **Lifetime.** `close` may be called twice, from any thread, at any time. What a stream still uses is not lost: memory
  is given back only when everything that was queued on every stream at the time of `close` has run, and a graph
  keeps the arrays that it was captured with. Using a closed thing is a `DeviceError`.
* **Errors.** Everything raises `DeviceError` (exit code 5) with what CUDA said in words (`errors.py`). Work on a device
  fails late: an error may be that of an earlier call on any stream.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

Shape: TypeAlias = tuple[int, ...]
Grid: TypeAlias = tuple[int, int, int]
HostArray: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """What is known of a device when it is opened."""

    ordinal: int
    """Its number, counted as `CUDA_VISIBLE_DEVICES` leaves it: the N of `cuda:N`."""
    name: str
    """`NVIDIA H100 80GB HBM3`; the null driver says `host memory`."""
    capability: tuple[int, int]
    """Compute capability, (9, 0) for sm_90; the null driver says (0, 0)."""
    total_bytes: int
    """Memory of the device."""
    driver_version: int
    """The newest CUDA that the installed driver can run, as CUDA numbers it: 13010 is 13.1. The null driver says 0."""


@runtime_checkable
class Stream(Protocol):
    """A queue of work on the device. It never waits for the legacy stream (it is made non-blocking).

    Other libraries take it by `handle`, or as an object that has `__cuda_stream__`.
    """

    @property
    def handle(self) -> int:
        """The driver's CUstream as a number; 0 is the legacy stream."""

    def __cuda_stream__(self) -> tuple[int, int]:
        """(0, handle): the protocol by which cuda-core and other libraries take foreign streams."""

    def wait(self, event: Event) -> None:
        """What is queued from here on runs after `event`, as it was last recorded. The host does not wait.

        An event that was never recorded holds nothing up. During a capture, waiting for an event that was recorded
        in it brings this stream into the capture; waiting for any other event is a DeviceError.
        """

    def call(self, function: Callable[[], None]) -> None:
        """Queue a function of the host: it runs on some thread when the stream reaches it, which then goes on.

        The function must not call CUDA. A capture records it, and each launch of the graph calls it again. What it
        raises is raised as a DeviceError by the next `synchronize` of the stream it ran on.
        """

    def synchronize(self) -> None:
        """The host waits until everything queued has run. DeviceError for what failed, and during a capture."""

    def is_done(self) -> bool:
        """Whether everything queued has run; does not wait. DeviceError during a capture."""

    def close(self) -> None:
        """Give the stream back once what is queued has run; the host does not wait. The legacy stream stays open."""


@runtime_checkable
class Event(Protocol):
    """A mark in a stream that other streams and the host can wait for. Recording again moves the mark."""

    @property
    def handle(self) -> int:
        """The driver's CUevent as a number."""

    def record(self, stream: Stream) -> None:
        """Mark what is queued on `stream` up to here."""

    def synchronize(self) -> None:
        """The host waits until the last mark is reached; at once if there is none. DeviceError in a capture."""

    def is_done(self) -> bool:
        """Whether the last mark is reached (True if there is none); does not wait."""

    def elapsed_ms(self, since: Event) -> float:
        """Milliseconds between the mark of `since` and that of this event, both made with `timing=True` and reached.

        DeviceError says which of the two does not keep time, was never recorded or is not reached yet.
        """

    def close(self) -> None:
        """Give the event back. Streams that wait for it still do. Twice is harmless."""


@runtime_checkable
class PinnedArray(Protocol):
    """Page-locked host memory: copies both ways without the host waiting. Fresh memory holds anything."""

    @property
    def array(self) -> HostArray:
        """The memory as an array, C-contiguous. DeviceError after `close`; views made before stay good."""

    @property
    def pointer(self) -> int:
        """Address of the first byte."""

    @property
    def nbytes(self) -> int: ...

    def close(self) -> None:
        """Give the memory back, once no stream can use it and no view of `array` lives. Twice is harmless."""


@runtime_checkable
class DeviceArray(Protocol):
    """Memory of the device with a shape and a dtype, C-contiguous, 256-byte aligned. Fresh memory holds anything.

    Other libraries take it by `pointer` or by `__cuda_array_interface__` (version 3, without a stream: whoever takes
    it orders its own work after ours by an event).
    """

    @property
    def pointer(self) -> int:
        """Device address of the first element. DeviceError after `close`."""

    @property
    def shape(self) -> Shape: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    @property
    def nbytes(self) -> int: ...

    @property
    def __cuda_array_interface__(self) -> Mapping[str, Any]: ...

    def upload(self, source: HostArray | PinnedArray, stream: Stream) -> None:
        """Queue a copy from host memory of the same shape and dtype, C-contiguous; UsageError says what differs.

        From a PinnedArray the host does not wait, and the memory must not change until the copy is done. From an
        ordinary array the host waits for the copy (and all before it); it cannot be part of a capture (DeviceError).
        """

    def download(self, into: HostArray | PinnedArray, stream: Stream) -> None:
        """Queue a copy to host memory of the same shape and dtype, C-contiguous and writable.

        Into a PinnedArray the host does not wait: the values are there once the stream has passed this point. Into an
        ordinary array the host waits; it cannot be part of a capture (DeviceError).
        """

    def copy_from(self, other: DeviceArray, stream: Stream) -> None:
        """Queue a copy of another array of this device, same shape and dtype."""

    def fill(self, byte: int, stream: Stream) -> None:
        """Queue a fill: each byte of the array becomes `byte`, 0 to 255."""

    def close(self) -> None:
        """Give the memory back, as soon as no stream and no graph can use it any more. Twice is harmless."""


Argument: TypeAlias = np.generic | DeviceArray | int
"""A kernel's argument: a NumPy scalar by value in the kernel's exact type, an array (its address), or an int, which is
a 64-bit address. Python floats and bools are refused: their width would be a guess."""


class Kernel(Protocol):
    """A function of a module."""

    @property
    def name(self) -> str: ...

    def launch(
        self, grid: Grid, block: Grid, arguments: Sequence[Argument], stream: Stream, *, shared_bytes: int = 0
    ) -> None:
        """Queue one run of `grid` blocks of `block` threads, with `shared_bytes` of dynamic shared memory a block.

        Values are copied before this returns. Number and sizes of the arguments are checked where the image tells
        them (UsageError); no side of grid or block may be 0, a block has at most 1,024 threads and 48 kB of shared
        memory (UsageError).
        """


class Module(Protocol):
    """A loaded kernel image."""

    def function(self, name: str) -> Kernel:
        """The kernel of this name (extern "C"). DeviceError where the image has none."""

    def close(self) -> None:
        """Unload the image, once no stream can use it any more; kernels and graphs made from it are then unusable."""


class Driver(Protocol):
    """An open device. One a process and device is enough; its context is the primary one, which others share."""

    @property
    def name(self) -> str:
        """The back end's registry name: `cuda-core`, `pycuda`, `null`."""

    @property
    def device(self) -> DeviceFacts: ...

    @property
    def legacy_stream(self) -> Stream:
        """Stream 0, where libraries that know no streams (FFmpeg's decoder) put their work. It cannot be captured."""

    def make_current(self) -> None:
        """Let this thread use the driver. Cheap when repeated; needed again after `close` and a new opening."""

    def stream(self, *, high_priority: bool = False) -> Stream:
        """A new non-blocking stream; with `high_priority` at the highest priority that the device has."""

    def event(self, *, timing: bool = False) -> Event:
        """A new event; without `timing` it only orders, and costs less."""

    def array(self, shape: Shape, dtype: npt.DTypeLike) -> DeviceArray:
        """New memory on the device. DeviceError where it does not fit, with what is free; not during a capture."""

    def view(self, pointer: int, shape: Shape, dtype: npt.DTypeLike, owner: object) -> DeviceArray:
        """An array over memory that is someone else's, or a part of one of ours; closing it frees nothing.

        `owner` is kept alive until the view is closed and every stream has passed what used it; so is it by a graph
        that was captured with the view.
        """

    def pinned(self, shape: Shape, dtype: npt.DTypeLike) -> PinnedArray:
        """New page-locked memory on the host. Not during a capture."""

    def module(self, image: bytes) -> Module:
        """Load a kernel image: a cubin or PTX; for the null driver `LMSHIM\\0` + path of a shared library + `\\0`.

        DeviceError where the image is not for this device.
        """

    def free_bytes(self) -> int:
        """Device memory that is free now."""

    def synchronize(self) -> None:
        """The host waits for everything on the device. DeviceError for what failed, and during a capture."""

    def close(self) -> None:
        """Wait for the device, give back whatever is still open, and let the context go. Twice is harmless.

        Arrays and graphs that are still open are said in a ResourceWarning, with their number and size: whoever made
        them should have closed them. They cannot be used any more.
        """
