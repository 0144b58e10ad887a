"""A network on the CPU behind the device's protocol: ONNX Runtime, run by the stream as a function of the host.

Memory of the null driver, and of the fake CUDA driver inside such functions, is host memory, so the session reads and
writes it where it lies.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime

from livematte.runtimes.base import TensorSpec
from livematte.runtimes.cuda.base import DeviceArray, Driver, Stream
from livematte.runtimes.onnx_header import read_header


def host_view(array: DeviceArray) -> np.ndarray:
    """The array's memory as NumPy sees it; only for drivers whose memory is the host's."""
    raw = (ctypes.c_uint8 * array.nbytes).from_address(array.pointer)
    return np.frombuffer(raw, array.dtype).reshape(array.shape)


def cpu_session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class CpuEngine:
    """A `DeviceEngine`; `alpha`: the output that is the matte."""

    name, device, precision = "cpu-stand-in", "cuda:0", "fp32"

    def __init__(self, path: Path, alpha: str, states: tuple[tuple[str, str], ...] = (), capturable: bool = True):
        self.session = cpu_session(path)
        header = read_header(path)
        self.inputs: tuple[TensorSpec, ...] = header.inputs
        self.outputs: tuple[TensorSpec, ...] = header.outputs
        self.driver: Driver | None = None
        self.alpha, self.states, self.capturable = alpha, states, capturable

    def open_slots(self, shapes, slots: int, driver: Driver, *, extra: Mapping[str, np.ndarray] = {}) -> CpuNetwork:
        return CpuNetwork(self, shapes, slots, driver, extra)

    def bind(self, shapes):
        raise AssertionError("the device's path binds nothing on the host")

    def close(self) -> None: ...


class CpuNetwork:
    """A `DeviceNetwork`."""

    def __init__(self, engine: CpuEngine, shapes, slots: int, driver: Driver, extra) -> None:
        self._engine, self._extra, self.slots = engine, dict(extra), slots
        self.is_recurrent, self.is_capturable = bool(engine.states), engine.capturable
        dtypes = {spec.name: np.dtype(spec.dtype) for spec in engine.inputs}
        states = {name for name, _ in engine.states}
        self._picture = next(n for n in shapes if n not in states and n not in extra)
        self._names = [engine.alpha, *(out for _, out in engine.states)]
        zeros = {name: np.zeros(shape, dtypes[name]) for name, shape in shapes.items()} | self._extra
        found = engine.session.run(self._names, zeros)
        like = lambda value: driver.array(value.shape, value.dtype)  # noqa: E731
        self._inputs = [driver.array(shapes[self._picture], dtypes[self._picture]) for _ in range(slots)]
        self._alphas = [like(found[0]) for _ in range(slots)]
        self._written = [[like(value) for value in found[1:]] for _ in range(slots)]
        self._before_only_slot = [like(value) for value in found[1:]] if slots == 1 else []
        self.runs = 0

    def input(self, slot: int) -> DeviceArray:
        return self._inputs[slot]

    def alpha(self, slot: int) -> DeviceArray:
        return self._alphas[slot]

    def read_by(self, slot: int) -> list[DeviceArray]:
        """The states that this slot reads."""
        return self._before_only_slot if self.slots == 1 else self._written[slot - 1]

    def reset(self, slot: int, stream: Stream) -> None:
        for state in self.read_by(slot):
            state.fill(0, stream)

    def carry(self, slot: int, stream: Stream) -> None:
        if self.slots == 1:
            return  # `enqueue` has done it
        for read, written in zip(self.read_by(slot), self._written[slot], strict=True):
            read.copy_from(written, stream)

    def enqueue(self, slot: int, stream: Stream) -> None:
        stream.call(partial(self._run, slot))
        if self.slots == 1:
            for read, written in zip(self._before_only_slot, self._written[0], strict=True):
                read.copy_from(written, stream)

    def _run(self, slot: int) -> None:
        self.runs += 1
        names = (name for name, _ in self._engine.states)
        feeds = {name: host_view(state).copy() for name, state in zip(names, self.read_by(slot), strict=True)}
        feeds |= {self._picture: host_view(self._inputs[slot]).copy()} | self._extra
        results = self._engine.session.run(self._names, feeds)
        for target, value in zip([self._alphas[slot], *self._written[slot]], results, strict=True):
            host_view(target)[...] = value

    def close(self) -> None:
        parts = [*self._inputs, *self._alphas, *self._before_only_slot]
        for part in parts + [state for states in self._written for state in states]:
            part.close()
