"""Arrays on the device, and page-locked ones on the host."""

from __future__ import annotations

import math
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from livematte.errors import DeviceError, UsageError
from livematte.runtimes.cuda.base import DeviceArray, HostArray, PinnedArray, Shape, Stream
from livematte.runtimes.cuda.resources import Owned, Resource
from livematte.runtimes.cuda.streams import CudaStream, own_stream

if TYPE_CHECKING:
    from livematte.runtimes.cuda.driver import CudaDriver


def checked_layout(shape: Shape, dtype: npt.DTypeLike) -> tuple[Shape, np.dtype[Any], int]:
    """(shape as ints, dtype, bytes) of an array. UsageError for empty shapes and for types that hold Python objects."""
    kind = np.dtype(dtype)
    sides = tuple(int(side) for side in shape)
    if kind.hasobject or kind.itemsize == 0:
        raise UsageError(f"an array on a device cannot hold {kind}; take a number type such as float16 or uint8.")
    if any(side < 1 for side in sides):
        raise UsageError(f"an array on a device needs sides of at least 1; the shape given was {tuple(shape)}.")
    return sides, kind, math.prod(sides) * kind.itemsize


class CudaArray(Owned):
    """`base.DeviceArray` over a back end: memory of its own, or a view of somebody else's."""

    __slots__ = ("_dtype", "_nbytes", "_pointer", "_shape", "owner")
    _what = "array"

    def __init__(
        self,
        driver: CudaDriver,
        pointer: int,
        layout: tuple[Shape, np.dtype[Any], int],
        *,
        resource: Resource,
        owner: object = None,
    ) -> None:
        super().__init__(driver, resource)
        self._pointer = pointer
        self._shape, self._dtype, self._nbytes = layout
        self.owner = owner
        """Who owns the memory of a view; None for memory of its own, and after `close`."""

    @property
    def is_closed(self) -> bool:
        if isinstance(self.owner, Owned) and self.owner.is_closed:
            return True
        return super().is_closed

    @property
    def pointer(self) -> int:
        self._refuse_closed()
        return self._pointer

    @property
    def shape(self) -> Shape:
        return self._shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._dtype

    @property
    def nbytes(self) -> int:
        return self._nbytes

    @property
    def __cuda_array_interface__(self) -> Mapping[str, Any]:
        # Without `stream`: None would mean the same, and the readers order themselves by our events.
        descriptor = {"descr": self._dtype.descr} if self._dtype.names else {}
        return {
            "version": 3,
            "shape": self._shape,
            "typestr": self._dtype.str,
            "data": (self.pointer, False),
            "strides": None,
            **descriptor,
        }

    def upload(self, source: HostArray | PinnedArray, stream: Stream) -> None:
        queue = self._on(stream)
        pointer, pinned = self._host(source, queue, "uploaded")
        self._driver.backend.copy_up(self._pointer, pointer, self._nbytes, queue.handle)
        if pinned is None:
            # The driver may read pageable memory later than the call; only then may the caller change it.
            self._driver.backend.synchronize_stream(queue.handle)
        else:
            queue.keep(self, pinned)

    def download(self, into: HostArray | PinnedArray, stream: Stream) -> None:
        queue = self._on(stream)
        pointer, pinned = self._host(into, queue, "downloaded")
        if isinstance(into, np.ndarray) and not into.flags.writeable:
            raise UsageError("an array on a device cannot be downloaded into an array that is read-only.")
        self._driver.backend.copy_down(pointer, self._pointer, self._nbytes, queue.handle)
        if pinned is None:
            self._driver.backend.synchronize_stream(queue.handle)
        else:
            queue.keep(self, pinned)

    def copy_from(self, other: DeviceArray, stream: Stream) -> None:
        queue = self._on(stream)
        source = own_array(other, self._driver)
        if (source.shape, source.dtype) != (self._shape, self._dtype):
            raise UsageError(
                f"cannot copy {_layout(source.shape, source.dtype)} to {_layout(self._shape, self._dtype)}."
            )
        self._driver.backend.copy(self._pointer, source.pointer, self._nbytes, queue.handle)
        queue.keep(self, source)

    def fill(self, byte: int, stream: Stream) -> None:
        queue = self._on(stream)
        if not 0 <= byte <= 255:
            raise UsageError(f"an array is filled with a byte, 0 to 255; given was {byte}.")
        self._driver.backend.fill(self._pointer, byte, self._nbytes, queue.handle)
        queue.keep(self)

    def close(self) -> None:
        self.owner = None
        super().close()

    def _on(self, stream: Stream) -> CudaStream:
        self.use()
        return own_stream(stream, self._driver)

    def _refuse_closed(self) -> None:
        if self.is_closed:
            raise DeviceError("the address of an array was asked for after it, or what it is a part of, was closed.")

    def _host(self, host: HostArray | PinnedArray, queue: CudaStream, done: str) -> tuple[int, CudaPinned | None]:
        """(address, the pinned array or None) of host memory that fits this array."""
        pinned: CudaPinned | None = None
        if isinstance(host, np.ndarray):
            array: HostArray = host
            queue.refuse_capture(f"cannot have an ordinary array {done} on it (only a PinnedArray)")
        elif isinstance(host, CudaPinned) and host.driver is self._driver:
            pinned, array = host, host.array
        else:
            raise UsageError(
                f"an array is {done} with a NumPy array or a PinnedArray of the same driver, not a "
                f"{type(host).__name__}."
            )
        if (array.shape, array.dtype) != (self._shape, self._dtype):
            raise UsageError(
                f"{_layout(self._shape, self._dtype)} on a device cannot be {done} with "
                f"{_layout(array.shape, array.dtype)}."
            )
        if not array.flags.c_contiguous:
            raise UsageError(f"an array can be {done} with C-contiguous host memory only: use numpy.ascontiguousarray.")
        return array.ctypes.data, pinned


class PinnedBlock:
    """Page-locked memory as NumPy sees it. It lives as long as any view of it, so that no view can dangle."""

    __slots__ = ("__array_interface__", "__weakref__")

    def __init__(self, pointer: int, nbytes: int) -> None:
        self.__array_interface__ = {
            "version": 3,
            "shape": (nbytes,),
            "typestr": "|u1",
            "data": (pointer, False),
            "strides": None,
        }


class CudaPinned:
    """`base.PinnedArray` over a back end."""

    __slots__ = ("_array", "_driver", "_nbytes", "_pointer", "_resource")

    def __init__(
        self, driver: CudaDriver, pointer: int, layout: tuple[Shape, np.dtype[Any], int], resource: Resource
    ) -> None:
        shape, dtype, self._nbytes = layout
        self._driver = driver
        self._pointer = pointer
        self._resource = resource
        block = PinnedBlock(pointer, self._nbytes)
        weakref.finalize(block, driver.reclaimer.give_up, resource).atexit = False
        self._array: HostArray | None = np.asarray(block).view(dtype).reshape(shape)

    @property
    def driver(self) -> CudaDriver:
        """The driver it was made by."""
        return self._driver

    @property
    def resource(self) -> Resource:
        """What it holds."""
        return self._resource

    @property
    def array(self) -> HostArray:
        if self._array is None or self._driver.is_closed:
            raise DeviceError("a page-locked array was used after it, or its driver, was closed.")
        return self._array

    @property
    def pointer(self) -> int:
        return self._pointer if self.array is not None else 0

    @property
    def nbytes(self) -> int:
        return self._nbytes

    def close(self) -> None:
        self._resource.is_returned = True
        self._array = None
        self._driver.collect()


def own_array(array: DeviceArray, driver: CudaDriver) -> CudaArray:
    """The array, if it is an open one of this driver; UsageError for another's, DeviceError for a closed one."""
    if not isinstance(array, CudaArray) or array.driver is not driver:
        raise UsageError(f"the array is no array of this {driver.name} driver: make it with driver.array() or view().")
    array.use()
    return array


def _layout(shape: Shape, dtype: np.dtype[Any]) -> str:
    return f"an array {shape} of {dtype}"
