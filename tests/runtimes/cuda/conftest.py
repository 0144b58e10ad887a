"""Drivers of every back end for the contract suite, and the suite's kernels.

null runs always, at once and in the random orders of some seeds. Real back ends run on a GPU (mark `gpu`), or in a
child process over fakecuda, which names the one to run by LIVEMATTE_TEST_CUDA.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from livematte.runtimes.choice import nvidia_gpus
from livematte.runtimes.cuda.base import Driver, Module
from livematte.runtimes.cuda.choice import open_driver
from livematte.runtimes.cuda.ctypes_driver import CtypesBackend
from livematte.runtimes.cuda.driver import CudaDriver
from livematte.runtimes.cuda.null import open_null

HERE = Path(__file__).resolve().parent
NAMED = os.environ.get("LIVEMATTE_TEST_CUDA", "")
"""Set by test_cuda_over_fakecuda.py: the one back end to run, over the driver that the process finds."""
_REAL = [pytest.param(name, marks=pytest.mark.gpu) for name in ("cuda-core", "pycuda", "ctypes")]
BACKENDS: list[Any] = [NAMED] if NAMED else ["null", "null:0", "null:1", "null:2", "null:3", *_REAL]


def open_named(name: str) -> Driver:
    """A driver by back end; `null:SEED` runs late and in a random order, `ctypes` is what the others stand on."""
    kind, _, seed = name.partition(":")
    if kind == "null":
        return open_null(seed=int(seed) if seed else None, total_bytes=1 << 25)
    if not NAMED:
        _need_gpu()
    return CudaDriver(CtypesBackend(0)) if kind == "ctypes" else open_driver(kind)


def _need_gpu() -> None:
    if nvidia_gpus():
        return
    if "gpu" in os.environ.get("LIVEMATTE_REQUIRE", "").split(","):
        pytest.fail("no NVIDIA GPU here")
    pytest.skip("no NVIDIA GPU here")


@pytest.fixture(params=BACKENDS)
def driver(request: pytest.FixtureRequest) -> Iterator[Driver]:
    """An open driver of each back end. What a test leaves open is not complained about here."""
    before = _live_in_fakecuda()
    opened = open_named(request.param)
    yield opened
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        opened.close()
    # Page-locked memory that NumPy still looks at stays, and keeps the context it came from.
    if not (isinstance(opened, CudaDriver) and opened.reclaimer.has_views):
        assert _live_in_fakecuda() == before, "not everything went back to the driver"


def _is_fake() -> bool:
    """Whether the driver of this process is fakecuda."""
    from fakecuda.control import Control

    try:
        Control()
    except RuntimeError:
        return False
    return True


def _live_in_fakecuda() -> dict[str, int]:
    """What is alive in fakecuda, after nothing was written where it must not be; {} for any other driver."""
    if not NAMED or not _is_fake():
        return {}
    from fakecuda.control import Control

    control = Control()
    assert control.damage() == []
    # "pending" counts the ends of streams, which are work there.
    return {kind: count for kind, count in control.live().items() if kind != "pending"}


@pytest.fixture(scope="session")
def host_image(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The suite's kernels for the processor."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or os.name != "posix":
        pytest.skip("no C compiler here")
    library = tmp_path_factory.mktemp("kernels") / "kernels.so"
    options = ["-O1", "-fPIC", "-shared", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([compiler, *options, str(HERE / "kernels_host.c"), "-o", str(library)], check=True)
    return b"LMSHIM\0" + str(library).encode() + b"\0"


@pytest.fixture
def image(driver: Driver, host_image: bytes) -> bytes:
    """The suite's kernels for the driver under test."""
    if driver.name == "null" or _is_fake():
        return host_image
    return _compile(driver.device.capability)


@pytest.fixture
def module(driver: Driver, image: bytes) -> Module:
    """The suite's kernels, loaded."""
    return driver.module(image)


def _compile(capability: tuple[int, int]) -> bytes:
    nvrtc: Any = pytest.importorskip("cuda.bindings.nvrtc")
    source = (HERE / "kernels.cu").read_bytes()
    _, program = nvrtc.nvrtcCreateProgram(source, b"kernels.cu", 0, [], [])
    options = [f"--gpu-architecture=sm_{capability[0]}{capability[1]}".encode()]
    (code,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
    assert int(code) == 0, "kernels.cu does not compile"
    _, size = nvrtc.nvrtcGetCUBINSize(program)
    cubin = b" " * size
    nvrtc.nvrtcGetCUBIN(program, cubin)
    return cubin
