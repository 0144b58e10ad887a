"""The clock of tests that watch a folder: no second passes for real."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Step = Callable[[], object]


def nothing() -> None:
    """A second in which nothing comes."""


class WatchTime:
    """Seconds pass only where the loop waits; before each, a step of the test happens. After the last: Ctrl-C."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.now = 1000.0
        self._steps = list(steps)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        if not self._steps:
            raise KeyboardInterrupt
        self._steps.pop(0)()
