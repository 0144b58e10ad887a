"""What fp16 does to a network, on a processor that has no arithmetic in fp16.

ONNX Runtime's CPU computes an fp16 graph in fp32 and takes the casts between its nodes out again, so its answer is
better than any GPU's. Here each node outside the islands reads and gives numbers rounded to fp16, with rounded
weights, and sums inside a node stay in fp32, as in the tensor cores of GPUs. The graph is slow; it is for measuring.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx
from onnx import helper

from livematte.runtimes.graphs import editing
from livematte.runtimes.graphs.editing import FLOAT, HALF
from livematte.runtimes.graphs.typecheck import takes_only_full


def rounded(model: onnx.ModelProto, islands: Iterable[str]) -> onnx.ModelProto:
    """A copy in float32 that computes as the graph in fp16 with these islands would (names of nodes).

    model: in float32, as `half.to_half` sees it: tidied, batch norms folded.
    """
    made = editing.copy_of(model)
    kept = set(islands)
    types = editing.value_types(made)
    constants = {tensor.name: tensor for tensor in made.graph.initializer}
    version = editing.opset(made)
    outputs = {value.name for value in made.graph.output}
    copies: dict[str, str] = {}
    nodes: list[onnx.NodeProto] = []
    for node in list(made.graph.node):
        copied = onnx.NodeProto()
        copied.CopyFrom(node)
        nodes.append(copied)
        if node.name in kept:
            continue
        fixed = takes_only_full(node, version)
        for at, name in enumerate(node.input):
            if types.get(name) == FLOAT and name not in fixed:
                if name not in copies:
                    copies[name] = f"{name}.rounded"
                    _round(made, name, copies[name], constants, nodes)
                copied.input[at] = copies[name]
        for at, name in enumerate(node.output):
            if types.get(name) == FLOAT and name not in fixed and name not in outputs:
                copied.output[at] = f"{name}.exact"
                nodes += _casts(f"{name}.exact", name)
                copies[name] = name
    editing.replace_nodes(made.graph, nodes)
    del made.graph.value_info[:]
    editing.prune(made)
    return made


def _round(
    model: onnx.ModelProto, name: str, new: str, constants: dict[str, onnx.TensorProto], nodes: list[onnx.NodeProto]
) -> None:
    """A rounded constant, or two casts before the node that was put last."""
    if name in constants:
        values = editing.array(constants[name])
        with np.errstate(over="ignore"):
            editing.add_constant(model, new, values.astype(np.float16).astype(np.float32))
        return
    nodes[-1:-1] = _casts(name, new)


def _casts(source: str, target: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("Cast", [source], [f"{target}.half"], name=f"{target}.to_fp16", to=HALF),
        helper.make_node("Cast", [f"{target}.half"], [target], name=f"{target}.to_fp32", to=FLOAT),
    ]
