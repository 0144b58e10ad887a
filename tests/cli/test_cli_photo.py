"""`livematte photo` on the command line."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from outcome import Command
from PIL import Image

from livematte.demo.clip import PORTRAIT


@pytest.fixture
def portrait(tmp_path: Path) -> Path:
    path = tmp_path / "portrait.jpg"
    path.write_bytes(PORTRAIT.read_bytes())
    return path


def test_a_portrait_is_cut_out_beside_itself(command: Command, portrait: Path) -> None:
    done = command("photo", portrait)
    assert done.code == 0, done.err
    with Image.open(portrait.with_name("portrait_alpha.png")) as made:
        assert made.mode == "RGBA"
        alpha = np.asarray(made)[..., 3]
    assert alpha[100, 230] > 250  # her face
    assert alpha[20, 350] < 10  # the wall
    assert "portrait_alpha.png" in done.out


def test_a_folder_goes_on_after_a_failure(command: Command, portrait: Path) -> None:
    folder = portrait.parent / "album"
    folder.mkdir()
    portrait.rename(folder / "her.jpg")
    Image.new("RGB", (300, 200), "navy").save(folder / "wall.png")
    (folder / "broken.jpg").write_text("no picture")
    done = command("photo", folder, "-o", "cut/", "--json")
    assert done.code == 1
    last = done.events[-1]
    assert [Path(one["input"]).name for one in last["output"]] == ["her.jpg"]
    kinds = {Path(one["input"]).name: one["kind"] for one in last["failed"]}
    assert kinds == {"wall.png": "NobodyFound", "broken.jpg": "SourceError"}
    assert [path.name for path in Path("cut").rglob("*") if path.is_file()] == ["her_alpha.png"]


def test_a_person_is_asked_before_a_picture_is_replaced(
    command: Command, portrait: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from livematte.cli.console import Console

    Path("out.png").write_text("precious")
    asked: list[str] = []
    monkeypatch.setattr(Console, "is_terminal", True)
    monkeypatch.setattr(Console, "ask", lambda self, question: bool(asked.append(question)))
    assert command("photo", portrait, "-o", "out.png").code == 2
    assert Path("out.png").read_text() == "precious"
    monkeypatch.setattr(Console, "ask", lambda self, question: asked.append(question) or True)
    assert command("photo", portrait, "-o", "out.png").code == 0
    with Image.open("out.png") as made:
        assert made.mode == "RGBA"
    assert asked == ["out.png exists already. Replace?"] * 2


def test_several_pictures_show_their_progress(command: Command, portrait: Path) -> None:
    (portrait.parent / "second.jpg").write_bytes(portrait.read_bytes())
    done = command("photo", portrait.parent / "*.jpg", "--json")
    steps = [(one["frames"], one["expected_frames"]) for one in done.events if one["event"] == "progress"]
    assert steps == [(1, 2), (2, 2)]


def test_what_runs_is_said_before_the_results(command: Command, portrait: Path) -> None:
    lines = command("photo", portrait).out.splitlines()
    assert lines[0].startswith("livematte-s in fp32 on cpu")
    assert lines[-1].startswith(str(portrait.with_name("portrait_alpha.png")))


def test_smoothing_a_photo_is_said_to_do_nothing(command: Command, portrait: Path) -> None:
    assert "--smooth" in command("photo", portrait, "--smooth", "strong").out


def test_nobody_there(command: Command) -> None:
    Image.new("RGB", (300, 200), "navy").save("wall.png")
    done = command("photo", "wall.png")
    assert done.code == 1
    assert "--model isnet" in done.message
    assert sorted(path.name for path in Path().iterdir()) == ["wall.png"]


def test_a_misspelt_option_is_no_picture(command: Command, portrait: Path) -> None:
    done = command("photo", portrait, "--croop")
    assert done.code == 2
    assert "Did you mean '--crop'?" in done.message


def test_through_a_pipe(portrait: Path) -> None:
    arguments = [sys.executable, "-m", "livematte", "photo", "-", "-o", "-"]
    done = subprocess.run(arguments, input=portrait.read_bytes(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    with Image.open(io.BytesIO(done.stdout)) as made:
        assert (made.mode, made.size) == ("RGBA", (512, 512))


@pytest.mark.parametrize("more", [(), ("--json",)], ids=["words", "json"])
def test_stdin_without_a_name_goes_to_stdout_and_nothing_else_does(portrait: Path, more: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "livematte", "photo", "-", *more],
        input=portrait.read_bytes(), capture_output=True, check=False, env={**os.environ, "LIVEMATTE_DEBUG": "0"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with Image.open(io.BytesIO(done.stdout)) as made:
        assert made.mode == "RGBA"
    assert done.stdout.startswith(b"\x89PNG")
    assert b"livematte-s in fp32" in done.stderr


def test_an_error_on_the_way_to_stdout_goes_to_stderr() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "livematte", "photo", "-", "--json"], input=b"", capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (3, b"")
    assert b"empty" in done.stderr
