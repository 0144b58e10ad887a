"""`livematte evaluate` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from outcome import Command
from PIL import Image


@pytest.fixture
def mattes(tmp_path: Path) -> tuple[Path, Path]:
    """(predicted, true): a square, one column too narrow."""
    true = np.zeros((60, 80), np.uint8)
    true[20:40, 30:50] = 255
    predicted = true.copy()
    predicted[:, 49] = 0
    paths = tmp_path / "predicted.png", tmp_path / "true.png"
    for path, plane in zip(paths, (predicted, true), strict=True):
        Image.fromarray(plane).save(path)
    return paths


def test_the_last_json_line_has_the_numbers(command: Command, mattes: tuple[Path, Path]) -> None:
    done = command("evaluate", *mattes, "--json")
    assert done.code == 0, done.err
    last = done.events[-1]
    assert last["event"] == "summary"
    assert last["mad"] == pytest.approx(1e3 * 20 / 4800, abs=1e-4)
    assert last["mse"] == pytest.approx(1e3 * 20 / 4800, abs=1e-4)
    assert last["sad"] == pytest.approx(20 / 1e3)
    assert last["conn"] == pytest.approx(20 / 1e3)
    assert last["grad"] > 0
    assert last["dtssd"] is None
    assert last["band"]["mad"] > last["mad"]


def test_a_table_a_sheet_and_a_report(command: Command, mattes: tuple[Path, Path]) -> None:
    done = command("evaluate", *mattes, "--sheet", "worst.png", "--report", "report.json")
    assert done.code == 0, done.err
    lines = {line.split()[0]: line.split() for line in done.out.splitlines() if line.strip()}
    assert lines["MAD"][:4] == ["MAD", "x", "1000", "4.167"]
    assert lines["dtSSD"][-2:] == ["-", "-"]
    report = json.loads(Path("report.json").read_text(encoding="utf-8"))
    assert report["summary"]["mad"] == pytest.approx(4.16667)
    assert any("read as alpha" in note for note in report["notes"])
    with Image.open("worst.png") as sheet:
        assert sheet.height > 3 * 60


def test_a_perfect_matte_has_no_sheet(command: Command, mattes: tuple[Path, Path]) -> None:
    done = command("evaluate", mattes[1], mattes[1], "--sheet", "worst.png")
    assert done.code == 0
    assert "no sheet was written" in done.out
    assert not Path("worst.png").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["nothing.png"], 3, "no file or folder"),
        (["{predicted}"], 2, "flicker is a change"),
        (["{predicted}", "{true}", "--sheet", "worst.jpg"], 2, "ends in .png"),
        (["{predicted}", "{true}", "--sheet", "a.png", "--frames", "0"], 2, "1 to 50"),
        (["{predicted}", "{true}", "--sheet", "none/worst.png"], 1, "cannot be written"),
        ([], 2, "missing"),
    ],
)
def test_errors(command: Command, mattes: tuple[Path, Path], arguments: list[str], code: int, says: str) -> None:
    words = [word.format(predicted=mattes[0], true=mattes[1]) for word in arguments]
    done = command("evaluate", *words)
    assert done.code == code
    assert says in done.err
