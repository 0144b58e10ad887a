"""Tiny ONNX networks whose answers follow from a formula, for tests. `write(folder, NAME)` makes one.

gray = mean of R, G and B.
stateless   picture (b, 3, h, w) -> matte = gray
nhwc        picture (1, 8, 12, 3) -> matte (1, 8, 12, 1) = gray
half        the same as stateless, float16 in and out
half_out    float32 in, float16 out
logits      matte = 8 gray - 4, to go through a sigmoid
softmax     matte (b, 2, h, w) = (0, 8 gray - 4)
many        input (1, 3, 16, 16) -> d0 = gray, d1 = 1 - gray, d2 = 0
planes      picture -> matte (b, 3, h, w) = the picture itself
recurrent   RVM's names: r1o = pool(gray at ratio) + r1i / 2 and so on; pha = gray / 2 + mean(r1o) / 10
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16
CHANNELS = (16, 20, 40, 64)


def _save(path: Path, nodes: list, inputs: list, outputs: list, constants: dict | None = None) -> Path:
    weights = [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()]
    graph = helper.make_graph(nodes, "test", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def _mean(source: str, target: str, axis: int = 1) -> onnx.NodeProto:
    return helper.make_node("ReduceMean", [source], [target], axes=[axis], keepdims=1)


def _picture(kind: int = FLOAT, name: str = "picture", sides: tuple = ("batch", 3, "height", "width")) -> object:
    return helper.make_tensor_value_info(name, kind, sides)


def _matte(kind: int = FLOAT, name: str = "matte", sides: tuple = ("batch", 1, "height", "width")) -> object:
    return helper.make_tensor_value_info(name, kind, sides)


def stateless(path: Path, *, picture: str = "picture", matte: str = "matte", sides: tuple | None = None) -> Path:
    given = {} if sides is None else {"sides": sides}
    made = {} if sides is None else {"sides": (sides[0], 1, *sides[2:])}
    return _save(path, [_mean(picture, matte)], [_picture(name=picture, **given)], [_matte(name=matte, **made)])


def nhwc(path: Path) -> Path:
    nodes = [_mean("picture", "matte", 3)]
    return _save(path, nodes, [_picture(sides=(1, 8, 12, 3))], [_matte(sides=(1, 8, 12, 1))])


def half(path: Path) -> Path:
    return _save(path, [_mean("picture", "matte")], [_picture(HALF)], [_matte(HALF)])


def half_out(path: Path) -> Path:
    nodes = [_mean("picture", "full"), helper.make_node("Cast", ["full"], ["matte"], to=HALF)]
    return _save(path, nodes, [_picture()], [_matte(HALF)])


def _steep() -> list:
    return [
        _mean("picture", "gray"),
        helper.make_node("Mul", ["gray", "eight"], ["steep"]),
        helper.make_node("Sub", ["steep", "four"], ["logit"]),
    ]


def logits(path: Path) -> Path:
    nodes = [*_steep(), helper.make_node("Identity", ["logit"], ["matte"])]
    return _save(path, nodes, [_picture()], [_matte()], {"eight": np.float32(8), "four": np.float32(4)})


def softmax(path: Path) -> Path:
    nodes = [
        *_steep(),
        helper.make_node("Sub", ["logit", "logit"], ["nothing"]),
        helper.make_node("Concat", ["nothing", "logit"], ["matte"], axis=1),
    ]
    two = _matte(sides=("batch", 2, "height", "width"))
    return _save(path, nodes, [_picture()], [two], {"eight": np.float32(8), "four": np.float32(4)})


def many(
    path: Path, *, picture: str = "input.1", outputs: tuple[str, ...] = ("d0", "d1", "d2"), side: int = 16
) -> Path:
    nodes = [_mean(picture, outputs[0]), helper.make_node("Sub", ["one", outputs[0]], [outputs[1]])]
    nodes += [helper.make_node("Sub", [outputs[0], outputs[0]], [name]) for name in outputs[2:]]
    made = [_matte(name=name, sides=(1, 1, side, side)) for name in outputs]
    return _save(path, nodes, [_picture(name=picture, sides=(1, 3, side, side))], made, {"one": np.float32(1)})


def planes(path: Path, *, picture: str, matte: str, sides: tuple, extra_outputs: int = 0) -> Path:
    """The network's input handed out as it is, to be compared with a publisher's preprocessing."""
    nodes = [helper.make_node("Identity", [picture], [name]) for name in (matte, *_more(extra_outputs))]
    made = [_matte(name=name, sides=sides) for name in (matte, *_more(extra_outputs))]
    return _save(path, nodes, [_picture(name=picture, sides=sides)], made)


def _more(count: int) -> tuple[str, ...]:
    return tuple(f"other{at}" for at in range(count))


def recurrent(path: Path, *, alike: bool = False, kind: int = FLOAT) -> Path:
    """alike: all four states name their sides alike, as RVM's published file does."""
    nodes = [
        _mean("src", "gray"),
        helper.make_node("Concat", ["ones2", "downsample_ratio", "downsample_ratio"], ["scales"], axis=0),
        helper.make_node("Resize", ["gray", "", "scales"], ["level0"], mode="linear"),
    ]
    constants: dict = {"ones2": np.ones(2, np.float32)}
    dtype = np.float32 if kind == FLOAT else np.float16
    for at, channels in enumerate(CHANNELS, 1):
        constants[f"wide{at}"] = np.ones((1, channels, 1, 1), dtype)
        pool = {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}
        nodes += [
            helper.make_node("AveragePool", [f"level{at - 1}"], [f"level{at}"], **pool),
            helper.make_node("Mul", [f"level{at}", f"wide{at}"], [f"broad{at}"]),
            helper.make_node("Mul", [f"r{at}i", "half"], [f"past{at}"]),
            helper.make_node("Add", [f"broad{at}", f"past{at}"], [f"r{at}o"]),
        ]
    constants |= {"half": np.asarray(0.5, dtype), "tenth": np.asarray(0.1, dtype)}
    nodes += [
        helper.make_node("Identity", ["src"], ["fgr"]),
        helper.make_node("Mul", ["gray", "half"], ["now"]),
        helper.make_node("ReduceMean", ["r1o"], ["memory"], keepdims=1),
        helper.make_node("Mul", ["memory", "tenth"], ["before"]),
        helper.make_node("Add", ["now", "before"], ["pha"]),
    ]
    sides = ["channels", "height", "width"]

    def state(name: str, at: int, channels: int | str) -> object:
        own = sides if alike else [f"r{at}_{side}" for side in sides]
        return helper.make_tensor_value_info(name, kind, ["batch", channels, *own[1:]])

    inputs = [_picture(kind, "src"), *(state(f"r{at}i", at, f"r{at}i_channels") for at in range(1, 5))]
    inputs.append(helper.make_tensor_value_info("downsample_ratio", FLOAT, [1]))
    outputs = [_matte(kind, "fgr", ("batch", 3, "height", "width")), _matte(kind, "pha")]
    outputs += [state(f"r{at}o", at, channels) for at, channels in enumerate(CHANNELS, 1)]
    return _save(path, nodes, inputs, outputs, constants)
