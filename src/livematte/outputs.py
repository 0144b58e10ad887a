"""What the outputs of a conversion are called, and which names are refused."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from livematte.config import OutputSettings
from livematte.errors import UsageError
from livematte.sinks.formats import STDOUT, format_for, is_pattern


def resolve_targets(source: str, targets: Sequence[str], settings: OutputSettings) -> list[str]:
    """The outputs' names: those given, else one made of the input's name. UsageError for names that cannot be."""
    if settings.format == "null":
        if targets:
            raise UsageError(f"--format null writes nothing, so -o {targets[0]} has no meaning. Leave one of them out.")
        return ["null"]
    names = list(targets) or [default_target(source, settings)]
    seen: set[Path] = set()
    for name in names:
        format_for(name, settings)
        if name == STDOUT:
            continue
        path = Path(name).absolute()
        if path in seen:
            raise UsageError(f"the output {name} is named twice. Give each output a name of its own.")
        seen.add(path)
        refuse_input_as_output(source, name)
        refuse_existing(name, overwrite=settings.overwrite)
    return names


def default_target(source: str, settings: OutputSettings) -> str:
    """`<stem>_alpha.mov` beside a file, in the current folder for `-` and URLs; by format and background."""
    is_file = "://" not in source and source != STDOUT
    path = Path(source)
    stem = (path.name if path.is_dir() else path.stem.split("%")[0].rstrip("_-. ")) if is_file else ""
    folder = path.parent if is_file and path.parent.is_dir() else Path()
    what = "alpha"
    if settings.background is not None:
        what = _background_word(settings.background)
    elif settings.alpha_only:
        what = "matte"
    elif settings.foreground_only:
        what = "foreground"
    kind = settings.format or ("mp4" if settings.background is not None else "mov")
    suffix = {"png": "/", "rawvideo": ".rgba"}.get(kind, f".{kind}")
    name = f"{stem or 'output'}_{what}{suffix}"
    return name if str(folder) == "." else f"{folder}{os.sep}{name}"


def _background_word(background: str) -> str:
    word = background.split("=")[0] if background.startswith("blur") else Path(background).stem
    safe = "".join(letter if letter.isalnum() else "-" for letter in word).strip("-")
    return safe or "background"


def refuse_input_as_output(source: str, target: str) -> None:
    """UsageError where the output is the input itself, by whatever name."""
    if os.path.exists(source) and os.path.exists(target) and os.path.samefile(source, target):
        raise UsageError(f"the output {target} is the input itself. Give the output another name with -o.")


def refuse_existing(target: str, *, overwrite: bool) -> None:
    """UsageError where the output exists and may not be replaced. An empty folder counts as free."""
    path = Path(target)
    if is_pattern(target):
        first = re.escape(path.name)
        numbered = re.compile(re.sub(r"%0?\d*d", r"\\d+", first))
        occupied = path.parent.is_dir() and any(numbered.fullmatch(one.name) for one in path.parent.iterdir())
    else:
        occupied = any(path.iterdir()) if path.is_dir() else path.exists()
    if occupied and not overwrite:
        raise UsageError(f"{target} exists already. Choose another name with -o, or replace it with --overwrite.")
