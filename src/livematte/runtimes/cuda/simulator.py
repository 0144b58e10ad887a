"""Streams, events and graphs without a device: queues of Python calls, run at once or in a random order.

With a seed, nothing runs when it is queued (or a little does, by chance): the host gets to its own wait first, as it
does on a GPU, and then any stream whose next item may run is picked by chance. What is only right because one stream
happened to be faster is wrong for some seed.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from livematte.runtimes.cuda.errors import CudaError, check, describe, is_fatal

NOT_PERMITTED = 800
UNSUPPORTED = 900
INVALIDATED = 901
MERGE = 902
UNMATCHED = 903
UNJOINED = 904
ISOLATION = 905
CAPTURED_EVENT = 907
WRONG_THREAD = 908

Run = Callable[[], None]


@dataclass(slots=True)
class SimulatedEvent:
    """How often it was recorded, and how many of these marks are reached."""

    recorded: int = 0
    reached: int = 0
    stamp: float = 0.0
    """When the last mark was reached, in seconds."""
    recording: Recording | None = None
    frontier: frozenset[int] = frozenset()
    """In a capture: the nodes that the mark stands for."""


@dataclass(slots=True)
class Node:
    """A piece of a graph."""

    run: Run
    needs: frozenset[int]


@dataclass(slots=True)
class Recording:
    """A capture under way."""

    origin: int
    thread: int
    nodes: list[Node] = field(default_factory=list)
    frontiers: dict[int, frozenset[int]] = field(default_factory=dict)
    """Stream -> the nodes that its next node needs."""
    is_over: bool = False
    is_spoilt: bool = False


class _Task(Protocol):
    def is_ready(self) -> bool: ...
    def step(self, chance: random.Random) -> bool:
        """Do some of it; True when all of it is done."""


class _Work:
    def __init__(self, run: Run) -> None:
        self._run = run

    def is_ready(self) -> bool:
        return True

    def step(self, chance: random.Random) -> bool:
        self._run()
        return True


class _Mark:
    def __init__(self, event: SimulatedEvent) -> None:
        event.recorded += 1
        self._event = event
        self._number = event.recorded

    def is_ready(self) -> bool:
        return True

    def step(self, chance: random.Random) -> bool:
        self._event.reached = max(self._event.reached, self._number)
        self._event.stamp = time.perf_counter()
        return True


class _Barrier:
    def __init__(self, event: SimulatedEvent) -> None:
        self._event = event
        self._number = event.recorded

    def is_ready(self) -> bool:
        return self._event.reached >= self._number

    def step(self, chance: random.Random) -> bool:
        return True


class _Replay:
    """A launched graph: one node a step, in any order that their needs permit; other streams run between them."""

    def __init__(self, nodes: list[Node]) -> None:
        self._nodes = nodes
        self._open = set(range(len(nodes)))

    def is_ready(self) -> bool:
        return True

    def step(self, chance: random.Random) -> bool:
        ready = sorted(at for at in self._open if not self._nodes[at].needs & self._open)
        if ready:
            at = chance.choice(ready)
            self._nodes[at].run()
            self._open.remove(at)
        return not self._open


class Simulator:
    """Every queue of the null driver. `seed` None: what is queued runs at once; else late and in a random order."""

    def __init__(self, seed: int | None) -> None:
        self._is_eager = seed is None
        self._chance = random.Random(seed)
        # Some seeds run a little of the queues at each call, others nothing before somebody waits.
        self._most_steps = 0 if seed is None else self._chance.choice((0, 0, 1, 3))
        self._queues: dict[int, deque[_Task]] = {}
        self._weights: dict[int, int] = {}
        self._recordings: dict[int, Recording] = {}
        self._lock = threading.RLock()
        self._is_stepping = False
        self._next_handle = 0
        self.fault_code = 0
        """The fatal error that ended everything; 0: none."""
        # The legacy stream.
        self.new_stream()

    @contextmanager
    def entered(self, what: str) -> Iterator[None]:
        """One call of the driver's: one at a time, none after a fatal error, none from a function of the host."""
        with self._lock:
            check(self.fault_code, what)
            check(NOT_PERMITTED if self._is_stepping else 0, what)
            yield

    def new_stream(self) -> int:
        """Handle of a new queue."""
        handle = self._next_handle
        self._next_handle += 1
        self._queues[handle] = deque()
        # Whole streams lag behind others, as they do where one has more to do.
        self._weights[handle] = self._chance.choice((1, 8, 64))
        return handle

    def drop_stream(self, stream: int) -> None:
        """Run what is left of a queue and forget it."""
        self.finish(lambda: not self._queues[stream])
        del self._queues[stream], self._weights[stream]

    def push(self, stream: int, run: Run) -> None:
        """Queue a piece of work, or record it."""
        recording = self._recordings.get(stream)
        if recording is None:
            self._enqueue(stream, _Work(run))
            return
        recording.nodes.append(Node(run, recording.frontiers[stream]))
        recording.frontiers[stream] = frozenset({len(recording.nodes) - 1})

    def record(self, event: SimulatedEvent, stream: int) -> None:
        """Queue a mark, or note where in the graph it lies."""
        recording = self._recordings.get(stream)
        event.recording = recording
        if recording is not None:
            event.frontier = recording.frontiers[stream]
            return
        self._enqueue(stream, _Mark(event))

    def wait(self, stream: int, event: SimulatedEvent) -> None:
        """Queue a wait, or make a dependency of the graph, into which the stream comes by it."""
        recording = self._recordings.get(stream)
        if event.recording is None:
            if recording is not None:
                recording.is_spoilt = True
                check(ISOLATION, "letting a captured stream wait")
            self._enqueue(stream, _Barrier(event))
            return
        check(CAPTURED_EVENT if event.recording.is_over else 0, "letting a stream wait")
        check(MERGE if recording not in (None, event.recording) else 0, "letting a stream wait")
        self._recordings[stream] = event.recording
        frontiers = event.recording.frontiers
        frontiers[stream] = frontiers.get(stream, frozenset()) | event.frontier

    def finish_stream(self, stream: int) -> None:
        """Run until this queue is empty."""
        self._refuse_recording(stream)
        self.finish(lambda: not self._queues[stream])

    def finish_event(self, event: SimulatedEvent) -> None:
        """Run until the last mark is reached."""
        check(CAPTURED_EVENT if event.recording is not None else 0, "waiting for an event")
        self.finish(lambda: event.reached >= event.recorded)

    def finish_all(self) -> None:
        """Run until every queue is empty."""
        check(UNSUPPORTED if self._recordings else 0, "waiting for the device")
        self.finish(lambda: not any(self._queues.values()))

    def is_stream_done(self, stream: int) -> bool:
        """Whether the queue is empty; time passes."""
        self._refuse_recording(stream)
        self._idle()
        return not self._queues[stream]

    def is_event_done(self, event: SimulatedEvent) -> bool:
        """Whether the last mark is reached; time passes."""
        check(CAPTURED_EVENT if event.recording is not None else 0, "asking whether an event is reached")
        self._idle()
        return event.reached >= event.recorded

    def begin(self, stream: int) -> None:
        """Record what is queued on this stream from here on."""
        self._refuse_recording(stream)
        self._recordings[stream] = Recording(stream, threading.get_ident(), frontiers={stream: frozenset()})

    def end(self, stream: int) -> list[Node]:
        """The recorded nodes. Every stream that came in must have been joined again."""
        recording = self._recordings.get(stream)
        what = "capturing a graph"
        if recording is None or recording.origin != stream:
            raise CudaError(f"{what} failed: {describe(UNMATCHED)}", UNMATCHED)
        check(WRONG_THREAD if recording.thread != threading.get_ident() else 0, what)
        recording.is_over = True
        self._recordings = {at: other for at, other in self._recordings.items() if other is not recording}
        check(INVALIDATED if recording.is_spoilt else 0, what)
        inner = {need for node in recording.nodes for need in node.needs}
        leaves = set(range(len(recording.nodes))) - inner
        check(UNJOINED if leaves - recording.frontiers[stream] else 0, what)
        return recording.nodes

    def launch(self, nodes: list[Node], stream: int) -> None:
        """Queue a run of a graph."""
        self._enqueue(stream, _Replay(nodes))

    def finish(self, is_over: Callable[[], bool]) -> None:
        """Run whatever may run until it is over."""
        while not is_over():
            if not self._step():
                raise AssertionError("the null driver's queues wait for each other, which events cannot make them do")

    def _enqueue(self, stream: int, task: _Task) -> None:
        queue = self._queues[stream]
        queue.append(task)
        if self._is_eager:
            self.finish(lambda: not queue)
            return
        for _ in range(self._chance.randint(0, self._most_steps)):
            self._step()

    def _idle(self) -> None:
        """Time passes while the host asks: now and then something runs, so that asking again comes to an end."""
        if self._chance.random() < 0.5:
            self._step()

    def _step(self) -> bool:
        """Run a piece of a queue that was picked by chance; False where none can run."""
        ready = [at for at, queue in self._queues.items() if queue and queue[0].is_ready()]
        if not ready:
            return False
        queue = self._queues[self._chance.choices(ready, [self._weights[at] for at in ready])[0]]
        self._is_stepping = True
        try:
            if queue[0].step(self._chance):
                queue.popleft()
        except CudaError as error:
            queue.popleft()
            self.fault_code = error.code if is_fatal(error.code) else self.fault_code
            raise
        finally:
            self._is_stepping = False
        return True

    def _refuse_recording(self, stream: int) -> None:
        recording = self._recordings.get(stream)
        if recording is not None:
            recording.is_spoilt = True
            check(UNSUPPORTED, "asking for the state of a stream that is being captured")
