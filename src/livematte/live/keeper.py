"""Keeps a worker going: starts it, watches over it, ends it where it hangs, and starts it again with back-off."""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass, replace
from typing import Literal, Protocol, TypeAlias

from livematte.live.base import LiveFrame
from livematte.live.child import Child, Entry, Gone
from livematte.live.messages import (
    SILENCE_SECONDS,
    Beat,
    Ended,
    Entered,
    Failed,
    FromWorker,
    SetBackground,
    SetMatting,
    SetWanted,
    Sleep,
    Stop,
    ToWorker,
    Wake,
    WorkerSpec,
)

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 10.0
HEALTHY_SECONDS = 30.0
"""Running for so long, a worker's next fault is treated as the first one."""
FIRST_TRIES = 5
"""Starts in a row without a single picture, and none ever before, after which the run is given up."""
SPAWN_SECONDS = 60.0
"""From the spawn to the worker's first word: Python and its libraries on a busy machine with a cold disk."""
SLEEP_SECONDS = 6.0
"""Within which a worker has to close its camera; else it is ended, for a camera's light must go out."""
_LINGER_SECONDS = 5.0
"""How long a new worker waits for the old one to be gone: a camera can be opened once."""
_ERRORS_THAT_STAY = (2, 3, 4, 5)
"""Bad usage, unreadable input, no such model, no such device: where nothing ever worked, the person has to act."""

What: TypeAlias = Literal["camera silent", "camera lost", "worker"]
"""What a fault is about, for the card."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A worker's end that was not wanted."""

    what: What
    text: str
    """For persons: what happened, without what is done about it."""
    failed: Failed | None = None


class Listener(Protocol):
    """The supervisor's side. Everything but `came` is called out of `step`."""

    def came(self, frame: LiveFrame) -> None:
        """A frame; on the reader's thread."""

    def heard(self, generation: int, message: FromWorker) -> None:
        """What the keeper does not deal with itself, and each `Beat` and `Entered`."""

    def faulted(self, generation: int, fault: Fault, pause_seconds: float) -> None:
        """This worker was ended; a new one starts after the pause."""

    def gave_up(self, fault: Fault) -> None:
        """It never worked, and trying again does not help. No new worker starts."""

    def ended(self) -> None:
        """The source has ended."""


class Keeper:
    """One worker at a time. `tell`, `set_asleep` and `wake_up` may be called by any thread, the rest by one."""

    def __init__(self, spec: WorkerSpec, entry: Entry, listener: Listener, *, restarts_after_final: bool) -> None:
        """`restarts_after_final`: an error that is called final is still tried again once pictures have come: a camera
        serves a call that must go on. A clip that breaks off ends the run instead."""
        self.spec = spec
        """What the next worker starts with."""
        self.faults = 0
        self._restarts_after_final = restarts_after_final
        self._lock = threading.Lock()
        self._entry = entry
        self._listener = listener
        self._inbox: queue.SimpleQueue[tuple[Child, FromWorker | Gone, float] | None] = queue.SimpleQueue()
        self._child: Child | None = None
        self._dying: list[tuple[Child, float]] = []
        self._watch = _Watch(0.0)
        self._start_at = 0.0
        self._pause = FIRST_PAUSE_SECONDS
        self._tries = 0
        self._has_worked = False
        self._asleep_wanted = False
        self._is_over = False
        self._stepped = time.monotonic()

    def step(self, timeout_seconds: float) -> None:
        """Deal with what the worker says, for so long at most, then with what it does not say."""
        self._listen(timeout_seconds)
        now = time.monotonic()
        # Where this process itself stood still (SIGSTOP, a busy machine), the worker was not silent: nobody listened.
        if (missed := now - self._stepped - timeout_seconds) > 1.0:
            self._watch.forgive(missed)
        self._stepped = now
        self._dying = [(child, since) for child, since in self._dying if not child.reap()]
        if self._child is not None:
            fault = self._watch.fault(now, self._child.heard, asleep_wanted=self._asleep_wanted)
            if fault is None and not self._child.is_alive and now - self._child.heard > 1.0:
                fault = Fault("worker", "the matting process ended unexpectedly")  # and its pipe stays open
            if fault is not None:
                self._end_child(fault)
        elif self._may_start(now):
            self._start()

    def wake_up(self) -> None:
        """Let `step` return early."""
        self._inbox.put(None)

    def tell(self, message: SetBackground | SetMatting | SetWanted) -> None:
        """For this worker and all that follow."""
        with self._lock:
            if isinstance(message, SetBackground):
                self.spec = replace(self.spec, background=message.text)
            elif isinstance(message, SetMatting):
                settings = self.spec.settings.model_copy(update={"matting": message.settings})
                self.spec = replace(self.spec, settings=settings)
            else:
                self.spec = replace(self.spec, wanted=message.wanted)
            self._send(message)

    def set_asleep(self, asleep: bool) -> None:
        """Close the camera, or open it again; a worker that is not there is started again only when awake."""
        with self._lock:
            if asleep == self._asleep_wanted:
                return
            self._asleep_wanted = asleep
            self._watch.commanded = time.monotonic()
            self._start_at = 0.0
            self._send(Sleep() if asleep else Wake())

    def begin_end(self) -> None:
        """The worker may end in order; none is started again."""
        self._is_over = True
        if self._child is not None:
            self._send(Stop())
            self._child.finish_sending()

    @property
    def is_running(self) -> bool:
        """True where the worker has a camera to close; one that still loads has nothing that needs an orderly end."""
        return self._child is not None and self._watch.is_running

    def is_gone(self) -> bool:
        """True once every worker is gone, with all that it held. Asked for after `begin_end`."""
        self._dying = [(child, since) for child, since in self._dying if not child.reap()]
        if self._child is not None and self._child.reap():
            self._listen(0.0)
            self._child = None
        return self._child is None and not self._dying

    def kill(self) -> None:
        """End what is left, at once."""
        if self._child is not None:
            self._bury(self._child)

    def left(self) -> list[int]:
        """Process numbers that the system could not end yet."""
        return [child.pid for child, _ in self._dying]

    # -- inside -------------------------------------------------------------------------------------------------

    def _send(self, message: ToWorker) -> None:
        child = self._child
        if child is not None:
            child.send(message)

    def _may_start(self, now: float) -> bool:
        waits = any(now - since < _LINGER_SECONDS for _, since in self._dying)
        return not (self._is_over or self._asleep_wanted or waits) and now >= self._start_at

    def _start(self) -> None:
        with self._lock:
            if self._asleep_wanted:
                return
            child = Child(self.spec, self._entry, on_frame=self._came, on_message=self._queue)
            self.spec = replace(self.spec, generation=self.spec.generation + 1)
            self._child, self._watch = child, _Watch(time.monotonic())
        self._tries += 1
        try:
            child.start()
        except OSError as error:
            self._end_child(Fault("worker", f"the matting process could not be started ({error})"))

    def _came(self, frame: LiveFrame) -> None:
        self._has_worked = True
        self._listener.came(frame)

    def _queue(self, child: Child, message: FromWorker | Gone) -> None:
        self._inbox.put((child, message, time.monotonic()))

    def _listen(self, timeout_seconds: float) -> None:
        """Everything that was said; waits for the first word only."""
        try:
            item = self._inbox.get(timeout=timeout_seconds) if timeout_seconds > 0 else self._inbox.get_nowait()
            while True:
                if item is not None and item[0] is self._child:
                    self._hear(item[0], item[1], item[2])
                item = self._inbox.get_nowait()
        except queue.Empty:
            return

    def _hear(self, child: Child, message: FromWorker | Gone, moment: float) -> None:
        if isinstance(message, Gone):
            if not self._is_over:
                text = "the matting process ended unexpectedly"
                self._end_child(Fault("worker", f"{text}: {message.text}" if message.text else text))
        elif isinstance(message, Failed):
            what: What = "camera lost" if message.exit_code == 3 else "worker"
            self._end_child(Fault(what, message.text, message))
        elif isinstance(message, Ended):
            self._is_over = True
            self._listener.ended()
        else:
            if isinstance(message, Entered | Beat):
                self._watch.hear(message, moment)
            self._listener.heard(child.spec.generation, message)

    def _end_child(self, fault: Fault) -> None:
        child = self._child
        if child is None:
            return
        ran = self._watch.ran_seconds(time.monotonic())
        self._bury(child)
        if self._is_over:
            return
        self.faults += 1
        if self._is_hopeless(fault):
            self._is_over = True
            self._listener.gave_up(fault)
            return
        final = fault.failed is not None and fault.failed.is_final
        if ran >= HEALTHY_SECONDS:
            self._pause = FIRST_PAUSE_SECONDS
        pause = LONGEST_PAUSE_SECONDS if final else self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)
        self._start_at = time.monotonic() + pause
        self._listener.faulted(child.spec.generation, fault, pause)

    def _is_hopeless(self, fault: Fault) -> bool:
        """Where nothing has ever worked, an error that will come again, or one start too many, ends the run."""
        failed = fault.failed
        is_final = failed is not None and failed.is_final
        if self._has_worked:
            return is_final and not self._restarts_after_final
        stays = failed is not None and failed.exit_code in _ERRORS_THAT_STAY
        return is_final or stays or self._tries >= FIRST_TRIES

    def _bury(self, child: Child) -> None:
        child.kill()
        self._child = None
        self._dying.append((child, time.monotonic()))


class _Watch:
    """How long a worker may be silent, by what it last said of itself."""

    def __init__(self, now: float) -> None:
        self._phase = "spawning"
        self._limit = SPAWN_SECONDS
        self._since = now
        self._running_since: float | None = None
        self._beat: Beat | None = None
        self._beat_at = now
        self.commanded = now
        """When it was last told to sleep or to wake."""

    def hear(self, message: Entered | Beat, moment: float) -> None:
        """A word of the worker's, and when it came."""
        if isinstance(message, Beat):
            self._beat, self._beat_at = message, moment
            return
        self._phase, self._limit, self._since = message.phase, message.limit_seconds, moment
        if message.phase == "running":
            self._beat, self._beat_at = None, moment
            self._running_since = self._running_since or moment

    @property
    def is_running(self) -> bool:
        """By its own words, with pictures on their way."""
        return self._phase == "running"

    def forgive(self, seconds: float) -> None:
        """Nobody listened for so long."""
        self._since += seconds
        self._beat_at += seconds
        self.commanded += seconds

    def ran_seconds(self, now: float) -> float:
        """Since it began to run; 0 where it did not."""
        return now - self._running_since if self._running_since is not None else 0.0

    def fault(self, now: float, heard: float, *, asleep_wanted: bool) -> Fault | None:
        """What is wrong with it; None: nothing."""
        if asleep_wanted and self._phase != "asleep" and now - max(self.commanded, self._since) > self._sleep_limit():
            return Fault("worker", "the camera was not closed in time")
        if self._phase == "asleep":
            late = not asleep_wanted and now - max(self.commanded, self._since) > SILENCE_SECONDS
            return Fault("worker", "the matting process did not wake up") if late else None
        if self._phase == "running":
            return None if asleep_wanted else self._fault_running(now)
        if now - max(self._since, heard) > self._limit:
            return _SILENT.get(self._phase) or Fault("worker", f"nothing was heard of it while {self._phase}")
        return None

    def _sleep_limit(self) -> float:
        return SLEEP_SECONDS if self._phase == "running" else max(SLEEP_SECONDS, self._limit)

    def _fault_running(self, now: float) -> Fault | None:
        if now - self._beat_at > SILENCE_SECONDS:
            return Fault("worker", "the matting process does not answer")
        if self._beat is None:
            return None
        if self._beat.source_age_seconds > SILENCE_SECONDS:
            return Fault("camera silent", "no picture has come")
        if self._beat.matting_age_seconds > SILENCE_SECONDS:
            return Fault("worker", "the network does not come back from a picture")
        return None


_SILENT = {"opening": Fault("camera silent", "it could not be opened in time")}
