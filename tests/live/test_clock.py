"""What is shown at which moment, when something has to be sent, and what is counted. Time is given, not waited for."""

from __future__ import annotations

import itertools
import threading
import time
from fractions import Fraction

import pytest
from live_bodies import SPEC

from livematte.frames import Timestamp
from livematte.live.base import HOLD_SECONDS, LiveFrame, Placeholder
from livematte.live.clock import REPEAT_AFTER, Pacer, Shown
from livematte.live.latency import LatencyMeter, Tally
from livematte.live.messages import Beat
from livematte.planes import new_picture


def frame(number: int, generation: int = 1, captured_ns: int = 0) -> LiveFrame:
    when = Timestamp(number, Fraction(1, 30))
    return LiveFrame(number, generation, when, captured_ns or number + 1, SPEC, 64, 48, None, None)


def card(reason: str = "off") -> Placeholder:
    return Placeholder(new_picture("yuv420p", 64, 48), SPEC, reason)


def test_a_new_frame_puts_the_repeat_off_by_a_quarter_more_than_a_frame_time() -> None:
    pacer = Pacer(0.04, 10.0)
    assert pacer.due == 10.0
    pacer.sent(10.0, is_new=True)
    assert pacer.due == pytest.approx(10.0 + REPEAT_AFTER * 0.04)


def test_repeats_come_once_a_frame_time() -> None:
    pacer = Pacer(0.04, 10.0)
    pacer.sent(10.0, is_new=True)
    sends = []
    for _ in range(5):
        sends.append(pacer.due + 0.001)  # a little late each time: no drift
        pacer.sent(sends[-1], is_new=False)
    assert [round(b - a, 4) for a, b in itertools.pairwise(sends)] == [0.04] * 4


def test_an_output_that_is_slower_than_the_rate_is_not_chased() -> None:
    pacer = Pacer(0.04, 10.0)
    pacer.sent(20.0, is_new=False)
    assert pacer.due >= 20.02


def test_with_nothing_to_show_it_looks_again_a_frame_time_later() -> None:
    pacer = Pacer(0.04, 10.0)
    pacer.wait(10.0)
    assert pacer.due == pytest.approx(10.04)


def test_the_last_frame_is_held_for_half_a_second_then_the_card() -> None:
    shown, off = Shown(), card()
    assert shown.current(0.0) is None
    shown.set_card(off, only=False)
    assert shown.current(0.0) is off
    one = frame(0)
    assert shown.put(one, 1.0)
    assert shown.current(1.0) is one
    assert shown.current(1.0 + HOLD_SECONDS) is one
    assert shown.current(1.0 + HOLD_SECONDS + 0.01) is off
    two = frame(1)
    shown.put(two, 3.0)
    assert shown.current(3.0) is two


def test_a_slow_source_is_held_longer_but_never_a_second() -> None:
    shown = Shown()
    for number in range(6):
        shown.put(frame(number), 0.3 * number)
    assert shown.hold_seconds() == pytest.approx(0.75)
    for number in range(6, 20):
        shown.put(frame(number), 2.0 * number)
    assert shown.hold_seconds() < 1.0


def test_the_card_alone_takes_effect_at_once_and_refuses_frames() -> None:
    shown, off = Shown(), card()
    shown.put(frame(0), 1.0)
    shown.set_card(off, only=True)
    assert shown.current(1.0) is off
    assert not shown.put(frame(1), 1.1)
    assert shown.current(1.1) is off
    shown.set_card(off, only=False)
    assert shown.current(1.1) is off, "the frame from before must not come back"
    assert shown.put(frame(2), 1.2)


def test_waiters_come_back_for_a_frame_a_card_the_end_and_the_time() -> None:
    shown = Shown()
    serial = shown.wait_for_change(-1, time.monotonic() + 60)
    assert shown.wait_for_change(serial, time.monotonic()) == serial
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(shown.wait_for_change(serial, time.monotonic() + 60)))
    thread.start()
    shown.put(frame(0), time.monotonic())
    thread.join(60)
    assert found == [serial + 1]
    shown.finish()
    shown.wait_for_change(serial + 2, time.monotonic() + 60)
    assert not shown.put(frame(1), 2.0)


def test_waiting_for_another_picture_sees_a_frame_turn_into_the_card() -> None:
    shown, off, one = Shown(), card(), frame(0)
    shown.set_card(off, only=False)
    shown.put(one, time.monotonic())
    assert shown.wait_for_other(None, 60.0) is one
    assert shown.wait_for_other(one, 60.0) is off
    assert shown.wait_for_other(off, 0.01) is off
    shown.finish()
    assert shown.wait_for_other(off, 60.0) is off


def beat(decoded: int, cpu: float = 0.0, rungs: tuple[str, ...] = ()) -> Beat:
    return Beat(decoded, 0, 0.0, 0.0, cpu, rungs=rungs)


def test_gaps_in_the_numbers_are_dropped_frames() -> None:
    tally = Tally()
    for number in (0, 1, 3, 7):
        tally.came(frame(number), number)
        tally.sent(frame(number), number)
    assert (tally.frames, tally.dropped(), tally.decoded) == (4, 4, 8)


def test_a_frame_that_no_output_sent_is_dropped_once_a_later_one_was() -> None:
    tally = Tally()
    for number in range(3):
        tally.came(frame(number), number)
    tally.sent(frame(0), 0)
    assert tally.dropped() == 0, "the others are on their way"
    tally.sent(frame(2), 2)
    assert tally.dropped() == 1
    tally.came(frame(3), 3)
    assert tally.dropped() == 1
    assert tally.dropped(is_over=True) == 2


def test_two_outputs_count_a_frame_once() -> None:
    tally = Tally()
    for number in range(3):
        tally.came(frame(number), number)
    for number in (0, 2, 0, 1, 2):
        tally.sent(frame(number), number)
    assert (tally.frames, tally.dropped(is_over=True)) == (3, 0)


def test_what_a_worker_had_decoded_when_it_was_ended_is_dropped() -> None:
    tally = Tally()
    for number in range(10):
        tally.came(frame(number), number)
        tally.sent(frame(number), number)
    tally.beat(1, beat(25))
    tally.lost(1)
    tally.lost(1)
    assert tally.dropped() == 15
    tally.came(frame(0, 2), 40)
    tally.sent(frame(0, 2), 40)
    assert (tally.frames, tally.dropped()) == (11, 15)


def test_a_camera_that_is_opened_again_begins_to_count_anew() -> None:
    tally = Tally()
    for number in range(5):
        tally.came(frame(number, captured_ns=100 + number), number)
        tally.sent(frame(number, captured_ns=100 + number), number)
    for number in range(5):
        tally.came(frame(number, captured_ns=900 + number), 9 + number)
        tally.sent(frame(number, captured_ns=900 + number), 9 + number)
    assert (tally.frames, tally.dropped()) == (10, 0)


def test_frames_that_nobody_is_to_see_are_not_counted() -> None:
    tally = Tally()
    tally.came(frame(0), 0)
    tally.sent(frame(0), 0)
    tally.skipped(frame(5))
    tally.came(frame(6), 1)
    tally.taken_back(frame(6))
    tally.came(frame(7), 2)
    tally.sent(frame(7), 2)
    assert (tally.frames, tally.dropped(is_over=True)) == (2, 0)


def test_processor_time_counts_from_the_first_frame() -> None:
    tally = Tally()
    tally.beat(1, beat(0, cpu=50.0))
    tally.came(frame(0), 100.0)
    tally.beat(1, beat(1, cpu=51.0))
    tally.beat(2, beat(1, cpu=2.0))
    tally.sample(101.0)
    assert 300 <= tally.cpu_percent() < 350
    late = Tally()  # the first beat comes after the first frame
    late.came(frame(0), 100.0)
    late.beat(1, beat(0, cpu=50.0))
    late.sample(101.0)
    assert late.cpu_percent() < 50


def test_the_present_speed_is_that_of_the_last_two_seconds() -> None:
    tally = Tally()
    assert tally.now_fps() == 0
    for number in range(200):
        tally.came(frame(number), number / 20)
        tally.sent(frame(number), number / 20)
        tally.sample(number / 20)
    for number in range(200, 300):
        tally.came(frame(number), 10 + (number - 200) / 50)
        tally.sent(frame(number), 10 + (number - 200) / 50)
        tally.sample(10 + (number - 200) / 50)
    assert tally.now_fps() == pytest.approx(50, rel=0.03)


def test_rungs_of_all_workers_oldest_first() -> None:
    tally = Tally()
    tally.beat(2, beat(0, rungs=("c",)))
    tally.beat(1, beat(0, rungs=("a", "b")))
    tally.beat(1, beat(0))
    assert tally.rungs == ("a", "b", "c")


def test_percentiles_of_the_newest_512() -> None:
    meter = LatencyMeter()
    assert meter.percentiles() == {}
    for value in range(2000):
        meter.add(float(value))
    found = meter.percentiles()
    assert found["p50"] == pytest.approx(1999 - 255.5, abs=1)
    assert found["p50"] < found["p95"] < found["p99"]
