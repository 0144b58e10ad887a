"""The wheel, the sdist, a wheel made of the sdist, and an editable install all find what the program needs."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.slow

_LOOK = (
    "from livematte import resources; from livematte.demo.clip import PORTRAIT; import livematte;"
    "root = resources.root();"
    "print(livematte.__file__); print(root);"
    "assert (root / 'engines' / 'livematte-s.onnx').stat().st_size > 1_000_000;"
    "assert (root / 'engines' / 'isnet.toml').is_file();"
    "assert (root / 'configs' / 'premiere.toml').is_file();"
    "assert PORTRAIT.is_file()"
)
"""What every kind of installation must be able to do; prints where it found things."""


@dataclass(frozen=True)
class Builder:
    """A virtual environment that holds the build backend and nothing of ours."""

    python: Path
    folder: Path

    def run(self, *arguments: object, cwd: Path | None = None) -> str:
        done = subprocess.run(
            [str(self.python), *map(str, arguments)], capture_output=True, text=True, cwd=cwd, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Builder:
    folder = tmp_path_factory.mktemp("packaging")
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    python = folder / "venv" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    done = subprocess.run(
        [str(python), "-m", "pip", "install", "--quiet", "hatchling>=1.26", "editables"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip(f"the build backend cannot be installed: {done.stderr.strip().splitlines()[-1]}")
    return Builder(python, folder)


@pytest.fixture(scope="module")
def wheel(builder: Builder) -> Path:
    target = builder.folder / "wheel"
    builder.run("-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", target, ROOT)
    (made,) = target.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def sdist(builder: Builder) -> Path:
    target = builder.folder / "sdist"
    builder.run("-m", "hatchling", "build", "-t", "sdist", "-d", target, cwd=ROOT)
    (made,) = target.glob("*.tar.gz")
    return made


def _look(wheel: Path, builder: Builder, name: str) -> None:
    site = builder.folder / name
    builder.run("-m", "pip", "install", "--quiet", "--no-deps", "--target", site, wheel)
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(
        [sys.executable, "-c", _LOOK], capture_output=True, text=True, cwd=builder.folder, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        assert Path(line).is_relative_to(site)


def test_the_wheel(wheel: Path, builder: Builder) -> None:
    _look(wheel, builder, "from-wheel")


def test_the_wheel_holds_what_belongs_into_it(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in (
        "py.typed", "demo/portrait.jpg", "_data/configs/reference.toml", "_data/configs/premiere.toml",
        "_data/engines/livematte-s.onnx", "_data/engines/livematte-s.md", "_data/engines/isnet.toml",
    ):  # fmt: skip
        assert f"livematte/{wanted}" in names
    for part in ("tests/", "training/", "benchmarks/", "__pycache__", ".part"):
        assert not [name for name in names if part in name]
    assert [name for name in names if name.endswith("licenses/LICENSE")]
    assert [name for name in names if name.endswith("licenses/THIRD-PARTY.md")]
    assert wheel.stat().st_size < 20_000_000


def test_a_wheel_made_of_the_sdist(sdist: Path, builder: Builder) -> None:
    target = builder.folder / "rewheel"
    builder.run("-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", target, sdist)
    (made,) = target.glob("*.whl")
    _look(made, builder, "from-sdist")


def test_the_sdist_holds_tests_and_docs(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"README.md", "LICENSE", "pyproject.toml", "tests/conftest.py", "docs/from-rembg.md", "docs/livematte.1"}
    assert wanted | {"packaging/windows_folder.py"} <= names


def test_the_wheel_brings_the_man_page(wheel: Path) -> None:
    """Where pip puts it, `man livematte` finds it in a virtual environment; pipx links it into the person's own."""
    names = zipfile.ZipFile(wheel).namelist()
    assert [name for name in names if name.endswith(".data/data/share/man/man1/livematte.1")]


def test_twine_finds_nothing_wrong(wheel: Path, sdist: Path, builder: Builder) -> None:
    done = subprocess.run(
        [str(builder.python), "-m", "pip", "install", "--quiet", "twine>=6"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip(f"twine cannot be installed: {done.stderr.strip().splitlines()[-1]}")
    assert builder.run("-m", "twine", "check", "--strict", wheel, sdist).count("PASSED") == 2


@pytest.fixture
def editable(builder: Builder) -> Iterator[Builder]:
    builder.run("-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--editable", ROOT)
    yield builder
    builder.run("-m", "pip", "uninstall", "--quiet", "--yes", "livematte")


def test_an_editable_install_uses_the_repository(editable: Builder) -> None:
    environment = {**os.environ, "PYTHONPATH": sysconfig.get_path("purelib")}
    done = subprocess.run(
        [str(editable.python), "-c", _LOOK],
        capture_output=True, text=True, cwd=editable.folder, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(ROOT / "src" / "livematte" / "__init__.py"), str(ROOT)]
