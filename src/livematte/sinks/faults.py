"""What the file system and FFmpeg say, as one paragraph for a person: the one place where sinks map exceptions."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import av

from livematte.errors import LivematteError, SinkError

_ADVICE: Final[dict[int, str]] = {
    errno.ENOSPC: "the disk is full. Free some space, or write to another disk with -o.",
    errno.EFBIG: "the file would be larger than this system allows (a file size limit, 'ulimit -f', or a FAT32 disk "
    "with its 4 GB limit). Raise the limit, write to another disk, or choose a smaller format (--format webm).",
    errno.EACCES: "this folder or file may not be written to. Choose another place with -o, or change its permissions.",
    errno.EPERM: "this folder or file may not be written to. Choose another place with -o, or change its permissions.",
    errno.EROFS: "this disk is read-only. Choose another place with -o.",
    errno.ENOENT: "the folder does not exist. Create it, or choose another place with -o.",
    errno.ENOTDIR: "a part of the path is a file, not a folder. Choose another place with -o.",
    errno.EISDIR: "there is a folder of that name. Choose another name with -o.",
    errno.EPIPE: "the program that was reading the pipe has closed it; what it got so far is all there is.",
    errno.EIO: "the disk or network drive reports an input/output error. Check it, or write to another disk with -o.",
    errno.ENAMETOOLONG: "the name is too long for this disk. Choose a shorter one with -o.",
}
if hasattr(errno, "EDQUOT"):
    _ADVICE[errno.EDQUOT] = "your disk quota is used up. Free some space, or write to another disk with -o."


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Turn what the system and FFmpeg raise while `name` is written into `SinkError`; our own errors pass.

    `TypeError` passes too: it means that the pipeline broke the contract, which no advice helps against.
    """
    try:
        yield
    except LivematteError:
        raise
    except (OSError, av.error.FFmpegError, ValueError, MemoryError) as error:
        raise explain(name, error) from error


def explain(name: str, error: BaseException) -> SinkError:
    """The `SinkError` for what went wrong while `name` was written."""
    number = getattr(error, "errno", None)
    if isinstance(error, MemoryError):
        return SinkError(f"cannot write {name}: there is not enough memory. Close programs, or use a smaller --size.")
    if isinstance(number, int) and number in _ADVICE:
        result = SinkError(f"cannot write {name}: {_ADVICE[number]}")
        result.errno = number
        return result
    said = getattr(error, "strerror", None) or str(error)
    return SinkError(
        f"cannot write {name}: the encoder or the file system says '{said}'. Try another format (--format mov, mkv, "
        "png) or another place with -o; 'livematte doctor' shows which formats work on this machine."
    )


def check_file(path: str) -> None:
    """Refuse early what can never be written: a folder or a device of that name, or a `check_folder` that fails."""
    if os.path.isdir(path):
        raise explain(path, OSError(errno.EISDIR, os.strerror(errno.EISDIR)))
    if os.path.exists(path) and not os.path.isfile(path):  # /dev/null: the finished file would take its place
        raise SinkError(
            f"cannot write {path}: it is a device or a named pipe, not a file. For a pipe into another program use "
            "-o -; to compute and write nothing, livematte convert --format null or livematte webcam -o null."
        )
    check_folder(path)


def check_folder(path: str) -> None:
    """Refuse early where the folder of `path` is missing or cannot be written to: before any frame is computed."""
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        number = errno.ENOTDIR if os.path.exists(folder) else errno.ENOENT
    elif not os.access(folder, os.W_OK | os.X_OK):
        number = errno.EACCES
    else:
        return
    raise explain(path, OSError(number, os.strerror(number)))
