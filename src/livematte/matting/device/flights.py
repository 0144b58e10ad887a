"""The frames that are under way on the device, in order.

Note [Frames under way]
    With S slots, `take` of frame n brings n into its slot, launches n - 1, whose cut statistics have come down by
    then, and waits for frame n - (S - 1): upload, compute and download of three frames overlap, and S - 1 frames are
    held back. With one slot a frame goes through at once: live, a frame that waits is latency. Either way each frame
    has the same past, so the mattes are the same, bit for bit.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

from livematte.frames import DevicePicture, Frame
from livematte.matting.device.rig import Fetched, Rig
from livematte.matting.device.shapes import emptied
from livematte.matting.device.slots import Slot
from livematte.matting.host import Timer
from livematte.matting.scene import SceneCuts


@dataclass(slots=True)
class _Flight:
    """A frame in its slot."""

    frame: Frame
    slot: Slot


@dataclass(frozen=True, slots=True)
class Landed:
    """A frame, and what was made of it."""

    frame: Frame
    """Its picture, where that was on the device, is empty: the decoder has its memory back."""
    fetched: Fetched


class Flights:
    """Sends frames through a rig, and keeps what one frame must know of the last. Used by one thread."""

    def __init__(self, slots: int, timer: Timer) -> None:
        """`timer`: gets upload, scene, launch, wait and download, as the host's thread spends them."""
        self._slots = slots
        self._timer = timer
        self._waiting: deque[_Flight] = deque()
        """In their slots, not launched."""
        self._launched: deque[_Flight] = deque()
        self._taken = 0
        self._scene = SceneCuts()
        self._last_seconds: float | None = None
        self._is_fresh = True
        self.cuts = 0
        """Scene cuts found so far."""

    def take(self, rig: Rig, frame: Frame) -> list[Landed]:
        """Send this frame on its way (Note [Frames under way]); those that have landed, oldest first."""
        slot = self._slot_for(rig, self._taken)
        self._taken += 1
        with self._timer.measure("upload"):
            rig.send(slot, frame.picture)
        self._waiting.append(_Flight(frame, slot))
        ahead = min(1, self._slots - 1)
        while len(self._waiting) > ahead:
            self._launch(rig)
        landed: list[Landed] = []
        while len(self._launched) > self._slots - 1 - ahead:
            landed.append(self._land(rig))
        return landed

    def drain(self, rig: Rig) -> list[Landed]:
        """Everything that is under way, oldest first."""
        while self._waiting:
            self._launch(rig)
        landed: list[Landed] = []
        while self._launched:
            landed.append(self._land(rig))
        return landed

    def drop(self) -> None:
        """Let go of the frames that are under way; nothing on the device may read them any more."""
        self._waiting.clear()
        self._launched.clear()

    def begin_scene(self) -> None:
        """The next frame has no past."""
        self._scene.reset()
        self._is_fresh = True

    def restart_network(self) -> None:
        """The next frame is a new network's first."""
        self._is_fresh = True

    def restart_smoothing(self) -> None:
        """The next frame's smoothing has no past, its network has."""
        self._last_seconds = None

    def _slot_for(self, rig: Rig, number: int) -> Slot:
        """The slot of the frame of this number: free, because the frame before in it has landed."""
        return rig.slots[number % len(rig.slots)]

    def _launch(self, rig: Rig) -> None:
        flight = self._waiting.popleft()
        frame, slot = flight.frame, flight.slot
        with self._timer.measure("scene"):
            cut = self._scene.push_reduced(rig.cut_luma(slot))
        if isinstance(frame.picture, DevicePicture):
            # It has been copied: `cut_luma` waited for that. The decoder may have its surface back.
            flight.frame = replace(frame, picture=emptied(frame.picture))
        self.cuts += cut
        begins = cut or self._is_fresh
        seconds = float(frame.time.seconds)
        interval = None if begins or self._last_seconds is None else seconds - self._last_seconds
        with self._timer.measure("launch"):
            rig.launch(slot, seconds, begins_scene=begins, interval_seconds=interval)
        self._last_seconds, self._is_fresh = seconds, False
        self._launched.append(flight)

    def _land(self, rig: Rig) -> Landed:
        flight = self._launched.popleft()
        picture = flight.frame.picture
        with self._timer.measure("wait"):
            rig.wait(flight.slot)
        with self._timer.measure("download"):
            fetched = rig.fetch(flight.slot, None if isinstance(picture, DevicePicture) else picture)
        return Landed(flight.frame, fetched)
