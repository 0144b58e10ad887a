"""Streams and the events that join them.

Note [Lanes]
    Five streams, each in frame order: `ahead` (a picture into its slot, and what its cut is told by), `before` (the
    parameter block, the network's input), `network`, `after` (everything that makes alpha and colours), `down` (copies
    to the host). One frame's work hops from lane to lane by events; frames overlap because the lanes do.

    States need no event of their own: those of the network lie on one lane, and so do those of the smoothing. Neither
    does the use of a slot for its next frame: the host has then waited for the `delivered` mark of its last one,
    behind which nothing of that frame is left on any lane. `before` follows `ahead` through the host likewise, which
    waits for `uploaded` to read the statistics before it launches anything.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from livematte.runtimes.cuda.base import Driver, Event, Stream

Lane: TypeAlias = Literal["ahead", "before", "network", "after", "down"]
Mark: TypeAlias = Literal["uploaded", "prepared", "inferred", "finished", "delivered"]

LANES: tuple[Lane, ...] = ("ahead", "before", "network", "after", "down")
MARKS: tuple[Mark, ...] = ("uploaded", "prepared", "inferred", "finished", "delivered")


class Marks:
    """The events of one slot: what has been reached of its present frame."""

    def __init__(self, driver: Driver) -> None:
        self._events: dict[Mark, Event] = {mark: driver.event() for mark in MARKS}

    def __getitem__(self, mark: Mark) -> Event:
        return self._events[mark]

    def close(self) -> None:
        """Give the events back."""
        for event in self._events.values():
            event.close()


class Lanes:
    """The streams of one matting (Note [Lanes])."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self._streams: dict[Lane, Stream] = {lane: driver.stream(high_priority=lane == "after") for lane in LANES}

    def __getitem__(self, lane: Lane) -> Stream:
        return self._streams[lane]

    def record(self, lane: Lane, marks: Marks, mark: Mark) -> None:
        """What is queued on the lane up to here reaches the mark."""
        marks[mark].record(self._streams[lane])

    def join(self, lane: Lane, marks: Marks, mark: Mark) -> None:
        """What is queued on the lane from here on runs after the mark."""
        self._streams[lane].wait(marks[mark])

    def arrive(self, marks: Marks, mark: Mark) -> None:
        """The host waits for the mark."""
        marks[mark].synchronize()

    def rest(self) -> None:
        """The host waits until every lane is empty."""
        for stream in self._streams.values():
            stream.synchronize()

    def close(self) -> None:
        """Give the streams back."""
        for stream in self._streams.values():
            stream.close()
