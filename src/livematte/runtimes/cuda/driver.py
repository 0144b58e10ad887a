"""The driver object: one for every back end, with the rules of threads and of lifetime."""

from __future__ import annotations

import threading
import warnings
from typing import TYPE_CHECKING

import numpy.typing as npt

from livematte.errors import DeviceError, UsageError
from livematte.runtimes.cuda.backend import Backend
from livematte.runtimes.cuda.base import DeviceFacts, Shape
from livematte.runtimes.cuda.errors import CudaError
from livematte.runtimes.cuda.memory import CudaArray, CudaPinned, checked_layout
from livematte.runtimes.cuda.modules import CudaModule
from livematte.runtimes.cuda.resources import PINNED, Reclaimer, Resource
from livematte.runtimes.cuda.streams import CudaEvent, CudaStream

if TYPE_CHECKING:
    from livematte.runtimes.cuda.graphs import Capture

OUT_OF_MEMORY = 2
"""CUDA's code."""
_MEGABYTE = 1_000_000


_kept: list[Backend] = []
"""Back ends whose page-locked memory NumPy still looked at when the driver was closed. A view must not dangle, so they
stay open until the process ends; the ResourceWarning, or the array that was closed too early, says where."""


class _Here(threading.local):
    """What a thread knows of a driver."""

    is_current = False
    capture: Capture | None = None


class CudaDriver:
    """`base.Driver` over a back end, which it owns. Opened by `choice.open_driver`, on the thread that may use it."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._here = _Here()
        self._is_closed = False
        self._closing = threading.Lock()
        self._streams: dict[int, None] = {0: None}
        self._reclaimer = Reclaimer(backend, lambda: list(self._streams))
        self._legacy = CudaStream(self, 0, None)
        self.make_current()

    @property
    def name(self) -> str:
        return self._backend.name

    @property
    def device(self) -> DeviceFacts:
        return self._backend.facts

    @property
    def legacy_stream(self) -> CudaStream:
        return self._legacy

    @property
    def backend(self) -> Backend:
        """What carries out the calls."""
        return self._backend

    @property
    def reclaimer(self) -> Reclaimer:
        """What gives things back."""
        return self._reclaimer

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._is_closed

    @property
    def is_dead(self) -> bool:
        """Whether CUDA reported an error after which only a new process helps."""
        return self._backend.is_dead

    @property
    def capture(self) -> Capture | None:
        """The capture that this thread is in."""
        return self._here.capture

    @capture.setter
    def capture(self, capture: Capture | None) -> None:
        self._here.capture = capture

    def make_current(self) -> None:
        self._refuse_closed()
        if not self._here.is_current:
            self._backend.make_current()
            self._here.is_current = True

    def use(self) -> None:
        """DeviceError unless the driver is open and this thread may use it."""
        self._refuse_closed()
        if not self._here.is_current:
            raise DeviceError(
                f"the thread '{threading.current_thread().name}' used CUDA without its context: call make_current() of "
                "the driver once on each thread that uses it."
            )

    def stream(self, *, high_priority: bool = False) -> CudaStream:
        self.use()
        handle = self._backend.create_stream(high_priority)
        self._streams[handle] = None

        def give_back() -> None:
            self._streams.pop(handle, None)
            self._backend.destroy_stream(handle)

        return CudaStream(self, handle, self._reclaimer.new("stream", give_back))

    def event(self, *, timing: bool = False) -> CudaEvent:
        self.use()
        handle = self._backend.create_event(timing)
        resource = self._reclaimer.new("event", lambda: self._backend.destroy_event(handle))
        return CudaEvent(self, handle, resource, timing=timing)

    def array(self, shape: Shape, dtype: npt.DTypeLike) -> CudaArray:
        layout = checked_layout(shape, dtype)
        self._refuse_capture("memory of the device cannot be taken")
        pointer = self._allocate(layout[2])
        resource = self._reclaimer.new("array", lambda: self._backend.free(pointer), layout[2])
        return CudaArray(self, pointer, layout, resource=resource)

    def view(self, pointer: int, shape: Shape, dtype: npt.DTypeLike, owner: object) -> CudaArray:
        self.use()
        layout = checked_layout(shape, dtype)
        if not 0 < pointer < 1 << 64:
            raise UsageError(f"a view needs the address of memory of the device; given was {pointer}.")
        # The owner goes as memory of ours would: when every stream has passed what used the view.
        kept = [owner]
        return CudaArray(self, pointer, layout, resource=self._reclaimer.new("view", kept.clear), owner=owner)

    def pinned(self, shape: Shape, dtype: npt.DTypeLike) -> CudaPinned:
        layout = checked_layout(shape, dtype)
        self._refuse_capture("page-locked memory cannot be taken")
        self._reclaimer.collect()
        pointer = self._backend.allocate_pinned(layout[2])
        resource = self._reclaimer.new(PINNED, lambda: self._backend.free_pinned(pointer), layout[2])
        return CudaPinned(self, pointer, layout, resource)

    def module(self, image: bytes) -> CudaModule:
        self._refuse_capture("a kernel image cannot be loaded")
        handle = self._backend.load(image)
        return CudaModule(self, handle, self._reclaimer.new("module", lambda: self._backend.unload(handle)))

    def free_bytes(self) -> int:
        self.use()
        self._reclaimer.collect()
        return self._backend.free_bytes()

    def synchronize(self) -> None:
        self.use()
        if self._reclaimer.is_capturing:
            raise DeviceError("the device cannot be waited for while a graph is being captured: end the capture first.")
        self._backend.synchronize()
        self._reclaimer.collect()

    def collect(self) -> None:
        """Give back what is closed and no longer used, if this thread may; see Note [Giving back]."""
        if not self._is_closed and self._here.is_current:
            self._reclaimer.collect()

    def close(self) -> None:
        if self.capture is not None:
            raise DeviceError("the CUDA driver was closed inside a capture: end the capture first.")
        with self._closing:
            if self._is_closed:
                return
            self.make_current()
            try:
                if not self._backend.is_dead:
                    self._backend.synchronize()
            except CudaError:
                # What failed was reported where it was used; closing goes on with what still can be given back.
                if not self._backend.is_dead:
                    raise
            finally:
                self._is_closed = True
                self._here.is_current = False
                left = self._reclaimer.drain()
                if self._reclaimer.has_views:
                    _kept.append(self._backend)
                else:
                    self._backend.close()
        _say_left(left)

    def _allocate(self, nbytes: int) -> int:
        self._reclaimer.collect()
        try:
            return self._backend.allocate(nbytes)
        except CudaError as error:
            if error.code != OUT_OF_MEMORY or self._reclaimer.is_capturing:
                raise
        # What was closed a moment ago may still wait for its stream: let it come in, and try once more.
        self._backend.synchronize()
        self._reclaimer.collect()
        try:
            return self._backend.allocate(nbytes)
        except CudaError as error:
            if error.code != OUT_OF_MEMORY:
                raise
            facts = self.device
            free = self._backend.free_bytes() / _MEGABYTE
            raise CudaError(
                f"{nbytes / _MEGABYTE:,.1f} MB do not fit on cuda:{facts.ordinal} ({facts.name}): {free:,.0f} MB of "
                f"{facts.total_bytes / _MEGABYTE:,.0f} are free. {error}",
                OUT_OF_MEMORY,
            ) from error

    def _refuse_closed(self) -> None:
        if self._is_closed:
            raise DeviceError("the CUDA driver was used after it was closed.")

    def _refuse_capture(self, what: str) -> None:
        self.use()
        if self.capture is not None:
            raise DeviceError(f"{what} while this thread captures a graph: do it before the capture begins.")


def _say_left(left: list[Resource]) -> None:
    """ResourceWarning for what its makers should have closed; streams, events and modules cost next to nothing."""
    heavy = [resource for resource in left if resource.nbytes or resource.what == "graph"]
    if not heavy:
        return
    kinds = sorted({resource.what for resource in heavy})
    counts = ", ".join(f"{sum(resource.what == kind for resource in heavy)} of kind '{kind}'" for kind in kinds)
    megabytes = sum(resource.nbytes for resource in heavy) / _MEGABYTE
    warnings.warn(
        f"the CUDA driver was closed while something of it was still open: {counts}, {megabytes:,.1f} MB. Close them "
        "before the driver.",
        ResourceWarning,
        stacklevel=3,
    )
