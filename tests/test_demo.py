"""The demo: its clip, and the files that come out of it."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from livematte.demo import clip


def test_the_portrait_is_small() -> None:
    assert clip.PORTRAIT.stat().st_size < 150_000
    with Image.open(clip.PORTRAIT) as portrait:
        assert portrait.size == (512, 512)


def test_the_camera_moves_and_stays_within_the_portrait() -> None:
    corners = np.array([[0, 0, 1], [clip.SIZE_PX, 0, 1], [0, clip.SIZE_PX, 1], [clip.SIZE_PX, clip.SIZE_PX, 1]], float)
    seen = []
    for number in range(clip.FRAMES):
        matrix = np.vstack([clip.camera(number), [0, 0, 1]])
        seen.append((np.linalg.inv(matrix) @ corners.T).T[:, :2])
    everything = np.array(seen)
    assert everything.min() > -4  # the border is mirrored; a few pixels of it are not noticed
    assert everything.max() < 512
    steps = np.abs(np.diff(everything, axis=0)).max(axis=(1, 2))
    assert (steps > 0).all()
    assert steps.max() < 8  # no jump that would look like a cut


def test_the_pictures_are_always_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip, "FRAMES", 3)
    first, second = clip.clip_pictures(), clip.clip_pictures()
    assert np.array_equal(first, second)
    assert not np.array_equal(first[0], first[2])


def test_the_clip_is_whole_and_tagged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip, "FRAMES", 3)
    clip.write_clip(tmp_path / "a.mp4")
    with av.open(str(tmp_path / "a.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_primaries, context.color_range) == (1, 1, 1)
        assert sum(1 for _ in container.decode(video=0)) == 3


def test_colours_come_back_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip, "FRAMES", 2)
    meant = clip.clip_pictures()[0]
    path = tmp_path / "a.mp4"
    clip.write_clip(path)
    from livematte.config import InputSettings
    from livematte.frames import Frame
    from livematte.reporting import ListReporter
    from livematte.sources import open_source

    source = open_source(str(path), InputSettings(), reporter=ListReporter())
    try:
        frame = next(item for item in source if isinstance(item, Frame))
    finally:
        source.close()
    assert np.abs(frame.rgb().astype(float) - meant).mean() < 3.0


@pytest.mark.slow
def test_the_whole_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import json

    from livematte.cli.app import run

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(clip, "FRAMES", 12)
    monkeypatch.setattr("livematte.demo.show.FRAMES", 12)
    for _ in range(2):  # the second run replaces what the first one wrote
        assert run(["demo", "--quality", "fast", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert summary["event"] == "summary"
    assert summary["frames"] == 12
    for one in summary["output"]:
        assert (tmp_path / one["path"]).stat().st_size == one["bytes"]
        assert one["program"]
    folder = tmp_path / "livematte-demo"
    with Image.open(folder / "sheet.png") as sheet:
        assert sheet.width > 1000
    with av.open(str(folder / "transparent.mov")) as container:
        frames = [frame.to_ndarray(format="rgba64le") for frame in container.decode(video=0)]
    alpha = np.asarray(frames[-1])[..., 3] / 65535
    assert 0.3 < alpha.mean() < 0.8  # head and shoulders
    assert alpha[360, 360] > 0.95
    assert alpha[20, 20] < 0.05
    assert b"transparent.webm" in (folder / "page.html").read_bytes()


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from livematte.cli.app import run

    monkeypatch.chdir(tmp_path)
    (tmp_path / "livematte-demo").write_text("a file in its place")
    assert run(["demo"]) == 1
    assert (tmp_path / "livematte-demo").read_text() == "a file in its place"
