"""Which pictures `livematte photo` takes, and what their cut-outs are called."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from livematte.errors import SourceError, UsageError
from livematte.photos.formats import FORMATS, StillFormat, format_named, format_of
from livematte.reporting import Reporter
from livematte.sources.inputs import PICTURE_SUFFIXES, VIDEO_SUFFIXES, natural_key

STDIO = "-"


@dataclass(frozen=True, slots=True)
class PhotoJob:
    """One picture and where its cut-out goes."""

    source: str
    """A path, or `-`."""
    target: str
    """A path, or `-`."""
    kind: StillFormat


@dataclass(frozen=True, slots=True)
class Naming:
    """What decides a name that the person did not give."""

    word: str
    """`alpha`, `matte`, or the background's."""
    format: str | None
    needs_alpha: bool


@dataclass(frozen=True, slots=True)
class _Found:
    source: str
    folder: Path
    """Below the folder that was named."""


def plan_jobs(inputs: Sequence[str], output: str | None, naming: Naming, *, reporter: Reporter) -> list[PhotoJob]:
    """Every picture behind `inputs`, each once, with its target. SourceError, UsageError: nothing there, no way."""
    found = _expand(inputs, reporter)
    kind = format_named(naming.format) if naming.format else None
    into_folder = output is not None and output != STDIO and (output.endswith(("/", os.sep)) or Path(output).is_dir())
    if output is not None and not into_folder and len(found) > 1:
        folder = Path(output.strip("-")).stem or "DIR"
        raise UsageError(f"{len(found)} pictures cannot all become '{output}'. Give a folder: -o {folder}/")
    jobs = [_job(one, output if output is None or not into_folder else None, kind, naming) for one in found]
    if into_folder:
        assert output is not None
        jobs = [_moved(job, one, Path(output)) for job, one in zip(jobs, found, strict=True)]
    _check_targets(jobs, naming)
    return jobs


def job_below(source: Path, folder: Path, output: Path, naming: Naming) -> PhotoJob:
    """The job of one picture that lies below `folder`, mirrored into the folder `output`."""
    found = _Found(str(source), source.parent.relative_to(folder))
    kind = format_named(naming.format) if naming.format else None
    job = _moved(_job(found, None, kind, naming), found, output)
    _check_targets([job], naming)
    return job


def _job(found: _Found, output: str | None, kind: StillFormat | None, naming: Naming) -> PhotoJob:
    if output == STDIO or (output is None and found.source == STDIO):
        return PhotoJob(found.source, STDIO, kind or FORMATS["png"])
    if output is not None:
        named = format_of(Path(output), kind)
        if kind is not None and named is not kind:
            raise UsageError(
                f"'{output}' is the name of a {named.name.upper()} file, and --format asks for {kind.name.upper()}. "
                f"Leave one of them out, or name it {Path(output).with_suffix(kind.suffixes[0]).name}."
            )
        return PhotoJob(found.source, output, named)
    kind = kind or FORMATS["png" if naming.needs_alpha else "jpeg"]
    path = Path(found.source)
    return PhotoJob(found.source, str(path.with_name(f"{path.stem}_{naming.word}{kind.suffixes[0]}")), kind)


def _moved(job: PhotoJob, found: _Found, folder: Path) -> PhotoJob:
    name = f"stdin_alpha{job.kind.suffixes[0]}" if job.target == STDIO else Path(job.target).name
    return PhotoJob(job.source, str(folder / found.folder / name), job.kind)


def _expand(inputs: Sequence[str], reporter: Reporter) -> list[_Found]:
    if not inputs:
        raise UsageError("no picture was given. Name a picture, a folder, a pattern such as 'shots/*.jpg', or '-'.")
    found: dict[str, _Found] = {}
    for text in inputs:
        path = Path(text)
        if text == STDIO:
            found.setdefault(text, _Found(text, Path()))
        elif path.is_dir():
            for one in _folder(path):
                found.setdefault(str(one), _Found(str(one), one.parent.relative_to(path)))
        elif path.exists():
            _check_is_picture(path)
            found.setdefault(text, _Found(text, Path()))
        elif glob.has_magic(text):
            matches = [one for one in sorted(glob.glob(text, recursive=True), key=natural_key) if Path(one).is_file()]
            if not matches:
                raise SourceError(f"nothing matches '{text}'. Check the folder and the pattern.")
            for match in matches:
                found.setdefault(match, _Found(match, Path()))
        else:
            raise SourceError(f"there is no picture or folder '{text}'. Check the spelling and the folder.")
    return _without_own_results(list(found.values()), inputs, reporter)


def _folder(folder: Path) -> list[Path]:
    pictures = [
        path
        for path in sorted(folder.rglob("*"), key=natural_key)
        if path.suffix.lower() in PICTURE_SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and ".part." not in path.name
    ]
    if not pictures:
        raise SourceError(f"the folder '{folder}' holds no pictures that are known by their suffix.")
    return pictures


def _check_is_picture(path: Path) -> None:
    if path.suffix.lower() in VIDEO_SUFFIXES - {".gif", ".apng"}:
        raise UsageError(f"{path} is a clip, not a picture. Use: livematte convert {path}")


def _without_own_results(found: list[_Found], inputs: Sequence[str], reporter: Reporter) -> list[_Found]:
    """Leaves out `NAME_alpha.*` where `NAME.*` is taken too: results of an earlier run in the same folder."""
    stems = {(Path(one.source).parent, Path(one.source).stem) for one in found}
    kept = []
    for one in found:
        path = Path(one.source)
        base = path.stem.removesuffix("_alpha")
        if one.source not in inputs and base != path.stem and (path.parent, base) in stems:
            continue
        kept.append(one)
    if len(kept) < len(found):
        reporter.note(f"Left out {len(found) - len(kept)} pictures named *_alpha, results of an earlier run.")
    return kept


def _check_targets(jobs: Sequence[PhotoJob], naming: Naming) -> None:
    seen: dict[str, str] = {}
    for job in jobs:
        is_there = STDIO not in (job.source, job.target) and os.path.exists(job.target)
        if is_there and os.path.samefile(job.source, job.target):
            raise UsageError(f"the output {job.target} is the input itself. Give the output another name with -o.")
        if naming.needs_alpha and not job.kind.has_alpha:
            raise UsageError(
                f"{job.kind.name.upper()} has no transparency. Give --background with it, or write PNG, WebP, TIFF or "
                "AVIF."
            )
        if job.target == STDIO:
            continue
        other = seen.setdefault(os.path.abspath(job.target), job.source)
        if other != job.source:
            raise UsageError(
                f"{other} and {job.source} would both become {job.target}. Convert them one at a time, with -o."
            )
