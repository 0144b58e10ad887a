"""Which network size, model and rate this machine can hold: decisions only, no clocks, no threads.

The governor goes down a ladder, one rung at a time, when frames come too late or the share of the processor is used
up, and up again when there is time to spare. `governed.py` measures and carries the steps out.

Note [Hysteresis]
    A rung is kept for at least `KEEP_SECONDS`. It is left downwards after `LATE_SECONDS` of overload, and upwards when
    the rung above is expected to fit with a quarter to spare for `SPARE_SECONDS` on end. A rung that has failed has to
    wait twice as long each time, an hour at most; `FORGIVE_SECONDS` without trouble on it clear its record. What is
    expected of another rung follows from what is measured here, so a load that stays the same moves nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from livematte.config import Quality

KEEP_SECONDS = 10.0
"""A rung is not left again before that."""
LATE_SECONDS = 2.0
"""Overload for so long is no accident."""
SPARE_SECONDS = 15.0
"""Headroom for so long is worth a step up."""
FORGIVE_SECONDS = 600.0
_LONGEST_WAIT_SECONDS = 3600.0
_COUNTED_SECONDS = 1.5
"""A window counts for no more than this: one frame that hung for seconds is still one accident."""

FITS = 0.75
"""A rung is gone up to only where it is expected to load the machine no more than this."""
_BUSY_LIMIT = 0.9
"""A stage that works longer than this share of a frame time has no room for jitter."""
_WITH_THE_REST = 1.25
"""Warming runs matting alone; decoding and compositing take a quarter of its processor time more (720p: 7 to 27 ms)."""
_MISSED_LIMIT = 0.02
"""More source frames lost than this: late, whatever the stage times say."""


@dataclass(frozen=True, slots=True)
class Rung:
    """One way to run: a network at a size, on every frame or every 2nd or 3rd."""

    model: str
    """The network's name."""
    size: str
    """Of the network's input, WIDTHxHEIGHT."""
    every: int
    """1: every frame; 2: every second one..."""
    cost: float
    """Work of the network for one frame, in a unit that all rungs of a ladder share."""
    quality: Quality = "good"
    network_size: str | None = None
    """`ModelSettings.network_size` that gives this size; None: `quality` does."""

    def __str__(self) -> str:
        return f"{self.model} {self.size}, {every_words(self.every)}"


@dataclass(frozen=True, slots=True)
class Window:
    """What was measured over about a second."""

    seconds: float
    frames: int
    """Frames that were matted."""
    missed: int
    """Source frames that were lost because matting was late; not those that a rung skips."""
    rate: float
    """Frames a second that the source gives."""
    network_ms: float
    """The network's time a matted frame."""
    matting_ms: float
    """All of matting a matted frame, the network included."""
    other_ms: float
    """The slowest stage beside matting, a frame."""
    cpu_cores: float
    """Cores that were busy for this process, on average."""


@dataclass(frozen=True, slots=True)
class Step:
    """Go to this rung, and say so."""

    rung: Rung
    sentence: str


class Governor:
    """Holds a ladder and a place on it. `observe` is called about once a second, with the time of day in seconds."""

    def __init__(self, rungs: Sequence[Rung], *, cpu_budget: float, now: float) -> None:
        """`rungs`: best first, each lighter than the one before. `cpu_budget`: cores that may be busy."""
        if not rungs:
            raise ValueError("a ladder needs a rung")
        self._rungs = list(rungs)
        self._budget = cpu_budget
        self._at = 0
        self._since = now
        self._late = 0.0
        self._spare = 0.0
        self._failures: dict[Rung, int] = {}
        self._pending = False
        self._said_bottom = False

    @property
    def rung(self) -> Rung:
        return self._rungs[self._at]

    @property
    def rungs(self) -> tuple[Rung, ...]:
        """The ladder, best first."""
        return tuple(self._rungs)

    @property
    def is_stepping(self) -> bool:
        """True between a step and its `arrive` or `withdraw`."""
        return self._pending

    def start(self, network_ms: float, matting_ms: float, cpu_ms: float, rate: float) -> Rung:
        """The rung to begin with, by what one frame took on the first one while it was warmed.

        It saves the first minute on a slow machine, which one rung in ten seconds would otherwise cost.
        """
        window = Window(1.0, 1, 0, rate, network_ms, matting_ms, 0.0, _WITH_THE_REST * cpu_ms / 1000.0 * rate)
        for at, rung in enumerate(self._rungs):
            self._at = at
            if self._expected(window, self._rungs[0], rung) <= 1.0:
                break
        return self.rung

    def offer(self, rungs: Sequence[Rung]) -> None:
        """Another ladder: an engine has become ready. The present rung stays on it until it is left."""
        here = self.rung
        missing = [] if here in rungs else [here]
        self._rungs = sorted([*rungs, *missing], key=lambda rung: -rung.cost / rung.every)
        self._at = self._rungs.index(here)
        self._said_bottom = False

    def withdraw(self, rung: Rung) -> None:
        """A rung whose engine failed is not offered again; the step to it is off."""
        self._pending = False
        if rung != self.rung:
            here = self.rung
            self._rungs.remove(rung)
            self._at = self._rungs.index(here)

    def arrive(self, rung: Rung, now: float) -> None:
        """The step is done: from now on `rung` is the present one."""
        self._at = self._rungs.index(rung)
        self._since = now
        self._late = self._spare = 0.0
        self._pending = False

    def pause(self) -> None:
        """The camera was closed for a while: what was counted before says nothing about now."""
        self._late = self._spare = 0.0

    def observe(self, window: Window, now: float) -> Step | None:
        """A step to take, or None. After a step nothing more is decided until `arrive` or `withdraw`."""
        if self._pending or window.frames == 0 or window.seconds <= 0:
            return None
        load, reason = self._load(window)
        counted = min(window.seconds, _COUNTED_SECONDS)
        self._late = self._late + counted if load > 1.0 else 0.0
        self._spare = self._spare + counted if self._fits_above(window) else 0.0
        if now - self._since >= FORGIVE_SECONDS and self._late == 0.0:
            self._failures.pop(self.rung, None)
        if now - self._since < KEEP_SECONDS:
            return None
        if self._late >= LATE_SECONDS:
            return self._down(reason)
        if self._spare >= self._wait_seconds():
            return self._up()
        return None

    # -- what is measured, what is expected -----------------------------------------------------------------------

    def _load(self, window: Window) -> tuple[float, str]:
        """(1 is the limit, why in words)."""
        frame_ms = 1000.0 * self.rung.every / window.rate
        busiest = max(window.matting_ms, window.other_ms)
        time_load = busiest / (_BUSY_LIMIT * frame_ms)
        cpu_load = window.cpu_cores / self._budget
        source_frames = window.frames * self.rung.every + window.missed
        missed = window.missed / source_frames
        if missed > _MISSED_LIMIT:
            return max(time_load, cpu_load, 1.0 + missed), f"{missed:.0%} of the camera's frames came too late"
        if cpu_load > time_load:
            percent = 100 * window.cpu_cores
            return (
                cpu_load,
                f"the processor works at {percent:.0f} % of one core, and may at {100 * self._budget:.0f} %",
            )
        return time_load, f"a frame takes {busiest:.0f} ms, and there is one every {frame_ms:.0f} ms"

    def _expected(self, window: Window, here: Rung, there: Rung) -> float:
        """Load on another rung, from what is measured on this one."""
        change = there.cost / here.cost
        network_ms = window.network_ms * change
        matting_ms = window.matting_ms - window.network_ms + network_ms
        frame_ms = 1000.0 * there.every / window.rate
        time_load = max(matting_ms, window.other_ms) / (_BUSY_LIMIT * frame_ms)
        # Upwards all of the processor's work is taken to grow as the network's does, downwards only the network's
        # part of it to shrink: the estimate errs towards the lighter rung.
        share = 1.0 if change > 1 else window.network_ms / max(window.matting_ms, 1e-6)
        cpu = window.cpu_cores * (1.0 + share * (change - 1.0)) * here.every / there.every
        return max(time_load, cpu / self._budget)

    def _fits_above(self, window: Window) -> bool:
        if self._at == 0:
            return False
        missed = window.missed / (window.frames * self.rung.every + window.missed)
        return missed <= _MISSED_LIMIT and self._expected(window, self.rung, self._rungs[self._at - 1]) <= FITS

    def _wait_seconds(self) -> float:
        failures = self._failures.get(self._rungs[self._at - 1], 0) if self._at else 0
        return min(SPARE_SECONDS * 2.0**failures, _LONGEST_WAIT_SECONDS)

    # -- steps ----------------------------------------------------------------------------------------------------

    def _down(self, reason: str) -> Step | None:
        if self._at == len(self._rungs) - 1:
            if self._said_bottom:
                return None
            self._said_bottom = True
            return Step(
                self.rung,
                f"{_capital(reason)}, and there is nothing lighter left to change to. A smaller picture "
                "(--camera-size 640x480) or a larger --cpu-share helps.",
            )
        self._failures[self.rung] = min(self._failures.get(self.rung, 0) + 1, 16)
        self._pending = True
        there = self._rungs[self._at + 1]
        return Step(there, f"{_capital(reason)}: {_difference(self.rung, there)}.")

    def _up(self) -> Step:
        self._pending = True
        there = self._rungs[self._at - 1]
        return Step(there, f"There is time to spare: {_difference(self.rung, there)}.")


def every_words(every: int) -> str:
    """`every frame`, `every 2nd frame`, `every 3rd frame`."""
    return {1: "every frame", 2: "every 2nd frame", 3: "every 3rd frame"}.get(every, f"every {every}th frame")


def _difference(here: Rung, there: Rung) -> str:
    """What a person would notice of the step."""
    said: list[str] = []
    if there.model != here.model:
        said.append(f"the network {there.model} at {there.size} takes over from {here.model}")
    elif there.size != here.size:
        said.append(f"the network now sees the picture at {there.size}, before at {here.size}")
    if there.every != here.every:
        said.append(f"{every_words(there.every)} is shown, before {every_words(here.every)}")
    return ", and ".join(said)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
