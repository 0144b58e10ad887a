"""Kernels without a driver: launches on NumPy memory, recorded so that a sanitized child can run them again.

bench = Workbench()
alpha = bench.array(np.zeros((5, 7), np.float32))
AlphaOps(bench.library).upsample(alpha, full, STREAM)     # runs at once, on the plain build
full.array                                                # the result
bench.again("address,undefined")                          # the same launches in a child, from the same start
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import struct
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from kernels.shim.build import HERE, build, compiled, shim_library

from livematte.runtimes.cuda.base import Driver
from livematte.runtimes.cuda.choice import open_driver
from livematte.runtimes.kernels import FOLDER, KernelLibrary
from livematte.runtimes.kernels.compile import library as compiled_library

AnyArray = npt.NDArray[Any]
_SANITIZERS = {
    "address,undefined": {"ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0", "UBSAN_OPTIONS": "print_stacktrace=1"},
    "thread": {"TSAN_OPTIONS": "halt_on_error=1"},
}


class Stream:
    """Stands for a stream where everything runs at once."""

    handle = 0


STREAM: Any = Stream()


class HostBuffer:
    """A `DeviceArray` over NumPy memory."""

    def __init__(self, bench: Workbench, start: AnyArray) -> None:
        self._bench = bench
        self.array = np.ascontiguousarray(start).copy()
        self.start = self.array.copy()

    @property
    def pointer(self) -> int:
        return int(self.array.ctypes.data)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.array.dtype

    @property
    def nbytes(self) -> int:
        return self.array.nbytes

    @property
    def __cuda_array_interface__(self) -> Mapping[str, Any]:
        return {"shape": self.shape, "typestr": self.dtype.str, "data": (self.pointer, False), "version": 3}

    def fill(self, byte: int, stream: Any) -> None:
        self.array.view(np.uint8).fill(byte)
        self._bench.recorded.append(Launch("", "", (1, 1, 1), (1, 1, 1), 0, (self, np.uint8(byte))))

    def copy_from(self, other: HostBuffer, stream: Any) -> None:
        raise NotImplementedError("the kernels' ops copy by kernels")

    upload = download = copy_from

    def close(self) -> None:
        """Nothing to give back."""


@dataclass(frozen=True)
class Launch:
    """One launch as `Kernel.launch` was given it; without a source it is a fill (buffer, byte)."""

    source: str
    kernel: str
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    shared_bytes: int
    arguments: tuple[Any, ...]


class _Kernel:
    def __init__(self, bench: Workbench, source: str, name: str) -> None:
        self._bench, self._source, self.name = bench, source, name
        library = _loaded(build(self._bench.folder / f"{source}.cu", extra=self._bench.extra))
        self._run = library[f"{name}__run"]
        self._run.restype = None
        sizes = (ctypes.c_uint * 64).in_dll(library, f"{name}__sizes")
        self._sizes = list(sizes)[: list(sizes).index(0)]

    def launch(
        self, grid: Sequence[int], block: Sequence[int], arguments: Sequence[Any], stream: Any, *, shared_bytes: int = 0
    ) -> None:
        values = [_bytes_of(argument) for argument in arguments]
        assert [len(value) for value in values] == self._sizes, f"{self.name}: arguments of {self._sizes} bytes"
        held = [ctypes.create_string_buffer(value, len(value)) for value in values]
        pointers = (ctypes.c_void_p * len(held))(*(ctypes.addressof(value) for value in held))
        assert 0 < block[0] * block[1] * block[2] <= 256
        self._run(*map(ctypes.c_uint, (*grid, *block, shared_bytes)), pointers)
        shape = ((grid[0], grid[1], grid[2]), (block[0], block[1], block[2]))
        self._bench.recorded.append(Launch(self._source, self.name, *shape, shared_bytes, tuple(arguments)))


@cache
def _loaded(path: Path) -> ctypes.CDLL:
    return ctypes.CDLL(str(path))


def _bytes_of(argument: Any) -> bytes:
    if isinstance(argument, np.generic):
        return argument.tobytes()
    assert type(argument) in (int, HostBuffer), f"a bare {type(argument)}"
    return struct.pack("<Q", argument if isinstance(argument, int) else argument.pointer)


class Workbench:
    """Memory and kernels for ops under test.

    With LIVEMATTE_TEST_CUDA=cuda-core (pycuda, null) in the environment, the same tests run through that driver: on the
    GPU with kernels compiled by NVRTC, or with the CPU's builds where LIVEMATTE_TEST_IMAGES=shim or the driver is null.
    """

    def __new__(cls, *, folder: Path = FOLDER, extra: tuple[str, ...] = ()) -> Workbench:
        wanted = os.environ.get("LIVEMATTE_TEST_CUDA")
        return object.__new__(DriverBench if wanted and cls is Workbench and folder == FOLDER else cls)

    def __init__(self, *, folder: Path = FOLDER, extra: tuple[str, ...] = ()) -> None:
        self.folder, self.extra = folder, extra
        self.buffers: list[HostBuffer] = []
        self.recorded: list[Launch] = []
        self._kernels: dict[tuple[str, str], _Kernel] = {}

    def array(self, start: AnyArray) -> Any:
        """A buffer of exactly this array's size, with its contents."""
        self.buffers.append(HostBuffer(self, start))
        return self.buffers[-1]

    @property
    def library(self) -> Any:
        """Stands for a `KernelLibrary`."""
        return self

    def kernel(self, source: str, name: str) -> _Kernel:
        found = self._kernels.get((source, name))
        if found is None:
            found = self._kernels[source, name] = _Kernel(self, source, name)
        return found

    def again(self, sanitize: str, *, tmp_path: Path) -> None:
        """All launches once more in a child under `sanitize`; its buffers must end as ours did."""
        done, results = self.child(sanitize, tmp_path=tmp_path)
        assert done.returncode == 0, f"{sanitize}: {done.stderr[:6000]}"
        for buffer, result in zip(self.buffers, results, strict=True):
            np.testing.assert_array_equal(buffer.array.view(np.uint8).ravel(), result)

    def child(
        self, sanitize: str, *, tmp_path: Path
    ) -> tuple[subprocess.CompletedProcess[str], list[npt.NDArray[np.uint8]]]:
        """The finished child and its buffers, empty where it failed."""
        case, result = tmp_path / "case", tmp_path / "result"
        case.write_bytes(self._case(sanitize))
        environment = {**os.environ, **_SANITIZERS[sanitize]}
        done = subprocess.run(
            [str(runner(sanitize)), str(case), str(result)], capture_output=True, text=True, env=environment
        )
        if done.returncode:
            return done, []
        flat = np.fromfile(result, np.uint8)
        ends = np.cumsum([buffer.nbytes for buffer in self.buffers])
        return done, list(np.split(flat, ends[:-1]))

    def _case(self, sanitize: str) -> bytes:
        parts = [struct.pack("<I", len(self.buffers))]
        for buffer in self.buffers:
            parts += [struct.pack("<Q", buffer.nbytes), buffer.start.tobytes()]
        parts.append(struct.pack("<I", len(self.recorded)))
        for launch in self.recorded:
            library = ""
            if launch.source:
                library = str(build(self.folder / f"{launch.source}.cu", sanitize=sanitize, extra=self.extra))
            parts += [_text(library.encode()), _text(launch.kernel.encode())]
            parts.append(struct.pack("<7I", *launch.grid, *launch.block, launch.shared_bytes))
            parts.append(struct.pack("<I", len(launch.arguments)))
            parts += [self._argument(argument) for argument in launch.arguments]
        return b"".join(parts)

    def _argument(self, argument: Any) -> bytes:
        if isinstance(argument, np.generic):
            return struct.pack("<I", 0) + _text(argument.tobytes())
        address = argument if isinstance(argument, int) else argument.pointer
        if address == 0:
            return struct.pack("<I", 0) + _text(bytes(8))
        for number, buffer in enumerate(self.buffers):
            if buffer.pointer <= address < buffer.pointer + max(buffer.nbytes, 1):
                return struct.pack("<IIQ", 1, number, address - buffer.pointer)
        raise AssertionError(f"{address:#x} lies in no buffer of this workbench")


class _DriverBuffer(HostBuffer):
    """A `DeviceArray` of a driver; `array` is a copy of what it holds now."""

    def __init__(self, bench: DriverBench, start: AnyArray) -> None:
        self.start = np.ascontiguousarray(start).copy()
        self._bench: DriverBench = bench
        self.device = bench.driver.array(self.start.shape, self.start.dtype)
        self.device.upload(self.start, bench.stream)

    @property
    def pointer(self) -> int:
        return self.device.pointer

    @property
    def array(self) -> AnyArray:  # type: ignore[override]
        result = np.empty_like(self.start)
        self.device.download(result, self._bench.stream)
        self._bench.stream.synchronize()
        return result

    @property
    def shape(self) -> tuple[int, ...]:
        return self.start.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.start.dtype

    @property
    def nbytes(self) -> int:
        return self.start.nbytes

    def fill(self, byte: int, stream: Any) -> None:
        self.device.fill(byte, self._bench.stream)

    def close(self) -> None:
        self.device.close()


class _DriverKernel:
    def __init__(self, bench: DriverBench, source: str, name: str) -> None:
        self._bench, self._source, self.name = bench, source, name
        self._kernel = bench.kernels.kernel(source, name)

    def launch(
        self, grid: Sequence[int], block: Sequence[int], arguments: Sequence[Any], stream: Any, *, shared_bytes: int = 0
    ) -> None:
        shape = ((grid[0], grid[1], grid[2]), (block[0], block[1], block[2]))
        given = [each.device if isinstance(each, _DriverBuffer) else each for each in arguments]
        self._kernel.launch(*shape, given, self._bench.stream, shared_bytes=shared_bytes)
        self._bench.recorded.append(Launch(self._source, self.name, *shape, shared_bytes, tuple(arguments)))


@cache
def _opened(name: str) -> tuple[Driver, KernelLibrary]:
    driver = open_driver(name)
    is_shim = name == "null" or os.environ.get("LIVEMATTE_TEST_IMAGES") == "shim"
    return driver, shim_library(driver) if is_shim else compiled_library(driver)


class DriverBench(Workbench):
    """The same over a driver."""

    name = "null"

    def __init__(self, *, folder: Path = FOLDER, extra: tuple[str, ...] = ()) -> None:
        super().__init__(folder=folder, extra=extra)
        self.driver, self.kernels = _opened(os.environ.get("LIVEMATTE_TEST_CUDA") or self.name)
        self.driver.make_current()
        self.stream = self.driver.stream()

    def array(self, start: AnyArray) -> Any:
        self.buffers.append(_DriverBuffer(self, start))
        return self.buffers[-1]

    def kernel(self, source: str, name: str) -> Any:
        return _DriverKernel(self, source, name)

    def again(self, sanitize: str, *, tmp_path: Path) -> None:
        pytest.skip("sanitizers watch the kernels' CPU builds, and these ran through a driver")

    def close(self) -> None:
        """Give memory and stream back."""
        for buffer in self.buffers:
            buffer.close()
        self.stream.close()

    def __del__(self) -> None:
        if hasattr(self, "stream"):
            self.close()


def _text(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data


@cache
def runner(sanitize: str) -> Path:
    """The program that runs a case under this sanitizer; skips where the compiler has none."""
    source = HERE / "runner.cpp"
    options = ["-std=c++20", "-O1", "-g", "-pthread", f"-fsanitize={sanitize}", "-fno-sanitize-recover=all", "-ldl"]
    key = hashlib.sha256(source.read_bytes() + sanitize.encode()).hexdigest()[:20]
    made = compiled(source, options, key, suffix="")
    if subprocess.run([str(made), os.devnull, os.devnull], capture_output=True).returncode not in (3,):
        pytest.skip(f"programs built with -fsanitize={sanitize} do not run on this machine")
    return made
