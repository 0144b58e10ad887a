"""Tiny networks, clips and mattings for the tests of the device's path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
from cpu_network import CpuEngine
from formula_pictures import noise, picture_of
from onnx import TensorProto, helper, numpy_helper

from livematte.color import ColorSpec
from livematte.config import MattingSettings, ModelSettings
from livematte.frames import Frame, StreamInfo, Timestamp
from livematte.matting.device.matting import DeviceMatting
from livematte.matting.host import Timer
from livematte.models.contract import tie
from livematte.models.load import LoadedModel
from livematte.models.manifest import Manifest
from livematte.planes import layout
from livematte.runtimes.cuda.base import Driver
from livematte.runtimes.kernels import KernelLibrary
from livematte.runtimes.onnx_header import read_header
from livematte.sources.base import Source

SPEC = ColorSpec("bt709", "tv")


def write_network(path: Path, *, recurrent: bool, half: bool = False) -> Path:
    """alpha = sigmoid(6 (blur(gray) - 0.5) + 4 (state - 0.5)), state' = 0.6 state + 0.4 gray; without states: no state.

    Each pixel's alpha therefore tells which pictures came before, and in which order. half: picture and matte are
    float16, the state is not.
    """
    box = np.full((1, 3, 3, 3), 1 / 27, np.float32)
    constants = {
        "box": box, "half": np.float32(0.5), "six": np.float32(6), "four": np.float32(4),
        "keep": np.float32(0.6), "take": np.float32(0.4),
    }  # fmt: skip
    kind = TensorProto.FLOAT16 if half else TensorProto.FLOAT
    picture = helper.make_tensor_value_info("picture", kind, ("batch", 3, "height", "width"))
    matte = helper.make_tensor_value_info("matte", kind, ("batch", 1, "height", "width"))
    nodes = [
        helper.make_node("Cast", ["picture"], ["full"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["full", "box"], ["gray"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Sub", ["gray", "half"], ["centred"]),
        helper.make_node("Mul", ["centred", "six"], ["now"]),
    ]
    inputs, outputs = [picture], [matte]
    if recurrent:
        nodes += [
            helper.make_node("Mul", ["past", "keep"], ["kept"]),
            helper.make_node("Mul", ["gray", "take"], ["taken"]),
            helper.make_node("Add", ["kept", "taken"], ["next"]),
            helper.make_node("Sub", ["past", "half"], ["past_centred"]),
            helper.make_node("Mul", ["past_centred", "four"], ["before"]),
            helper.make_node("Add", ["now", "before"], ["logit"]),
        ]
        sides = ("state_batch", "state_channels", "state_height", "state_width")
        inputs.append(helper.make_tensor_value_info("past", TensorProto.FLOAT, sides))
        outputs.append(helper.make_tensor_value_info("next", TensorProto.FLOAT, ("b", 1, "h", "w")))
    nodes.append(helper.make_node("Sigmoid", ["logit" if recurrent else "now"], ["exact"]))
    nodes.append(helper.make_node("Cast", ["exact"], ["matte"], to=kind))
    used = {name for node in nodes for name in node.input}
    weights = [numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items() if n in used]
    graph = helper.make_graph(nodes, "test", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


LETTERBOX = {"policy": "fixed", "width": 64, "height": 56, "fit": "letterbox"}


def manifest(
    *, recurrent: bool, warm_runs: int = 0, temporal: str = "adaptive", refine: str = "bicubic", boxed: bool = False
) -> Manifest:
    states = [{"input": "past", "output": "next"}] if recurrent else []
    pixels = {"fast": 1024, "good": 1536, "best": 3072}
    return Manifest.model_validate(
        {
            "format": 1,
            "name": "test",
            "title": "test",
            "subjects": ["people"],
            "about": "test",
            "licence": {"spdx": "MIT", "commercial": "yes", "text": "test", "evidence": "u"},
            "graphs": [
                {
                    "input": {
                        "name": "picture",
                        "mean": [0.02, 0.01, 0.0],
                        "std": [1.0, 0.9, 1.1],
                        "size": LETTERBOX if boxed else {"policy": "area", "multiple_of": 8, "pixels": pixels},
                    },
                    "alpha": {"name": "matte"},
                    "states": states,
                    "weights": [{"source": "bring", "file": "x.onnx", "export": "make it"}],
                }
            ],
            "defaults": {"temporal": temporal, "refine": refine, "warm_runs": warm_runs},
        }
    )


def load(
    folder: Path, *, recurrent: bool = True, capturable: bool = True, half: bool = False, **defaults: object
) -> LoadedModel:
    path = write_network(folder / f"net{int(recurrent)}{int(half)}.onnx", recurrent=recurrent, half=half)
    told = manifest(recurrent=recurrent, **defaults)
    contract = tie(told.graph, read_header(path), str(path))
    engine = CpuEngine(path, "matte", (("past", "next"),) if recurrent else (), capturable)
    return LoadedModel(told, engine, ModelSettings(), contract, path)


@dataclass
class Clip:
    """Frames of one size and format: a textured scene, a bright blob that wanders, noise; new scenes at `cuts`."""

    seed: int
    width: int = 96
    height: int = 64
    pix_fmt: str = "yuv420p"
    count: int = 8
    cuts: Sequence[int] = (4,)
    color: ColorSpec = SPEC
    gaps: dict[int, int] = field(default_factory=dict)
    """Frame -> how many frame times its gap from the frame before is, in place of 1."""

    def frames(self) -> list[Frame]:
        random = np.random.default_rng(self.seed)
        frames, scene, pts = [], None, 0
        for index in range(self.count):
            if scene is None or index in self.cuts:
                scene = self._scene(random)
            pts += self.gaps.get(index, 1)
            planes = self._planes(scene, index, random)
            time = Timestamp(pts, Fraction(1, 30))
            frames.append(Frame(picture_of(self.pix_fmt, planes), time, 1, index, self.color))
        return frames

    def _scene(self, random: np.random.Generator) -> np.ndarray:
        kind = layout(self.pix_fmt)
        coarse = random.uniform(0.1, 0.9, (5, 7))
        y, x = np.mgrid[: self.height, : self.width]
        rows, columns = y * 4 // self.height, x * 6 // self.width
        return coarse[rows, columns] * kind.peak

    def _planes(self, scene: np.ndarray, index: int, random: np.random.Generator) -> list[np.ndarray]:
        kind = layout(self.pix_fmt)
        y, x = np.mgrid[: self.height, : self.width]
        at = (0.3 + 0.05 * index) * self.width, (0.5 + 0.03 * index) * self.height
        blob = np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / (2 * (0.2 * self.height) ** 2))
        luma = scene * (1 - blob) + kind.peak * 0.95 * blob + random.normal(0, 0.01 * kind.peak, blob.shape)
        chroma = noise(self.pix_fmt, self.height, self.width, self.seed + 7 * index)[1:]
        softer = [0.5 * kind.peak + 0.2 * (plane - 0.5 * kind.peak) for plane in chroma]
        return [np.clip(plane, 0, kind.peak) for plane in (luma, *softer)]

    def info(self) -> StreamInfo:
        kind = layout(self.pix_fmt)
        return StreamInfo(
            "clip", self.width, self.height, kind.pix_fmt, self.color, Fraction(1, 30), Fraction(30), bits=kind.bits
        )


def make(
    loaded: LoadedModel,
    driver: Driver,
    kernels: KernelLibrary,
    clip: Clip | Source,
    *,
    kind: type[DeviceMatting] = DeviceMatting,
    slots: int = 3,
    wide: bool = False,
    foreground: bool = True,
    background: str | None = None,
    timer: Timer | None = None,
    **settings: object,
) -> DeviceMatting:
    return kind(
        loaded,
        driver,
        kernels,
        MattingSettings(**settings),
        info=clip.info() if isinstance(clip, Clip) else clip.info,
        wide_alpha=wide,
        wants_foreground=foreground,
        background=background,
        timer=timer,
        slots=slots,
    )
