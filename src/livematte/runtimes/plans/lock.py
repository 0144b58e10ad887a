"""One builder a plan: whoever comes second waits for the first one's result."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from livematte.reporting import Reporter

_SECONDS_BETWEEN_WORDS = 60.0
"""TensorRT builds for minutes; a waiting program that says nothing looks like one that hangs."""
_POLL_SECONDS = 0.2


@contextmanager
def building(path: Path, *, what: str, reporter: Reporter) -> Iterator[bool]:
    """Hold the lock at `path` while a plan is built. Gives True where another builder had to be waited for.

    The lock goes with the process that holds it, however that ends. Where the file system has no locks, the plan is
    built without one, which is said: files appear whole in any case (`PlanStore.put`).
    """
    lock = FileLock(str(path), mode=0o600)
    try:
        waited = _acquire(lock, what, reporter)
    except (OSError, NotImplementedError) as error:
        reporter.warn(
            f"no lock can be had in {path.parent} ({error}), so another program may build {what} at the same time."
        )
        yield False
        return
    try:
        yield waited
    finally:
        lock.release()


def _acquire(lock: FileLock, what: str, reporter: Reporter) -> bool:
    try:
        lock.acquire(timeout=0)
        return False
    except Timeout:
        reporter.note(f"another livematte is building {what} at this moment; waiting for it (Ctrl-C ends the wait).")
    begin = time.monotonic()
    while True:
        try:
            lock.acquire(timeout=_SECONDS_BETWEEN_WORDS, poll_interval=_POLL_SECONDS)
            return True
        except Timeout:
            minutes = round((time.monotonic() - begin) / 60)
            reporter.note(f"still waiting for the other livematte that is building {what} ({minutes} min).")


def is_held(path: Path) -> bool:
    """Whether somebody builds this plan at this moment."""
    if not path.exists():
        return False
    lock = FileLock(str(path), mode=0o600)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except (OSError, NotImplementedError):
        return False
    lock.release()
    return False
