"""Video4Linux asked directly: what a device is and which modes it has. Opens devices, never starts them.

Note [V4L2 structures]
    The structures of `linux/videodev2.h` are the same on every architecture for these four questions: all their
    fields are 32-bit numbers and byte strings. The request numbers are `_IOWR('V', number, struct)` as x86, Arm and
    RISC-V count them (direction 2 bits, size 14, type 8, number 8).
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from livematte.sources.camera_modes import Mode, rates_within, sizes_within

Ioctl = Callable[[int, bytearray], None]
"""Sends (request number, structure) to the open device and fills the structure in; OSError where it is refused."""

QUERYCAP: Final = 0x80685600
ENUM_FMT: Final = 0xC0405602
ENUM_FRAMESIZES: Final = 0xC02C564A
ENUM_FRAMEINTERVALS: Final = 0xC034564B
_CAPTURE: Final = 0x00000001
_OUTPUT: Final = 0x00000002
_CAPTURE_MPLANE: Final = 0x00001000
_M2M: Final = 0x0000C000
_STREAMING: Final = 0x04000000
_HAS_DEVICE_CAPS: Final = 0x80000000
_BUFFER_CAPTURE: Final = 1
_MOST: Final = 256
"""Entries of one list that are read at most, against drivers that never end it."""

FORMATS: Final = {
    "YUYV": "yuyv422", "UYVY": "uyvy422", "NV12": "nv12", "YU12": "yuv420p", "422P": "yuv422p", "RGB3": "rgb24",
    "BGR3": "bgr24", "GREY": "gray", "MJPG": "mjpeg", "JPEG": "mjpeg", "H264": "h264",
}  # fmt: skip
"""V4L2's four characters -> FFmpeg's name, for those that FFmpeg's v4l2 reads and livematte can use."""


@dataclass(frozen=True, slots=True)
class Capability:
    """A device node's answer to VIDIOC_QUERYCAP."""

    driver: str
    card: str
    bus: str
    device_caps: int
    """What this node can, as against the whole device."""

    @property
    def captures(self) -> bool:
        """True for a node that gives pictures in the way that FFmpeg reads."""
        return bool(self.device_caps & _CAPTURE) and bool(self.device_caps & _STREAMING) and not self.is_codec

    @property
    def is_codec(self) -> bool:
        """A hardware encoder or decoder: pictures go in and come out of the same node."""
        return bool(self.device_caps & _M2M)

    @property
    def outputs(self) -> bool:
        """True for a node that takes pictures: a loopback that nobody writes to, or one without `exclusive_caps`."""
        return bool(self.device_caps & _OUTPUT)

    @property
    def is_multi_planar(self) -> bool:
        """True for capture in several planes alone, which FFmpeg does not read (phones' and boards' sensors)."""
        return bool(self.device_caps & _CAPTURE_MPLANE) and not self.device_caps & _CAPTURE

    @property
    def is_loopback(self) -> bool:
        """True for what v4l2loopback (or akvcam) made."""
        return "loopback" in self.driver.lower() or self.driver.lower().startswith("akvcam")


def parse_capability(data: bytes) -> Capability:
    """`struct v4l2_capability` (104 bytes)."""
    driver, card, bus, _, capabilities, device_caps = struct.unpack_from("<16s32s32sIII", data)
    caps = device_caps if capabilities & _HAS_DEVICE_CAPS else capabilities
    return Capability(_text(driver), _text(card), _text(bus), caps)


def parse_format(data: bytes) -> str:
    """The four characters of a `struct v4l2_fmtdesc` (64 bytes)."""
    (code,) = struct.unpack_from("<4s", data, 44)
    return _text(code).strip()


def parse_sizes(data: bytes) -> list[tuple[int, int]]:
    """A `struct v4l2_frmsizeenum` (44 bytes): one size, or the usual ones in a range."""
    (kind,) = struct.unpack_from("<I", data, 8)
    if kind == 1:
        return [struct.unpack_from("<II", data, 12)]
    w0, w1, step_x, h0, h1, step_y = struct.unpack_from("<6I", data, 12)
    return sizes_within((w0, h0, step_x), (w1, h1, step_y))


def parse_rates(data: bytes) -> list[Fraction]:
    """A `struct v4l2_frmivalenum` (52 bytes): one rate, or the usual ones in a range. V4L2 counts seconds a frame."""
    (kind,) = struct.unpack_from("<I", data, 16)
    if kind == 1:
        seconds, parts = struct.unpack_from("<II", data, 20)
        return [Fraction(parts, seconds)] if seconds and parts else []
    n0, d0, n1, d1 = struct.unpack_from("<4I", data, 20)
    if not (n0 and n1):
        return []
    return rates_within(Fraction(d1, n1), Fraction(d0, n0))


def _text(data: bytes) -> str:
    return data.split(b"\0", 1)[0].decode("utf-8", "replace").strip()


def capability(ioctl: Ioctl) -> Capability:
    """Ask what the node is; OSError where it is no video device."""
    data = bytearray(104)
    ioctl(QUERYCAP, data)
    return parse_capability(bytes(data))


def modes(ioctl: Ioctl) -> list[Mode]:
    """Every mode that FFmpeg can read from the device, sorted; empty where the driver tells none."""
    found: set[Mode] = set()
    for code in _formats(ioctl):
        name = FORMATS.get(code)
        if name is None:
            continue
        for width, height in _sizes(ioctl, code):
            found.update(Mode(width, height, rate, name) for rate in _rates(ioctl, code, width, height))
    return sorted(found)


def _enumerate(ioctl: Ioctl, request: int, make: Callable[[int], bytearray]) -> Iterator[bytes]:
    for index in range(_MOST):
        data = make(index)
        try:
            ioctl(request, data)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOTTY):  # the list's end, or no such list
                return
            raise
        yield bytes(data)


def _formats(ioctl: Ioctl) -> Iterator[str]:
    def make(index: int) -> bytearray:
        return bytearray(struct.pack("<II56x", index, _BUFFER_CAPTURE))

    yield from map(parse_format, _enumerate(ioctl, ENUM_FMT, make))


def _sizes(ioctl: Ioctl, code: str) -> Iterator[tuple[int, int]]:
    def make(index: int) -> bytearray:
        return bytearray(struct.pack("<I4s36x", index, code.encode()))

    for data in _enumerate(ioctl, ENUM_FRAMESIZES, make):
        yield from parse_sizes(data)
        if struct.unpack_from("<I", data, 8)[0] != 1:  # a range is the whole answer
            return


def _rates(ioctl: Ioctl, code: str, width: int, height: int) -> Iterator[Fraction]:
    def make(index: int) -> bytearray:
        return bytearray(struct.pack("<I4sII36x", index, code.encode(), width, height))

    is_empty = True
    for data in _enumerate(ioctl, ENUM_FRAMEINTERVALS, make):
        for rate in parse_rates(data):
            is_empty = False
            yield rate
        if struct.unpack_from("<I", data, 16)[0] != 1:
            return
    if is_empty:  # v4l2loopback and old drivers tell sizes without rates
        yield Fraction(30)


@contextmanager
def opened(path: str) -> Iterator[Ioctl]:
    """The device, open for questions only. OSError where it cannot be opened; not for other systems than Linux."""
    import fcntl

    descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def ask(request: int, data: bytearray) -> None:
        fcntl.ioctl(descriptor, request, data, True)

    try:
        yield ask
    finally:
        os.close(descriptor)
