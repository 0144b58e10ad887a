"""Which nodes stay in fp32 in a graph of lower precision, by rule, each with its reason.

Note [What fp16 cannot hold]
    fp16 has 11 bits of mantissa, its smallest normal number is 6.1e-5 and its largest 65,504. That breaks, in mattes:
    sums and variances over a whole picture (InstanceNorm of MODNet came out "totally wrong" in half precision,
    microsoft/onnxruntime#10079); the difference of two nearly equal averages, which is what a guided filter's
    covariance is (He et al. 2010, https://doi.org/10.1007/978-3-642-15549-9_1), and the division by a variance plus
    1e-5; epsilons, which vanish; positions and sizes beyond 2,048, which are not counted any more; masks made of
    numbers like -1e9. And the last steps of alpha: it costs little to be exact there.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx

from livematte.runtimes.graphs import editing
from livematte.runtimes.graphs.crossing import FEW, Finder
from livematte.runtimes.graphs.facts import GraphFacts

SMALLEST_NORMAL = 2.0**-14
LARGEST = 65504.0
NORMALISATIONS = frozenset(
    ("InstanceNormalization", "GroupNormalization", "LayerNormalization", "RMSNormalization",
     "MeanVarianceNormalization", "LpNormalization", "LRN")
)  # fmt: skip
_SUMS = frozenset(("ReduceSum", "ReduceSumSquare", "ReduceL1", "ReduceL2", "ReduceLogSumExp", "ReduceProd", "CumSum"))
_LAST_STEPS = frozenset(
    ("Sigmoid", "HardSigmoid", "Softmax", "Clip", "Resize", "Upsample", "DepthToSpace", "Identity", "Squeeze",
     "Unsqueeze", "Slice", "Split", "Reshape", "Transpose", "Cast")
)  # fmt: skip
_BETWEEN = frozenset(("Sub", "Mul", "Add", "Div", "Neg", "Abs", "Sqrt", "Pow", "Reciprocal", "Max", "Relu"))
"""What may stand between an average and the division that uses it."""
_PRODUCTS = frozenset(("Mul", "Pow", "Sub"))
"""What an average may be taken of: x * y, x * x, x - mean."""
_APPLIES = frozenset(
    ("Sub", "Mul", "Add", "Neg", "Split", "Slice", "Resize", "Upsample", "Concat", "Clip", "Identity", "Squeeze",
     "Unsqueeze", "AveragePool")
)  # fmt: skip
"""How a guided filter's coefficients become its result."""
_POSITIONS = frozenset(
    ("Add", "Sub", "Mul", "Div", "Floor", "Ceil", "Round", "Clip", "Min", "Max", "Neg", "Abs", "Cast", "Reshape",
     "Squeeze", "Unsqueeze", "Transpose", "Concat", "Slice", "Gather", "Expand", "Range", "Where", "Tile", "Mod")
)  # fmt: skip
_CHEAP = frozenset(
    ("Concat", "ReduceMean", "Identity", "Resize", "Upsample", "AveragePool", "Slice", "Split", "Add", "Sub", "Mul",
     "Div", "Neg", "Clip", "Squeeze", "Unsqueeze", "Reshape", "Transpose")
)  # fmt: skip
_INTEGERS = frozenset((onnx.TensorProto.INT64, onnx.TensorProto.INT32, onnx.TensorProto.UINT8, onnx.TensorProto.INT8))
_PICTURE_WIDE = 2048
"""Values that a mean may be taken over in fp16."""


def find_islands(model: onnx.ModelProto, facts: GraphFacts) -> dict[str, str]:
    """Node -> why it stays in fp32, in the graph's order. The graph is as `editing.load` gives it."""
    finder = Finder(model, facts)
    for rule in _RULES:
        rule(finder)
    return {node.name: finder.found[node.name] for node in model.graph.node if node.name in finder.found}


def _named(finder: Finder) -> None:
    for name in finder.facts.keep_fp32:
        reason = f"the manifest keeps {name} in fp32"
        finder.add((n for n in finder.nodes if name in (n.op_type, n.name) or name in n.input), reason)


def _normalisations(finder: Finder) -> None:
    finder.add((n for n in finder.nodes if n.op_type in NORMALISATIONS), "normalises by a mean and a variance")
    finder.add((n for n in finder.nodes if n.op_type == "BatchNormalization"), "its statistics are no constants")


def _sums(finder: Finder) -> None:
    finder.add((n for n in finder.nodes if n.op_type in _SUMS), "sums many values, which can pass 65,504")
    means = (n for n in finder.nodes if n.op_type == "ReduceMean" and (finder.reduced(n) or 0) > _PICTURE_WIDE)
    finder.add(means, "averages a whole picture")


def _positions(finder: Finder) -> None:
    """What decides sizes and places: the scales of a Resize, floating-point numbers that become integers."""
    roots: list[str] = []
    for node in finder.nodes:
        if node.op_type in ("Resize", "Upsample"):
            roots += list(node.input[1:3])
        elif node.op_type == "GridSample":
            roots.append(node.input[1])
        elif node.op_type == "Cast" and editing.attribute(node, "to") in _INTEGERS:
            roots.append(node.input[0])
    finder.add(
        finder.climb(roots, lambda node: node.op_type in _POSITIONS),
        "computes sizes or positions, which fp16 counts to 2,048 only",
    )


def _epsilons(finder: Finder) -> None:
    """Numbers too small for fp16, what divides by them, and the averages that are divided."""
    for node in finder.nodes:
        if node.op_type not in ("Add", "Sub", "Max", "Min", "Clip", "Div", "Mul", "Pow", "Where"):
            continue
        small = [float(v) for held in finder.numbers(node) for v in np.abs(held).ravel() if 0 < v < SMALLEST_NORMAL]
        if not small:
            continue
        finder.add([node], f"{min(small):.0e} is below fp16's smallest normal number, 6e-05")
        for divider in _dividers(finder, node):
            finder.add([divider], "divides by a number that can be as small as its epsilon")
            _dividend(finder, divider)


def _dividers(finder: Finder, node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """From an epsilon on: the roots, and the divisions behind it."""
    found: list[onnx.NodeProto] = []
    waiting = [node]
    while waiting:
        for user in finder.after(waiting.pop()):
            if user.op_type in ("Sqrt", "Pow", "Log") and user not in found:
                found.append(user)
                waiting.append(user)
            elif user.op_type in ("Div", "Reciprocal") and user not in found:
                found.append(user)
    return found


def _dividend(finder: Finder, divider: onnx.NodeProto) -> None:
    """Both sides of a division, back to the averages they are made of; a guided filter, on to its result too."""
    averages: list[onnx.NodeProto] = []
    averaged: set[str] = set()
    path: dict[str, onnx.NodeProto] = {}
    waiting = list(finder.before(divider))
    while waiting:
        node = waiting.pop()
        if node.name in path:
            continue
        if finder.averages(node):
            path[node.name] = node
            averages.append(node)
            averaged.add(node.input[0])
            made = finder.producers.get(node.input[0])
            if made is not None and made.op_type in _PRODUCTS:
                path[made.name] = made
                averaged.update(made.input)
        elif node.op_type in _BETWEEN:
            path[node.name] = node
            waiting += finder.before(node)
    reaches = _leads_from(finder, averages, path, averaged)
    finder.add(reaches, "is an average, or a difference of averages, that is divided by a small number")
    if any(node.op_type == "AveragePool" or finder.is_box(node) for node in averages if node.op_type != "ReduceMean"):
        _filter_result(finder, divider)


def _leads_from(
    finder: Finder, averages: list[onnx.NodeProto], path: dict[str, onnx.NodeProto], averaged: set[str]
) -> list[onnx.NodeProto]:
    """Of the path, what comes after an average, the averages, and the products they are taken of.

    The signal that is averaged is where it ends: in a transformer's LayerNorm it is the sum of all layers before.
    """
    kept = {node.name: node for node in averages}
    for node in averages:
        made = finder.producers.get(node.input[0])
        if made is not None and made.name in path and made.op_type in _PRODUCTS:
            kept[made.name] = made
    changed = True
    while changed:
        changed = False
        for node in path.values():
            is_signal = averaged.intersection(node.output) and node.op_type not in _PRODUCTS
            if node.name not in kept and not is_signal and any(one.name in kept for one in finder.before(node)):
                kept[node.name] = node
                changed = True
    return list(kept.values())


def _filter_result(finder: Finder, divider: onnx.NodeProto) -> None:
    """From a guided filter's division to what it is for: a * picture + b."""
    seen = {divider.name}
    waiting = [divider]
    while waiting:
        for user in finder.after(waiting.pop()):
            if user.name not in seen and user.op_type in _APPLIES:
                seen.add(user.name)
                waiting.append(user)
    finder.add((n for n in finder.nodes if n.name in seen), "is part of a guided filter")


def _covariances(finder: Finder) -> None:
    """mean(x y) - mean(x) mean(y), divided by anything or nothing: what is left of two nearly equal numbers."""
    for node in finder.nodes:
        if node.op_type != "Sub":
            continue
        mean, product = (finder.producers.get(name) for name in node.input)
        if mean is None or product is None:
            continue
        factors = finder.before(product)
        if not finder.averages(mean) or product.op_type not in ("Mul", "Pow") or not factors:
            continue
        if not all(finder.averages(one) for one in factors):
            continue
        of = [one for one in finder.before(mean) if one.op_type in ("Mul", "Pow")]
        finder.add([*of, mean, *factors, product, node], "is a variance, the difference of nearly equal averages")


def _large_numbers(finder: Finder) -> None:
    for node in finder.nodes:
        large = [float(v) for held in finder.numbers(node) for v in np.abs(held).ravel() if LARGEST < v < np.inf]
        if not large:
            continue
        finder.add([node], f"{max(large):.0e} is beyond fp16's largest number, 65,504")
        after = (one for one in finder.after(node) if one.op_type in ("Softmax", "LogSoftmax", "Where", "Add"))
        finder.add(after, "takes a number beyond fp16's largest, 65,504")


def _heavy_weights(finder: Finder) -> None:
    for node in finder.nodes:
        for name in node.input:
            tensor = finder.tensors.get(name)
            if tensor is None or tensor.data_type != editing.FLOAT or int(np.prod(tensor.dims)) <= FEW:
                continue
            values = np.abs(editing.array(tensor))
            if bool((values[np.isfinite(values)] > LARGEST).any()):
                finder.add([node], "has weights beyond fp16's largest number, 65,504")


def _last_steps(finder: Finder) -> None:
    """From each matte back to the last operator with weights: the final Resize, the Sigmoid, what moves pixels."""
    for name in finder.mattes:
        found = finder.climb([name], lambda node: node.op_type in _LAST_STEPS)
        finder.add(found, "is one of the last steps of the matte")


def _makes_numbers(finder: Finder) -> None:
    made = (n for n in finder.nodes if n.op_type in ("ConstantOfShape", "RandomNormal", "RandomUniform", "EyeLike",
                                                     "RandomNormalLike", "RandomUniformLike", "Range"))  # fmt: skip
    finder.add((n for n in made if finder.is_float(n.output[0])), "makes numbers of a type of its own")


def _no_half_form(finder: Finder) -> None:
    from livematte.runtimes.graphs.typecheck import has_half_form

    version = editing.opset(finder.model)
    none = (n for n in finder.nodes if not has_half_form(n, version))
    finder.add(none, "the operator has no form in fp16")


def _between_islands(finder: Finder) -> None:
    """Cheap nodes that have fp32 on both sides: to change the type there would cost more than it saves."""
    free = {value.name for value in finder.model.graph.input if finder.facts.io == "fp32"}
    free -= {source for source, _ in finder.facts.states} if finder.facts.state_io == "fp16" else set()
    could: set[str] = set()
    for node in finder.nodes:
        sources = [name for name in node.input if finder.is_float(name) and name not in finder.tensors]
        is_fed = all(
            name in free or (name in finder.producers and finder.producers[name].name in finder.found.keys() | could)
            for name in sources
        )
        if node.op_type in _CHEAP and sources and is_fed:
            could.add(node.name)
    for node in reversed(finder.nodes):
        if node.name in could and any(user.name in finder.found for user in finder.after(node)):
            finder.add([node], "stands between fp32 and fp32")


_RULES: tuple[Callable[[Finder], None], ...] = (
    _named,
    _normalisations,
    _sums,
    _positions,
    _epsilons,
    _covariances,
    _large_numbers,
    _heavy_weights,
    _last_steps,
    _makes_numbers,
    _no_half_form,
    _between_islands,
)
"""In this order; a node that several find keeps the first reason. The last one needs what the others found."""
