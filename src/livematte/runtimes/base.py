"""What every inference runtime owes: an engine that holds weights, bindings that hold buffers and state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Tensor = npt.NDArray[np.float32] | npt.NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output of a network, as its graph declares it."""

    name: str
    dtype: str
    """NumPy's name: `float32`, `float16`."""
    shape: tuple[int | str, ...]
    """Fixed sides as numbers, free ones by the graph's own names for them (`height`) or `?`."""


class DeviceStream(Protocol):
    """An ordered queue of work on a device; its `handle` is the driver's pointer."""

    @property
    def handle(self) -> int: ...


class Binding(Protocol):
    """Buffers for one clip on one engine, with the recurrent state, for fixed shapes.

    Used by one thread at a time. State lives in two sets that change places after each run: one is read, the
    other written. What `run` returns are views of buffers that the next `run` overwrites: copy what must stay.
    """

    def buffer(self, name: str) -> Tensor:
        """The host buffer of an input that is no state: write into it, and leave the tensor out of `run`'s feeds."""

    def run(self, feeds: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """One step on host memory. Feeds are checked: ValueError names tensor, got and expected shape and dtype.

        Every input that is no state must be fed, once at least; after that, or after `buffer`, what is not fed
        keeps its value. States are the binding's own and cannot be fed.
        """

    def enqueue(self, stream: DeviceStream) -> None:
        """One step on device buffers, in order on `stream`. Host runtimes run it at once, on their own buffers."""

    def reset(self) -> None:
        """Forget the past: recurrent state back to its start."""

    def close(self) -> None:
        """Give the buffers back. Called once."""


class Engine(Protocol):
    """A loaded network: weights that threads and clips share."""

    @property
    def name(self) -> str:
        """The runtime's registry name: `onnxruntime`, `null`."""

    @property
    def device(self) -> str:
        """What it really runs on: `cpu`, `cuda:0`."""

    @property
    def precision(self) -> str:
        """What the graph really computes in: `fp32`, `fp16`, `int8`, `mixed`."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]: ...

    @property
    def outputs(self) -> tuple[TensorSpec, ...]: ...

    def bind(self, shapes: Mapping[str, tuple[int, ...]]) -> Binding:
        """Buffers for these input shapes (every input, recurrent ones included)."""

    def close(self) -> None:
        """Give the weights back. Called once, after every binding is closed."""
