from __future__ import annotations

from pathlib import Path

import pytest

from clipmaker import write_pictures
from livematte.errors import SourceError, UsageError
from livematte.sources import expand_inputs, kind_of
from livematte.sources.inputs import natural_key
from livematte.sources.opening import display_name, is_live_url


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_files_come_in_the_order_given_and_once(tmp_path: Path) -> None:
    touch(tmp_path / "b.mp4", tmp_path / "a.mov")
    specs = [str(tmp_path / name) for name in ("b.mp4", "a.mov", "b.mp4")]
    found = expand_inputs(specs)
    assert [(one.stem, one.kind, one.relative_folder) for one in found] == [
        ("b", "video", Path()),
        ("a", "video", Path()),
    ]


def test_a_folder_of_pictures_is_one_clip(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "shot 1", 3)
    (found,) = expand_inputs([str(folder)])
    assert (found.kind, found.stem) == ("images", "shot 1")


def test_a_folder_of_videos_keeps_its_subfolders(tmp_path: Path) -> None:
    touch(tmp_path / "in/clip10.mp4", tmp_path / "in/clip2.mp4", tmp_path / "in/day/x.mov", tmp_path / "in/.hidden.mp4")
    touch(tmp_path / "in/notes.txt", tmp_path / "in/clip2_alpha.part.mov")
    found = expand_inputs([str(tmp_path / "in")])
    assert [(one.stem, one.relative_folder) for one in found] == [
        ("clip2", Path()),
        ("clip10", Path()),
        ("x", Path("day")),
    ]


def test_pictures_and_videos_together_name_the_two_ways(tmp_path: Path) -> None:
    touch(tmp_path / "a.png", tmp_path / "b.mp4")
    with pytest.raises(UsageError, match=r"%04d.*\*\.mp4") as caught:
        expand_inputs([str(tmp_path)])
    assert caught.value.exit_code == 2


def test_nothing_found_is_a_source_error(tmp_path: Path) -> None:
    for spec in (str(tmp_path), str(tmp_path / "none.mp4"), str(tmp_path / "*.mp4")):
        with pytest.raises(SourceError):
            expand_inputs([spec])
    with pytest.raises(UsageError):
        expand_inputs([])


def test_globs_are_expanded_in_natural_order(tmp_path: Path) -> None:
    touch(*(tmp_path / f"c{n}.mp4" for n in (10, 9, 1)))
    assert [one.stem for one in expand_inputs([str(tmp_path / "c*.mp4")])] == ["c1", "c9", "c10"]


def test_a_name_with_brackets_is_a_file_before_it_is_a_glob(tmp_path: Path) -> None:
    touch(tmp_path / "take[1].mp4")
    assert [one.stem for one in expand_inputs([str(tmp_path / "take[1].mp4")])] == ["take[1]"]


def test_patterns_stdin_urls_and_synthetic(tmp_path: Path) -> None:
    write_pictures(tmp_path, 2)
    found = expand_inputs(
        [str(tmp_path / "frame_%04d.png"), "-", "http://u:p@host/dir/clip.mp4?k=1", "synthetic:64x64"]
    )
    assert [(one.kind, one.stem) for one in found] == [
        ("images", "frame"), ("stdin", "stdin"), ("url", "clip"), ("synthetic", "synthetic"),
    ]  # fmt: skip


def test_kinds(tmp_path: Path) -> None:
    touch(tmp_path / "a.JPG", tmp_path / "b.gif")
    (tmp_path / "moving.png").write_bytes(b"\x89PNG\r\n\x1a\n....acTL")
    assert kind_of(str(tmp_path / "a.JPG")) == "picture"
    assert kind_of(str(tmp_path / "b.gif")) == "video"
    assert kind_of(str(tmp_path / "moving.png")) == "video"


def test_numbers_sort_as_numbers() -> None:
    assert sorted(["f10", "F2", "f1", "f"], key=natural_key) == ["f", "f1", "F2", "f10"]


def test_an_inputs_shown_name_has_no_secrets() -> None:
    assert expand_inputs(["https://me:pw@host/a/b.mp4?key=1"])[0].shown == "https://host/a/b.mp4"
    assert expand_inputs(["-"])[0].shown == "-"


def test_urls_are_shown_without_credentials() -> None:
    assert display_name("rtsp://me:secret@cam.local:554/live?token=abc") == "rtsp://cam.local:554/live"
    assert is_live_url("rtsp://cam/live")
    assert not is_live_url("https://host/a.mp4")
