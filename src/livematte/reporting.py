"""How the parts say things: what changed, what was skipped, what the person should know.

The library never prints. Parts that have something to say get a `Reporter`; the command line's prints, the
default one hands the lines to `logging` under the name "livematte".
"""

from __future__ import annotations

import logging
import threading
from typing import Protocol

_logger = logging.getLogger("livematte")


class Reporter(Protocol):
    """Receives one-sentence messages from any thread."""

    def note(self, message: str) -> None:
        """Something the person should know: a choice made, a thing left out, a conversion."""

    def warn(self, message: str) -> None:
        """Something is not as it should be, and the work goes on."""


class Once:
    """A reporter that passes each distinct message on once, so that per-frame code may simply say it."""

    def __init__(self, target: Reporter) -> None:
        self._target = target
        self._said: set[str] = set()
        self._lock = threading.Lock()

    def _first(self, message: str) -> bool:
        with self._lock:
            if message in self._said:
                return False
            self._said.add(message)
            return True

    def note(self, message: str) -> None:
        if self._first(message):
            self._target.note(message)

    def warn(self, message: str) -> None:
        if self._first(message):
            self._target.warn(message)


class LogReporter:
    """Hands every message to `logging`; what library users get unless they pass their own."""

    def note(self, message: str) -> None:
        _logger.info(message)

    def warn(self, message: str) -> None:
        _logger.warning(message)


class ListReporter:
    """Collects the messages; for tests and for `--json`."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.warnings: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)

    def warn(self, message: str) -> None:
        self.warnings.append(message)
