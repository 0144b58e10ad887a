"""What can go wrong with a camera, as sentences that say what to do."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

from livematte.errors import EndedEarly, SourceError
from livematte.sources.camera_kinds import Camera, System
from livematte.sources.camera_listing import MAY_NOT
from livematte.sources.ffmpeg_errors import last_useful, reason

_GONE: Final = (errno.ENODEV, errno.ENXIO, errno.EIO, errno.EPROTO, errno.ESHUTDOWN, errno.ENOENT)
_IN_USE: Final = ("already in use", "in use by another", "could not run graph", "could not run filter")
_NOT_FOUND: Final = ("could not find video device", "video device not found", "invalid device index")
_FORBIDDEN: Final = ("not authorized", "cannot use", "permission", "access denied")
_PRIVACY: Final[dict[System, str]] = {
    "linux": f"This user may not open cameras: {MAY_NOT}. Inside a container, the device must be passed in.",
    "windows": "Open Settings, Privacy & security, Camera, and let desktop apps access your camera.",
    "macos": "Open System Settings, Privacy & Security, Camera, and allow the terminal or what started this.",
}


def opening_error(error: BaseException, camera: Camera, system: System, *, log: list[str], asked: str) -> SourceError:
    """Why the camera cannot be opened. `asked` is the mode that was asked for, in words; `log` FFmpeg's lines."""
    number = getattr(error, "errno", None)
    said = last_useful(log)
    low = said.lower()
    if number == errno.EBUSY or any(words in low for words in _IN_USE):
        return SourceError(f"{camera} is in use{_by_whom(camera.path, system)}. Close that program, or choose another.")
    if number in (errno.EACCES, errno.EPERM) or any(words in low for words in _FORBIDDEN):
        return SourceError(f"{camera} may not be used: permission was denied.{said} {_PRIVACY[system]}")
    if number in (errno.ENOENT, errno.ENODEV, errno.ENXIO) or any(words in low for words in _NOT_FOUND):
        return SourceError(
            f"{camera} is not there any more.{said} Plug it in again; 'livematte webcam --list' shows what there is."
        )
    if number == errno.EINVAL:
        return SourceError(
            f"{camera} does not take {asked}.{said} Choose another mode with --camera-size, --camera-rate and "
            "--camera-format; 'livematte webcam --list' shows them."
        )
    hint = _PRIVACY[system] if system != "linux" else "Unplug it and plug it in again; try another program with it."
    return SourceError(f"{camera} cannot be opened: {reason(error)}.{said} {hint}")


def reading_error(error: BaseException | None, camera: Camera) -> SourceError:
    """Why a running camera gives nothing more; None: its stream ended."""
    if error is None or getattr(error, "errno", None) in _GONE:
        return EndedEarly(f"{camera} was unplugged or switched off. Plug it in again.")
    return EndedEarly(f"{camera} stopped: {reason(error)}. Unplug it and plug it in again.")


def _by_whom(path: str, system: System) -> str:
    holders = holders_of(path) if system == "linux" else []
    if holders:
        return f" by {' and '.join(holders)}"
    return " by another program" + (" (of another user, or it would be named)" if system == "linux" else "")


def holders_of(path: str, proc: Path = Path("/proc")) -> list[str]:
    """`firefox (process 1234)` for each other process of this user's that has the device open, from Linux' /proc."""
    found = []
    for folder in sorted(proc.glob("[0-9]*"), key=lambda one: int(one.name)):
        if int(folder.name) != os.getpid() and _has_open(folder, path):
            found.append(f"{_name_of(folder)} (process {folder.name})")
    return found


def _has_open(folder: Path, path: str) -> bool:
    try:
        return any(_target(link) == path for link in (folder / "fd").iterdir())
    except OSError:  # another user's process, or one that has ended
        return False


def _target(link: Path) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""


def _name_of(folder: Path) -> str:
    try:
        return (folder / "comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "a program"
