"""Builds a folder for Windows with Python in it: unpack it anywhere, start livematte.cmd; nothing is installed.

    python packaging/windows_folder.py --wheel dist/livematte-0.1.0-py3-none-any.whl \\
        --python-zip python-3.13.9-embed-amd64.zip --extra cpu --extra webcam -o livematte-windows/

It runs on any system and needs `uv` (pip evaluates the conditions of dependencies for the machine that it runs on, uv
for the one that it installs for). The embeddable Python is python.org's `python-3.X.Y-embed-amd64.zip`; fetch it by
hand and hold it against the hash on its page: this script downloads packages only. Without `--python-zip` it makes all
the rest, says so, and ends with 1.

The result is built and looked through here, and was never run on Windows.
"""

# ruff: noqa: T201  (a script reports on stdout)

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = "packages"
PYTHON = "python"
_PLATFORM = "x86_64-pc-windows-msvc"
_RUNTIME = "msvc-runtime"
"""Microsoft's msvcp140.dll and its kin, which ONNX Runtime needs, and the embeddable Python does not have."""

_LAUNCHER = """@echo off
rem {what}
"%~dp0{python}\\python.exe" -m livematte {words}%*
"""
_READ_ME = """livematte for Windows, without an installation

Unpack this folder anywhere. In a terminal (PowerShell) in this folder:

    .\\livematte convert clip.mp4
    .\\livematte --help
{page}
To remove it, delete the folder. Fetched networks lie in %LOCALAPPDATA%\\livematte.
Licences: LICENSE.txt, THIRD-PARTY.md, and those in {packages}\\*.dist-info.
"""
_PAGE = "\nFor the page without a camera, double-click livematte-app.cmd.\n"


def main(words: Sequence[str] | None = None) -> int:
    """0: whole. 1: without Python, or something failed."""
    options = _parser().parse_args(words)
    folder: Path = options.output
    if folder.exists() and any(folder.iterdir()):
        print(f"{folder} exists and is not empty. Name another folder.", file=sys.stderr)
        return 1
    version = _python_version(options.python_zip) if options.python_zip else options.python_version
    if version is None:
        print(
            f"{options.python_zip} is not an embeddable Python for 64-bit Windows: it holds no python3XX._pth.",
            file=sys.stderr,
        )
        return 1
    folder.mkdir(parents=True, exist_ok=True)
    install_packages(options.wheel, options.extra, version, folder / PACKAGES)
    move_runtime_libraries(folder)
    write_launchers(folder, has_page="app" in options.extra or "webcam" in options.extra)
    if options.python_zip is None:
        print(
            f"{folder} has all but Python: unpack python.org's python-{version}.Y-embed-amd64.zip into "
            f"{folder / PYTHON}, and write ..\\{PACKAGES} as a line into its python{version.replace('.', '')}._pth. "
            "Or run this again with --python-zip."
        )
        return 1
    unpack_python(options.python_zip, folder / PYTHON)
    archive = shutil.make_archive(str(folder), "zip", folder.parent, folder.name)
    print(f"{archive}: {Path(archive).stat().st_size / 1e6:.0f} MB")
    return 0


def install_packages(wheel: Path, extras: Sequence[str], version: str, target: Path) -> None:
    """livematte and all that it needs on Windows, wheels only. CalledProcessError where one is missing."""
    named = f"livematte[{','.join(extras)}] @ {wheel.resolve().as_uri()}" if extras else wheel.resolve().as_uri()
    command = [
        "uv", "pip", "install", "--target", str(target), "--python-platform", _PLATFORM, "--python-version", version,
        "--only-binary", ":all:", "--link-mode", "copy", named, _RUNTIME,
    ]  # fmt: skip
    subprocess.run(command, check=True)


def move_runtime_libraries(folder: Path) -> list[str]:
    """Microsoft's runtime beside python.exe, where Windows looks first; the names of what was moved."""
    python, packages = folder / PYTHON, folder / PACKAGES
    python.mkdir(parents=True, exist_ok=True)
    moved = []
    for library in sorted(packages.glob("*.dll")):
        shutil.move(str(library), str(python / library.name))
        moved.append(library.name)
    for name in ("Scripts", "bin"):  # a second copy of them, and programs that look for Python elsewhere
        shutil.rmtree(packages / name, ignore_errors=True)
    return moved


def write_launchers(folder: Path, *, has_page: bool) -> None:
    """livematte.cmd, livematte-app.cmd, the licences and READ-ME.txt, with Windows' line ends."""
    _write(folder / "livematte.cmd", _LAUNCHER.format(what="the command line", python=PYTHON, words=""))
    if has_page:
        _write(folder / "livematte-app.cmd", _LAUNCHER.format(what="the page", python=PYTHON, words="app "))
    _write(folder / "READ-ME.txt", _READ_ME.format(page=_PAGE if has_page else "", packages=PACKAGES))
    shutil.copyfile(ROOT / "LICENSE", folder / "LICENSE.txt")
    shutil.copyfile(ROOT / "THIRD-PARTY.md", folder / "THIRD-PARTY.md")


def unpack_python(archive: Path, target: Path) -> None:
    """The embeddable Python, told where the packages lie. It reads neither the registry nor PYTHONPATH."""
    with zipfile.ZipFile(archive) as opened:
        for member in opened.infolist():
            kept = target / member.filename
            # Microsoft's newer runtime stays: ONNX Runtime refuses one older than it was built with.
            if not (member.filename.lower().startswith("vcruntime140") and kept.exists()):
                opened.extract(member, target)
    (path_file,) = target.glob("python3*._pth")
    lines = path_file.read_text(encoding="utf-8").splitlines()
    _write(path_file, "\n".join([*(line for line in lines if line.strip()), f"..\\{PACKAGES}"]) + "\n")


def _python_version(archive: Path) -> str | None:
    """`3.13`, of the `python313._pth` in an embeddable Python; None where there is none."""
    with zipfile.ZipFile(archive) as opened:
        found = [re.fullmatch(r"python3(\d+)\._pth", name) for name in opened.namelist()]
    return next((f"3.{match[1]}" for match in found if match), None)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\r\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=Path, required=True, help="livematte's own wheel")
    parser.add_argument("--python-zip", type=Path, help="python-3.X.Y-embed-amd64.zip")
    parser.add_argument("--python-version", default="3.13", help="without --python-zip: for which the packages are")
    parser.add_argument("--extra", action="append", default=[], help="cpu, gpu, webcam, app...; may repeat")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder to make; NAME.zip is made beside it")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
