"""Compiles fakecuda: a `libcuda.so.1` over host memory, from `src/*.cpp` and two tables (see README.md).

`build()` returns the folder that holds it, for LD_LIBRARY_PATH. It is made once for each state of the sources and kept
in the system's temporary folder.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
COMPILER = shutil.which("g++")
FLAGS = (
    "-std=c++20", "-O1", "-g1", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra", "-pthread",
)  # fmt: skip
_DEFINED = re.compile(r"^API CUresult (cu\w+)\(", re.MULTILINE)
_FILLS = re.compile(r"^FILLS\((\w+), (\w+), ", re.MULTILINE)


def is_possible() -> str:
    """Empty where fakecuda can be built here, else the reason why not."""
    if not sys.platform.startswith("linux"):
        return "fakecuda is a Linux library"
    return "" if COMPILER else "fakecuda needs g++"


def played_names() -> set[str]:
    """The entries that fakecuda really plays."""
    names: set[str] = set()
    for source in (HERE / "src").glob("*.cpp"):
        text = source.read_text()
        names |= set(_DEFINED.findall(text))
        for one, two in _FILLS.findall(text):
            for kind in (one, two):
                names |= {f"cuMemset{kind}_v2", f"cuMemset{kind}Async"}
    return names


def generated() -> str:
    """The C++ of the error names, and of the entries of a driver that only say "not supported"."""
    played = played_names()
    known = (HERE / "names.txt").read_text().split()
    made_below = {"cuGetErrorName", "cuGetErrorString"}
    missing = [name for name in known if name not in played | made_below and not _is_newer_form(name, played)]
    errors = [line.split() for line in (HERE / "errors.txt").read_text().splitlines()]
    lines = ['#include "world.h"', "API CUresult fake_missing(const char* name);", "namespace {"]
    lines += ["const char* name_of(int code) {", "  switch (code) {"]
    lines += [f'    case {code}: return "{name}";' for code, name in errors]
    lines += ["  }", "  return nullptr;", "}", "}  // namespace"]
    for entry in ("cuGetErrorName", "cuGetErrorString"):
        lines.append(f"API CUresult {entry}(CUresult code, const char** into) {{")
        lines.append("  *into = name_of(code);")
        lines.append("  return *into == nullptr ? kInvalidValue : kOk;")
        lines.append("}")
    lines += [f'API CUresult {name}() {{ return fake_missing("{name}"); }}' for name in missing]
    return "\n".join(lines) + "\n"


def _is_newer_form(name: str, played: set[str]) -> bool:
    """True for `cuX_v3` where an older form of cuX is played: entries are found by the newest form that exists."""
    found = re.fullmatch(r"(\w+)_v(\d+)", name)
    if found is None:
        return False
    older = {found[1], *(f"{found[1]}_v{number}" for number in range(2, int(found[2])))}
    return bool(older & played)


def build() -> Path:
    """The folder with `libcuda.so.1`; RuntimeError with the compiler's words where it does not compile."""
    reason = is_possible()
    if reason:
        raise RuntimeError(reason)
    sources = sorted((HERE / "src").glob("*.cpp"))
    parts = [path.read_bytes() for path in sorted((HERE / "src").iterdir())]
    parts += [generated().encode(), " ".join(FLAGS).encode()]
    key = hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"livematte-fakecuda-{os.getuid()}-{key}"
    library = folder / "libcuda.so.1"
    if library.is_file():
        return folder
    folder.mkdir(mode=0o700, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        made = Path(scratch)
        (made / "generated.cpp").write_text(generated())
        objects = []
        for source in (*sources, made / "generated.cpp"):
            target = made / f"{source.stem}.o"
            _run("-c", str(source), "-I", str(HERE / "src"), "-o", str(target))
            objects.append(str(target))
        finished = made / "libcuda.so.1"
        _run("-shared", *objects, "-o", str(finished), "-Wl,-soname,libcuda.so.1", "-Wl,-Bsymbolic", "-ldl")
        finished.replace(library)
    return folder


def _run(*arguments: str) -> None:
    assert COMPILER is not None
    done = subprocess.run([COMPILER, *FLAGS, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"fakecuda does not compile:\n{done.stderr[-4000:]}")


if __name__ == "__main__":
    sys.stdout.write(f"{build()}\n")
