"""The plans of this machine: looked up by key, checked, written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from livematte import resources
from livematte.errors import SinkError
from livematte.reporting import LogReporter, Reporter
from livematte.runtimes.plans import folder as rights
from livematte.runtimes.plans import lock
from livematte.runtimes.plans.header import BadPlan, Notes, PlanHeader, read_header, read_plan
from livematte.runtimes.plans.key import PLAN, PlanKey

SUFFIX = ".plan"
LOCK_SUFFIX = ".lock"
PART_SUFFIX = ".part"
_REPLACE_TRIES = 20
"""On Windows a file that another program is reading cannot be replaced: reading a plan takes 0.1 s a 100 MB."""


@dataclass(frozen=True, slots=True)
class PlanBytes:
    """A plan that was found and is what was written."""

    plan: bytes
    header: PlanHeader
    path: Path


@dataclass(frozen=True, slots=True)
class Miss:
    """No plan; the person is told why."""

    reason: str
    """A clause without a full stop: `no plan has been built for this yet`."""
    kind: Literal["absent", "stale", "damaged", "refused"]
    """absent: never built; stale: there is one of another version, GPU or option; damaged: the file is not whole, not
    ours, or of another format; refused: the folder itself cannot be trusted."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in the folder of plans."""

    path: Path
    bytes: int
    header: PlanHeader | None
    """None where the file is not a whole plan of ours; `problem` says why."""
    problem: str
    used: float
    """When it was last used (or built), in seconds since 1970."""

    @property
    def id(self) -> str:
        """The file's name without its suffix."""
        return self.path.stem


class PlanStore:
    """A folder of plans. Several processes may use it at once."""

    def __init__(self, folder: Path | None = None, *, reporter: Reporter | None = None) -> None:
        """`folder`: default `plans` in the user's cache. Nothing is made or read yet."""
        self.folder = folder or resources.cache_dir() / "plans"
        self._reporter = reporter or LogReporter()

    def prepare(self) -> None:
        """Make the folder, so that a build need not end before it is told that its result has no place. SinkError."""
        self._secure(create=True)

    def path_of(self, key: PlanKey) -> Path:
        """Where the plan of this key belongs."""
        return self.folder / f"{key.id}{SUFFIX}"

    def get(self, key: PlanKey) -> PlanBytes | Miss:
        """The plan of this key, every byte checked; or why there is none. Never raises for what lies in the folder."""
        try:
            if not self._secure(create=False):
                return Miss("no plan has been built on this machine yet", "absent")
        except SinkError as error:
            return Miss(str(error).rstrip("."), "refused")
        path = self.path_of(key)
        try:
            with rights.open_own(path) as file:
                header = read_header(file, os.fstat(file.fileno()).st_size)
                if header.key != key:
                    raise BadPlan("holds the plan of another key")
                plan = read_plan(file, header)
        except FileNotFoundError:
            return self._not_here(key)
        except (BadPlan, OSError) as error:
            return Miss(f"the {_word(key)} here, {path.name}, {_clause(error)}", "damaged")
        with contextlib.suppress(OSError):
            os.utime(path)  # `prune` goes by when a plan was last used
        return PlanBytes(plan, header, path)

    def put(self, key: PlanKey, plan: bytes, notes: Notes) -> Path:
        """Write a plan, in place of any other of the same key. Other processes see the old one or the new one, whole.

        SinkError (1) where the folder cannot be used or the disk is full; nothing is left behind then.
        """
        self._secure(create=True)
        path = self.path_of(key)
        header = PlanHeader.of(key, plan, notes, now=time.time()).encode()
        part = self.folder / f"{key.id}.{os.getpid()}-{secrets.token_hex(4)}{PART_SUFFIX}"
        try:
            _write(part, header, plan)
            _replace(part, path)
        except OSError as error:
            raise SinkError(
                f"the {_word(key)} ({len(plan):,} bytes) cannot be kept in {self.folder}: {error.strerror or error}. "
                "Make room there ('livematte engine prune'), or set LIVEMATTE_CACHE to another disk."
            ) from error
        finally:
            part.unlink(missing_ok=True)
        return path

    @contextmanager
    def building(self, key: PlanKey, *, what: str, reporter: Reporter) -> Iterator[bool]:
        """Hold while a plan is built. True: another process had to be waited for, and `get` may find its result.

        Ask `get` again inside in any case: the other one may have finished just before. `what`: the words for it,
        `the plan of livematte-s`. Where the folder cannot be used nothing is held, and `put` will say why.
        """
        try:
            self._secure(create=True)
        except SinkError:
            yield False
            return
        with lock.building(self.lock_of(key.id), what=what, reporter=reporter) as waited:
            yield waited

    def lock_of(self, plan_id: str) -> Path:
        """The lock that a builder of this plan holds."""
        return self.folder / f"{plan_id}{LOCK_SUFFIX}"

    def entries(self) -> list[Entry]:
        """Every file that is or was meant as a plan, the last used first; their plans themselves are not read.

        SinkError where the folder cannot be trusted.
        """
        if not self._secure(create=False):
            return []
        found = (_entry(path) for path in sorted(self.folder.glob(f"*{SUFFIX}")))
        return sorted((one for one in found if one is not None), key=lambda one: -one.used)

    def check(self, entry: Entry) -> str:
        """Read a plan whole; what is wrong with it, empty where nothing is."""
        try:
            with rights.open_own(entry.path) as file:
                read_plan(file, read_header(file, os.fstat(file.fileno()).st_size))
        except (BadPlan, OSError) as error:
            return _clause(error)
        return ""

    def _secure(self, *, create: bool) -> bool:
        return rights.secure(self.folder, create=create, distrust=self._distrust, reporter=self._reporter)

    def _distrust(self) -> int:
        """Remove every file of the folder; how many there were."""
        files = [path for path in self.folder.iterdir() if path.is_symlink() or not path.is_dir()]
        for path in files:
            path.unlink(missing_ok=True)
        return sum(path.suffix == SUFFIX for path in files)

    def _not_here(self, key: PlanKey) -> Miss:
        """There is no file for this key: perhaps one for the version before, or for another GPU."""
        try:
            headers = [entry.header for entry in self.entries() if entry.header is not None]
        except (SinkError, OSError):
            headers = []
        akin = sorted((key.differences(header.key) for header in headers if key.is_akin(header.key)), key=len)
        if not akin:
            return Miss(f"no {_word(key)} has been built for this yet", "absent")
        return Miss(f"the {_word(key)} here was {'; '.join(akin[0])}", "stale")


def _entry(path: Path) -> Entry | None:
    """A file of the folder; None where it has just gone."""
    try:
        state = path.lstat()
        with rights.open_own(path) as file:
            state = os.fstat(file.fileno())
            header = read_header(file, state.st_size)
        if path.stem != header.key.id:
            raise BadPlan("has the name of another plan")
    except FileNotFoundError:
        return None
    except (BadPlan, OSError) as error:
        return Entry(path, state.st_size, None, _clause(error), state.st_mtime)
    return Entry(path, state.st_size, header, "", state.st_mtime)


def _word(key: PlanKey) -> str:
    return "plan" if key.part == PLAN else key.part.replace("-", " ")


def _clause(error: Exception) -> str:
    """What is wrong, as words that follow the file's name."""
    if isinstance(error, OSError):
        return f"cannot be read ({error.strerror or error})"
    return str(error)


def _write(path: Path, header: bytes, plan: bytes) -> None:
    """A new file, ours alone, and on the disk when this returns."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        file.write(header)
        file.write(plan)
        file.flush()
        os.fsync(file.fileno())


def _replace(part: Path, path: Path) -> None:
    """Give the file its name. A folder or a link of that name, which nobody of us made, gives way."""
    if path.is_dir() and not path.is_symlink():
        path.rmdir()  # only an empty one; else OSError says what is in the way
    for tries_left in reversed(range(_REPLACE_TRIES)):
        try:
            os.replace(part, path)
            return
        except PermissionError:
            if os.name != "nt" or not tries_left:
                raise
            time.sleep(0.1)
