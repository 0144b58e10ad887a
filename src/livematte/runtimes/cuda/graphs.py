"""Graphs: work that is captured once and launched again and again, with one call for all of it.

Capture is in thread-local mode: what other threads do meanwhile (allocate, wait, decode) neither joins nor spoils it.
What a graph replays are the very addresses it was captured with, so it holds the arrays it met; what changes from
launch to launch must lie in the memory of the device.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from livematte.errors import DeviceError, UsageError
from livematte.runtimes.cuda.backend import Backend, HostCall
from livematte.runtimes.cuda.base import Driver, Stream
from livematte.runtimes.cuda.driver import CudaDriver
from livematte.runtimes.cuda.memory import CudaArray, CudaPinned
from livematte.runtimes.cuda.resources import Owned, Reclaimer, Resource
from livematte.runtimes.cuda.streams import CudaStream, own_stream


@contextmanager
def capture(driver: Driver, stream: Stream) -> Iterator[Capture]:
    """Record what is queued on `stream` instead of running it: `with capture(driver, stream) as recording: ...`.

    Other streams come in when they wait for an event that was recorded inside, and must be joined again before the end
    by an event that `stream` (at last) waits for. `recording.finish()`, after the block or as its last statement, gives
    the graph. An exception inside ends the capture and passes on; nothing of it stays.

    DeviceError for the legacy stream, inside another capture of this thread, and for a stream that is being captured.
    """
    if not isinstance(driver, CudaDriver):
        raise UsageError("capture takes a driver that was opened by open_driver().")
    recording = Capture(driver, own_stream(stream, driver))
    try:
        yield recording
    except BaseException:
        recording.abandon()
        raise
    recording.end()


class Capture:
    """A capture under way. Made by `capture`; belongs to one thread."""

    def __init__(self, driver: CudaDriver, stream: CudaStream) -> None:
        if stream.is_legacy:
            raise DeviceError("the legacy stream cannot be captured: use one that driver.stream() made.")
        if driver.capture is not None:
            raise DeviceError("this thread captures a graph already: end that capture first.")
        stream.refuse_capture("cannot be captured twice")
        self._driver = driver
        self._origin = stream
        self._thread = threading.get_ident()
        self._streams: list[CudaStream] = []
        self._resources: dict[int, Resource] = {}
        self._template = 0
        self._is_finished = False
        self.is_over = False
        """Whether the stream runs again."""
        self.calls: list[HostCall] = []
        """Functions of the host that are part of the graph."""
        driver.reclaimer.begin_capture()
        try:
            driver.backend.begin_capture(stream.handle)
        except BaseException:
            driver.reclaimer.end_capture()
            raise
        driver.capture = self
        self.add(stream)

    def add(self, stream: CudaStream) -> None:
        """The stream is a part of this capture from here on. DeviceError for the legacy one, or another capture's."""
        if stream.is_legacy:
            raise DeviceError("the legacy stream cannot be a part of a capture: use one that driver.stream() made.")
        if stream.capture is None:
            stream.capture = self
            self._streams.append(stream)
        elif stream.capture is not self:
            raise DeviceError("two captures cannot be mixed: one's stream waits for an event of the other.")

    def keep(self, thing: object) -> None:
        """The graph uses this: hold it, and for a view, the array that it is a part of."""
        resource = thing.resource if isinstance(thing, Owned | CudaPinned) else None
        if resource is not None and id(resource) not in self._resources:
            self._resources[id(resource)] = resource
            self._driver.reclaimer.hold(resource)
        if isinstance(thing, CudaArray):
            self.keep(thing.owner)

    def end(self) -> None:
        """Stop recording. Called by `capture` and `finish`; a second time it does nothing."""
        if self.is_over:
            return
        if threading.get_ident() != self._thread:
            raise DeviceError("a capture must be ended by the thread that began it.")
        try:
            self._template = self._driver.backend.end_capture(self._origin.handle)
        except BaseException:
            self._leave()
            self._let_go()
            raise
        self._leave()

    def finish(self) -> Graph:
        """The graph, ready to be launched. Once only; DeviceError for a second time."""
        self.end()
        if self._is_finished or not self._template:
            raise DeviceError("a capture gives one graph, and this one gave it already or was abandoned.")
        self._is_finished = True
        backend = self._driver.backend
        template, self._template = self._template, 0
        try:
            nodes = backend.count_nodes(template)
            executable = backend.instantiate(template)
        except BaseException:
            self._let_go()
            raise
        finally:
            backend.destroy_graph(template)
        holdings = _Holdings(backend, self._driver.reclaimer, executable, list(self._resources.values()), self.calls)
        resource = self._driver.reclaimer.new("graph", holdings.give_back)
        return Graph(self._driver, resource, holdings, nodes)

    def abandon(self) -> None:
        """End the capture and throw away what it recorded."""
        if not self.is_over:
            try:
                self._template = self._driver.backend.end_capture(self._origin.handle)
            except DeviceError:
                # Most often 901: what broke the capture is on its way to the caller already.
                self._template = 0
            self._leave()
        if not self._is_finished:
            template, self._template = self._template, 0
            if template:
                self._driver.backend.destroy_graph(template)
            self._let_go()

    def _leave(self) -> None:
        self.is_over = True
        for stream in self._streams:
            stream.capture = None
        self._driver.capture = None
        self._driver.reclaimer.end_capture()
        self._driver.collect()

    def _let_go(self) -> None:
        for resource in self._resources.values():
            self._driver.reclaimer.give(resource)
        self._resources.clear()
        for call in self.calls:
            self._driver.backend.forget(call)


class _Holdings:
    """An executable graph with what it holds, apart from the Graph that its user may drop."""

    def __init__(
        self,
        backend: Backend,
        reclaimer: Reclaimer,
        executable: int,
        resources: list[Resource],
        calls: list[HostCall],
    ) -> None:
        self._backend = backend
        self._reclaimer = reclaimer
        self._resources = resources
        self.executable = executable
        self.calls = calls

    def give_back(self) -> None:
        """Destroy the graph, then let go of its arrays."""
        self._backend.destroy_executable(self.executable)
        for call in self.calls:
            self._backend.forget(call)
        for resource in self._resources:
            self._reclaimer.give(resource)


class Graph(Owned):
    """A captured piece of work. Launches of one graph run one after another, on whatever streams they are queued."""

    __slots__ = ("_holdings", "_nodes")
    _what = "graph"

    def __init__(self, driver: CudaDriver, resource: Resource, holdings: _Holdings, nodes: int) -> None:
        super().__init__(driver, resource)
        self._holdings = holdings
        self._nodes = nodes

    @property
    def nodes(self) -> int:
        """How many kernels, copies, fills and host functions it runs."""
        return self._nodes

    def launch(self, stream: Stream) -> None:
        """Queue one run of all of it. DeviceError while `stream` is being captured."""
        self.use()
        queue = own_stream(stream, self.driver)
        queue.refuse_capture("cannot take a graph")
        for call in self._holdings.calls:
            call.problems = queue.problems
        self.driver.backend.launch_graph(self._holdings.executable, queue.handle)
