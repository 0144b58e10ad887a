"""Newest frames for any number of browsers: encoded once for all that watch, and only while somebody watches."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from dataclasses import dataclass, field

import av
import cv2

from livematte.live.base import Controls, LiveFrame, Placeholder
from livematte.page.pictures import Picture, View, encode
from livematte.reporting import Once, Reporter

WATCHING_SECONDS = 2.0
"""A client that asked for a picture this long ago counts as watching."""
_WAIT_SECONDS = 0.1
"""How long the encoder waits for a frame before it looks again who watches."""
_LOOK_AGAIN_SECONDS = 0.02
"""How soon the encoder looks again for what a view needs and the frames do not hold yet."""
_STATE_SECONDS = 0.5
MOST_CLIENTS = 64
"""Clients that are remembered: each is a page or an OBS source of one person's."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture under its number; the number changes whenever the picture does."""

    number: int
    picture: Picture


@dataclass(slots=True)
class _Client:
    view: View
    seen: float


@dataclass(slots=True)
class _Newest:
    shown: Shown
    item: LiveFrame | Placeholder | None


@dataclass(slots=True, eq=False)
class _Waiter:
    loop: asyncio.AbstractEventLoop
    event: asyncio.Event = field(default_factory=asyncio.Event)


class FrameFeed:
    """One thread waits for frames and encodes them; requests wait for what it makes. Thread-safe."""

    def __init__(self, controls: Controls, *, reporter: Reporter) -> None:
        self._controls = controls
        self._reporter = Once(reporter)
        self._lock = threading.Lock()
        self._clients: dict[str, _Client] = {}
        self._newest: dict[View, _Newest] = {}
        self._waiters: set[_Waiter] = set()
        self._numbers = secrets.randbelow(1 << 30)  # a client of an earlier run holds a number of that run
        self._wanted: tuple[bool, bool, bool] | None = None
        self._background = ("", -_STATE_SECONDS)
        self._is_transparent = False
        self._stopping = threading.Event()
        self._interest = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin. Called once."""
        self._thread = threading.Thread(target=self._run, name="livematte-page-frames", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and let every waiting request go."""
        self._stopping.set()
        self._interest.set()
        if self._thread is not None:
            self._thread.join()
        self._wake()

    def watchers(self) -> int:
        """Clients that asked for a picture within the last two seconds."""
        now = time.monotonic()
        with self._lock:
            recent = [name for name, one in self._clients.items() if now - one.seen < WATCHING_SECONDS]
        return len({name.partition(" ")[2] for name in recent})  # a page with two pictures is one

    async def next(self, view: View, client: str, after: int, timeout_seconds: float) -> Shown | None:
        """The newest picture of a view, as soon as it is another than `after`; None: the time is over."""
        end = time.monotonic() + timeout_seconds
        waiter = _Waiter(asyncio.get_running_loop())
        with self._lock:
            self._waiters.add(waiter)
        try:
            while not self._stopping.is_set():
                waiter.event.clear()
                self._saw(client, view)
                newest = self._newest.get(view)
                if newest is not None and newest.shown.number != after:
                    return newest.shown
                left = end - time.monotonic()
                if left <= 0:
                    break
                try:
                    await asyncio.wait_for(waiter.event.wait(), left)
                except TimeoutError:
                    break
            return None
        finally:
            with self._lock:
                self._waiters.discard(waiter)

    def _saw(self, client: str, view: View) -> None:
        now = time.monotonic()
        with self._lock:
            self._clients[f"{view} {client}"] = _Client(view, now)
            if len(self._clients) > MOST_CLIENTS:
                oldest = min(self._clients, key=lambda name: self._clients[name].seen)
                del self._clients[oldest]
        self._interest.set()

    # -- the encoder's thread --------------------------------------------------------------------------------------

    def _run(self) -> None:
        item: LiveFrame | Placeholder | None = None
        while not self._stopping.is_set():
            views = self._watched()
            self._tell_what_is_wanted(views)
            if not views:
                self._newest.clear()  # nobody must get a picture of minutes ago first
                self._interest.wait(_STATE_SECONDS)
                self._interest.clear()
                continue
            waits = all(view in self._newest for view in views)
            # For somebody new: what is shown now, whether it is new or not.
            item = self._controls.wait_for_frame(item, _WAIT_SECONDS) if waits else self._controls.frame()
            made = [self._publish(view, item) for view in views]
            if any(made):
                self._wake()
            elif not waits:
                self._stopping.wait(_LOOK_AGAIN_SECONDS)

    def _watched(self) -> set[View]:
        now = time.monotonic()
        with self._lock:
            gone = [name for name, one in self._clients.items() if now - one.seen >= WATCHING_SECONDS]
            for name in gone:
                del self._clients[name]
            return {one.view for one in self._clients.values()}

    def _tell_what_is_wanted(self, views: set[View]) -> None:
        """The worker puts into the ring what somebody looks at, and no more."""
        transparent = self._is_transparent = "after" in views and self._shows_transparent()
        wanted = ("before" in views, "obs" in views or transparent, "after" in views and not transparent)
        if wanted != self._wanted:
            self._wanted = wanted
            self._controls.want(before=wanted[0], straight=wanted[1], composite=wanted[2])

    def _shows_transparent(self) -> bool:
        """Whether the page shows the cut-out itself, over its own checker."""
        text, moment = self._background
        now = time.monotonic()
        if now - moment >= _STATE_SECONDS:
            text = self._controls.state().background
            self._background = (text, now)
        return text == "transparent"

    def _publish(self, view: View, item: LiveFrame | Placeholder | None) -> bool:
        known = self._newest.get(view)
        if known is not None and known.item is item:
            return False
        try:
            picture = encode(item, view, cut_out=self._is_transparent)
        except (ValueError, cv2.error, av.FFmpegError) as error:
            self._reporter.warn(f"the page cannot show a picture: {error}")
            picture = None
        if picture is None:
            if known is not None:
                known.item = item
            return False
        self._numbers += 1
        self._newest[view] = _Newest(Shown(self._numbers, picture), item)
        return True

    def _wake(self) -> None:
        with self._lock:
            waiters = list(self._waiters)
        for waiter in waiters:
            if not waiter.loop.is_closed():
                waiter.loop.call_soon_threadsafe(waiter.event.set)
