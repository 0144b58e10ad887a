"""The worker's sink: what is wanted goes into the ring, the raw picture never does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np
import pytest
from formula_pictures import disc, noise, picture_of
from ring_making import info_of

from livematte.frames import AudioPacket, Composite, Frame, Matte, MattedFrame, Timestamp
from livematte.live.base import LiveFrame
from livematte.live.control_inbox import WorkerStopped
from livematte.live.messages import Published, RingAt, RingWanted, Wanted
from livematte.live.ring import Ring
from livematte.live.ring_sink import RingSink
from livematte.planes import plane_arrays

INFO = info_of(64, 48)
COMPOSITE, STRAIGHT, BEFORE = Wanted(), Wanted(False, True), Wanted(False, False, True, 24)
RAW, CLEAN, OVER = 201, 77, 33
"""Luma of the raw picture, the cleaned foreground and the composite."""


@dataclass
class Supervisor:
    """Answers as the supervisor does, and reads at once."""

    asked: list[RingWanted] = field(default_factory=list)
    frames: list[LiveFrame | None] = field(default_factory=list)
    ring: Ring | None = None
    stopped: bool = False

    def ask_for_ring(self, wanted: RingWanted) -> None:
        self.asked.append(wanted)
        self.close()
        self.ring = Ring.create(2, wanted.slot_bytes)

    def wait_for_ring(self) -> RingAt:
        if self.stopped:
            raise WorkerStopped
        return RingAt(self.ring.name, 2, self.ring.slot_bytes)

    def publish(self, published: Published) -> None:
        self.frames.append(self.ring.read(published))

    def close(self) -> None:
        if self.ring is not None:
            self.ring.close()
            self.ring = None


@dataclass
class Rig:
    wanted: Wanted
    supervisor: Supervisor = field(default_factory=Supervisor)

    def __post_init__(self) -> None:
        self.sink = RingSink(self.supervisor, lambda: self.wanted, 2, "a camera", "an engine")

    def write(self, item: MattedFrame | Composite | AudioPacket) -> LiveFrame | None:
        self.sink.write(item)
        return self.supervisor.frames[-1] if self.supervisor.frames else None


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig(COMPOSITE)
    made.sink.open(INFO)
    yield made
    made.sink.close()
    made.supervisor.close()


def flat(luma: int, width: int = 64, height: int = 48):
    planes = noise("yuv420p", height, width)
    return picture_of("yuv420p", [np.full_like(plane, luma) for plane in planes])


def matted(index: int = 0, width: int = 64, height: int = 48, *, foreground: bool = True) -> MattedFrame:
    frame = Frame(flat(RAW, width, height), Timestamp(index, Fraction(1, 30)), 1, index, INFO.color, captured_ns=4711)
    return MattedFrame(frame, Matte(disc(height, width), flat(CLEAN, width, height) if foreground else None))


def composite(index: int = 0, width: int = 64, height: int = 48) -> Composite:
    return Composite(flat(OVER, width, height), matted(index, width, height))


def assert_no_raw_pixel(frame: LiveFrame | None) -> None:
    assert frame is not None
    for picture in (frame.composite, frame.matted.matte.foreground if frame.matted else None):
        if picture is not None:
            assert not (plane_arrays(picture)[0] == RAW).any()


def test_only_what_is_wanted_is_written(rig: Rig) -> None:
    assert rig.sink.wants == "composite"
    frame = rig.write(composite(5))
    assert (frame.composite is None, frame.matted, frame.before) == (False, None, None)
    assert (plane_arrays(frame.composite)[0] == OVER).all()
    assert (frame.number, frame.generation, frame.captured_ns) == (5, 2, 4711)
    rig.wanted = STRAIGHT
    frame = rig.write(composite(6))
    assert (frame.composite, frame.before) == (None, None)
    assert (plane_arrays(frame.matted.matte.foreground)[0] == CLEAN).all()
    assert np.array_equal(frame.matted.matte.alpha, disc(48, 64))
    assert_no_raw_pixel(frame)
    rig.wanted = BEFORE
    frame = rig.write(matted(7))
    assert (frame.composite, frame.matted) == (None, None)
    assert frame.before.shape == (24, 32, 3)
    assert np.array_equal(frame.before, matted(7).frame.rgb(width=32, height=24))
    rig.wanted = Wanted(composite=False)
    frame = rig.write(composite(8))
    assert (frame.number, frame.composite, frame.matted, frame.before) == (8, None, None, None)


def test_a_frame_without_a_clean_foreground_goes_without_one(rig: Rig) -> None:
    rig.wanted = Wanted(True, True)
    frame = rig.write(matted(foreground=False))
    assert frame.matted is None
    assert frame.composite is None


def test_a_frame_that_was_not_composited_goes_without_a_composite(rig: Rig) -> None:
    frame = rig.write(matted())
    assert frame.composite is None
    assert_no_raw_pixel(frame)


def test_another_size_asks_for_another_ring(rig: Rig) -> None:
    rig.write(composite(0))
    frame = rig.write(composite(1, 32, 20))
    assert (frame.width, frame.height) == (32, 20)
    assert [(one.info.width, one.info.height) for one in rig.supervisor.asked] == [(64, 48), (32, 20)]
    frame = rig.write(composite(2, 128, 96))
    assert (frame.width, frame.composite.width) == (128, 128)
    assert len(rig.supervisor.asked) == 3


def test_more_parts_than_the_slots_have_room_for_ask_for_a_larger_ring(rig: Rig) -> None:
    rig.write(composite(0))
    rig.wanted = Wanted(True, True, True, 24)
    frame = rig.write(composite(1))
    assert all(part is not None for part in (frame.composite, frame.matted, frame.before))
    first, second = rig.supervisor.asked
    assert second.slot_bytes > first.slot_bytes
    assert second.info == first.info
    rig.wanted = COMPOSITE
    rig.write(composite(2))
    assert len(rig.supervisor.asked) == 2  # the larger one still serves


def test_asked_early_it_asks_once(rig: Rig) -> None:
    other = Rig(COMPOSITE)
    other.sink.ask(INFO)
    other.sink.open(INFO)
    assert len(other.supervisor.asked) == 1
    asked = other.supervisor.asked[0]
    assert (asked.camera, asked.engine, asked.info) == ("a camera", "an engine", INFO)
    other.sink.close()
    other.supervisor.close()


def test_the_description_goes_out_without_audio() -> None:
    rig = Rig(COMPOSITE)
    rig.sink.open(replace(INFO, audio=(object(),)))  # type: ignore[arg-type]
    assert rig.supervisor.asked[0].info.audio == ()
    rig.sink.write(AudioPacket(0, packet=None))  # type: ignore[arg-type]
    assert rig.supervisor.frames == []
    rig.sink.abort(keep=True)
    rig.supervisor.close()


def test_a_stop_ends_the_wait_for_a_ring(rig: Rig) -> None:
    rig.supervisor.stopped = True
    with pytest.raises(WorkerStopped):
        rig.write(composite(0, 32, 20))


def test_a_file_without_a_capture_time_gets_the_present_moment(rig: Rig) -> None:
    item = composite()
    item.matted.frame.captured_ns = None
    before = time.monotonic_ns()
    assert before <= rig.write(item).captured_ns <= time.monotonic_ns()
