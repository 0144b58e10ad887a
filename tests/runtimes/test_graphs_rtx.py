"""TensorRT-RTX, which needs no GPU to build: it takes the graphs that are made for TensorRT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import graphs_making
import onnx
import pytest

from clipmaker import Clip, write_clip
from livematte.reporting import ListReporter
from livematte.runtimes.graphs import GraphFacts, Prepared, prepare
from livematte.runtimes.graphs.conversion import QuantizeRequest, quantize_model

rtx = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed: pip install 'livematte[rtx]'")


def plan_of(prepared: Prepared) -> bytes:
    """A plan for one chip; the parser's words where there is none."""
    logger = rtx.Logger(rtx.Logger.ERROR)
    builder = rtx.Builder(logger)
    network = builder.create_network(1 << int(rtx.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = rtx.OnnxParser(network, logger)
    parsed = parser.parse(prepared.path.read_bytes())
    assert parsed, [parser.get_error(at).desc() for at in range(parser.num_errors)]
    settings: Any = builder.create_builder_config()
    settings.num_compute_capabilities = 1
    settings.set_compute_capability(rtx.ComputeCapability.SM89, 0)
    plan = builder.build_serialized_network(network, settings)
    assert plan is not None
    return bytes(plan)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize(
    ("graph", "shapes", "facts"),
    [
        (
            graphs_making.guided(),
            {"src": (1, 3, 91, 134), "r1i": (1, 1, 1, 1), "downsample_ratio": (1,)},
            GraphFacts(graphs_making.STATES, ("pha",), {"downsample_ratio": 0.375}),
        ),
        (graphs_making.norms(), {"input": (1, 3, 64, 96)}, GraphFacts(outputs=("output",))),
        (graphs_making.ladder(), {"input.1": (1, 3, 37, 41)}, GraphFacts(outputs=("d0",))),
        (graphs_making.layered(), {"input": (1, 3, 32, 48)}, GraphFacts()),
        (graphs_making.branched(), {"input": (1, 3, 32, 48)}, GraphFacts()),
    ],
    ids=["guided", "norms", "ladder", "layered", "branched"],
)
def test_stand_ins_become_plans(
    tmp_path: Path, graph: onnx.ModelProto, shapes: dict[str, tuple[int, ...]], facts: GraphFacts, precision: Any
) -> None:
    path = graphs_making.saved(graph, tmp_path / "net.onnx")
    assert plan_of(prepare(path, precision=precision, shapes=shapes, for_="tensorrt", facts=facts))


def test_int8_over_fp16_becomes_a_plan(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mkv", Clip(width=64, height=48, frames=6))
    graphs_making.saved(graphs_making.plain(), tmp_path / "net.onnx")
    request = QuantizeRequest(str(tmp_path / "net.onnx"), (str(tmp_path / "clip.mkv"),), "int8", "tensorrt", 50.0,
                              tmp_path / "int8.onnx", frames=6, network_size="64x32")  # fmt: skip
    result = quantize_model(request, reporter=ListReporter())
    assert result.path is not None
    shapes = {"rgb": (1, 3, 32, 64)}
    assert plan_of(prepare(result.path, precision="int8", shapes=shapes, for_="tensorrt"))
