"""The cache of compiled kernels: one file a source and architecture, in a folder that is this user's alone.

Note [Kernels are programs]
    A cubin is machine code that the driver runs as it finds it. So it is read from the user's own folder (0700, owner
    checked, no links), and a digest at its head is checked first, which guards against files cut short. Where the
    folder cannot be used, kernels are compiled at every start (half a second each), and that is said.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
import sys
from pathlib import Path
from typing import Final

from livematte import resources
from livematte.reporting import Reporter
from livematte.runtimes.plans.folder import open_own
from livematte.runtimes.plans.header import BadPlan

_MAGIC: Final = b"LMKERNEL1\n"
_DIGEST_BYTES: Final = 32


class CubinCache:
    """Compiled kernels by key. Any number of processes may use one folder."""

    def __init__(self, folder: Path | None = None, *, reporter: Reporter) -> None:
        """folder: None: `kernels` in the user's cache (`resources.cache_dir`)."""
        self.folder = folder or resources.cache_dir() / "kernels"
        self._reporter = reporter

    def get(self, name: str) -> bytes | None:
        """The image kept under this file name; None where there is none that can be trusted (a bad one is said)."""
        path = self.folder / name
        if not self._is_ours():
            return None
        try:
            with open_own(path) as file:
                data = file.read()
        except FileNotFoundError:
            return None
        except (BadPlan, OSError) as error:
            self._reporter.warn(f"{path} {error}: these kernels are compiled again.")
            return None
        digest, image = data[len(_MAGIC) : len(_MAGIC) + _DIGEST_BYTES], data[len(_MAGIC) + _DIGEST_BYTES :]
        if not data.startswith(_MAGIC) or hashlib.sha256(image).digest() != digest:
            self._reporter.warn(f"{path} is damaged: these kernels are compiled again.")
            return None
        return image

    def put(self, name: str, image: bytes) -> None:
        """Keep an image: written beside its place and moved there whole. What goes wrong is said, and only that."""
        if not self._is_ours(create=True):
            return
        path = self.folder / name
        beside = self.folder / f".{name}.{os.getpid()}.{secrets.token_hex(4)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
        try:
            with os.fdopen(os.open(beside, flags, 0o600), "wb") as file:
                file.write(_MAGIC + hashlib.sha256(image).digest() + image)
            os.replace(beside, path)
        except OSError as error:
            beside.unlink(missing_ok=True)
            self._not_kept(f"{path} cannot be written: {error.strerror or error}")

    def _is_ours(self, *, create: bool = False) -> bool:
        """Whether the folder is there, is a folder, and belongs to this user alone."""
        try:
            if create:
                self.folder.parent.mkdir(parents=True, exist_ok=True)
                self.folder.mkdir(mode=0o700, exist_ok=True)
            state = self.folder.lstat()
        except FileNotFoundError:
            return False
        except OSError as error:
            self._not_kept(f"{self.folder} cannot be used: {error.strerror or error}")
            return False
        if not stat.S_ISDIR(state.st_mode):
            self._not_kept(f"{self.folder} is not a folder")
        elif sys.platform != "win32" and state.st_uid != os.geteuid():
            self._not_kept(f"{self.folder} belongs to user number {state.st_uid}")
        elif sys.platform != "win32" and state.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            self._not_kept(f"{self.folder} is open to other users (chmod 700 closes it)")
        else:
            return True
        return False

    def _not_kept(self, reason: str) -> None:
        self._reporter.warn(
            f"{reason}, so the GPU's kernels are compiled again at every start. LIVEMATTE_CACHE names another folder."
        )
