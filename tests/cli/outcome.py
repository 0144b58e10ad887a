"""What a command line leaves behind; the fixture `command` gives it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """What a command line left behind."""

    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        """The JSON lines of stdout."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def message(self) -> str:
        """The error: the last line of stderr."""
        return self.err.strip().splitlines()[-1] if self.err.strip() else ""


Command = Callable[..., Outcome]
