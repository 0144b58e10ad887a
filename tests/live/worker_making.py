"""A supervisor that does nothing but answer, for tests of a real worker; plugins that break one of its parts.

A spawned child imports this module: the plugins are named `worker_making:FUNCTION`.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import cv2

from livematte.config import LiveSettings, MattingSettings, ModelSettings, Settings
from livematte.errors import DeviceError, SourceError
from livematte.live import worker
from livematte.live.base import LiveFrame
from livematte.live.governed import GovernedMatting
from livematte.live.messages import (
    Beat,
    Entered,
    Failed,
    FromWorker,
    Published,
    RingAt,
    RingWanted,
    Said,
    ToWorker,
    Wanted,
    WorkerSpec,
)
from livematte.live.ring import SLOTS, Ring

PATIENCE_SECONDS = 60.0
M = TypeVar("M")


def spec_of(source: str = "synthetic:64x48@30:100000", **more: Any) -> WorkerSpec:
    """A worker with the null engine (alpha 1) on a synthetic clip; `settings` may be given whole."""
    given: dict[str, Any] = {
        "settings": settings_of(),
        "background": "white",
        "wanted": Wanted(),
        "generation": 1,
        "adapts": False,
    }
    return WorkerSpec(source, **(given | more))


def settings_of(*, model: ModelSettings | None = None, loop: bool = False, **matting: Any) -> Settings:
    return Settings(
        model=model or ModelSettings(runtime="null"), live=LiveSettings(loop=loop), matting=MattingSettings(**matting)
    )


@dataclass
class Rig:
    """A spawned worker, and all that it said."""

    process: Any
    pipe: Any
    ring: Ring | None = None
    heard: list[FromWorker] = field(default_factory=list)
    frames: list[LiveFrame] = field(default_factory=list)
    keep: int = 64
    """Newest frames that are kept."""
    ended: bool = False
    """The pipe is closed from the other side."""

    def send(self, message: ToWorker) -> None:
        self.pipe.send(message)

    def hear(self) -> FromWorker | None:
        """The next message, answered or read where that is called for; None: the end."""
        if not self.pipe.poll(PATIENCE_SECONDS):
            raise TimeoutError(f"the worker is silent after {self.heard[-3:]}")
        try:
            message: FromWorker = self.pipe.recv()
        except (EOFError, OSError):
            self.ended = True
            return None
        if isinstance(message, RingWanted):
            self.drop_ring()
            self.ring = Ring.create(SLOTS, message.slot_bytes)
            self.send(RingAt(self.ring.name, self.ring.slots, self.ring.slot_bytes))
        if isinstance(message, Published):
            assert self.ring is not None
            frame = self.ring.read(message)
            if frame is not None:
                self.frames = [*self.frames[-self.keep :], frame]
        else:
            self.heard.append(message)
        return message

    def until(self, found: Callable[[], bool]) -> None:
        """Hear on until a condition holds; AssertionError where the worker ends or fails before."""
        limit = time.monotonic() + PATIENCE_SECONDS
        while not found():
            assert time.monotonic() < limit, f"this did not happen; the last messages: {self.heard[-5:]}"
            assert self.hear() is not None, f"the worker ended; the last messages: {self.heard[-5:]}"

    def until_frames(self, count: int = 1) -> list[LiveFrame]:
        """Wait for so many frames from now on; those alone."""
        self.frames = []
        self.until(lambda: len(self.frames) >= count)
        return self.frames

    def until_beat(self, holds: Callable[[Beat], bool]) -> Beat:
        """Wait for a beat, from now on, of which this holds."""
        begin = len(self.heard)
        self.until(lambda: any(isinstance(one, Beat) and holds(one) for one in self.heard[begin:]))
        return next(one for one in self.heard[begin:] if isinstance(one, Beat) and holds(one))

    def of(self, kind: type[M]) -> list[M]:
        return [one for one in self.heard if isinstance(one, kind)]

    @property
    def phases(self) -> list[str]:
        return [one.phase for one in self.of(Entered)]

    @property
    def said(self) -> list[str]:
        return [one.text for one in self.of(Said)]

    def to_the_end(self) -> int | None:
        """Hear all that is left; the exit code."""
        while self.hear() is not None:
            pass
        self.process.join(PATIENCE_SECONDS)
        code: int | None = self.process.exitcode
        return code

    def failed(self) -> Failed:
        """To the end, which is a failure; its exit code is the process's."""
        code = self.to_the_end()
        found = self.of(Failed)
        assert len(found) == 1
        assert code == found[0].exit_code
        return found[0]

    def drop_ring(self) -> None:
        if self.ring is not None:
            self.ring.close()
            self.ring = None


@contextmanager
def worker_of(spec: WorkerSpec) -> Iterator[Rig]:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=worker.main, args=(spec, there), daemon=True)
    process.start()
    there.close()
    rig = Rig(process, here)
    try:
        yield rig
    finally:
        process.kill()
        process.join()
        process.close()
        here.close()
        rig.drop_ring()


def failed_here(spec: WorkerSpec) -> Failed:
    """The failure of a worker that does not come to run, without a process of its own."""
    here, there = multiprocessing.get_context("spawn").Pipe()
    made = worker.Worker(spec, there, gone=lambda: None)
    threads = cv2.getNumThreads()
    code = made.run()
    cv2.setNumThreads(threads)  # a worker bounds its own process's
    heard: list[FromWorker] = []
    while here.poll():
        heard.append(here.recv())
    here.close()
    for thread in threading.enumerate():
        if thread.name in ("livematte-inbox", "livematte-control"):
            thread.join(PATIENCE_SECONDS)
    there.close()
    found = [one for one in heard if isinstance(one, Failed)]
    assert len(found) == 1
    assert code == found[0].exit_code
    return found[0]


# -- plugins: called in the child --------------------------------------------------------------------------------


class _Parts:
    """What a plugin puts in place of the worker's own parts."""

    @staticmethod
    def source(change: Callable[[Any], Any]) -> None:
        real = worker.open_live_source
        worker.open_live_source = lambda settings, *, reporter: change(real(settings, reporter=reporter))  # type: ignore[assignment]

    @staticmethod
    def each_frame(work: Callable[[Any], None]) -> None:
        """Before matting."""
        real = GovernedMatting.push

        def push(self: GovernedMatting, frames: Any) -> Any:
            for frame in frames:
                work(frame)
            return real(self, frames)

        GovernedMatting.push = push  # type: ignore[method-assign]


class _Changed:
    """A source whose frames go through a function of (frame)."""

    def __init__(self, source: Any, work: Callable[[Any], Any]) -> None:
        self._source, self._work = source, work
        self.info, self.name, self.decoder = source.info, source.name, source.decoder
        self.is_live, self.damaged = source.is_live, 0

    def __iter__(self) -> Iterator[Any]:
        for item in self._source:
            yield self._work(item)

    def close(self) -> None:
        self._source.close()


def _hang() -> None:
    threading.Event().wait(3600)


def camera_hangs(spec: WorkerSpec) -> None:
    """A read that never returns, from the 5th frame on."""
    _Parts.source(lambda source: _Changed(source, lambda frame: _hang() if frame.index == 5 else frame))


def camera_goes(spec: WorkerSpec) -> None:
    """The camera is unplugged at the 5th frame."""

    def work(frame: Any) -> Any:
        if frame.index == 5:
            raise SourceError("the camera was unplugged.")
        return frame

    _Parts.source(lambda source: _Changed(source, work))


def engine_hangs(spec: WorkerSpec) -> None:
    _Parts.each_frame(lambda frame: _hang() if frame.index >= 5 else None)


def engine_raises(spec: WorkerSpec) -> None:
    def work(frame: Any) -> None:
        if frame.index >= 5:
            raise ZeroDivisionError("a bug")

    _Parts.each_frame(work)


def engine_crashes(spec: WorkerSpec) -> None:
    """A fault in native code."""

    def work(frame: Any) -> None:
        if frame.index >= 5:
            ctypes.string_at(0)

    _Parts.each_frame(work)


def no_device(spec: WorkerSpec) -> None:
    raise DeviceError("there is no such device.")


def halves(spec: WorkerSpec) -> None:
    """The picture becomes half as large at the 5th frame."""
    from dataclasses import replace

    def work(frame: Any) -> Any:
        if frame.index < 5:
            return frame
        picture = frame.host_picture()
        return replace(frame, picture=picture.reformat(picture.width // 2, picture.height // 2))

    _Parts.source(lambda source: _Changed(source, work))


def leaves_a_mark(spec: WorkerSpec) -> None:
    """Shows that plugins run, and with the spec: on stderr, which the worker's parent sees."""
    sys.stderr.write(f"{spec.source} {os.getpid()}\n")
