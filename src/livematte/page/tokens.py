"""Who may talk to the page: a token for each run, and one that OBS keeps.

Note [Two tokens]
    The page's token is made anew for each run and stands behind `#` in its address: browsers do not send that part to
    a server, so it is in no log and no Referer; the page moves it into its own memory and sends it as a header. OBS
    saves an address for months, so `/obs` has a token of its own in the user's config folder (mode 0600), which opens
    nothing but the cut-out picture.
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
import stat
from pathlib import Path

from livematte import resources
from livematte.errors import SinkError
from livematte.reporting import Reporter

_SHAPE = re.compile(r"[A-Za-z0-9_-]{32}")
OBS_TOKEN_FILE = "obs-token"


def new_token() -> str:
    """32 characters of 6 random bits each."""
    return secrets.token_urlsafe(24)


def is_same(given: str, expected: str) -> bool:
    """Compared in constant time, so that an answer's delay does not tell how many characters were right."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), expected.encode())


def obs_token(*, renew: bool = False, reporter: Reporter) -> str:
    """The saved token of `/obs`; made at the first call, and anew where `renew` or where the file holds something else.

    SinkError where the user's config folder cannot be read or written.
    """
    path = resources.config_dir() / OBS_TOKEN_FILE
    try:
        known = None if renew else _read(path, reporter)
        if known is not None:
            return known
        return _write(path)
    except OSError as error:
        raise SinkError(
            f"the token of /obs cannot be kept in {path}: {error.strerror or error}. Make that folder writable for "
            "you, or move it with XDG_CONFIG_HOME (Linux)."
        ) from error


def _read(path: Path, reporter: Reporter) -> str | None:
    try:
        text = path.read_text(encoding="utf-8", errors="replace").strip()
    except FileNotFoundError:
        return None
    if not _SHAPE.fullmatch(text):
        reporter.warn(f"{path} did not hold a token, so a new one was made. Put the new address into OBS.")
        return None
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        reporter.warn(f"{path} could be read by other users, so a new token was made. Put the new address into OBS.")
        return None
    return text


def _write(path: Path) -> str:
    """A new token, in a file that is only the user's from its first byte on."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    token = new_token()
    scratch = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(token + "\n")
    os.replace(scratch, path)
    return token
