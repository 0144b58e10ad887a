"""A bounded queue between two stages, with an end, a stop, and a drop policy."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

_SMALL_ITEMS = 512
"""Bound on items that do not count as frames (audio packets, about 1 KB each), against a track without video."""


class ChannelStopped(Exception):
    """The run is being stopped, or the channel was finished by another thread than its writer: give up."""


class Channel(Generic[T]):
    """First in, first out, between one writer and one reader.

    It holds `frames` items for which `counts` is true, and some hundred others. When it is full, `put` waits, or
    with `drop_oldest` the oldest counting item is dropped and counted in `dropped`.
    """

    def __init__(self, frames: int, counts: Callable[[T], bool], *, drop_oldest: bool = False) -> None:
        self._frames = frames
        self._counts = counts
        self._drop_oldest = drop_oldest
        self._items: deque[T] = deque()
        self._counted = 0
        self._changed = threading.Condition()
        self._finished = False
        self._stopped = False
        self.dropped = 0

    def put(self, item: T) -> None:
        """Add an item, waiting or dropping where the channel is full. Raises `ChannelStopped`."""
        counted = self._counts(item)
        with self._changed:
            while self._is_full(counted) and not (self._stopped or self._finished):
                if counted and self._drop_oldest:
                    self._drop()
                else:
                    self._changed.wait()
            if self._stopped or self._finished:
                raise ChannelStopped
            self._items.append(item)
            self._counted += counted
            self._changed.notify_all()

    def wait_for_room(self) -> None:
        """Wait until a counting item would be taken at once, or the channel was finished or stopped."""
        with self._changed:
            while self._is_full(True) and not (self._stopped or self._finished):
                self._changed.wait()

    def finish(self) -> None:
        """No more items are taken, whoever puts them; the reader gets what is left, then the end."""
        with self._changed:
            self._finished = True
            self._changed.notify_all()

    def stop(self) -> None:
        """Everybody who waits, and everybody who comes, gets `ChannelStopped`; what was held is let go."""
        with self._changed:
            self._stopped = True
            self._items.clear()
            self._counted = 0
            self._changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        """Items until the end. Raises `ChannelStopped`."""
        while True:
            with self._changed:
                while not self._items and not self._finished and not self._stopped:
                    self._changed.wait()
                if self._stopped:
                    raise ChannelStopped
                if not self._items:
                    return
                item = self._items.popleft()
                self._counted -= self._counts(item)
                self._changed.notify_all()
            yield item
            del item  # a frame must not outlive its turn in the reader's frame: 3 MB at 1080p

    def __len__(self) -> int:
        return len(self._items)

    def _is_full(self, counted: bool) -> bool:
        return self._counted >= self._frames if counted else len(self._items) >= _SMALL_ITEMS + self._frames

    def _drop(self) -> None:
        for position, item in enumerate(self._items):
            if self._counts(item):
                del self._items[position]
                self._counted -= 1
                self.dropped += 1
                return
