"""A runtime that does everything but compute: for tests, and to time what is around the network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from livematte.errors import DeviceError
from livematte.runtimes.base import DeviceStream, Tensor, TensorSpec
from livematte.runtimes.feeds import InputBuffers, check_shapes
from livematte.runtimes.onnx_header import read_header
from livematte.runtimes.options import EngineOptions


class NullEngine:
    """Reads a graph's header and nothing else; every output is `constant_alpha`, every state zeros."""

    name = "null"
    version = "-"
    threads = 0

    def __init__(self, path: Path, options: EngineOptions) -> None:
        if options.device not in ("cpu", "auto"):
            raise DeviceError(
                f"the null runtime computes nothing and has no device '{options.device}'. Use --device cpu."
            )
        header = read_header(path)
        self.options = options
        self.device = "cpu"
        self.precision = options.precision
        self.inputs = header.inputs
        self.outputs = header.outputs

    def bind(self, shapes: Mapping[str, tuple[int, ...]]) -> NullBinding:
        """Buffers for these input shapes. ValueError where they do not fit the graph."""
        check_shapes(self.inputs, shapes)
        return NullBinding(self, shapes)

    def close(self) -> None:
        """Nothing is held."""


class NullBinding:
    """Checks feeds as every binding does, and gives constants back."""

    def __init__(self, engine: NullEngine, shapes: Mapping[str, tuple[int, ...]]) -> None:
        pairs = {output: source for source, output in engine.options.states}
        self._buffers = InputBuffers(engine.inputs, shapes, frozenset(pairs.values()))
        wanted = engine.options.outputs or tuple(s.name for s in engine.outputs if s.name not in pairs)
        picture = next((shapes[s.name] for s in engine.inputs if len(s.shape) == 4), (1, 1, 1, 1))
        named = _named_sides(engine.inputs, shapes, frozenset(pairs.values()))
        self._states = [
            {
                spec.name: np.zeros(shapes[pairs[spec.name]], np.dtype(spec.dtype))
                for spec in engine.outputs
                if spec.name in pairs
            }
            for _ in range(2)
        ]
        self._results: dict[str, Tensor] = {
            spec.name: np.full(
                _resolve(spec, named, picture), engine.options.constant_alpha, dtype=np.dtype(spec.dtype)
            )
            for spec in engine.outputs
            if spec.name in wanted
        }

    def buffer(self, name: str) -> Tensor:
        """The host buffer of an input."""
        return self._buffers.get(name)

    def run(self, feeds: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Takes the feeds, changes the state sets' places, gives the constants."""
        self._buffers.fill(feeds)
        self._states.reverse()
        return self._results

    def enqueue(self, stream: DeviceStream) -> None:
        """One step, at once."""
        self.run({})

    def reset(self) -> None:
        """States are zeros already."""

    def close(self) -> None:
        """Give the buffers back."""
        self._states, self._results = [], {}


def _named_sides(
    inputs: tuple[TensorSpec, ...], shapes: Mapping[str, tuple[int, ...]], states: frozenset[str]
) -> dict[str, int]:
    """The graph's own names of free sides -> their size here. States do not count: RVM names all theirs alike."""
    return {
        side: size
        for spec in inputs
        if spec.name not in states
        for side, size in zip(spec.shape, shapes[spec.name], strict=True)
        if isinstance(side, str) and side != "?"
    }


def _resolve(spec: TensorSpec, named: Mapping[str, int], picture: tuple[int, ...]) -> tuple[int, ...]:
    """A whole shape for an output: fixed sides, then sides by name, then the picture's own at the same place."""
    shape = [
        side if isinstance(side, int) else named.get(side, picture[at] if at < len(picture) else 1)
        for at, side in enumerate(spec.shape)
    ]
    return tuple(shape) or (1,)
