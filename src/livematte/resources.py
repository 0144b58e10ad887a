"""Where the files are that the program needs besides its code, and where it may write."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import platformdirs

from livematte.errors import LivematteError


@cache
def root() -> Path:
    """Folder that holds `engines/` and `configs/`: package data in a wheel, the repository when editable."""
    package = Path(__file__).resolve().parent
    for candidate in (package / "_data", package.parents[1]):
        if (candidate / "engines").is_dir() and (candidate / "configs").is_dir():
            return candidate
    raise LivematteError(
        f"livematte's own files (engines/, configs/) are missing beside {package}. "
        "The installation is incomplete: reinstall with 'pip install --force-reinstall livematte'."
    )


def cache_dir() -> Path:
    """Folder for fetched weights and built plans (`LIVEMATTE_CACHE` moves it). Not created here."""
    moved = os.environ.get("LIVEMATTE_CACHE")
    return Path(moved).expanduser() if moved else Path(platformdirs.user_cache_dir("livematte", appauthor=False))


def config_dir() -> Path:
    """Folder for the user's own presets and settings. Not created here."""
    return Path(platformdirs.user_config_dir("livematte", appauthor=False))
