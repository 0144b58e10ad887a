"""The pipeline over scripted stages: order, overlap, ends, errors, interruptions, drops."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from livematte.color import ColorSpec
from livematte.errors import EndedEarly, Interrupted, SinkError
from livematte.frames import AudioPacket, Composite, Frame, Matte, MattedFrame, StreamInfo, Timestamp
from livematte.pipeline import Pipeline
from livematte.planes import new_picture
from livematte.rate import ConstantRate

COLOR = ColorSpec("bt709", "tv")
INFO = StreamInfo("scripted", 16, 16, "yuv420p", COLOR, Fraction(1, 25), Fraction(25))
AUDIO = AudioPacket(0, packet=None)  # type: ignore[arg-type]


def frame(index: int) -> Frame:
    return Frame(new_picture("yuv420p", 16, 16), Timestamp(index, Fraction(1, 25)), 1, index, COLOR)


Hook = Callable[[int], None]


def nothing(index: int) -> None:
    """A stage that does its work at once."""


@dataclass
class ScriptedSource:
    items: list[Frame | AudioPacket]
    on_frame: Hook = nothing
    is_live: bool = False
    error: Exception | None = None
    name: str = "scripted"
    info: StreamInfo = INFO
    decoder: str = "none"
    damaged: int = 0
    closed: int = 0

    def __iter__(self) -> Iterator[Frame | AudioPacket]:
        for item in self.items:
            if isinstance(item, Frame):
                self.on_frame(item.index)
            yield item
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        self.closed += 1


@dataclass
class ScriptedMatting:
    on_frame: Hook = nothing
    delay_frames: int = 0
    held: list[MattedFrame] = field(default_factory=list)
    closed: int = 0
    alpha: int = 255

    def push(self, frames: Sequence[Frame]) -> list[MattedFrame]:
        for one in frames:
            self.on_frame(one.index)
            self.held.append(MattedFrame(one, Matte(np.full((16, 16), self.alpha, np.uint8))))
        ready = max(0, len(self.held) - self.delay_frames)
        given, self.held = self.held[:ready], self.held[ready:]
        return given

    def flush(self) -> list[MattedFrame]:
        given, self.held = self.held, []
        return given

    def reset(self) -> None:
        self.held = []

    def close(self) -> None:
        self.closed += 1


@dataclass
class ScriptedSink:
    on_frame: Hook = nothing
    drops: bool = False
    wants: Any = "straight"
    wants_audio: bool = True
    close_error: Exception | None = None
    name: str = "scripted"
    alpha_bits: int = 8
    encoder: str = "none"
    bytes_written: int = 0
    taken: list[int] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)

    def open(self, info: StreamInfo) -> None:
        self.ends.append("open")

    def write(self, item: MattedFrame | Composite | AudioPacket) -> None:
        self.kinds.append(type(item).__name__)
        if isinstance(item, AudioPacket):
            return
        matted = item.matted if isinstance(item, Composite) else item
        assert matted.frame.index is not None
        self.on_frame(matted.frame.index)
        self.taken.append(matted.frame.index)

    def close(self) -> None:
        self.ends.append("close")
        if self.close_error is not None:
            raise self.close_error

    def abort(self, *, keep: bool) -> None:
        self.ends.append(f"abort keep={keep}")


class ScriptedCompositor:
    closed = 0

    def composite(self, matted: MattedFrame) -> Composite:
        return Composite(matted.frame.host_picture(), matted)

    def close(self) -> None:
        self.closed += 1


def run(source: ScriptedSource, matting: ScriptedMatting, *sinks: ScriptedSink, **more: Any) -> Pipeline:
    pipeline = Pipeline(source, matting, sinks, **more)
    pipeline.run(lambda: None)
    return pipeline


def test_frames_and_audio_arrive_in_stream_order_and_everything_closes_once() -> None:
    source = ScriptedSource([frame(0), AUDIO, frame(1), AUDIO, frame(2)])
    matting, sink = ScriptedMatting(), ScriptedSink()
    pipeline = run(source, matting, sink)
    assert sink.kinds == ["MattedFrame", "AudioPacket", "MattedFrame", "AudioPacket", "MattedFrame"]
    assert sink.taken == [0, 1, 2]
    assert (source.closed, matting.closed, sink.ends) == (1, 1, ["open", "close"])
    assert pipeline.counters.written == {"encode": 3}


def test_a_sink_without_audio_gets_none_and_delayed_frames_come_at_the_end() -> None:
    sink = ScriptedSink(wants_audio=False)
    run(ScriptedSource([frame(0), AUDIO, frame(1)]), ScriptedMatting(delay_frames=1), sink)
    assert sink.kinds == ["MattedFrame", "MattedFrame"]
    assert sink.taken == [0, 1]


def test_every_stage_works_at_the_same_time() -> None:
    """Each stage waits in the same barrier, each with other frames (6 to 8 are being read while 3 to 5 are matted and
    0 to 2 written): it opens only when all four threads have a frame in hand at once."""
    barrier = threading.Barrier(4)

    frames: list[Frame | AudioPacket] = [frame(index) for index in range(9)]

    def read(index: int) -> None:
        if index >= 6:
            barrier.wait(timeout=60)

    def matte(index: int) -> None:
        if 3 <= index < 6:
            barrier.wait(timeout=60)

    def write(index: int) -> None:
        if index < 3:
            barrier.wait(timeout=60)

    sinks = ScriptedSink(write), ScriptedSink(write)
    run(ScriptedSource(frames, read), ScriptedMatting(matte), *sinks)
    assert [sink.taken for sink in sinks] == [list(range(9))] * 2
    assert not barrier.broken


def test_a_slow_sink_makes_a_file_wait_and_memory_stays_bounded() -> None:
    gate = threading.Event()
    read: list[int] = []

    def hold(index: int) -> None:
        if index == 0:
            while len(read) < 8:
                gate.wait(0.01)
            gate.wait(0.3)

    sink = ScriptedSink(hold)
    source = ScriptedSource([frame(index) for index in range(40)], read.append)
    seen: list[int] = []
    pipeline = Pipeline(source, ScriptedMatting(), [sink])
    pipeline.run(lambda: seen.append(len(read) - len(sink.taken)))
    assert max(seen) < 20, "a stuck sink must stop the decoder"
    assert sink.taken == list(range(40))
    assert pipeline.counters.dropped == 0


def test_a_live_source_drops_its_oldest_and_counts() -> None:
    started, release = threading.Event(), threading.Event()

    def slow(index: int) -> None:
        started.set()
        release.wait(60)

    def read(index: int) -> None:
        if index == 1:
            started.wait(60)
        if index == 29:
            release.set()

    source = ScriptedSource([frame(index) for index in range(30)], read, is_live=True)
    sink = ScriptedSink()
    pipeline = run(source, ScriptedMatting(slow), sink)
    assert sink.taken == sorted(sink.taken)
    assert sink.taken[0] == 0
    assert sink.taken[-1] == 29, "the newest frame is never the one that is dropped"
    assert pipeline.counters.dropped == 30 - len(sink.taken) > 0


@pytest.mark.parametrize("where", ["decode", "push", "flush", "composite", "write"])
def test_an_error_that_nobody_expected_ends_the_run_as_well(where: str) -> None:
    def fail(*_: object) -> Any:
        raise ZeroDivisionError(where)

    source = ScriptedSource([frame(i) for i in range(50)], fail if where == "decode" else nothing)
    matting, compositor = ScriptedMatting(fail if where == "push" else nothing), ScriptedCompositor()
    sink = ScriptedSink(fail if where == "write" else nothing, wants="composite")
    if where == "flush":
        matting.flush = fail  # type: ignore[method-assign]
    if where == "composite":
        compositor.composite = fail  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError, match=where):
        run(source, matting, sink, compositor=compositor)
    assert sink.ends == ["open", "abort keep=False"]
    assert source.closed == matting.closed == compositor.closed == 1


def test_a_sink_that_cannot_even_be_aborted_does_not_keep_the_rest_open() -> None:
    def fail(*, keep: bool) -> None:
        raise OSError("the drive is gone")

    bad, other = ScriptedSink(), ScriptedSink()
    bad.abort = fail  # type: ignore[method-assign]
    source, matting = ScriptedSource([frame(0)], error=ValueError("first")), ScriptedMatting()
    with pytest.raises(ValueError, match="first"):
        run(source, matting, bad, other)
    assert other.ends == ["open", "abort keep=False"]
    assert source.closed == matting.closed == 1


@pytest.mark.parametrize("part", ["source", "matting", "compositor"])
def test_an_error_while_closing_is_raised_and_the_others_are_closed(part: str) -> None:
    parts = {"source": ScriptedSource([frame(0)]), "matting": ScriptedMatting(), "compositor": ScriptedCompositor()}

    def fail() -> None:
        raise OSError(f"{part} cannot be closed")

    parts[part].close = fail  # type: ignore[union-attr, method-assign]
    with pytest.raises(OSError, match=part):
        Pipeline(parts["source"], parts["matting"], [ScriptedSink()], compositor=parts["compositor"]).run(lambda: None)  # type: ignore[arg-type]
    assert [other.closed for name, other in parts.items() if name != part] == [1, 1]


def test_an_error_of_the_observer_ends_the_run() -> None:
    def tick() -> None:
        raise SinkError("the disk is too small")

    sink = ScriptedSink()
    released = threading.Event()
    source = ScriptedSource([frame(i) for i in range(200)], lambda index: released.wait(0.01) and None)
    with pytest.raises(SinkError, match="too small"):
        Pipeline(source, ScriptedMatting(), [sink]).run(tick)
    assert sink.ends == ["open", "abort keep=False"]


@pytest.mark.parametrize("where", ["read", "matte", "write", "open", "close"])
def test_the_first_error_of_any_stage_is_raised_and_all_sinks_are_aborted(where: str) -> None:
    def fail(index: int) -> None:
        if index == 5:
            raise SinkError(where)

    source = ScriptedSource([frame(i) for i in range(50)], fail if where == "read" else nothing)
    matting = ScriptedMatting(fail if where == "matte" else nothing)
    bad = ScriptedSink(
        fail if where == "write" else nothing, close_error=SinkError("close") if where == "close" else None
    )
    if where == "open":
        bad.open = lambda info: fail(5)  # type: ignore[method-assign]
    other = ScriptedSink()
    with pytest.raises(SinkError, match=where):
        run(source, matting, other, bad)
    assert source.closed == matting.closed == 1
    if where == "close":
        assert bad.ends == ["open", "close"]
    else:
        assert other.ends == ["open", "abort keep=False"]


def test_a_source_that_broke_off_leaves_whole_part_files() -> None:
    sink = ScriptedSink()
    source = ScriptedSource([frame(0), frame(1)], error=EndedEarly("12 seconds are missing"))
    with pytest.raises(EndedEarly, match="12 seconds"):
        run(source, ScriptedMatting(delay_frames=1), sink)
    assert sink.taken == [0, 1]
    assert sink.ends == ["open", "abort keep=True"]


def test_stop_finishes_what_was_read_and_keeps_it() -> None:
    stop = threading.Event()
    sink = ScriptedSink()

    def endless() -> Iterator[Frame | AudioPacket]:
        index = 0
        while True:
            yield frame(index)
            index += 1
            if index == 10:
                stop.set()

    source = ScriptedSource([])
    source.__class__ = type("Endless", (ScriptedSource,), {"__iter__": lambda self: endless()})
    pipeline = Pipeline(source, ScriptedMatting(), [sink])
    with pytest.raises(Interrupted):
        pipeline.run(lambda: None, stop)
    assert sink.ends == ["open", "abort keep=True"]
    assert sink.taken == list(range(pipeline.counters.decoded))


def test_ctrl_c_is_an_interruption_that_keeps_the_part() -> None:
    sink = ScriptedSink()
    pressed = threading.Event()

    def tick() -> None:
        if not pressed.is_set():
            pressed.set()
            raise KeyboardInterrupt

    source = ScriptedSource([frame(i) for i in range(200)], lambda index: pressed.wait(60) and None)
    with pytest.raises(Interrupted):
        Pipeline(source, ScriptedMatting(), [sink]).run(tick)
    assert sink.ends == ["open", "abort keep=True"]


class Presser:
    """A tick that presses Ctrl-C whenever its next condition has come true."""

    def __init__(self, *conditions: Callable[[], bool]) -> None:
        self._conditions = list(conditions)

    def __call__(self) -> None:
        if self._conditions and self._conditions[0]():
            del self._conditions[0]
            raise KeyboardInterrupt


def join_late(release: threading.Event) -> None:
    """Let the threads go that a run has left behind, as the end of the process would."""
    release.set()
    for thread in threading.enumerate():
        if thread.name.startswith("livematte-"):
            thread.join(60)


def test_a_decoder_that_hangs_does_not_keep_ctrl_c_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Input from a pipe that says no more: what was read is written and kept."""
    monkeypatch.setattr("livematte.pipeline._PATIENCE_SECONDS", 0.1)
    release, sink = threading.Event(), ScriptedSink()
    source = ScriptedSource([frame(i) for i in range(5)], lambda index: release.wait(60 * (index == 3)) and None)
    with pytest.raises(Interrupted, match=r"kept under its \.part name"):
        Pipeline(source, ScriptedMatting(), [sink]).run(Presser(lambda: sink.taken == [0, 1, 2]))
    assert sink.ends == ["open", "abort keep=True"]
    assert source.closed == 1
    join_late(release)
    assert sink.taken == [0, 1, 2]


def test_a_second_ctrl_c_drops_what_lies_between_the_stages_and_keeps_the_rest() -> None:
    entered, release, sink = threading.Event(), threading.Event(), ScriptedSink()

    def slow(index: int) -> None:
        entered.set()
        release.wait(60)

    sink.on_frame = slow
    pipeline = Pipeline(ScriptedSource([frame(i) for i in range(50)]), ScriptedMatting(), [sink])
    stopping = pipeline._stop_channels

    def stop_and_release() -> None:
        stopping()
        release.set()

    pipeline._stop_channels = stop_and_release  # type: ignore[method-assign]
    with pytest.raises(Interrupted):
        pipeline.run(Presser(entered.is_set, entered.is_set))
    assert sink.taken == [0], "the frames that waited in the channels are not written any more"
    assert sink.ends == ["open", "abort keep=True"]


def test_a_sink_that_hangs_is_left_alone_after_the_second_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither it nor what it may be using is closed: that would crash a native call. Other sinks are finished."""
    monkeypatch.setattr("livematte.pipeline._PATIENCE_SECONDS", 0.1)
    entered, release = threading.Event(), threading.Event()

    def hang(index: int) -> None:
        entered.set()
        release.wait(60)

    stuck, other = ScriptedSink(hang), ScriptedSink()
    source = ScriptedSource([frame(i) for i in range(50)])
    with pytest.raises(Interrupted, match="'encode 1: scripted' did not come back"):
        Pipeline(source, ScriptedMatting(), [stuck, other]).run(Presser(entered.is_set, entered.is_set))
    assert stuck.ends == ["open"]
    assert other.ends == ["open", "abort keep=True"]
    assert source.closed == 0
    join_late(release)


def test_a_stage_that_hangs_after_an_error_can_be_left_with_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("livematte.pipeline._PATIENCE_SECONDS", 0.1)
    failed, release = threading.Event(), threading.Event()

    def fail(index: int) -> None:
        failed.set()
        raise SinkError("the disk is full")

    pipeline = Pipeline(
        ScriptedSource([frame(i) for i in range(50)]),
        ScriptedMatting(),
        [ScriptedSink(lambda index: release.wait(60) and None), ScriptedSink(fail)],
    )
    watching = pipeline._is_overdue

    def press_once_failed(alive: list[threading.Thread]) -> bool:
        if failed.is_set() and pipeline._deadline is None:
            raise KeyboardInterrupt
        return watching(alive)

    pipeline._is_overdue = press_once_failed  # type: ignore[method-assign]
    with pytest.raises(SinkError, match="disk is full"):
        pipeline.run(lambda: None)
    join_late(release)


def test_composites_are_made_once_and_go_only_to_those_who_want_them() -> None:
    straight, first, second = ScriptedSink(), ScriptedSink(wants="composite"), ScriptedSink(wants="composite")
    compositor = ScriptedCompositor()
    pipeline = run(
        ScriptedSource([frame(0), frame(1)]), ScriptedMatting(), straight, first, second, compositor=compositor
    )
    assert straight.kinds == ["MattedFrame"] * 2
    assert first.kinds == second.kinds == ["Composite"] * 2
    assert pipeline.stats.stages["composite"].count == 2
    assert compositor.closed == 1


def test_empty_frames_are_counted() -> None:
    pipeline = run(ScriptedSource([frame(0), frame(1)]), ScriptedMatting(alpha=0), ScriptedSink())
    assert pipeline.counters.empty_frames == 2


def test_a_constant_rate_repeats_and_drops_and_counts() -> None:
    def at(index: int, pts: int) -> Frame:
        return Frame(new_picture("yuv420p", 16, 16), Timestamp(pts, Fraction(1, 100)), 4, index, COLOR)

    source = ScriptedSource([at(0, 0), at(1, 4), at(2, 5), at(3, 16), at(4, 20)])
    sink = ScriptedSink()
    rate = ConstantRate(Fraction(25))
    pipeline = run(source, ScriptedMatting(), sink, rate=rate)
    assert sink.taken == list(range(6))
    assert (pipeline.counters.repeated, pipeline.counters.dropped) == (2, 1)
