"""Which plans go: damaged ones, those of other versions, those that nobody used, and the oldest beyond a size."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from livematte.runtimes.plans import lock
from livematte.runtimes.plans.store import LOCK_SUFFIX, PART_SUFFIX, Entry, PlanStore

_LEFTOVER_SECONDS = 3600.0
"""A file that is still being written is younger than this: writing a gigabyte takes seconds."""


@dataclass(frozen=True, slots=True)
class Pruning:
    """What goes. Damaged plans and what a killed run left behind always go."""

    versions: Mapping[str, str] = field(default_factory=dict)
    """Installed version by runtime: plans that another version built can never be used again."""
    unused_days: float | None = None
    """Plans that were not used for longer."""
    most_bytes: int | None = None
    """The longest unused go until the rest is not more than this."""
    everything: bool = False
    graphs: Path | None = None
    """Folder of the graphs that plans are built from. They go with `unused_days`, counted from when they were made, and
    with `everything`: making one again takes a second, and none is needed to run a plan that is here."""
    dry_run: bool = False
    """Nothing is removed, only told."""


@dataclass(frozen=True, slots=True)
class Removed:
    """A file that went, or would have."""

    path: Path
    bytes: int
    reason: str
    """A clause: `was built by tensorrt 10.16, and 11.4 is installed`."""
    kept: str = ""
    """Why it is still there after all; empty where it went."""


def prune(store: PlanStore, pruning: Pruning, *, now: float | None = None) -> list[Removed]:
    """Remove what `pruning` names, and say what and why. What is being built at this moment stays.

    SinkError where the folder cannot be trusted.
    """
    moment = time.time() if now is None else now
    entries = store.entries()
    gone: list[Removed] = []
    kept: list[Entry] = []
    for entry in entries:
        reason = _reason(entry, pruning, moment)
        if reason:
            gone.append(_remove(store, entry, reason, pruning.dry_run))
        else:
            kept.append(entry)
    gone += [_remove(store, entry, reason, pruning.dry_run) for entry, reason in _beyond(kept, pruning.most_bytes)]
    if entries or store.folder.is_dir():
        gone += _sweep(store, pruning, moment)
    if pruning.graphs is not None:
        gone += _graphs(pruning.graphs, pruning, moment)
    return gone


def _reason(entry: Entry, pruning: Pruning, now: float) -> str:
    """Why this one goes; empty where it stays."""
    if entry.header is None:
        return entry.problem
    key = entry.header.key
    installed = pruning.versions.get(key.runtime, key.runtime_version)
    if installed != key.runtime_version:
        return f"was built by {key.runtime} {key.runtime_version}, and {installed} is installed"
    days = (now - entry.used) / 86400
    if pruning.unused_days is not None and days > pruning.unused_days:
        return f"was not used for {days:.0f} days"
    return "all were to go" if pruning.everything else ""


def _beyond(entries: list[Entry], most_bytes: int | None) -> Iterator[tuple[Entry, str]]:
    """The longest unused beyond a size; `entries` has the last used first."""
    total = 0
    for entry in entries:
        total += entry.bytes
        if most_bytes is not None and total > most_bytes:
            yield entry, "is beyond the size that was asked for, and longest unused"


def _remove(store: PlanStore, entry: Entry, reason: str, dry_run: bool) -> Removed:
    if lock.is_held(store.lock_of(entry.id)):
        return Removed(entry.path, entry.bytes, reason, kept="it is being built at this moment")
    try:
        if not dry_run:
            _unlink(entry.path)
    except OSError as error:
        return Removed(entry.path, entry.bytes, reason, kept=f"it cannot be removed ({error.strerror or error})")
    return Removed(entry.path, entry.bytes, reason)


def _unlink(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


def _graphs(folder: Path, pruning: Pruning, now: float) -> Iterator[Removed]:
    """Converted ONNX files; each has a record and a lock beside it, which are not worth a line."""
    for path in sorted(folder.glob("*.onnx")):
        try:
            state = path.lstat()
            days = (now - state.st_mtime) / 86400
            if not pruning.everything and (pruning.unused_days is None or days <= pruning.unused_days):
                continue
            if not pruning.dry_run:
                for one in (path, path.with_suffix(".json"), path.with_suffix(LOCK_SUFFIX)):
                    one.unlink(missing_ok=True)
            yield Removed(path, state.st_size, "is a graph that plans were built from, and is made again when needed")
        except OSError:
            continue  # in use elsewhere: the next time


def _sweep(store: PlanStore, pruning: Pruning, now: float) -> Iterator[Removed]:
    """Halves that a killed run left, measured times, and locks that nobody holds. Locks are not worth a line."""
    times = sorted(store.folder.glob("*.cache")) if pruning.everything else []
    for path in (*times, *sorted(store.folder.glob(f"*{PART_SUFFIX}"))):
        try:
            state = path.lstat()
            if path in times or now - state.st_mtime > _LEFTOVER_SECONDS:
                if not pruning.dry_run:
                    _unlink(path)
                why = "holds measured times of kernels" if path in times else "was left behind by a run that was killed"
                yield Removed(path, state.st_size, why)
        except OSError:
            continue  # just gone, or still open elsewhere: the next time
    for path in sorted(store.folder.glob(f"*{LOCK_SUFFIX}")):
        try:
            old = now - path.lstat().st_mtime > _LEFTOVER_SECONDS
            if old and not pruning.dry_run and not lock.is_held(path):
                _unlink(path)
        except OSError:
            continue
