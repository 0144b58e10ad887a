"""The outputs of a live run, each on a thread of its own with its own way of being late."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

from livematte.errors import LivematteError, SinkError
from livematte.frames import StreamInfo
from livematte.live.base import LiveFrame, LiveOutput
from livematte.live.clock import Item, Pacer, Shown
from livematte.live.latency import LatencyMeter, Tally
from livematte.reporting import Reporter

QUEUED_FRAMES = 8
"""For an output that keeps all: a quarter of a second at 30 fps, 11 MB at 720p."""
IDLE_FRAME_SECONDS = 0.2
"""Where nobody watches, the placeholder is sent five times a second: nothing to a processor, at once for who comes."""


@dataclass(slots=True)
class _Opening:
    info: StreamInfo
    rate: Fraction


class Lane:
    """One output and its thread, which opens it, sends to it and closes it."""

    def __init__(
        self,
        output: LiveOutput,
        *,
        shown: Shown,
        tally: Tally,
        reporter: Reporter,
        on_failure: Callable[[Lane, LivematteError], None],
    ) -> None:
        self.output = output
        self.latency = LatencyMeter()
        self.repeated = 0
        self.dropped = 0
        """Frames that this output alone missed; they count as sent where another one sent them."""
        self.state: Literal["waiting", "open", "failed", "closed"] = "waiting"
        self.failure = ""
        self.is_idle = False
        """Nobody watches: seldom is enough."""
        self._shown = shown
        self._tally = tally
        self._reporter = reporter
        self._on_failure = on_failure
        self._opening: _Opening | None = None
        self._queue: deque[LiveFrame] = deque()
        self._changed = threading.Condition()
        self._is_over = False
        self.thread = threading.Thread(target=self._body, name=f"livematte-output-{output.name}", daemon=True)

    def open(self, info: StreamInfo, rate: Fraction) -> None:
        """Start the thread, which opens the output. Later calls change nothing: it keeps its first size."""
        if self._opening is None and not self._is_over:
            self._opening = _Opening(info, rate)
            self.thread.start()

    def put(self, frame: LiveFrame) -> None:
        """A new frame, for an output that is not paced; a paced one takes its pictures from `Shown`."""
        if self.output.is_paced or self.state not in ("waiting", "open"):
            return
        with self._changed:
            if self._is_over:
                return
            if self.output.keeps_all and len(self._queue) >= QUEUED_FRAMES:
                self.dropped += 1
                return
            if not self.output.keeps_all and self._queue:
                self._queue.clear()
                self.dropped += 1
            self._queue.append(frame)
            self._changed.notify_all()

    def finish(self) -> None:
        """Send what is queued, then close. The thread ends then; `Shown.finish` wakes paced ones."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()
        if self._opening is None:
            self.state = "closed"

    def watchers(self) -> int | None:
        """How many watch; None: it cannot tell, or is not open."""
        return self.output.watchers() if self.state == "open" else None

    def described(self) -> str:
        """`open`, `failed: ...`, `closed`, `waiting`."""
        return f"failed: {self.failure}" if self.state == "failed" else self.state

    # -- the output's own thread --------------------------------------------------------------------------------

    def _body(self) -> None:
        assert self._opening is not None
        error: BaseException | None = None
        try:
            self.output.open(self._opening.info, self._opening.rate)
            self.state = "open"
            for line in self.output.said():
                self._reporter.note(line)
            if self.output.is_paced:
                self._send_paced(float(1 / self._opening.rate))
            else:
                self._send_queued()
        except Exception as caught:
            error = caught
        try:
            self.output.close()
        except Exception as caught:
            error = error or caught
        if error is None:
            self.state = "closed"
            return
        known = error if isinstance(error, LivematteError) else _unexpected(self.output.name, error)
        self.failure, self.state = str(known), "failed"
        with self._changed:
            self._queue.clear()
        self._on_failure(self, known)

    def _send_paced(self, frame_seconds: float) -> None:
        pacer, serial, last = Pacer(frame_seconds, time.monotonic()), -1, None
        while True:
            pacer.frame_seconds = max(frame_seconds, IDLE_FRAME_SECONDS) if self.is_idle else frame_seconds
            serial = self._shown.wait_for_change(serial, pacer.due)
            now = time.monotonic()
            item = self._shown.current(now)
            is_new = item is not last
            if self._is_over:
                if isinstance(item, LiveFrame) and is_new:  # the last frame of a clip that has ended
                    self._send(item)
                return
            if item is None:
                pacer.wait(now)
                continue
            if not is_new and now < pacer.due:
                continue
            if self._send(item):
                last = item
                self.repeated += isinstance(item, LiveFrame) and not is_new
            pacer.sent(now, is_new=is_new)

    def _send_queued(self) -> None:
        while True:
            with self._changed:
                while not self._queue and not self._is_over:
                    self._changed.wait()
                if not self._queue:
                    return
                frame = self._queue.popleft()
            self._send(frame)

    def _send(self, item: Item) -> bool:
        """False where the frame lacks what this output wants: it was made before the worker knew."""
        if isinstance(item, LiveFrame):
            if (item.composite if self.output.wants == "composite" else item.matted) is None:
                return False
            # The page's "before" pane takes the raw picture from the supervisor; no output ever gets it.
            self.output.send(item if item.before is None else replace(item, before=None))
            now = time.monotonic()
            self._tally.sent(item, now)
            self.latency.add((time.monotonic_ns() - item.captured_ns) / 1e6)
        else:
            self.output.send(item)
        return True


class Fanout:
    """All outputs of a run."""

    def __init__(
        self,
        outputs: Sequence[LiveOutput],
        *,
        shown: Shown,
        tally: Tally,
        reporter: Reporter,
        on_failure: Callable[[Lane, LivematteError], None],
    ) -> None:
        self.lanes = [
            Lane(output, shown=shown, tally=tally, reporter=reporter, on_failure=on_failure) for output in outputs
        ]

    def open(self, info: StreamInfo, rate: Fraction, *, only_paced: bool = False) -> None:
        """Open those that are not open yet; `only_paced`: a recording rather waits for the true size."""
        for lane in self.lanes:
            if lane.output.is_paced or not only_paced:
                lane.open(info, rate)

    def put(self, frame: LiveFrame) -> None:
        """A new frame, to those that are not paced."""
        for lane in self.lanes:
            lane.put(frame)

    def set_idle(self, idle: bool) -> None:
        """Whether nobody watches."""
        for lane in self.lanes:
            lane.is_idle = idle

    def nobody_watches(self) -> bool:
        """True where every open output can tell, and none is watched."""
        counts = [lane.watchers() for lane in self.lanes if lane.state == "open"]
        return bool(counts) and all(count == 0 for count in counts)

    def have_all_failed(self) -> bool:
        """True once no output is left that works."""
        return all(lane.state == "failed" for lane in self.lanes)

    def finish(self) -> None:
        """All send what is queued and close."""
        for lane in self.lanes:
            lane.finish()

    def is_finished(self) -> bool:
        """True once every thread has ended."""
        return not any(lane.thread.is_alive() for lane in self.lanes)

    def hanging(self) -> list[str]:
        """Names of those whose thread has not ended."""
        return [lane.output.name for lane in self.lanes if lane.thread.is_alive()]

    def states(self) -> dict[str, str]:
        """Name -> `open`, `failed: ...`, `closed`."""
        return {lane.output.name: lane.described() for lane in self.lanes}

    def repeated(self) -> int:
        """Frames that were sent again, by the output that did so most."""
        return max((lane.repeated for lane in self.lanes), default=0)

    def latency_ms(self) -> dict[str, float]:
        """Of the first paced output that works, else of the first that has sent anything."""
        inorder = sorted(self.lanes, key=lambda lane: (lane.state == "failed", not lane.output.is_paced))
        return next((found for lane in inorder if (found := lane.latency.percentiles())), {})


def _unexpected(name: str, error: BaseException) -> LivematteError:
    made = SinkError(f"the output '{name}' failed unexpectedly: {type(error).__name__}: {error}.")
    made.__cause__ = error
    return made
