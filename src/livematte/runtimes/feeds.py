"""Input buffers of a binding, and the checks of what is fed into them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from livematte.runtimes.base import Tensor, TensorSpec


def check_shapes(inputs: Iterable[TensorSpec], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """ValueError where a shape is missing, unknown, or does not fit what the graph declares."""
    known = {spec.name: spec for spec in inputs}
    for name in shapes:
        if name not in known:
            raise ValueError(f"the network has no input '{name}'; it has {', '.join(known)}")
    for name, spec in known.items():
        if name not in shapes:
            raise ValueError(f"no shape was given for the input '{name}', which is {spec.dtype} {_declared(spec)}")
        shape = shapes[name]
        fits = len(shape) == len(spec.shape) and all(
            isinstance(want, str) or want == got for want, got in zip(spec.shape, shape, strict=True)
        )
        if not fits:
            raise ValueError(f"the input '{name}' is {_declared(spec)} in the graph, and {shape} was asked for")


def _declared(spec: TensorSpec) -> str:
    return "(" + ", ".join(str(side) for side in spec.shape) + ")"


class InputBuffers:
    """One array an input that is no state; remembers which were ever written."""

    def __init__(
        self, inputs: Iterable[TensorSpec], shapes: Mapping[str, tuple[int, ...]], states: frozenset[str]
    ) -> None:
        self._states = states
        self.arrays: dict[str, Tensor] = {
            spec.name: np.zeros(shapes[spec.name], np.dtype(spec.dtype)) for spec in inputs if spec.name not in states
        }
        self._unfed = set(self.arrays)

    def get(self, name: str) -> Tensor:
        """The buffer, which from now on counts as fed."""
        self._check_name(name)
        self._unfed.discard(name)
        return self.arrays[name]

    def fill(self, feeds: Mapping[str, Tensor]) -> None:
        """Copy feeds in, each checked first; ValueError names tensor, got and expected shape and dtype."""
        for name, value in feeds.items():
            self._check_name(name)
            buffer = self.arrays[name]
            if value.shape != buffer.shape or value.dtype != buffer.dtype:
                raise ValueError(
                    f"the input '{name}' got {value.dtype} {value.shape}; this binding takes "
                    f"{buffer.dtype} {buffer.shape}"
                )
        for name, value in feeds.items():
            if value is not self.arrays[name]:
                np.copyto(self.arrays[name], value)
            self._unfed.discard(name)
        if self._unfed:
            raise ValueError(f"nothing was ever fed into the input{'s' * (len(self._unfed) > 1)} "
                             f"{', '.join(sorted(self._unfed))}")  # fmt: skip

    def _check_name(self, name: str) -> None:
        if name in self._states:
            raise ValueError(f"the input '{name}' is a recurrent state; the binding keeps it by itself")
        if name not in self.arrays:
            raise ValueError(f"the network has no input '{name}'; it has {', '.join(self.arrays)}")
