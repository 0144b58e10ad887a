"""A real, spawned worker: its phases, its frames, the commands, its faults and its ends."""

from __future__ import annotations

import multiprocessing
import os
import sys
from pathlib import Path

import pytest
from worker_making import PATIENCE_SECONDS, failed_here, settings_of, spec_of, worker_of

from clipmaker import Clip, write_clip
from livematte.config import MattingSettings, ModelSettings
from livematte.errors import DeviceError, EndedEarly, ModelError, SinkError, SourceError, UsageError
from livematte.live import worker
from livematte.live.interrupts import REQUESTS
from livematte.live.messages import (
    Beat,
    Ended,
    Failed,
    RingWanted,
    SetBackground,
    SetMatting,
    SetWanted,
    Sleep,
    Stop,
    Wake,
    Wanted,
)
from livematte.planes import plane_arrays

START = ["loading", "opening", "warming", "running"]


def test_a_clip_is_matted_to_its_end() -> None:
    with worker_of(spec_of("synthetic:64x48@30:30", wanted=Wanted(True, True, True, 24))) as rig:
        frame = rig.until_frames()[0]
        assert rig.to_the_end() == 0
        assert rig.phases == START
        assert isinstance(rig.heard[-1], Ended)
        assert rig.of(Failed) == []
    assert (frame.width, frame.height, frame.generation) == (64, 48, 1)
    assert frame.captured_ns > 0
    assert plane_arrays(frame.composite)[0].shape == (48, 64)
    assert (frame.matted.matte.alpha == 255).all()  # the null engine
    assert frame.before.shape == (24, 32, 3)
    wanted = rig.of(RingWanted)[0]
    assert "64x48 at 30" in wanted.camera
    assert "livematte-s" in wanted.engine
    assert wanted.info.audio == ()


def test_a_file_stands_in_for_a_camera_and_a_real_network_runs(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    from models.make_models import stateless

    network = stateless(tmp_path / "net.onnx")
    clip = write_clip(tmp_path / "clip.mp4", Clip(frames=12))
    settings = settings_of(model=ModelSettings(model=str(network), threads=1), loop=True)
    with worker_of(spec_of(str(clip), settings=settings, wanted=Wanted(True, True))) as rig:
        frames = rig.until_frames(20)  # more than the clip has
        numbers = [frame.number for frame in frames]
        times = [frame.time.seconds for frame in frames]
        beat = rig.until_beat(lambda beat: "network" in beat.stages_ms)
        rig.send(Stop())
        assert rig.to_the_end() == 0
    assert numbers == sorted(set(numbers))
    assert times == sorted(set(times))
    assert {"preprocess", "network", "foreground", "matting", "composite", "hand over"} <= set(beat.stages_ms)
    assert beat.decoded >= beat.published > 0
    assert beat.cpu_seconds > 0
    assert beat.rung in beat.rungs
    alpha = frames[-1].matted.matte.alpha
    assert 0 < alpha.mean() < 255  # its answer is the picture's brightness


def test_commands_take_effect_between_two_frames() -> None:
    with worker_of(spec_of(wanted=Wanted(False, True))) as rig:
        frame = rig.until_frames()[0]
        assert frame.composite is None
        assert frame.matted is not None
        rig.send(SetWanted(Wanted(True, False)))
        rig.until(lambda: rig.frames[-1].composite is not None and rig.frames[-1].matted is None)
        assert len(rig.of(RingWanted)) == 1  # the smaller slots would do, the larger ones still do
        rig.send(SetWanted(Wanted(True, True, True, 24)))
        rig.until(lambda: rig.frames[-1].before is not None and rig.frames[-1].matted is not None)
        assert len(rig.of(RingWanted)) == 2
        # the null engine's person is everywhere; outside of the region nobody is kept
        rig.send(SetMatting(MattingSettings(region="0,0,0.5,1")))
        rig.until(lambda: not rig.frames[-1].matted.matte.alpha[:, 40:].any())
        assert (plane_arrays(rig.frames[-1].composite)[0][:, 40:] == 235).all()
        assert rig.frames[-1].matted.matte.alpha[:, :20].all()
        rig.send(SetBackground("black"))
        rig.until(lambda: (plane_arrays(rig.frames[-1].composite)[0][:, 40:] == 16).all())
        rig.send(SetBackground("no-such-background"))
        rig.until(lambda: any("stays as it was" in line for line in rig.said))
        assert (plane_arrays(rig.until_frames()[-1].composite)[0][:, 40:] == 16).all()
        rig.send(SetMatting(MattingSettings(keep_background=True)))
        rig.until(lambda: any("keep-background" in line for line in rig.said))
        rig.send(SetMatting(MattingSettings(levels=(0.9, 0.1))))
        rig.until(lambda: sum("stay as they were" in line for line in rig.said) == 2)
        assert not rig.until_frames()[-1].matted.matte.alpha[:, 40:].any()
        rig.send(Stop())
        assert rig.to_the_end() == 0
        assert rig.of(Failed) == []
        assert rig.of(Ended) == []


def test_asleep_the_camera_is_closed_and_what_was_changed_holds_when_it_wakes() -> None:
    with worker_of(spec_of()) as rig:
        rig.until_frames(3)
        rig.send(Sleep())
        rig.until(lambda: rig.phases[-1] == "asleep")
        beat = rig.until_beat(lambda beat: beat.source_age_seconds == 0)
        rig.send(SetBackground("black"))
        rig.send(SetMatting(MattingSettings(region="0,0,0.5,1")))
        rig.send(Wake())
        frame = rig.until_frames()[0]
        assert rig.phases == [*START, "asleep", "opening", "warming", "running"]  # the engine was kept
        assert (plane_arrays(frame.composite)[0][:, 40:] == 16).all()
        assert rig.until_beat(lambda beat: True).decoded > beat.decoded >= 3
        rig.send(Sleep())
        rig.until(lambda: rig.phases[-1] == "asleep")
        rig.send(Stop())
        assert rig.to_the_end() == 0


def test_a_stop_before_the_first_frame_is_obeyed() -> None:
    with worker_of(spec_of()) as rig:
        rig.hear()
        rig.send(Stop())
        assert rig.to_the_end() == 0
        assert rig.of(Failed) == []


def test_another_picture_size_goes_on_in_another_ring() -> None:
    with worker_of(spec_of(plugins=("worker_making:halves",))) as rig:
        rig.until(lambda: bool(rig.frames) and rig.frames[-1].width == 32)
        assert [one.info.width for one in rig.of(RingWanted)] == [64, 32]
        assert rig.frames[-1].composite.width == 32


def test_plugins_run_first_and_get_the_spec(capfd: pytest.CaptureFixture[str]) -> None:
    with worker_of(spec_of("synthetic:64x48@30:3", plugins=("worker_making:leaves_a_mark",))) as rig:
        assert rig.to_the_end() == 0
        assert f"synthetic:64x48@30:3 {rig.process.pid}" in capfd.readouterr().err


@pytest.mark.parametrize("plugin", ["worker_making", "worker_making:none_such", "no_such_module:f"])
def test_a_plugin_that_is_none_is_bad_usage(plugin: str) -> None:
    failed = failed_here(spec_of(plugins=(plugin,)))
    assert (failed.kind, failed.exit_code, failed.is_final) == ("UsageError", 2, True)


# -- faults --------------------------------------------------------------------------------------------------------


def test_a_camera_read_that_hangs_shows_in_the_beats() -> None:
    with worker_of(spec_of(plugins=("worker_making:camera_hangs",))) as rig:
        beat = rig.until_beat(lambda beat: beat.source_age_seconds > 1)
        assert beat.matting_age_seconds == 0
        assert beat.decoded == 5


def test_an_engine_that_hangs_shows_in_the_beats() -> None:
    with worker_of(spec_of(plugins=("worker_making:engine_hangs",))) as rig:
        beat = rig.until_beat(lambda beat: beat.matting_age_seconds > 1)
        assert beat.source_age_seconds < 1
        assert beat.decoded > 5


@pytest.mark.parametrize(
    ("plugin", "kind", "code", "words"),
    [
        ("camera_goes", "SourceError", 3, "unplugged"),
        ("engine_raises", "ZeroDivisionError", 1, "does not know: ZeroDivisionError: a bug (worker_making.py:"),
    ],
)
def test_what_fails_while_it_runs_is_told_and_may_be_tried_again(plugin: str, kind: str, code: int, words: str) -> None:
    with worker_of(spec_of(plugins=(f"worker_making:{plugin}",))) as rig:
        failed = rig.failed()
        assert rig.of(Ended) == []
    assert (failed.kind, failed.exit_code, failed.is_final) == (kind, code, False)
    assert words in failed.text


@pytest.mark.parametrize(
    ("changes", "kind", "code"),
    [
        ({"plugins": ("worker_making:no_device",)}, "DeviceError", 5),
        ({"source": "/no/such/clip.mp4"}, "SourceError", 3),
        ({"settings": settings_of(model=ModelSettings(model="no-such-network"))}, "ModelError", 4),
        ({"settings": settings_of(keep_background=True)}, "UsageError", 2),
        ({"background": "gone.png"}, "SourceError", 3),
    ],
)
def test_what_keeps_the_first_worker_from_running_is_final(changes: dict, kind: str, code: int) -> None:
    failed = failed_here(spec_of(**changes))
    assert (failed.kind, failed.exit_code, failed.is_final) == (kind, code, True)


def test_a_crash_in_native_code_ends_the_process() -> None:
    with worker_of(spec_of(plugins=("worker_making:engine_crashes",))) as rig:
        code = rig.to_the_end()
        assert code is not None
        assert code < 0 or code > 5  # a signal; Windows: an exception's number
        assert rig.of(Failed) == []


@pytest.mark.skipif(sys.platform == "win32", reason="sends signals")
def test_what_a_terminal_or_systemd_sends_to_both_processes_is_not_the_workers() -> None:
    with worker_of(spec_of()) as rig:
        rig.until_frames()
        for number in REQUESTS:
            os.kill(rig.process.pid, number)
        rig.until_frames(30)
        assert rig.phases == START  # it has not begun anew either


@pytest.mark.parametrize("plugins", [(), ("worker_making:engine_hangs",)])
def test_a_supervisor_that_is_gone_takes_the_worker_with_it(plugins: tuple[str, ...]) -> None:
    with worker_of(spec_of(plugins=plugins)) as rig:
        rig.until(lambda: bool(rig.of(Beat)) and rig.of(Beat)[-1].decoded >= 5)
        rig.pipe.close()
        rig.process.join(PATIENCE_SECONDS)
        assert rig.process.exitcode == 1


# -- parts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "source", "first_start", "later"),
    [
        (UsageError("x"), "0", True, True),
        (ModelError("x"), "0", True, True),
        (SourceError("x"), "0", True, False),
        (DeviceError("x"), "0", True, False),
        (SinkError("x"), "0", True, False),
        (EndedEarly("x"), "0", True, False),
        (EndedEarly("x"), "rtsp://camera.example/1", True, False),
        (EndedEarly("x"), "clip.mp4", True, True),
        (ValueError("x"), "0", False, False),
    ],
)
def test_which_failures_are_final(error: Exception, source: str, first_start: bool, later: bool) -> None:
    assert worker.failure(error, never_ran=True, source=source).is_final == first_start
    assert worker.failure(error, never_ran=False, source=source).is_final == later


def test_a_worker_that_is_stopped_while_it_waits_for_a_ring_ends() -> None:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=worker.main, args=(spec_of(), there), daemon=True)
    process.start()
    there.close()
    try:
        phases = []
        while "running" not in phases:
            assert here.poll(PATIENCE_SECONDS)
            phases.append(getattr(here.recv(), "phase", ""))
        here.send(Stop())
        process.join(PATIENCE_SECONDS)
        assert process.exitcode == 0
    finally:
        process.kill()
        process.join()
        process.close()
        here.close()
