"""Stand-in networks with the operators that make conversions hard; weights are random with a fixed seed.

guided     RVM's names and its refiner: ratio as an input, states that grow, a guided filter that divides by 1e-5
norms      MODNet's block: InstanceNormalization beside BatchNormalization after a Split, a Resize sized from Shape
ladder     U2-Net's: MaxPool with ceil_mode, Resize sized from Shape, three sigmoid maps, the first one is the matte
plain      livematte-s's: convolutions, ReLU6, a residual, a pixel shuffle, a sigmoid
layered    a transformer's LayerNorm written out, twice, on a residual stream
masked     an attention mask of -1e9 before a Softmax
branched   an If on the picture's own height, as exporters by tracing leave behind
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT
STATES = (("r1i", "r1o"),)


class Maker:
    """Writes a graph node by node; each call gives the name of what was made."""

    def __init__(self, seed: int = 0) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.random = np.random.default_rng(seed)

    def __call__(self, operator: str, *inputs: str, to: str = "", count: int = 1, **attributes: Any) -> Any:
        first = to or f"{operator.lower()}{len(self.nodes)}"
        outputs = [first] if count == 1 else [f"{first}_{at}" for at in range(count)]
        self.nodes.append(helper.make_node(operator, list(inputs), outputs, name=f"n_{first}", **attributes))
        return outputs[0] if count == 1 else outputs

    def number(self, value: Any, kind: type = np.float32) -> str:
        name = f"c{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(value, kind), name))
        return name

    def conv(
        self, source: str, i: int, o: int, *, side: int = 3, stride: int = 1, groups: int = 1, gain: float = 1
    ) -> str:
        fan = i // groups * side * side
        kernel = self.random.normal(0, gain * (2 / fan) ** 0.5, (o, i // groups, side, side))
        bias = self.random.normal(0, 0.1, o)
        pads = [side // 2] * 4
        kernel_name, bias_name = self.number(kernel), self.number(bias)
        return str(self("Conv", source, kernel_name, bias_name, pads=pads, strides=[stride] * 2, group=groups))

    def relu6(self, source: str) -> str:
        return str(self("Clip", source, self.number(0), self.number(6)))

    def box(self, source: str) -> str:
        return str(self("AveragePool", source, kernel_shape=[3, 3], pads=[1] * 4, count_include_pad=1))

    def model(self, inputs: list[Any], outputs: list[Any], version: int = 17) -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, "test", inputs, outputs, self.weights)
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", version)], ir_version=8)
        onnx.checker.check_model(made)
        return made


def tensor(name: str, *sides: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, FLOAT, list(sides))


def saved(model: onnx.ModelProto, path: Path) -> Path:
    onnx.save(model, str(path))
    return path


def guided() -> onnx.ModelProto:
    n = Maker()
    scales = n("Concat", n.number([1, 1]), "downsample_ratio", "downsample_ratio", axis=0)
    small = n("Resize", "src", "", scales, mode="linear")
    features = n("HardSwish", n.conv(small, 3, 8, stride=2))
    shape = n("Shape", features)
    past = n("Expand", "r1i", shape)
    gate = n("Sigmoid", n.conv(n("Concat", features, past, axis=1), 16, 8))
    kept = n("Mul", gate, past)
    state = n("Add", kept, n("Mul", n("Sub", n.number(1), gate), features), to="r1o")
    up = n("Resize", state, "", n.number([1, 1, 2, 2]), mode="linear")
    low = n.conv(up, 8, 4, gain=0.5)
    base_fine, base_low = _with_gray(n, "src"), _with_gray(n, small)
    low_sides = n("Slice", n("Shape", base_low), n.number([2], np.int64), n.number([4], np.int64))
    low = n("Slice", low, n.number([0, 0], np.int64), low_sides, n.number([2, 3], np.int64))
    mean_x, mean_y = n.box(base_low), n.box(low)
    covariance = n("Sub", n.box(n("Mul", base_low, low)), n("Mul", mean_x, mean_y))
    variance = n("Sub", n.box(n("Mul", base_low, base_low)), n("Mul", mean_x, mean_x))
    a = n("Div", covariance, n("Add", variance, n.number(1e-5)))
    b = n("Sub", mean_y, n("Mul", a, mean_x))
    sizes = n("Concat", n("Slice", n("Shape", a), n.number([0], np.int64), n.number([2], np.int64)),
              n("Slice", n("Shape", "src"), n.number([2], np.int64), n.number([4], np.int64)), axis=0)  # fmt: skip
    a, b = (n("Resize", one, "", "", sizes, mode="linear") for one in (a, b))
    result = n("Add", n("Mul", a, base_fine), b)
    colour, alpha = n("Split", result, n.number([3, 1], np.int64), axis=1, count=2)
    n("Clip", n("Add", colour, "src"), n.number(0), n.number(1), to="fgr")
    n("Clip", alpha, n.number(0), n.number(1), to="pha")
    # All states of the published file name their sides alike.
    return n.model(
        [tensor("src", "batch", 3, "height", "width"), tensor("r1i", "batch", "channels", "height", "width"),
         tensor("downsample_ratio", 1)],
        [tensor("fgr", "batch", 3, "height", "width"), tensor("pha", "batch", 1, "height", "width"),
         tensor("r1o", "batch", "channels", "height", "width")],
    )  # fmt: skip


def _with_gray(n: Maker, source: str) -> str:
    return str(n("Concat", source, n("ReduceMean", source, axes=[1], keepdims=1), axis=1))


def norms() -> onnx.ModelProto:
    n = Maker(1)
    wide = n.conv("input", 3, 16, stride=2)
    one, two = n("Split", wide, n.number([8, 8], np.int64), axis=1, count=2)
    scale, bias = n.number(np.ones(8)), n.number(np.zeros(8))
    mean, variance = n.number(n.random.normal(0, 0.1, 8)), n.number(n.random.uniform(1e-4, 2, 8))
    batch = n("BatchNormalization", one, scale, bias, mean, variance, epsilon=1e-5)
    instance = n("InstanceNormalization", two, n.number(np.ones(8)), n.number(np.zeros(8)))
    joined = n("Relu", n("Concat", batch, instance, axis=1))
    out = n.conv(joined, 16, 1, gain=0.7)
    sizes = n("Concat", n("Slice", n("Shape", out), n.number([0], np.int64), n.number([2], np.int64)),
              n("Slice", n("Shape", "input"), n.number([2], np.int64), n.number([4], np.int64)), axis=0)  # fmt: skip
    n("Sigmoid", n("Resize", out, "", "", sizes, mode="linear"), to="output")
    sides = ("batch", "height", "width")
    return n.model([tensor("input", sides[0], 3, *sides[1:])], [tensor("output", sides[0], 1, *sides[1:])])


def ladder() -> onnx.ModelProto:
    n = Maker(2)
    levels = [n("Relu", n.conv("input.1", 3, 8))]
    for _ in range(2):
        pooled = n("MaxPool", levels[-1], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
        levels.append(n("Relu", n.conv(pooled, 8, 8)))

    def grown(source: str, like: str) -> str:
        sizes = n("Concat", n("Slice", n("Shape", source), n.number([0], np.int64), n.number([2], np.int64)),
                  n("Slice", n("Shape", like), n.number([2], np.int64), n.number([4], np.int64)), axis=0)  # fmt: skip
        return str(n("Resize", source, "", "", sizes, mode="linear"))

    middle = n("Relu", n.conv(n("Concat", grown(levels[2], levels[1]), levels[1], axis=1), 16, 8))
    top = n("Concat", grown(middle, levels[0]), levels[0], axis=1)
    side1, side2 = n.conv(top, 16, 1, gain=0.5), grown(n.conv(middle, 8, 1), levels[0])
    n("Sigmoid", n.conv(n("Concat", side1, side2, axis=1), 2, 1, side=1), to="d0")
    n("Sigmoid", side1, to="d1")
    n("Sigmoid", side2, to="d2")
    return n.model([tensor("input.1", 1, 3, "h", "w")], [tensor(name, 1, 1, "h", "w") for name in ("d0", "d1", "d2")])


def plain(version: int = 17) -> onnx.ModelProto:
    n = Maker(3)
    x = n.relu6(n.conv("rgb", 3, 16, stride=2))
    y = n.relu6(n.conv(x, 16, 16, groups=16))
    x = n("Add", x, n.conv(y, 16, 16, side=1))
    x = n.relu6(n.conv(x, 16, 16))
    x = n("DepthToSpace", n.conv(x, 16, 4, gain=2), blocksize=2)
    n("Sigmoid", x, to="alpha")
    sides = ("batch", "height", "width")
    return n.model([tensor("rgb", sides[0], 3, *sides[1:])], [tensor("alpha", sides[0], 1, *sides[1:])], version)


def layered() -> onnx.ModelProto:
    n = Maker(4)
    stream = n.conv("input", 3, 8)
    for _ in range(2):
        last = n("Transpose", stream, perm=[0, 2, 3, 1])
        centred = n("Sub", last, n("ReduceMean", last, axes=[-1], keepdims=1))
        variance = n("ReduceMean", n("Pow", centred, n.number(2)), axes=[-1], keepdims=1)
        normal = n("Div", centred, n("Sqrt", n("Add", variance, n.number(1e-6))))
        stream = n("Add", stream, n.conv(n("Transpose", normal, perm=[0, 3, 1, 2]), 8, 8))
    n("Sigmoid", n.conv(stream, 8, 1), to="matte")
    return n.model([tensor("input", 1, 3, "h", "w")], [tensor("matte", 1, 1, "h", "w")])


def masked() -> onnx.ModelProto:
    n = Maker(5)
    x = n.conv("input", 3, 4)
    mask = np.zeros((1, 4, 1, 1), np.float32)
    mask[0, 3] = -1e9
    share = n("Softmax", n("Add", x, n.number(mask)), axis=1)
    n("Sigmoid", n.conv(share, 4, 1, gain=3), to="matte")
    return n.model([tensor("input", 1, 3, "h", "w")], [tensor("matte", 1, 1, "h", "w")])


def branched() -> onnx.ModelProto:
    n = Maker(6)
    x = n.conv("input", 3, 1)
    height = n("Gather", n("Shape", x), n.number(2, np.int64))
    is_small = n("Less", height, n.number(40, np.int64))
    branches = {}
    for name, value in (("then_branch", 1.0), ("else_branch", -1.0)):
        held = numpy_helper.from_array(np.float32(value))
        nodes = [
            helper.make_node("Constant", [], ["sign"], value=held),
            helper.make_node("Mul", [x, "sign"], ["signed"]),
        ]
        branches[name] = helper.make_graph(nodes, name, [], [helper.make_tensor_value_info("signed", FLOAT, None)])
    n("Sigmoid", n("If", is_small, **branches), to="matte")
    return n.model([tensor("input", 1, 3, "h", "w")], [tensor("matte", 1, 1, "h", "w")])


def by_content() -> onnx.ModelProto:
    """The shape of its inside hangs on how many values are above 0.5."""
    n = Maker(7)
    places = n("NonZero", n("Greater", "input", n.number(0.5)))
    count = n("Gather", n("Shape", places), n.number(1, np.int64))
    share = _counted(n, count)
    n("Sigmoid", n("Add", n.conv("input", 3, 1), share), to="matte")
    return n.model([tensor("input", 1, 3, "h", "w")], [tensor("matte", 1, 1, "h", "w")])


def _counted(n: Maker, count: str) -> str:
    n.nodes.append(helper.make_node("Cast", [count], ["counted"], name="n_counted", to=FLOAT))
    return str(n("Div", "counted", n.number(1e4)))
