"""Requests to end (Ctrl-C, SIGTERM, SIGHUP), which a terminal or systemd sends to both processes at once.

The supervisor takes them as calls instead of exceptions, so that they never strike between a start and its record; the
worker ignores them, for the supervisor ends it in order, and would take an end of its own for a fault.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

REQUESTS: Final = frozenset(
    number for name in ("SIGINT", "SIGTERM", "SIGHUP") if (number := getattr(signal, name, None)) is not None
)


def ignore_requests_to_end() -> None:
    """In the worker's process, on its main thread."""
    for number in REQUESTS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def interrupts_into(on_interrupt: Callable[[], None], on_terminate: Callable[[], None]) -> Iterator[None]:
    """While the block runs on the main thread, Ctrl-C calls the first, SIGTERM and SIGHUP the second function.

    A signal that somebody else has taken, or that is ignored, is left alone; so are other threads' blocks.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[int, Any] = {}
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        before[signal.SIGINT] = signal.signal(signal.SIGINT, lambda *_: on_interrupt())
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            before[number] = signal.signal(number, lambda *_: on_terminate())
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
