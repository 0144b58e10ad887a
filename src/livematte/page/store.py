"""What was dropped on the page, and what was made of it: in a private folder, bounded, and gone when the page is.

Note [What is kept, and how long]
    Everything lies in one folder that only this user can open (0700), under names of ours. A page's files go when it
    closes (it says so), or when it has not been heard of for `SILENCE_SECONDS`; everything goes when the server stops.
    A program that is killed cannot clean up, so each folder holds a lock, and the next start removes the folders whose
    lock nobody holds. A background that was uploaded stays until the run ends, because a worker that is started again
    reads it again.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import shutil
import tempfile
import threading
import time
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout
from starlette.requests import Request

from livematte.errors import SinkError, UsageError
from livematte.page.answers import Refused, refuse_large, too_large
from livematte.progress import readable_bytes
from livematte.reporting import Reporter
from livematte.sources.inputs import PICTURE_SUFFIXES, VIDEO_SUFFIXES

Kind = Literal["photo", "clip"]

MOST_FILES = 40
"""Files that may lie here at once."""
MOST_PHOTO_BYTES = 200 << 20
MOST_CLIP_BYTES = 16 << 30
_FREE_BYTES = 512 << 20
"""Room that an upload leaves on the disk."""
SILENCE_SECONDS = 150.0
"""A page that was not heard of for so long has gone. Browsers slow the timers of hidden pages to one a minute."""
_CHUNK_BYTES = 1 << 20
_PREFIX = "livematte-page-"
_LOCK = "in-use.lock"
_LISTS = (b"#EXTM3U", b"ffconcat", b"[playlist]", b"<?xml")
"""Files that name other files or addresses, which FFmpeg would open: they are no clips."""
_RESERVED = frozenset({"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))})


@dataclass(slots=True)
class Stored:
    """A file that was dropped."""

    id: str
    client: str
    """The page that it belongs to; empty: the run's own."""
    name: str
    """For persons and for the outputs' names."""
    kind: Kind
    path: Path
    bytes: int

    @property
    def folder(self) -> Path:
        """Holds the file, and what is made of it."""
        return self.path.parent


def safe_name(given: str) -> str:
    """The last part of a name, without anything that a file system, a shell or a terminal takes for more than a letter.

    UsageError where nothing is left.
    """
    last = re.split(r"[\\/]", unicodedata.normalize("NFC", given))[-1]
    plain = "".join(one if one.isalnum() or one in "-_. ()+" else "_" for one in last if one.isprintable())
    stem, dot, suffix = plain.strip(" .").rpartition(".")
    if not dot or not stem.strip(" ._"):
        raise UsageError(f"'{last[:60]}' is no file name with an ending, such as clip.mp4.")
    stem = stem.strip(" .")[:80].strip(" .")
    if stem.lower().split(".")[0] in _RESERVED or stem.startswith("-"):
        stem = f"_{stem}"
    return f"{stem}.{suffix[:10].lower()}"


def kind_of(name: str) -> Kind:
    """By its ending; Refused (415) where it is none that we read."""
    suffix = Path(name).suffix
    if suffix in VIDEO_SUFFIXES:
        return "clip"
    if suffix in PICTURE_SUFFIXES:
        return "photo"
    raise Refused(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        f"'{name}' is neither a photo nor a clip by its ending. Photos: jpg, png, webp, avif, heic, tiff; clips: mp4, "
        "mov, mkv, webm, avi and most others.",
    )


@dataclass(slots=True)
class _Client:
    heard: float = field(default_factory=time.monotonic)


class Store:
    """The folder and what is in it (Note [What is kept, and how long]). Thread-safe."""

    def __init__(self, parent: Path | None = None) -> None:
        """`parent`: default the system's place for temporary files. SinkError where no folder can be made there."""
        base = parent or Path(tempfile.gettempdir())
        _sweep(base)
        try:
            self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))  # 0700
        except OSError as error:
            raise SinkError(
                f"no folder for uploads can be made in {base}: {error.strerror or error}. Set TMPDIR to one that is "
                "writable."
            ) from error
        self._in_use = FileLock(self.folder / _LOCK)
        self._in_use.acquire(blocking=False)
        self.pool = ThreadPoolExecutor(2, thread_name_prefix="livematte-page-files")
        """For whatever would hold up the server's loop."""
        self._lock = threading.Lock()
        self._files: dict[str, Stored] = {}
        self._clients: dict[str, _Client] = {}
        self._arriving = 0

    async def receive(self, request: Request, *, client: str, keep: bool = False) -> Stored:
        """The request's body, straight to the disk, under `?name=`. Refused: too many, too large, no room, no kind."""
        name = safe_name(request.query_params.get("name", ""))
        kind = kind_of(name)
        most = MOST_CLIP_BYTES if kind == "clip" else MOST_PHOTO_BYTES
        refuse_large(request, most)
        self._refuse_full(request.headers.get("content-length", ""))
        identity = secrets.token_urlsafe(12)
        path = self.folder / identity / name
        try:
            path.parent.mkdir(mode=0o700)
            size = await self._write(request, path, most)
        except BaseException:
            shutil.rmtree(path.parent, ignore_errors=True)
            raise
        finally:
            with self._lock:
                self._arriving -= 1
        stored = Stored(identity, client, name, kind, path, size)
        with self._lock:
            self._files[identity] = stored
        if not keep:
            self.heard_of(client)
        return stored

    def _refuse_full(self, stated_bytes: str) -> None:
        """Takes one place among the files that may lie here; who took it gives it back when the file has come."""
        with self._lock:
            if len(self._files) + self._arriving >= MOST_FILES:
                raise Refused(
                    HTTPStatus.TOO_MANY_REQUESTS,
                    f"{MOST_FILES} files are here already. Remove some from the page first.",
                )
            self._refuse_without_room(int(stated_bytes) if stated_bytes.isdigit() else 0)
            self._arriving += 1

    def _refuse_without_room(self, coming_bytes: int) -> None:
        free = shutil.disk_usage(self.folder).free
        if coming_bytes + _FREE_BYTES > free:
            raise Refused(
                HTTPStatus.INSUFFICIENT_STORAGE,
                f"there is no room for it: {self.folder.parent} has {readable_bytes(free)} free, and "
                f"{readable_bytes(_FREE_BYTES)} are left alone. Make room there, or set TMPDIR to another disk.",
            )

    async def _write(self, request: Request, path: Path, most: int) -> int:
        loop = asyncio.get_running_loop()
        size, unwritten, head = 0, bytearray(), b""
        with os.fdopen(
            os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600), "wb"
        ) as file:
            async for part in request.stream():
                size += len(part)
                if size > most:
                    raise too_large(most)
                unwritten += part
                if len(unwritten) >= _CHUNK_BYTES:
                    head = head or bytes(unwritten[:64])
                    self._refuse_without_room(len(unwritten))
                    await loop.run_in_executor(self.pool, file.write, bytes(unwritten))
                    unwritten.clear()
            await loop.run_in_executor(self.pool, file.write, bytes(unwritten))
        _refuse_content(head or bytes(unwritten[:64]), path.name, size)
        return size

    def find(self, identity: str) -> Stored:
        """The file; Refused (404) where it is not here (any more)."""
        with self._lock:
            found = self._files.get(identity)
        if found is None:
            raise Refused(HTTPStatus.NOT_FOUND, "that file is not here any more. Drop it again.")
        return found

    def remove(self, identity: str) -> None:
        """Delete a file and what was made of it."""
        with self._lock:
            found = self._files.pop(identity, None)
        if found is not None:
            shutil.rmtree(found.folder, ignore_errors=True)

    # -- pages that come and go ------------------------------------------------------------------------------------

    def heard_of(self, client: str) -> None:
        """The page is there."""
        with self._lock:
            self._clients[client] = _Client()

    def gone(self, *, now: float | None = None) -> list[str]:
        """Pages that have been silent for too long; each is told once."""
        moment = time.monotonic() if now is None else now
        with self._lock:
            silent = [name for name, one in self._clients.items() if moment - one.heard > SILENCE_SECONDS]
            for name in silent:
                del self._clients[name]
        return silent

    def of_client(self, client: str) -> list[Stored]:
        """What belongs to a page."""
        with self._lock:
            return [one for one in self._files.values() if one.client == client]

    def close(self, reporter: Reporter) -> None:
        """Delete everything; says what could not be deleted."""
        self.pool.shutdown(wait=True)
        self._in_use.release()
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.folder.exists():  # another program holds a file open, on Windows
            reporter.warn(f"what was dropped on the page could not all be deleted: remove {self.folder} yourself.")


def _refuse_content(head: bytes, name: str, size: int) -> None:
    if not size:
        raise UsageError(f"'{name}' is empty (0 bytes).")
    if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(_LISTS):
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"'{name}' is a list of other files, not a photo or a clip.")


def _sweep(base: Path) -> None:
    """Remove what a killed run left behind: folders of ours whose lock nobody holds."""
    for folder in base.glob(f"{_PREFIX}*"):
        try:
            if not folder.is_dir() or folder.is_symlink():
                continue
            if hasattr(os, "getuid") and folder.stat().st_uid != os.getuid():
                continue
            if not (folder / _LOCK).exists():
                continue  # one that another run is making at this moment
            lock = FileLock(folder / _LOCK)
            lock.acquire(blocking=False)
        except (OSError, Timeout):
            continue  # in use, or just gone
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)
