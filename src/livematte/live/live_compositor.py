"""A compositor whose background can be changed between two frames, and that rests while nobody wants a composite."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from livematte.compositing import Compositor
from livematte.errors import LivematteError, SourceError
from livematte.frames import Composite, MattedFrame, StreamInfo
from livematte.live.base import TRANSPARENT
from livematte.reporting import Once, Reporter

_BEHIND_TRANSPARENT: Final = "black"
"""What an opaque output shows where the background is transparent, or cannot be read any more."""


class LiveCompositor:
    """`pipeline.Compositing` for a live run. `composite` and `close` by one thread, `set_background` by any."""

    def __init__(self, background: str, info: StreamInfo, *, is_wanted: Callable[[], bool], reporter: Reporter) -> None:
        """`background`: `transparent` or what a `Compositor` takes; its errors: UsageError, SourceError."""
        self.background = background
        self._info = info
        self._is_wanted = is_wanted
        self._once = Once(reporter)
        self._lock = threading.Lock()
        self._current: Compositor = self._opened(background)
        self._next: Compositor | None = None
        self._is_closed = False

    def set_background(self, background: str, *, reporter: Reporter) -> bool:
        """Another background from the next frame on. False: it cannot be used, which is said, and the old one stays."""
        try:
            opened = self._opened(background)
        except LivematteError as error:
            reporter.warn(f"{error} The background stays as it was.")
            return False
        with self._lock:
            superseded = opened if self._is_closed else self._next
            if not self._is_closed:
                self._next, self.background = opened, background
        if superseded is not None:
            superseded.close()
        return True

    def composite(self, matted: MattedFrame) -> Composite | None:
        """The frame over the background; None while no output wants one."""
        self._change()
        if not self._is_wanted():
            return None
        if self.background == TRANSPARENT:
            self._once.note("A transparent background shows as black in outputs that carry no alpha.")
        try:
            return self._current.composite(matted)
        except SourceError as error:
            # The person stays in the call: a background that breaks must not take the picture with it.
            self._once.warn(f"{error} Plain {_BEHIND_TRANSPARENT} stands in for it.")
            self._current.close()
            self._current = Compositor(_BEHIND_TRANSPARENT, self._info, reporter=self._once)
            return self._current.composite(matted)

    def close(self) -> None:
        """Give the background's file back. Called once."""
        with self._lock:
            self._is_closed = True
            waiting, self._next = self._next, None
        self._current.close()
        if waiting is not None:
            waiting.close()

    def _change(self) -> None:
        with self._lock:
            following, self._next = self._next, None
        if following is not None:
            self._current.close()
            self._current = following

    def _opened(self, background: str) -> Compositor:
        text = _BEHIND_TRANSPARENT if background == TRANSPARENT else background
        return Compositor(text, self._info, reporter=self._once)
