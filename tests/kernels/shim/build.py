"""Kernels for the CPU: the sources of `livematte.runtimes.kernels` compiled with `shim.hpp` into shared libraries."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import pytest

from livematte.runtimes.cuda.base import Driver
from livematte.runtimes.kernels import FOLDER, KernelLibrary

HERE = Path(__file__).resolve().parent
_COMMON = ["-std=c++20", "-fPIC", "-shared", "-g", "-pthread", "-fvisibility=hidden", "-fno-strict-aliasing", "-fwrapv",
           "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas", "-Wno-unused-function",
           "-Wno-maybe-uninitialized", "-DLM_SHIM=1", f"-I{HERE}"]  # fmt: skip
_FLAVOURS = {
    "": ["-O2"],
    "address,undefined": [
        "-O1",
        "-fsanitize=address,undefined",
        "-fno-sanitize-recover=all",
        "-fno-omit-frame-pointer",
    ],
    "thread": ["-O1", "-fsanitize=thread", "-DLM_SHIM_THREADS=1"],
}


def compiler() -> str:
    """The C++ compiler; skips the test where there is none."""
    found = shutil.which(os.environ.get("CXX", "g++"))
    if found is None or os.name != "posix":
        pytest.skip("the kernels' CPU builds need g++ (C++20) on Linux or macOS")
    return found


def build(source: Path, *, sanitize: str = "", extra: tuple[str, ...] = ()) -> Path:
    """The shared library of one kernel source; made once for its content, headers and flags, then kept.

    `sanitize`: "", "address,undefined" or "thread". `extra`: further options, such as a macro that makes a mutant.
    The build folder is LIVEMATTE_SHIM_BUILDS, else one in the system's temporary folder, of this user alone.
    """
    options = [*_COMMON, *_FLAVOURS[sanitize], f"-I{source.parent}", f"-I{FOLDER}", *extra]
    digest = hashlib.sha256("\0".join([*options, source.name]).encode())
    for part in (source, HERE / "shim.hpp", *sorted(FOLDER.glob("*.cuh")), *sorted(source.parent.glob("*.cuh"))):
        digest.update(part.read_bytes())
    return compiled(source, options, digest.hexdigest()[:20])


def compiled(source: Path, options: list[str], key: str, *, suffix: str = ".so") -> Path:
    """`source` through the compiler with these options, under a name made of `key`; atomic, so processes may race."""
    target = _builds() / f"{source.stem}-{key}{suffix}"
    if target.exists():
        return target
    with tempfile.TemporaryDirectory(dir=_builds()) as folder:
        made = Path(folder) / "made"
        command = [compiler(), *options, "-x", "c++", str(source), "-o", str(made)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.fail(f"{source.name} does not compile for the CPU:\n{done.stderr[:8000]}")
        os.replace(made, target)
    return target


@cache
def _builds() -> Path:
    named = os.environ.get("LIVEMATTE_SHIM_BUILDS")
    folder = Path(named) if named else Path(tempfile.gettempdir()) / f"livematte-shim-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        pytest.fail(f"{folder} belongs to somebody else; set LIVEMATTE_SHIM_BUILDS to a folder of your own")
    return folder


def image_of(path: Path) -> bytes:
    """The module image that the null driver and fakecuda load."""
    return b"LMSHIM\0" + str(path).encode() + b"\0"


def image(name: str) -> bytes:
    """Image of the kernel source `name` (`picture`, `alpha`...)."""
    return image_of(build(FOLDER / f"{name}.cu"))


def shim_library(driver: Driver) -> KernelLibrary:
    """All kernels, built for the CPU at first use."""
    return KernelLibrary(driver, image)
