"""The ring in shared memory: what goes in comes out, nothing torn or mad gets through, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from dataclasses import replace
from multiprocessing import resource_tracker
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import numpy as np
import pytest
from ring_making import COLOR, info_of, payload_of

from livematte.errors import SinkError
from livematte.live import ring_slot
from livematte.live.base import LiveFrame
from livematte.live.messages import Published, Wanted
from livematte.live.ring import Ring, slot_bytes_for
from livematte.live.ring_slot import PLANES_AT, before_size
from livematte.planes import plane_arrays

SHM = Path("/dev/shm")
HERE = Path(__file__).parent
needs_dev_shm = pytest.mark.skipif(not SHM.is_dir(), reason="shared memory has no folder on this system")


@pytest.fixture
def ring():
    made = Ring.create(3, slot_bytes_for(info_of(64, 48), Wanted(straight=True, before=True)))
    yield made
    made.close()


def assert_same(frame: LiveFrame | None, payload: ring_slot.SlotPayload) -> None:
    assert frame is not None
    for name in ("number", "generation", "time", "captured_ns", "color", "width", "height"):
        assert getattr(frame, name) == getattr(payload, name)
    pairs = [(frame.composite, payload.composite)]
    assert (frame.matted is None) == (payload.foreground is None)
    if frame.matted is not None:
        pairs.append((frame.matted.matte.foreground, payload.foreground))
        assert frame.matted.frame.picture is frame.matted.matte.foreground
        assert frame.matted.frame.captured_ns == payload.captured_ns
        assert frame.matted.frame.index == payload.number
        assert frame.matted.frame.duration == payload.duration
        assert frame.matted.matte.alpha.dtype == payload.alpha.dtype
        assert np.array_equal(frame.matted.matte.alpha, payload.alpha)
    for got, given in pairs:
        assert (got is None) == (given is None)
        if got is not None:
            assert got.format.name == payload.pix_fmt
            for read, written in zip(plane_arrays(got), plane_arrays(given), strict=True):
                assert np.array_equal(read, written)
    assert (frame.before is None) == (payload.before is None)
    if frame.before is not None:
        assert np.array_equal(frame.before, payload.before)


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"composite": False},
        {"alpha": None},
        {"composite": False, "alpha": None, "before": (17, 9)},
        {"alpha": np.uint16, "before": (31, 18)},
    ],
)
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "yuv444p", "gbrp", "gbrp10le"])
@pytest.mark.parametrize("size", [(64, 48), (35, 21)])
def test_what_goes_in_comes_out(size: tuple[int, int], pix_fmt: str, parts: dict) -> None:
    payload = payload_of(5, *size, pix_fmt, **parts)
    wanted = Wanted(payload.composite is not None, payload.alpha is not None, payload.before is not None, 18)
    bits = 16 if payload.alpha is not None and payload.alpha.dtype == np.uint16 else 8
    own = Ring.create(2, slot_bytes_for(info_of(*size, pix_fmt), wanted, alpha_bits=bits))
    other = Ring.attach(own.name)
    try:
        frame = own.read(other.write(payload))
    finally:
        other.close()
        own.close()
    assert_same(frame, payload)  # also after the memory is gone: it is a copy


def test_no_part_at_all_is_a_frame_too(ring: Ring) -> None:
    assert_same(
        ring.read(ring.write(payload_of(1, 64, 48, composite=False, alpha=None))),
        payload_of(1, 64, 48, composite=False, alpha=None),
    )


def test_slots_are_taken_in_turn_and_an_overwritten_one_is_not_read(ring: Ring) -> None:
    told = [ring.write(payload_of(number, 64, 48)) for number in range(5)]
    assert [one.slot for one in told] == [0, 1, 2, 0, 1]
    assert [ring.read(one) is None for one in told] == [True, True, False, False, False]
    assert ring.read(told[4]).number == 4
    assert ring.damaged == 0


def test_a_slot_that_is_written_while_it_is_copied_is_thrown_away(ring: Ring, monkeypatch: pytest.MonkeyPatch) -> None:
    from livematte.live import ring as module

    told = ring.write(payload_of(0, 64, 48))
    real = module.take

    def while_others_write(slot, length):
        frame = real(slot, length)
        for number in range(1, 4):
            ring.write(payload_of(number, 64, 48))
        return frame

    monkeypatch.setattr(module, "take", while_others_write)
    assert ring.read(told) is None
    assert ring.damaged == 0


def test_a_writer_that_died_in_the_middle_leaves_no_frame(ring: Ring, monkeypatch: pytest.MonkeyPatch) -> None:
    from livematte.live import ring as module

    told = [ring.write(payload_of(number, 64, 48)) for number in range(3)]

    def dies(payload, slot):
        raise MemoryError

    monkeypatch.setattr(module, "put", dies)
    with pytest.raises(MemoryError):
        ring.write(payload_of(3, 64, 48))
    assert ring.read(told[0]) is None
    assert ring.read(Published(0, told[0].sequence + 6)) is None
    assert ring.read(told[1]).number == 1


def test_no_frame_is_ever_torn() -> None:
    """A writer that never waits, a reader that checks each frame it gets: all planes are of one number."""
    own = Ring.create(2, slot_bytes_for(info_of(320, 240), Wanted()))
    other = Ring.attach(own.name)
    payloads = [payload_of(number, 320, 240, alpha=None) for number in range(8)]
    for number, payload in enumerate(payloads):
        for plane in plane_arrays(payload.composite):
            plane.fill(10 * number)
    newest: list[Published] = []
    ended = threading.Event()

    def write() -> None:
        for turn in range(3000):
            newest.append(other.write(payloads[turn % 8]))
        ended.set()

    writer = threading.Thread(target=write)
    writer.start()
    read = missed = 0
    while not ended.is_set():
        if not newest:
            continue
        frame = own.read(newest[-1])
        if frame is None:
            missed += 1
            continue
        read += 1
        assert all((plane == 10 * frame.number).all() for plane in plane_arrays(frame.composite))
    writer.join()
    own.close()
    other.close()
    assert read > 10
    assert own.damaged == 0


BROKEN = {
    "too large for the slot": (b'"size": [64, 48]', b'"size": [640, 48]'),
    "larger than any picture": (b'"size": [64, 48]', b'"size": [999999, 48]'),
    "negative": (b'"size": [64, 48]', b'"size": [-64, 48]'),
    "not whole": (b'"size": [64, 48]', b'"size": [64.5, 48]'),
    "true is no number": (b'"size": [64, 48]', b'"size": [true, 48]'),
    "three sides": (b'"size": [64, 48]', b'"size": [64, 48, 1]'),
    "unknown format": (b'"pix_fmt": "yuv420p"', b'"pix_fmt": "yuv999p"'),
    "packed format": (b'"pix_fmt": "yuv420p"', b'"pix_fmt": "rgb24"'),
    "format with alpha": (b'"pix_fmt": "yuv420p"', b'"pix_fmt": "yuva420p"'),
    "format of another type": (b'"pix_fmt": "yuv420p"', b'"pix_fmt": 7'),
    "alpha of three bits": (b'"alpha_bits": 8', b'"alpha_bits": 3'),
    "time that stands still": (b'"time_base": [1, 30000]', b'"time_base": [1, 0]'),
    "no number": (b'"number": 2', b'"numbed": 2'),
    "huge number": (b'"number": 2', b'"number": 99999999999999999999999999999999'),
    "unknown colour": (b'"bt709", "tv"', b'"bt708", "tv"'),
    "no JSON": (b'{"number"', b'["number"'),
    "before that is wider than the slot": (b'"before": null', b'"before": [16000, 16000]'),
}


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN.keys())
def test_a_worker_gone_mad_gives_no_frame_and_breaks_nothing(ring: Ring, change: tuple[bytes, bytes]) -> None:
    told = [ring.write(payload_of(number, 64, 48)) for number in range(3)]
    slot, words = ring._slot(told[2].slot)
    header = slot[ring_slot.HEADER_AT : ring_slot.HEADER_AT + int(words[1])].tobytes()
    assert change[0] in header
    wrong = header.replace(*change)
    slot[ring_slot.HEADER_AT : ring_slot.HEADER_AT + len(wrong)] = np.frombuffer(wrong, np.uint8)
    words[1] = len(wrong)
    assert ring.read(told[2]) is None
    assert ring.damaged == 1
    assert ring.damage
    assert ring.read(told[1]).number == 1


@pytest.mark.parametrize("length", [0, 1, 40, PLANES_AT, 2**63])
def test_a_wrong_length_of_the_header_is_survived(ring: Ring, length: int) -> None:
    told = ring.write(payload_of(0, 64, 48))
    ring._slot(0)[1][1] = length
    assert ring.read(told) is None
    assert ring.damaged == 1


def test_random_bytes_are_survived(ring: Ring) -> None:
    random = np.random.default_rng(1)
    for turn in range(200):
        told = ring.write(payload_of(turn, 64, 48))
        slot, words = ring._slot(told.slot)
        at = ring_slot.HEADER_AT + random.integers(0, int(words[1]), 3)
        slot[at] = random.integers(0, 256, 3)
        frame = ring.read(told)
        assert frame is None or frame.composite is not None or frame.number >= 0


def test_slots_that_are_none_are_refused(ring: Ring) -> None:
    assert ring.read(Published(3, 2)) is None
    assert ring.read(Published(-1, 2)) is None
    assert ring.damaged == 2


def test_what_does_not_fit_is_not_written(ring: Ring) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        ring.write(payload_of(0, 640, 480))
    small = payload_of(0, 32, 24)
    with pytest.raises(ValueError, match="part of the frame"):
        ring.write(replace(small, width=30))


def test_attaching_to_what_is_no_ring_is_an_error() -> None:
    with pytest.raises(SinkError, match="cannot be opened"):
        Ring.attach("livematte_no_such_ring")
    memory = SharedMemory(create=True, size=8192)
    try:
        with pytest.raises(SinkError, match="not a ring"):
            Ring.attach(memory.name)
    finally:
        memory.close()
        memory.unlink()


def test_too_much_memory_is_an_error_that_helps() -> None:
    with pytest.raises(SinkError, match="shm"):
        Ring.create(4, 2**44)


def test_closing_twice_is_allowed_and_a_closed_ring_says_so() -> None:
    ring = Ring.create(2, 8192)
    ring.close()
    ring.close()
    with pytest.raises(ValueError, match="closed"):
        ring.read(Published(0, 2))
    with pytest.raises(SinkError):
        Ring.attach(ring.name)


def test_the_before_picture_is_never_enlarged_and_keeps_its_shape() -> None:
    assert before_size(1280, 720, 360) == (640, 360)
    assert before_size(320, 180, 360) == (320, 180)
    assert before_size(1080, 1920, 360) == (202, 360)
    assert before_size(1, 4000, 360) == (1, 360)


@needs_dev_shm
def test_only_the_own_user_may_open_the_memory(ring: Ring) -> None:
    found = (SHM / ring.name).stat()
    assert stat.S_IMODE(found.st_mode) == 0o600
    assert found.st_uid == os.geteuid()


@needs_dev_shm
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can be somebody else")
def test_another_user_cannot_read_it(ring: Ring) -> None:
    done = subprocess.run(["/bin/cat", str(SHM / ring.name)], user=65534, capture_output=True, check=False)
    assert done.returncode != 0
    assert done.stdout == b""
    assert b"denied" in done.stderr


@needs_dev_shm
def test_the_pages_are_taken_when_the_ring_is_made(ring: Ring) -> None:
    """A /dev/shm that is full later on would end the process with SIGBUS."""
    found = (SHM / ring.name).stat()
    assert found.st_blocks * 512 >= ring.slots * ring.slot_bytes


SUPERVISOR = """
import multiprocessing, os, signal, sys
from pathlib import Path
import ring_making
from livematte.live.messages import Wanted
from livematte.live.ring import Ring, slot_bytes_for

if __name__ == "__main__":
    ring = Ring.create(2, slot_bytes_for(ring_making.info_of(64, 48), Wanted(straight=True)))
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    child = context.Process(target=ring_making.write_and_wait, args=(ring.name, there))
    child.start()
    told = here.recv()
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    frame = ring.read(told)
    again = Ring.attach(ring.name)
    print(child.exitcode, frame.number, ring.read(again.write(ring_making.payload_of(9, 64, 48))).number)
    again.close()
    ring.close()
    print(Path("/dev/shm", ring.name).exists())
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_a_killed_worker_takes_nothing_with_it(tmp_path: Path) -> None:
    """cpython#82300: before 3.13 the memory would go with the process that attached to it."""
    script = tmp_path / "supervise.py"
    script.write_text(SUPERVISOR)
    paths = os.pathsep.join((str(HERE), str(HERE.parent)))
    environment = {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["-9", "7", "9", "False"]
    assert done.stderr == ""  # nor does the resource tracker complain


def test_an_unrelated_process_that_attached_leaves_the_memory_when_it_ends(ring: Ring) -> None:
    """It has a resource tracker of its own, which would remove the memory."""
    told = ring.write(payload_of(1, 64, 48))
    code = f"from livematte.live.ring import Ring; Ring.attach({ring.name!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    again = Ring.attach(ring.name)
    assert again.read(told).number == 1
    again.close()


def test_attaching_leaves_the_resource_tracker_as_it_was(ring: Ring) -> None:
    before = resource_tracker.register
    Ring.attach(ring.name).close()
    assert resource_tracker.register == before


def test_colour_is_written_on_the_pictures(ring: Ring) -> None:
    frame = ring.read(ring.write(payload_of(0, 64, 48)))
    assert frame.color == COLOR
    assert (frame.composite.colorspace, frame.composite.color_range) == (1, 1)
