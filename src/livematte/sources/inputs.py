"""What the person named on the command line, as single inputs: files, globs, folders, URLs."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from livematte.errors import LivematteError, SourceError, UsageError
from livematte.sources.ffmpeg_errors import reason
from livematte.sources.opening import display_name, is_url, shown_spec

InputKind: TypeAlias = Literal["video", "images", "picture", "stdin", "url", "synthetic"]

PICTURE_SUFFIXES: Final = frozenset([
    ".avif", ".bmp", ".dpx", ".exr", ".hdr", ".heic", ".heif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm",
    ".pgm", ".png", ".pnm", ".ppm", ".qoi", ".sgi", ".tga", ".tif", ".tiff", ".webp",
])  # fmt: skip
VIDEO_SUFFIXES: Final = frozenset([
    ".264", ".265", ".3g2", ".3gp", ".apng", ".asf", ".avc", ".avi", ".cine", ".divx", ".dv", ".f4v", ".flv", ".gif",
    ".gxf", ".h264", ".h265", ".hevc", ".insv", ".ivf", ".m2ts", ".m2v", ".m4v", ".mj2", ".mkv", ".mov", ".mp4",
    ".mpeg", ".mpg", ".mts", ".mxf", ".nut", ".ogm", ".ogv", ".rm", ".rmvb", ".ts", ".vob", ".webm", ".wmv", ".wtv",
    ".y4m",
])  # fmt: skip
_PATTERN: Final = re.compile(r"%0?\d*d")
_SYNTHETIC: Final = "synthetic:"


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One input, and where its outputs go when several inputs are mirrored into a folder."""

    spec: str
    """For `open_source`: a path, a folder, a pattern, a URL, `-`."""
    kind: InputKind
    relative_folder: Path
    """Below the folder that was named; `.` for what was named itself."""
    stem: str
    """For the output's name: the file's name without its suffix."""

    @property
    def shown(self) -> str:
        """The spec as messages show it: a URL without user, password and query."""
        return shown_spec(self.spec)


def natural_key(path: Path | str) -> tuple[object, ...]:
    """Sorts `frame2` before `frame10`."""
    parts = re.split(r"(\d+)", str(path).lower())
    return tuple((1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts)


def kind_of(spec: str) -> InputKind:
    """What a single spec names; SourceError for what does not exist."""
    if spec == "-":
        return "stdin"
    if spec.startswith(_SYNTHETIC) or spec == "synthetic":
        return "synthetic"
    if is_url(spec):
        return "url"
    path = Path(spec)
    if path.is_dir() or (_PATTERN.search(path.name) and not path.exists()):
        return "images"
    return "picture" if path.suffix.lower() in PICTURE_SUFFIXES and not _is_animated(path) else "video"


def expand_inputs(specs: Sequence[str]) -> list[InputSpec]:
    """Every single input behind what was named, in the order given, each once.

    A folder with pictures only is one clip. A folder with videos is several inputs, searched recursively, with the
    subfolders kept. Both together, or pictures in a folder of subfolders with videos, is a UsageError that names the
    two ways. Nothing found is a SourceError.
    """
    if not specs:
        raise UsageError("no input was given. Name a video, a folder, a pattern such as shot_%04d.png, a URL, or '-'.")
    found: dict[str, InputSpec] = {}
    for spec in specs:
        try:
            for one in _expand_one(spec):
                found.setdefault(one.spec, one)
        except LivematteError:
            raise
        except OSError as error:  # a name that is too long, a folder that may not be looked into
            raise SourceError(
                f"'{spec}' cannot be read: {reason(error)}. Check the name and its permissions."
            ) from error
    return list(found.values())


def _expand_one(spec: str) -> Iterator[InputSpec]:
    if spec == "-" or is_url(spec) or spec.startswith(_SYNTHETIC):
        stem = {"-": "stdin"}.get(spec, Path(display_name(spec).split(":")[0 if "://" not in spec else -1]).stem)
        yield InputSpec(spec, kind_of(spec), Path(), re.sub(r"[^\w.-]+", "_", stem) or "input")
        return
    path = Path(spec)
    if path.is_dir():
        yield from _expand_folder(path)
    elif path.exists() or _PATTERN.search(path.name):
        stem = _PATTERN.sub("", path.stem).rstrip("_-. ") or path.parent.name or "images"
        yield InputSpec(spec, kind_of(spec), Path(), stem if _PATTERN.search(path.name) else path.stem)
    elif glob.has_magic(spec):
        matches = sorted(glob.glob(spec, recursive=True), key=natural_key)
        files = [Path(match) for match in matches if Path(match).is_file()]
        if not files:
            raise SourceError(f"nothing matches '{spec}'. Check the folder and the pattern (shells may want quotes).")
        for file in files:
            yield InputSpec(str(file), kind_of(str(file)), Path(), file.stem)
    else:
        raise SourceError(f"there is no file or folder '{spec}'. Check the spelling and the folder.")


def _expand_folder(folder: Path) -> Iterator[InputSpec]:
    pictures, videos = folder_contents(folder)
    if pictures and videos:
        raise UsageError(
            f"the folder '{folder}' holds both pictures ({len(pictures)}) and videos ({len(videos)}). For the pictures "
            f"as one clip, name them with a pattern ('{folder}/NAME_%04d.png'); for the videos, name those "
            f"('{folder}/*{videos[0].suffix}')."
        )
    if pictures:
        yield InputSpec(str(folder), "images", Path(), folder.resolve().name)
        return
    if not videos:
        raise SourceError(f"the folder '{folder}' holds no pictures and no videos that are known by their suffix.")
    for video in videos:
        yield InputSpec(str(video), "video", video.parent.relative_to(folder), video.stem)


def folder_contents(folder: Path) -> tuple[list[Path], list[Path]]:
    """(pictures directly in the folder, videos in it and below), naturally sorted; hidden files are left aside."""
    pictures, videos = [], []
    for path in sorted(folder.rglob("*"), key=natural_key):
        if any(part.startswith(".") for part in path.relative_to(folder).parts) or not path.is_file():
            continue
        suffix = path.suffix.lower()
        if path.name.lower().endswith((".part" + suffix,)):
            continue
        if suffix in VIDEO_SUFFIXES:
            videos.append(path)
        elif suffix in PICTURE_SUFFIXES and path.parent == folder:
            pictures.append(path)
    return pictures, videos


def _is_animated(path: Path) -> bool:
    """True for an animated PNG under the name `.png` (its `acTL` chunk lies before the first data)."""
    if path.suffix.lower() != ".png":
        return False
    try:
        with path.open("rb") as file:
            return b"acTL" in file.read(4096)
    except OSError:
        return False
