"""A folder that fills: which clips (or pictures) in it are whole, so that they may be taken.

Note [When a clip is whole]
    Nothing says that a copy is over. So a file is taken when its size and its time of change have stood still for
    STILL_SECONDS, when it holds at least a byte, and when it opens as a clip: an MP4 whose index has not arrived, and a
    file that Windows still keeps locked, do not. One that stands still and does not open is waited for, and given up
    after GIVEN_UP_SECONDS. One that was taken and changes afterwards was taken too early: it comes again.

Note [Why it polls]
    The operating systems' notices of changes (inotify, FSEvents, ReadDirectoryChangesW) do not come for what another
    machine writes into a folder on the network (NFS, SMB), and that is where such folders lie. And a notice says that
    something was written, not that it was the last: the look at size and time would be needed all the same. So the
    folder is read every POLL_SECONDS, which takes 25 ms of one core for 1,000 files on a local disk.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from livematte.errors import LivematteError, SourceError, UsageError
from livematte.reporting import Reporter
from livematte.sources.ffmpeg_errors import reason
from livematte.sources.inputs import VIDEO_SUFFIXES, InputSpec, natural_key

POLL_SECONDS: Final = 1.0
STILL_SECONDS: Final = 2.0
"""A copy over a slow network pauses for a second now and then."""
GIVEN_UP_SECONDS: Final = 30.0
"""A file that stands still so long and does not open will not open later either."""

_Stamp = tuple[int, int]
"""Size in bytes and time of change in ns. No inode: some network folders give a new one at each look."""


@dataclass(slots=True)
class _Seen:
    stamp: _Stamp
    since: float
    """When it was first seen so, on our own clock: another machine's clock may be wrong."""
    is_settled: bool = False
    """Taken, given up or not wanted, as long as it stays as it is."""
    was_taken: bool = False
    is_gone: bool = False
    """Known still: a share that goes away for a minute comes back with the same files."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A clip that may be taken, or one that was given up."""

    spec: InputSpec
    error: LivematteError | None = None
    """Why it does not open; None: it does."""
    is_again: bool = False
    """It was taken before and has changed since."""


class FolderWatch:
    """Finds clips in folders, and those that arrive. Used by one thread; keeps 300 bytes for each file it has seen."""

    def __init__(
        self,
        folders: Sequence[Path],
        *,
        left_out: Sequence[Path] = (),
        opens: Callable[[Path], LivematteError | None],
        suffixes: Collection[str] = VIDEO_SUFFIXES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`left_out`: folders whose files are never taken (outputs). `opens` tells why a file is no clip, or None.
        `suffixes`: of the files that are looked at, in small letters."""
        self._folders = list(folders)
        self._left_out = {_identity(one) for one in left_out}
        self._opens = opens
        self._suffixes = suffixes
        self._clock = clock
        self._seen: dict[str, _Seen] = {}
        self._said_unreadable: set[Path] = set()
        self.unreadable: dict[Path, OSError] = {}
        """Folders that the last look could not read (a share that went away), with the reason. What was seen in them
        stays known."""

    def look(self) -> list[InputSpec]:
        """Read the folders anew: every clip there by its name, whole or not, in natural order."""
        self.unreadable = {}
        found: dict[str, InputSpec] = {}
        now = self._clock()
        for folder in self._folders:
            for path, stamp in self._walk(folder):
                name = str(path)
                if name in found:
                    continue
                found[name] = InputSpec(name, "video", path.parent.relative_to(folder), path.stem)
                seen = self._seen.get(name)
                if seen is None:
                    self._seen[name] = _Seen(stamp, now)
                elif seen.stamp != stamp:
                    # Away in between: another clip of the same name, which must not replace the first one's output.
                    self._seen[name] = _Seen(stamp, now, was_taken=seen.was_taken and not seen.is_gone)
                else:
                    seen.is_gone = False
        if not self.unreadable:
            for name in self._seen.keys() - found.keys():
                self._seen[name].is_gone = True
        return sorted(found.values(), key=lambda one: natural_key(one.spec))

    def settle(self, spec: str) -> None:
        """Do not give this one out as long as it stays as it is."""
        self._seen[spec].is_settled = True

    def next_whole(self, found: Sequence[InputSpec]) -> Arrival | None:
        """The first of what `look` found that is whole (Note [When a clip is whole]) and was not given out before."""
        for one in found:
            seen = self._seen[one.spec]
            still = self._clock() - seen.since
            if seen.is_settled or still < STILL_SECONDS or seen.stamp[0] == 0:
                continue
            error = self._opens(Path(one.spec))
            if error is not None and still < GIVEN_UP_SECONDS:
                continue
            is_again, seen.was_taken, seen.is_settled = seen.was_taken, True, True
            return Arrival(one, error, is_again)
        return None

    def waiting(self, found: Sequence[InputSpec]) -> list[str]:
        """Those of what `look` found that have not been given out: they still grow, or do not open yet."""
        return [one.spec for one in found if not self._seen[one.spec].is_settled]

    def say_unreadable(self, reporter: Reporter) -> None:
        """Once when a folder goes away, and once when it is back."""
        for folder, error in self.unreadable.items():
            if folder not in self._said_unreadable:
                reporter.warn(
                    f"the folder '{folder}' cannot be read: {reason(error)}. It is looked at again until it can."
                )
        for folder in self._said_unreadable - self.unreadable.keys():
            reporter.note(f"the folder '{folder}' can be read again.")
        self._said_unreadable = set(self.unreadable)

    def _walk(self, folder: Path) -> Iterator[tuple[Path, _Stamp]]:
        try:
            with os.scandir(folder) as entries:
                here = list(entries)
        except OSError as error:
            self.unreadable[folder] = error
            return
        for entry in here:
            if entry.name.startswith("."):
                continue
            path = Path(entry.path)
            try:
                # Links to folders are not followed: they may lead round in a circle.
                if entry.is_dir(follow_symlinks=False):
                    if _identity(path) not in self._left_out:
                        yield from self._walk(path)
                elif is_wanted_name(entry.name, self._suffixes) and entry.is_file():
                    facts = os.stat(path)  # not entry.stat(): Windows keeps an old size there until a file is closed
                    yield path, (facts.st_size, facts.st_mtime_ns)
            except OSError:  # gone between the two looks
                continue


def is_wanted_name(name: str, suffixes: Collection[str] = VIDEO_SUFFIXES) -> bool:
    """True for one of the suffixes, but for scratch of ours (`clip.part.mov`) and of others (`~clip.mov`)."""
    path = Path(name.lower())
    return path.suffix in suffixes and not path.stem.endswith(".part") and not name.startswith("~")


def same_name(name: str, owner: str, target: str) -> LivematteError:
    """Two inputs would become one output."""
    return UsageError(
        f"{owner} and {name} would both be written to {target}. Rename one of them, or put it into a subfolder: "
        "those are mirrored."
    )


def why_not_whole(path: Path) -> LivematteError | None:
    """Why a file does not open as a clip, or None where it does."""
    from livematte.config import InputSettings
    from livematte.reporting import ListReporter
    from livematte.sources import open_source

    try:
        open_source(str(path), InputSettings(), reporter=ListReporter()).close()
    except SourceError as error:
        return error
    except OSError as error:
        return SourceError(f"'{path}' cannot be read: {reason(error)}. Check its permissions.")
    return None


def _identity(path: Path) -> str:
    return os.path.normcase(os.path.realpath(path))
