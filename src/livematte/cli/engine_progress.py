"""What a build has reached: a bar for a person, lines of JSON for a machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from livematte.cli.console import Console

Progress = Callable[[str, float], None]
"""Told what is being done, and how much of the whole is done, 0 to 1."""

_SECONDS_BETWEEN_LINES = 1.0


@contextmanager
def watching(console: Console, name: str) -> Iterator[Progress]:
    """A function that is told (stage, share done) and shows it: a bar for a person, lines of JSON for a machine."""
    if console.as_json:
        yield _JsonLines(console, name)
    elif console.is_terminal:
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f} %"),
        )
        with Bar(*columns, TimeElapsedColumn(), console=console.rich, transient=True) as bar:
            task = bar.add_task(name, total=1.0)
            yield lambda stage, done: bar.update(task, description=f"{name}: {stage}", completed=done)
    else:
        yield lambda stage, done: None


class _JsonLines:
    """One event when a stage begins or ends, and one a second in between."""

    def __init__(self, console: Console, name: str) -> None:
        self._console = console
        self._name = name
        self._begin = time.monotonic()
        self._last = float("-inf")
        self._stage: str | None = None

    def __call__(self, stage: str, done: float) -> None:
        now = time.monotonic()
        if stage == self._stage and done < 1 and now - self._last < _SECONDS_BETWEEN_LINES:
            return
        self._stage, self._last = stage, now
        values = {"plan": self._name, "stage": stage, "done": round(done, 3), "seconds": round(now - self._begin, 3)}
        self._console.event("progress", values)
