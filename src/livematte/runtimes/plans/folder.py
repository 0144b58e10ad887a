"""The folder of plans: this user's alone, or not used."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import platformdirs

from livematte.errors import SinkError
from livematte.reporting import Reporter
from livematte.runtimes.plans.header import BadPlan

_ELSEWHERE = "Set LIVEMATTE_CACHE to a folder of your own."
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def secure(folder: Path, *, create: bool, distrust: Callable[[], int], reporter: Reporter) -> bool:
    """True where the folder is there and nobody else can open it; made (0700) where `create` and it is not there.

    SinkError where it belongs to somebody else, is a link or a file, or cannot be made. A folder of ours that others
    could open is closed to them, and said; where they could even write, `distrust` removes what lies in it and
    returns how many files that were, because a plan is a program (Note [Plans are programs]).
    """
    if sys.platform == "win32":
        _check_windows(folder)
    try:
        if create:
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir(mode=0o700, exist_ok=True)  # on Windows 0o700 is the user's alone from Python 3.11.10 on
        state = folder.lstat()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise SinkError(
            f"the folder of plans {folder} cannot be used: {error.strerror or error}. {_ELSEWHERE}"
        ) from error
    if not stat.S_ISDIR(state.st_mode):
        raise SinkError(f"{folder} must be a folder, for plans; it is a link or a file. Remove it. Or: {_ELSEWHERE}")
    if sys.platform != "win32":
        _close(folder, state, distrust, reporter)
    return True


def _close(folder: Path, state: os.stat_result, distrust: Callable[[], int], reporter: Reporter) -> None:
    """POSIX: ours, and 0700 from now on."""
    if state.st_uid != os.geteuid():
        raise SinkError(
            f"the folder of plans {folder} belongs to user number {state.st_uid}, and this is number {os.geteuid()}. "
            f"Plans are programs, so they are read from a folder of your own only. {_ELSEWHERE}"
        )
    if not state.st_mode & _OTHERS:
        return
    try:
        folder.chmod(0o700)
    except OSError as error:
        raise SinkError(
            f"the folder of plans {folder} is open to other users, and that cannot be changed: "
            f"{error.strerror or error}. {_ELSEWHERE}"
        ) from error
    if not state.st_mode & _OTHERS_WRITE:
        reporter.note(f"{folder} was open to other users of this machine; it is yours alone now.")
        return
    number = distrust()
    reporter.warn(
        f"other users could write into {folder} until now, and a plan is a program: what lay there was removed "
        f"({number} plan{'s' * (number != 1)}), and is built anew when it is needed."
    )


def _check_windows(folder: Path) -> None:
    """Windows: inside the user's profile or cache folder, which others cannot write; rights elsewhere are not read."""
    whole = folder.resolve()
    homes = (Path.home().resolve(), Path(platformdirs.user_cache_dir()).resolve())
    if not any(whole.is_relative_to(home) for home in homes):
        raise SinkError(
            f"plans are programs, so on Windows they are kept inside your own user folder only ({homes[0]}), and "
            f"{folder} is outside of it. Set LIVEMATTE_CACHE to a folder in there, or leave it unset."
        )


def open_own(path: Path) -> BinaryIO:
    """Open a file for reading: a plain one, ours, that nobody else can write. FileNotFoundError, or BadPlan."""
    flags = os.O_RDONLY
    for name in ("O_BINARY", "O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK"):  # NONBLOCK: the open of a FIFO would wait
        flags |= getattr(os, name, 0)
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK):
            raise BadPlan("is a link, and only plain files are read") from None
        raise BadPlan(f"cannot be read ({error.strerror or error})") from None
    try:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode):
            raise BadPlan("is not a plain file")
        if sys.platform != "win32" and state.st_uid != os.geteuid():
            raise BadPlan(f"belongs to user number {state.st_uid}")
        if sys.platform != "win32" and state.st_mode & _OTHERS_WRITE:
            raise BadPlan("can be written by other users")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise
