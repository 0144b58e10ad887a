"""A graph in fp16 with fp32 islands.

Every floating-point tensor gets one of two types by the node that makes it: float32 in an island, float16 elsewhere.
A Cast stands where one kind reads what the other made, and one serves all readers. Weights are stored in the type that
their reader wants. Nothing is left to a runtime's choice: TensorRT 11 knows strongly typed networks only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from livematte.errors import ModelError
from livematte.runtimes.graphs import editing
from livematte.runtimes.graphs.editing import FLOAT, HALF
from livematte.runtimes.graphs.facts import GraphFacts
from livematte.runtimes.graphs.islands import LARGEST, SMALLEST_NORMAL, find_islands
from livematte.runtimes.graphs.running import Network
from livematte.runtimes.graphs.typecheck import check_types, takes_only_full

QUANTIZED_OPSET = 19
"""From this version on QuantizeLinear and DequantizeLinear have a form for float16."""
_TYPES = {"fp32": FLOAT, "fp16": HALF}


@dataclass(frozen=True)
class HalfGraph:
    """What `to_half` gives."""

    model: onnx.ModelProto
    islands: tuple[tuple[str, str], ...]
    """(node, reason) of what computes in fp32, in the graph's order."""
    notes: tuple[str, ...]
    full: onnx.ModelProto
    """The same nodes in fp32: what the islands' names speak of, and what `rounding.rounded` takes."""


def to_half(model: onnx.ModelProto, facts: GraphFacts) -> HalfGraph:
    """The network (as `editing.load` gives it, which stays as it is) in fp16, with inputs and outputs typed as asked.

    An INT8 graph keeps its quantized values; their scales become float16. ModelError (4): inner graphs that are decided
    by a picture (If, Loop), or a result that no runtime would take.
    """
    made = editing.copy_of(model)
    _check_simple(made)
    if is_quantized(made):
        made = editing.at_least(made, QUANTIZED_OPSET)
    folded = fold_batch_norms(made)
    islands = find_islands(made, facts)
    full = editing.copy_of(made)
    _Converter(made, facts, islands).convert()
    check_types(made)
    Network(made, what="the network in fp16")  # its loader checks every operator's types again, by other code
    notes = [f"{len(islands)} of {len(model.graph.node)} operations stay in fp32"]
    if folded:
        notes.append(f"{folded} batch norms became one multiplication and one addition each")
    return HalfGraph(made, tuple(islands.items()), tuple(notes), full)


def is_quantized(model: onnx.ModelProto) -> bool:
    """True where values are quantized: an INT8 graph."""
    return any(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in model.graph.node)


def is_half(model: onnx.ModelProto) -> bool:
    """True where most of the weights are float16 already."""
    sizes = {FLOAT: 0, HALF: 0}
    for tensor in model.graph.initializer:
        if tensor.data_type in sizes:
            sizes[tensor.data_type] += int(np.prod(tensor.dims))
    return sizes[HALF] > sizes[FLOAT]


def fold_batch_norms(model: onnx.ModelProto) -> int:
    """BatchNormalization with constant statistics becomes a Mul and an Add, in place; gives their number.

    Its epsilon and variances are then spent in float64, before anything is rounded to fp16.
    """
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    ranks = {name: len(shape) for name, shape in editing.value_shapes(model).items()}
    nodes: list[onnx.NodeProto] = []
    count = 0
    for node in model.graph.node:
        is_constant = node.op_type == "BatchNormalization" and all(name in tensors for name in node.input[1:5])
        if not is_constant or node.input[0] not in ranks or len([name for name in node.output if name]) != 1:
            nodes.append(node)
            continue
        scale, bias, mean, variance = (editing.array(tensors[name]).astype(np.float64) for name in node.input[1:5])
        gain = scale / np.sqrt(variance + editing.attribute(node, "epsilon", 1e-5))
        shape = (-1, *(1,) * (ranks[node.input[0]] - 2))
        names = [f"{node.name}.{part}" for part in ("gain", "offset", "scaled")]
        kind = editing.array(tensors[node.input[1]]).dtype
        editing.add_constant(model, names[0], gain.reshape(shape).astype(kind))
        editing.add_constant(model, names[1], (bias - mean * gain).reshape(shape).astype(kind))
        nodes.append(helper.make_node("Mul", [node.input[0], names[0]], [names[2]], name=f"{node.name}.mul"))
        nodes.append(helper.make_node("Add", [names[2], names[1]], [node.output[0]], name=f"{node.name}.add"))
        count += 1
    if count:
        editing.replace_nodes(model.graph, nodes)
        editing.prune(model)
    return count


def _check_simple(model: onnx.ModelProto) -> None:
    held = next((node for node in model.graph.node if next(editing.subgraphs(node), None) is not None), None)
    if held is not None:
        raise ModelError(
            f"the network has a branch or a loop inside ({held.op_type} '{held.name}'), which cannot be converted to "
            "fp16 for free sizes. Give one size (--network-size), for which branches are decided beforehand, or run "
            "the network in fp32."
        )


class _Converter:
    """One conversion: types, casts and constants, node by node in the graph's order."""

    def __init__(self, model: onnx.ModelProto, facts: GraphFacts, islands: dict[str, str]) -> None:
        self._model = model
        self._facts = facts
        self._islands = islands
        self._version = editing.opset(model)
        self._types = editing.value_types(model)
        self._constants = {tensor.name: tensor for tensor in model.graph.initializer}
        self._taken = editing.tensor_names(model)
        self._made: list[onnx.NodeProto] = []
        self._stored: dict[str, int] = {}
        """Float tensor -> the type that it now has."""
        self._copies: dict[tuple[str, int], str] = {}
        """(tensor, type) -> the name under which it has that type."""

    def convert(self) -> None:
        """In place."""
        self._type_inputs()
        self._free_outputs()
        for node in self._model.graph.node:
            copied = onnx.NodeProto()
            copied.CopyFrom(node)
            self._one(copied)
        self._type_outputs()
        editing.replace_nodes(self._model.graph, self._made)
        del self._model.graph.value_info[:]
        editing.prune(self._model)

    def _is_float(self, name: str) -> bool:
        return self._types.get(name) == FLOAT

    def _one(self, node: onnx.NodeProto) -> None:
        only_full = takes_only_full(node, self._version)
        kind = FLOAT if node.name in self._islands else HALF
        if node.op_type == "DequantizeLinear":
            self._raise_scale(node)
        for at, name in enumerate(node.input):
            if name and self._is_float(name):
                node.input[at] = self._as(name, FLOAT if name in only_full else kind)
        for name in node.output:
            if name and self._is_float(name):
                self._stored[name] = FLOAT if name in only_full else kind
        if node.op_type == "Cast" and self._is_float(node.output[0]):
            next(one for one in node.attribute if one.name == "to").i = kind
        self._made.append(node)

    def _as(self, name: str, kind: int) -> str:
        """The name under which this tensor has this type; makes the Cast or the constant where there is none."""
        if name in self._constants:
            return name if kind == FLOAT else self._half_constant(name)
        if self._stored.get(name, FLOAT) == kind:
            return name
        key = (name, kind)
        if key not in self._copies:
            new = self._unused(f"{name}.{'fp16' if kind == HALF else 'fp32'}")
            self._copies[key] = new
            self._made.append(helper.make_node("Cast", [name], [new], name=f"{new}.cast", to=kind))
        return self._copies[key]

    def _half_constant(self, name: str) -> str:
        key = (name, HALF)
        if key not in self._copies:
            values = editing.array(self._constants[name])
            bounded = np.where(np.isfinite(values), np.clip(values, -LARGEST, LARGEST), values)
            self._copies[key] = self._unused(f"{name}.fp16")
            editing.add_constant(self._model, self._copies[key], bounded.astype(np.float16).reshape(values.shape))
        return self._copies[key]

    def _raise_scale(self, node: onnx.NodeProto) -> None:
        """Quantized weights whose scale fp16 would round coarsely get its smallest normal number for a scale."""
        weights, scale = self._constants.get(node.input[0]), self._constants.get(node.input[1])
        if weights is None or scale is None:
            return
        old = editing.array(scale).astype(np.float64)
        if weights.data_type != onnx.TensorProto.INT8 or not bool((old < SMALLEST_NORMAL).any()):
            return
        new = np.maximum(old, SMALLEST_NORMAL)
        levels = editing.array(weights)
        sides = [1] * levels.ndim
        if new.size > 1:
            sides[editing.attribute(node, "axis", 1)] = new.size
        changed = np.rint(levels * (old / new).reshape(sides if new.ndim else ())).astype(np.int8)
        for at, values in ((0, changed), (1, new.astype(np.float32))):
            name = self._unused(f"{node.input[at]}.raised")
            self._constants[name] = onnx.numpy_helper.from_array(values, name)
            self._types[name] = self._constants[name].data_type
            self._model.graph.initializer.append(self._constants[name])
            node.input[at] = name

    def _wanted(self, name: str) -> int:
        """The type of an input or output of the whole graph."""
        if name in self._facts.keep_fp32 or name in self._facts.constants:
            return FLOAT
        states = {part for pair in self._facts.states for part in pair}
        return _TYPES[self._facts.state_io if name in states else self._facts.io]

    def _type_inputs(self) -> None:
        for value in self._model.graph.input:
            if self._is_float(value.name):
                kind = self._wanted(value.name)
                value.type.tensor_type.elem_type = kind
                self._stored[value.name] = kind

    def _free_outputs(self) -> None:
        """Each output's name is left to the Cast that may come last; the node before writes another one."""
        names: dict[str, str] = {}
        made = {name for node in self._model.graph.node for name in node.output}
        for value in self._model.graph.output:
            if self._is_float(value.name) and value.name in made:
                names[value.name] = self._unused(f"{value.name}.computed")
                self._types[names[value.name]] = FLOAT
        for node in self._model.graph.node:
            node.output[:] = [names.get(name, name) for name in node.output]
        editing.rename_uses(self._model, names)
        self._outputs = names

    def _type_outputs(self) -> None:
        for value in self._model.graph.output:
            computed = self._outputs.get(value.name)
            if computed is None:
                continue
            kind = self._wanted(value.name)
            value.type.tensor_type.elem_type = kind
            has = self._stored[computed]
            if has == kind:
                made = helper.make_node("Identity", [computed], [value.name], name=f"{value.name}.as_it_is")
            else:
                made = helper.make_node("Cast", [computed], [value.name], name=f"{value.name}.cast", to=kind)
            self._made.append(made)
        self._without_identities()

    def _without_identities(self) -> None:
        """An output whose type is right needs no node of its own: its maker writes it, and its readers read it."""
        back = {node.input[0]: node.output[0] for node in self._made if node.name.endswith(".as_it_is")}
        self._made = [node for node in self._made if not node.name.endswith(".as_it_is")]
        for node in self._made:
            node.input[:] = [back.get(name, name) for name in node.input]
            node.output[:] = [back.get(name, name) for name in node.output]

    def _unused(self, name: str) -> str:
        found = editing.unused(name, self._taken)
        self._taken.add(found)
        return found
