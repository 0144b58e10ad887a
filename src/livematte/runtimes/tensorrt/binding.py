"""A plan fed from host memory: pinned buffers, copies up and down, one wait a frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from livematte.errors import ModelError
from livematte.runtimes.base import DeviceStream, Tensor, TensorSpec
from livematte.runtimes.cuda.base import Driver, PinnedArray, Stream
from livematte.runtimes.feeds import InputBuffers
from livematte.runtimes.tensorrt.plan import LoadedPlan
from livematte.runtimes.tensorrt.profile import Shape
from livematte.runtimes.tensorrt.slots import TensorRTSlots


class PlanOwner(Protocol):
    """What a binding needs of its engine."""

    inputs: tuple[TensorSpec, ...]
    states: tuple[tuple[str, str], ...]
    wanted: tuple[str, ...]
    driver: Driver

    def plan(self, shapes: Mapping[str, Shape], constants: Mapping[str, float]) -> LoadedPlan:
        """The plan for these shapes and constants, loaded."""


class TensorRTBinding:
    """Buffers for one clip. A recurrent network gets two slots, whose states change places after each run.

    Inputs that stay the same for a clip (`downsample_ratio`) are folded into the plan. So where a network has such
    inputs, the plan is opened at the first run, when their values are known, and again if they change.
    """

    def __init__(self, engine: PlanOwner, shapes: Mapping[str, Shape]) -> None:
        self._engine = engine
        self._driver = engine.driver
        self._shapes = dict(shapes)
        self._driver.make_current()
        states = frozenset(source for source, _ in engine.states)
        self._buffers = InputBuffers(engine.inputs, shapes, states)
        self._pinned: dict[str, PinnedArray] = {}
        for name, array in list(self._buffers.arrays.items()):
            pinned = self._driver.pinned(array.shape, array.dtype)
            pinned.array[...] = 0
            self._pinned[name] = pinned
            self._buffers.arrays[name] = pinned.array
        self._constant_names = tuple(name for name, array in self._buffers.arrays.items() if array.ndim < 4)
        self._constants: dict[str, float] = {}
        self._network: TensorRTSlots | None = None
        self._stream: Stream = self._driver.stream()
        self._results: dict[str, PinnedArray] = {}
        self._views: dict[str, Tensor] = {}
        self._turn = 0
        self._is_first = True
        try:
            if not self._constant_names:
                self._open({})
        except BaseException:
            self.close()
            raise

    def buffer(self, name: str) -> Tensor:
        """The pinned host buffer of an input."""
        return self._buffers.get(name)

    def run(self, feeds: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """One step; returns when the results are there. They are views of memory that the next run overwrites."""
        self._buffers.fill(feeds)
        network = self._ready()
        for name, pinned in self._pinned.items():
            if name in self._in_plan:
                network.tensor(name, self._turn).upload(pinned, self._stream)
        slot = self._step(network, self._stream)
        for name, pinned in self._results.items():
            network.tensor(name, slot).download(pinned, self._stream)
        self._stream.synchronize()
        return self._views

    def enqueue(self, stream: DeviceStream) -> None:
        """One step on device buffers, which `network` gives out, in order on a stream of this engine's driver."""
        if not isinstance(stream, Stream):
            raise TypeError("a plan runs on a stream of the CUDA driver layer")
        self._step(self._ready(), stream)

    def reset(self) -> None:
        """The next run starts from zeros."""
        self._is_first = True

    def close(self) -> None:
        """Give the buffers back."""
        if self._network is not None:
            self._network.close()
        for array in (*self._pinned.values(), *self._results.values()):
            array.close()
        self._stream.close()
        self._network, self._pinned, self._results, self._views = None, {}, {}, {}

    def _step(self, network: TensorRTSlots, stream: Stream) -> int:
        """Enqueue one run; the slot it ran in."""
        slot = self._turn
        if self._is_first:
            network.reset(slot, stream)
            self._is_first = False
        network.enqueue(slot, stream)
        self._turn = (slot + 1) % network.slots
        return slot

    def _ready(self) -> TensorRTSlots:
        """The network, opened for the constants as they are now."""
        constants = {name: float(self._buffers.arrays[name].reshape(-1)[0]) for name in self._constant_names}
        if self._network is None or constants != self._constants:
            self._open(constants)
        assert self._network is not None
        return self._network

    def _open(self, constants: Mapping[str, float]) -> None:
        if self._network is not None:
            self._network.close()
            self._network = None
        self._constants = dict(constants)
        plan = self._engine.plan(self._shapes, constants)
        self._check(plan)
        states = tuple(pair for pair in self._engine.states if pair[0] in plan.tensors)
        self._network = TensorRTSlots(
            plan,
            self._driver,
            2 if states else 1,
            shapes=self._shapes,
            states=states,
            outputs=self._engine.wanted,
            extra={name: np.full(self._shapes[name], value, np.float32) for name, value in constants.items()},
        )
        self._in_plan = frozenset(name for name, tensor in plan.tensors.items() if tensor.is_input)
        self._turn, self._is_first = 0, True
        for old in self._results.values():
            old.close()
        self._results = {}
        for name in self._engine.wanted or self._all_outputs(plan):
            array = self._network.tensor(name, 0)
            self._results[name] = self._driver.pinned(array.shape, array.dtype)
        self._views = {name: pinned.array for name, pinned in self._results.items()}

    def _all_outputs(self, plan: LoadedPlan) -> tuple[str, ...]:
        states = {output for _, output in self._engine.states}
        return tuple(t.name for t in plan.tensors.values() if not t.is_input and t.name not in states)

    def _check(self, plan: LoadedPlan) -> None:
        """ModelError where the plan's inputs are not those of the file, or a wanted output is missing."""
        for name, array in self._buffers.arrays.items():
            tensor = plan.tensors.get(name)
            if tensor is not None and np.dtype(tensor.dtype) != array.dtype:
                raise ModelError(f"{plan.what} takes '{name}' as {tensor.dtype}, and the file has it as {array.dtype}.")
            if tensor is None and name not in self._constant_names:
                raise ModelError(f"{plan.what} has no input '{name}'; it has {', '.join(plan.tensors)}.")
        for name in self._engine.wanted:
            if name not in plan.tensors:
                raise ModelError(f"{plan.what} has no output '{name}'; it has {', '.join(plan.tensors)}.")
