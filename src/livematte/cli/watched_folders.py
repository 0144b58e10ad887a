"""What `--watch` can be given: folders to look into, and one for the results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from livematte.errors import UsageError


def folders_to_watch(inputs: Sequence[str], targets: Sequence[str], *, command: str, things: str) -> list[Path]:
    """The folders named; UsageError for inputs and outputs with which `--watch` cannot work.

    `command`: `convert` or `photo`; `things`: what it waits for, as `clips`.
    """
    folders = [Path(one) for one in inputs]
    wrong = [one for one, folder in zip(inputs, folders, strict=True) if not folder.is_dir()]
    if wrong:
        raise UsageError(f"--watch waits for {things} in folders, and {', '.join(wrong)} is no folder. Name one.")
    example = f"livematte {command} {inputs[0]} --watch -o {folders[0].resolve().name or things}-alpha/"
    if len(targets) != 1 or targets[0] == "-" or Path(targets[0]).is_file():
        given = ", ".join(targets) or "none"
        raise UsageError(f"with --watch, -o must be one folder for the results; got {given}. So: {example}")
    results = Path(targets[0]).resolve()
    for folder in folders:
        if folder.resolve().is_relative_to(results):
            raise UsageError(
                f"the results would go into {targets[0]}, where --watch looks for {things}, and each would be taken "
                f"for a new one. Name another folder; one within {folder} may be. So: {example}"
            )
    return folders
