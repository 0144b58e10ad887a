"""FFmpeg's and PyAV's exceptions, mapped to sentences in one place; sources and sinks both use it.

Note [FFmpeg's log]
    FFmpeg says the useful part ("moov atom not found") in its log, not in its error code. PyAV keeps the log
    switched off, because its callback needs Python's lock and FFmpeg logs from decoder threads. It is switched on
    only while a container is being opened (no decoder thread of ours exists then), captured for the opening
    thread, and never reaches the terminal.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import av
import av.error
import av.logging

REASONS: Final[dict[str, str]] = {
    "FFmpegError": "FFmpeg reports an error",
    "UndefinedError": "FFmpeg reports an error that it does not name",
    "LookupError": "this build of FFmpeg lacks a part that is needed",
    "HTTPError": "the server answered with an error",
    "HTTPClientError": "the server refused the request",
    "BSFNotFoundError": "this build of FFmpeg lacks a bitstream filter that is needed",
    "BugError": "FFmpeg ran into a fault of its own",
    "BufferTooSmallError": "a buffer inside FFmpeg is too small",
    "DecoderNotFoundError": "this build of FFmpeg has no decoder for it",
    "DemuxerNotFoundError": "this build of FFmpeg cannot read this kind of file",
    "EncoderNotFoundError": "this build of FFmpeg has no such encoder",
    "EOFError": "it ends before its contents begin",
    "ExitError": "no data arrived in time",
    "ExternalError": "a library that FFmpeg uses reports an error",
    "FilterNotFoundError": "this build of FFmpeg lacks a filter that is needed",
    "InvalidDataError": "the data are damaged or not of a kind that FFmpeg knows",
    "MuxerNotFoundError": "this build of FFmpeg cannot write this kind of file",
    "OptionNotFoundError": "FFmpeg does not know an option that was set",
    "PatchWelcomeError": "it uses a feature that FFmpeg does not support",
    "ProtocolNotFoundError": "this build of FFmpeg does not speak this protocol",
    "UnknownError": "FFmpeg reports an unknown error",
    "ExperimentalError": "FFmpeg holds this feature to be experimental",
    "InputChangedError": "the input changed its format on the way",
    "OutputChangedError": "the output changed its format on the way",
    "HTTPBadRequestError": "the server calls the request malformed (400)",
    "HTTPUnauthorizedError": "the server wants a user name and password (401)",
    "HTTPForbiddenError": "the server forbids access (403)",
    "HTTPNotFoundError": "the server has nothing at this address (404)",
    "HTTPTooManyRequestsError": "the server wants fewer requests (429)",
    "HTTPOtherClientError": "the server refused the request (4xx)",
    "HTTPServerError": "the server failed (5xx)",
    "PyAVCallbackError": "reading through Python failed",
    "PermissionError": "permission was denied",
    "BlockingIOError": "no data are available right now",
    "ChildProcessError": "a helper process failed",
    "ConnectionAbortedError": "the connection was aborted",
    "ConnectionRefusedError": "the connection was refused: nothing listens there",
    "ConnectionResetError": "the other side closed the connection",
    "FileExistsError": "the file exists already",
    "InterruptedError": "the call was interrupted",
    "IsADirectoryError": "it is a folder",
    "FileNotFoundError": "there is no such file",
    "NotADirectoryError": "part of the path is not a folder",
    "BrokenPipeError": "the reader at the other end went away",
    "ProcessLookupError": "a process that was needed is gone",
    "TimeoutError": "no data arrived in time",
    "MemoryError": "memory ran out",
    "NotImplementedError": "FFmpeg does not implement this",
    "OverflowError": "a number is out of range",
    "OSError": "the system reports an input or output error",
    "ArgumentError": "FFmpeg holds a setting to be invalid",
}
"""Name of each exception class of `av.error` -> what it means, in words. The most specific class wins."""

_DAMAGE: Final = ("InvalidDataError", "PatchWelcomeError", "BugError", "UnknownError", "ExternalError")
_SECRETS: Final = re.compile(r"(?<=://)[^/@\s]+@")


def reason(error: BaseException) -> str:
    """What went wrong, as the end of a sentence, with the system's own words where the class alone is vague."""
    for kind in type(error).__mro__:
        known = REASONS.get(kind.__name__)
        if known is not None and kind.__module__.startswith("av."):
            detail = getattr(error, "strerror", None)
            return f"{known} ({detail})" if kind.__name__ in ("OSError", "FFmpegError", "UndefinedError") else known
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[:1].lower() + error.strerror[1:]
    return str(error) or type(error).__name__


def is_damage(error: BaseException) -> bool:
    """True where the data are at fault, so that reading may go on with the next packet; False for I/O errors."""
    return any(kind.__name__ in _DAMAGE for kind in type(error).__mro__)


def without_credentials(text: str) -> str:
    """The text with `user:password@` taken out of every URL in it."""
    return _SECRETS.sub("", text)


_log_lock = threading.Lock()
_log_users = 0


@contextmanager
def captured_log() -> Iterator[list[str]]:
    """Collects what FFmpeg logs as errors on this thread (Note [FFmpeg's log]); the list is filled at the end."""
    global _log_users
    quiet = logging.getLogger("libav")
    with _log_lock:
        _log_users += 1
        if _log_users == 1:
            quiet.addHandler(_SILENCE)
            quiet.propagate = False
            av.logging.set_level(av.logging.ERROR)
    lines: list[str] = []
    try:
        with av.logging.Capture() as entries:
            yield lines
    finally:
        lines.extend(without_credentials(message).strip() for _, _, message in entries if message.strip())
        with _log_lock:
            _log_users -= 1
            if _log_users == 0:
                av.logging.set_level(None)
                quiet.removeHandler(_SILENCE)
                quiet.propagate = True


_SILENCE: Final = logging.NullHandler()


def last_useful(lines: list[str]) -> str:
    """The last line of FFmpeg's log that says something, ready to be put into a message; empty without one."""
    useful = [line.splitlines()[-1].strip(" .") for line in lines if "Could not find codec parameters" not in line]
    return f" FFmpeg says: {useful[-1]}." if useful else ""
