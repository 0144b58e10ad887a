"""A manifest's graph tied to the tensors of a real file."""

from __future__ import annotations

from dataclasses import dataclass

from livematte.errors import ModelError
from livematte.models.manifest import ExtraInput, Graph, State
from livematte.models.sizes import NetworkSize, state_shape
from livematte.runtimes.base import TensorSpec
from livematte.runtimes.onnx_header import Header


@dataclass(frozen=True, slots=True)
class Contract:
    """Which tensor of the file is what."""

    graph: Graph
    image: TensorSpec
    alpha: TensorSpec
    states: tuple[State, ...]
    extra: tuple[ExtraInput, ...]
    inputs: dict[str, TensorSpec]
    """Every input of the file by name."""

    @property
    def is_nhwc(self) -> bool:
        return self.graph.input is not None and self.graph.input.layout == "NHWC"

    def shapes(self, size: NetworkSize) -> dict[str, tuple[int, ...]]:
        """Every input's shape for one picture of this size."""
        image = (1, size.height, size.width, 3) if self.is_nhwc else (1, 3, size.height, size.width)
        shapes: dict[str, tuple[int, ...]] = {self.image.name: image}
        shapes |= {state.input: self._start(state, size) for state in self.states}
        shapes |= {extra.name: extra.shape for extra in self.extra}
        return shapes

    def _start(self, state: State, size: NetworkSize) -> tuple[int, ...]:
        """Zeros that the network broadcasts, unless the file declares fixed sides for its state."""
        declared = self.inputs[state.input].shape
        if all(isinstance(side, str) for side in declared):
            return state.shape
        full = state_shape(state, size)
        return tuple(side if isinstance(side, int) else full[at] for at, side in enumerate(declared))

    def fixed_size(self) -> tuple[int, int] | None:
        """(width, height) where the file declares both sides of its picture as numbers."""
        height, width = self.image.shape[1:3] if self.is_nhwc else self.image.shape[2:4]
        return (width, height) if isinstance(width, int) and isinstance(height, int) else None


def tie(graph: Graph, header: Header, origin: str) -> Contract:
    """Find each tensor of the manifest in the file. ModelError names what is not there and what is."""
    if graph.input is None or graph.alpha is None:
        raise ModelError(f"{origin}: this graph takes no picture or gives no matte, so it cannot run by itself.")
    image = _find(header.inputs, graph.input.name, graph.input.position, "input", origin)
    alpha = _find(header.outputs, graph.alpha.name, graph.alpha.position, "output", origin)
    for state in graph.states:
        _find(header.inputs, state.input, 0, "input", origin)
        _find(header.outputs, state.output, 0, "output", origin)
    for extra in graph.extra:
        _find(header.inputs, extra.name, 0, "input", origin)
    told = {image.name, *(state.input for state in graph.states), *(extra.name for extra in graph.extra)}
    left = [spec.name for spec in header.inputs if spec.name not in told]
    if left:
        raise ModelError(f"{origin}: the file also wants {', '.join(left)}, which its manifest does not mention.")
    if image.dtype not in ("float32", "float16") or len(image.shape) != 4:
        raise ModelError(
            f"{origin}: the input '{image.name}' is {image.dtype} with {len(image.shape)} sides; a picture input has "
            "float32 or float16 and four sides."
        )
    return Contract(graph, image, alpha, graph.states, graph.extra, {spec.name: spec for spec in header.inputs})


def _find(specs: tuple[TensorSpec, ...], name: str | None, position: int, kind: str, origin: str) -> TensorSpec:
    if name is None:
        if position < len(specs):
            return specs[position]
        raise ModelError(f"{origin}: its manifest wants {kind} number {position}, and the file has {len(specs)}.")
    found = next((spec for spec in specs if spec.name == name), None)
    if found is None:
        there = ", ".join(spec.name for spec in specs)
        raise ModelError(
            f"{origin}: its manifest wants the {kind} '{name}', and the file has {there}. It is another network, or "
            "the manifest must name these."
        )
    return found
