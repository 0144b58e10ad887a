"""What a camera is to livematte: a numbered device with a name, a path, and modes."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from livematte.errors import SourceError
from livematte.sources.camera_modes import Mode

System: TypeAlias = Literal["linux", "windows", "macos"]
Kind: TypeAlias = Literal["camera", "loopback", "own", "not a camera"]
"""loopback: another program's virtual camera; own: livematte's virtual camera."""

FORMAT_OF: Final[dict[System, str]] = {"linux": "v4l2", "windows": "dshow", "macos": "avfoundation"}
"""FFmpeg's input device on each system."""


@dataclass(frozen=True, slots=True)
class Camera:
    """A device that gives pictures, as the system lists it."""

    number: int
    """What `--input 0` means; -1 for a device that is not listed (a loopback, named by its path)."""
    name: str
    """What the maker calls it: `HD Pro Webcam C920`."""
    path: str
    """What tells it from another of the same name: `/dev/video0`, `@device_pnp_...`, macOS' index."""
    kind: Kind = "camera"
    driver: str = ""
    remark: str = ""
    """Why it is left out of the list; empty for those that are in it."""
    exclusive: bool | None = None
    """A loopback with `exclusive_caps`; None: not a loopback, or not known."""
    modes: tuple[Mode, ...] = field(default=(), repr=False)
    """On Linux, where listing them costs nothing; empty elsewhere (`camera_modes_of` asks)."""

    def __str__(self) -> str:
        number = f"camera {self.number}" if self.number >= 0 else "camera"
        return f"{number} ({self.name}, {self.path})" if self.path.startswith("/dev/") else f"{number} ({self.name})"


@dataclass(frozen=True, slots=True)
class Survey:
    """Every video device that the system shows."""

    cameras: tuple[Camera, ...]
    """Those to choose from, numbered from 0."""
    left_out: tuple[Camera, ...] = ()
    """Metadata nodes, codecs, virtual cameras: each with its `remark`."""
    trouble: str = ""
    """Why the list may not be whole, for persons; empty: it is."""


def this_system() -> System:
    """Where this runs; SourceError on a system without cameras in FFmpeg."""
    for start, system in (("linux", "linux"), ("win", "windows"), ("darwin", "macos")):
        if sys.platform.startswith(start):
            return system  # type: ignore[return-value]
    raise SourceError(
        f"cameras are read on Linux, Windows and macOS; this is {sys.platform}. Give a clip or a stream with --input."
    )
