"""Looks on while a conversion runs: when each frame came in and was done, what waited, what each stage took.

Note [Latency]
    A frame's latency runs from the moment the source handed it over (paced: the moment it was due) until its sink had
    taken it. In a saturated run it contains the wait in the channels between the stages, which are full then: it is
    the time a frame spends in the program, and the paced runs have the figure that a camera would see. An encoder
    that looks ahead (x264, VP9) still holds frames that it has taken.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from livematte.bench.plan import Length
from livematte.frames import AudioPacket, Composite, Frame, MattedFrame, StreamInfo
from livematte.pipeline import Pipeline
from livematte.sinks.base import Sink, Wants
from livematte.sources.base import Source

Written = MattedFrame | Composite | AudioPacket


@dataclass(slots=True)
class StageMark:
    """A stage's count and busy seconds when the warm-up ended."""

    count: int
    seconds: float


@dataclass(slots=True)
class Probe:
    """`conversion.Probe` for one run of one sink. `on_measuring` is called once, when the warm-up is over."""

    length: Length
    pace: float = 0.0
    """Frames a second that arrive; 0: as fast as they are taken."""
    stand_in: Callable[[Sink, StreamInfo], Sink] | None = None
    """Makes the sink that takes the place of the conversion's own."""
    on_measuring: Callable[[], None] | None = None

    done: list[float] = field(default_factory=list)
    """`time.perf_counter()` when the sink had taken each frame, in order."""
    latency_ms: list[float] = field(default_factory=list)
    """Of each frame that was done, in the same order."""
    depths: dict[str, list[int]] = field(default_factory=dict)
    """Items that waited before each stage, each time a frame was done."""
    marks: dict[str, StageMark] = field(default_factory=dict)
    handed: int = 0
    measured_handed: int = 0
    """Frames that the source gave out after the warm-up."""
    late_ms: list[float] = field(default_factory=list)
    """Paced: how late each frame was ready at the source."""
    decode_ms: list[float] = field(default_factory=list)
    """What the source itself took for each frame: the pipeline's own figure would contain a pace's waiting."""
    cpu_seconds: float = 0.0
    """Processor time of all threads between the warm-up and the newest frame that was done."""
    _cpu_begin: float = 0.0
    pipeline: Pipeline | None = None
    measuring_since: float | None = None
    _begun: dict[int, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    # -- what the conversion calls ------------------------------------------------------------------------------

    def source(self, source: Source) -> Source:
        """The source, with its frames noted, and paced where that is asked."""
        return _Source(self, source)

    def sink(self, sink: Sink, info: StreamInfo) -> Sink:
        """The sink, with its frames noted."""
        return _Sink(self, sink if self.stand_in is None else self.stand_in(sink, info))

    def starts(self, pipeline: Pipeline) -> None:
        """See `conversion.Probe`."""
        self.pipeline = pipeline

    # -- what its two ends call ---------------------------------------------------------------------------------

    def came(self, index: int, moment: float) -> None:
        """A frame was handed over."""
        with self._lock:
            self._begun[index] = moment
            self.handed += 1
            if self.measuring_since is not None:
                self.measured_handed += 1

    def went(self, index: int) -> None:
        """The sink has taken a frame."""
        now = time.perf_counter()
        self.cpu_seconds = time.process_time() - self._cpu_begin
        with self._lock:
            begun = self._begun.pop(index, None)
            for older in [known for known in self._begun if known < index]:
                del self._begun[older]  # dropped on the way
        self.done.append(now)
        self.latency_ms.append(1000 * (now - begun) if begun is not None else 0.0)
        if self.pipeline is not None:
            for stage, count in self.pipeline.waiting().items():
                self.depths.setdefault(stage, []).append(count)
        if len(self.done) == self.length.warm_up + 1:
            self._begin_measuring(now)

    def _begin_measuring(self, now: float) -> None:
        """The frame that is done now is the zero of the clock; what follows counts."""
        if self.pipeline is not None:
            stages = self.pipeline.stats.stages
            seconds = self.pipeline.stats.seconds_by_stage()
            self.marks = {name: StageMark(stages[name].count, total) for name, total in seconds.items()}
        if self.on_measuring is not None:
            self.on_measuring()
        self._cpu_begin = time.process_time()
        self.measuring_since = now

    def is_over(self) -> bool:
        """True once the run has measured long enough."""
        since = self.measuring_since
        return since is not None and time.perf_counter() - since >= self.length.seconds


class _Source:
    """A source that gives out `length` frames at most, on time where there is a pace."""

    def __init__(self, probe: Probe, inner: Source) -> None:
        self._probe = probe
        self._inner = inner
        self.name = inner.name
        self.is_live = bool(probe.pace) or inner.is_live
        self.info = inner.info
        self.decoder = inner.decoder

    @property
    def damaged(self) -> int:
        return self._inner.damaged

    def __iter__(self) -> Iterator[Frame | AudioPacket]:
        probe, frames, begin = self._probe, 0, 0.0
        items = iter(self._inner)
        while True:
            asked = time.perf_counter()
            item = next(items, None)
            if item is None:
                return
            if isinstance(item, Frame):
                probe.decode_ms.append(1000 * (time.perf_counter() - asked))
                if frames >= probe.length.warm_up + probe.length.frames or probe.is_over():
                    return
                begin = begin or time.perf_counter()
                probe.came(item.index, self._wait(begin, frames))
                frames += 1
            yield item

    def _wait(self, begin: float, number: int) -> float:
        """Sleep until a frame is due; the moment that it counts from."""
        if not self._probe.pace:
            return time.perf_counter()
        due = begin + number / self._probe.pace
        rest = due - time.perf_counter()
        if rest > 0:
            time.sleep(rest)
        self._probe.late_ms.append(max(0.0, -1000 * rest))
        return due

    def close(self) -> None:
        self._inner.close()


class _Sink:
    """A sink whose frames are noted when it has taken them."""

    def __init__(self, probe: Probe, inner: Sink) -> None:
        self._probe = probe
        self._inner = inner
        self.name = inner.name
        self.wants: Wants = inner.wants
        self.wants_audio = inner.wants_audio
        self.alpha_bits = inner.alpha_bits
        self.drops = inner.drops
        self.encoder = inner.encoder

    @property
    def bytes_written(self) -> int:
        return self._inner.bytes_written

    def open(self, info: StreamInfo) -> None:
        self._inner.open(info)

    def write(self, item: Written) -> None:
        self._inner.write(item)
        if not isinstance(item, AudioPacket):
            matted = item.matted if isinstance(item, Composite) else item
            self._probe.went(matted.frame.index)

    def close(self) -> None:
        self._inner.close()

    def abort(self, *, keep: bool) -> None:
        self._inner.abort(keep=keep)
