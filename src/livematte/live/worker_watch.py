"""What the worker has reached and how long each part has been at it: looked at by a thread of its own.

A hung camera read or engine cannot report itself. So the parts are wrapped: each leaves the moment at which it
began, or at which it last gave something, and the thread that beats (`Beats`) works out the ages.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from livematte.config import MattingSettings
from livematte.frames import AudioPacket, Composite, Frame, MattedFrame
from livematte.live.messages import Beat
from livematte.matting.base import Matting
from livematte.pipeline import Compositing
from livematte.sources.base import Source, SourceAround
from livematte.stats import Stats

BEAT_SECONDS = 0.25
_STAGES_EVERY = 4
"""Beats between two looks at the stage times: medians of ten stages take 0.5 ms."""
_NEWEST = 64
"""Durations that a stage's median is made of: about two seconds."""


_NAMES = {"encode": "hand over"}
"""The pipeline's names -> what they are here: the sink is the ring."""


class LiveMatting(Matting, Protocol):
    """Matting whose settings change while it runs (`governed.GovernedMatting`)."""

    @property
    def rung(self) -> str:
        """How it runs now, for persons."""

    @property
    def rungs(self) -> tuple[str, ...]:
        """Each rung that was taken so far, oldest first."""

    def change(self, settings: MattingSettings) -> None:
        """Other settings from the next frame on. Called from any thread."""


class Activity:
    """Moments that the pipeline's threads leave, and counters over the worker's whole life."""

    def __init__(self) -> None:
        self.decoded = 0
        self._given: float | None = None
        self._busy: dict[str, float] = {}

    def begin(self) -> None:
        """The source is being read from now on."""
        self._busy.clear()
        self._given = time.monotonic()

    def rest(self) -> None:
        """Nothing is read: asleep, or between two runs."""
        self._given = None
        self._busy.clear()

    def gave(self) -> None:
        """The source gave a frame."""
        self.decoded += 1
        self._given = time.monotonic()

    @contextmanager
    def busy(self, part: str) -> Iterator[None]:
        """`part` has a frame in its hands."""
        self._busy[part] = time.monotonic()
        try:
            yield
        finally:
            self._busy.pop(part, None)

    def source_age(self) -> float:
        """Seconds since the source gave its last frame, or since it was begun; 0 while nothing is read."""
        given = self._given
        return 0.0 if given is None else time.monotonic() - given

    def matting_age(self) -> float:
        """Seconds that matting or compositing has had the same frame in its hands; 0: none."""
        began = list(self._busy.values())
        return time.monotonic() - min(began) if began else 0.0


class WatchedSource(SourceAround):
    """A source that leaves a moment for each frame."""

    def __init__(self, source: Source, activity: Activity) -> None:
        super().__init__(source)
        self._activity = activity

    def __iter__(self) -> Iterator[Frame | AudioPacket]:
        for item in self._source:
            if isinstance(item, Frame):
                self._activity.gave()
            yield item


class WatchedMatting:
    """Matting that leaves the moment at which it took a frame."""

    def __init__(self, matting: LiveMatting, activity: Activity) -> None:
        self._matting = matting
        self._activity = activity

    @property
    def delay_frames(self) -> int:
        return self._matting.delay_frames

    def push(self, frames: Sequence[Frame]) -> list[MattedFrame]:
        with self._activity.busy("matting"):
            return self._matting.push(frames)

    def flush(self) -> list[MattedFrame]:
        return self._matting.flush()

    def reset(self) -> None:
        self._matting.reset()

    def close(self) -> None:
        self._matting.close()


class WatchedCompositor:
    """A compositor that leaves the moment at which it took a frame."""

    def __init__(self, compositor: Compositing, activity: Activity) -> None:
        self._compositor = compositor
        self._activity = activity

    def composite(self, matted: MattedFrame) -> Composite | None:
        with self._activity.busy("composite"):
            return self._compositor.composite(matted)

    def close(self) -> None:
        self._compositor.close()


class Beats:
    """Sends a `Beat` four times a second while the worker runs or sleeps."""

    def __init__(self, activity: Activity, send: Callable[[Beat], None]) -> None:
        self.is_running = False
        self.published: Callable[[], int] = int
        self._stats: Stats | None = None
        self._matting: LiveMatting | None = None
        self._rungs: tuple[str, ...] = ()
        """Of the runs before."""
        self._activity = activity
        self._send = send
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="livematte-beats", daemon=True)

    def watch(self, matting: LiveMatting, stats: Stats) -> None:
        """Another run: its stage times and rungs from now on."""
        stats.stages.clear()  # the warm-up's
        if self._matting is not None:
            self._rungs += self._matting.rungs
        self._matting, self._stats = matting, stats

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        beats, stages = 0, dict[str, float]()
        while not self._ended.wait(BEAT_SECONDS):
            if not self.is_running:
                continue
            if beats % _STAGES_EVERY == 0:
                stages = medians(self._stats) if self._stats is not None else {}
            beats += 1
            matting = self._matting
            self._send(
                Beat(
                    decoded=self._activity.decoded,
                    published=self.published(),
                    source_age_seconds=self._activity.source_age(),
                    matting_age_seconds=self._activity.matting_age(),
                    cpu_seconds=time.process_time(),
                    stages_ms=stages,
                    rung="" if matting is None else matting.rung,
                    rungs=self._rungs + (() if matting is None else matting.rungs),
                )
            )


def medians(stats: Stats) -> dict[str, float]:
    """Median milliseconds of each stage, over its newest `_NEWEST` items."""
    found: dict[str, float] = {}
    for name, times in list(stats.stages.items()):
        kept = len(times.newest_ms)
        end = times.count % kept if kept and times.count > kept else kept
        newest = times.newest_ms[max(0, end - _NEWEST) : end]
        if newest:
            found[_NAMES.get(name, name)] = statistics.median(newest)
    return found
