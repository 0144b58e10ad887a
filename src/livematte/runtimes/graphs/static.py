"""A graph for one size: fixed sides, extra inputs folded in, recurrent states at their full shape.

TensorRT refuses Robust Video Matting's published graph, because `downsample_ratio` is a number that decides shapes, and
its author says to export it with a fixed ratio (PeterL1n/RobustVideoMatting#219). This makes that form out of the
graph that people have.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx

from livematte.errors import ModelError
from livematte.runtimes.graphs import editing
from livematte.runtimes.graphs.facts import GraphFacts
from livematte.runtimes.graphs.folding import drop_empty_inputs, drop_idle, fold, inline_branches
from livematte.runtimes.graphs.running import Network, Values, dtype_of, pictures, play, zero_states

MOST_MEAN_DIFFERENCE = 1e-5
"""Of alpha, between the graph as given and its static form: most come out bit-equal. The mean, because a few pixels of
a guided filter, which divides by a variance near 0, move by 3e-3 whenever sums are taken in another order."""
MOST_MEAN_DIFFERENCE_HALF = 1e-3
"""The same for graphs with fp16 or INT8 inside, whose single step near 1 is 5e-4: ONNX Runtime's CPU, which computes
fp16 in fp32, leaves out other casts where the graph is another."""
_CHECKED_FRAMES = 3
_ENDS = frozenset(("Clip", "Sigmoid", "HardSigmoid", "Softmax"))
"""Operators after which made-up pictures, with nobody in them, may all be 0: what goes in is compared too."""
_MOST_PASSES = 8


@dataclass(frozen=True)
class StaticGraph:
    """What `make_static` gives."""

    model: onnx.ModelProto
    shapes: dict[str, tuple[int, ...]]
    """Every input's shape, states at their full size."""
    notes: tuple[str, ...]


def make_static(model: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]], facts: GraphFacts) -> StaticGraph:
    """The same network for inputs of these shapes alone; `model` (as `editing.load` gives it) stays as it is.

    shapes: every input that is no constant of `facts`; for states the shape they start with, which the network may
    broadcast. ModelError (4): shapes that do not fit, inner shapes that hang on a picture's content, or a result that
    differs from the original by more than MOST_MEAN_DIFFERENCE over recurrent frames.
    """
    made = editing.copy_of(model)
    notes = cut_outputs(made, facts)
    _fold_inputs(made, shapes, facts)
    _fix_sides(made, shapes, facts)
    full = _full_states(made, shapes, facts)
    _fix_states(made, full, facts)
    nodes = len(made.graph.node)
    _simplify(made, full, facts)
    if facts.constants:
        given = ", ".join(f"{name} = {value:g}" for name, value in facts.constants.items())
        notes = (*notes, f"folded in: {given}")
    notes = (*notes, f"{nodes} operations became {len(made.graph.node)}")
    difference = largest_mean_difference(model, made, shapes, full, facts)
    allowed = MOST_MEAN_DIFFERENCE_HALF if _is_coarse(model) else MOST_MEAN_DIFFERENCE
    if not difference <= allowed:
        raise ModelError(
            f"the form of this network for one size differs from the network itself by {difference:.1e} on average "
            f"(allowed {allowed:.0e}), so it is not used. Run the network with ONNX Runtime instead: "
            "--runtime onnxruntime"
        )
    return StaticGraph(made, full, notes)


def cut_outputs(model: onnx.ModelProto, facts: GraphFacts) -> tuple[str, ...]:
    """Cut off the outputs nobody asked for, in place, with all that only they need; a sentence where there were any."""
    if not facts.outputs:
        return ()
    wanted = {*facts.outputs, *(output for _, output in facts.states)}
    there = [value.name for value in model.graph.output]
    missing = sorted(wanted - set(there))
    if missing:
        raise ModelError(f"the network has no output {', '.join(missing)}; it has {', '.join(there)}.")
    gone = [name for name in there if name not in wanted]
    if not gone:
        return ()
    editing.keep(model.graph.output, lambda value: value.name in wanted)
    editing.prune(model)
    return (f"cut off, because no matte needs it: {', '.join(gone)}",)


def largest_mean_difference(
    model: onnx.ModelProto,
    made: onnx.ModelProto,
    shapes: Mapping[str, tuple[int, ...]],
    full: Mapping[str, tuple[int, ...]],
    facts: GraphFacts,
) -> float:
    """Largest mean difference of any shared output over a few recurrent frames of made-up pictures."""
    names = [value.name for value in made.graph.output]
    inside = {name for node in model.graph.node for name in node.output}
    ends = [node for node in made.graph.node if node.op_type in _ENDS and set(names).intersection(node.output)]
    before_ends = sorted({node.input[0] for node in ends} & inside - set(names))
    names += before_ends
    model, made = _with_outputs(model, before_ends), _with_outputs(made, before_ends)
    before = play(
        Network(model), pictures(model, shapes, states=_sources(facts), constants=facts.constants),
        zero_states(model, shapes, facts.states), facts.states, frames=_CHECKED_FRAMES,
    )  # fmt: skip
    after = play(
        Network(made, what="the network's form for one size"),
        pictures(made, full, states=_sources(facts), constants={}),
        zero_states(made, full, facts.states), facts.states, frames=_CHECKED_FRAMES,
    )  # fmt: skip
    worst = 0.0
    for one, other in zip(before, after, strict=True):
        for name in names:
            worst = max(worst, _mean_difference(one, other, name))
    return worst


def _with_outputs(model: onnx.ModelProto, names: list[str]) -> onnx.ModelProto:
    shown = editing.copy_of(model)
    shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return shown


def _is_coarse(model: onnx.ModelProto) -> bool:
    """True where fp16 or INT8 is inside."""
    is_quantized = any(node.op_type == "QuantizeLinear" for node in model.graph.node)
    return is_quantized or any(tensor.data_type == editing.HALF for tensor in model.graph.initializer)


def _mean_difference(one: Values, other: Values, name: str) -> float:
    if one[name].shape != other[name].shape:
        return float("inf")
    return float(np.abs(one[name].astype(np.float64) - other[name].astype(np.float64)).mean())


def _sources(facts: GraphFacts) -> tuple[str, ...]:
    return tuple(source for source, _ in facts.states)


def _fold_inputs(model: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]], facts: GraphFacts) -> None:
    """Inputs with one value for the whole clip become initialisers."""
    for name, value in facts.constants.items():
        found = next((item for item in model.graph.input if item.name == name), None)
        if found is None:
            continue  # folded already, or cut off with an output
        sides = tuple(side.dim_value or 1 for side in found.type.tensor_type.shape.dim)
        dtype = dtype_of(found)
        exact = steady(value, {side for shape in shapes.values() for side in shape}) if dtype == np.float32 else value
        editing.add_constant(model, name, np.full(sides, exact, dtype))
    editing.keep(model.graph.input, lambda item: item.name not in facts.constants)


def steady(value: float, sides: set[int]) -> float:
    """The scale, moved up by a last bit or two where it is needed so that every runtime rounds `side * scale` alike.

    853 * float32(512 / 853) is 512 in single precision and 511.99998 in double: ONNX Runtime's kernel then gives 512
    columns where its own shape inference says 511, and the constants folded from that break the graph.
    """
    scale = np.float32(value)
    for _ in range(8):
        if all(int(np.float32(scale * np.float32(side))) == int(float(scale) * side) for side in sides):
            return float(scale)
        scale = np.nextafter(scale, np.float32(np.inf))
    return value


def _fix_sides(model: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]], facts: GraphFacts) -> None:
    """The picture's sides; states stay free until it is known what the network writes into them."""
    states = set(_sources(facts))
    for value in model.graph.input:
        if value.name not in shapes:
            raise ModelError(f"no size is known for the network's input '{value.name}', so it has no static form.")
        shape = shapes[value.name]
        held = value.type.tensor_type.shape
        declared = [side.dim_value if side.HasField("dim_value") else None for side in held.dim]
        if len(declared) != len(shape) or any(
            side not in (None, got) for side, got in zip(declared, shape, strict=True)
        ):
            raise ModelError(f"the network's input '{value.name}' cannot take the shape {tuple(shape)}.")
        if value.name in states:
            for side in held.dim:
                side.ClearField("dim_param")  # RVM names the sides of all its states alike, although they differ
        else:
            editing.set_shape(value, shape)
    for value in model.graph.output:
        for side in value.type.tensor_type.shape.dim:
            side.ClearField("dim_param")


def _full_states(
    model: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]], facts: GraphFacts
) -> dict[str, tuple[int, ...]]:
    """Every input's shape, states as the network writes them: one step from zeros tells."""
    full = {value.name: tuple(shapes[value.name]) for value in model.graph.input}
    if not facts.states:
        return full
    feeds = pictures(model, shapes, states=_sources(facts), constants={})
    found = next(play(Network(model), feeds, zero_states(model, shapes, facts.states), facts.states, frames=1))
    return full | {source: found[output].shape for source, output in facts.states}


def _fix_states(model: onnx.ModelProto, full: Mapping[str, tuple[int, ...]], facts: GraphFacts) -> None:
    outputs = dict(facts.states)
    for value in model.graph.input:
        if value.name in outputs:
            editing.set_shape(value, full[value.name])
    shapes = {output: full[source] for source, output in facts.states}
    for value in model.graph.output:
        if value.name in shapes:
            editing.set_shape(value, shapes[value.name])


def _simplify(model: onnx.ModelProto, full: Mapping[str, tuple[int, ...]], facts: GraphFacts) -> None:
    """Fold, inline and drop until nothing changes; then the graph states the shape of every tensor it can."""

    def feeds() -> Iterator[Values]:
        states = zero_states(model, full, facts.states)
        for picture in pictures(model, full, states=_sources(facts), constants={}):
            yield {**picture, **states}

    for _ in range(_MOST_PASSES):
        changed = fold(model, feeds())
        changed += inline_branches(model)
        editing.tidied(model)
        drop_empty_inputs(model)
        changed += drop_idle(model, editing.value_shapes(model), editing.value_types(model))
        editing.prune(model)
        if not changed:
            break
    made = Network(model, what="the network's form for one size", optimize=False)
    for name, value in made.run(next(feeds())).items():
        editing.set_shape(next(item for item in model.graph.output if item.name == name), value.shape)
    known = editing.inferred(model)
    del model.graph.value_info[:]
    model.graph.value_info.extend(known.graph.value_info)
