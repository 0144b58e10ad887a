"""INT8: the two forms, ranges from real frames, exclusions by measurement, and what is written or refused."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import graphs_making
import numpy as np
import onnx
import pytest
from onnx import TensorProto

from clipmaker import Clip, write_clip
from livematte.config import ModelSettings
from livematte.errors import ModelError, UsageError
from livematte.models import catalogue
from livematte.models.contract import Contract, tie
from livematte.models.load import load_model
from livematte.models.manifest import AlphaOutput, AreaSize, ExtraInput, Graph, ImageInput, PerQuality, State, Weights
from livematte.reporting import ListReporter
from livematte.runtimes.graphs import GraphFacts, beside, conversion, editing, exclusions, half, prepare, quantize
from livematte.runtimes.graphs.calibrate import Calibration, FrameRequest, calibrate, clips_of
from livematte.runtimes.graphs.conversion import QuantizeRequest, quantize_model, verdict
from livematte.runtimes.graphs.report import Report, ReportRow
from livematte.runtimes.graphs.running import Network
from livematte.runtimes.onnx_header import read_header


def tidy(model: onnx.ModelProto) -> onnx.ModelProto:
    return editing.tidied(editing.copy_of(model))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "clip.mkv"
    write_clip(path, Clip(width=64, height=48, frames=8))
    return path


def contract_of(path: Path, *, recurrent: bool = False) -> Contract:
    pixels = PerQuality(fast=3072, good=3072, best=3072)
    graph = Graph(
        input=ImageInput(position=0, size=AreaSize(policy="area", pixels=pixels, multiple_of=16)),
        alpha=AlphaOutput(name="pha" if recurrent else "alpha"),
        states=(State(input="r1i", output="r1o"),) if recurrent else (),
        extra=(ExtraInput(name="downsample_ratio", value=0.5),) if recurrent else (),
        weights=(Weights(source="bring", file="file.onnx", export="A file of the tests."),),
    )
    return tie(graph, read_header(path), str(path))


def seen_by(model: onnx.ModelProto, clip: Path, tmp_path: Path, *, recurrent: bool = False) -> Calibration:
    path = graphs_making.saved(model, tmp_path / "source.onnx")
    request = FrameRequest((str(clip),), 8)
    return calibrate(model, contract_of(path, recurrent=recurrent), request, reporter=ListReporter())


# -- ranges -----------------------------------------------------------------------------------------------------------


def test_ranges_are_those_of_the_frames_as_the_network_sees_them(clip: Path, tmp_path: Path) -> None:
    model = tidy(graphs_making.plain())
    seen = seen_by(model, clip, tmp_path)
    assert seen.frames == 8
    network = Network(model)
    inputs = [feeds["rgb"] for feeds, _ in seen.probes]
    assert len(inputs) == 8
    low, high = seen.extremes()["rgb"]
    assert low == pytest.approx(min(float(one.min()) for one in inputs))
    assert high == pytest.approx(max(float(one.max()) for one in inputs))
    assert 0 <= low < high <= 1
    for feeds, outputs in seen.probes:
        np.testing.assert_allclose(network.run(feeds)["alpha"], outputs["alpha"], atol=1e-6)
    usual = seen.usual()["rgb"]
    assert low <= usual[0] <= usual[1] <= high


def test_a_recurrent_network_sees_its_own_past(clip: Path, tmp_path: Path) -> None:
    seen = seen_by(tidy(graphs_making.guided()), clip, tmp_path, recurrent=True)
    assert seen.lowest["r1i"][0] == seen.highest["r1i"][0] == 0
    assert seen.highest["r1i"][1:] == seen.highest["r1o"][:-1]
    assert seen.probes[1][0]["r1i"].shape == seen.probes[0][1]["r1o"].shape


def test_probes_stay_few_and_spread(clip: Path, tmp_path: Path) -> None:
    seen = Calibration()
    for at in range(100):
        seen.keep_probe({"x": np.full(1, at)}, {})
        seen.frames += 1
    kept = [int(feeds["x"][0]) for feeds, _ in seen.probes]
    assert 6 <= len(kept) <= 12
    assert kept[0] == 0
    assert kept[-1] >= 80


def test_true_mattes_are_no_inputs(tmp_path: Path) -> None:
    for name in ("a.mkv", "a.alpha.mkv", "b.mkv"):
        write_clip(tmp_path / name, Clip(frames=1))
    assert [Path(one).name for one in clips_of([str(tmp_path)])] == ["a.mkv", "b.mkv"]


# -- the two forms ----------------------------------------------------------------------------------------------------


def test_the_form_for_tensorrt_is_symmetric_signed_and_leaves_biases(clip: Path, tmp_path: Path) -> None:
    model = tidy(graphs_making.plain())
    made = quantize.quantized(model, seen_by(model, clip, tmp_path).extremes(), quantize.Recipe("tensorrt"))
    constants = {tensor.name: tensor for tensor in made.graph.initializer}
    pairs = [node for node in made.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert pairs
    for node in pairs:
        point = constants[node.input[2]]
        assert point.data_type == TensorProto.INT8
        assert not editing.array(point).any()
    assert TensorProto.INT32 not in {tensor.data_type for tensor in made.graph.initializer}
    producers = {node.output[0]: node.op_type for node in made.graph.node}
    for node in made.graph.node:
        if node.op_type == "Conv":
            assert [producers.get(name) for name in node.input] == ["DequantizeLinear", "DequantizeLinear", None]
    results = {node.output[0] for node in made.graph.node if node.op_type == "Conv"}
    assert not any(name in results for node in pairs for name in node.input)


def test_the_form_for_processors_has_unsigned_activations(clip: Path, tmp_path: Path) -> None:
    model = tidy(graphs_making.plain())
    made = quantize.quantized(model, seen_by(model, clip, tmp_path).extremes(), quantize.Recipe("cpu"))
    constants = {tensor.name: tensor.data_type for tensor in made.graph.initializer}
    points = {constants[node.input[2]] for node in made.graph.node if node.op_type == "QuantizeLinear"}
    assert points == {TensorProto.UINT8}
    weights = {constants[node.input[0]] for node in made.graph.node
               if node.op_type == "DequantizeLinear" and node.input[0] in constants}  # fmt: skip
    assert weights == {TensorProto.INT8, TensorProto.INT32}


@pytest.mark.parametrize("target", ["cpu", "tensorrt"])
def test_quantized_mattes_stay_close(clip: Path, tmp_path: Path, target: str) -> None:
    model = tidy(graphs_making.plain())
    seen = seen_by(model, clip, tmp_path)
    made = quantize.quantized(model, seen.extremes(), quantize.Recipe(target))
    feeds, outputs = seen.probes[3]
    difference = np.abs(Network(made).run(feeds)["alpha"] - outputs["alpha"]).mean()
    assert 0 < difference < 0.03


def test_int8_over_fp16_runs_and_raises_tiny_scales(clip: Path, tmp_path: Path) -> None:
    model = tidy(graphs_making.plain())
    kernel = next(tensor for tensor in model.graph.initializer if len(tensor.dims) == 4)
    values = editing.array(kernel).copy()
    values[0] *= 1e-4  # a channel whose scale fp16 could hardly hold
    kernel.CopyFrom(onnx.numpy_helper.from_array(values, kernel.name))
    seen = seen_by(model, clip, tmp_path)
    made = quantize.quantized(model, seen.extremes(), quantize.Recipe("tensorrt"))
    over_half = half.to_half(made, GraphFacts()).model
    assert editing.opset(over_half) == half.QUANTIZED_OPSET
    constants = {tensor.name: tensor for tensor in over_half.graph.initializer}
    scales = [editing.array(constants[node.input[1]]) for node in over_half.graph.node
              if node.op_type == "DequantizeLinear"]  # fmt: skip
    assert {one.dtype for one in scales} == {np.dtype(np.float16)}
    assert min(float(one.min()) for one in scales) >= 2.0**-14
    types = editing.value_types(over_half)
    assert {types[n.output[0]] for n in over_half.graph.node if n.op_type == "Conv"} == {TensorProto.FLOAT16}
    feeds, outputs = seen.probes[3]
    assert np.abs(Network(over_half).run(feeds)["alpha"] - outputs["alpha"]).mean() < 0.03


def test_the_quantizer_leaves_logging_alone(clip: Path, tmp_path: Path) -> None:
    model = tidy(graphs_making.plain())
    ranges = seen_by(model, clip, tmp_path).extremes()
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    quantize.quantized(model, ranges, quantize.Recipe("cpu"))
    assert (root.level, list(root.handlers)) == before


# -- exclusions -------------------------------------------------------------------------------------------------------


def sensitive() -> tuple[onnx.ModelProto, str]:
    """A network whose second convolution multiplies a small difference of large numbers; and its name."""
    n = graphs_making.Maker(9)
    x = n.relu6(n.conv("rgb", 3, 8))
    wide = n("Concat", n("Mul", x, n.number(200)), x, axis=1)
    kernel = np.zeros((8, 16, 1, 1), np.float32)
    kernel[:, 8:, 0, 0] = n.random.normal(0, 0.6, (8, 8))
    found = n("Conv", wide, n.number(kernel), to="narrow")
    y = n.relu6(n.conv(found, 8, 8))
    n("Sigmoid", n.conv(y, 8, 1), to="alpha")
    sides = ("batch", "height", "width")
    model = n.model([graphs_making.tensor("rgb", sides[0], 3, *sides[1:])],
                    [graphs_making.tensor("alpha", sides[0], 1, *sides[1:])])  # fmt: skip
    return model, "n_narrow"


def test_what_int8_harms_is_found_and_left_out(clip: Path, tmp_path: Path) -> None:
    made, name = sensitive()
    model = tidy(made)
    seen = seen_by(model, clip, tmp_path)
    shares: list[float] = []
    islands = {node.name: "a rule" for node in model.graph.node if node.op_type == "Sigmoid"}
    search = exclusions.Search(model, seen, target="cpu", alpha="alpha", islands=islands, progress=shares.append)
    choice = search.run(goal_mad=12.0)
    measured = [node for node, reason in choice.excluded if "measurement" in reason]
    assert measured[0] == name
    assert choice.excluded[0] == (next(iter(islands)), "a rule")
    all_in = quantize.quantized(model, seen.extremes(), quantize.Recipe("cpu", excluded=frozenset(islands)))
    feeds, outputs = seen.probes[0]
    worse = 1e3 * np.abs(Network(all_in).run(feeds)["alpha"] - outputs["alpha"]).mean()
    assert choice.mad < worse / 2
    assert shares[-1] == 1
    converted = {node.name for node in choice.model.graph.node if node.op_type == "Conv"}
    assert name in converted


def test_a_network_without_weights_is_refused(clip: Path, tmp_path: Path) -> None:
    n = graphs_making.Maker()
    n("ReduceMean", "rgb", axes=[1], keepdims=1, to="alpha")
    model = n.model([graphs_making.tensor("rgb", 1, 3, "h", "w")], [graphs_making.tensor("alpha", 1, 1, "h", "w")])
    seen = seen_by(model, clip, tmp_path)
    search = exclusions.Search(model, seen, target="cpu", alpha="alpha", islands={}, progress=lambda share: None)
    with pytest.raises(ModelError, match="no convolution or matrix product"):
        search.run(1.0)


# -- the report and the verdict ---------------------------------------------------------------------------------------


def report(**figures: tuple[float, float]) -> Report:
    """Rows of (MAD, ms) by `label_runtime`."""
    rows = []
    for name, (mad, ms) in figures.items():
        label, runtime = name.split("_")
        rows.append(ReportRow(label, runtime, mad, mad / 10, mad / 2, ms, ms * 1.2))
    return Report(tuple(rows), 48, "448x256")


def request(**changes: object) -> QuantizeRequest:
    return QuantizeRequest(**{"model": "auto", "inputs": ("clip.mp4",)} | changes)


def test_a_close_and_quicker_network_passes() -> None:
    assert verdict(report(fp32_onnxruntime=(0, 30), int8_onnxruntime=(1.5, 20)), request()) is None


def test_a_network_that_is_off_is_refused_with_the_figures() -> None:
    said = verdict(report(fp32_onnxruntime=(0, 30), int8_onnxruntime=(2.5, 20)), request())
    assert said is not None
    assert "differ from fp32's by 2.50" in said
    assert "--max-mad allows 2" in said
    assert verdict(report(fp32_onnxruntime=(0, 30), int8_onnxruntime=(math.nan, 20)), request()) is not None


def test_off_on_one_runtime_is_off() -> None:
    rows = {
        "fp32_onnxruntime": (0, 30),
        "int8_onnxruntime": (1, 20),
        "fp32_openvino": (0, 25),
        "int8_openvino": (3, 10),
    }
    said = verdict(report(**rows), request())
    assert said is not None
    assert "3.00 (MAD x1e3, with openvino)" in said
    assert "With onnxruntime alone it passes (1.00): add --runtime onnxruntime" in said
    slow = rows | {"int8_onnxruntime": (1, 90)}
    said = verdict(report(**slow), request())
    assert said is not None
    assert "raise --max-mad" in said


def test_a_slower_network_is_refused_unless_one_runtime_gains() -> None:
    rows = {"fp32_onnxruntime": (0, 30), "int8_onnxruntime": (1, 40)}
    said = verdict(report(**rows), request())
    assert said is not None
    assert "onnxruntime 40.0 ms against 30.0" in said
    assert verdict(report(**rows), request(allow_slower=True)) is None
    assert verdict(report(**rows), request(target="tensorrt")) is None
    assert verdict(report(**rows, fp32_openvino=(0, 25), int8_openvino=(1, 12)), request()) is None


def test_the_table_lines_up_and_has_plain_values() -> None:
    made = report(fp32_onnxruntime=(0, 30), int8_onnxruntime=(1.5, 20))
    lines = made.lines()
    assert lines[0].split() == ["runtime", "MAD", "MSE", "dtSSD", "ms", "p95"]
    assert lines[2].split() == ["int8", "onnxruntime", "1.50", "0.15", "0.75", "20.0", "24.0"]
    assert made.as_dict()["rows"][1]["mad"] == 1.5


# -- the whole way ----------------------------------------------------------------------------------------------------


def make(tmp_path: Path, clip: Path, **changes: object) -> tuple[conversion.QuantizeResult, list[tuple[str, float]]]:
    source = tmp_path / "net.onnx"
    if not source.exists():
        graphs_making.saved(graphs_making.plain(), source)
    stages: list[tuple[str, float]] = []
    asked = {"model": str(source), "inputs": (str(clip),), "frames": 8, "max_mad": 30.0, "allow_slower": True,
             "output": tmp_path / "out.onnx", "network_size": "64x32"} | changes  # fmt: skip
    result = quantize_model(QuantizeRequest(**asked), reporter=ListReporter(), progress=lambda *at: stages.append(at))
    return result, stages


@pytest.mark.parametrize(("precision", "target"), [("int8", "cpu"), ("int8", "tensorrt"), ("fp16", "cpu")])
def test_what_is_written_runs_by_its_name(tmp_path: Path, clip: Path, precision: str, target: str) -> None:
    result, stages = make(tmp_path, clip, precision=precision, target=target)
    assert result.refused is None
    assert result.path == tmp_path / "out.onnx"
    assert result.manifest_path == tmp_path / "out.toml"
    assert {row.label for row in result.report.rows} == {"fp32", "fp16", precision}
    assert result.report.frames == 8
    first = result.report.rows[0]
    assert (first.mad, first.dtssd) == (0, 0)
    timed = [row for row in result.report.rows if target == "cpu" or row.label == "fp32"]
    assert all(row.ms > 0 for row in timed)
    assert all(math.isnan(row.ms) for row in result.report.rows if row not in timed)
    assert result.islands
    assert [share for _, share in stages][-1] == 1
    reporter = ListReporter()
    loaded = load_model(ModelSettings(model=str(result.path), device="cpu", runtime="onnxruntime"), reporter=reporter)
    assert loaded.engine.precision == precision
    assert loaded.manifest.name == f"livematte-s-{precision}"
    loaded.close()
    assert not reporter.warnings
    if precision == "int8" and target == "tensorrt":
        made = prepare(result.path, precision="int8", shapes={"rgb": (1, 3, 32, 64)}, for_="tensorrt")
        assert any("in fp16 already" in note for note in made.notes)


def test_a_refusal_writes_nothing(tmp_path: Path, clip: Path) -> None:
    result, _ = make(tmp_path, clip, max_mad=1e-6)
    assert result.refused is not None
    assert result.path is None
    assert not (tmp_path / "out.onnx").exists()
    assert result.report.rows


def test_outputs_are_not_replaced_unasked(tmp_path: Path, clip: Path) -> None:
    (tmp_path / "out.toml").write_text("mine")
    with pytest.raises(UsageError, match=r"out.toml exists"):
        make(tmp_path, clip)
    result, _ = make(tmp_path, clip, overwrite=True)
    assert result.path is not None
    with pytest.raises(UsageError, match="is the network itself"):
        make(tmp_path, clip, output=tmp_path / "net.onnx", overwrite=True)
    with pytest.raises(UsageError, match=r"must end in .onnx"):
        make(tmp_path, clip, output=tmp_path / "net.plan")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"inputs": ()}, "no frames"),
        ({"frames": 0}, "frames is 0"),
        ({"max_mad": 0.0}, "above 0"),
        ({"runtime": "tensorrt"}, "auto, onnxruntime or openvino"),
    ],
)
def test_bad_requests_say_what_is_wrong(tmp_path: Path, clip: Path, changes: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        make(tmp_path, clip, **changes)


def test_a_quantized_network_is_not_quantized_again(tmp_path: Path, clip: Path) -> None:
    result, _ = make(tmp_path, clip)
    with pytest.raises(ModelError, match="quantized already"):
        make(tmp_path, clip, model=str(result.path), output=tmp_path / "twice.onnx")


# -- the manifest beside it -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name, one in catalogue.shipped().items() if len(one.graphs) == 1])
def test_every_manifest_survives_toml(tmp_path: Path, name: str) -> None:
    manifest = catalogue.by_name(name)
    beside.write_manifest(manifest, tmp_path / "m.toml")
    assert catalogue.read(tmp_path / "m.toml") == manifest


def test_toml_of_odd_text() -> None:
    import tomllib

    table = {
        "a": 'quo"te\nline\\ ü \U0001f600',
        "b": [1, 2.5, True],
        "c": {"d": {"e": [{"f": 1}]}},
        "g": [{"h": "i"}, {}],
    }
    assert tomllib.loads(beside.toml_of(table)) == table
