"""Recordings: what is in the file, its times over restarts, jumps and gaps, and how it ends."""

from __future__ import annotations

import errno
import itertools
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from live_outputs_making import Shot, flat, info, placeholder, settings
from sinks.making import alpha, decode, times

from livematte.errors import SinkError, UsageError
from livematte.live.outputs.recording import RecordedTime, RecordingOutput, recording_settings
from livematte.planes import plane_arrays
from livematte.reporting import ListReporter

RATE = Fraction(30)


def opened(target: Path | str, reporter: ListReporter | None = None, **sections: Any) -> RecordingOutput:
    output = RecordingOutput(str(target), settings(**sections), reporter=reporter or ListReporter())
    output.open(info(), RATE)
    return output


# -- what is in it --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("background", [None, "blur", "green"])
def test_alpha_formats_get_straight_frames_whatever_lies_behind_in_the_call(
    tmp_path: Path, background: str | None
) -> None:
    path = tmp_path / "live.mkv"
    output = opened(path, output={"background": background})
    assert output.wants == "straight"
    shot = Shot("yuv420p")
    for number in range(4):
        output.send(shot.frame(number, composite=False))
    output.close()
    pictures = decode(path)
    for number, shown in enumerate(pictures):
        planes = plane_arrays(shown)
        assert np.array_equal(planes[3], alpha(96, 64, number))
        for plane, wanted in zip(planes, plane_arrays(shot.shown(number)), strict=False):
            assert np.array_equal(plane, wanted)


def test_opaque_formats_get_the_composite(tmp_path: Path) -> None:
    path = tmp_path / "live.mp4"
    output = opened(path)
    assert output.wants == "composite"
    for number in range(4):
        output.send(Shot(rgb=(0, 255, 0)).frame(number, straight=False))
    output.close()
    wanted = [plane.mean() for plane in plane_arrays(flat((0, 255, 0), "yuv420p", 8, 8, Shot().spec))]
    for plane, value in zip(plane_arrays(decode(path)[-1]), wanted, strict=True):
        assert abs(plane.mean() - value) < 2


def test_alpha_only_and_foreground_only_are_kept(tmp_path: Path) -> None:
    matte = opened(tmp_path / "matte.mkv", output={"alpha_only": True})
    matte.send(Shot().frame(0, composite=False))
    matte.close()
    assert np.array_equal(plane_arrays_of_grey(decode(tmp_path / "matte.mkv")[0]), alpha(96, 64, 0))
    colours = opened(tmp_path / "colours.mkv", output={"foreground_only": True})
    colours.send(Shot().frame(0, composite=False))
    colours.close()
    assert decode(tmp_path / "colours.mkv")[0].format.name == "yuv420p"


def plane_arrays_of_grey(picture: av.VideoFrame) -> np.ndarray:
    return picture.to_ndarray(format="gray")


@pytest.mark.parametrize("name", ["live", "live.txt", "live.png"])
def test_names_that_do_not_say_what_to_write(name: str) -> None:
    with pytest.raises(UsageError):
        recording_settings(name, settings().output)


# -- times ----------------------------------------------------------------------------------------------------------


def test_times_begin_at_nought_and_keep_the_source_s_distances(tmp_path: Path) -> None:
    """Irregular times, of a camera that has run for hours."""
    path, stamps = tmp_path / "live.mov", (7200.0, 7200.04, 7200.06, 7200.2)
    output = opened(path)
    for number, seconds in enumerate(stamps):
        output.send(Shot().frame(number, seconds=seconds, composite=False))
    output.close()
    assert times(path) == [Fraction(round((one - stamps[0]) * 90_000), 90_000) for one in stamps]


def test_a_restarted_worker_goes_on_by_the_capture_clock(tmp_path: Path) -> None:
    path, reporter = tmp_path / "live.mov", ListReporter()
    output = opened(path, reporter)
    for number in range(3):
        output.send(Shot().frame(number, seconds=50 + number / 30, captured=number / 30, composite=False))
    output.send(placeholder())
    for number in range(3):
        output.send(Shot().frame(number, seconds=number / 30, captured=5 + number / 30, generation=2, composite=False))
    output.close()
    wanted = [0, 1 / 30, 2 / 30, 5, 5 + 1 / 30, 5 + 2 / 30]
    assert [float(one) for one in times(path)] == pytest.approx(wanted, abs=2e-5)
    assert any("The camera was started again" in note for note in reporter.notes)
    assert any("no picture came once, 4.9 s in all" in note for note in reporter.notes)


@pytest.mark.parametrize("jump", [-3600.0, 3600.0, -0.5])
def test_a_clock_that_jumps_is_not_believed(tmp_path: Path, jump: float) -> None:
    path, reporter = tmp_path / "live.mov", ListReporter()
    output = opened(path, reporter)
    for number in range(6):
        stated = 4000 + number / 30 + (jump if number >= 3 else 0)
        output.send(Shot().frame(number, seconds=stated, captured=number / 30, composite=False))
    output.close()
    assert [float(one) for one in times(path)] == pytest.approx([number / 30 for number in range(6)], abs=1e-4)
    assert any("The camera's clock jumped" in note for note in reporter.notes)
    assert not any("no picture came" in note for note in reporter.notes)


@pytest.mark.parametrize("with_placeholder", [True, False])
def test_a_camera_that_was_off_leaves_a_gap(tmp_path: Path, with_placeholder: bool) -> None:
    """Whether or not the recording is told of the placeholder."""
    path, reporter = tmp_path / "live.mkv", ListReporter()
    output = opened(path, reporter)
    for number, seconds in enumerate((0, 1 / 30, 8, 8 + 1 / 30)):
        if number == 2 and with_placeholder:
            output.send(placeholder())
            output.send(placeholder())
        output.send(Shot().frame(number, seconds=seconds, composite=False))
    output.close()
    assert len(decode(path)) == 4
    assert float(times(path)[2]) == pytest.approx(8, abs=0.002)
    assert any("no picture came once, 8.0 s in all" in note for note in reporter.notes)


@given(
    steps=st.lists(
        st.tuples(st.floats(-5, 5), st.floats(0, 3), st.integers(0, 4)), min_size=1, max_size=30
    ),
    base=st.sampled_from([Fraction(1, 30), Fraction(1001, 30000), Fraction(1, 1000), Fraction(1, 10**6), Fraction(1)]),
)  # fmt: skip
def test_times_always_rise(steps: list[tuple[float, float, int]], base: Fraction) -> None:
    clock = RecordedTime(base, rate=RATE, reporter=ListReporter())
    stated = captured = 100.0
    generation, found = 1, []
    shot = Shot(width=2, height=2, rgb=(0, 0, 0))
    for number, (step, passed, fault) in enumerate(steps):
        stated, captured, generation = stated + step, captured + passed, generation + (fault == 0)
        frame = shot.frame(number, seconds=stated, captured=captured, generation=generation, straight=False, base=base)
        found.append(clock.at(frame).seconds)
    assert found[0] == 0
    assert all(later > earlier for earlier, later in itertools.pairwise(found))
    slack = len(steps) * float(max(clock.time_base, base)) + 1e-3
    assert found[-1] <= sum(max(0.0, step, passed) for step, passed, _ in steps) + slack


def test_coarse_time_bases_are_refined_by_a_whole_factor() -> None:
    assert RecordedTime(Fraction(1, 30), rate=RATE, reporter=ListReporter()).time_base == Fraction(1, 90_000)
    assert RecordedTime(Fraction(1, 90_000), rate=RATE, reporter=ListReporter()).time_base == Fraction(1, 90_000)
    fine = RecordedTime(Fraction(1, 24), rate=RATE, reporter=ListReporter()).time_base
    assert (Fraction(1, 24) / fine).denominator == 1
    assert fine <= Fraction(1, 90_000)


# -- how it ends ----------------------------------------------------------------------------------------------------


def test_it_grows_under_its_part_name_and_gets_its_own_at_the_end(tmp_path: Path) -> None:
    path, part = tmp_path / "live.mov", tmp_path / "live.part.mov"
    output = opened(path)
    output.send(Shot().frame(0, composite=False))
    assert part.exists()
    assert not path.exists()
    assert output.watchers() == 1
    output.close()
    assert path.exists()
    assert not part.exists()
    assert (output.outcome, output.watchers()) == ("whole", None)


def test_a_full_disk_ends_it_alone_and_keeps_the_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, part, reporter = tmp_path / "live.mkv", tmp_path / "live.part.mkv", ListReporter()
    output = opened(path, reporter)
    for number in range(5):
        output.send(Shot().frame(number, composite=False))
    assert output._sink is not None

    def full(*given: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(output._sink._writer, "encode", full)  # type: ignore[attr-defined]
    with pytest.raises(SinkError, match="the disk is full"):
        output.send(Shot().frame(5, composite=False))
    output.close()
    assert output.outcome == "part"
    assert not path.exists()
    assert len(decode(part)) == 5
    assert any("5 frames, is kept in" in warning and "live.part.mkv" in warning for warning in reporter.warnings)


def test_nothing_arrived(tmp_path: Path) -> None:
    reporter = ListReporter()
    output = opened(tmp_path / "live.mov", reporter)
    output.send(placeholder())
    output.close()
    assert output.outcome == "nothing"
    assert not list(tmp_path.iterdir())
    assert "no picture arrived" in reporter.warnings[0]


def test_a_folder_that_is_missing_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="the folder does not exist"):
        opened(tmp_path / "nowhere" / "live.mov")


def test_a_camera_that_changes_to_rgb_ends_the_recording(tmp_path: Path) -> None:
    output = opened(tmp_path / "live.mkv")
    output.send(Shot().frame(0, composite=False))
    with pytest.raises(SinkError, match="changed to gbrp"):
        output.send(Shot("gbrp").frame(1, composite=False))
    output.close()
    assert output.outcome == "part"


def test_a_pipe_gets_nut_with_straight_alpha(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """NUT on stdout, as `--output -` gives it."""
    import subprocess
    import sys

    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); sys.path.insert(0, sys.argv[2]);"
        "from live_outputs_making import Shot, info, settings;"
        "from livematte.live.outputs.recording import RecordingOutput;"
        "from livematte.reporting import ListReporter;"
        "output = RecordingOutput('-', settings(), reporter=ListReporter()); output.open(info(), 30);"
        "[output.send(Shot().frame(number, composite=False)) for number in range(3)]; output.close()"
    )
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", code, str(here), str(here.parents[1])], capture_output=True, check=True
    )
    path = tmp_path / "live.nut"
    path.write_bytes(done.stdout)
    pictures = decode(path)
    assert [picture.format.name for picture in pictures] == ["rgba"] * 3
    assert np.array_equal(pictures[2].to_ndarray()[..., 3], alpha(96, 64, 2))
