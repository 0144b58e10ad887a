"""Workers that die, hang and lie: the outputs go on without a gap, the card comes, a new worker takes over."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable

import live_bodies as bodies
import psutil
import pytest
from live_fakes import FakeOutput, act, drive, make, nothing_left, spec_for

from livematte.errors import LivematteError, SourceError, UsageError
from livematte.live import keeper
from livematte.reporting import ListReporter


@pytest.fixture(autouse=True)
def _nothing_left():
    with nothing_left():
        yield


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "SILENCE_SECONDS", 2.0)


def recovers(entry: object, words: str, *steps: Callable[[], object]) -> tuple[ListReporter, FakeOutput]:
    """Drives a run through a fault: frames, the card with these words, frames of a later worker."""
    output, reporter = FakeOutput(), ListReporter()
    summary, driver = drive(
        make(spec_for(), output, entry=entry, reporter=reporter),
        output.shows_frame,
        *steps,
        lambda: output.saw_card(words),
        lambda: output.shows_frame(generation=2),
    )
    kinds = "".join(one.kind[0] for one in output.sent)
    assert "fc" in kinds, "no card came after the frames"
    assert "cf" in kinds[kinds.index("fc") :], "no frame came after the card"
    assert output.calls == ["open", "close"]
    assert summary.faults >= 1
    assert summary.outputs == {"fake": "closed"}
    assert [state for state in driver.states if state != "holding"][:4] == [
        "starting",
        "running",
        "placeholder",
        "running",
    ]
    assert len(reporter.warnings) == 1
    return reporter, output


def test_a_worker_that_is_killed_is_started_again() -> None:
    reporter, _ = recovers(bodies.dies_once, "Something went wrong")
    assert "ended unexpectedly" in reporter.warnings[0]
    assert "Starting again in 0.5 s" in reporter.warnings[0]


@pytest.mark.usefixtures("impatient")
def test_a_worker_that_says_nothing_and_takes_nothing_is_killed_and_started_again() -> None:
    reporter, _ = recovers(bodies.goes_silent_once, "Something went wrong")
    assert "does not answer" in reporter.warnings[0]


@pytest.mark.usefixtures("impatient")
@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="only Unix can stop a process")
def test_a_worker_that_is_stopped_is_killed_and_started_again() -> None:
    def stop_the_worker() -> None:
        for child in psutil.Process().children():
            if "resource_tracker" not in " ".join(child.cmdline()):
                os.kill(child.pid, signal.SIGSTOP)

    reporter, _ = recovers(bodies.steady, "Something went wrong", act(stop_the_worker))
    assert "does not answer" in reporter.warnings[0]


@pytest.mark.usefixtures("impatient")
def test_a_camera_that_gives_nothing_is_given_up_with_its_worker() -> None:
    reporter, _ = recovers(bodies.camera_silent_once, "The camera does not answer; trying again.")
    assert reporter.warnings[0].startswith("The camera does not answer: no picture has come.")


@pytest.mark.usefixtures("impatient")
def test_a_network_that_does_not_come_back_is_given_up_and_its_frames_are_dropped() -> None:
    recovers(bodies.network_hangs_once, "Something went wrong")


def test_a_worker_that_says_what_cannot_be_understood_is_replaced() -> None:
    reporter, _ = recovers(bodies.talks_nonsense_once, "Something went wrong")
    assert "cannot be understood" in reporter.warnings[0]


def test_a_worker_that_damages_the_ring_is_replaced() -> None:
    reporter, _ = recovers(bodies.damages_the_ring_once, "Something went wrong")
    assert "none: slot 99" in reporter.warnings[0]


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_a_worker_whose_own_child_keeps_the_pipe_open_is_replaced() -> None:
    recovers(bodies.leaves_a_process_behind, "Something went wrong")


def test_a_camera_that_is_unplugged_is_waited_for() -> None:
    output, reporter = FakeOutput(), ListReporter()
    summary, _ = drive(
        make(spec_for(), output, entry=bodies.camera_unplugged, reporter=reporter),
        output.shows_frame,
        lambda: output.saw_card("cannot be read; waiting for it"),
        lambda: output.shows_frame(generation=4),
    )
    assert summary.faults == 3
    assert reporter.warnings == [
        "camera 0 went away. Trying again in 0.5 s.",
        "there is no camera 7. There are: 0. Trying again in 1 s.",
    ], "the 3rd time is not said"


def test_bad_usage_at_the_first_start_ends_the_program_with_its_own_error() -> None:
    output = FakeOutput()
    supervisor = make(spec_for(), output, entry=bodies.bad_usage)
    with pytest.raises(UsageError, match="region is nonsense") as caught:
        drive(supervisor, lambda: False)
    assert caught.value.exit_code == 2
    assert output.calls == []
    assert supervisor.summary().outputs == {"fake": "closed"}


def test_no_camera_at_the_first_start_ends_the_program() -> None:
    with pytest.raises(SourceError, match="there is no camera 7"):
        drive(make(spec_for(), FakeOutput(), entry=bodies.no_camera), lambda: False)


def test_a_camera_that_never_gives_a_picture_shows_the_card_and_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "FIRST_TRIES", 2)
    camera = FakeOutput("virtual")
    recording = FakeOutput("out.mov", is_paced=False, is_vital=False)
    spec = spec_for(camera_size="320x240", camera_rate="25")
    supervisor = make(spec, camera, recording, entry=bodies.never_gives_a_picture)
    with pytest.raises(SourceError, match="no picture came in") as caught:
        drive(supervisor, lambda: False)
    assert caught.value.exit_code == 3
    assert camera.shows_card("The camera does not answer; trying again.")
    assert camera.info is not None
    assert (camera.info.width, camera.info.height, camera.rate) == (320, 240, 25)
    assert camera.calls == ["open", "close"]
    assert recording.calls == [], "a recording waits for the true size"


def test_a_clip_that_breaks_off_ends_the_program() -> None:
    output = FakeOutput()
    spec = spec_for(source="clip.mp4")
    with pytest.raises(LivematteError, match="the clip broke off") as caught:
        drive(make(spec, output, entry=bodies.clip_breaks_off), lambda: False)
    assert caught.value.exit_code == 3
    assert output.calls == ["open", "close"]


def test_an_error_that_comes_after_pictures_leaves_a_camera_waited_for() -> None:
    output, reporter = FakeOutput(), ListReporter()
    drive(
        make(spec_for(), output, entry=bodies.clip_breaks_off, reporter=reporter),
        output.shows_frame,
        lambda: output.saw_card("waiting for it"),
    )
    assert reporter.warnings == ["the clip broke off. Trying again in 10 s."]


def test_the_pause_grows_to_ten_seconds_and_starts_over_after_half_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """The keeper alone, with children that never start: `OSError` from the system."""
    pauses: list[float] = []

    class Refusing:
        def __init__(self, spec: object, entry: object, **_: object) -> None:
            self.spec = spec
            self.pid = 0
            self.heard = 0.0

        def start(self) -> None:
            raise OSError("no more processes")

        def kill(self) -> None: ...

        def reap(self) -> bool:
            return True

    class Listener:
        def came(self, frame: object) -> None: ...
        def heard(self, generation: int, message: object) -> None: ...
        def ended(self) -> None: ...
        def gave_up(self, fault: object) -> None:
            pytest.fail("given up")

        def faulted(self, generation: int, fault: keeper.Fault, pause_seconds: float) -> None:
            assert "no more processes" in fault.text
            pauses.append(pause_seconds)

    monkeypatch.setattr(keeper, "Child", Refusing)
    kept = keeper.Keeper(spec_for(), bodies.steady, Listener(), restarts_after_final=True)
    kept._has_worked = True
    for _ in range(7):
        kept._start_at = 0.0
        kept.step(0.0)
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    monkeypatch.setattr(keeper._Watch, "ran_seconds", lambda self, now: 31.0)
    kept._start_at = 0.0
    kept.step(0.0)
    assert pauses[-1] == 0.5
    assert kept.spec.generation == 9
