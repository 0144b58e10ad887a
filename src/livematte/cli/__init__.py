"""The command line: one file a command; the only place that prints."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Sequence
from typing import NoReturn


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run `livematte` with `arguments` (default: those of the process) and end the process with its exit code."""
    try:
        from livematte.cli.app import run

        code = run(sys.argv[1:] if arguments is None else list(arguments))
    except KeyboardInterrupt:  # while modules are being imported, or once more while the first one is being answered
        code = 130
    if any(thread.name.startswith("livematte-") for thread in threading.enumerate()):
        _end_at_once(code)
    raise SystemExit(code)


def _end_at_once(code: int) -> NoReturn:
    """For threads that hang in native code (`pipeline.py`, Note [How a run ends]): unwinding them ends in abort()."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):
            stream.flush()
    os._exit(code)
