"""The command line: one file a command; the only place that prints."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run `livematte` with `arguments` (default: those of the process) and end the process with its exit code."""
    from livematte.cli.app import run

    raise SystemExit(run(sys.argv[1:] if arguments is None else list(arguments)))
