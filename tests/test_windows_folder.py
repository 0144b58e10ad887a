"""The builder of the portable folder for Windows: everything but the download of packages."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

PACKAGING = Path(__file__).resolve().parents[1] / "packaging"


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(PACKAGING)
    import windows_folder

    def install(wheel: Path, extras: list[str], version: str, target: Path) -> None:
        """What uv lays down for Windows, in small."""
        (target / "Scripts").mkdir(parents=True)
        (target / "livematte").mkdir()
        (target / "numpy.libs").mkdir()
        for name in ("livematte/__init__.py", f"built-for-{version}-{'-'.join(extras)}", "Scripts/msvcp140.dll",
                     "msvcp140.dll", "vcruntime140.dll", "numpy.libs/msvcp140-abc.dll"):  # fmt: skip
            (target / name).write_text("new")

    monkeypatch.setattr(windows_folder, "install_packages", install)
    return windows_folder


@pytest.fixture
def python_zip(tmp_path: Path) -> Path:
    """An embeddable Python as python.org lays it out, in small."""
    path = tmp_path / "python-3.12.9-embed-amd64.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("python.exe", "exe")
        archive.writestr("vcruntime140.dll", "old")
        archive.writestr("python312._pth", "python312.zip\n.\n\n# Uncomment to run site.main() automatically\n")
    return path


def _build(builder, *words: object) -> int:
    return builder.main(["--wheel", "livematte.whl", *map(str, words)])


def test_the_whole_folder(builder, python_zip: Path, tmp_path: Path) -> None:
    folder = tmp_path / "livematte-windows"
    code = _build(builder, "--python-zip", python_zip, "--extra", "cpu", "--extra", "webcam", "-o", folder)
    assert code == 0
    assert (folder / "packages" / "built-for-3.12-cpu-webcam").is_file()
    assert (folder / "python" / "python312._pth").read_text().splitlines()[-1] == "..\\packages"
    assert (folder / "python" / "vcruntime140.dll").read_text() == "new"
    assert (folder / "packages" / "numpy.libs" / "msvcp140-abc.dll").is_file()
    assert not (folder / "packages" / "Scripts").exists()
    command = (folder / "livematte.cmd").read_bytes()
    assert b'"%~dp0python\\python.exe" -m livematte %*\r\n' in command
    assert b"-m livematte app %*" in (folder / "livematte-app.cmd").read_bytes()
    with zipfile.ZipFile(tmp_path / "livematte-windows.zip") as archive:
        names = set(archive.namelist())
    assert {"livematte-windows/livematte.cmd", "livematte-windows/LICENSE.txt"} <= names


def test_without_python_it_says_what_is_missing(builder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _build(builder, "--extra", "cpu", "-o", tmp_path / "out") == 1
    assert "python-3.13.Y-embed-amd64.zip" in capsys.readouterr().out
    assert (tmp_path / "out" / "livematte.cmd").is_file()
    assert not (tmp_path / "out" / "livematte-app.cmd").exists()


def test_another_zip_is_refused(builder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = tmp_path / "wrong.zip"
    with zipfile.ZipFile(wrong, "w") as archive:
        archive.writestr("setup.py", "")
    assert _build(builder, "--python-zip", wrong, "-o", tmp_path / "out") == 1
    assert "embeddable Python" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_full_folder_is_left_alone(builder, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("kept")
    assert _build(builder, "-o", tmp_path) == 1
    assert (tmp_path / "mine").read_text() == "kept"
