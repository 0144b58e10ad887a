"""What is shown at which moment: the newest frame, for half a second the last one, else the placeholder."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TypeAlias

from livematte.live.base import HOLD_SECONDS, LiveFrame, Placeholder

Item: TypeAlias = LiveFrame | Placeholder

REPEAT_AFTER = 1.25
"""Frame times without a new frame after which the last picture is sent again: a camera's jitter stays below that."""
_LONGEST_HOLD_SECONDS = 0.9
"""The placeholder is up within a second, whatever the rate."""


class Pacer:
    """When a paced output has to send something. Used by one thread.

    After a new frame the last picture is due again 1.25 frame times later, and from then on once a frame time.
    """

    def __init__(self, frame_seconds: float, now: float) -> None:
        """`now`: `time.monotonic()`; the first picture is due at once."""
        self.frame_seconds = frame_seconds
        self.due = now

    def wait(self, now: float) -> None:
        """There was nothing to send; look again a frame time later."""
        self.due = max(self.due, now + self.frame_seconds)

    def sent(self, now: float, *, is_new: bool) -> None:
        """Something was sent just now."""
        if is_new:
            self.due = now + REPEAT_AFTER * self.frame_seconds
        else:  # on the grid of the frame times, unless the output is slower than that
            self.due = max(self.due + self.frame_seconds, now + 0.5 * self.frame_seconds)


class Shown:
    """The picture of the moment. Thread-safe.

    Frames come from the reader's thread, cards from the supervisor's; outputs and pages take from it.
    """

    def __init__(self) -> None:
        self.frames = 0
        """Frames taken so far."""
        self._changed = threading.Condition()
        self._frame: LiveFrame | None = None
        self._arrived = 0.0
        self._gaps: deque[float] = deque(maxlen=8)
        self._card: Placeholder | None = None
        self._only_card = False
        self._serial = 0
        self._is_over = False

    def put(self, frame: LiveFrame, now: float) -> bool:
        """A new frame; False where it is not wanted (the camera is off, the run is over)."""
        with self._changed:
            if self._only_card or self._is_over:
                return False
            if self._frame is not None:
                self._gaps.append(now - self._arrived)
            self._frame, self._arrived = frame, now
            self.frames += 1
            self._bump()
            return True

    def set_card(self, card: Placeholder | None, *, only: bool) -> None:
        """What is shown where there is no frame; `only`: at once, frames are not taken until this is taken back."""
        with self._changed:
            if only and not self._only_card:
                self._frame = None
                self._gaps.clear()
            if card is not self._card or only != self._only_card:
                self._card, self._only_card = card, only
                self._bump()

    def finish(self) -> None:
        """Nothing more comes; everybody who waits comes back."""
        with self._changed:
            self._is_over = True
            self._bump()

    def age(self, now: float) -> float | None:
        """Seconds since the last frame came; None where none came, or since the camera was switched off."""
        with self._changed:
            return None if self._frame is None else now - self._arrived

    def hold_seconds(self) -> float:
        """How long a frame stands in for a missing one: HOLD_SECONDS, longer for a slow source, below a second."""
        with self._changed:
            return self._hold()

    def _hold(self) -> float:
        usual = sorted(self._gaps)[len(self._gaps) // 2] if self._gaps else 0.0
        return min(max(HOLD_SECONDS, 2.5 * usual), _LONGEST_HOLD_SECONDS)

    def current(self, now: float) -> Item | None:
        """The picture of this moment; None before there is anything to show."""
        with self._changed:
            return self._current(now)

    def _current(self, now: float) -> Item | None:
        if self._frame is not None and not self._only_card and now - self._arrived <= self._hold():
            return self._frame
        return self._card

    def wait_for_change(self, serial: int, until: float) -> int:
        """Wait for something newer than `serial`, `until` (`time.monotonic()`) at the longest; the present serial."""
        with self._changed:
            while self._serial == serial and not self._is_over:
                left = until - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            return self._serial

    def wait_for_other(self, after: object, timeout_seconds: float) -> Item | None:
        """Wait until the picture is another object than `after`, or the time is over; the picture then."""
        until = time.monotonic() + timeout_seconds
        with self._changed:
            while True:
                now = time.monotonic()
                item = self._current(now)
                if (item is not None and item is not after) or self._is_over or now >= until:
                    return item
                wake = until
                if self._frame is not None and item is self._frame:  # it turns into the card by itself
                    wake = min(wake, self._arrived + self._hold() + 0.001)
                self._changed.wait(max(0.0, wake - now))

    def _bump(self) -> None:
        self._serial += 1
        self._changed.notify_all()
