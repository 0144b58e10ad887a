"""Stand-ins for networks that nobody may ship: small graphs with the operators of MODNet and of U2-Net, random weights.

The operators are those that the true graphs have (their official code exported once): MODNet's half InstanceNorm, half
BatchNorm blocks after a Slice, its squeeze-and-excitation by a Gemm; U2-Net's max pools that round up, dilated
convolutions, and resizes whose sizes are computed from another tensor's shape.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Sketch:
    """A graph in the making."""

    def __init__(self, dtype: type = np.float32, seed: int = 0) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._random = np.random.default_rng(seed)
        self._dtype = dtype
        self._count = 0

    def constant(self, value: object) -> str:
        self._count += 1
        name = f"c{self._count}"
        self.weights.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def weight(self, *shape: int, scale: float = 0.2) -> str:
        return self.constant((self._random.standard_normal(shape) * scale).astype(self._dtype))

    def add(self, operator: str, *inputs: str, outputs: int = 1, **attributes: object) -> str:
        self._count += 1
        name = f"{operator.lower()}{self._count}"
        names = [name] if outputs == 1 else [f"{name}_{at}" for at in range(outputs)]
        self.nodes.append(helper.make_node(operator, list(inputs), names, name=f"/{name}", **attributes))
        return names[0]

    def conv(self, source: str, inside: int, outside: int, *, stride: int = 1, dilation: int = 1) -> str:
        return self.add("Conv", source, self.weight(outside, inside, 3, 3), self.weight(outside), kernel_shape=[3, 3],
                        strides=[stride] * 2, dilations=[dilation] * 2, pads=[dilation] * 4)  # fmt: skip

    def batch_norm(self, source: str, channels: int) -> str:
        ones = np.ones(channels, self._dtype)
        parts = (self.constant(ones), self.weight(channels), self.weight(channels), self.constant(ones))
        return self.add("BatchNormalization", source, *parts, epsilon=1e-5)

    def save(self, path: Path, inputs: list, outputs: list, opset: int = 17) -> Path:
        graph = helper.make_graph(self.nodes, path.stem, inputs, outputs, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        onnx.checker.check_model(model)
        onnx.save(model, str(path))
        return path


def info(name: str, sides: tuple, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, sides)


def modnet_like(path: Path, sides: tuple = ("batch", 3, "height", "width")) -> Path:
    """`input` -> `output`, alpha of the picture's size; sides must be multiples of 4."""
    sketch = Sketch()

    def ib_norm(source: str, channels: int) -> str:
        half = channels // 2
        starts, ends, axes = (sketch.constant(np.array(v, np.int64)) for v in ([0], [half], [1]))
        first = sketch.add("Slice", source, starts, ends, axes)
        second = sketch.add("Slice", source, ends, sketch.constant(np.array([channels], np.int64)), axes)
        ones, zeros = sketch.constant(np.ones(half, np.float32)), sketch.constant(np.zeros(half, np.float32))
        instance = sketch.add("InstanceNormalization", second, ones, zeros, epsilon=1e-5)
        return sketch.add("Relu", sketch.add("Concat", sketch.batch_norm(first, half), instance, axis=1))

    def twice(source: str) -> str:
        scales = sketch.constant(np.array([1, 1, 2, 2], np.float32))
        return sketch.add("Resize", source, "", scales, mode="linear", coordinate_transformation_mode="half_pixel")

    low, high = sketch.constant(np.float32(0)), sketch.constant(np.float32(6))
    stem = sketch.add("Clip", sketch.batch_norm(sketch.conv("input", 3, 16, stride=2), 16), low, high)
    deep = ib_norm(sketch.conv(stem, 16, 32, stride=2), 32)
    pooled = sketch.add("Flatten", sketch.add("GlobalAveragePool", deep))
    squeezed = sketch.add("Relu", sketch.add("Gemm", pooled, sketch.weight(32, 8), sketch.weight(8)))
    excited = sketch.add("Sigmoid", sketch.add("Gemm", squeezed, sketch.weight(8, 32), sketch.weight(32)))
    shape = sketch.constant(np.array([-1, 32, 1, 1], np.int64))
    deep = sketch.add("Mul", deep, sketch.add("Reshape", excited, shape))
    middle = ib_norm(sketch.conv(sketch.add("Concat", twice(deep), stem, axis=1), 48, 16), 16)
    logits = sketch.conv(twice(middle), 16, 1)
    sketch.nodes.append(helper.make_node("Sigmoid", [logits], ["output"], name="/out"))
    matte = (sides[0], 1, *sides[2:])
    return sketch.save(path, [info("input", sides)], [info("output", matte)])


def u2net_like(path: Path, side: int = 45) -> Path:
    """`input.1` -> `d0` (the matte), `d1`, `d2`; an odd side, so that rounding up in the pools shows."""
    sketch = Sketch()

    def block(source: str, inside: int, outside: int, dilation: int = 1) -> str:
        made = sketch.conv(source, inside, outside, dilation=dilation)
        return sketch.add("Relu", sketch.batch_norm(made, outside))

    def pool(source: str) -> str:
        return sketch.add("MaxPool", source, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)

    def sized_as(source: str, other: str) -> str:
        zero, two, four = (sketch.constant(np.array([v], np.int64)) for v in (0, 2, 4))
        own = sketch.add("Slice", sketch.add("Shape", source), zero, two)
        sides = sketch.add("Slice", sketch.add("Shape", other), two, four)
        sizes = sketch.add("Concat", own, sides, axis=0)
        return sketch.add("Resize", source, "", "", sizes, mode="linear",
                          coordinate_transformation_mode="pytorch_half_pixel")  # fmt: skip

    one = block("input.1", 3, 16)
    two = block(pool(one), 16, 16)
    three = block(pool(two), 16, 16, dilation=2)
    bottom = sketch.add("Add", block(three, 16, 16, dilation=4), three)
    up_two = block(sketch.add("Concat", sized_as(bottom, two), two, axis=1), 32, 16)
    up_one = block(sketch.add("Concat", sized_as(up_two, one), one, axis=1), 32, 16)
    sides = [
        sketch.conv(up_one, 16, 1),
        sized_as(sketch.conv(up_two, 16, 1), one),
        sized_as(sketch.conv(bottom, 16, 1), one),
    ]
    fused = sketch.add("Conv", sketch.add("Concat", *sides, axis=1), sketch.weight(1, 3, 1, 1), sketch.weight(1))
    for name, source in zip(("d0", "d1", "d2"), (fused, *sides[:2]), strict=True):
        sketch.nodes.append(helper.make_node("Sigmoid", [source], [name], name=f"/{name}"))
    maps = [info(name, (1, 1, side, side)) for name in ("d0", "d1", "d2")]
    return sketch.save(path, [info("input.1", (1, 3, side, side))], maps)


def convolutions(path: Path, dtype: type = np.float32, sides: tuple = (1, 3, 32, 32), *, name: str = "input") -> Path:
    """Two convolutions and a sigmoid, wholly in one type."""
    kind = TensorProto.FLOAT16 if dtype is np.float16 else TensorProto.FLOAT
    sketch = Sketch(dtype)
    made = sketch.conv(sketch.add("Relu", sketch.conv(name, 3, 8)), 8, 1)
    sketch.nodes.append(helper.make_node("Sigmoid", [made], ["matte"], name="/matte"))
    return sketch.save(path, [info(name, sides, kind)], [info("matte", (sides[0], 1, *sides[2:]), kind)])


def deformable(path: Path) -> Path:
    """A graph with an operator that TensorRT's parser does not have."""
    sketch = Sketch()
    offsets = sketch.conv("input", 3, 18)
    sketch.nodes.append(helper.make_node("DeformConv", ["input", sketch.weight(1, 3, 3, 3), offsets], ["matte"],
                                         name="/deformed", kernel_shape=[3, 3], pads=[1] * 4))  # fmt: skip
    return sketch.save(path, [info("input", (1, 3, 16, 16))], [info("matte", (1, 1, 16, 16))], opset=19)


def quantized(path: Path) -> Path:
    """One convolution between S8S8 quantize and dequantize nodes, as TensorRT takes them."""
    sketch = Sketch()

    def round_trip(source: str) -> str:
        scale, zero = sketch.constant(np.float32(0.02)), sketch.constant(np.int8(0))
        return sketch.add("DequantizeLinear", sketch.add("QuantizeLinear", source, scale, zero), scale, zero)

    weights = sketch.constant(np.random.default_rng(0).integers(-100, 100, (8, 3, 3, 3), np.int8))
    each = sketch.constant(np.full(8, 0.01, np.float32))
    zeros = sketch.constant(np.zeros(8, np.int8))
    real = sketch.add("DequantizeLinear", weights, each, zeros, axis=0)
    made = sketch.add("Conv", round_trip("input"), real, kernel_shape=[3, 3], pads=[1] * 4)
    made = sketch.add("Relu", made)
    sketch.nodes.append(helper.make_node("Sigmoid", [sketch.conv(made, 8, 1)], ["matte"], name="/matte"))
    return sketch.save(path, [info("input", (1, 3, 32, 32))], [info("matte", (1, 1, 32, 32))])
