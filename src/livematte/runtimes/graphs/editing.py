"""Looking into an ONNX graph and changing it: loading, constants, who makes and who uses a tensor, what is unused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper, shape_inference, version_converter

from livematte.errors import ModelError

FLOAT = onnx.TensorProto.FLOAT
HALF = onnx.TensorProto.FLOAT16
Array = npt.NDArray[Any]
LARGEST_BYTES = 2_000_000_000
"""A protobuf holds at most 2 GiB; a network with weights beyond that has them in a second file, which is not kept."""


def load(path: Path) -> onnx.ModelProto:
    """The network in this file, tidied: constants are initialisers, nodes have names of their own.

    ModelError (4) where the file is none, or too large for one file.
    """
    try:
        model = onnx.load(str(path))
    except Exception as error:  # protobuf raises a class of its own for what is no protobuf
        raise ModelError(f"{path} cannot be read as an ONNX network: {error}.") from error
    if model.ByteSize() > LARGEST_BYTES:
        raise ModelError(
            f"{path} holds {model.ByteSize() / 1e9:.1f} GB of weights, and converted networks are written as one file, "
            "which ends at 2 GB. Give a smaller network."
        )
    return tidied(model)


def tidied(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same network with constants as initialisers only, no initialiser among the inputs, and a name a node."""
    graph = model.graph
    _constants_to_initializers(graph)
    weights = {tensor.name for tensor in graph.initializer}
    keep(graph.input, lambda value: value.name not in weights)
    taken: set[str] = set()
    for at, node in enumerate(graph.node):
        if not node.name or node.name in taken:
            node.name = unused(f"{node.op_type}_{at}", taken)
        taken.add(node.name)
    return model


def copy_of(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy that may be changed."""
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    return copied


def keep(items: Any, wanted: Any) -> None:
    """Take out of a repeated field what `wanted` says no to."""
    kept = [item for item in items if wanted(item)]
    if len(kept) == len(items):
        return
    copies = []
    for item in kept:
        copied = type(item)()
        copied.CopyFrom(item)
        copies.append(copied)
    del items[:]
    items.extend(copies)


def replace_nodes(graph: onnx.GraphProto, nodes: Iterable[onnx.NodeProto]) -> None:
    """These nodes instead of the graph's own, in this order."""
    copies = []
    for node in nodes:
        copied = onnx.NodeProto()
        copied.CopyFrom(node)
        copies.append(copied)
    del graph.node[:]
    graph.node.extend(copies)


def unused(name: str, taken: set[str] | frozenset[str]) -> str:
    """`name`, or with a number behind it the first one that is not taken."""
    found, at = name, 1
    while found in taken:
        found, at = f"{name}_{at}", at + 1
    return found


def tensor_names(model: onnx.ModelProto) -> set[str]:
    """Every tensor's name."""
    graph = model.graph
    names = {value.name for value in (*graph.input, *graph.output)} | {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        names.update(node.input, node.output)
    return names


def opset(model: onnx.ModelProto) -> int:
    """Version of the standard operators that the graph uses."""
    return next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 1)


def at_least(model: onnx.ModelProto, version: int) -> onnx.ModelProto:
    """The network in this version of the operators, or in its own where that is newer. ModelError: it cannot be."""
    if opset(model) >= version:
        return model
    try:
        return tidied(version_converter.convert_version(model, version))
    except Exception as error:  # the library raises RuntimeError and its own ConvertError
        raise ModelError(
            f"the network uses opset {opset(model)}, and cannot be brought to opset {version}, which this needs: "
            f"{' '.join(str(error).split())[:300]}. Export it again with opset {version} or newer."
        ) from error


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """An attribute's value, `default` where the node has none."""
    found = next((one for one in node.attribute if one.name == name), None)
    if found is None:
        return default
    value = helper.get_attribute_value(found)
    return value.decode() if isinstance(value, bytes) else value


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs inside a node (If, Loop, Scan)."""
    for one in node.attribute:
        if one.type == onnx.AttributeProto.GRAPH:
            yield one.g
        elif one.type == onnx.AttributeProto.GRAPHS:
            yield from one.graphs


def captured(graph: onnx.GraphProto) -> set[str]:
    """Names that a node's inner graph takes from outside."""
    own = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    wanted: set[str] = {value.name for value in graph.output}
    for node in graph.node:
        own.update(node.output)
        wanted.update(node.input)
        for inner in subgraphs(node):
            wanted |= captured(inner)
    return wanted - own - {""}


def uses(node: onnx.NodeProto) -> set[str]:
    """Every tensor that a node reads, its inner graphs included."""
    names = {name for name in node.input if name}
    for inner in subgraphs(node):
        names |= captured(inner)
    return names


def prune(model: onnx.ModelProto) -> None:
    """Drop nodes and initialisers that no output needs."""
    graph = model.graph
    needed = {output.name for output in graph.output}
    kept: list[onnx.NodeProto] = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed |= uses(node)
            kept.append(node)
    if len(kept) != len(graph.node):
        replace_nodes(graph, reversed(kept))
    keep(graph.initializer, lambda tensor: tensor.name in needed)


def rename_uses(model: onnx.ModelProto, names: dict[str, str]) -> None:
    """Let nodes (inner graphs too) read other tensors instead: old name -> new one."""
    for node in model.graph.node:
        _rename_inputs(node, names)


def array(tensor: onnx.TensorProto) -> Array:
    """An initialiser's values."""
    return np.asarray(numpy_helper.to_array(tensor))


def add_constant(model: onnx.ModelProto, name: str, values: Array) -> str:
    """A new initialiser; gives its name back."""
    model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values).reshape(values.shape), name))
    return name


def inferred(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose `value_info` holds what ONNX can infer of types and shapes. ModelError: types contradict."""
    stripped = copy_of(model)
    del stripped.graph.value_info[:]
    try:
        return shape_inference.infer_shapes(stripped, check_type=True, strict_mode=False, data_prop=True)
    except Exception as error:  # the library raises RuntimeError and its own InferenceError
        raise ModelError(f"the network's types contradict each other: {' '.join(str(error).split())}.") from error


def value_types(model: onnx.ModelProto) -> dict[str, int]:
    """Tensor -> `TensorProto.DataType`; tensors whose type ONNX cannot infer are left out."""
    known = inferred(model).graph
    types = {tensor.name: tensor.data_type for tensor in known.initializer}
    for value in (*known.value_info, *known.input, *known.output):
        if value.type.HasField("tensor_type") and value.type.tensor_type.elem_type:
            types[value.name] = value.type.tensor_type.elem_type
    return types


def value_shapes(model: onnx.ModelProto) -> dict[str, tuple[int | None, ...]]:
    """Tensor -> shape, None for a side that is not known; tensors of unknown rank are left out."""
    known = inferred(model).graph
    shapes: dict[str, tuple[int | None, ...]] = {tensor.name: tuple(tensor.dims) for tensor in known.initializer}
    for value in (*known.value_info, *known.input, *known.output):
        if value.type.tensor_type.HasField("shape"):
            shapes[value.name] = tuple(
                side.dim_value if side.HasField("dim_value") else None for side in value.type.tensor_type.shape.dim
            )
    return shapes


def set_shape(value: onnx.ValueInfoProto, shape: Iterable[int]) -> None:
    """Fix an input's or output's sides."""
    held = value.type.tensor_type.shape
    del held.dim[:]
    for side in shape:
        held.dim.add().dim_value = side


def _constants_to_initializers(graph: onnx.GraphProto) -> None:
    for node in graph.node:
        if node.op_type == "Constant" and node.domain in ("", "ai.onnx"):
            tensor = _constant(node)
            if tensor is not None:
                tensor.name = node.output[0]
                graph.initializer.append(tensor)
                node.op_type = ""
    keep(graph.node, lambda node: node.op_type != "")


def _constant(node: onnx.NodeProto) -> onnx.TensorProto | None:
    """A Constant node's value; None for sparse ones and text."""
    held = node.attribute[0]
    value = helper.get_attribute_value(held)
    if held.name == "value":
        tensor = onnx.TensorProto()
        tensor.CopyFrom(value)
        return tensor
    kinds: dict[str, Any] = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64,
                             "value_ints": np.int64}  # fmt: skip
    return numpy_helper.from_array(np.asarray(value, kinds[held.name])) if held.name in kinds else None


def _rename_inputs(node: onnx.NodeProto, names: dict[str, str]) -> None:
    for at, name in enumerate(node.input):
        if name in names:
            node.input[at] = names[name]
    for inner in subgraphs(node):
        for output in inner.output:
            output.name = names.get(output.name, output.name)
        for deeper in inner.node:
            _rename_inputs(deeper, names)
