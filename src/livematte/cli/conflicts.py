"""Says at the start of a run that two packages own one module, with the repair."""

from __future__ import annotations

from livematte.cli.console import Console
from livematte.doctor.conflicts import find_conflicts


def warn_of_conflicts(console: Console) -> None:
    """One warning a module that has several owners. `livematte doctor` shows the same."""
    for conflict in find_conflicts():
        console.warn(f"{conflict.problem} {conflict.repair}")
