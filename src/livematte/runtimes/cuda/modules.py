"""Kernel images and the kernels in them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from livematte.errors import UsageError
from livematte.runtimes.cuda.arguments import ArgumentBlock, check_sizes, value_of
from livematte.runtimes.cuda.base import Argument, Grid, Stream
from livematte.runtimes.cuda.memory import CudaArray, own_array
from livematte.runtimes.cuda.resources import Owned, Resource
from livematte.runtimes.cuda.streams import own_stream

if TYPE_CHECKING:
    from livematte.runtimes.cuda.driver import CudaDriver

MAX_GRID = (2**31 - 1, 65_535, 65_535)
MAX_BLOCK = (1024, 1024, 64)
MAX_THREADS = 1024
MAX_SHARED_BYTES = 48 * 1024
"""Limits of every GPU since Kepler (CUDA C++ programming guide, table of compute capabilities); more shared memory than
this must be asked for kernel by kernel, and differs from chip to chip."""


class CudaModule(Owned):
    """`base.Module` over a back end."""

    __slots__ = ("_handle", "_kernels")
    _what = "kernel module"

    def __init__(self, driver: CudaDriver, handle: int, resource: Resource) -> None:
        super().__init__(driver, resource)
        self._handle = handle
        self._kernels: dict[str, CudaKernel] = {}

    def function(self, name: str) -> CudaKernel:
        self.use()
        if name not in self._kernels:
            handle = self._driver.backend.function(self._handle, name)
            sizes = self._driver.backend.argument_sizes(handle)
            self._kernels[name] = CudaKernel(self, name, handle, sizes)
        return self._kernels[name]


class CudaKernel:
    """`base.Kernel` over a back end."""

    __slots__ = ("_handle", "_module", "_name", "_sizes")

    def __init__(self, module: CudaModule, name: str, handle: int, sizes: tuple[int, ...] | None) -> None:
        self._module = module
        self._name = name
        self._handle = handle
        self._sizes = sizes

    @property
    def name(self) -> str:
        return self._name

    def launch(
        self, grid: Grid, block: Grid, arguments: Sequence[Argument], stream: Stream, *, shared_bytes: int = 0
    ) -> None:
        self._module.use()
        driver = self._module.driver
        queue = own_stream(stream, driver)
        self._check_grid(grid, block, shared_bytes)
        values: list[bytes] = []
        arrays: list[CudaArray] = []
        for at, argument in enumerate(arguments):
            if isinstance(argument, CudaArray):
                array = own_array(argument, driver)
                arrays.append(array)
                values.append(array.pointer.to_bytes(8, "little"))
            else:
                values.append(value_of(argument, self._name, at))
        packed = ArgumentBlock(values)
        check_sizes(packed.sizes, self._sizes, self._name)
        driver.backend.launch(self._handle, grid, block, packed, stream=queue.handle, shared_bytes=shared_bytes)
        queue.keep(self._module, *arrays)

    def _check_grid(self, grid: Grid, block: Grid, shared_bytes: int) -> None:
        if not 0 <= shared_bytes <= MAX_SHARED_BYTES:
            raise UsageError(
                f"the kernel {self._name} was given {shared_bytes} bytes of shared memory a block; it may have 0 to "
                f"{MAX_SHARED_BYTES}."
            )
        for sides, limits, what in ((grid, MAX_GRID, "grid"), (block, MAX_BLOCK, "block")):
            fits = len(sides) == 3 and all(1 <= side <= most for side, most in zip(sides, limits, strict=True))
            if not fits:
                raise UsageError(f"the kernel {self._name} was given a {what} of {sides}; it may have 1 to {limits}.")
        if math.prod(block) > MAX_THREADS:
            raise UsageError(
                f"the kernel {self._name} was given blocks of {block}: {math.prod(block)} threads; at most "
                f"{MAX_THREADS} are possible."
            )
