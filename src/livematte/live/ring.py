"""The ring in shared memory through which frames go from the worker to the supervisor.

Note [The ring]
    A fixed number of slots of a fixed size, written in turn. A queue of mapped frames would let a slow reader stop
    the camera, and one that is killed would leak them (zauberzeug/rosys#425). Each slot has a sequence number (a
    seqlock, Lameter 2005, http://www.lameter.com/gelato2005.pdf): odd while it is written, even when whole. The reader
    copies the frame and looks at the number again: another one means that the writer came round meanwhile, and the
    copy is thrown away. So neither ever waits for the other, and a writer that is killed in the middle leaves an odd
    number behind.

    The supervisor creates the memory, readable by its own user alone, and removes its name. The worker only
    attaches. Python before 3.13 registers an attaching process with the resource tracker, which would remove
    the memory when that process ends (cpython#82300).
"""

from __future__ import annotations

import errno
import os
import struct
import sys
import threading
from collections.abc import Sized
from multiprocessing import resource_tracker
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any, Final

import numpy as np

from livematte.errors import SinkError
from livematte.live.base import LiveFrame
from livematte.live.messages import Published
from livematte.live.ring_slot import ByteArray, SlotDamaged, SlotPayload, put, take
from livematte.live.ring_slot import slot_bytes_for as slot_bytes_for

SLOTS: Final = 4
"""One being written, one being read, and two between, so that a reader has two frame times for its copy."""

_PAGE: Final = 4096
_MAGIC: Final = b"livemat1"
_RING_HEADER: Final = struct.Struct("<8sQQ")
_MOST_SLOTS: Final = 64
_patching = threading.Lock()


class Ring:
    """A ring of frames in shared memory. One process writes, another one reads, each on one thread at a time."""

    def __init__(self, memory: SharedMemory, slots: int, slot_bytes: int, *, is_owner: bool) -> None:
        self.name = memory.name
        self.slots = slots
        self.slot_bytes = slot_bytes
        self.damaged = 0
        """Slots that held no frame although nobody was writing them: the worker has gone mad."""
        self.damage = ""
        """What the last of them held, for the report."""
        self._memory = memory
        self._is_open = True
        self._is_owner = is_owner
        self._written = 0
        # Taking a lock is a full memory barrier on every platform: ARM may else reorder sequence and planes.
        self._barrier = threading.Lock()

    @classmethod
    def create(cls, slots: int, slot_bytes: int) -> Ring:
        """New memory for `slots` slots of `slot_bytes`, mode 0600. SinkError where there is not enough memory."""
        stride = _stride(slot_bytes)
        size = _PAGE + slots * stride
        try:
            memory = SharedMemory(create=True, size=size)
        except OSError as error:
            raise _no_memory(size, error) from error
        try:
            _reserve(memory.name, size)
        except OSError as error:
            memory.close()
            memory.unlink()
            raise _no_memory(size, error) from error
        _RING_HEADER.pack_into(_buffer(memory), 0, _MAGIC, slots, stride)
        return cls(memory, slots, stride, is_owner=True)

    @classmethod
    def attach(cls, name: str) -> Ring:
        """The ring that another process has created. SinkError where there is none of this name."""
        try:
            memory = _attached(name)
        except (OSError, ValueError) as error:
            raise SinkError(f"the shared memory '{name}' cannot be opened: {error}. Was it removed?") from error
        magic, slots, stride = _RING_HEADER.unpack_from(_buffer(memory), 0) if memory.size >= _PAGE else (b"", 0, 0)
        if magic != _MAGIC or not 0 < slots <= _MOST_SLOTS or _PAGE + slots * stride > memory.size:
            memory.close()
            raise SinkError(f"the shared memory '{name}' is not a ring of this version of livematte.")
        return cls(memory, slots, stride, is_owner=False)

    def write(self, payload: SlotPayload) -> Published:
        """Copy one frame into the next slot. ValueError where it does not fit (`slot_bytes_for`)."""
        number = self._written % self.slots
        slot, words = self._slot(number)
        sequence = 2 * (self._written + 1)
        words[0] = sequence - 1
        with self._barrier:
            pass
        words[1] = put(payload, slot)
        with self._barrier:
            pass
        words[0] = sequence
        self._written += 1
        return Published(number, sequence)

    def read(self, published: Published) -> LiveFrame | None:
        """A copy of the frame; None: the slot was written again meanwhile, or holds no frame (`damaged`)."""
        if not 0 <= published.slot < self.slots:
            self._note_damage(f"slot {published.slot} of {self.slots}")
            return None
        slot, words = self._slot(published.slot)
        if int(words[0]) != published.sequence:
            return None
        with self._barrier:
            pass
        problem, frame = "", None
        try:
            frame = take(slot, int(words[1]))
        except SlotDamaged as error:
            problem = str(error)
        with self._barrier:
            pass
        if int(words[0]) != published.sequence:
            return None
        if frame is None:
            self._note_damage(problem)
        return frame

    def close(self) -> None:
        """Let go of the memory; the one who created it also removes it. May be called again."""
        if not self._is_open:
            return
        self._is_open = False
        self._memory.close()
        if self._is_owner:
            try:
                self._memory.unlink()
            except FileNotFoundError:
                return  # somebody emptied /dev/shm: what should be gone is gone

    def _slot(self, number: int) -> tuple[ByteArray, Any]:
        """(bytes of the slot, its first two words: sequence and length of the header)."""
        if not self._is_open:
            raise ValueError("this ring is closed")
        # Made anew each time: memory with a view onto it that lives on cannot be closed.
        slot = np.frombuffer(_buffer(self._memory), np.uint8, self.slot_bytes, _PAGE + number * self.slot_bytes)
        return slot, slot[:16].view(np.uint64)

    def _note_damage(self, what: str) -> None:
        self.damaged += 1
        self.damage = what


def _stride(slot_bytes: int) -> int:
    return -(-slot_bytes // _PAGE) * _PAGE


def _buffer(memory: SharedMemory) -> memoryview:
    assert memory.buf is not None  # it is open
    return memory.buf


def _reserve(name: str, size: int) -> None:
    """Take the pages now: a full /dev/shm would else end the process with SIGBUS in the middle of a frame."""
    path = Path("/dev/shm", name)
    if sys.platform != "linux" or not path.exists():
        return
    handle = os.open(path, os.O_RDWR)
    try:
        os.posix_fallocate(handle, 0, size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise
    finally:
        os.close(handle)


def _no_memory(size: int, error: OSError) -> SinkError:
    return SinkError(
        f"{size / 1e6:.0f} MB of shared memory, through which live pictures go, cannot be had: {error}. Free some of "
        "/dev/shm; in a container, give it more (docker run --shm-size=256m); or take a smaller picture."
    )


def _attached(name: str) -> SharedMemory:
    """Attach without being registered with the resource tracker (Note [The ring])."""
    if sys.version_info >= (3, 13):
        return SharedMemory(name, track=False)
    with _patching:
        register = resource_tracker.register

        def others_only(registered: Sized, kind: str) -> None:
            if str(registered).lstrip("/") != name:
                register(registered, kind)

        setattr(resource_tracker, "register", others_only)  # noqa: B010 - mypy knows it as a method of one name
        try:
            return SharedMemory(name)
        finally:
            resource_tracker.register = register
