"""Which runtime and device `auto` names on this machine, and which GPUs it sees without using them."""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib.util
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from livematte.errors import DeviceError
from livematte.runtimes import RUNTIMES
from livematte.runtimes.ort_library import INSTALL, load_library, present_devices
from livematte.runtimes.tensorrt.library import DIALECTS


@dataclass(frozen=True, slots=True)
class Candidate:
    """A runtime on a device, to be opened in turn."""

    runtime: str
    device: str


def candidates(runtime: str, device: str) -> tuple[Candidate, ...]:
    """What to open, best first. More than one only where `auto` leaves a choice: a named device is never replaced.

    On an NVIDIA GPU auto takes a TensorRT plan where TensorRT is installed, TensorRT-RTX, ONNX Runtime's CUDA, and, if
    the device is auto too, the processor. Core ML, DirectML and OpenVINO are taken by name only: which is faster was
    not measured on enough machines.
    """
    if runtime != "auto" and runtime not in RUNTIMES:
        raise DeviceError(
            f"there is no runtime '{runtime}' in this version. There are auto, {', '.join(RUNTIMES)}. ONNX Runtime, "
            f"which auto takes, comes with: {INSTALL['cpu']}"
        )
    if runtime in _PLANS:
        return (Candidate(runtime, "cuda" if device == "auto" else device),)
    if runtime != "auto":
        return (Candidate(runtime, "cpu" if device == "auto" else device),)
    if device.partition(":")[0] == "cuda":
        return (*(Candidate(name, device) for name in _installed_plans()), Candidate("onnxruntime", device))
    if device != "auto":
        return (Candidate("onnxruntime", device),)
    found: list[Candidate] = []
    if nvidia_gpus():
        found += [Candidate(name, "cuda") for name in _installed_plans()]
        if has_cuda():
            found.append(Candidate("onnxruntime", "cuda"))
    return (*found, Candidate("onnxruntime", "cpu"))


_PLANS: dict[str, str] = {dialect.runtime: dialect.module for dialect in DIALECTS}
"""Runtimes that compile a plan for the GPU, best first -> their module."""


def _installed_plans() -> list[str]:
    return [name for name, module in _PLANS.items() if importlib.util.find_spec(module) is not None]


def has_cuda() -> bool:
    """Whether the installed ONNX Runtime carries CUDA; False where none is installed."""
    try:
        return "cuda" in present_devices(load_library())
    except DeviceError:
        return False


def passed_over_gpu() -> tuple[str, ...]:
    """One sentence for each kind of GPU that is seen and not used, with the command that would use it."""
    gpus = nvidia_gpus()
    if not gpus:
        return ()
    names = ", ".join(gpus)
    if has_cuda():
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
