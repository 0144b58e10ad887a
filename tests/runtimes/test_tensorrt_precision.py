"""What graphs and built engines compute in: counted, and refused where it is not what was asked for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import trt_graphs as graphs
from onnx import TensorProto, helper

from livematte import resources
from livematte.errors import DeviceError, ModelError
from livematte.runtimes.tensorrt import precision


def test_our_own_network_is_fp32() -> None:
    counted = precision.check_graph(resources.root() / "engines" / "livematte-s.onnx", "fp32")
    assert set(counted) == {"fp32"}
    assert counted["fp32"] > 20


@pytest.mark.parametrize(("dtype", "kind"), [(np.float32, "fp32"), (np.float16, "fp16")])
def test_types_are_read_from_the_file(tmp_path: Path, dtype: type, kind: str) -> None:
    path = graphs.convolutions(tmp_path / "net.onnx", dtype)
    assert precision.check_graph(path, kind) == {kind: 2}
    assert precision.check_graph(path, "mixed") == {kind: 2}
    with pytest.raises(ModelError, match=r"is to become a plan in int8.*engine quantize") as caught:
        precision.check_graph(path, "int8")
    assert caught.value.exit_code == 4


def test_an_fp16_file_is_no_fp32_plan_and_the_first_node_is_named(tmp_path: Path) -> None:
    path = graphs.convolutions(tmp_path / "net.onnx", np.float16)
    for wanted in ("fp32", "tf32"):
        with pytest.raises(ModelError, match=r"2 in fp16, first '/conv\d+'"):
            precision.check_graph(path, wanted)


def test_an_fp32_file_is_no_fp16_plan(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="2 in fp32"):
        precision.check_graph(graphs.convolutions(tmp_path / "net.onnx"), "fp16")


def test_quantized_convolutions_count_as_int8(tmp_path: Path) -> None:
    path = graphs.quantized(tmp_path / "net.onnx")
    assert precision.check_graph(path, "int8") == {"int8": 1, "fp32": 1}
    with pytest.raises(ModelError, match="1 in int8"):
        precision.check_graph(path, "fp32")


def test_types_inside_branches_count(tmp_path: Path) -> None:
    inner = graphs.Sketch(np.float16)
    made = inner.add("Conv", "small", inner.weight(1, 3, 3, 3), kernel_shape=[3, 3], pads=[1] * 4)
    branch = helper.make_graph(inner.nodes, "then", [], [graphs.info(made, (1, 1, 8, 8), TensorProto.FLOAT16)],
                               inner.weights)  # fmt: skip
    outer = graphs.Sketch()
    outer.nodes.append(helper.make_node("Cast", ["input"], ["small"], to=TensorProto.FLOAT16))
    yes = outer.constant(np.array(True))
    outer.nodes.append(helper.make_node("If", [yes], ["matte"], then_branch=branch, else_branch=branch))
    path = outer.save(tmp_path / "net.onnx", [graphs.info("input", (1, 3, 8, 8))],
                      [graphs.info("matte", (1, 1, 8, 8), TensorProto.FLOAT16)])  # fmt: skip
    assert precision.graph_types(path)[0] == {"fp16": 2}


def test_what_is_no_network_is_a_model_error(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"not a network")
    with pytest.raises(ModelError, match="is not an ONNX network"):
        precision.check_graph(path, "fp32")


def test_a_graph_without_heavy_operators_passes(tmp_path: Path) -> None:
    sketch = graphs.Sketch()
    sketch.nodes.append(helper.make_node("ReduceMean", ["input"], ["matte"], axes=[1], keepdims=1))
    path = sketch.save(
        tmp_path / "net.onnx", [graphs.info("input", (1, 3, 8, 8))], [graphs.info("matte", (1, 1, 8, 8))]
    )
    assert precision.check_graph(path, "fp32") == {}
    assert onnx.load(str(path)).graph.node


def layer(reads: str, writes: str | None = None, *, tactic: str = "", kind: str = "CaskConvolution") -> dict:
    tensors = [[{"Name": "x", "Format/Datatype": said}] for said in (reads, writes or reads)]
    return {"Name": "l", "LayerType": kind, "Inputs": tensors[0], "Outputs": tensors[1], "TacticName": tactic}


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (layer("Float"), "fp32"),
        (layer("Row major linear FP32"), "fp32"),
        (layer("Half"), "fp16"),
        (layer("Channel major FP16 format where channel % 8 == 0"), "fp16"),
        (layer("BFloat16"), "bf16"),
        (layer("BF16 NCHW"), "bf16"),
        (layer("Int8 NC/32HW32", "Half"), "int8"),
        (layer("Half", tactic="sm80_xmma_fprop_implicit_gemm_i8i8_i8i32_f32"), "int8"),
        (layer("Float", tactic="sm80_xmma_fprop_implicit_gemm_tf32f32_tf32f32_f32_nhwckrsc"), "tf32"),
        (layer("Half", "Float"), "mixed"),
        (layer("N/A due to dynamic shapes"), "unknown"),
        (layer("Float") | {"Inputs": [{"Name": "x", "Datatype": "Half"}], "Outputs": []}, "fp16"),
        ("/conv1 + /relu", "unknown"),
    ],
)
def test_layers_by_what_the_inspector_says(said: object, kind: str) -> None:
    assert precision.layer_types(json.dumps({"Layers": [said]})) == {kind: 1}


def test_layers_that_only_move_data_are_left_out() -> None:
    moved = layer("Half", "Float", kind="Reformat")
    assert precision.layer_types(json.dumps({"Layers": [moved, layer("Half")]})) == {"fp16": 1}
    assert precision.layer_types("no JSON") == {}
    assert precision.layer_types(json.dumps(["a list"])) == {}


@pytest.mark.parametrize(
    ("counted", "wanted", "why"),
    [
        ({"fp32": 5, "tf32": 2}, "fp32", "2 layers in tf32"),
        ({"fp32": 5, "fp16": 1}, "fp32", "1 layers in fp16"),
        ({"fp16": 5, "tf32": 1}, "fp16", "1 layers in tf32"),
        ({"fp32": 5}, "fp16", "no layer in fp16"),
        ({"fp16": 5}, "int8", "no layer in int8"),
    ],
)
def test_another_precision_than_asked_for_is_refused(counted: dict, wanted: str, why: str) -> None:
    with pytest.raises(DeviceError, match=why):
        precision.check_layers(counted, wanted, "the plan of x")


@pytest.mark.parametrize(
    ("counted", "wanted"),
    [({"fp32": 5}, "fp32"), ({"fp32": 1, "tf32": 5}, "tf32"), ({"fp16": 5, "fp32": 2, "mixed": 1}, "fp16"),
     ({"int8": 3, "fp16": 5}, "int8"), ({"unknown": 9}, "fp16"), ({}, "int8"), ({"bf16": 1}, "mixed")],
)  # fmt: skip
def test_what_was_asked_for_passes(counted: dict, wanted: str) -> None:
    precision.check_layers(counted, wanted, "the plan of x")
