"""One size: what comes out must be what the network itself gives, frame after frame."""

from __future__ import annotations

import graphs_making
import numpy as np
import onnx
import pytest

from livematte.errors import ModelError
from livematte.runtimes.graphs import editing, folding, static
from livematte.runtimes.graphs.facts import GraphFacts
from livematte.runtimes.graphs.running import Network, pictures, play, zero_states

GUIDED = GraphFacts(states=graphs_making.STATES, outputs=("pha",), constants={"downsample_ratio": 0.375})
GUIDED_SHAPES = {"src": (1, 3, 91, 134), "r1i": (1, 1, 1, 1), "downsample_ratio": (1,)}


def tidy(model: onnx.ModelProto) -> onnx.ModelProto:
    return editing.tidied(editing.copy_of(model))


def operators(model: onnx.ModelProto) -> set[str]:
    return {node.op_type for node in model.graph.node}


def test_a_recurrent_network_with_a_ratio_input_becomes_static_and_stays_the_same() -> None:
    model = tidy(graphs_making.guided())
    made = static.make_static(model, GUIDED_SHAPES, GUIDED)
    assert made.shapes == {"src": (1, 3, 91, 134), "r1i": (1, 8, 17, 25)}
    assert [value.name for value in made.model.graph.input] == ["src", "r1i"]
    assert [value.name for value in made.model.graph.output] == ["pha", "r1o"]
    assert not operators(made.model) & {"Shape", "Expand", "Identity", "Gather", "Cast"}
    before = play(Network(model), pictures(model, GUIDED_SHAPES, states=("r1i",), constants=GUIDED.constants),
                  zero_states(model, GUIDED_SHAPES, GUIDED.states), GUIDED.states, frames=6)  # fmt: skip
    after = play(Network(made.model), pictures(made.model, made.shapes, states=("r1i",), constants={}),
                 zero_states(made.model, made.shapes, GUIDED.states), GUIDED.states, frames=6)  # fmt: skip
    for one, other in zip(before, after, strict=True):
        np.testing.assert_allclose(other["r1o"], one["r1o"], atol=1e-6)
        assert np.abs(other["pha"] - one["pha"]).mean() <= 1e-6


def test_every_tensor_of_the_static_form_has_a_known_shape() -> None:
    made = static.make_static(tidy(graphs_making.guided()), GUIDED_SHAPES, GUIDED)
    shapes = editing.value_shapes(made.model)
    names = {name for node in made.model.graph.node for name in (*node.input, *node.output) if name}
    assert all(name in shapes and None not in shapes[name] for name in names)
    scales = [node.input[2] for node in made.model.graph.node if node.op_type == "Resize" and node.input[2]]
    constants = {tensor.name for tensor in made.model.graph.initializer}
    assert scales
    assert set(scales) <= constants


def test_outputs_that_nobody_wants_go_with_what_only_they_need() -> None:
    model = tidy(graphs_making.ladder())
    made = static.make_static(model, {"input.1": (1, 3, 37, 41)}, GraphFacts(outputs=("d0",)))
    assert [value.name for value in made.model.graph.output] == ["d0"]
    assert [node.op_type for node in made.model.graph.node].count("Sigmoid") == 1
    assert any("d1, d2" in note for note in made.notes)


def test_an_output_that_is_not_there_is_named() -> None:
    with pytest.raises(ModelError, match="no output matte; it has d0, d1, d2"):
        static.make_static(tidy(graphs_making.ladder()), {"input.1": (1, 3, 32, 32)}, GraphFacts(outputs=("matte",)))


@pytest.mark.parametrize(("height", "sign"), [(32, 1), (64, -1)])
def test_a_branch_on_the_size_is_decided(height: int, sign: int) -> None:
    model = tidy(graphs_making.branched())
    made = static.make_static(model, {"input": (1, 3, height, 48)}, GraphFacts())
    assert operators(made.model) == {"Conv", "Mul", "Sigmoid"}
    picture = next(pictures(model, {"input": (1, 3, height, 48)}, states=(), constants={}))
    expected = Network(model).run(picture)["matte"]
    np.testing.assert_allclose(Network(made.model).run(picture)["matte"], expected, atol=1e-6)
    signs = [editing.array(one) for one in made.model.graph.initializer if one.name.endswith("/sign")]
    assert [float(one) for one in signs] == [sign]


def test_shapes_that_hang_on_the_picture_are_refused() -> None:
    with pytest.raises(ModelError, match="hang on what is in the picture"):
        static.make_static(tidy(graphs_making.by_content()), {"input": (1, 3, 32, 48)}, GraphFacts())


def test_a_shape_that_does_not_fit_is_named() -> None:
    with pytest.raises(ModelError, match="'input' cannot take the shape"):
        static.make_static(tidy(graphs_making.norms()), {"input": (1, 4, 32, 48)}, GraphFacts())


def test_a_form_that_differs_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def spoil(model: onnx.ModelProto, full: object, facts: object) -> None:
        kernel = next(tensor for tensor in model.graph.initializer if len(tensor.dims) == 4)
        changed = onnx.numpy_helper.from_array(editing.array(kernel) * np.float32(1.01), kernel.name)
        kernel.CopyFrom(changed)

    monkeypatch.setattr(static, "_simplify", spoil)
    with pytest.raises(ModelError, match="differs from the network itself by"):
        static.make_static(tidy(graphs_making.norms()), {"input": (1, 3, 32, 48)}, GraphFacts())


def test_what_is_too_large_stays_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    n = graphs_making.Maker()
    grid = n("Expand", n.number(np.ones((1, 1, 1, 1))), n("Shape", "input"))
    n("Mul", "input", grid, to="matte")
    model = n.model([graphs_making.tensor("input", 1, 3, 8, 8)], [graphs_making.tensor("matte", 1, 3, 8, 8)])
    feeds = [{"input": np.zeros((1, 3, 8, 8), np.float32)}] * 2
    monkeypatch.setattr(folding, "LARGEST_FOLDED_BYTES", 100)
    folding.fold(model, feeds)
    assert [node.op_type for node in model.graph.node] == ["Expand", "Mul"]
    monkeypatch.setattr(folding, "LARGEST_FOLDED_BYTES", 1000)
    folding.fold(model, feeds)
    assert [node.op_type for node in model.graph.node] == ["Mul"]


@pytest.mark.parametrize(("version", "given"), [(17, ["input", "", ""]), (12, ["input", "c0", "c0"])])
def test_empty_inputs_of_a_resize_are_left_out_where_they_may_be(version: int, given: list[str]) -> None:
    n = graphs_making.Maker()
    nothing = n.number(np.zeros(0))
    n("Resize", "input", nothing, nothing, n.number([1, 3, 16, 16], np.int64), mode="linear", to="matte")
    model = n.model([graphs_making.tensor("input", 1, 3, 8, 8)], [graphs_making.tensor("matte", 1, 3, 16, 16)], version)
    folding.drop_empty_inputs(model)
    assert list(model.graph.node[0].input)[:3] == given
    assert Network(model).run({"input": np.ones((1, 3, 8, 8), np.float32)})["matte"].shape == (1, 3, 16, 16)


@pytest.mark.parametrize("sides", [(853, 480), (1279, 719), (1920, 1080), (999, 333)])
def test_a_scale_is_rounded_alike_in_single_and_double_precision(sides: tuple[int, int]) -> None:
    ratio = 512 / max(sides)
    steady = np.float32(static.steady(ratio, set(sides)))
    assert abs(steady - ratio) < 2e-7
    for side in sides:
        assert int(np.float32(steady * np.float32(side))) == int(float(steady) * side)
