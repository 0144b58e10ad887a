"""The pipeline over a live source: the newest frame wins, and none waits behind matting longer than it must."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

import numpy as np
from ring_making import info_of

from livematte.channel import Channel
from livematte.frames import AudioPacket, Composite, Frame, Matte, MattedFrame, StreamInfo, Timestamp
from livematte.pipeline import Pipeline
from livematte.planes import new_picture

INFO = info_of(16, 16)
PATIENCE_SECONDS = 30.0


def wait_for(holds: Callable[[], bool]) -> None:
    limit = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < limit
        time.sleep(0.002)


class FedSource:
    """Gives a frame for each `feed`, ends at `end`."""

    name = decoder = "fed"
    info: StreamInfo = INFO
    damaged = 0

    def __init__(self, *, is_live: bool) -> None:
        self.is_live = is_live
        self.given = 0
        self._fed: queue.Queue[bool] = queue.Queue()

    def feed(self, count: int = 1) -> None:
        for _ in range(count):
            self._fed.put(True)

    def end(self) -> None:
        self._fed.put(False)

    def __iter__(self) -> Iterator[Frame | AudioPacket]:
        while self._fed.get():
            index = self.given
            self.given += 1
            yield Frame(new_picture("yuv420p", 16, 16), Timestamp(index, Fraction(1, 30)), 1, index, INFO.color)

    def close(self) -> None: ...


class Parts:
    """Matting, compositor and sink; the compositor holds each frame until it is let go."""

    delay_frames = 0
    name = encoder = "parts"
    wants = "composite"
    wants_audio = drops = False
    alpha_bits = 8
    bytes_written = 0

    def __init__(self, *, composites: bool = True) -> None:
        self.matted: list[int] = []
        self.composited: list[int] = []
        self.written: list[MattedFrame | Composite | AudioPacket] = []
        self.go_on = threading.Semaphore(0)
        self._composites = composites

    def push(self, frames: Sequence[Frame]) -> list[MattedFrame]:
        self.matted += [frame.index for frame in frames]
        return [MattedFrame(frame, Matte(np.full((16, 16), 255, np.uint8))) for frame in frames]

    def flush(self) -> list[MattedFrame]:
        return []

    def reset(self) -> None: ...

    def composite(self, matted: MattedFrame) -> Composite | None:
        self.composited.append(matted.frame.index)
        assert self.go_on.acquire(timeout=PATIENCE_SECONDS)
        return Composite(matted.frame.host_picture(), matted) if self._composites else None

    def open(self, info: StreamInfo) -> None: ...

    def write(self, item: MattedFrame | Composite | AudioPacket) -> None:
        self.written.append(item)

    def abort(self, *, keep: bool) -> None: ...

    def close(self) -> None: ...


class Run:
    def __init__(self, source: FedSource, parts: Parts) -> None:
        self.pipeline = Pipeline(source, parts, [parts], compositor=parts)
        self._thread = threading.Thread(target=lambda: self.pipeline.run(lambda: None))
        self._thread.start()

    def finish(self) -> None:
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive()


def test_matting_takes_the_newest_frame_and_only_when_the_next_stage_is_free() -> None:
    source, parts = FedSource(is_live=True), Parts()
    run = Run(source, parts)
    source.feed()
    wait_for(lambda: parts.composited == [0])  # and held there
    source.feed()
    wait_for(lambda: run.pipeline.waiting()["fan-out"] == 1)  # frame 1 is matted and waits
    source.feed(4)
    source.end()
    wait_for(lambda: run.pipeline.counters.decoded == 6)
    assert run.pipeline.waiting()["matting"] == 1
    for _ in range(6):
        parts.go_on.release()
    run.finish()
    assert parts.matted == parts.composited == [0, 1, 5]
    assert run.pipeline.counters.dropped == 3
    assert [item.matted.frame.index for item in parts.written] == [0, 1, 5]
    assert "decode" not in run.pipeline.stats.stages  # a camera is waited for, which is no work


def test_a_file_is_not_hurried() -> None:
    source, parts = FedSource(is_live=False), Parts()
    run = Run(source, parts)
    source.feed(9)
    source.end()
    for _ in range(9):
        parts.go_on.release()
    run.finish()
    assert parts.matted == list(range(9))
    assert run.pipeline.counters.dropped == 0
    assert run.pipeline.stats.stages["decode"].count == 9


def test_without_a_composite_the_sink_gets_the_matted_frame() -> None:
    source, parts = FedSource(is_live=True), Parts(composites=False)
    run = Run(source, parts)
    source.feed()
    source.end()
    parts.go_on.release()
    run.finish()
    assert [type(item) for item in parts.written] == [MattedFrame]


def test_waiting_for_room_ends_with_room_a_finish_or_a_stop() -> None:
    for end in (lambda channel: next(iter(channel)), Channel.finish, Channel.stop):
        channel: Channel[int] = Channel(1, lambda item: True)
        channel.wait_for_room()
        channel.put(1)
        waiter = threading.Thread(target=channel.wait_for_room)
        waiter.start()
        waiter.join(0.05)
        assert waiter.is_alive()
        end(channel)
        waiter.join(PATIENCE_SECONDS)
        assert not waiter.is_alive()
