"""A live run without faults: what is sent, what is counted, how it ends. Worker bodies follow a script."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import replace

import pytest
from live_bodies import changes_size, clip_of_forty, never_stops, steady
from live_fakes import LIMIT_SECONDS, Driver, FakeOutput, act, drive, failing, make, nothing_left, spec_for

from livematte.errors import SinkError
from livematte.live import supervisor as supervising
from livematte.live.messages import WorkerSpec
from livematte.reporting import ListReporter


@pytest.fixture(autouse=True)
def _nothing_left():
    with nothing_left():
        yield


def test_frames_reach_an_output_and_everything_is_closed() -> None:
    output, reporter = FakeOutput(), ListReporter()
    summary, driver = drive(
        make(spec_for(), output, entry=steady, reporter=reporter), lambda: len(output.frames()) >= 30
    )
    assert output.calls == ["open", "close"]
    assert output.info is not None
    assert (output.info.width, output.info.height, output.rate) == (64, 48, 50)
    assert driver.states[:2] == ["starting", "running"]
    assert summary.outputs == {"fake": "closed"}
    assert summary.faults == 0
    assert not summary.interrupted
    numbers = [one.number for one in output.frames()]
    assert numbers == sorted(numbers)
    assert {round(one.luma) for one in output.frames()} == {120}
    assert reporter.notes == ["pick fake"]
    assert not reporter.warnings
    assert set(summary.latency_ms) == {"p50", "p95", "p99"}


def test_every_frame_of_a_clip_is_sent_or_dropped_and_its_end_ends_the_run() -> None:
    """30 of 40 frames are published; a queue that keeps all sends each of them once."""
    recording = FakeOutput("out.mov", is_paced=False, keeps_all=True, is_vital=False)
    summary, _ = drive(make(spec_for(), recording, entry=clip_of_forty), lambda: False)
    numbers = [one.number for one in recording.frames()]
    assert numbers == [n for n in range(40) if n % 4 != 3]
    assert summary.frames == 30
    assert summary.dropped == 9  # the tenth gap is after the last frame
    assert summary.repeated == 0
    assert summary.rungs == ("large, every frame", "small, every frame")
    assert summary.as_dict()["rungs"] == ["large, every frame", "small, every frame"]


def test_a_paced_output_repeats_the_last_frame_and_the_repeats_are_counted() -> None:
    output = FakeOutput()
    summary, _ = drive(make(spec_for(), output, entry=clip_of_forty), lambda: False)
    numbers = [one.number for one in output.frames()]
    assert numbers == sorted(numbers)
    assert numbers[-1] == 38
    assert summary.repeated == len(numbers) - len(set(numbers)) > 0
    assert summary.frames == len(set(numbers))
    assert summary.frames + summary.dropped == 39


def test_the_duration_counts_from_the_first_frame_by_capture_time() -> None:
    output, quiet = FakeOutput(is_paced=False, keeps_all=True), FakeOutput("other", watching=0)
    summary, _ = drive(make(spec_for(idle_seconds=0.1), output, quiet, entry=steady, duration=1.0), lambda: False)
    assert 0 < len(output.frames()) <= 51
    assert summary.seconds < LIMIT_SECONDS
    assert quiet.frames(), "a run of a fixed length goes to sleep"


def test_a_slow_recording_drops_and_does_not_hold_up_the_camera() -> None:
    def slow(number: int) -> None:
        time.sleep(0.2)

    camera = FakeOutput("virtual")
    recording = FakeOutput("out.mov", is_paced=False, keeps_all=True, is_vital=False, trouble=slow)
    supervisor = make(spec_for(), camera, recording, entry=steady)
    summary, _ = drive(supervisor, lambda: len(camera.frames()) >= 100)
    lanes = {lane.output.name: lane for lane in supervisor._fanout.lanes}
    assert len(recording.frames()) < len(camera.frames()) / 2
    assert lanes["out.mov"].dropped > 0
    numbers = [one.number for one in recording.frames()]
    assert numbers == sorted(set(numbers))
    assert summary.dropped <= summary.frames / 2, "what one output missed is not dropped where another one sent it"


def test_an_unpaced_output_gets_the_newest_frame_alone() -> None:
    page = FakeOutput("page", is_paced=False, is_vital=False, trouble=lambda number: time.sleep(0.1))
    camera = FakeOutput("virtual")
    drive(make(spec_for(), camera, page, entry=steady), lambda: len(page.frames()) >= 5)
    ages = sorted(one.latency_ms for one in page.frames())
    numbers = [one.number for one in page.frames()]
    assert numbers == sorted(set(numbers))
    assert ages[len(ages) // 2] < 1000, "it lags behind"


def test_straight_outputs_get_alpha_and_foreground() -> None:
    straight = FakeOutput("obs", wants="straight", keeps_items=True)
    drive(make(spec_for(), straight, entry=steady), lambda: len(straight.frames()) >= 5)
    item = straight.frames()[0].item
    assert item.matted is not None
    assert item.composite is None
    assert item.matted.matte.alpha.shape == (48, 64)


def test_a_failing_vital_output_ends_the_program() -> None:
    camera = FakeOutput("virtual", trouble=failing(10))
    other = FakeOutput("out.mov", is_vital=False, is_paced=False)
    supervisor = make(spec_for(), camera, other, entry=steady)
    with pytest.raises(SinkError, match="is full"):
        drive(supervisor, lambda: False)
    assert camera.calls == ["open", "close"]
    assert other.calls == ["open", "close"]
    assert supervisor.summary().outputs["virtual"].startswith("failed: the fake output is full")
    assert supervisor.summary().frames > 0


def test_another_outputs_failure_is_said_and_the_rest_goes_on() -> None:
    camera, reporter = FakeOutput("virtual"), ListReporter()
    other = FakeOutput("out.mov", is_vital=False, trouble=failing(3))
    supervisor = make(spec_for(), camera, other, entry=steady, reporter=reporter)
    summary, _ = drive(supervisor, lambda: reporter.warnings, lambda: len(camera.frames()) > len(other.frames()) + 20)
    assert reporter.warnings == ["the fake output is full. Make room. The other outputs go on."]
    assert summary.outputs == {"virtual": "closed", "out.mov": "failed: the fake output is full. Make room."}
    assert other.calls == ["open", "close"]


def test_the_last_outputs_failure_ends_the_program() -> None:
    one = FakeOutput("a", is_vital=False, trouble=failing(3))
    two = FakeOutput("b", is_vital=False, trouble=failing(20))
    with pytest.raises(SinkError, match="is full"):
        drive(make(spec_for(), one, two, entry=steady), lambda: False)


def test_an_output_that_cannot_be_opened_is_closed_and_ends_the_program() -> None:
    def refuse() -> None:
        raise SinkError("no such device. Load v4l2loopback.")

    camera = FakeOutput("virtual", open_trouble=refuse)
    with pytest.raises(SinkError, match="Load v4l2loopback"):
        drive(make(spec_for(), camera, entry=steady), lambda: False)
    assert camera.calls == ["open", "close"]
    assert not camera.sent


def test_an_unexpected_exception_of_an_output_is_its_failure() -> None:
    def bug(number: int) -> None:
        raise ZeroDivisionError("float division")

    with pytest.raises(SinkError, match="'virtual' failed unexpectedly: ZeroDivisionError"):
        drive(make(spec_for(), FakeOutput("virtual", trouble=bug), entry=steady), lambda: False)


def test_an_error_while_closing_is_the_outputs_failure() -> None:
    class Unclosable(FakeOutput):
        def close(self) -> None:
            super().close()
            raise SinkError("the disk is full.")

    good, bad, reporter = FakeOutput("virtual"), Unclosable("out.mov", is_vital=False), ListReporter()
    summary, _ = drive(make(spec_for(), good, bad, entry=steady, reporter=reporter), lambda: good.frames())
    assert summary.outputs["out.mov"] == "failed: the disk is full."
    assert any("the disk is full" in warning for warning in reporter.warnings)


def test_ctrl_c_ends_in_order() -> None:
    recording = FakeOutput("out.mov", is_paced=False, keeps_all=True)
    summary, _ = drive(
        make(spec_for(), recording, entry=steady),
        lambda: len(recording.frames()) >= 5,
        act(lambda: os.kill(os.getpid(), signal.SIGINT)),
        lambda: False,
    )
    assert summary.interrupted
    assert recording.calls == ["open", "close"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows ends a process without asking")
def test_sigterm_ends_in_order_and_is_no_interrupt() -> None:
    recording = FakeOutput("out.mov", is_paced=False, keeps_all=True)
    summary, _ = drive(
        make(spec_for(), recording, entry=steady),
        lambda: len(recording.frames()) >= 5,
        act(lambda: os.kill(os.getpid(), signal.SIGTERM)),
        lambda: False,
    )
    assert not summary.interrupted
    assert recording.calls == ["open", "close"]


def test_an_error_of_the_caller_ends_the_run_and_comes_back() -> None:
    output = FakeOutput()

    def tick(state: object) -> None:
        if output.frames():
            raise RuntimeError("of the caller's own")

    with pytest.raises(RuntimeError, match="of the caller's own"):
        make(spec_for(), output, entry=steady).run(tick)
    assert output.calls == ["open", "close"]


def test_a_run_on_another_thread_and_a_stop_from_this_one() -> None:
    output = FakeOutput()
    supervisor = make(spec_for(), output, entry=steady)
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(supervisor.run(lambda state: None)))
    thread.start()
    item = None
    until = time.monotonic() + LIMIT_SECONDS
    while item is None and time.monotonic() < until:
        item = supervisor.wait_for_frame(None, 0.2)
    other = supervisor.wait_for_frame(item, 20.0)
    assert other is not None
    assert other is not item
    supervisor.stop()
    thread.join(LIMIT_SECONDS)
    assert not thread.is_alive()
    assert len(found) == 1
    assert supervisor.state().state == "ended"


def test_a_worker_that_does_not_stop_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervising, "_WORKER_PATIENCE_SECONDS", 0.3)
    output = FakeOutput()
    summary, _ = drive(make(spec_for(), output, entry=never_stops), lambda: len(output.frames()) >= 5)
    assert summary.faults == 0


def test_an_output_that_hangs_while_closing_is_left_behind_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervising, "_OUTPUT_PATIENCE_SECONDS", 0.3)
    release, reporter = threading.Event(), ListReporter()

    class Hanging(FakeOutput):
        def close(self) -> None:
            release.wait(LIMIT_SECONDS)
            super().close()

    output = Hanging("out.mov", is_vital=False)
    supervisor = make(spec_for(), output, entry=steady, reporter=reporter)
    drive(supervisor, lambda: output.frames())
    assert any("'out.mov' did not close in time" in warning for warning in reporter.warnings)
    release.set()
    supervisor._fanout.lanes[0].thread.join(LIMIT_SECONDS)


def test_a_size_change_gets_another_ring_and_the_outputs_stay_open() -> None:
    output = FakeOutput(keeps_items=True)
    drive(make(spec_for(), output, entry=changes_size), lambda: any(one.luma == 90 for one in output.frames()))
    assert {(one.item.width, one.item.height) for one in output.frames()} == {(64, 48), (160, 90)}
    assert output.calls == ["open", "close"]
    assert output.info is not None
    assert output.info.width == 64


def test_the_driver_itself_fails_where_a_step_is_not_reached() -> None:
    supervisor = make(spec_for(), FakeOutput(), entry=steady)
    with pytest.raises(AssertionError, match="were not reached"):
        Driver(supervisor, [lambda: False], limit=1.0).run()


def test_the_settings_and_what_is_wanted_reach_the_worker_with_its_spec() -> None:
    spec: WorkerSpec = replace(spec_for(), settings=spec_for(mirror=True).settings)
    composite = make(spec, FakeOutput(), entry=steady)
    both = make(spec, FakeOutput(), FakeOutput("b", wants="alpha"), entry=steady)
    assert composite._keeper.spec.wanted.composite
    assert not composite._keeper.spec.wanted.straight
    assert both._keeper.spec.wanted.straight
    assert composite._keeper.spec.settings.live.mirror
