"""The ranges of a network's values on the user's own frames, seen just as the network sees them.

Frames come through the real sources, are scaled and normalised by the real `Preprocessor`, and a recurrent network gets
its own last state, so the ranges are those of use. Two kinds are kept of each tensor: the extremes over all frames, and
the mean of each frame's, which one outlying frame cannot stretch; which is better is measured (`exclusions.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import helper

from livematte.config import InputSettings, Quality
from livematte.errors import UsageError
from livematte.frames import Frame
from livematte.matting.preprocess import Preprocessor
from livematte.models.contract import Contract
from livematte.models.sizes import NetworkSize, network_size
from livematte.reporting import Reporter
from livematte.runtimes.graphs import editing
from livematte.runtimes.graphs.running import Network, Values
from livematte.sources import open_source
from livematte.sources.inputs import expand_inputs

Range = tuple[float, float]
PROBES = 6
"""At least so many frames, where there are as many, are kept to try conversions on; at most twice as many."""
TRUTH_SUFFIX = ".alpha.mkv"


@dataclass(frozen=True)
class FrameRequest:
    """Which frames, and how large the network's input is for them."""

    specs: tuple[str, ...]
    """Files, folders, patterns, URLs."""
    frames: int
    """Of each input, at most."""
    quality: Quality = "good"
    override: tuple[int, int] | None = None
    """(width, height) of the network's input that was asked for."""


@dataclass
class Calibration:
    """What was seen."""

    lowest: dict[str, list[float]] = field(default_factory=dict)
    """Tensor -> the smallest value of each frame."""
    highest: dict[str, list[float]] = field(default_factory=dict)
    probes: list[tuple[Values, Values]] = field(default_factory=list)
    """(feeds, the outputs of the network as it is) of some frames."""
    frames: int = 0
    _probe_step: int = 1

    def keep_probe(self, feeds: Values, outputs: Values) -> None:
        """Keep this frame to try conversions on, so that those kept are spread evenly over all that come."""
        if self.frames % self._probe_step == 0:
            self.probes.append(({name: value.copy() for name, value in feeds.items()}, outputs))
        if len(self.probes) > 2 * PROBES:
            del self.probes[1::2]
            self._probe_step *= 2

    def extremes(self) -> dict[str, Range]:
        """Tensor -> (smallest, largest) over all frames."""
        return {name: (min(low), max(self.highest[name])) for name, low in self.lowest.items()}

    def usual(self) -> dict[str, Range]:
        """Tensor -> mean of the frames' (smallest, largest)."""
        return {
            name: (float(np.mean(low)), float(np.mean(self.highest[name]))) for name, low in self.lowest.items()
        }  # fmt: skip


def clips_of(specs: Sequence[str]) -> list[str]:
    """Every single input behind what was named; true mattes (`NAME.alpha.mkv`) beside clips are left out."""
    return [one.spec for one in expand_inputs(specs) if not one.spec.endswith(TRUTH_SUFFIX)]


def frames_of(clip: str, count: int, *, step: int, reporter: Reporter) -> Iterator[Frame]:
    """Every `step`-th frame of an input, `count` at most; the source is closed whatever happens."""
    source = open_source(clip, InputSettings(), reporter=reporter)
    given = 0
    try:
        for item in source:
            if not isinstance(item, Frame) or item.index % step:
                continue
            yield item
            given += 1
            if given >= count:
                return
    finally:
        source.close()


def calibrate(
    model: onnx.ModelProto,
    contract: Contract,
    request: FrameRequest,
    *,
    reporter: Reporter,
    progress: Callable[[float], None] = lambda share: None,
) -> Calibration:
    """Run the network over the frames and keep the ranges of every floating-point tensor. UsageError: no frame came."""
    seen = Calibration()
    observer = _Observer(model)
    clips = clips_of(request.specs)
    is_recurrent = bool(contract.states)
    for at, clip in enumerate(clips):
        # A recurrent network needs each frame's own past, so it sees them all in order; others see the whole clip.
        step = 1 if is_recurrent else _step(clip, request.frames, reporter)
        feeder: _Feeder | None = None
        for number, frame in enumerate(frames_of(clip, request.frames, step=step, reporter=reporter)):
            if feeder is None or feeder.picture_size != (frame.width, frame.height):
                feeder = _Feeder(contract, request, frame)
            feeds = feeder.feed(frame)
            outputs = observer.watch(feeds, seen)
            seen.keep_probe(feeds, outputs)
            feeder.remember(outputs)
            seen.frames += 1
            progress((at + (number + 1) / request.frames) / len(clips))
    if not seen.probes:
        raise UsageError(
            f"{', '.join(request.specs)} gave {seen.frames} frames to find the network's ranges on; name a clip or a "
            "folder with at least one picture of the kind that it will be used on."
        )
    return seen


def _step(clip: str, frames: int, reporter: Reporter) -> int:
    """So that the frames spread over the whole clip; every third where its length is not known."""
    source = open_source(clip, InputSettings(), reporter=reporter)
    try:
        count = source.info.frame_count
    finally:
        source.close()
    return 3 if count is None else max(count // frames, 1)


class _Feeder:
    """Makes a network's feeds of the frames of one picture size."""

    def __init__(self, contract: Contract, request: FrameRequest, frame: Frame) -> None:
        spec = contract.graph.input
        assert spec is not None  # tie() made sure
        self.picture_size = (frame.width, frame.height)
        self.size: NetworkSize = network_size(
            spec.size, *self.picture_size, quality=request.quality, override=request.override
        )
        shapes = contract.shapes(self.size)
        self._image = np.zeros(shapes[contract.image.name], np.dtype(contract.image.dtype))
        self._preprocessor = Preprocessor(spec, self.size, self._image)
        self._contract = contract
        self._fixed: Values = {}
        for extra in contract.extra:
            value = self.size.ratio if extra.value == "ratio" else extra.value
            self._fixed[extra.name] = np.full(extra.shape, value, np.dtype(contract.inputs[extra.name].dtype))
        self._states: Values = {
            state.input: np.zeros(shapes[state.input], np.dtype(contract.inputs[state.input].dtype))
            for state in contract.states
        }

    def feed(self, frame: Frame) -> Values:
        """Everything that the network reads for this frame; the picture is overwritten by the next call."""
        self._preprocessor.fill(frame)
        return {self._contract.image.name: self._image, **self._fixed, **self._states}

    def remember(self, outputs: Values) -> None:
        """What the network wrote is what it reads next."""
        self._states = {state.input: outputs[state.output] for state in self._contract.states}


class _Observer:
    """The network with the smallest and largest value of each floating-point tensor as further outputs."""

    def __init__(self, model: onnx.ModelProto) -> None:
        watched = editing.copy_of(model)
        types = editing.value_types(model)
        constants = {tensor.name for tensor in model.graph.initializer}
        used = {name for node in model.graph.node for name in (*node.input, *node.output)}
        self._own = tuple(value.name for value in model.graph.output)
        self._names = [
            name for name, kind in types.items() if kind == editing.FLOAT and name in used and name not in constants
        ]
        for name in self._names:
            for operator in ("ReduceMin", "ReduceMax"):
                output = f"{name}/{operator}"
                watched.graph.node.append(helper.make_node(operator, [name], [output], name=output, keepdims=0))
                watched.graph.output.append(onnx.ValueInfoProto(name=output))
        self._network = Network(watched, what="the network with its ranges watched")

    def watch(self, feeds: Values, seen: Calibration) -> dict[str, Any]:
        """One frame; gives the network's own outputs."""
        found = self._network.run(feeds)
        for name in self._names:
            seen.lowest.setdefault(name, []).append(float(found[f"{name}/ReduceMin"]))
            seen.highest.setdefault(name, []).append(float(found[f"{name}/ReduceMax"]))
        return {name: found[name] for name in self._own}
