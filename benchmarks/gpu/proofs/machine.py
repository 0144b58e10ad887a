"""What the machine has: GPU, driver, libraries, packages."""

from __future__ import annotations

import ctypes.util
import os
import platform
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

from proofs import Result

LIBRARIES = ("cuda", "nvcuvid", "nvidia-encode", "cudnn", "nvinfer", "nvonnxparser", "nvrtc", "curand")
PACKAGES = (
    "livematte", "av", "numpy", "onnxruntime", "onnxruntime-gpu", "cuda-core", "cuda-bindings", "nvidia-cuda-nvrtc",
    "pycuda", "tensorrt", "tensorrt-cu13", "tensorrt-rtx", "nvidia-cudnn-cu13",
)  # fmt: skip


def machine() -> Result:
    """Never fails: what cannot be found is null."""
    return {
        "gpu": _smi("name,driver_version,memory.total,compute_cap,clocks.max.sm,clocks.max.mem"),
        "libraries": {name: _library(name) for name in LIBRARIES},
        "packages": {name: _version(name) for name in PACKAGES},
        "tools": {name: find_tool(name) for name in ("nvidia-smi", "nvcc", "compute-sanitizer")},
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
    }


def find_tool(name: str) -> str | None:
    """A tool on PATH, in the CUDA toolkit, or in an installed wheel of NVIDIA's."""
    found = shutil.which(name) or shutil.which(name, path="/usr/local/cuda/bin:/usr/local/nvidia/bin")
    if found:
        return found
    for package in ("nvidia-cuda-sanitizer-api", "nvidia-cuda-sanitizer-api-cu12"):
        try:
            files = metadata.files(package) or []
        except metadata.PackageNotFoundError:
            continue
        for file in files:
            place = Path(str(file.locate()))
            if file.name == name and place.is_file():
                place.chmod(place.stat().st_mode | 0o111)
                return str(place)
    return None


def _smi(fields: str) -> list[dict[str, str]] | None:
    tool = find_tool("nvidia-smi")
    if tool is None:
        return None
    command = [tool, f"--query-gpu={fields}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    names = fields.split(",")
    return [dict(zip(names, map(str.strip, line.split(",")), strict=False)) for line in done.stdout.splitlines()]


def _library(name: str) -> str | None:
    known = ctypes.util.find_library(name)
    if known:
        return known
    for soname in (f"lib{name}.so.1", f"lib{name}.so.9", f"lib{name}.so.13", f"lib{name}.so.10", f"lib{name}.so.11"):
        try:
            ctypes.CDLL(soname)
        except OSError:
            continue
        return soname
    return None


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
