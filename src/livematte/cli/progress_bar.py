"""What a run has reached: a bar for a person, a JSON line a second for a machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

from livematte.cli.console import Console
from livematte.stats import Progress

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

_SECONDS_BETWEEN_LINES = 1.0


@contextmanager
def observing(console: Console, name: str) -> Iterator[Callable[[Progress], None] | None]:
    """An observer for `Conversion.run` that shows its progress; None where nobody looks."""
    if console.as_json:
        yield _JsonLines(console, name)
    elif console.is_terminal:
        with _bar(console) as bar:
            yield _Shown(bar, bar.add_task(name, total=None, speed="", stage=""))
    else:
        yield None


@contextmanager
def counting(console: Console, what: str) -> Iterator[Callable[[int, int], None]]:
    """A function that is told (done, all) and shows it: a bar from the second picture on, or JSON lines."""
    begin = time.monotonic()
    if console.as_json:
        yield lambda done, total: console.event(
            "progress", {"frames": done, "expected_frames": total, "seconds": round(time.monotonic() - begin, 3)}
        )
        return
    if not console.is_terminal:
        yield lambda done, total: None
        return
    with _bar(console) as bar:
        task = bar.add_task(what, total=None, speed="", stage="", visible=False)

        def count(done: int, total: int) -> None:
            speed = f"{done / max(time.monotonic() - begin, 1e-3):.1f} {what}/s"
            bar.update(task, completed=done, total=total, speed=speed, visible=total > 1)

        yield count


class _JsonLines:
    def __init__(self, console: Console, name: str) -> None:
        self._console = console
        self._name = name
        self._last = float("-inf")

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.finished or now - self._last >= _SECONDS_BETWEEN_LINES:
            self._last = now
            rounded = {k: round(v, 3) if isinstance(v, float) else v for k, v in asdict(progress).items()}
            self._console.event("progress", {"input": self._name, **rounded})


class _Shown:
    def __init__(self, bar: Bar, task: TaskID) -> None:
        self._bar = bar
        self._task = task

    def __call__(self, progress: Progress) -> None:
        stage = "" if progress.limiting_stage is None else f"limited by {progress.limiting_stage}"
        self._bar.update(
            self._task,
            completed=progress.frames,
            total=progress.expected_frames,
            speed=f"{progress.fps:.1f} fps",
            stage=stage,
        )


def _bar(console: Console) -> Bar:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    return Bar(
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TextColumn("{task.fields[stage]}"),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=console.rich,
        transient=True,
    )
