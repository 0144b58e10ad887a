"""What the governor goes by: stage times, lost frames, the camera's own rate and the processor's load."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction

from livematte.frames import Frame
from livematte.live.governor import Window
from livematte.matting.host import Timer
from livematte.stats import Stats

_BESIDE_MATTING = ("composite", "encode")
"""Stages of `pipeline.Pipeline` with a thread of their own that work on each frame; decoding also waits for the camera,
so its time says nothing."""
USUAL_RATE = 30.0
"""Frames a second where neither the source nor its frames tell."""


class StageWatch:
    """A `Timer` that adds up each stage's seconds by one clock, and hands them on to another timer."""

    def __init__(self, target: Timer | None, clock: Callable[[], float]) -> None:
        self._target = target
        self.clock = clock
        self.seconds: dict[str, float] = {}

    @property
    def network_seconds(self) -> float:
        """Of the network (of both, with `--refine-with`) so far, what makes its input included."""
        return sum(self.seconds.get(stage, 0.0) for stage in ("network", "coarse", "preprocess"))

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """See `Timer.measure`."""
        begin = self.clock()
        try:
            if self._target is None:
                yield
            else:
                with self._target.measure(stage):
                    yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + self.clock() - begin

    def beside_matting(self) -> dict[str, float]:
        """Seconds so far of the pipeline's stages beside matting, where the other timer counts them."""
        if not isinstance(self._target, Stats):
            return {}
        stages = self._target.seconds_by_stage()
        return {name: seconds for name, seconds in stages.items() if name.startswith(_BESIDE_MATTING)}


@dataclass(slots=True)
class Meter:
    """Sums of one window. `take` for each frame that was matted, `close` when its second is over."""

    clock: Callable[[], float]
    cpu_clock: Callable[[], float]
    watch: StageWatch
    frame_rate: Fraction | None
    """The source's nominal rate."""

    began: float = 0.0
    frames: int = 0
    missed: int = 0
    matting_seconds: float = 0.0
    _cpu: float = 0.0
    _network: float = 0.0
    _beside: dict[str, float] = field(default_factory=dict)
    _first: tuple[int, int] | None = None
    _last: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Begin a window."""
        self.began = self.clock()
        self.frames = self.missed = 0
        self.matting_seconds = 0.0
        self._cpu = self.cpu_clock()
        self._network = self.watch.network_seconds
        self._beside = self.watch.beside_matting()
        self._first, self._last = self._last, None

    def forget_times(self) -> None:
        """The source stood still: the last frame of the old window says nothing about the rate of the new one."""
        self._first = self._last = None

    def take(self, frame: Frame, seconds: float, missed: int) -> None:
        """A frame was matted in `seconds`; `missed` source frames before it were lost."""
        self.frames += 1
        self.missed += missed
        self.matting_seconds += seconds
        if frame.captured_ns is not None:
            self._last = (frame.index, frame.captured_ns)
            self._first = self._first or self._last

    def close(self) -> Window:
        """What was measured; begins the next window."""
        seconds = self.clock() - self.began
        frames = max(self.frames, 1)
        beside = self.watch.beside_matting()
        other = max((spent - self._beside.get(name, 0.0) for name, spent in beside.items()), default=0.0)
        window = Window(
            seconds=seconds,
            frames=self.frames,
            missed=self.missed,
            rate=self._rate(),
            network_ms=1000.0 * (self.watch.network_seconds - self._network) / frames,
            matting_ms=1000.0 * self.matting_seconds / frames,
            other_ms=1000.0 * other / frames,
            cpu_cores=(self.cpu_clock() - self._cpu) / seconds if seconds > 0 else 0.0,
        )
        self.restart()
        return window

    def _rate(self) -> float:
        """By the frames' own numbers and capture times: a camera in a dark room gives half of what it promised."""
        nominal = float(self.frame_rate) if self.frame_rate else USUAL_RATE
        if self._first is None or self._last is None:
            return nominal
        frames, nanoseconds = self._last[0] - self._first[0], self._last[1] - self._first[1]
        if frames <= 0 or nanoseconds <= 0:
            return nominal
        measured = 1e9 * frames / nanoseconds
        return min(measured, nominal) if self.frame_rate else measured
