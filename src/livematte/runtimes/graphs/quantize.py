"""INT8 by quantize and dequantize nodes (Q/DQ), made by ONNX Runtime's quantizer in the form each engine wants.

Note [Two forms]
    TensorRT wants signed 8-bit values on both sides, symmetric, and no quantized bias: its parser refuses the int32
    DequantizeLinear of the quantizer's defaults. It fuses best where only the inputs of convolutions are quantized.
    The engines of processors multiply unsigned activations with signed weights (VNNI's instruction), and gain from
    whatever can stay in 8 bits between two convolutions. ONNX Runtime runs the form for TensorRT slower than fp32.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import onnx

from livematte.runtimes.graphs import editing
from livematte.runtimes.graphs.calibrate import Range
from livematte.runtimes.graphs.facts import Target
from livematte.runtimes.graphs.libraries import require_quantizer

WEIGHTED = ("Conv", "ConvTranspose", "MatMul", "Gemm")
"""Operators whose arithmetic INT8 makes faster."""
PASSING = ("Add", "Concat", "MaxPool", "AveragePool", "GlobalAveragePool", "Clip", "Relu", "Resize", "Split", "Pad",
           "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Slice", "Mul")  # fmt: skip
"""Operators that can work on 8-bit values between those."""
PER_CHANNEL_OPSET = 13
"""From this version on weights can have a scale for each channel."""
ACTIVATIONS = ("Clip", "Relu")
"""The two that a processor's convolution does in the same pass."""


@dataclass(frozen=True)
class Recipe:
    """How a graph is quantized."""

    target: Target
    excluded: frozenset[str] = frozenset()
    """Names of nodes that stay as they are."""
    only: frozenset[str] = frozenset()
    """Names of the only nodes to quantize; empty: all."""
    passing: tuple[str, ...] = PASSING
    """Which operators between the weighted ones are quantized too; for TensorRT none ever are."""


def candidates(model: onnx.ModelProto, excluded: frozenset[str]) -> list[str]:
    """Names of the nodes whose arithmetic can be in INT8, in the graph's order."""
    weights = {tensor.name for tensor in model.graph.initializer if tensor.data_type == editing.FLOAT}
    return [
        node.name
        for node in model.graph.node
        if node.op_type in WEIGHTED and node.input[1] in weights and node.name not in excluded
    ]


def quantized(model: onnx.ModelProto, ranges: Mapping[str, Range], recipe: Recipe) -> onnx.ModelProto:
    """A quantized copy of a float32 network (as `editing.load` gives it)."""
    library = require_quantizer()
    data = {name: (np.array(low, np.float32), np.array(high, np.float32)) for name, (low, high) in ranges.items()}
    for_tensorrt = recipe.target == "tensorrt"
    options = {
        "ActivationSymmetric": for_tensorrt,
        "WeightSymmetric": True,
        "MatMulConstBOnly": True,
        "QuantizeBias": not for_tensorrt,
        "DedicatedQDQPair": for_tensorrt,
        "OpTypesToExcludeOutputQuantization": list(WEIGHTED) if for_tensorrt else [],
    }
    kind = library.QuantType.QInt8 if for_tensorrt else library.QuantType.QUInt8
    with _quiet():
        quantizer = library.QDQQuantizer(
            editing.copy_of(model),
            True,  # a scale for each channel of the weights
            False,  # all 8 bits of the weights
            library.QuantType.QInt8,
            kind,
            library.TensorsData(library.CalibrationMethod.MinMax, data),
            sorted(recipe.only),
            sorted(recipe.excluded),
            [*WEIGHTED, *(() if for_tensorrt else recipe.passing)],
            options,
        )
        quantizer.quantize_model()
        quantizer.model.topological_sort()
    made: onnx.ModelProto = quantizer.model.model
    editing.prune(made)
    return editing.tidied(made)


@contextmanager
def _quiet() -> Iterator[None]:
    """The quantizer talks to the root logger, and its first word would set that up for the whole program."""
    root = logging.getLogger()
    handler, level = logging.NullHandler(), root.level
    root.addHandler(handler)
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
        root.removeHandler(handler)
