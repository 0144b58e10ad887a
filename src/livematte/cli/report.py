"""`--report FILE`: the summary with everything that is needed to repeat and to judge the run."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from livematte import __version__
from livematte.cli.console import Console
from livematte.config import Settings
from livematte.errors import SinkError


def write_report(path: str | None, summary: Mapping[str, Any], settings: Settings, console: Console) -> None:
    """Write the report where one was asked for. SinkError where it cannot be written."""
    if path is None:
        return
    report = {
        "livematte": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "summary": summary,
        "settings": settings.model_dump(mode="json"),
        "notes": console.notes,
        "warnings": console.warnings,
    }
    try:
        Path(path).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise SinkError(f"the report {path} cannot be written: {error.strerror or error}.") from error
