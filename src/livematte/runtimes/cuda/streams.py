"""Streams and events: order on the device."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from livematte.errors import DeviceError, UsageError
from livematte.runtimes.cuda.backend import HostCall
from livematte.runtimes.cuda.base import Event, Stream
from livematte.runtimes.cuda.resources import Owned, Resource

if TYPE_CHECKING:
    from livematte.runtimes.cuda.driver import CudaDriver
    from livematte.runtimes.cuda.graphs import Capture


class CudaStream(Owned):
    """`base.Stream` over a back end."""

    __slots__ = ("_handle", "capture", "problems")
    _what = "stream"

    def __init__(self, driver: CudaDriver, handle: int, resource: Resource | None) -> None:
        super().__init__(driver, resource)
        self._handle = handle
        self.capture: Capture | None = None
        """The capture that this stream is a part of at the moment."""
        self.problems: list[Exception] = []
        """What functions of the host raised on this stream since its last `synchronize`."""

    @property
    def handle(self) -> int:
        return self._handle

    @property
    def is_legacy(self) -> bool:
        """Whether this is stream 0."""
        return self._handle == 0

    @property
    def is_closed(self) -> bool:
        return self._driver.is_closed or (self._resource is None and not self.is_legacy)

    def __cuda_stream__(self) -> tuple[int, int]:
        return (0, self._handle)

    def wait(self, event: Event) -> None:
        self.use()
        mark = own_event(event, self._driver)
        origin = mark.capture
        if origin is not None:
            if origin.is_over:
                raise DeviceError(
                    "a stream waits for an event that was last recorded inside a capture: the event is a part of that "
                    "graph and says nothing outside of it. Record it again first."
                )
            origin.add(self)
        elif self.capture is not None:
            raise DeviceError(
                "a captured stream waits for an event that was recorded outside of the capture. Let the stream wait "
                "before the capture begins, or before each launch of the graph."
            )
        elif not mark.is_recorded:
            return
        self._driver.backend.wait_event(self._handle, mark.handle)

    def call(self, function: Callable[[], None]) -> None:
        self.use()
        call = HostCall(function, self.problems, is_kept=self.capture is not None)
        if self.capture is not None:
            self.capture.calls.append(call)
        self._driver.backend.call(self._handle, call)

    def synchronize(self) -> None:
        self.use()
        self.refuse_capture("cannot be waited for")
        self._driver.backend.synchronize_stream(self._handle)
        self.raise_problems()
        self._driver.collect()

    def is_done(self) -> bool:
        self.use()
        self.refuse_capture("cannot be asked whether it is done")
        return self._driver.backend.is_stream_done(self._handle)

    def keep(self, *things: object) -> None:
        """What was just queued uses these: if it is captured, the graph holds them."""
        if self.capture is not None:
            for thing in things:
                self.capture.keep(thing)

    def refuse_capture(self, what: str) -> None:
        """DeviceError while this stream is being captured: nothing runs on it then."""
        if self.capture is not None:
            raise DeviceError(f"a stream {what} while it is being captured: end the capture first.")

    def raise_problems(self) -> None:
        """DeviceError for the first of the host functions that failed since the last call; forgets the others."""
        if self.problems:
            first = self.problems[0]
            self.problems.clear()
            said = str(first) or type(first).__name__
            raise DeviceError(f"a function that was queued on a stream failed: {said}") from first


class CudaEvent(Owned):
    """`base.Event` over a back end."""

    __slots__ = ("_handle", "_is_timing", "capture", "is_recorded")
    _what = "event"

    def __init__(self, driver: CudaDriver, handle: int, resource: Resource, *, timing: bool) -> None:
        super().__init__(driver, resource)
        self._handle = handle
        self._is_timing = timing
        self.capture: Capture | None = None
        """The capture in which it was last recorded; None: outside of any."""
        self.is_recorded = False

    @property
    def handle(self) -> int:
        return self._handle

    def record(self, stream: Stream) -> None:
        self.use()
        source = own_stream(stream, self._driver)
        self._driver.backend.record_event(self._handle, source.handle)
        self.capture = source.capture
        self.is_recorded = True

    def synchronize(self) -> None:
        self.use()
        self._refuse_capture("cannot be waited for")
        if self.is_recorded:
            self._driver.backend.synchronize_event(self._handle)
            self._driver.collect()

    def is_done(self) -> bool:
        self.use()
        self._refuse_capture("cannot be asked whether it is done")
        return not self.is_recorded or self._driver.backend.is_event_done(self._handle)

    def elapsed_ms(self, since: Event) -> float:
        first = own_event(since, self._driver)
        for event, name in ((first, "the earlier event"), (self, "the later event")):
            if not event._is_timing:
                raise DeviceError(f"{name} keeps no time: make it with event(timing=True).")
            if not event.is_recorded:
                raise DeviceError(f"{name} was never recorded, so no time lies between the two.")
            if not event.is_done():
                raise DeviceError(f"{name} is not reached yet: synchronize it before asking for the time.")
        return self._driver.backend.elapsed_ms(first.handle, self._handle)

    def _refuse_capture(self, what: str) -> None:
        if self.capture is not None:
            raise DeviceError(f"an event that was last recorded inside a capture {what}: it is a part of that graph.")


def own_stream(stream: Stream, driver: CudaDriver) -> CudaStream:
    """The stream, if it is an open one of this driver; UsageError for another's, DeviceError for a closed one."""
    if not isinstance(stream, CudaStream) or stream.driver is not driver:
        raise UsageError(f"the stream is no stream of this {driver.name} driver: make it with driver.stream().")
    stream.use()
    return stream


def own_event(event: Event, driver: CudaDriver) -> CudaEvent:
    """The event, if it is an open one of this driver; UsageError for another's, DeviceError for a closed one."""
    if not isinstance(event, CudaEvent) or event.driver is not driver:
        raise UsageError(f"the event is no event of this {driver.name} driver: make it with driver.event().")
    event.use()
    return event
