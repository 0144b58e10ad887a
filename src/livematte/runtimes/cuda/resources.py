"""Giving things back at the right time: after the streams that may still use them, and after every other holder.

Note [Giving back]. `close` does not know which kernels still read an array: a foreign library may have queued them on
our stream by its number. So nothing is freed at once. What is closed, or dropped by everybody, is put on a list; at the
next chance an event is recorded on every open stream that is not idle, and the thing is freed once all of these events
are reached. The host never waits for it. Nothing happens while a graph is being captured, because an event that is
recorded on a captured stream becomes a part of the graph.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from livematte.errors import DeviceError
from livematte.runtimes.cuda.backend import Backend
from livematte.runtimes.cuda.errors import CudaError

if TYPE_CHECKING:
    from livematte.runtimes.cuda.driver import CudaDriver


PINNED = "page-locked array"
"""What the resource of a PinnedArray is called."""


class Resource:
    """Something that was taken from the driver, and is given back when its last holder lets go of it."""

    __slots__ = ("_give_back", "holders", "is_returned", "nbytes", "what")

    def __init__(self, what: str, give_back: Callable[[], None], nbytes: int = 0) -> None:
        self.what = what
        """`array`, `graph`...: for messages."""
        self.nbytes = nbytes
        self.holders = 1
        self.is_returned = False
        """Whether its owner closed it; a graph may hold it still."""
        self._give_back = give_back

    def give_back(self) -> None:
        """Return it to the driver, now."""
        self._give_back()


class _Fence:
    """Resources that wait for events on all streams."""

    __slots__ = ("events", "resources")

    def __init__(self, events: list[int], resources: list[Resource]) -> None:
        self.events = events
        self.resources = resources


class Reclaimer:
    """The list of what is to be given back, and when; see Note [Giving back].

    `streams` gives the handles of every open stream. `give` may be called from any thread, by the garbage collector
    too, and takes no lock: a collector that interrupts this very class must not wait for itself.
    """

    def __init__(self, backend: Backend, streams: Callable[[], Iterable[int]]) -> None:
        self._backend = backend
        self._streams = streams
        self._lock = threading.Lock()
        self._captures = 0
        self._returned: deque[Resource] = deque()
        self._fences: list[_Fence] = []
        self._live: dict[int, Resource] = {}

    @property
    def is_capturing(self) -> bool:
        """Whether any thread captures a graph."""
        return self._captures > 0

    def new(self, what: str, give_back: Callable[[], None], nbytes: int = 0) -> Resource:
        """Enter something that was just taken from the driver."""
        resource = Resource(what, give_back, nbytes)
        self._live[id(resource)] = resource
        return resource

    def hold(self, resource: Resource) -> None:
        """One holder more; `give` lets go."""
        with self._lock:
            resource.holders += 1

    def give(self, resource: Resource) -> None:
        """One holder less. The resource goes back at one of the next calls of `collect`."""
        self._returned.append(resource)

    def give_up(self, resource: Resource) -> None:
        """`give`, by the owner: closed, or dropped."""
        resource.is_returned = True
        self._returned.append(resource)

    def begin_capture(self) -> None:
        """From here on nothing is given back."""
        with self._lock:
            self._captures += 1

    def end_capture(self) -> None:
        """The capture is over; what was closed meanwhile may go."""
        with self._lock:
            self._captures -= 1

    def collect(self) -> None:
        """Give back what nothing can use any more. Does not wait, not for another thread that is at it either.

        Called on threads where the context is current.
        """
        if not (self._returned or self._fences) or not self._lock.acquire(blocking=False):
            return
        try:
            if self._captures == 0:
                self._advance()
        except CudaError:
            # A dead context gives nothing back, and has been reported by the call that found it dead.
            if not self._backend.is_dead:
                raise
        finally:
            self._lock.release()

    def drain(self) -> list[Resource]:
        """Give back everything, newest first, after the whole device was waited for. Returns what nobody had closed.

        Page-locked memory that NumPy still looks at is left alone: a read of freed memory would end the process.
        """
        with self._lock:
            self._let_go()
            left = [resource for resource in self._live.values() if not resource.is_returned]
            for fence in self._fences:
                self._destroy(fence.events)
            self._fences.clear()
            for resource in reversed(list(self._live.values())):
                if resource.what != PINNED or resource.holders == 0:
                    self._free(resource)
            # The graphs among them let go of their arrays once more, which are gone by now.
            self._returned.clear()
        return left

    @property
    def has_views(self) -> bool:
        """Whether page-locked memory is still looked at, after `drain`."""
        return bool(self._live)

    def _advance(self) -> None:
        while True:
            free = self._let_go()
            if free:
                self._fences.append(_Fence(self._record_everywhere(), free))
            for fence in list(self._fences):
                if all(self._backend.is_event_done(event) for event in fence.events):
                    self._fences.remove(fence)
                    self._destroy(fence.events)
                    for resource in fence.resources:
                        self._free(resource)
            # A graph that went lets go of its arrays: they come back to the list here.
            if not self._returned:
                return

    def _let_go(self) -> list[Resource]:
        free: list[Resource] = []
        while self._returned:
            resource = self._returned.popleft()
            resource.holders -= 1
            if resource.holders == 0:
                free.append(resource)
        return free

    def _record_everywhere(self) -> list[int]:
        events: list[int] = []
        for stream in self._streams():
            if not self._backend.is_stream_done(stream):
                event = self._backend.create_event(False)
                self._backend.record_event(event, stream)
                events.append(event)
        return events

    def _destroy(self, events: list[int]) -> None:
        if not self._backend.is_dead:
            for event in events:
                self._backend.destroy_event(event)

    def _free(self, resource: Resource) -> None:
        if self._live.pop(id(resource), None) is not None and not self._backend.is_dead:
            resource.give_back()


class Owned:
    """One of the driver's things in a user's hands: closed by hand, or when nobody refers to it any more."""

    __slots__ = ("__weakref__", "_driver", "_finalizer", "_resource")
    _what = "object"
    """For messages: `the stream is closed`."""

    def __init__(self, driver: CudaDriver, resource: Resource | None) -> None:
        self._driver = driver
        self._resource = resource
        self._finalizer: weakref.finalize[..., Owned] | None = None
        if resource is not None:
            self._finalizer = weakref.finalize(self, driver.reclaimer.give_up, resource)
            # At the interpreter's end the driver is gone in any order; the system takes everything back.
            self._finalizer.atexit = False

    @property
    def driver(self) -> CudaDriver:
        """The driver it was made by."""
        return self._driver

    @property
    def resource(self) -> Resource | None:
        """What it holds; None after `close`, and for things that own nothing."""
        return self._resource

    @property
    def is_closed(self) -> bool:
        """Whether it was closed, by itself or with its driver."""
        return self._resource is None or self._driver.is_closed

    def use(self) -> None:
        """DeviceError unless this thread may use it, and it is open."""
        self._driver.use()
        if self.is_closed:
            raise DeviceError(
                f"the {self._what} was used after it was closed. Close it when nothing needs it any more."
            )

    def close(self) -> None:
        """Give it back. Twice is harmless; so is any thread, and any order."""
        resource, self._resource = self._resource, None
        if resource is not None and self._finalizer is not None and self._finalizer.detach() is not None:
            self._driver.reclaimer.give_up(resource)
            self._driver.collect()
