"""Which runtime and device `auto` names on this machine, and which GPUs it sees without using them."""

from __future__ import annotations

import ctypes
import ctypes.util
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from livematte.errors import DeviceError
from livematte.runtimes import RUNTIMES
from livematte.runtimes.ort_library import INSTALL, load_library, present_devices


@dataclass(frozen=True, slots=True)
class Candidate:
    """A runtime on a device, to be opened in turn."""

    runtime: str
    device: str


def candidates(runtime: str, device: str) -> tuple[Candidate, ...]:
    """What to open, best first. More than one only where `device` is `auto`: a named device is never replaced.

    auto takes an NVIDIA GPU where one is seen and the installed ONNX Runtime can use it, else the processor. Core ML
    and DirectML are taken by name only: neither was measured.
    """
    chosen = "onnxruntime" if runtime == "auto" else runtime
    if chosen not in RUNTIMES:
        raise DeviceError(
            f"there is no runtime '{runtime}' in this version. There are auto, {', '.join(RUNTIMES)}. ONNX Runtime, "
            f"which auto takes, comes with: {INSTALL['cpu']}"
        )
    if device != "auto":
        return (Candidate(chosen, device),)
    if chosen == "onnxruntime" and nvidia_gpus() and "cuda" in present_devices(load_library()):
        return (Candidate(chosen, "cuda"), Candidate(chosen, "cpu"))
    return (Candidate(chosen, "cpu"),)


def passed_over_gpu() -> tuple[str, ...]:
    """One sentence for each kind of GPU that is seen and not used, with the command that would use it."""
    gpus = nvidia_gpus()
    if not gpus:
        return ()
    try:
        has_cuda = "cuda" in present_devices(load_library())
    except DeviceError:
        has_cuda = False
    names = ", ".join(gpus)
    if has_cuda:
        return (f"{names} is here and not used; ask for it with --device cuda to see why",)
    return (f"{names} is here and not used, because this ONNX Runtime has no CUDA; use it with: {INSTALL['cuda']}",)


@cache
def nvidia_gpus() -> tuple[str, ...]:
    """Names of the NVIDIA GPUs that the driver shows; empty without a driver. Makes no CUDA context.

    Linux: the driver's own folder; else the driver library is asked (`cuInit` takes no device and no memory).
    """
    found: list[str] = []
    for information in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        try:
            model = re.search(r"^Model:\s*(.+)$", information.read_text(), re.MULTILINE)
        except OSError:
            continue
        found.append(model[1].strip() if model else "an NVIDIA GPU")
    return tuple(found) or _ask_driver()


def _ask_driver() -> tuple[str, ...]:
    """Device names from the CUDA driver library; empty where there is none or it finds no device."""
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        driver = ctypes.CDLL(name)
    except OSError:
        return ()
    count = ctypes.c_int()
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return ()
    names: list[str] = []
    for at in range(count.value):
        buffer = ctypes.create_string_buffer(128)
        if driver.cuDeviceGetName(buffer, len(buffer), at) == 0:
            names.append(buffer.value.decode("utf-8", "replace"))
    return tuple(names)
