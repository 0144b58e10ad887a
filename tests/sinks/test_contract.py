"""What every sink owes the pipeline (`sinks/base.py`), tried on each of them."""

from __future__ import annotations

import errno
import importlib.util
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from livematte.config import OutputSettings
from livematte.errors import SinkError
from livematte.frames import MattedFrame
from livematte.planes import plane_arrays
from livematte.reporting import ListReporter
from livematte.sinks.formats import files_of
from sinks.making import Shot, decode, start, write

CASES: list[tuple[str, dict[str, Any]]] = [
    ("clip.mov", {}),
    ("clip.webm", {"encode": "fast"}),
    ("clip.mkv", {}),
    ("clip.mp4", {"background": "green"}),
    ("pictures/", {}),
    ("shots/frame_%03d.png", {}),
    ("clip.nut", {}),
    ("clip.rgba", {}),
    ("matte.mov", {"alpha_only": True}),
    ("matte.mp4", {"alpha_only": True}),
    ("matte.mkv", {"alpha_only": True}),
    ("matte/", {"alpha_only": True}),
    ("colours.mov", {"foreground_only": True}),
    ("stacked.mp4", {"stacked": True}),
    ("stacked.m4v", {"stacked": True, "format": "hevc"}),
    ("opaque.mp4", {"format": "hevc", "background": "green"}),
    ("exact.mov", {"format": "png-mov"}),
    ("both.mp4", {"format": "pair"}),
    ("both.mp4", {"format": "pair", "background": "green"}),
    ("deep/", {"alpha_only": True, "encode": "lossless"}),
    ("clip.apng", {}),
    ("clip.png", {"format": "apng", "background": "green"}),
    ("clip.webp", {}),
    ("clip.webp", {"encode": "lossless", "loop_count": 2}),
    ("matte.webp", {"alpha_only": True}),
    ("light/", {"format": "exr"}),
    ("shots/frame_%03d.exr", {}),
    ("matte/", {"format": "exr", "alpha_only": True}),
    ("null", {"format": "null"}),
]
if importlib.util.find_spec("OpenEXR") is None:  # test_exr.py says that it is missing
    CASES = [case for case in CASES if "exr" not in (*case[1].values(), case[0][-3:])]
every_sink = pytest.mark.parametrize(("name", "settings"), CASES, ids=[f"{n}-{'-'.join(s)}" for n, s in CASES])
files_only = pytest.mark.parametrize(
    ("name", "settings"),
    [case for case in CASES if case[0] != "null"],
    ids=[f"{n}-{'-'.join(s)}" for n, s in CASES if n != "null"],
)
videos_only = pytest.mark.parametrize(
    ("name", "settings"), [case for case in CASES if "." in case[0] and "%" not in case[0] and "rgba" not in case[0]]
)


def _files(name: str, settings: dict[str, Any]) -> list[str]:
    """The files that an output is, in alphabetical order."""
    return sorted(files_of(name, OutputSettings(**settings)))


def _made(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@every_sink
def test_a_run_leaves_the_file_under_its_name_and_nothing_else(
    tmp_path: Path, name: str, settings: dict[str, Any]
) -> None:
    target = name if name == "null" else str(tmp_path / name) + ("/" if name.endswith("/") else "")
    if "/" in name and "%" in name:
        (tmp_path / "shots").mkdir()
    shot = Shot()
    sink = write(target, shot, **settings)
    assert sink.name == target
    assert sink.encoder
    assert sink.drops is False
    made = _made(tmp_path)
    assert not [path for path in made if ".part" in str(path)]
    assert sum(path.stat().st_size for path in made) == sink.bytes_written
    if name != "null":
        many = name.endswith("/") or "%" in name
        assert len(made) == (len(shot.pts) if many else len(_files(name, settings)))


@files_only
def test_abort_removes_everything(tmp_path: Path, name: str, settings: dict[str, Any]) -> None:
    sink = start(str(tmp_path / name) + ("/" if name.endswith("/") else ""), _beside(tmp_path, name), **settings)
    for index in range(3):
        sink.write(Shot().item(index, sink.wants))
    sink.abort(keep=False)
    assert not _made(tmp_path)


def _beside(tmp_path: Path, name: str) -> Shot:
    if "%" in name:
        (tmp_path / name).parent.mkdir(exist_ok=True)
    return Shot()


@videos_only
def test_abort_keeps_a_playable_part(tmp_path: Path, name: str, settings: dict[str, Any]) -> None:
    sink = start(tmp_path / name, Shot(), **settings)
    for index in range(5):
        sink.write(Shot().item(index, sink.wants))
    sink.abort(keep=True)
    paths = [tmp_path / file for file in _files(name, settings)]
    assert _made(tmp_path) == [path.with_name(f"{path.stem}.part{path.suffix}") for path in paths]
    assert all(len(decode(path)) == 5 for path in _made(tmp_path))


def test_abort_keeps_the_pictures_that_are_there(tmp_path: Path) -> None:
    sink = start(f"{tmp_path}/pictures/", Shot())
    for index in range(5):
        sink.write(Shot().item(index, sink.wants))
    sink.abort(keep=True)
    assert [path.name for path in _made(tmp_path / "pictures.part")] == [f"{index:04d}.png" for index in range(5)]
    assert not (tmp_path / "pictures").exists()


@every_sink
def test_what_is_handed_over_is_not_changed(tmp_path: Path, name: str, settings: dict[str, Any]) -> None:
    target = name if name == "null" else str(tmp_path / name) + ("/" if name.endswith("/") else "")
    sink = start(target, _beside(tmp_path, name), **settings)
    items = [Shot().item(index, sink.wants) for index in range(3)]
    matted = [item if isinstance(item, MattedFrame) else item.matted for item in items]
    alphas = [item.matte.alpha.copy() for item in matted]
    planes = [[plane.copy() for plane in plane_arrays(item.frame.host_picture())] for item in matted]
    for item in items:
        sink.write(item)
    sink.close()
    for one, held_alpha, held_planes in zip(matted, alphas, planes, strict=True):
        assert np.array_equal(one.matte.alpha, held_alpha)
        after = plane_arrays(one.frame.host_picture())
        assert all(np.array_equal(a, b) for a, b in zip(held_planes, after, strict=True))


@every_sink
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (101, 63)])
def test_odd_sizes(tmp_path: Path, name: str, settings: dict[str, Any], size: tuple[int, int]) -> None:
    target = name if name == "null" else str(tmp_path / name) + ("/" if name.endswith("/") else "")
    _beside(tmp_path, name)
    reporter = ListReporter()
    write(target, Shot(width=size[0], height=size[1], pts=(0, 3000, 6000)), reporter=reporter, **settings)
    if name == "null" or name.endswith(".rgba"):
        return
    even = name.endswith((".mp4", ".m4v"))
    smallest = 16 if settings.get("format") == "hevc" else 1
    width, height = (max(smallest, side + 1 if even else side) for side in size)
    for path in _made(tmp_path)[:2]:
        first = decode(path)[0]
        assert (first.width, first.height) == (width, 2 * height if "stacked" in settings else height)
    assert any("even sides" in note for note in reporter.notes) == even
    assert any("as small as this" in note for note in reporter.notes) == (min(size) < smallest)


@pytest.mark.parametrize("name", ["clip.mov", "pictures/"])
def test_a_stale_part_is_replaced_with_a_word(tmp_path: Path, name: str) -> None:
    stale = tmp_path / ("clip.part.mov" if name == "clip.mov" else "pictures.part")
    if name == "clip.mov":
        stale.write_bytes(b"old")
    else:
        stale.mkdir()
        (stale / "9999.png").write_bytes(b"old")
    reporter = ListReporter()
    write(f"{tmp_path}/{name}", Shot(), reporter=reporter)
    assert any("left over" in note for note in reporter.notes)
    assert not stale.exists()
    assert not (tmp_path / "pictures" / "9999.png").exists()


def test_pictures_of_a_longer_older_run_do_not_stay(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "0042.png").write_bytes(b"old")
    (folder / "notes.txt").write_bytes(b"mine")
    write(f"{folder}/", Shot())
    assert sorted(path.name for path in folder.iterdir()) == [*(f"{index:04d}.png" for index in range(8)), "notes.txt"]


@files_only
def test_no_folder_is_an_error_before_any_frame(tmp_path: Path, name: str, settings: dict[str, Any]) -> None:
    missing = f"{tmp_path}/absent/deeper/{name}"
    with pytest.raises(SinkError, match="the folder does not exist") as caught:
        start(missing, Shot(), **settings)
    assert caught.value.errno == errno.ENOENT
    assert not (tmp_path / "absent").exists()


def test_an_unwritable_folder_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
    with pytest.raises(SinkError, match="may not be written to"):
        start(tmp_path / "clip.mov", Shot())
    assert not _made(tmp_path)


@pytest.mark.parametrize(
    ("name", "settings"),
    [("clip.mov", {}), ("clip.webm", {"encode": "lossless"}), ("clip.mkv", {}), ("pictures/", {}), ("clip.nut", {}),
     ("clip.mp4", {"background": "green", "encode": "lossless"}), ("clip.mp4", {"stacked": True, "encode": "lossless"}),
     ("clip.mov", {"format": "png-mov"}), ("clip.mp4", {"format": "pair", "encode": "lossless"}), ("clip.apng", {}),
     ("clip.webp", {"encode": "lossless"}), *[case for case in CASES if case[1].get("format") == "exr"][:1]],
)  # fmt: skip
def test_a_full_disk_is_one_paragraph_and_no_file(tmp_path: Path, name: str, settings: dict[str, Any]) -> None:
    resource = pytest.importorskip("resource", reason="file size limits are a matter of POSIX")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    shot = Shot(width=320, height=240, pts=tuple(range(0, 12 * 3000, 3000)))
    limit = 12_000 if "/" in name else 60_000
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))
    try:
        with pytest.raises(SinkError) as caught:
            _fill(f"{tmp_path}/{name}", shot, settings)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "file size limit" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not _made(tmp_path)


def _fill(target: str, shot: Shot, settings: dict[str, Any]) -> None:
    """As the pipeline does: an error in `write` leads to `abort`, one in `close` has cleaned up already."""
    sink = start(target, shot, **settings)
    try:
        for index in range(len(shot.pts)):
            sink.write(shot.item(index, sink.wants))
    except SinkError:
        sink.abort(keep=False)
        raise
    sink.close()


@pytest.mark.parametrize("name", ["clip.mov", "pictures/", "null"])
def test_without_a_cleaned_foreground_nothing_is_written(tmp_path: Path, name: str) -> None:
    sink = start(name if name == "null" else f"{tmp_path}/{name}", Shot())
    item = Shot().item(0, "straight")
    assert isinstance(item, MattedFrame)
    item.matte.foreground = None
    with pytest.raises(SinkError, match="cleaned foreground"):
        sink.write(item)
    sink.abort(keep=False)
    assert not _made(tmp_path)


@pytest.mark.parametrize("name", ["clip.mov", "pictures/", "clip.apng", "clip.webp"])
def test_no_frames_no_file(tmp_path: Path, name: str) -> None:
    sink = start(f"{tmp_path}/{name}", Shot())
    with pytest.raises(SinkError, match="no picture arrived"):
        sink.close()
    assert not _made(tmp_path)


def test_a_picture_that_changes_its_size_is_scaled_and_it_is_said(tmp_path: Path) -> None:
    reporter = ListReporter()
    sink = start(tmp_path / "clip.mkv", Shot(), reporter=reporter)
    sink.write(Shot().item(0, "straight"))
    sink.write(Shot(width=192, height=128).item(1, "straight"))
    sink.close()
    assert {(frame.width, frame.height) for frame in decode(tmp_path / "clip.mkv")} == {(96, 64)}
    assert any("192x128" in note for note in reporter.notes)


@pytest.mark.parametrize("name", ["clip.mov", "clip.webm", "clip.mkv", "clip.apng", "clip.webp"])
def test_bytes_written_grows_while_it_is_written(tmp_path: Path, name: str) -> None:
    """In Matroska too, whose writer keeps 5 s back: the forecast of the size needs it after 30 frames."""
    shot = Shot(width=320, height=240, pts=tuple(range(0, 20 * 3000, 3000)))
    sink = start(tmp_path / name, shot, encode="fast")
    seen = []
    for index in range(len(shot.pts)):
        sink.write(shot.item(index, sink.wants))
        seen.append(sink.bytes_written)
    sink.close()
    assert seen == sorted(seen)
    assert 0 < seen[10] < seen[-1] <= sink.bytes_written
    assert seen[-1] > 0.8 * sink.bytes_written


def test_pictures_go_into_the_current_folder_and_into_one_that_exists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scratch lies within: nothing is written beside a folder that is there already."""
    home = tmp_path / "home"
    (home / "there").mkdir(parents=True)
    monkeypatch.chdir(home)
    for target in ("p_%03d.png", "there/"):
        sink = start(target, Shot(pts=(0, 3000)))
        assert home in Path(sink.part).resolve().parents
        sink.write(Shot().item(0, sink.wants))
        sink.close()
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.p*")) == [
        "home/p_000.png", "home/there/0000.png",
    ]  # fmt: skip
