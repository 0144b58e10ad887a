"""A plan bound to the buffers of S slots: what `matting/device` enqueues (`matting/device/network.py`).

Note [One context a slot]
    Addresses belong to an execution context, and captured graphs hold them; so each slot has a context of its own,
    whose addresses are set once. All of them share one scratch memory for activations, which is why their runs must
    follow one another: on one stream, or ordered by events. A recurrent network needs that anyway.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from livematte.errors import DeviceError, ModelError
from livematte.runtimes.cuda.base import DeviceArray, Driver, Stream
from livematte.runtimes.tensorrt.plan import Context, LoadedPlan, PlanTensor
from livematte.runtimes.tensorrt.profile import Shape


class TensorRTSlots:
    """Implements `DeviceNetwork`. Slot k reads the states that slot k - 1 wrote, and writes its own."""

    def __init__(
        self,
        plan: LoadedPlan,
        driver: Driver,
        slots: int,
        *,
        shapes: Mapping[str, Shape] | None = None,
        states: tuple[tuple[str, str], ...] = (),
        outputs: tuple[str, ...] = (),
        extra: Mapping[str, npt.NDArray[Any]] | None = None,
    ) -> None:
        """`shapes` are needed for a plan with free sides only. ModelError where the states of the plan do not pair.

        Runs every slot once on zeros, so that whatever the library does at a first run (loading kernels, compiling
        them) is done before anything is captured or timed. States are zeros afterwards.
        """
        if slots < 1:
            raise ValueError(f"a network needs at least one slot, got {slots}")
        self._plan = plan
        self._driver = driver
        self._slots = slots
        self._pairs = tuple(pair for pair in states if pair[0] in plan.tensors)
        self._contexts: list[Context] = []
        self._arrays: list[dict[str, DeviceArray]] = [{} for _ in range(slots)]
        self._scratch: DeviceArray | None = None
        self._is_capturable = True
        driver.make_current()
        try:
            self._open(shapes or {}, extra or {})
            taken = {output for _, output in self._pairs}
            self._input = self._only_name(is_input=True, but={source for source, _ in self._pairs}, wanted=())
            self._alpha = self._only_name(is_input=False, but=taken, wanted=outputs)
            self._warm()
        except BaseException:
            self.close()
            raise

    @property
    def slots(self) -> int:
        """How many slots it was opened for."""
        return self._slots

    @property
    def is_recurrent(self) -> bool:
        """True where the network has states."""
        return bool(self._pairs)

    @property
    def is_capturable(self) -> bool:
        """True where `enqueue` may be captured into a CUDA graph."""
        return self._is_capturable

    def input(self, slot: int) -> DeviceArray:
        """The picture tensor of this slot."""
        return self._arrays[slot][self._input]

    def alpha(self, slot: int) -> DeviceArray:
        """What `enqueue` writes for this slot."""
        return self._arrays[slot][self._alpha]

    def tensor(self, name: str, slot: int) -> DeviceArray:
        """Any input or output by name."""
        return self._arrays[slot][name]

    def reset(self, slot: int, stream: Stream) -> None:
        """Zeros into the states that this slot reads."""
        for source, _ in self._pairs:
            self._arrays[slot][source].fill(0, stream)

    def carry(self, slot: int, stream: Stream) -> None:
        """Copy the states that this slot wrote into those that it reads."""
        arrays = self._arrays[slot]
        for source, output in self._pairs:
            arrays[source].copy_from(arrays[output], stream)

    def enqueue(self, slot: int, stream: Stream) -> None:
        """One step. With one slot, what it wrote is copied over what it read, behind it on the same stream."""
        self._contexts[slot].enqueue(stream.handle)
        if self._slots == 1:
            self.carry(slot, stream)

    def close(self) -> None:
        """Give the buffers back, after graphs that captured this network. Waits for the device; it may be lost."""
        with contextlib.suppress(DeviceError):  # a lost device has nothing left to wait for
            self._driver.synchronize()
        for context in self._contexts:
            context.close()
        self._contexts = []
        for array in {id(array): array for arrays in self._arrays for array in arrays.values()}.values():
            array.close()
        if self._scratch is not None:
            self._scratch.close()
        self._arrays, self._scratch = [{} for _ in range(self._slots)], None

    def _open(self, shapes: Mapping[str, Shape], extra: Mapping[str, npt.NDArray[Any]]) -> None:
        """Contexts, buffers, addresses."""
        inputs = {t.name: t.shape for t in self._plan.tensors.values() if t.is_input}
        wanted = {name: tuple(shapes[name]) if -1 in shape else shape for name, shape in inputs.items()}
        self._contexts = [self._plan.context(wanted) for _ in range(self._slots)]
        whole = self._contexts[0].shapes
        self._check_states(whole)
        most = max(context.scratch_bytes for context in self._contexts)
        self._scratch = self._driver.array((max(most, 256),), np.uint8)
        self._allocate(whole)
        for context, arrays in zip(self._contexts, self._arrays, strict=True):
            context.use_scratch(self._scratch)
            for name, array in arrays.items():
                context.set_address(name, array)
        stream = self._driver.stream()
        try:
            for arrays in self._arrays:
                for name, array in arrays.items():
                    array.fill(0, stream)
                    if name in extra and inputs.get(name) is not None:
                        array.upload(np.ascontiguousarray(extra[name], array.dtype), stream)
            stream.synchronize()
        finally:
            stream.close()

    def _allocate(self, whole: Mapping[str, Shape]) -> None:
        """A buffer for each tensor and slot; what a slot reads as state is what the slot before it writes."""
        reads = dict(self._pairs)
        own = [tensor for tensor in self._plan.tensors.values() if tensor.name not in reads or self._slots == 1]
        for arrays in self._arrays:
            for tensor in own:
                arrays[tensor.name] = self._driver.array(whole[tensor.name], np.dtype(tensor.dtype))
        if self._slots > 1:
            for slot, arrays in enumerate(self._arrays):
                for source, output in reads.items():
                    arrays[source] = self._arrays[slot - 1][output]

    def _check_states(self, whole: Mapping[str, Shape]) -> None:
        """ModelError where a state comes out in another form than it goes in."""
        tensors = self._plan.tensors
        for source, output in self._pairs:
            into, out = tensors[source], tensors.get(output)
            if out is None:
                raise ModelError(f"{self._plan.what} has the state '{source}' and not its output '{output}'.")
            if whole[source] != whole[output] or into.dtype != out.dtype:
                raise ModelError(
                    f"{self._plan.what}: the state '{source}' goes in as {into.dtype} {whole[source]} and comes out as "
                    f"{out.dtype} {whole[output]}; a plan needs both alike. State channels and stride in the manifest."
                )

    def _only_name(self, *, is_input: bool, but: set[str], wanted: tuple[str, ...]) -> str:
        """The picture's or the matte's tensor: the first wanted one, else the first with four sides."""
        found: list[PlanTensor] = [
            tensor for tensor in self._plan.tensors.values() if tensor.is_input == is_input and tensor.name not in but
        ]
        names = [tensor.name for tensor in found]
        first = next((name for name in wanted if name in names), None)
        first = first or next((tensor.name for tensor in found if len(tensor.shape) == 4), None)
        if first is None:
            raise ModelError(f"{self._plan.what} has no {'picture to take' if is_input else 'matte to give'}.")
        return first

    def _warm(self) -> None:
        """One run a slot, then zeros into all states."""
        stream = self._driver.stream()
        try:
            for slot in range(self._slots):
                self.enqueue(slot, stream)
            stream.synchronize()
            self._is_capturable = all(context.is_capturable(stream.handle) for context in self._contexts)
            for slot in range(self._slots):
                self.reset(slot, stream)
            stream.synchronize()
        finally:
            stream.close()
        self._plan.keep_kernels()
