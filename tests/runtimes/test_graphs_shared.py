"""Conversions of real networks: the embedded one, and Robust Video Matting beside the repository."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from livematte import resources
from livematte.models import catalogue
from livematte.models.contract import tie
from livematte.models.sizes import network_size
from livematte.reporting import ListReporter
from livematte.runtimes.graphs import Precision, editing, facts_of, half, prepare, rounding, static
from livematte.runtimes.graphs.calibrate import frames_of
from livematte.runtimes.graphs.running import Network, pictures, play, zero_states
from livematte.runtimes.onnx_header import read_header

EMBEDDED = resources.root() / "engines" / "livematte-s.onnx"


def facts_and_shapes(path: Path, name: str, width: int, height: int) -> tuple:
    graph = catalogue.by_name(name).graph
    contract = tie(graph, read_header(path), str(path))
    assert graph.input is not None
    return facts_of(contract, network_size(graph.input.size, width, height))


def test_the_embedded_network_in_fp16_needs_its_last_steps_alone() -> None:
    facts, shapes = facts_and_shapes(EMBEDDED, "livematte-s", 1280, 720)
    made = prepare(EMBEDDED, precision="fp16", shapes=shapes, for_="tensorrt", facts=facts)
    assert {reason for _, reason in made.islands} == {"is one of the last steps of the matte"}
    assert made.shapes == {"rgb": (1, 3, 256, 448)}
    model, full = editing.load(made.path), editing.load(EMBEDDED)
    feeds = next(pictures(full, shapes, states=(), constants={}))
    difference = np.abs(Network(model).run(feeds)["alpha"] - Network(full).run(feeds)["alpha"])
    assert difference.mean() < 1e-3


def test_the_embedded_network_static_is_the_same() -> None:
    facts, shapes = facts_and_shapes(EMBEDDED, "livematte-s", 1280, 720)
    made = static.make_static(editing.load(EMBEDDED), shapes, facts)
    assert not {node.op_type for node in made.model.graph.node} & {"Shape", "Gather", "Cast"}


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize(("width", "height"), [(1280, 720), (853, 480)])
def test_rvm_static_is_the_same_over_recurrent_frames(shared: Path, width: int, height: int) -> None:
    path = shared / "models" / "rvm_mobilenetv3_fp32.onnx"
    facts, shapes = facts_and_shapes(path, "rvm-mobilenetv3", width, height)
    model = editing.load(path)
    made = static.make_static(model, shapes, facts)
    assert set(made.shapes) == {"src", "r1i", "r2i", "r3i", "r4i"}
    assert not {node.op_type for node in made.model.graph.node} & {"Shape", "Expand", "Gather", "If"}
    states = [source for source, _ in facts.states]
    before = play(Network(model), pictures(model, shapes, states=states, constants=facts.constants),
                  zero_states(model, shapes, facts.states), facts.states, frames=5)  # fmt: skip
    after = play(Network(made.model), pictures(made.model, made.shapes, states=states, constants={}),
                 zero_states(made.model, made.shapes, facts.states), facts.states, frames=5)  # fmt: skip
    for one, other in zip(before, after, strict=True):
        assert np.abs(one["pha"] - other["pha"]).mean() <= 1e-5


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("is_static", [True, False])
def test_rvm_in_fp16_keeps_its_refiner_and_stays_close(shared: Path, is_static: bool) -> None:
    path = shared / "models" / "rvm_mobilenetv3_fp32.onnx"
    facts, shapes = facts_and_shapes(path, "rvm-mobilenetv3", 640, 360)
    made = prepare(path, precision="fp16", shapes=shapes if is_static else None, for_="cpu", facts=facts)
    model, full = editing.load(made.path), editing.load(path)
    islands = dict(made.islands)
    pools = [node for node in model.graph.node if node.op_type == "AveragePool" and node.name in islands]
    assert len(pools) >= 4
    assert all(node.name in islands for node in model.graph.node if node.op_type == "Div" and "refiner" in node.name)
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    assert not any(node.name in islands for node in convolutions)
    states = [source for source, _ in facts.states]
    before = play(Network(full), pictures(full, shapes, states=states, constants=facts.constants),
                  zero_states(full, shapes, facts.states), facts.states, frames=4)  # fmt: skip
    constants = {} if is_static else facts.constants
    own = made.shapes or shapes
    after = play(Network(model), pictures(model, own, states=states, constants=constants),
                 zero_states(model, own, facts.states), facts.states, frames=4)  # fmt: skip
    for one, other in zip(before, after, strict=True):
        assert np.abs(one["pha"] - other["pha"].astype(np.float32)).mean() <= 2e-3
    assert half.is_half(model)


@pytest.mark.shared
@pytest.mark.slow
def test_the_publishers_fp16_form_becomes_static_with_its_own_islands(shared: Path) -> None:
    path = shared / "models" / "rvm_mobilenetv3_fp16.onnx"
    facts, shapes = facts_and_shapes(path, "rvm-mobilenetv3", 640, 360)
    made = prepare(path, precision="fp16", shapes=shapes, for_="tensorrt", facts=facts)
    header = read_header(made.path)
    assert {spec.dtype for spec in (*header.inputs, *header.outputs)} == {"float16"}
    assert [spec.name for spec in header.inputs] == ["src", "r1i", "r2i", "r3i", "r4i"]
    assert any("in fp16 already" in note for note in made.notes)


@pytest.mark.shared
@pytest.mark.slow
def test_rvm_without_its_islands_would_flicker(shared: Path) -> None:
    path = shared / "models" / "rvm_mobilenetv3_fp32.onnx"
    facts, shapes = facts_and_shapes(path, "rvm-mobilenetv3", 640, 360)
    made = half.to_half(static.make_static(editing.load(path), shapes, facts).model, facts)
    full = {value.name: tuple(side.dim_value for side in value.type.tensor_type.shape.dim)
            for value in made.full.graph.input}  # fmt: skip

    clip = str(shared / "eval" / "group.mp4")
    frames = [frame.rgb(width=640, height=360) for frame in frames_of(clip, 3, step=1, reporter=ListReporter())]

    def alphas(model: onnx.ModelProto) -> list[np.ndarray]:
        feeds = ({"src": (rgb.transpose(2, 0, 1)[None] / 255).astype(np.float32)} for rgb in frames)
        played = play(Network(model), feeds, zero_states(model, full, facts.states), facts.states, frames=3)
        return [found["pha"] for found in played]

    exact, kept, none = (
        alphas(made.full),
        alphas(rounding.rounded(made.full, dict(made.islands))),
        alphas(rounding.rounded(made.full, ())),
    )
    with_islands = max(float(np.abs(a - b).mean()) for a, b in zip(exact, kept, strict=True))
    without = max(float(np.abs(a - b).mean()) for a, b in zip(exact, none, strict=True))
    assert 0 < with_islands < 1e-3
    assert without > 3 * with_islands


@pytest.mark.shared
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_selfie_segmentation_of_an_old_opset_becomes_static(shared: Path, precision: Precision) -> None:
    path = shared / "models" / "selfie_segmentation.onnx"
    facts, shapes = facts_and_shapes(path, "selfie", 640, 360)
    made = prepare(path, precision=precision, shapes=shapes, for_="tensorrt", facts=facts)
    Network(editing.load(made.path))
