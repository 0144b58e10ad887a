"""What people see at the moment and why: the mode, the sentence on the card, the card itself."""

from __future__ import annotations

import threading
from typing import Literal, TypeAlias

from livematte.frames import StreamInfo
from livematte.live.base import State
from livematte.live.clock import Shown
from livematte.live.placeholder import Placeholders
from livematte.live.reasons import STARTING

Mode: TypeAlias = Literal["on", "off", "idle"]
"""off: the person switched the camera off; idle: nobody watches."""


class Stage:
    """Keeps `shown`'s card up to date. Thread-safe."""

    def __init__(self, background: str) -> None:
        self.shown = Shown()
        self.info: StreamInfo | None = None
        """The first size that is known is the run's size; None before."""
        self.mode: Mode = "on"
        self.reason = STARTING
        self._background = background
        self._is_faulted = False
        self._frames_then = 0
        self._is_over = False
        self._cards = Placeholders()
        self._lock = threading.RLock()

    def set_info(self, info: StreamInfo) -> None:
        """What the frames will look like; only the first call counts."""
        with self._lock:
            if self.info is None:
                self.info = info
                self._renew()

    def set_background(self, background: str) -> None:
        """What the card has to look like."""
        with self._lock:
            self._background = background
            self._renew()

    def set_mode(self, mode: Mode, reason: str) -> None:
        """Show the card alone, at once, or take frames again."""
        with self._lock:
            self.mode, self.reason, self._is_faulted = mode, reason, False
            self._renew()

    def faulted(self, reason: str) -> None:
        """No frames come until a new worker has started; the card says why."""
        with self._lock:
            self._is_faulted = True
            self._frames_then = self.shown.frames
            if self.mode == "on":
                self.reason = reason
                self._renew()

    def runs(self, reason: str) -> None:
        """Frames come; `reason` is for the moment when they do not. The last one before a fault does not count."""
        with self._lock:
            if self._is_faulted and self.shown.frames == self._frames_then:
                return
            self._is_faulted = False
            if self.mode == "on" and reason != self.reason:
                self.reason = reason
                self._renew()

    def finish(self) -> None:
        """The run is over; outputs send what they have and close."""
        self._is_over = True
        self.shown.finish()

    def is_live(self, now: float) -> bool:
        """True while frames come."""
        age = self.shown.age(now)
        return age is not None and age <= self.shown.hold_seconds()

    def state(self, now: float) -> tuple[State, str]:
        """The state, and why it is not `running`, for persons."""
        with self._lock:
            found = self._state(now)
            return found, "" if found in ("running", "ended") else self.reason

    def _state(self, now: float) -> State:
        if self._is_over:
            return "ended"
        if self.mode != "on":
            return self.mode
        age = self.shown.age(now)
        if age is None:
            return "placeholder" if self._is_faulted else "starting"
        hold = self.shown.hold_seconds()
        return "running" if age <= hold / 2 else "holding" if age <= hold else "placeholder"

    def _renew(self) -> None:
        card = None
        if self.info is not None:
            card = self._cards.get(self.info.width, self.info.height, reason=self.reason, background=self._background)
        self.shown.set_card(card, only=self.mode != "on")
