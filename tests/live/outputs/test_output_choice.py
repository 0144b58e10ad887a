"""From `--output` to outputs: what each word means, what is refused, and what there is where nothing was named."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from live_outputs_making import FakeCamera, FakeOwn, settings

from livematte.errors import SinkError, UsageError
from livematte.live.outputs.choice import open_outputs
from livematte.reporting import ListReporter

Register = Callable[..., None]


def names(*targets: str, page: bool = False, reporter: ListReporter | None = None, **sections: Any) -> list[str]:
    found = open_outputs(targets, settings(**sections), page=page, reporter=reporter or ListReporter())
    return [type(one).__name__ for one in found]


def test_each_target_is_its_output_in_order(tmp_path: Path, register: Register) -> None:
    register(own=FakeOwn)
    found = names("null", str(tmp_path / "a.mov"), "virtual", "-", f"{tmp_path}/shots/")
    assert found == ["NullOutput", "RecordingOutput", "VirtualCameraOutput", "RecordingOutput", "RecordingOutput"]
    assert not FakeCamera.made
    assert not list(tmp_path.iterdir())


def test_no_target_is_the_virtual_camera_where_there_is_one(register: Register) -> None:
    register(own=FakeOwn)
    reporter = ListReporter()
    assert names(reporter=reporter) == names(page=True, reporter=reporter) == ["VirtualCameraOutput"]
    assert not reporter.notes


def test_no_target_and_no_camera_is_the_page_with_the_line_that_installs_one(register: Register) -> None:
    register()
    reporter = ListReporter()
    assert names(reporter=reporter) == []
    assert reporter.notes[0].startswith("The page is shown instead: ")
    assert "virtual camera" in reporter.notes[0]
    assert names(page=True, reporter=reporter) == []
    assert reporter.notes[1].startswith("Only the page is shown: ")


def test_a_camera_that_was_named_or_asked_for_is_never_replaced(register: Register) -> None:
    register()
    with pytest.raises(SinkError):
        names("virtual")
    with pytest.raises(SinkError):
        names(live={"device_name": "Ten"})


@pytest.mark.parametrize("target", ["virtual", "null", "-", "a.mov"])
def test_nothing_is_named_twice(
    tmp_path: Path, register: Register, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    register(own=FakeOwn)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="named twice"):
        names(target, target)
    if target == "a.mov":
        with pytest.raises(UsageError, match="named twice"):
            names("a.mov", str(tmp_path / "a.mov"))


def test_existing_files_are_kept_unless_overwrite(tmp_path: Path) -> None:
    path = tmp_path / "a.mov"
    path.write_bytes(b"precious")
    with pytest.raises(UsageError, match=r"exists already.*--overwrite"):
        names(str(path))
    assert names(str(path), output={"overwrite": True}) == ["RecordingOutput"]
    assert path.read_bytes() == b"precious"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="only Unix has pipes with names")
def test_a_device_or_a_pipe_is_not_replaced(tmp_path: Path) -> None:
    """A finished file takes its name by a rename: /dev/null would be a file from then on."""
    target = tmp_path / "pipe.nut"
    os.mkfifo(target)
    with pytest.raises(SinkError, match="a device or a named pipe"):
        names(str(target), output={"overwrite": True})
    assert stat.S_ISFIFO(target.stat().st_mode)


def test_the_input_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "clip.mov"
    path.write_bytes(b"precious")
    with pytest.raises(UsageError, match="is the input itself"):
        names(str(path), live={"input": str(path)}, output={"overwrite": True})


@pytest.mark.parametrize("target", ["nowhere/a.mov", "nowhere/shots/", "nowhere/%04d.png"])
def test_a_missing_folder_is_said_before_anything_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SinkError, match="the folder does not exist"):
        names(target)


@pytest.mark.parametrize(
    ("target", "sections", "wanted"),
    [
        ("a.xyz", {}, "does not say what to write"),
        ("a.png", {}, "names one picture"),
        ("a.mov", {"output": {"format": "webm"}}, "asks for VP9"),
        ("-", {"output": {"format": "mov"}}, "cannot go to a pipe"),
        ("a.mov", {"output": {"constant_rate": "30"}}, "--constant-rate has no meaning live"),
        ("a.mov", {"output": {"format": "null"}}, "use --output null"),
        ("null", {"matting": {"keep_background": True}}, "--keep-background would carry the room out"),
    ],
)
def test_what_cannot_be_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, sections: dict[str, Any], wanted: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=wanted):
        names(target, **sections)
