"""What the outputs of a conversion are called, and which names are refused."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from livematte.config import OutputSettings
from livematte.errors import UsageError
from livematte.sinks.faults import explained
from livematte.sinks.formats import FORMATS, STDOUT, files_of, format_for, is_pattern


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
        for file in files_of(name, settings):
            path = Path(file).absolute()
            if path in seen:
                raise UsageError(f"the output {file} is named twice. Give each output a name of its own.")
            seen.add(path)
            with explained(file):
                refuse_input_as_output(source, file)
                refuse_existing(file, overwrite=settings.overwrite)
    return names


def default_target(source: str, settings: OutputSettings) -> str:
    """`<stem>_alpha.mov`, by format and background: beside a file, in the current folder for `-` and URLs.

    A pair is `<stem>.mp4` here, which stands for two files (`files_of`).
    """
    parent = Path(source).parent
    folder = parent if _is_file_name(source) and parent.is_dir() else Path()
    what = "alpha"
    if settings.background is not None:
        what = background_word(settings.background)
    elif settings.alpha_only:
        what = "matte"
    elif settings.foreground_only:
        what = "foreground"
    elif settings.stacked:
        what = "stacked"
    kind = settings.format or ("mp4" if settings.background is not None or settings.stacked else "mov")
    suffix = {"png": "/", "exr": "/", "rawvideo": ".rgba"}.get(kind) or _suffix_of(kind)
    name = f"{stem_of(source) or 'output'}{'' if kind == 'pair' else f'_{what}'}{suffix}"
    return name if str(folder) == "." else f"{folder}{os.sep}{name}"


def _suffix_of(kind: str) -> str:
    """The first ending of a format; of one that there is not, its name (`format_for` refuses it)."""
    known = FORMATS.get(kind)
    return known.suffixes[0] if known is not None and known.suffixes else f".{kind}"


def stem_of(source: str) -> str:
    """What an input gives to its outputs' names: a file's stem, a folder's name, a URL's last part; `-` gives none."""
    if not _is_file_name(source):
        return re.sub(r"[^\w.-]+", "_", Path(unquote(urlsplit(source).path)).stem).strip("_-. ")
    path = Path(source)
    return path.name if path.is_dir() else path.stem.split("%")[0].rstrip("_-. ")


def _is_file_name(source: str) -> bool:
    return "://" not in source and source != STDOUT


def background_word(background: str) -> str:
    """What a background adds to an output's name: `blur` of `blur=40`, `sky` of `shots/sky.jpg`."""
    word = background.split("=")[0] if background.startswith("blur") else Path(background).stem
    safe = "".join(letter if letter.isalnum() else "-" for letter in word).strip("-")
    return safe or "background"


def refuse_input_as_output(source: str, target: str) -> None:
    """UsageError where the output, or the scratch name that it grows under, is the input itself, by whatever name."""
    if _is_same(source, target) or _replaces_pictures(source, target):
        raise UsageError(f"the output {target} is the input itself. Give the output another name with -o.")
    scratch = _scratch_path(target)
    if _is_same(source, scratch):
        raise UsageError(
            f"{target} is written as {scratch.name} until it is whole, and that is the input. Rename the input, or "
            "give the output another name with -o."
        )


def _is_same(source: str, target: str | Path) -> bool:
    return os.path.exists(source) and os.path.exists(target) and os.path.samefile(source, target)


def _replaces_pictures(source: str, target: str) -> bool:
    """True where numbered pictures would be written over those that are read."""
    if not is_pattern(target):
        return False
    if is_pattern(source):
        return Path(source).absolute() == Path(target).absolute()
    return _is_same(source, Path(target).parent) and _has_numbered(target)


def _scratch_path(target: str) -> Path:
    from livematte.sinks.images import part_folder
    from livematte.sinks.video import part_path

    is_folder = is_pattern(target) or target.endswith(("/", "\\")) or Path(target).is_dir()
    return part_folder(target) if is_folder else part_path(Path(target))


def _has_numbered(pattern: str) -> bool:
    """True where a file exists that `shot_%04d.png` names."""
    path = Path(pattern)
    numbered = re.compile(re.sub(r"%0?\d*d", r"\\d+", re.escape(path.name)))
    return path.parent.is_dir() and any(numbered.fullmatch(one.name) for one in path.parent.iterdir())


def is_occupied(target: str) -> bool:
    """True where something stands under an output's name. A folder with nothing but scratch in it is free."""
    path = Path(target)
    if is_pattern(target):
        return _has_numbered(target)
    scratch = _scratch_path(target)
    return any(one != scratch for one in path.iterdir()) if path.is_dir() else path.exists()


def refuse_existing(target: str, *, overwrite: bool) -> None:
    """UsageError where the output exists (`is_occupied`) and may not be replaced."""
    if not overwrite and is_occupied(target):
        raise UsageError(f"{target} exists already. Choose another name with -o, or replace it with --overwrite.")
