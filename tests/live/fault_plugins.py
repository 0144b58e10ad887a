"""Plugins for a real worker: a room in a colour of its own, a network that removes it by formula, and faults.

A spawned child imports this module: the plugins are named `fault_plugins:FUNCTION`.
"""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np

from livematte.color import ColorSpec
from livematte.errors import DeviceError, SourceError
from livematte.frames import Frame, StreamInfo, Timestamp
from livematte.live import worker
from livematte.live.messages import WorkerSpec
from livematte.models.session import Estimate, Session
from livematte.planes import new_picture, plane_arrays

WIDTH, HEIGHT, RATE = 320, 180, Fraction(30)
SPEC = ColorSpec("bt709", "tv", "bt709", "bt709")
ROOM = (200, 90, 240)
PERSON = (120, 110, 140)
"""Planes' values. Nothing but the room has a V near 240."""
ROOM_V = 180
"""No sample of an output's V plane may reach this."""
FAULT_AFTER_FRAMES = 15


def picture(width: int, height: int) -> av.VideoFrame:
    """The room with a person of a third of its width in the middle."""
    made = new_picture("yuv420p", width, height)
    for plane, room, person in zip(plane_arrays(made), ROOM, PERSON, strict=True):
        plane.fill(room)
        rows, columns = plane.shape
        plane[rows // 4 :, columns // 3 : columns - columns // 3] = person
    return made


class RoomSource:
    """A camera in that room; `happens` is called for each frame before it is given."""

    name = "room"
    is_live = True
    decoder = "formula"
    damaged = 0

    def __init__(self) -> None:
        self.info = StreamInfo("room", WIDTH, HEIGHT, "yuv420p", SPEC, 1 / RATE, RATE)
        self.closed = threading.Event()
        self.index = 0
        self.size = (WIDTH, HEIGHT)
        self.pts_offset = 0

    def __iter__(self) -> Iterator[Any]:
        while not self.closed.wait(1 / float(RATE)):
            FAULTS["read"](self)
            frame = Frame(picture(*self.size), Timestamp(self.index + self.pts_offset, 1 / RATE), 1, self.index, SPEC)
            frame.captured_ns = time.monotonic_ns()
            self.index += 1
            yield frame

    def close(self) -> None:
        self.closed.set()


FAULTS: dict[str, Any] = {"read": lambda source: None, "network": lambda: None}
_estimates = 0


def room(spec: WorkerSpec) -> None:
    """The room for a camera, and alpha 1 in a box well inside the person."""

    def estimate(self: Any, frame: Frame) -> Estimate:
        global _estimates
        self._bind(frame)
        _estimates += 1
        if frame.captured_ns is not None:  # the warming's frame is nobody's
            FAULTS["network"]()
        size = self.network_size
        alpha = np.zeros((size.height, size.width), np.float32)
        alpha[int(0.4 * size.height) :, int(0.42 * size.width) : int(0.58 * size.width)] = 1
        return Estimate(alpha)

    Session.estimate = estimate  # type: ignore[method-assign]
    worker.open_live_source = lambda settings, *, reporter: RoomSource()  # type: ignore[assignment]


def _after(number: int) -> bool:
    return number >= FAULT_AFTER_FRAMES


def _camera_gone(source: RoomSource) -> None:
    if _after(source.index):
        raise SourceError("the camera is gone.")


def _read_never_returns(source: RoomSource) -> None:
    if _after(source.index):
        threading.Event().wait()


def _network_raises() -> None:
    if _after(_estimates):
        raise DeviceError("the device was lost.")


def _network_raises_the_unexpected() -> None:
    if _after(_estimates):
        raise ZeroDivisionError("of the network's own")


def _engine_hangs() -> None:
    if _after(_estimates):
        threading.Event().wait()


def _engine_hangs_with_the_interpreter() -> None:
    """As native code does that never comes back and keeps Python's lock: no other thread of the worker runs."""
    if _after(_estimates):
        libc = ctypes.PyDLL(None) if sys.platform != "win32" else ctypes.PyDLL("kernel32")
        if sys.platform == "win32":
            libc.Sleep(600_000)
        else:
            libc.sleep(600)


BY_GENERATION: tuple[tuple[str, Any, str], ...] = (
    ("read", _camera_gone, "cannot be read"),
    ("read", _read_never_returns, "does not answer"),
    ("network", _network_raises, "Something went wrong"),
    ("network", _network_raises_the_unexpected, "Something went wrong"),
    ("network", _engine_hangs, "Something went wrong"),
    ("network", _engine_hangs_with_the_interpreter, "Something went wrong"),
)
"""(place, fault, words on the card) of worker 1, 2, ...; those after run without a fault."""


def fault_by_generation(spec: WorkerSpec) -> None:
    if spec.generation <= len(BY_GENERATION):
        place, fault, _ = BY_GENERATION[spec.generation - 1]
        FAULTS[place] = fault


def changes_and_jumps(spec: WorkerSpec) -> None:
    """The size changes on the way, the source's clock and the system's jump back an hour."""
    real = time.time

    def read(source: RoomSource) -> None:
        if source.index == 15:
            source.size = (640, 360)
        if source.index == 30:
            source.pts_offset = -3600 * int(RATE)
            time.time = lambda: real() - 3600
        if source.index == 45:
            source.size = (WIDTH, HEIGHT)

    FAULTS["read"] = read
