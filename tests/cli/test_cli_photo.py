"""`livematte photo` on the command line."""

from __future__ import annotations

import io
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
