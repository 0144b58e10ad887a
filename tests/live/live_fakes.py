"""Outputs that write down what they were sent, and a way to drive a live run."""

from __future__ import annotations

import itertools
import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any
from unittest import mock

import psutil

from livematte.config import LiveSettings, Settings
from livematte.errors import SinkError
from livematte.frames import StreamInfo
from livematte.live.base import LiveFrame
from livematte.live.messages import (
    Wanted,
    WorkerSpec,
)
from livematte.live.ring import Ring
from livematte.live.supervisor import Supervisor
from livematte.planes import plane_arrays
from livematte.reporting import ListReporter

LIMIT_SECONDS = 20.0
"""For a condition to come true on a busy machine."""


# -- outputs -------------------------------------------------------------------------------------------------------


@dataclass
class Sent:
    """One `send`: when, what, and the mean of each plane of an opaque picture."""

    moment: float
    kind: str
    number: int = -1
    generation: int = 0
    reason: str = ""
    latency_ms: float = 0.0
    before: Any = None
    luma: float = 0.0
    item: Any = None


@dataclass
class FakeOutput:
    """Writes down what it is sent. `trouble(number of the send)` may raise or sleep."""

    name: str = "fake"
    wants: str = "composite"
    is_paced: bool = True
    is_vital: bool = True
    keeps_all: bool = False
    watching: int | None = None
    trouble: Callable[[int], None] | None = None
    open_trouble: Callable[[], None] | None = None
    keeps_items: bool = False
    sent: list[Sent] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    info: StreamInfo | None = None
    rate: Fraction | None = None
    look: Callable[[Any], None] | None = None

    def open(self, info: StreamInfo, rate: Fraction) -> None:
        self.calls.append("open")
        self.info, self.rate = info, rate
        if self.open_trouble is not None:
            self.open_trouble()

    def send(self, item: Any) -> None:
        now = time.monotonic()
        if self.trouble is not None:
            self.trouble(len(self.sent) + 1)
        if self.look is not None:
            self.look(item)
        kept = item if self.keeps_items else None
        if isinstance(item, LiveFrame):
            luma = 0.0 if item.composite is None else float(plane_arrays(item.composite)[0].mean())
            age = (time.monotonic_ns() - item.captured_ns) / 1e6
            self.sent.append(Sent(now, "frame", item.number, item.generation, "", age, item.before, luma, kept))
        else:
            luma = float(plane_arrays(item.composite)[0].mean())
            self.sent.append(Sent(now, "card", reason=item.reason, luma=luma, item=kept))

    def watchers(self) -> int | None:
        return self.watching

    def said(self) -> list[str]:
        return [f"pick {self.name}"]

    def close(self) -> None:
        self.calls.append("close")

    # what tests ask

    def frames(self) -> list[Sent]:
        return [one for one in self.sent if one.kind == "frame"]

    def last(self) -> Sent | None:
        return self.sent[-1] if self.sent else None

    def shows_card(self, words: str = "") -> bool:
        last = self.last()
        return last is not None and last.kind == "card" and words in last.reason

    def saw_card(self, words: str) -> bool:
        return any(one.kind == "card" and words in one.reason for one in list(self.sent))

    def shows_frame(self, generation: int = 0) -> bool:
        last = self.last()
        return last is not None and last.kind == "frame" and last.generation >= generation

    def _after(self, generation: int) -> tuple[float, list[Sent]]:
        """When this worker's last frame was new, and the cards from then to the next worker's first frame."""
        sent = list(self.sent)
        own = [at for at, one in enumerate(sent) if one.kind == "frame" and one.generation == generation]
        if not own:
            return 0.0, []
        cards = []
        for one in sent[own[-1] + 1 :]:
            if one.kind == "frame":
                break
            cards.append(one)
        newest = next(sent[at].moment for at in own if sent[at].number == sent[own[-1]].number)
        return newest, cards

    def saw_card_after(self, generation: int, words: str = "") -> bool:
        return any(words in one.reason for one in self._after(generation)[1])

    def card_delay(self, generation: int) -> float:
        moment, cards = self._after(generation)
        return cards[0].moment - moment if cards else -1.0

    def longest_gap(self) -> float:
        moments = [one.moment for one in self.sent]
        return max((b - a for a, b in itertools.pairwise(moments)), default=0.0)


def failing(at: int) -> Callable[[int], None]:
    def trouble(number: int) -> None:
        if number >= at:
            raise SinkError("the fake output is full. Make room.")

    return trouble


# -- driving a run -------------------------------------------------------------------------------------------------


def spec_for(*plugins: str, background: str = "blur", source: str = "0", **live: Any) -> WorkerSpec:
    settings = Settings(live=LiveSettings(**live))
    return WorkerSpec(source, settings, background, Wanted(), 1, plugins=plugins)


@dataclass
class Driver:
    """Runs a supervisor on this thread, step by step: each step is a condition that has to come true.

    A step that returns a callable's truth ends; the last one's end stops the run. `seconds` holds how long each took.
    """

    supervisor: Supervisor
    steps: list[Callable[[], Any]]
    limit: float = LIMIT_SECONDS
    seconds: list[float] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    late: bool = False
    began: float = 0.0
    step_began: float = 0.0

    def tick(self, state: Any) -> None:
        now = time.monotonic()
        if not self.states or self.states[-1] != state.state:
            self.states.append(state.state)
        if now - self.began > self.limit:
            self.late = True
            self.supervisor.stop()
        while self.steps and self.steps[0]():
            self.seconds.append(time.monotonic() - self.step_began)
            self.step_began = time.monotonic()
            del self.steps[0]
            if not self.steps:
                self.supervisor.stop()

    def run(self) -> Any:
        self.began = self.step_began = time.monotonic()
        summary = self.supervisor.run(self.tick)
        assert not self.late, f"{len(self.steps)} steps were not reached in time; states: {self.states}"
        return summary


def make(
    spec: WorkerSpec, *outputs: FakeOutput, entry: Any, reporter: ListReporter | None = None, duration: Any = None
) -> Supervisor:
    return Supervisor(
        spec,
        outputs,
        settings=spec.settings,
        reporter=reporter or ListReporter(),
        duration_seconds=duration,
        entry=entry,
    )


def drive(supervisor: Supervisor, *steps: Callable[[], Any], limit: float = LIMIT_SECONDS) -> tuple[Any, Driver]:
    driver = Driver(supervisor, list(steps), limit)
    return driver.run(), driver


def act(action: Callable[[], Any]) -> Callable[[], bool]:
    """A step that does something once."""

    def step() -> bool:
        action()
        return True

    return step


# -- what is left over ---------------------------------------------------------------------------------------------


def _is_there(name: str) -> bool:
    try:
        memory = Ring.attach(name)
    except SinkError:
        return False
    memory.close()
    return True


def _children() -> set[int]:
    """Children of this process, multiprocessing's own tracker of resources apart."""
    found = set()
    for child in psutil.Process().children(recursive=True):
        try:
            if "resource_tracker" not in " ".join(child.cmdline()):
                found.add(child.pid)
        except psutil.NoSuchProcess:
            continue
    return found


def _descriptors() -> int:
    return psutil.Process().num_fds() if hasattr(psutil.Process, "num_fds") else 0


@contextmanager
def nothing_left() -> Iterator[None]:
    """No process, shared memory, thread of ours or descriptor is there afterwards that was not there before."""
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # it keeps a descriptor for the life of the process
    multiprocessing.active_children()
    before = _children(), _descriptors()
    names: list[str] = []
    create = Ring.create

    def noted(slots: int, slot_bytes: int) -> Ring:
        made = create(slots, slot_bytes)
        names.append(made.name)
        return made

    with mock.patch.object(Ring, "create", noted):
        yield
    until = time.monotonic() + 20
    while time.monotonic() < until and (_children() - before[0] or _descriptors() > before[1]):
        time.sleep(0.05)
    assert not [name for name in names if _is_there(name)], "shared memory is left"
    assert not (_children() - before[0]), "a process is left"
    assert _descriptors() <= before[1], "a descriptor is left"
    assert not [t.name for t in threading.enumerate() if t.name.startswith("livematte")]
