"""What Linux says of a video node: its capabilities and its present size. Opened for the length of a question."""

from __future__ import annotations

import os
import re
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_QUERYCAP: Final = 0x80685600
"""VIDIOC_QUERYCAP: driver[16], card[32], bus_info[32], version, capabilities, device_caps, reserved[3]."""
_TAKES: Final = 0x2
"""V4L2_CAP_VIDEO_OUTPUT: programs may write to it."""
_GIVES: Final = 0x1
"""V4L2_CAP_VIDEO_CAPTURE: programs may read from it."""
_FORMAT_BYTES: Final = 208 if struct.calcsize("P") == 8 else 204
_GET_FORMAT: Final = 0xC0005604 | (_FORMAT_BYTES << 16)
"""VIDIOC_G_FMT on a struct v4l2_format."""
_BUFFER_OUTPUT: Final = 2
_BUFFER_CAPTURE: Final = 1


@dataclass(frozen=True, slots=True)
class Roots:
    """Where the system's own folders are; tests have others."""

    sys: Path = Path("/sys")
    dev: Path = Path("/dev")
    proc: Path = Path("/proc")
    modules: Path = Path("/lib/modules")


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a node says it does just now."""

    takes: bool
    gives: bool


def capabilities(path: str) -> Capabilities | None:
    """What the node says; None where it cannot be asked."""
    answer = _ask(path, _QUERYCAP, bytearray(104))
    if answer is None:
        return None
    everything, device = struct.unpack_from("=II", answer, 84)
    flags = device if everything & 0x80000000 else everything  # V4L2_CAP_DEVICE_CAPS: this node's own
    return Capabilities(takes=bool(flags & _TAKES), gives=bool(flags & _GIVES))


def present_size(path: str, roots: Roots) -> tuple[int, int] | None:
    """(width, height) that the node has now; None where it does not say.

    By the module's own attribute (`YUYV:1280x720@30/1`), which disturbs nobody; else by VIDIOC_G_FMT, as what is
    written or, where the writer's side is taken, as what is read.
    """
    stated = read_text(roots.sys / "class" / "video4linux" / Path(path).name / "format")
    match = re.search(r":(\d+)x(\d+)", stated)
    if match is not None:
        return int(match[1]), int(match[2])
    for side in (_BUFFER_OUTPUT, _BUFFER_CAPTURE):
        request = bytearray(_FORMAT_BYTES)
        struct.pack_into("=I", request, 0, side)
        answer = _ask(path, _GET_FORMAT, request)
        if answer is not None:
            width, height = struct.unpack_from("=II", answer, 8 if _FORMAT_BYTES == 208 else 4)
            return (width, height) if width and height else None
    return None


def _ask(path: str, request: int, data: bytearray) -> bytearray | None:
    """One ioctl on a node that is open only for that long; None where it is refused."""
    if sys.platform == "win32":
        return None
    import fcntl

    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.ioctl(descriptor, request, data)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return data


def read_text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
