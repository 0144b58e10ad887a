"""Where the time goes: busy time of each stage, drops, and what a run has reached so far."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

_KEPT = 4096
"""Newest durations kept a stage, for percentiles; 32 KB, whatever the length of the run."""


@dataclass(slots=True)
class StageTimes:
    """Busy time of one stage: its work, not its waiting."""

    count: int = 0
    total_seconds: float = 0.0
    newest_ms: list[float] = field(default_factory=list)
    """Ring of the newest durations in milliseconds."""

    def percentile_ms(self, percent: float) -> float:
        """Percentile (0..100) of the newest durations in milliseconds; 0 before the first."""
        return float(np.percentile(self.newest_ms, percent)) if self.newest_ms else 0.0


class Stats:
    """Stage times and counters of one run, filled from all its threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.stages: dict[str, StageTimes] = {}
        self.started = time.monotonic()

    def add(self, stage: str, seconds: float) -> None:
        """Record that one item took `seconds` of work in `stage`."""
        with self._lock:
            times = self.stages.setdefault(stage, StageTimes())
            if len(times.newest_ms) < _KEPT:
                times.newest_ms.append(1000.0 * seconds)
            else:
                times.newest_ms[times.count % _KEPT] = 1000.0 * seconds
            times.count += 1
            times.total_seconds += seconds

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Record the time that the block takes, also where it raises."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.add(stage, time.perf_counter() - begin)

    def seconds_by_stage(self) -> dict[str, float]:
        """Busy seconds of each stage so far."""
        with self._lock:
            return {name: times.total_seconds for name, times in self.stages.items()}

    def limiting_stage(self, among: tuple[str, ...]) -> str | None:
        """The stage of `among` (those with a thread of their own) that has worked longest; None before any did."""
        seconds = {name: total for name, total in self.seconds_by_stage().items() if name in among}
        return max(seconds, key=lambda name: seconds[name]) if seconds else None


@dataclass(frozen=True, slots=True)
class Progress:
    """What a run has reached; handed to observers about five times a second, and once at the end."""

    frames: int
    """Frames that every sink has taken."""
    expected_frames: int | None
    fps: float
    """Measured over the run so far."""
    seconds: float
    """Since the run began."""
    seconds_left: float | None
    limiting_stage: str | None
    """The stage with a thread of its own that has worked longest."""
    bytes_written: int
    expected_bytes: int | None
    """By what the frames so far took; None during the first 30 frames and where the length is not known."""
    dropped: int
    repeated: int
    empty_frames: int
    """Frames in which the network saw nobody (mean alpha below 0.005)."""
    finished: bool = False
