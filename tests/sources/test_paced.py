"""A clip that stands in for a camera: when its frames come, what a late reader gets, and the seam of a loop."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from clipmaker import Clip, write_clip, write_truncated, write_variable
from livematte.config import InputSettings, LiveSettings
from livematte.errors import EndedEarly, SourceError
from livematte.frames import AudioPacket, Frame
from livematte.planes import plane_arrays
from livematte.reporting import ListReporter
from livematte.sources import open_source
from livematte.sources.live import open_live_source
from livematte.sources.paced import PacedSource, Schedule
from livematte.sources.synthetic import SyntheticSource, SyntheticSpec

SECOND = 1_000_000_000
FRAME = Fraction(1, 30)


class Clock:
    """Time that moves only when somebody waits, or when the test says so."""

    def __init__(self) -> None:
        self.now = 5 * SECOND

    def now_ns(self) -> int:
        return self.now

    def wait(self, closed: threading.Event, seconds: float) -> bool:
        self.now += round(seconds * SECOND)
        return closed.is_set()


def _synthetic(frames: int = 10, *, variable: bool = False) -> SyntheticSource:
    return SyntheticSource(SyntheticSpec(width=64, height=48, frames=frames, variable=variable))


def _paced(first: object, again: Callable[[], object] | None, clock: Clock, reporter: ListReporter) -> PacedSource:
    return PacedSource(first, again, mirror=False, reporter=reporter, now_ns=clock.now_ns, wait=clock.wait)  # type: ignore[arg-type]


# --- the schedule ---


def test_frames_are_due_by_their_own_times() -> None:
    schedule = Schedule()
    starts = [Fraction(0), Fraction(1, 60), Fraction(3, 60), Fraction(7, 60)]
    due = [schedule(start, FRAME, SECOND) for start in starts]
    assert due == [SECOND + int(start * SECOND) for start in starts]


def test_a_frame_is_past_when_the_next_is_due() -> None:
    schedule = Schedule()
    schedule(Fraction(0), FRAME, 0)
    assert schedule(FRAME, FRAME, int(2 * FRAME * SECOND) - 2) == int(FRAME * SECOND)  # late, but it is its turn
    assert schedule(2 * FRAME, FRAME, int(3 * FRAME * SECOND) + 2) is None


def test_what_cannot_catch_up_plays_slower_and_keeps_coming() -> None:
    schedule, now = Schedule(), 0
    given = []
    for index in range(400):
        now += 50_000_000  # decoding takes 50 ms a frame of 33 ms
        given.append(schedule(index * FRAME, FRAME, now) is not None)
    assert schedule.is_slow
    assert sum(given[-200:]) == 200
    assert sum(given[:60]) < 45  # at first it tried to catch up


def test_one_stall_is_caught_up_by_skipping() -> None:
    schedule, now, shown = Schedule(), 0, []
    for index in range(300):
        now += 3 * SECOND if index == 100 else 5_000_000  # 5 ms to decode
        due = schedule(index * FRAME, FRAME, now)
        if due is not None:
            shown.append(index)
            now = max(now, due)
    assert not schedule.is_slow
    missed = sorted(set(range(300)) - set(shown))
    assert 90 <= len(missed) <= 120
    assert missed == list(range(missed[0], missed[-1] + 1))  # one hole, then every frame again
    assert missed[0] in (99, 100)


def test_a_computer_that_slept_does_not_decode_through_the_night() -> None:
    schedule = Schedule()
    schedule(Fraction(0), FRAME, 0)
    hour = 3600 * SECOND
    assert schedule(FRAME, FRAME, hour) == hour
    assert schedule(2 * FRAME, FRAME, hour) == hour + int(2 * FRAME * SECOND) - int(FRAME * SECOND)


def test_a_hole_in_the_times_is_shortened() -> None:
    schedule = Schedule()
    schedule(Fraction(0), FRAME, 0)
    assert schedule(Fraction(3600), FRAME, 0) == 2 * SECOND
    assert schedule.shortened == 1
    assert schedule(3600 + FRAME, FRAME, 2 * SECOND) == 2 * SECOND + int((3600 + FRAME) * SECOND) - 3600 * SECOND


# --- the source ---


def test_each_frame_comes_when_it_is_due() -> None:
    clock, say = Clock(), ListReporter()
    source = _paced(_synthetic(variable=True), None, clock, say)
    began = clock.now
    frames = []
    for frame in source:
        assert isinstance(frame, Frame)
        assert frame.captured_ns == clock.now
        frames.append(frame)
    source.close()
    assert [frame.index for frame in frames] == list(range(10))
    assert [frame.captured_ns - began for frame in frames] == [int(frame.time.seconds * SECOND) for frame in frames]
    assert source.is_live
    assert source.skipped == 0
    whole = sum(frame.duration or 0 for frame in frames) * Fraction(1, 60)  # the last one has its time too
    assert clock.now - began == int(whole * SECOND)


def test_a_slow_reader_gets_the_frame_of_now() -> None:
    clock, say = Clock(), ListReporter()
    source = _paced(_synthetic(30), None, clock, say)
    began, seen = clock.now, []
    for frame in source:
        assert isinstance(frame, Frame)
        seen.append(round(frame.time.seconds * 30))
        assert frame.index == seen[-1]  # a gap in it is what was skipped
        late = clock.now - (began + int(frame.time.seconds * SECOND))
        assert late <= int(FRAME * SECOND)
        clock.now += round(0.1 * SECOND)  # three frame times a frame
    source.close()
    assert len(seen) + source.skipped == 30
    assert 9 <= len(seen) <= 12
    assert [later - before for before, later in itertools.pairwise(seen)].count(1) <= 1


def test_a_loop_goes_on_over_its_seam() -> None:
    clock, say = Clock(), ListReporter()
    passes: list[SyntheticSource] = []

    def again() -> SyntheticSource:
        passes.append(_synthetic(variable=True))
        return passes[-1]

    source = _paced(_synthetic(variable=True), again, clock, say)
    frames = [frame for frame, _ in zip(source, range(35), strict=False)]
    source.close()
    times = [frame.time.pts for frame in frames]  # type: ignore[union-attr]
    gaps = [later - before for before, later in itertools.pairwise(times)]
    assert gaps == ([1, 1, 2, 1, 3, 1, 1, 4, 1, 1] * 4)[: len(gaps)]
    assert [frame.index for frame in frames] == list(range(35))  # type: ignore[union-attr]
    assert len({frame.captured_ns for frame in frames}) == 35  # type: ignore[union-attr]
    assert source.info.frame_count is None
    assert source.info.duration_seconds is None
    assert all(one._closed for one in passes)


def test_the_next_pass_is_opened_before_the_seam() -> None:
    """A seam that waited for the opening would end with a reader that is late by as much."""
    clock, say = Clock(), ListReporter()
    opened_at: list[int] = []
    ready = threading.Event()

    def again() -> SyntheticSource:
        opened_at.append(clock.now)
        ready.set()
        return _synthetic(150)

    source = _paced(_synthetic(150), again, clock, say)
    began = clock.now
    for frame in source:
        assert isinstance(frame, Frame)
        if frame.index == 95:
            assert ready.wait(20)
        if frame.index == 155:
            break
    source.close()
    assert 2.5 < (opened_at[0] - began) / SECOND < 3.3  # 2 s before the end of 5 s


def test_close_ends_a_wait_at_once() -> None:
    say = ListReporter()
    slow = SyntheticSource(SyntheticSpec(width=64, height=48, frames=100, frame_rate=Fraction(1, 2)))
    source = PacedSource(slow, None, mirror=False, reporter=say)
    frames: list[object] = []
    first = threading.Event()

    def read() -> None:
        for frame in source:
            frames.append(frame)
            first.set()

    thread = threading.Thread(target=read, name="livematte-test-reader")
    thread.start()
    assert first.wait(20)
    source.close()
    source.close()
    thread.join(20)
    assert not thread.is_alive()
    assert len(frames) == 1


def test_close_while_the_next_pass_is_being_opened() -> None:
    say, clock = ListReporter(), Clock()
    begun, go_on = threading.Event(), threading.Event()
    late: list[SyntheticSource] = []

    def again() -> SyntheticSource:
        begun.set()
        go_on.wait(20)
        late.append(_synthetic())
        return late[-1]

    source = _paced(_synthetic(3), again, clock, say)
    thread = threading.Thread(target=lambda: list(source), name="livematte-test-reader")
    thread.start()
    assert begun.wait(20)
    closer = threading.Thread(target=source.close, name="livematte-test-closer")
    closer.start()
    go_on.set()
    closer.join(20)
    thread.join(20)
    assert not thread.is_alive()
    deadline = time.monotonic() + 20
    while not (late and late[0]._closed) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert late[0]._closed


def test_an_error_of_the_next_pass_comes_out() -> None:
    def again() -> SyntheticSource:
        raise SourceError("the clip was deleted.")

    source = _paced(_synthetic(3), again, Clock(), ListReporter())
    with pytest.raises(SourceError, match="deleted"):
        list(source)
    source.close()


class _Empty:
    is_live, name, decoder, damaged = False, "empty", "none", 2
    info = _synthetic().info

    def __iter__(self) -> Iterator[Frame | AudioPacket]:
        yield from ()

    def close(self) -> None:
        """Nothing is held."""


def test_a_clip_without_pictures_does_not_loop_for_ever() -> None:
    source = _paced(_Empty(), _Empty, Clock(), ListReporter())
    with pytest.raises(SourceError, match="no picture in a whole pass"):
        list(source)
    assert source.damaged == 2
    source.close()


# --- real clips ---


def _open(path: Path | str, say: ListReporter, *, loop: bool = False, mirror: bool = False) -> PacedSource:
    source = open_live_source(LiveSettings(input=str(path), loop=loop, mirror=mirror), reporter=say)
    assert isinstance(source, PacedSource)
    return source


def test_a_clip_with_sound_gives_pictures_only(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", Clip(frames=6, audio=("aac",)))
    source = _open(path, ListReporter())
    assert source.info.audio == ()
    items = list(source)
    source.close()
    assert len(items) + source.skipped == 6
    assert all(isinstance(item, Frame) for item in items)


def test_a_real_clip_loops_with_its_own_gaps(tmp_path: Path) -> None:
    path = write_variable(tmp_path / "v.mkv")
    plain = open_source(str(path), InputSettings(), reporter=ListReporter())
    once = [frame.time.seconds for frame in plain if isinstance(frame, Frame)]
    plain.close()
    say = ListReporter()
    source = _open(path, say, loop=True)
    source._now_ns, source._wait = (clock := Clock()).now_ns, clock.wait
    frames = [frame for frame, _ in zip(source, range(2 * len(once)), strict=False)]
    source.close()
    seconds = [frame.time.seconds for frame in frames]  # type: ignore[union-attr]
    assert seconds[: len(once)] == once
    second = [one - seconds[len(once)] for one in seconds[len(once) :]]
    assert second == [one - once[0] for one in once]
    assert seconds[len(once)] > seconds[len(once) - 1]
    assert len(say.notes) == len(set(say.notes))  # the second pass says nothing anew


def test_mirror_turns_every_plane_over(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mkv", Clip(frames=3))
    plain, turned = _open(path, ListReporter()), _open(path, ListReporter(), mirror=True)
    for source in (plain, turned):
        source._now_ns, source._wait = (clock := Clock()).now_ns, clock.wait
    for one, other in zip(plain, turned, strict=False):
        assert isinstance(one, Frame)
        assert isinstance(other, Frame)
        assert one.time == other.time
        for left, right in zip(plane_arrays(one.host_picture()), plane_arrays(other.host_picture()), strict=True):
            np.testing.assert_array_equal(left[:, ::-1], right)
    plain.close()
    turned.close()


def test_a_cut_off_clip_loops_from_where_it_broke(tmp_path: Path) -> None:
    path = write_truncated(tmp_path / "cut.mp4", keep=0.6)
    say = ListReporter()
    source = _open(path, say, loop=True)
    source._now_ns, source._wait = (clock := Clock()).now_ns, clock.wait
    frames = [frame for frame, _ in zip(source, range(60), strict=False)]
    source.close()
    assert [frame.index for frame in frames] == list(range(60))  # type: ignore[union-attr]
    assert [line for line in say.warnings if "ended early" in line]
    once = _open(path, ListReporter())
    once._now_ns, once._wait = (clock := Clock()).now_ns, clock.wait
    with pytest.raises(EndedEarly):
        list(once)
    once.close()
