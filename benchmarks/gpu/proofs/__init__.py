"""The proofs that need a GPU, each a function that returns what it found (JSON) and runs in a process of its own.

A proof raises `NotRun` where something it needs is absent. Its result has `met: false` where what it found is not what
the project promises; figures that only inform have no `met`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

Result = dict[str, Any]
REPOSITORY = Path(__file__).resolve().parents[3]


class NotRun(Exception):
    """What the proof needs is not here; the message is the reason."""


@dataclass(frozen=True)
class Proof:
    """One proof of the list."""

    name: str
    says: str
    """What it shows, for the report."""
    seconds: int
    """Time limit."""
    needs_gpu: bool = True
    is_alone: bool = False
    """It times, or counts free memory: nothing else may run beside it."""

    def function(self) -> Callable[[], Result]:
        """Imported late: nothing of CUDA is loaded in the process that starts the proofs."""
        module, _, name = PLACES[self.name].partition(":")
        found: Callable[[], Result] = getattr(import_module(f"proofs.{module}"), name)
        return found


PLACES = {
    "machine": "machine:machine",
    "drivers": "suites:drivers",
    "pycuda": "suites:pycuda",
    "kernels": "suites:kernels",
    "device": "suites:device",
    "times": "times:times",
    "nvdec": "decode:nvdec",
    "onnxruntime": "networks:onnxruntime",
    "tensorrt": "suites:tensorrt",
    "networks": "networks:networks",
    "floats": "floats:floats",
    "alpha": "paths:alpha",
    "leak": "paths:leak",
    "path": "paths:speed",
    "convert": "paths:convert",
    "sanitizer": "suites:sanitizer",
}
PROOFS = (
    Proof("machine", "what the machine has", 30, needs_gpu=False),
    Proof("drivers", "the contract suite over cuda-core and over ctypes", 60),
    Proof("kernels", "every kernel against its NumPy reference", 120),
    Proof("device", "the device path against the references in the same order", 120),
    Proof("nvdec", "500 decoded surfaces against the processor's decoder, bit for bit", 90),
    Proof("tensorrt", "TensorRT and TensorRT-RTX: plans, alpha, capture", 150),
    Proof("onnxruntime", "ONNX Runtime CUDA: where each node ran, alpha against the processor's", 90),
    Proof("floats", "the networks' alpha, before it is rounded, against fp32 on the processor", 120),
    Proof("alpha", "the device path's alpha against the shipped processor path's", 90),
    Proof("sanitizer", "compute-sanitizer over our kernels", 150),
    Proof("pycuda", "the contract suite over pycuda", 150),
    Proof("times", "ms of each kernel path beside its floor, at 1080p", 60, is_alone=True),
    Proof("networks", "ms of the network alone in each runtime, in graphs", 60, is_alone=True),
    Proof("path", "frames a second of the device path, of the network alone, of bare decoding", 90, is_alone=True),
    Proof("convert", "frames a second of whole conversions, one file and four at once", 90, is_alone=True),
    Proof("leak", "5,000 frames: memory of host and device stays flat", 60, is_alone=True),
)


def gpu_name() -> str:
    """Name of the first NVIDIA GPU; NotRun without one."""
    from livematte.runtimes.choice import nvidia_gpus

    found = nvidia_gpus() or (("fakecuda",) if is_rehearsal() else ())
    if not found:
        raise NotRun("no NVIDIA GPU here")
    return found[0]


def is_rehearsal() -> bool:
    """True where the proofs run over fakecuda, small, to try the scripts themselves: nothing is proven then."""
    return os.environ.get("LIVEMATTE_REHEARSAL") == "1"


def keep(name: str, **arrays: Any) -> None:
    """Leave small tensors where `--keep` says, as NAME.npz; nothing without it, and in a rehearsal."""
    folder = os.environ.get("LIVEMATTE_PROVE_KEEP")
    if folder and not is_rehearsal():
        import numpy

        numpy.savez_compressed(Path(folder) / f"{name}.npz", **arrays)


def open_gpu() -> tuple[Any, Any]:
    """(driver, kernels) of the first GPU; NotRun with the reason where it cannot be opened."""
    from livematte.errors import DeviceError
    from livematte.runtimes.cuda.choice import open_driver
    from livematte.runtimes.kernels import KernelLibrary
    from livematte.runtimes.kernels.compile import library

    if is_rehearsal():
        _stand_in_for_nvdec()
    try:
        driver = open_driver()
    except DeviceError as error:
        raise NotRun(str(error)) from error
    if not is_rehearsal():
        return driver, library(driver)
    from kernels.shim.build import image

    return driver, KernelLibrary(driver, image)


def _stand_in_for_nvdec() -> None:
    """The tests' decoder, which hands out surfaces of fakecuda's memory."""
    from fakecuda.driver import Cuda
    from fakecuda.nvdec_scenes import surface_reader
    from livematte.sources import nvdec

    cuda = Cuda(seed=1)
    vars(nvdec)["NvdecReader"] = surface_reader(cuda, "nv12", 40)
