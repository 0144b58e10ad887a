"""A graph with its cross-references: who makes a tensor, who reads it, of what type and shape it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import onnx

from livematte.runtimes.graphs import editing
from livematte.runtimes.graphs.editing import Array
from livematte.runtimes.graphs.facts import GraphFacts

FEW = 64
"""Elements up to which a constant is a number of the formula; above, it is weights, and may round."""
_COLOURS = 4
"""A mean over no more values than a picture has channels is a grey, not a statistic."""


class Finder:
    """The graph with its cross-references, and what was found so far."""

    def __init__(self, model: onnx.ModelProto, facts: GraphFacts) -> None:
        self.model = model
        self.facts = facts
        self.nodes = list(model.graph.node)
        self.found: dict[str, str] = {}
        self.producers = {name: node for node in self.nodes for name in node.output if name}
        self.consumers: dict[str, list[onnx.NodeProto]] = {}
        for node in self.nodes:
            for name in editing.uses(node):
                self.consumers.setdefault(name, []).append(node)
        self.tensors = {tensor.name: tensor for tensor in model.graph.initializer}
        self.types = editing.value_types(model)
        self.shapes = editing.value_shapes(model)
        self.outputs = {value.name for value in model.graph.output}
        states = {output for _, output in facts.states}
        self.mattes = [value.name for value in model.graph.output if value.name not in states]

    def add(self, nodes: Iterable[onnx.NodeProto], reason: str) -> None:
        """Keep these in fp32; the first reason stays."""
        for node in nodes:
            self.found.setdefault(node.name, reason)

    def is_float(self, name: str) -> bool:
        return self.types.get(name) == editing.FLOAT

    def before(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """Nodes that make this one's floating-point inputs."""
        return [self.producers[name] for name in node.input if name in self.producers and self.is_float(name)]

    def after(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """Nodes that read what this one makes."""
        return [user for name in node.output for user in self.consumers.get(name, ())]

    def numbers(self, node: onnx.NodeProto) -> Iterator[Array]:
        """The constants of a node that are numbers of its formula, as float64."""
        for name in node.input:
            tensor = self.tensors.get(name)
            if tensor is not None and tensor.data_type == editing.FLOAT and int(np.prod(tensor.dims)) <= FEW:
                yield editing.array(tensor).astype(np.float64)

    def averages(self, node: onnx.NodeProto) -> bool:
        """True for a mean over a neighbourhood or a picture: a pool, a mean, a box filter written as a convolution."""
        if node.op_type in ("AveragePool", "GlobalAveragePool"):
            return True
        if node.op_type == "ReduceMean":
            return self.reduced(node) is None or (self.reduced(node) or 0) > _COLOURS
        return node.op_type == "Conv" and self.is_box(node)

    def is_box(self, node: onnx.NodeProto) -> bool:
        """A depthwise convolution whose kernel is one number, 1 / its size."""
        tensor = self.tensors.get(node.input[1])
        if tensor is None or len(tensor.dims) != 4 or tensor.dims[1] != 1 or len(node.input) > 2:
            return False
        kernel = editing.array(tensor)
        size = kernel.shape[2] * kernel.shape[3]
        return size > 1 and bool(np.allclose(kernel, 1 / size, rtol=1e-3))

    def reduced(self, node: onnx.NodeProto) -> int | None:
        """How many values a reduction takes together; None: not known."""
        shape = self.shapes.get(node.input[0])
        if shape is None:
            return None
        axes = editing.attribute(node, "axes")
        if axes is None and len(node.input) > 1 and node.input[1] in self.tensors:
            axes = editing.array(self.tensors[node.input[1]]).ravel().tolist()
        sides = [shape[axis] for axis in axes] if axes else list(shape)
        known = [side for side in sides if side is not None]
        return int(np.prod(known)) if len(known) == len(sides) else None

    def climb(self, roots: Sequence[str], wanted: Callable[[onnx.NodeProto], bool]) -> list[onnx.NodeProto]:
        """Nodes from these floating-point tensors backwards, as far as `wanted` says yes."""
        waiting = [name for name in roots if name and self.is_float(name)]
        seen: dict[str, onnx.NodeProto] = {}
        while waiting:
            node = self.producers.get(waiting.pop())
            if node is None or node.name in seen or not wanted(node):
                continue
            seen[node.name] = node
            waiting += [name for name in node.input if self.is_float(name)]
        return list(seen.values())
