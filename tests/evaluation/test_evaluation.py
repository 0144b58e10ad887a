"""Mattes in files against each other: reading, matching, the worst frames."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from livematte import metrics
from livematte.errors import SourceError, UsageError
from livematte.evaluation import EvaluationOptions, evaluate
from livematte.evaluation.worst import Worst, WorstFrame, worst_sheet
from livematte.reporting import ListReporter

H, W = 48, 64


def disc(index: int, *, radius: float = 14.0) -> np.ndarray:
    """(H, W) uint8, moving."""
    rows, columns = np.mgrid[:H, :W]
    unit = np.clip((radius - np.hypot(rows - 24, columns - 20 - 2 * index)) / 3 + 0.5, 0, 1)
    return np.rint(unit * 255).astype(np.uint8)


def write(path: Path, planes: list[np.ndarray], *, pts: list[int] | None = None, pix_fmt="gray", color_range=None):
    """FFV1 of grey planes, 25 a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = planes[0].shape[1], planes[0].shape[0], pix_fmt
        stream.codec_context.time_base = Fraction(1, 25)
        if color_range is not None:
            stream.codec_context.color_range = color_range
        for number, plane in enumerate(planes):
            frame = av.VideoFrame(plane.shape[1], plane.shape[0], pix_fmt)
            for at, target in enumerate(frame.planes):
                values = plane if at == 0 else np.full((target.height, target.width), 128, np.uint8)
                rows = np.zeros((target.height, target.line_size), np.uint8)
                rows[:, : target.width] = values
                target.update(rows.tobytes())
            frame.pts = number if pts is None else pts[number]
            frame.time_base = Fraction(1, 25)
            if color_range is not None:
                frame.color_range = color_range
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_rgba(path: Path, alpha: np.ndarray, colour: int = 120) -> Path:
    Image.fromarray(np.dstack([np.full(alpha.shape, colour, np.uint8)] * 3 + [alpha])).save(path)
    return path


TRUE = [disc(index) for index in range(8)]
MINE = [disc(index, radius=12.5) for index in range(8)]


@pytest.fixture
def true(tmp_path: Path) -> Path:
    return write(tmp_path / "true.mkv", TRUE)


def expected(mine: list[np.ndarray] = MINE, true: list[np.ndarray] = TRUE) -> dict[str, float]:
    return metrics.score_clip(zip(mine, true, strict=True), metrics.FRAME_METRICS)


def test_two_clips(tmp_path: Path, true: Path) -> None:
    mine = write(tmp_path / "mine.mkv", MINE)
    result = evaluate(str(mine), str(true), reporter=ListReporter())
    assert result.frames == 8
    assert result.errors == pytest.approx(expected())
    values = result.as_dict()
    assert {"sad", "mad", "mse", "grad", "conn", "dtssd"} <= values.keys()
    assert values["sad"] == pytest.approx(expected()["SAD"], abs=1e-5)
    score = metrics.ClipScore(metrics.FRAME_METRICS)
    for one, other in zip(MINE, TRUE, strict=True):
        score.add(one, other, band=metrics.unknown_band(other))
    assert values["band"]["mad"] == pytest.approx(score.band_mean["MAD"], abs=1e-5)
    assert values["band"]["mad"] > values["mad"]


def test_a_matte_against_itself_is_perfect(true: Path) -> None:
    values = evaluate(str(true), str(true), reporter=ListReporter()).as_dict()
    assert [values[name] for name in ("sad", "mad", "mse", "grad", "conn", "dtssd")] == [0] * 6


def test_a_grey_file_says_its_range_or_is_full(tmp_path: Path, true: Path) -> None:
    limited = [np.rint(16 + plane * (219 / 255)).astype(np.uint8) for plane in TRUE]
    reporter = ListReporter()
    for name, planes, how in (
        ("stated.mkv", limited, {"pix_fmt": "yuv420p", "color_range": 1}),
        ("unstated.mkv", limited, {"pix_fmt": "yuv420p"}),
        ("full.mkv", TRUE, {"pix_fmt": "yuv420p", "color_range": 2}),
        ("grey.mkv", TRUE, {}),
    ):
        written = write(tmp_path / name, planes, **how)
        assert evaluate(str(written), str(true), reporter=reporter).errors["MAD"] < 2.5, name  # 1/219 rounded
    assert any("full range" in note for note in reporter.notes)
    assert any("limited range" in note for note in reporter.notes)


def test_alpha_of_a_picture_with_alpha_wins_over_its_colours(tmp_path: Path) -> None:
    mine = write_rgba(tmp_path / "mine.png", MINE[0], colour=3)
    Image.fromarray(TRUE[0]).save(tmp_path / "true.png")
    result = evaluate(str(mine), str(tmp_path / "true.png"), reporter=ListReporter())
    one = metrics.ClipScore(("MAD",))
    one.add(MINE[0], TRUE[0])
    assert result.errors["MAD"] == pytest.approx(one.mean["MAD"])
    assert result.as_dict()["dtssd"] is None  # one picture has no neighbour


def test_a_colour_picture_is_refused(tmp_path: Path, true: Path) -> None:
    colours = np.zeros((H, W, 3), np.uint8)
    colours[..., 0] = 200
    Image.fromarray(colours).save(tmp_path / "photo.png")
    Image.fromarray(TRUE[0]).save(tmp_path / "true.png")
    with pytest.raises(UsageError, match="colour picture without an alpha"):
        evaluate(str(tmp_path / "photo.png"), str(tmp_path / "true.png"), reporter=ListReporter())


def test_clips_are_matched_by_time(tmp_path: Path, true: Path) -> None:
    """Frames 2 and 5 are missing: the others keep their partners, and it is said."""
    kept = [0, 1, 3, 4, 6, 7]
    mine = write(tmp_path / "mine.mkv", [MINE[number] for number in kept], pts=kept)
    reporter = ListReporter()
    result = evaluate(str(mine), str(true), reporter=reporter)
    assert result.frames == 6
    assert result.errors["MAD"] == pytest.approx(
        expected([MINE[number] for number in kept], [TRUE[number] for number in kept])["MAD"]
    )
    assert any("2 frames have no frame of the same time" in warning for warning in reporter.warnings)


def test_sizes_must_agree(tmp_path: Path, true: Path) -> None:
    mine = write(tmp_path / "small.mkv", [plane[::2, ::2].copy() for plane in MINE])
    with pytest.raises(UsageError, match=r"small\.mkv 32x24 and true\.mkv 64x48"):
        evaluate(str(mine), str(true), reporter=ListReporter())


def test_a_missing_file_is_said(true: Path) -> None:
    with pytest.raises(SourceError, match="no file or folder"):
        evaluate("nothing.mkv", str(true), reporter=ListReporter())


def folder_of(path: Path, planes: list[np.ndarray], name: str = "frame_{:03d}.png") -> Path:
    path.mkdir()
    for number, plane in enumerate(planes):
        Image.fromarray(plane).save(path / name.format(number))
    return path


def test_numbered_pictures_are_a_clip(tmp_path: Path, true: Path) -> None:
    mine, truth = folder_of(tmp_path / "mine", MINE), folder_of(tmp_path / "truth", TRUE, "t{:d}.png")
    result = evaluate(str(mine), str(truth), reporter=ListReporter())
    assert len(result.clips) == 1
    assert result.errors == pytest.approx(expected())
    assert evaluate(str(mine), str(true), reporter=ListReporter()).errors == pytest.approx(expected())
    (mine / "frame_007.png").unlink()
    with pytest.raises(UsageError, match="ends after 7 pictures"):
        evaluate(str(mine), str(truth), reporter=ListReporter())


def test_photos_are_matched_by_name_and_may_differ_in_size(tmp_path: Path) -> None:
    mine, truth = tmp_path / "mine", tmp_path / "truth"
    mine.mkdir()
    truth.mkdir()
    big = cv2.resize(TRUE[3], (96, 72))
    write_rgba(mine / "ann_alpha.png", MINE[0])
    write_rgba(mine / "bob_alpha.png", np.where(big > 99, big, 0).astype(np.uint8))
    Image.fromarray(TRUE[0]).save(truth / "ann.png")
    Image.fromarray(big).save(truth / "bob.png")
    result = evaluate(str(mine), str(truth), reporter=ListReporter())
    assert [clip.name for clip in result.clips] == ["ann", "bob"]
    each = [clip.errors["MAD"] for clip in result.clips]
    assert result.errors["MAD"] == pytest.approx(sum(each) / 2)
    (truth / "bob.png").unlink()
    with pytest.raises(UsageError, match="there is nothing for bob"):
        evaluate(str(mine), str(truth), reporter=ListReporter())


def test_numbered_photos_of_different_sizes_are_no_clip(tmp_path: Path) -> None:
    sizes = [TRUE[0], cv2.resize(TRUE[3], (96, 72))]
    mine, truth = (folder_of(tmp_path / name, sizes, "photo_{}.png") for name in ("mine", "truth"))
    assert [clip.name for clip in evaluate(str(mine), str(truth), reporter=ListReporter()).clips] == [
        "photo_0",
        "photo_1",
    ]


def test_folders_of_clips_count_each_clip_once(tmp_path: Path) -> None:
    mine, truth = tmp_path / "mine", tmp_path / "truth"
    mine.mkdir()
    truth.mkdir()
    write(mine / "a_alpha.mkv", MINE)
    write(mine / "b_alpha.mkv", TRUE[:1])
    write(truth / "a.alpha.mkv", TRUE)
    write(truth / "b.alpha.mkv", TRUE[:1])
    result = evaluate(str(mine), str(truth), reporter=ListReporter())
    assert result.errors["MAD"] == pytest.approx(expected()["MAD"] / 2)
    assert result.errors["dtSSD"] == pytest.approx(expected()["dtSSD"])  # one frame has none
    assert result.frames == 9


def test_flicker_without_a_truth(tmp_path: Path) -> None:
    still = [TRUE[0]] * 8
    pulse = [(TRUE[0] * (0.8 if number % 2 else 1.0)).astype(np.uint8) for number in range(8)]
    source = write(tmp_path / "source.mkv", [np.full((H, W), 40, np.uint8) + TRUE[0] // 2] * 8, pix_fmt="yuv420p")
    options = EvaluationOptions(source=str(source))
    reporter = ListReporter()
    calm = evaluate(str(write(tmp_path / "still.mkv", still)), options=options, reporter=reporter)
    wild = evaluate(str(write(tmp_path / "pulse.mkv", pulse)), options=options, reporter=reporter)
    assert calm.errors == {"flicker": pytest.approx(0, abs=0.01)}
    share = float((TRUE[0] / 255.0).__pow__(2).mean())
    assert wild.errors["flicker"] == pytest.approx(20 * np.sqrt(share), rel=0.05)
    assert "mad" not in wild.as_dict()
    assert not any("motion is found" in note for note in reporter.notes)
    alone = ListReporter()
    evaluate(str(tmp_path / "pulse.mkv"), reporter=alone)
    assert any("reads too low" in note for note in alone.notes)


def test_flicker_of_one_picture_is_refused(tmp_path: Path) -> None:
    Image.fromarray(TRUE[0]).save(tmp_path / "one.png")
    with pytest.raises(UsageError, match="flicker is a change from frame to frame"):
        evaluate(str(tmp_path / "one.png"), reporter=ListReporter())


def test_the_worst_frames_are_kept_and_shown(tmp_path: Path, true: Path) -> None:
    mine = [plane.copy() for plane in TRUE]
    mine[5][:10] = 255  # the fault
    result = evaluate(
        str(write(tmp_path / "mine.mkv", mine)),
        str(true),
        options=EvaluationOptions(worst_frames=3, source=str(true)),
        reporter=ListReporter(),
    )
    worst = result.worst.ordered()
    assert len(worst) == 1  # all other frames are perfect
    assert worst[0].seconds == pytest.approx(0.2)
    assert [what for what, _ in worst[0].rows] == ["source", "true", "predicted", "error"]
    error = worst[0].rows[-1][1]
    assert error[3, 60].tolist() == [255, 0, 0]  # too opaque
    assert not error[40].any()
    sheet = worst_sheet(worst, ["a line"])
    assert sheet.dtype == np.uint8
    assert sheet.shape[0] > 4 * H


def test_worst_keeps_the_worst_of_each_moment() -> None:
    worst = Worst(2)
    for second, badness in ((0.0, 1.0), (0.1, 3.0), (0.2, 2.9), (5.0, 0.5), (9.0, 2.5), (20.0, 0.1)):
        if worst.wants("clip", second, badness):
            worst.add(WorstFrame("clip", second, badness, "", ()))
    assert [(one.seconds, one.badness) for one in worst.ordered()] == [(0.1, 3.0), (9.0, 2.5)]
    assert not Worst(0).wants("clip", 0.0, 9.0)


@pytest.mark.shared
def test_the_shared_clips_agree_with_the_metrics_alone(shared: Path, tmp_path: Path) -> None:
    """`group`'s true alpha against one that is eroded: reader, matching and metrics against PyAV and the metrics."""
    with av.open(str(shared / "eval" / "group.alpha.mkv")) as container:
        truth = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)][:6]
    mine = [cv2.erode(plane, np.ones((5, 5), np.uint8)) for plane in truth]
    with av.open(str(tmp_path / "exact.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=30)
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "gray"
        for plane in mine:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(plane, format="gray")))
        container.mux(stream.encode())
    result = evaluate(str(tmp_path / "exact.mkv"), str(shared / "eval" / "group.alpha.mkv"), reporter=ListReporter())
    assert result.frames == 6
    assert result.errors == pytest.approx(expected(mine, truth))
