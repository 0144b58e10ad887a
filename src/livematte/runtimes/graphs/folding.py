"""What a graph computes before it has seen a picture is computed once and kept.

Note [Shapes are asked, not inferred]
    In a graph whose inputs have fixed sides, whatever hangs on Shape alone is a constant. Instead of inferring shapes
    (which ends at the first operator that ONNX has no rule for) the graph is run once on a picture of that size, and
    the values are taken from the run, so they are what the original graph would have used, to the last bit. A graph
    whose shapes hang on a picture's content (NonZero and its like) gives other values for another picture: it is run
    on two, and refused where they differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import onnx

from livematte.errors import ModelError
from livematte.runtimes.graphs.editing import (
    Array,
    add_constant,
    array,
    copy_of,
    keep,
    opset,
    prune,
    rename_uses,
    replace_nodes,
    subgraphs,
    unused,
    uses,
)
from livematte.runtimes.graphs.running import Network, Values

_RANDOM = frozenset(
    ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial")
)
_BY_CONTENT = frozenset(("NonZero", "Unique", "Compress", "NonMaxSuppression", "Loop", "Scan", "StringNormalizer"))
"""Operators whose output's shape hangs on values."""
_QUANTIZED = frozenset(("QuantizeLinear", "DequantizeLinear"))
"""Folded, they would turn weights of 8 bits back into numbers of 16 or 32."""
LARGEST_FOLDED_BYTES = 16_000_000
"""What is larger stays computed: a grid of positions is quicker made than read from a file."""


def fold(model: onnx.ModelProto, feeds: Iterable[Values] | None = None) -> int:
    """Compute what hangs on no picture, in place; gives the number of nodes that are gone.

    feeds: with pictures of the size that the graph is made for, Shape counts as known too (Note [Shapes are asked, not
    inferred]); two are taken. ModelError where shapes hang on a picture's content.
    """
    before = len(model.graph.node)
    left_out: set[str] = set()
    while True:
        cone = _known_nodes(model, with_shapes=feeds is not None, left_out=left_out)
        border = _border(model, cone)
        if not border:
            break
        values = _evaluate(model, border, feeds)
        large = {name for name, value in values.items() if value.nbytes > LARGEST_FOLDED_BYTES}
        if not large:
            _put_in(model, cone, values)
            break
        left_out |= {node.name for node in cone if large.intersection(node.output)}
    prune(model)
    return before - len(model.graph.node)


def inline_branches(model: onnx.ModelProto) -> int:
    """Put the branch that will be taken in the place of each If whose condition is constant; gives their number.

    Exporters by tracing leave such an If behind for each squeeze.
    """
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    count = 0
    for node in model.graph.node:
        if node.op_type != "If" or node.input[0] not in constants:
            nodes.append(node)
            continue
        name = "then_branch" if np.all(array(constants[node.input[0]])) else "else_branch"
        branch = next(one.g for one in node.attribute if one.name == name)
        nodes.extend(_inlined(model, node, branch))
        count += 1
    if count:
        replace_nodes(model.graph, nodes)
    return count


def drop_idle(model: onnx.ModelProto, shapes: Mapping[str, tuple[int | None, ...]], types: Mapping[str, int]) -> int:
    """Take out nodes that change nothing: Identity, an Expand or Reshape to the same shape, a Resize by 1, and so on.

    shapes, types: of every tensor that is known. Gives the number of nodes that are gone.
    """
    outputs = {value.name for value in model.graph.output}
    constants = {tensor.name for tensor in model.graph.initializer}
    names: dict[str, str] = {}
    kept: list[onnx.NodeProto] = []
    for node in model.graph.node:
        is_idle = node.output and node.output[0] not in outputs and _is_idle(node, shapes, types, constants)
        if is_idle:
            names[node.output[0]] = names.get(node.input[0], node.input[0])
        else:
            kept.append(node)
    if names:
        replace_nodes(model.graph, kept)
        rename_uses(model, names)
    return len(names)


def drop_empty_inputs(model: onnx.ModelProto) -> None:
    """Leave out a Resize's empty regions, scales and sizes, which exporters write as constants without elements."""
    if opset(model) < 13:
        return  # there they must be given
    empty = {tensor.name for tensor in model.graph.initializer if 0 in tensor.dims}
    for node in model.graph.node:
        if node.op_type == "Resize":
            node.input[:] = ["" if name in empty else name for name in node.input]
            while node.input and not node.input[-1]:
                del node.input[-1]


def _is_idle(
    node: onnx.NodeProto,
    shapes: Mapping[str, tuple[int | None, ...]],
    types: Mapping[str, int],
    constants: set[str],
) -> bool:
    if node.op_type in ("Identity", "Dropout"):
        return len([name for name in node.output if name]) == 1
    before, after = shapes.get(node.input[0]) if node.input else None, shapes.get(node.output[0])
    if node.op_type == "Cast":
        return types.get(node.input[0], 0) == types.get(node.output[0], -1)
    if before is None or before != after or None in before:
        return False
    if node.op_type == "Resize":
        held = {one.name: one for one in node.attribute}
        crops = (
            "coordinate_transformation_mode" in held
            and held["coordinate_transformation_mode"].s == b"tf_crop_and_resize"
        )
        return not crops and _resizes_by_one(node, constants)
    return node.op_type in ("Expand", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Slice", "Tile") or (
        node.op_type == "Concat" and len(node.input) == 1
    )


def _resizes_by_one(node: onnx.NodeProto, constants: set[str]) -> bool:
    """With `sizes` equal shapes mean a scale of 1; a scale that is stated may be 1.001 and still give equal shapes."""
    return len(node.input) > 3 and bool(node.input[3]) and node.input[3] in constants


def _known_nodes(model: onnx.ModelProto, *, with_shapes: bool, left_out: set[str]) -> list[onnx.NodeProto]:
    """Nodes, in order, whose results hang on no picture."""
    known = {tensor.name for tensor in model.graph.initializer}
    outputs = {value.name for value in model.graph.output}
    found: list[onnx.NodeProto] = []
    for node in model.graph.node:
        if node.op_type in _RANDOM | _QUANTIZED or node.name in left_out or outputs.intersection(node.output):
            continue
        by_shape = with_shapes and node.op_type in ("Shape", "Size")
        read = uses(node)
        if by_shape or (read and read <= known):
            known.update(node.output)
            found.append(node)
    return found


def _border(model: onnx.ModelProto, cone: list[onnx.NodeProto]) -> list[str]:
    """Tensors that the cone gives to the rest of the graph."""
    inside = {node.name for node in cone}
    made = [name for node in cone for name in node.output if name]
    read: set[str] = set()
    for node in model.graph.node:
        if node.name not in inside:
            read |= uses(node)
    return [name for name in made if name in read]


def _evaluate(model: onnx.ModelProto, border: list[str], feeds: Iterable[Values] | None) -> dict[str, Array]:
    asked = copy_of(model)
    del asked.graph.output[:]
    asked.graph.output.extend(onnx.ValueInfoProto(name=name) for name in border)
    prune(asked)
    needed: set[str] = set()
    for node in asked.graph.node:
        needed |= uses(node)
    keep(asked.graph.input, lambda value: value.name in needed)
    network = Network(asked, what="the part of the network that hangs on no picture", optimize=False)
    names = {value.name for value in asked.graph.input}
    pictures = iter(feeds or ())
    first = network.run({name: value for name, value in next(pictures, {}).items() if name in names})
    if any(node.op_type in _BY_CONTENT for node in asked.graph.node):
        second = network.run({name: value for name, value in next(pictures, {}).items() if name in names})
        differs = [name for name in border if not np.array_equal(first[name], second[name])]
        if differs:
            raise ModelError(
                f"this network's inner shapes hang on what is in the picture ({differs[0]} differs between two "
                "pictures of one size), so it has no static form. Run it with ONNX Runtime instead: --runtime "
                "onnxruntime"
            )
    return first


def _put_in(model: onnx.ModelProto, cone: list[onnx.NodeProto], values: Mapping[str, Array]) -> None:
    gone = {node.name for node in cone}
    replace_nodes(model.graph, [node for node in model.graph.node if node.name not in gone])
    for name, value in values.items():
        add_constant(model, name, value)


def _inlined(model: onnx.ModelProto, node: onnx.NodeProto, branch: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The branch's nodes under names of their own; its outputs take the names of the If's."""
    own = [name for inner in branch.node for name in inner.output if name] + [one.name for one in branch.initializer]
    names = {name: f"{node.name}/{name}" for name in own}
    straight: list[tuple[str, str]] = []
    for value, target in zip(branch.output, node.output, strict=True):
        if value.name in names and names[value.name] not in node.output:
            names[value.name] = target
        else:  # a branch that hands an outer tensor, or one tensor twice, through
            straight.append((names.get(value.name, value.name), target))
    for tensor in branch.initializer:
        copied = model.graph.initializer.add()
        copied.CopyFrom(tensor)
        copied.name = names[tensor.name]
    made: list[onnx.NodeProto] = []
    for inner in branch.node:
        copied_node = onnx.NodeProto()
        copied_node.CopyFrom(inner)
        copied_node.name = f"{node.name}/{inner.name or inner.op_type}/{len(made)}"
        _rename(copied_node, names)
        made.append(copied_node)
    made.extend(
        onnx.helper.make_node("Identity", [source], [target], name=unused(f"{node.name}/out_{at}", set()))
        for at, (source, target) in enumerate(straight)
    )
    return made


def _rename(node: onnx.NodeProto, names: Mapping[str, str]) -> None:
    """New names for what the branch made, in inner graphs too; what it takes from outside is not in `names`."""
    node.input[:] = [names.get(name, name) for name in node.input]
    node.output[:] = [names.get(name, name) for name in node.output]
    for inner in subgraphs(node):
        for value in inner.output:
            value.name = names.get(value.name, value.name)
        for deeper in inner.node:
            _rename(deeper, names)
