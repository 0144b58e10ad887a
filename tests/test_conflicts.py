"""Two distributions that own one module."""

from __future__ import annotations

from importlib.metadata import Distribution
from pathlib import Path

import pytest

from livematte.doctor.conflicts import find_conflicts


def _install(folder: Path, name: str, files: list[str]) -> None:
    home = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    home.mkdir()
    (home / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (home / "RECORD").write_text("".join(f"{file},,\n" for file in files))
    for file in files:  # from Python 3.12 on, files that are not there do not count
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).touch()


def _found(folder: Path) -> list[Distribution]:
    return list(Distribution.discover(path=[str(folder)]))


def test_two_runtimes(tmp_path: Path) -> None:
    _install(tmp_path, "onnxruntime", ["onnxruntime/__init__.py"])
    _install(tmp_path, "onnxruntime-gpu", ["onnxruntime/__init__.py"])
    (conflict,) = find_conflicts(_found(tmp_path))
    assert conflict.module == "onnxruntime"
    assert conflict.distributions == ("onnxruntime", "onnxruntime-gpu")
    assert "pip uninstall -y onnxruntime onnxruntime-gpu" in conflict.repair
    assert conflict.repair.endswith("onnxruntime-gpu")


def test_two_opencvs(tmp_path: Path) -> None:
    _install(tmp_path, "opencv-python", ["cv2/__init__.py"])
    _install(tmp_path, "opencv_python_headless", ["cv2/__init__.py"])
    (conflict,) = find_conflicts(_found(tmp_path))
    assert conflict.module == "cv2"
    assert conflict.repair.endswith("opencv-python-headless")


def test_plug_ins_and_others_are_no_conflict(tmp_path: Path) -> None:
    _install(tmp_path, "onnxruntime", ["onnxruntime/__init__.py"])
    _install(tmp_path, "onnxruntime-extensions", ["onnxruntime_extensions/__init__.py"])
    _install(tmp_path, "numpy", ["numpy/__init__.py"])
    assert find_conflicts(_found(tmp_path)) == []


def test_a_run_warns_and_doctor_shows_the_repair(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from livematte.cli.app import run

    _install(tmp_path, "onnxruntime", ["onnxruntime/__init__.py"])
    _install(tmp_path, "onnxruntime-gpu", ["onnxruntime/__init__.py"])
    both = _found(tmp_path)
    monkeypatch.setattr("livematte.cli.conflicts.find_conflicts", lambda: find_conflicts(both))
    assert run(["convert", "synthetic:64x48@25:3", "--format", "null"]) == 0
    assert "pip uninstall -y onnxruntime onnxruntime-gpu" in capsys.readouterr().out
    monkeypatch.setattr("livematte.doctor.checks.find_conflicts", lambda: find_conflicts(both))
    assert run(["doctor"]) == 1
    assert "pip uninstall -y onnxruntime onnxruntime-gpu" in capsys.readouterr().out
