"""What a live run shows of itself: one calm line in a terminal, a JSON line a second for a machine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

from livematte.cli.console import Console

if TYPE_CHECKING:
    from rich.live import Live

    from livematte.live.base import LiveState

_SECONDS_BETWEEN_LINES = 1.0
_STATES = {
    "starting": "starting",
    "holding": "waiting for the camera",
    "placeholder": "not running",
    "off": "camera off",
    "idle": "idle",
    "ended": "ended",
}


class ShowState(Protocol):
    """Takes a snapshot about five times a second."""

    def __call__(self, state: LiveState) -> None: ...


@contextmanager
def showing(console: Console) -> Iterator[ShowState]:
    """Shows the state where somebody looks."""
    if console.as_json:
        yield _JsonLines(console)
    elif console.is_terminal:
        from rich.live import Live

        with Live("", console=console.rich, auto_refresh=False, transient=True) as live:
            yield _Line(live)
    else:
        yield lambda state: None


def state_line(state: LiveState) -> str:
    """`29.9 fps | latency 41 ms | 12 dropped | livematte-s 384x224, every frame | processor 87 %`, or why it is not.

    What a narrow terminal cuts off is last.
    """
    if state.state != "running":
        return state.reason or _STATES.get(state.state, state.state)
    parts = [f"{state.fps:.1f} fps"]
    if state.latency_ms:
        parts.append(f"latency {state.latency_ms.get('p50', 0.0):.0f} ms")
    parts.append(f"{state.dropped} dropped")
    if state.faults:
        parts.append(f"{state.faults} restarts" if state.faults > 1 else "1 restart")
    if state.rung:
        parts.append(state.rung)
    parts.append(f"processor {state.cpu_percent:.0f} %")
    return " | ".join(parts)


def as_event(state: LiveState) -> dict[str, Any]:
    """The state as plain values with short numbers."""
    return {key: _short(value) for key, value in asdict(state).items()}


def _short(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, dict):
        return {key: _short(one) for key, one in value.items()}
    return value


class _JsonLines:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = float("-inf")

    def __call__(self, state: LiveState) -> None:
        now = time.monotonic()
        if now - self._last >= _SECONDS_BETWEEN_LINES:
            self._last = now
            self._console.event("progress", as_event(state))


class _Line:
    """Changes twice a second: numbers that flicker cannot be read."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._last = float("-inf")
        self._state = ""

    def __call__(self, state: LiveState) -> None:
        from rich.text import Text

        now = time.monotonic()
        if now - self._last < 0.5 and state.state == self._state:
            return
        self._last, self._state = now, state.state
        self._live.update(Text(state_line(state), no_wrap=True, overflow="ellipsis"), refresh=True)
