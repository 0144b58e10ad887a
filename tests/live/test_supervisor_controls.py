"""What keys and the page may do to a run: camera off, backgrounds, edges; and the sleep while nobody watches."""

from __future__ import annotations

import os
from pathlib import Path

import live_bodies as bodies
import pytest
from live_fakes import FakeOutput, act, drive, make, nothing_left, spec_for

from livematte.errors import UsageError
from livematte.live import keeper
from livematte.live.base import LiveFrame, Placeholder
from livematte.reporting import ListReporter


@pytest.fixture(autouse=True)
def _nothing_left():
    with nothing_left():
        yield


def test_camera_off_shows_the_card_at_once_and_on_brings_frames_back() -> None:
    output = FakeOutput()
    supervisor = make(spec_for(), output, entry=bodies.steady)
    marks: list[int] = []
    _, driver = drive(
        supervisor,
        output.shows_frame,
        act(lambda: supervisor.set_camera_off(True)),
        act(lambda: supervisor.set_camera_off(True)),  # twice is once
        lambda: output.shows_card("The camera is off."),
        act(lambda: marks.append(len(output.sent))),
        lambda: len(output.sent) > marks[0] + 30,
        act(lambda: marks.append(len(output.sent))),
        act(lambda: supervisor.set_camera_off(False)),
        output.shows_frame,
    )
    assert {one.kind for one in output.sent[marks[0] : marks[1]]} == {"card"}
    assert driver.states == ["starting", "running", "off", "starting", "running"] or driver.states == [
        "starting",
        "running",
        "off",
        "running",
    ]
    assert supervisor.summary().faults == 0


def test_a_camera_that_is_not_closed_when_it_is_switched_off_is_closed_with_its_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keeper, "SLEEP_SECONDS", 0.5)
    output, reporter = FakeOutput(), ListReporter()
    supervisor = make(spec_for(), output, entry=bodies.does_not_close_the_camera, reporter=reporter)
    drive(
        supervisor,
        output.shows_frame,
        act(lambda: supervisor.set_camera_off(True)),
        lambda: reporter.warnings,
        lambda: supervisor._keeper._child is None and not supervisor._keeper._dying,
        act(lambda: supervisor.set_camera_off(False)),
        lambda: output.shows_frame(generation=2),
    )
    assert "the camera was not closed in time" in reporter.warnings[0]


def test_nobody_watches_closes_the_camera_and_somebody_opens_it() -> None:
    output, reporter = FakeOutput(watching=0), ListReporter()
    page = FakeOutput("page", is_paced=False, is_vital=False, watching=0)
    supervisor = make(spec_for(idle_seconds=0.5), output, page, entry=bodies.steady, reporter=reporter)
    marks: list[int] = []

    def watch() -> None:
        marks.append(len(output.frames()))
        page.watching = 1

    _, driver = drive(
        supervisor,
        lambda: supervisor.state().state == "idle" and output.shows_card("nobody watches"),
        lambda: supervisor._keeper._watch._phase == "asleep",
        act(watch),
        lambda: len(output.frames()) > marks[0] + 10,
    )
    assert "idle" in driver.states
    assert driver.states[-1] == "running"
    assert any("Nobody watches" in note for note in reporter.notes)


def test_an_output_that_cannot_tell_who_watches_keeps_the_camera_open() -> None:
    output, other = FakeOutput(watching=None), FakeOutput("b", watching=0)
    _, driver = drive(
        make(spec_for(idle_seconds=0.1), output, other, entry=bodies.steady), lambda: len(output.frames()) > 100
    )
    assert "idle" not in driver.states


def test_idle_zero_means_never() -> None:
    output = FakeOutput(watching=0)
    _, driver = drive(make(spec_for(idle_seconds=0), output, entry=bodies.steady), lambda: len(output.frames()) > 60)
    assert "idle" not in driver.states


def test_changes_reach_the_worker_and_the_one_after_it() -> None:
    output, reporter = FakeOutput(), ListReporter()
    supervisor = make(spec_for(), output, entry=bodies.reports_itself, reporter=reporter)

    def said(text: str):
        return lambda: text in reporter.notes

    drive(
        supervisor,
        said("1 background blur"),
        said("1 matting 0"),
        said("1 wanted 100"),
        act(lambda: supervisor.set_background("#336699")),
        act(lambda: supervisor.set_matting({"shrink": 2})),
        act(lambda: supervisor.want(straight=True)),
        said("1 background #336699"),
        said("1 matting 2"),
        said("1 wanted 110"),
        act(lambda: supervisor._keeper._child.kill()),
        said("2 background #336699"),
        said("2 matting 2"),
        said("2 wanted 110"),
    )
    state = supervisor.state()
    assert state.background == "#336699"
    assert state.matting["shrink"] == 2
    assert state.camera == "fake camera"
    assert state.stages_ms == {"network": 3.0}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"shrink": 500}, "shrink"),
        ({"levels": (0.9, 0.1)}, "--levels"),
        ({"keep_background": True}, "cannot be changed while live"),
        ({"nonsense": 1}, "cannot be changed while live"),
        ({"smooth": "very"}, "smooth"),
        ({"region": "1,2,3"}, "--region"),
    ],
)
def test_what_is_not_allowed_is_refused_and_changes_nothing(changes: dict[str, object], words: str) -> None:
    supervisor = make(spec_for(), FakeOutput(), entry=bodies.steady)
    supervisor._stage.set_info(bodies.Body(supervisor._keeper.spec, None).info)
    before = supervisor.state().matting
    with pytest.raises(UsageError, match=words):
        supervisor.set_matting(changes)
    assert supervisor.state().matting == before


@pytest.mark.parametrize("text", ["no-such-colour", "blur=0", "blur=9", "nowhere.jpg", "."])
def test_a_background_that_cannot_be_used_is_refused(text: str) -> None:
    supervisor = make(spec_for(), FakeOutput(), entry=bodies.steady)
    with pytest.raises(UsageError):
        supervisor.set_background(text)
    assert supervisor.state().background == "blur"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="only Unix has pipes with names")
def test_a_background_is_a_plain_file_and_no_device(tmp_path: Path) -> None:
    """Another camera's node would show a room; a pipe that nobody writes to would never be read to its end."""
    os.mkfifo(tmp_path / "pipe.mp4")
    supervisor = make(spec_for(), FakeOutput(), entry=bodies.steady)
    with pytest.raises(UsageError, match="plain files"):
        supervisor.set_background(str(tmp_path / "pipe.mp4"))


def test_a_weak_blur_needs_the_leave_that_the_raw_picture_needs() -> None:
    supervisor = make(spec_for(allow_raw=True), FakeOutput(), entry=bodies.steady)
    supervisor.set_background("blur=2")
    assert supervisor.state().background == "blur=2"


def test_the_raw_picture_is_refused_unless_it_was_allowed_at_the_start() -> None:
    supervisor = make(spec_for(), FakeOutput(), entry=bodies.steady)
    with pytest.raises(UsageError, match="--allow-raw"):
        supervisor.want(before=True)
    assert not supervisor._keeper.spec.wanted.before


def test_the_raw_picture_goes_to_pages_and_never_to_outputs() -> None:
    output = FakeOutput()
    supervisor = make(spec_for(allow_raw=True), output, entry=bodies.steady)
    seen: list[object] = []

    def page() -> bool:
        item = supervisor.frame()
        if isinstance(item, LiveFrame) and item.before is not None:
            seen.append(item.before)
        return bool(seen) and len(output.frames()) > 30

    drive(supervisor, output.shows_frame, act(lambda: supervisor.want(before=True)), page)
    assert seen
    assert all(one.before is None for one in output.sent)


def test_the_card_looks_like_the_background_where_that_can_be_shown_alone() -> None:
    output = FakeOutput(keeps_items=True)
    supervisor = make(spec_for(background="#ffffff"), output, entry=bodies.steady)
    drive(
        supervisor,
        output.shows_frame,
        act(lambda: supervisor.set_camera_off(True)),
        lambda: output.shows_card("The camera is off."),
        act(lambda: supervisor.set_background("#000000")),
        lambda: output.shows_card() and output.sent[-1].luma == 16,
    )
    assert 235 in {one.luma for one in output.sent if one.kind == "card"}
    assert isinstance(supervisor.frame(), Placeholder)
