"""Compiles the kernels' sources on the user's machine, with NVRTC through cuda-bindings, and keeps what it made.

Note [Which machine code]
    NVRTC makes a cubin, machine code, for chips that it knows: that loads at once, and on drivers older than NVRTC
    itself as long as they have its major version. For a chip that is newer than NVRTC it makes PTX for the newest chip
    that it does know, which the driver compiles when it is loaded. A chip older than all it knows is a DeviceError.
"""

from __future__ import annotations

import hashlib
import importlib
import threading
from collections.abc import Callable
from functools import cache
from typing import Any, Final

from livematte.errors import DeviceError
from livematte.reporting import LogReporter, Once, Reporter
from livematte.runtimes.cuda.base import Driver
from livematte.runtimes.kernels import FOLDER, SOURCES, KernelLibrary
from livematte.runtimes.kernels.cubins import CubinCache

OPTIONS: Final = ("--std=c++17", "--fmad=false")
"""Without contraction to fused multiply-adds kernels, their CPU builds and the NumPy references agree bit for bit."""

_INSTALL: Final = "pip install 'livematte[gpu]' brings it (or: pip install cuda-bindings nvidia-cuda-nvrtc)"
_locks = {name: threading.Lock() for name in SOURCES}  # nobody compiles what another thread is compiling


def library(driver: Driver, *, reporter: Reporter | None = None) -> KernelLibrary:
    """Kernels for this driver's device, compiled at first use or taken from the cache.

    With the null driver, kernels need images of their own: tests build them for the CPU.
    """
    capability, saying = driver.device.capability, Once(reporter or LogReporter())
    return KernelLibrary(driver, lambda name: image(name, capability, reporter=saying))


def image(name: str, capability: tuple[int, int], *, reporter: Reporter | None = None) -> bytes:
    """The kernels of `name` (a key of `KERNELS`) for a chip: a cubin, or PTX (Note [Which machine code]).

    DeviceError: NVRTC or cuda-bindings are not installed, the chip is too old, or a source does not compile.
    """
    if name not in SOURCES:
        raise ValueError(f"there are no kernels called '{name}'; there are {', '.join(SOURCES)}")
    saying = reporter or LogReporter()
    with _locks[name]:
        nvrtc = _nvrtc()
        architecture, is_cubin = choose(capability, supported(), version())
        sources = read_sources(name)
        kept = CubinCache(reporter=saying)
        place = file_name(name, architecture, sources, version())
        found = kept.get(place)
        if found is None:
            saying.note(f"Compiling the GPU's kernels for {architecture}; they are kept, so that this happens once.")
            found = _compile(nvrtc, name, sources, architecture, is_cubin=is_cubin)
            kept.put(place, found)
        return found


def choose(capability: tuple[int, int], known: tuple[int, ...], version: tuple[int, int]) -> tuple[str, bool]:
    """(architecture, whether a cubin can be made) for a chip, of those that this NVRTC knows (as 75, 80, 120).

    ((9, 0), ...) -> ("sm_90", True); a chip newer than all -> ("compute_121", False). DeviceError: too old.
    """
    chip = 10 * capability[0] + capability[1]
    if chip in known:
        return f"sm_{chip}", True
    older = [each for each in known if each < chip]
    if not older:
        raise DeviceError(
            f"this GPU has compute capability {capability[0]}.{capability[1]}, and the kernels' compiler (NVRTC "
            f"{version[0]}.{version[1]}) makes code from {min(known) // 10}.{min(known) % 10} on. Use the extra for "
            "older drivers and GPUs (pip install 'livematte[gpu-cu12]'), or the CPU (--device cpu)."
        )
    return f"compute_{max(older)}", False


def read_sources(name: str) -> dict[str, bytes]:
    """The source and every header that it could include, by file name; the source comes first."""
    files = [FOLDER / f"{name}.cu", *sorted(FOLDER.glob("*.cuh"))]
    return {path.name: path.read_bytes() for path in files}


def file_name(name: str, architecture: str, sources: dict[str, bytes], version: tuple[int, int]) -> str:
    """Where the compiled kernels are kept: named by all that went into them."""
    parts = [architecture, *OPTIONS, f"nvrtc {version[0]}.{version[1]}"]
    digest = hashlib.sha256("\0".join(parts).encode())
    for file, data in sources.items():
        digest.update(f"\0{file}\0{len(data)}\0".encode())
        digest.update(data)
    kind = "cubin" if architecture.startswith("sm_") else "ptx"
    return f"{name}-{architecture}-{digest.hexdigest()[:24]}.{kind}"


@cache
def _nvrtc() -> Any:
    """The module `cuda.bindings.nvrtc`, its library loaded."""
    try:
        nvrtc = importlib.import_module("cuda.bindings.nvrtc")
    except ImportError as error:
        raise DeviceError(f"compiling the GPU's kernels needs cuda-bindings, which is not here. {_INSTALL}.") from error
    try:
        nvrtc.nvrtcVersion()
    except (RuntimeError, OSError) as error:  # cuda-pathfinder's DynamicLibNotFoundError is a RuntimeError
        raise DeviceError(
            f"compiling the GPU's kernels needs NVRTC, and its library was not found ({_first_line(error)}). "
            f"{_INSTALL}."
        ) from error
    return nvrtc


def version() -> tuple[int, int]:
    """NVRTC's version, such as (13, 0). DeviceError where it is missing."""
    major, minor = _ask(_nvrtc().nvrtcVersion(), "asking for its version")
    return int(major), int(minor)


@cache
def supported() -> tuple[int, ...]:
    """Chips that NVRTC makes machine code for, rising: (75, 80, ..., 121)."""
    (chips,) = _ask(_nvrtc().nvrtcGetSupportedArchs(), "asking for the chips that it knows")
    return tuple(sorted(int(chip) for chip in chips))


def _compile(nvrtc: Any, name: str, sources: dict[str, bytes], architecture: str, *, is_cubin: bool) -> bytes:
    file, *headers = sources
    (program,) = _ask(
        nvrtc.nvrtcCreateProgram(
            sources[file], file.encode(), len(headers), [sources[header] for header in headers],
            [header.encode() for header in headers],
        ),
        f"reading {file}",
    )  # fmt: skip
    try:
        options = [option.encode() for option in (f"--gpu-architecture={architecture}", *OPTIONS)]
        (code,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
        if int(code) != 0:
            raise DeviceError(
                f"the kernels in {file} do not compile for {architecture} with NVRTC {'.'.join(map(str, version()))}: "
                f"{_log(nvrtc, program)} This is a mistake in livematte or a compiler it was not tried with: please "
                "report it with this message; --device cpu works meanwhile."
            )
        if is_cubin:
            return _output(nvrtc.nvrtcGetCUBINSize, nvrtc.nvrtcGetCUBIN, program, name)
        return _output(nvrtc.nvrtcGetPTXSize, nvrtc.nvrtcGetPTX, program, name)
    finally:
        nvrtc.nvrtcDestroyProgram(program)


def _output(size_of: Callable[[Any], Any], read: Callable[[Any, bytes], Any], program: Any, name: str) -> bytes:
    (size,) = _ask(size_of(program), f"making code of {name}")
    buffer = b" " * int(size)
    _ask(read(program, buffer), f"making code of {name}")
    return buffer


def _log(nvrtc: Any, program: Any) -> str:
    """The compiler's own words, in one line, cut where they are long."""
    (size,) = _ask(nvrtc.nvrtcGetProgramLogSize(program), "reading its log")
    buffer = b" " * int(size)
    _ask(nvrtc.nvrtcGetProgramLog(program, buffer), "reading its log")
    words = " ".join(buffer.rstrip(b"\0").decode(errors="replace").split())
    return words if len(words) <= 2000 else f"{words[:2000]}..."


def _ask(answer: tuple[Any, ...], what: str) -> tuple[Any, ...]:
    """What an NVRTC function gave back besides its code. DeviceError where the code is an error."""
    code, *rest = answer
    if int(code) != 0:
        raise DeviceError(
            f"the kernels' compiler (NVRTC) failed at {what}: {getattr(code, 'name', code)}. Install it again "
            "(pip install --force-reinstall nvidia-cuda-nvrtc cuda-bindings), or use the CPU (--device cpu)."
        )
    return tuple(rest)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
