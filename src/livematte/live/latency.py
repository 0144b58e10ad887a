"""What a live run counts: frames, drops, repeats, latency, processor time."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from livematte.live.base import LiveFrame
from livematte.live.messages import Beat

_KEPT = 512
"""Newest latencies that percentiles are taken of: 17 s at 30 fps."""
_WINDOW_SECONDS = 2.0
"""Over which the present speed and processor load are taken."""


class LatencyMeter:
    """Capture to sent of the newest frames, in milliseconds. Thread-safe."""

    def __init__(self) -> None:
        self._newest: deque[float] = deque(maxlen=_KEPT)
        self._lock = threading.Lock()

    def add(self, milliseconds: float) -> None:
        """One frame's latency."""
        with self._lock:
            self._newest.append(milliseconds)

    def percentiles(self) -> dict[str, float]:
        """`p50`, `p95`, `p99` in ms, rounded to 0.1; empty before the first frame."""
        with self._lock:
            newest = list(self._newest)
        if not newest:
            return {}
        found = np.percentile(newest, (50, 95, 99))
        return {name: round(float(value), 1) for name, value in zip(("p50", "p95", "p99"), found, strict=True)}


@dataclass(frozen=True, slots=True)
class LiveSummary:
    """What a live run came to; `as_dict` is the last JSON line."""

    frames: int
    """Distinct source frames that were matted and sent."""
    dropped: int
    """Every other source frame, those that the governor skipped included."""
    repeated: int
    """How often a frame was sent again because no new one had come."""
    fps: float
    latency_ms: dict[str, float]
    """Capture to sent: `p50`, `p95`, `p99`; empty where no frame was sent."""
    cpu_percent: float
    """Both processes together, from the first frame on; 100 is one core."""
    rungs: tuple[str, ...]
    """Each rung that the governor took, oldest first."""
    faults: int
    """How often the worker had to be started again."""
    seconds: float
    outputs: dict[str, str] = field(default_factory=dict)
    """Name -> `closed`, `failed: ...`."""
    interrupted: bool = False
    """Ended by Ctrl-C; the command line ends with 0 all the same, for a camera has no end of its own."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "rungs": list(self.rungs)}


@dataclass(slots=True)
class _Worker:
    """What is known of one worker."""

    counted: int = 0
    """Its source's frames that came or are known to be dropped."""
    last_number: int = -1
    decoded: int = 0
    """By its last beat."""
    cpu_seconds: float = 0.0
    cpu_before: float = 0.0
    """What it had used when the run's first frame came: loading and warming do not count."""
    has_told: bool = False
    rungs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Sample:
    """Totals at one moment, for what is shown of the last two seconds."""

    moment: float
    frames: int
    cpu_seconds: float


class Tally:
    """The counters of a run, over all its workers. Thread-safe.

    `frames`: distinct source frames that were matted and sent by at least one output. `dropped`: every other frame
    that the source gave, known by the gaps in the frames' numbers, by what a worker had decoded when it was ended, and
    by the frames that came and that no output took. Frames on their way are neither, until the run is over.
    """

    def __init__(self) -> None:
        self.frames = 0
        self.first: float | None = None
        """`time.monotonic()` when the first frame came; None before."""
        self._workers: dict[int, _Worker] = {}
        self._lock = threading.Lock()
        self._came = 0
        self._missing = 0
        self._newest_sent = 0
        self._orders: dict[tuple[int, int, int], int] = {}
        """(generation, number, capture) -> place in the run, for the newest frames: numbers alone may begin anew when a
        camera is opened again. Negative once it was sent."""
        self._first_generation = 0
        self._last: float | None = None
        self._own_cpu_before = 0.0
        self._samples: deque[_Sample] = deque()

    def came(self, frame: LiveFrame, now: float) -> None:
        """A frame came out of the ring and is handed to the outputs."""
        with self._lock:
            worker = self._workers.setdefault(frame.generation, _Worker())
            is_next = frame.number > worker.last_number
            gap = frame.number - worker.last_number - 1 if is_next else frame.number
            worker.counted += gap + 1
            worker.last_number = frame.number
            self._missing += gap
            self._came += 1
            self._orders[_key(frame)] = self._came
            if len(self._orders) > _KEPT:  # a slow recording lags by 8 frames at most
                del self._orders[next(iter(self._orders))]
            if self.first is None:
                self.first = now
                self._first_generation = frame.generation
                self._own_cpu_before = time.process_time()

    def taken_back(self, frame: LiveFrame) -> None:
        """The newest frame that came is not to be seen after all (see `skipped`)."""
        with self._lock:
            if self._orders.pop(_key(frame), None) is not None:
                self._came -= 1

    def skipped(self, frame: LiveFrame) -> None:
        """A frame came that nobody is to see (the camera was just switched off, the run is over): not counted."""
        with self._lock:
            worker = self._workers.setdefault(frame.generation, _Worker())
            worker.last_number = frame.number

    def sent(self, frame: LiveFrame, now: float) -> None:
        """An output has sent this frame. Counted once, whichever output is first."""
        key = _key(frame)
        with self._lock:
            self._last = now
            order = self._orders.get(key, -1)
            if order > 0:
                self.frames += 1
                self._newest_sent = max(self._newest_sent, order)
                self._orders[key] = -order

    def beat(self, generation: int, beat: Beat) -> None:
        """A worker told what it has reached."""
        with self._lock:
            worker = self._workers.setdefault(generation, _Worker())
            worker.decoded = max(worker.decoded, beat.decoded)
            worker.cpu_seconds = max(worker.cpu_seconds, beat.cpu_seconds)
            if self.first is None or (generation == self._first_generation and not worker.has_told):
                worker.cpu_before = worker.cpu_seconds
            worker.has_told = True
            worker.rungs = beat.rungs or worker.rungs

    def lost(self, generation: int) -> None:
        """A worker was ended in the middle: what it had decoded and not handed over is dropped."""
        with self._lock:
            worker = self._workers.get(generation)
            if worker is not None and worker.decoded > worker.counted:
                self._missing += worker.decoded - worker.counted
                worker.counted = worker.decoded

    def dropped(self, *, is_over: bool = False) -> int:
        """See the class. `is_over`: frames on their way do not arrive any more."""
        with self._lock:
            return self._missing + (self._came if is_over else self._newest_sent) - self.frames

    @property
    def decoded(self) -> int:
        """Frames that the source gave, over all workers."""
        with self._lock:
            return self._came + self._missing

    @property
    def rungs(self) -> tuple[str, ...]:
        """Each rung that was taken, oldest first."""
        with self._lock:
            return tuple(rung for _, worker in sorted(self._workers.items()) for rung in worker.rungs)

    @property
    def seconds(self) -> float:
        """From the first frame that came to the last one sent."""
        with self._lock:
            return max(0.0, self._last - self.first) if self.first is not None and self._last is not None else 0.0

    def _cpu_seconds(self) -> float:
        """Of both processes since the first frame."""
        if self.first is None:
            return 0.0
        workers = sum(worker.cpu_seconds - worker.cpu_before for worker in self._workers.values())
        return time.process_time() - self._own_cpu_before + workers

    def sample(self, now: float) -> None:
        """Remember this moment; called a few times a second."""
        with self._lock:
            self._samples.append(_Sample(now, self.frames, self._cpu_seconds()))
            while len(self._samples) > 1 and self._samples[1].moment <= now - _WINDOW_SECONDS:
                self._samples.popleft()

    def now_fps(self) -> float:
        """Distinct frames a second over the last two seconds."""
        return self._rate(lambda old, new: new.frames - old.frames)

    def now_cpu_percent(self) -> float:
        """Processor load over the last two seconds; 100 is one core."""
        return 100 * self._rate(lambda old, new: new.cpu_seconds - old.cpu_seconds)

    def _rate(self, gained: Callable[[_Sample, _Sample], float]) -> float:
        with self._lock:
            if len(self._samples) < 2:
                return 0.0
            old, new = self._samples[0], self._samples[-1]
        return round(gained(old, new) / max(new.moment - old.moment, 1e-6), 1)

    def cpu_percent(self) -> float:
        """Processor load from the first frame to the last look (`sample`); 100 is one core."""
        with self._lock:
            if self.first is None or not self._samples or self._samples[-1].moment <= self.first:
                return 0.0
            newest = self._samples[-1]
            return round(100 * newest.cpu_seconds / (newest.moment - self.first), 1)


def _key(frame: LiveFrame) -> tuple[int, int, int]:
    return frame.generation, frame.number, frame.captured_ns
