"""A builder's nested phases as one number that only rises."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from livematte.reporting import Reporter
from livematte.runtimes.tensorrt.request import Progress

_ROOT_SHARE = 0.9
"""Of what is left, for each outermost phase. TensorRT-RTX 1.7 has one outermost phase; others may have several."""


@dataclass(slots=True)
class _Phase:
    parent: str | None
    steps: int
    done: int = 0


class PhaseTree:
    """Follows what an IProgressMonitor is told: phases with a number of steps, inside a step of their parent.

    A phase's share of the whole is one step of its parent's. Phases may run beside each other, and libraries differ
    in how many outermost ones they have: a later one starts in what the earlier ones left.
    """

    def __init__(self, report: Progress, *, start: float = 0.0, end: float = 1.0) -> None:
        """`start` and `end`: which part of the whole the builder's own phases are, 0 to 1."""
        self._report = report
        self._base = start
        self._end = end
        self._phases: dict[str, _Phase] = {}
        self._best = start
        self._said = -1.0
        self._lock = threading.Lock()

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """A phase begins."""
        with self._lock:
            self._phases[name] = _Phase(parent, max(steps, 1))
        self._tell(name)

    def step(self, name: str, step: int) -> None:
        """Step number `step` of a phase is done, counted from 0."""
        with self._lock:
            phase = self._phases.get(name)
            if phase is not None:
                phase.done = max(phase.done, min(step + 1, phase.steps))
        self._tell(name)

    def finish(self, name: str) -> None:
        """A phase is over, whether all its steps were or not."""
        with self._lock:
            phase = self._phases.pop(name, None)
            if phase is not None and phase.parent is None:
                # What the next outermost phase shares in: a part of what is left, as nobody says how many come.
                self._base = self._best = max(self._best, self._base + (self._end - self._base) * _ROOT_SHARE)
        self._tell(name)

    def fraction(self) -> float:
        """How much of the whole is behind, 0 to 1; never falls."""
        with self._lock:
            roots = [name for name, phase in self._phases.items() if phase.parent is None]
            inside = max((self._inside(name) for name in roots), default=0.0)
            self._best = max(self._best, self._base + (self._end - self._base) * _ROOT_SHARE * inside)
            return self._best

    def _inside(self, name: str, depth: int = 0) -> float:
        """How much of one phase is behind; its running children add their share of the step they are in."""
        phase = self._phases[name]
        children = [child for child, of in self._phases.items() if of.parent == name and child != name]
        inner = max((self._inside(child, depth + 1) for child in children), default=0.0) if depth < 16 else 0.0
        return min((phase.done + inner) / phase.steps, 1.0)

    def _tell(self, name: str) -> None:
        """Say it, but not more often than each half per cent: a build has tens of thousands of steps."""
        now = self.fraction()
        with self._lock:
            if now - self._said < 0.005:
                return
            self._said = now
        self._report(name, now)


class Milestones:
    """A progress that says now and then, in a sentence, how far a long build is; short ones pass in silence."""

    EVERY_SECONDS = 15.0

    def __init__(self, what: str, reporter: Reporter, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._what = what
        self._reporter = reporter
        self._clock = clock
        self._last = clock()

    def __call__(self, stage: str, fraction: float) -> None:
        """As `request.Progress`."""
        now = self._clock()
        if now - self._last < self.EVERY_SECONDS or fraction >= 1.0:
            return
        self._last = now
        self._reporter.note(f"building {self._what}: {100 * fraction:.0f} % ({stage})")
