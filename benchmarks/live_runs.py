"""What the live benchmarks share: a clip, a run with the supervisor, and a clock written into the pixels.

Note [Clock in the pixels]
    At the moment of hand-over the source's wrapper writes `time.monotonic_ns()` into a row of black and white blocks of
    the picture itself, in microseconds. The sink reads it back from the pixels that the virtual camera would be given:
    so the latency is measured by what a viewer sees, not by numbers that are carried beside the picture.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from livematte.config import InputSettings, Settings
from livematte.frames import AudioPacket, Frame
from livematte.live import worker
from livematte.live.base import LiveFrame, LiveState
from livematte.live.messages import Wanted, WorkerSpec
from livematte.live.outputs.null import NullOutput, Received
from livematte.live.supervisor import LiveSummary, Supervisor
from livematte.planes import new_picture, plane_arrays
from livematte.reporting import ListReporter, LogReporter, Reporter
from livematte.sources import open_source
from livematte.sources.base import Source, SourceAround

BITS = 48
"""Microseconds since the system started: 2**48 of them are nine years."""
BLOCK = 16
_DARK, _LIGHT = 32, 220
UNPACED_FRAMES = "LIVEMATTE_BENCHMARK_FRAMES"


def write_clip(target: Path, size: str, rate: int, seconds: float) -> Path:
    """A moving person of a formula as H.264, as a camera's stick would give it."""
    source = open_source(f"synthetic:{size}@{rate}:{round(rate * seconds)}", InputSettings(), reporter=LogReporter())
    with av.open(str(target), "w") as out:
        stream: Any = out.add_stream("libx264", rate=rate, options={"preset": "veryfast", "crf": "20"})
        stream.width, stream.height, stream.pix_fmt = source.info.width, source.info.height, "yuv420p"
        for item in source:
            if isinstance(item, Frame):
                picture = item.host_picture()
                picture.pts, picture.time_base = item.index, Fraction(1, rate)
                out.mux(stream.encode(picture))
        out.mux(stream.encode(None))
    source.close()
    return target


@dataclass
class Seen:
    """What came out at the sink."""

    skip_frames: int
    """The first ones, which a start's burst delays."""
    wants_pixels: bool = False
    frames: int = 0
    by_capture_ms: list[float] = field(default_factory=list)
    by_pixels_ms: list[float] = field(default_factory=list)
    """Capture to sent, by the clock in the pixels."""
    numbers: list[int] = field(default_factory=list)
    unreadable: int = 0

    def __call__(self, received: Received, pixels: np.ndarray) -> None:
        """`NullOutput`'s `receive`."""
        item = received.item
        if received.is_repeat or not isinstance(item, LiveFrame):
            return
        self.frames += 1
        if self.frames <= self.skip_frames:
            return
        self.numbers.append(item.number)
        self.by_capture_ms.append((received.sent_ns - item.captured_ns) / 1e6)
        if self.wants_pixels:
            stamp = read_clock(np.frombuffer(pixels, np.uint8).reshape(item.height, item.width, 2)[..., 0])
            if stamp is None:
                self.unreadable += 1
            else:
                self.by_pixels_ms.append((received.sent_ns / 1e3 - stamp) / 1e3)


def run_live(
    source: str, settings: Settings, *, seconds: float | None, seen: Seen, plugins: Sequence[str] = (),
    tick: Any = None,
) -> tuple[LiveSummary, LiveState]:  # fmt: skip
    """A live run into a null output with the governor off; its summary and its last state while running."""
    reporter: Reporter = ListReporter()
    output = NullOutput("null", settings, reporter=reporter, receive=seen)
    spec = WorkerSpec(
        source=source, settings=settings, background=settings.output.background or "blur", wanted=Wanted(),
        generation=1, adapts=False, plugins=tuple(plugins),
    )  # fmt: skip
    supervisor = Supervisor(spec, [output], settings=settings, reporter=reporter, duration_seconds=seconds)
    last: list[LiveState] = []

    def look(state: LiveState) -> None:
        last[:] = [state]
        if tick is not None:
            tick(state)

    return supervisor.run(look), last[0]


# -- the clock in the pixels ----------------------------------------------------------------------------------------


def write_clock(luma: np.ndarray, microseconds: int) -> None:
    """Into (H, W) uint8: `BITS` blocks along the top, the highest bit first, on as many rows as the width needs."""
    for place in range(BITS):
        top, left = _block(place, luma.shape[1])
        bit = microseconds >> (BITS - 1 - place) & 1
        luma[top : top + BLOCK, left : left + BLOCK] = _LIGHT if bit else _DARK


def read_clock(luma: np.ndarray) -> int | None:
    """What `write_clock` wrote; None where the blocks are not there whole."""
    value = 0
    for place in range(BITS):
        top, left = _block(place, luma.shape[1])
        mean = float(luma[top + 4 : top + BLOCK - 4, left + 4 : left + BLOCK - 4].mean())
        if 80 < mean < 170:
            return None
        value = value << 1 | (mean > 126)
    return value


def _block(place: int, width: int) -> tuple[int, int]:
    row, column = divmod(place, width // BLOCK)
    return row * BLOCK, column * BLOCK


class StampedSource(SourceAround):
    """A source whose pictures carry the moment at which they are handed over."""

    def __iter__(self) -> Iterator[Frame | AudioPacket]:
        for item in self._source:
            if not isinstance(item, Frame):
                yield item
                continue
            own = item.host_picture()
            picture = new_picture(own.format.name, own.width, own.height)
            for target, plane in zip(plane_arrays(picture), plane_arrays(own), strict=True):
                target[...] = plane
            write_clock(plane_arrays(picture)[0], time.monotonic_ns() // 1000)
            yield replace(item, picture=picture)


def stamp_pixels(spec: WorkerSpec) -> None:
    """A worker's plugin: every picture carries the clock."""
    open_unstamped = worker.open_live_source
    worker.open_live_source = lambda *args, **named: StampedSource(open_unstamped(*args, **named))  # type: ignore[assignment]


class UnpacedSource(StampedSource):
    """A clip's pictures as fast as they are taken, again and again, as a live source's."""

    def __init__(self, source: Source, frames: int) -> None:
        super().__init__(source)
        self._frames = frames

    @property
    def is_live(self) -> bool:
        return False  # the pipeline waits: no frame is dropped, each one goes all the way

    def __iter__(self) -> Iterator[Frame | AudioPacket]:
        kept = [item for item in self._source if isinstance(item, Frame)]
        step = kept[1].time.pts - kept[0].time.pts
        for index in range(self._frames):
            frame = kept[index % len(kept)]
            time_ = replace(frame.time, pts=kept[0].time.pts + index * step)
            yield replace(frame, index=index, time=time_, captured_ns=time.monotonic_ns())


def unpaced(spec: WorkerSpec) -> None:
    """A worker's plugin: `UnpacedSource` over the clip; `UNPACED_FRAMES` in the environment is its length."""
    frames = int(os.environ[UNPACED_FRAMES])

    def open_unpaced(settings: Any, *, reporter: Reporter) -> UnpacedSource:
        return UnpacedSource(open_source(settings.input, InputSettings(), reporter=reporter), frames)

    worker.open_live_source = open_unpaced  # type: ignore[assignment]
