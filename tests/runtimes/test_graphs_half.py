"""fp16 with fp32 islands: which nodes stay, that no operator mixes types, and that the mattes stay close."""

from __future__ import annotations

from collections.abc import Callable

import graphs_making
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from livematte.errors import ModelError
from livematte.runtimes.graphs import editing, half, islands, rounding, static
from livematte.runtimes.graphs.facts import GraphFacts
from livematte.runtimes.graphs.running import Network, pictures, play, zero_states
from livematte.runtimes.graphs.typecheck import check_types, has_half_form, takes_only_full

GUIDED = GraphFacts(states=graphs_making.STATES, keep_fp32=("downsample_ratio",))
SHAPES = {"src": (1, 3, 64, 96), "r1i": (1, 1, 1, 1), "downsample_ratio": (1,), "input": (1, 3, 64, 96),
          "input.1": (1, 3, 37, 41), "rgb": (1, 3, 64, 96)}  # fmt: skip
RATIO = {"downsample_ratio": 0.5}


def tidy(model: onnx.ModelProto) -> onnx.ModelProto:
    return editing.tidied(editing.copy_of(model))


def kinds(model: onnx.ModelProto, found: dict[str, str]) -> dict[str, list[str]]:
    """Operator -> reasons of its nodes that are islands."""
    by_operator: dict[str, list[str]] = {}
    for node in model.graph.node:
        if node.name in found:
            by_operator.setdefault(node.op_type, []).append(found[node.name])
    return by_operator


def types_of(model: onnx.ModelProto, operator: str) -> set[int]:
    """Types that the results of an operator have."""
    types = editing.value_types(model)
    return {types[node.output[0]] for node in model.graph.node if node.op_type == operator}


def compare(model: onnx.ModelProto, made: onnx.ModelProto, facts: GraphFacts, name: str) -> float:
    """Largest mean difference over recurrent frames."""

    def frames(of: onnx.ModelProto) -> list[np.ndarray]:
        states = [source for source, _ in facts.states]
        feeds = pictures(of, SHAPES, states=states, constants=RATIO)
        played = play(Network(of), feeds, zero_states(of, SHAPES, facts.states), facts.states, frames=4)
        return [found[name].astype(np.float32) for found in played]

    return max(float(np.abs(a - b).mean()) for a, b in zip(frames(model), frames(made), strict=True))


def test_a_guided_filter_its_sizes_and_the_last_steps_stay_in_fp32() -> None:
    model = tidy(graphs_making.guided())
    found = islands.find_islands(model, GUIDED)
    by_operator = kinds(model, found)
    assert len(by_operator["AveragePool"]) == 4
    assert by_operator["Div"] == ["divides by a number that can be as small as its epsilon"]
    assert set(by_operator["Clip"]) == {"is part of a guided filter"}
    assert any("1e-05" in reason for reason in by_operator["Add"])
    assert len(by_operator["Resize"]) >= 2
    assert "Conv" not in by_operator
    assert "HardSwish" not in by_operator
    # The state's own arithmetic is no filter's.
    assert next(node.name for node in model.graph.node if "r1o" in node.output) not in found


def test_the_guided_network_in_fp16_runs_and_stays_close() -> None:
    model = tidy(graphs_making.guided())
    made = half.to_half(model, GUIDED)
    assert {value.name: value.type.tensor_type.elem_type for value in made.model.graph.input} == {
        "src": TensorProto.FLOAT, "r1i": TensorProto.FLOAT16, "downsample_ratio": TensorProto.FLOAT,
    }  # fmt: skip
    assert types_of(made.model, "Conv") == {TensorProto.FLOAT16}
    assert types_of(made.model, "AveragePool") == {TensorProto.FLOAT}
    assert compare(model, made.model, GUIDED, "pha") < 2e-3
    # ONNX Runtime's CPU computes fp16 in fp32; rounded as a GPU would, the islands are what keeps it close.
    with_islands = compare(model, rounding.rounded(model, dict(made.islands)), GUIDED, "pha")
    sizes = [node for node, reason in made.islands if "sizes" in reason]
    without = compare(model, rounding.rounded(model, sizes), GUIDED, "pha")
    assert with_islands < 2e-3
    assert without > 5 * with_islands


def test_inputs_and_outputs_are_typed_as_asked() -> None:
    model = tidy(graphs_making.guided())
    asked = GraphFacts(states=graphs_making.STATES, keep_fp32=("downsample_ratio",), io="fp16", state_io="fp32")
    made = half.to_half(model, asked).model
    got = {v.name: v.type.tensor_type.elem_type for v in (*made.graph.input, *made.graph.output)}
    wide, narrow = TensorProto.FLOAT, TensorProto.FLOAT16
    assert got == {"src": narrow, "r1i": wide, "downsample_ratio": wide, "fgr": narrow, "pha": narrow, "r1o": wide}
    assert compare(model, made, asked, "pha") < 3e-3


def test_the_static_form_has_no_islands_for_sizes_left() -> None:
    facts = GraphFacts(states=graphs_making.STATES, outputs=("pha",), constants=RATIO)
    shapes = {name: SHAPES[name] for name in ("src", "r1i", "downsample_ratio")}
    static_form = static.make_static(tidy(graphs_making.guided()), shapes, facts)
    made = half.to_half(static_form.model, GraphFacts(states=graphs_making.STATES))
    assert not any("sizes" in reason for _, reason in made.islands)
    assert any("guided" in reason or "epsilon" in reason for _, reason in made.islands)


def test_instance_norm_stays_and_batch_norm_is_spent_beforehand() -> None:
    model = tidy(graphs_making.norms())
    made = half.to_half(model, GraphFacts())
    reasons = kinds(made.model, dict(made.islands))
    assert reasons["InstanceNormalization"] == ["normalises by a mean and a variance"]
    assert set(reasons) == {"InstanceNormalization", "Resize", "Sigmoid"} | (set(reasons) & {"Identity"})
    assert "BatchNormalization" not in {node.op_type for node in made.model.graph.node}
    assert types_of(made.model, "InstanceNormalization") == {TensorProto.FLOAT}
    assert compare(model, made.model, GraphFacts(), "output") < 1e-3
    assert any("1 batch norm" in note for note in made.notes)


def test_folded_batch_norms_compute_the_same() -> None:
    model = tidy(graphs_making.norms())
    folded = editing.copy_of(model)
    assert half.fold_batch_norms(folded) == 1
    assert compare(model, folded, GraphFacts(), "output") < 1e-6


def test_a_written_out_layer_norm_stays_but_not_the_stream_before_it() -> None:
    model = tidy(graphs_making.layered())
    found = islands.find_islands(model, GraphFacts())
    by_operator = kinds(model, found)
    assert len(by_operator["Div"]) == 2
    assert len(by_operator["Sqrt"]) == 2
    assert len(by_operator["Sub"]) == 2
    residual = [node.name for node in model.graph.node if node.op_type == "Add" and node.input[0].startswith("conv")]
    assert residual
    assert not set(residual) & set(found)
    assert compare(model, half.to_half(model, GraphFacts()).model, GraphFacts(), "matte") < 2e-3


def test_a_variance_by_a_box_convolution_stays_without_any_division() -> None:
    n = graphs_making.Maker(8)
    box = n.number(np.full((3, 1, 3, 3), 1 / 9))

    def mean(source: str) -> str:
        return str(n("Conv", source, box, pads=[1] * 4, group=3))

    average = mean("input")
    variance = n("Sub", mean(n("Mul", "input", "input")), n("Mul", average, average), to="variance")
    n("Sigmoid", n.conv(n.relu6(n.conv(variance, 3, 4)), 4, 1), to="matte")
    tensors = [graphs_making.tensor("input", 1, 3, "h", "w")], [graphs_making.tensor("matte", 1, 1, "h", "w")]
    model = tidy(n.model(*tensors))
    by_operator = kinds(model, islands.find_islands(model, GraphFacts()))
    assert by_operator["Sub"] == ["is a variance, the difference of nearly equal averages"]
    assert len(by_operator["Conv"]) == 2  # the two box filters, not the two with weights
    assert len(by_operator["Mul"]) == 2


def test_sums_and_means_over_a_picture_stay_and_pools_do_not() -> None:
    n = graphs_making.Maker(8)
    x = n.conv("input", 3, 4)
    total = n("ReduceSum", x, n.number([2, 3], np.int64), keepdims=1)
    wide, narrow = n("ReduceMean", x, axes=[2, 3], keepdims=1), n("ReduceMean", x, axes=[1], keepdims=1)
    pooled = n("GlobalAveragePool", x)
    mixed = n("Add", n("Add", n("Add", x, total), n("Add", wide, pooled)), narrow)
    n("Sigmoid", n.conv(mixed, 4, 1), to="matte")
    tensors = [graphs_making.tensor("input", 1, 3, 64, 96)], [graphs_making.tensor("matte", 1, 1, 64, 96)]
    model = tidy(n.model(*tensors))
    by_operator = kinds(model, islands.find_islands(model, GraphFacts()))
    assert {name: len(reasons) for name, reasons in by_operator.items()} == {
        "ReduceSum": 1,
        "ReduceMean": 1,
        "Sigmoid": 1,
    }


def test_a_mask_beyond_fp16_stays_with_its_softmax() -> None:
    model = tidy(graphs_making.masked())
    by_operator = kinds(model, islands.find_islands(model, GraphFacts()))
    assert "beyond fp16's largest" in by_operator["Add"][0]
    assert "Softmax" in by_operator
    made = half.to_half(model, GraphFacts()).model
    assert compare(model, made, GraphFacts(), "matte") < 1e-3


@pytest.mark.parametrize(("graph", "name"), [(graphs_making.ladder, "d0"), (graphs_making.plain, "alpha")])
def test_plain_networks_stay_close(graph: Callable[[], onnx.ModelProto], name: str) -> None:
    model = tidy(graph())
    made = half.to_half(model, GraphFacts())
    assert types_of(made.model, "Conv") == {TensorProto.FLOAT16}
    assert types_of(made.model, "Sigmoid") == {TensorProto.FLOAT}
    assert 0 < compare(model, made.model, GraphFacts(), name) < 2e-3
    weights = {tensor.data_type for tensor in made.model.graph.initializer if len(tensor.dims) == 4}
    assert weights == {TensorProto.FLOAT16}


def test_a_manifest_keeps_operators_nodes_and_tensors() -> None:
    model = tidy(graphs_making.plain())
    conv = next(node for node in model.graph.node if node.op_type == "Conv")
    for name in ("Conv", conv.name, conv.input[0]):
        found = islands.find_islands(model, GraphFacts(keep_fp32=(name,)))
        assert found[conv.name] == f"the manifest keeps {name} in fp32"


def test_branches_are_refused_with_what_to_do() -> None:
    with pytest.raises(ModelError, match=r"a branch or a loop inside .If"):
        half.to_half(tidy(graphs_making.branched()), GraphFacts())


def test_mixed_types_are_found() -> None:
    model = tidy(graphs_making.plain())
    check_types(model)
    kernel = next(tensor for tensor in model.graph.initializer if len(tensor.dims) == 4)
    kernel.CopyFrom(onnx.numpy_helper.from_array(editing.array(kernel).astype(np.float16), kernel.name))
    with pytest.raises(ModelError, match=r"mixes types|contradict"):
        check_types(model)


def test_a_scales_input_is_fixed_and_a_resize_has_a_half_form() -> None:
    node = helper.make_node("Resize", ["x", "", "scales"], ["y"], mode="linear")
    assert takes_only_full(node, 17) == {"scales"}
    assert has_half_form(node, 17)
    assert not has_half_form(helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]), 17)
    assert has_half_form(helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]), 19)
    assert not has_half_form(helper.make_node("Thing", ["x"], ["y"], domain="someone.else"), 17)


def test_the_source_model_is_left_as_it_was() -> None:
    model = tidy(graphs_making.guided())
    before = model.SerializeToString()
    half.to_half(model, GUIDED)
    static.make_static(model, {k: SHAPES[k] for k in ("src", "r1i", "downsample_ratio")},
                       GraphFacts(states=graphs_making.STATES, constants=RATIO))  # fmt: skip
    assert model.SerializeToString() == before
