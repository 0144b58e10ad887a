"""Is OBS running? Best effort, without a dependency: a program that cannot be seen counts as not running."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_OBS_NAMES: Final = frozenset({"obs", "obs64.exe", "obs32.exe", "obs-studio"})
_PATIENCE_SECONDS: Final = 3.0


def is_obs_running(platform: str = sys.platform, proc: Path = Path("/proc")) -> bool:
    """True where a process has one of OBS' names."""
    if platform.startswith("linux"):
        return any(name in _OBS_NAMES for name in _linux_names(proc))
    if platform == "win32":
        return any(name in _OBS_NAMES for name in _windows_names())
    return any(Path(line.strip()).name.lower() in _OBS_NAMES for line in _listed(["ps", "-axo", "comm="]))


def _linux_names(proc: Path) -> list[str]:
    names: list[str] = []
    try:
        entries = [entry for entry in proc.iterdir() if entry.name.isdigit()]
    except OSError:
        return names
    for entry in entries:
        try:
            names.append((entry / "comm").read_text(errors="replace").strip())
        except OSError:  # ended meanwhile
            continue
    return names


def _windows_names() -> list[str]:
    lines = _listed(["tasklist", "/FO", "CSV", "/NH"])
    return [line.split(",")[0].strip('"').lower() for line in lines]


def _listed(command: Sequence[str]) -> list[str]:
    """Lines of a system tool's output; none where it is not there or takes too long."""
    flags = getattr(subprocess, "CREATE_NO_WINDOW", 0)
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_PATIENCE_SECONDS, check=False,
            creationflags=flags, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return []
    return done.stdout.splitlines()
