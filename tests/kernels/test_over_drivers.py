"""The ops through the driver layer: what they launch is what a driver takes, in streams and in graphs."""

from __future__ import annotations

import numpy as np
import pytest
from kernels.shim.cases import DriverBench
from kernels.test_alpha import soft_alpha
from kernels.test_kernel_edges import block
from kernels.test_picture import run as run_picture

from livematte.runtimes.cuda.graphs import capture
from livematte.runtimes.kernels import parameters
from livematte.runtimes.kernels import reference_alpha as reference
from livematte.runtimes.kernels.ops_alpha import AlphaOps, EdgeKinds, edges_scratch
from livematte.runtimes.kernels.ops_picture import PreprocessSpec


@pytest.fixture
def bench() -> DriverBench:
    return DriverBench()


def test_a_padded_input_through_a_driver(bench: DriverBench) -> None:
    spec = PreprocessSpec(content=(2, 3, 30, 16), rotation=270)
    got, expected = run_picture(bench, "nv12", (75, 131), (1, 3, 20, 37), spec, dtype=np.float16)
    np.testing.assert_array_equal(got, expected)


def test_alpha_and_edges_in_a_captured_graph(bench: DriverBench) -> None:
    """The graph is launched twice; the second time its parameter block holds other values."""
    small, shape = soft_alpha((18, 32)), (137, 211)
    alpha, full = bench.array(small), bench.array(np.zeros(shape, np.uint16))
    scratch = bench.array(np.zeros(edges_scratch(*shape, np.uint16), np.uint8))
    first, second = block(levels=(0.1, 0.9)), block(shrink_px=-2.5, feather_px=6.0)
    held = bench.array(parameters.as_bytes(first))
    ops, has = AlphaOps(bench.kernels), EdgeKinds(8.0, 8.0)
    bench.kernels.load("alpha", "edges")
    with capture(bench.driver, bench.stream) as recording:
        ops.upsample(alpha.device, full.device, bench.stream)
        ops.edges(full.device, full.device, scratch.device, held.device, bench.stream, has=has)
        graph = recording.finish()
    grown = reference.upsample(small, shape, np.uint16)
    for record in (first, second):
        held.device.upload(parameters.as_bytes(record), bench.stream)
        graph.launch(bench.stream)
        np.testing.assert_array_equal(full.array, reference.edges(grown, record[0]))
    graph.close()
