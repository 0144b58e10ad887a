"""Misspelt options of commands whose inputs may begin with a hyphen (`-` is stdin)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from cyclopts import App

from livematte.errors import UsageError


def refuse_unknown_options(inputs: Sequence[str], command: Callable[..., int]) -> None:
    """UsageError where an 'input' is a misspelt option: it begins with a hyphen and no such file exists."""
    for word in inputs:
        if word.startswith("-") and word != "-" and not Path(word).exists():
            from livematte.cli.usage import unknown_option

            app = App(default_command=command)
            name = command.__name__
            known = app.assemble_argument_collection()
            raise UsageError(f"{unknown_option(word, known)} 'livematte {name} --help' shows every option.")
