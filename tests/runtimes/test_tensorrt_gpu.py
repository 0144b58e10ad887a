"""Plans run on a real GPU, by whichever of the two libraries is installed and knows the chip.

    LIVEMATTE_REQUIRE=gpu python -m pytest tests/runtimes/test_tensorrt_gpu.py -v

On a data-centre GPU (sm_90, sm_100) TensorRT-RTX has no plans: `tensorrt` must be installed there.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import make_models
import numpy as np
import onnxruntime
import pytest
import trt_graphs as graphs
from runtime_helpers import RVM_STATES, rvm_shapes

from livematte import resources
from livematte.errors import DeviceError, LivematteError
from livematte.reporting import ListReporter
from livematte.runtimes.cuda.choice import open_driver
from livematte.runtimes.cuda.graphs import capture
from livematte.runtimes.options import EngineOptions
from livematte.runtimes.tensorrt.engine import TensorRTEngine, TensorRTRTXEngine

pytestmark = [pytest.mark.gpu, pytest.mark.slow]
OURS = resources.root() / "engines" / "livematte-s.onnx"
FULL = (1, 3, 256, 448)


@pytest.fixture(params=["tensorrt", "tensorrt-rtx"])
def runtime(request: pytest.FixtureRequest) -> type[TensorRTEngine]:
    try:
        open_driver().close()
    except DeviceError as error:
        if "gpu" in os.environ.get("LIVEMATTE_REQUIRE", "").split(","):
            pytest.fail(str(error))
        pytest.skip(str(error))
    factory = {"tensorrt": TensorRTEngine, "tensorrt-rtx": TensorRTRTXEngine}[request.param]
    try:
        factory(OURS, EngineOptions(device="cuda")).close()
    except LivematteError as error:  # not installed, or not for this chip: the other one is tested
        pytest.skip(str(error))
    return factory


def reference(path: Path, name: str, frames: list[np.ndarray]) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return [session.run(None, {name: frame})[0] for frame in frames]


def frames_like_pictures(count: int, shape: tuple[int, ...] = FULL) -> list[np.ndarray]:
    """Soft discs that move over noise."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[: shape[2], : shape[3]].astype(np.float32)
    made = []
    for at in range(count):
        away = np.hypot(rows - shape[2] / 2, columns - shape[3] / 2 - 3 * at)
        disc = 1 / (1 + np.exp((away - shape[2] / 4) / 4))
        noise = random.random(shape, np.float32) * 0.2
        made.append(np.clip(noise + disc * 0.7, 0, 1).astype(np.float32))
    return made


@pytest.mark.parametrize(("precision", "mean"), [("fp32", 1e-5), ("fp16", 2e-3)])
def test_alpha_is_that_of_the_cpu(runtime: type[TensorRTEngine], precision: str, mean: float) -> None:
    reporter = ListReporter()
    engine = runtime(OURS, EngineOptions(device="cuda", computes_in="" if precision == "fp32" else precision,
                                         outputs=("alpha",), reporter=reporter))  # fmt: skip
    binding = engine.bind({"rgb": FULL})
    frames = frames_like_pictures(20)
    for frame, want in zip(frames, reference(OURS, "rgb", frames), strict=True):
        off = np.abs(binding.run({"rgb": frame})["alpha"].astype(np.float32) - want)
        assert off.mean() <= mean
        assert (off > 0.05).mean() <= 1e-4
    (plan,) = engine._plans.values()
    if precision == "fp32":
        assert not {"tf32", "fp16", "bf16"} & plan.layers.keys()
    binding.close()
    engine.close()


def test_a_second_start_builds_nothing(runtime: type[TensorRTEngine]) -> None:
    for at in range(2):
        reporter = ListReporter()
        engine = runtime(OURS, EngineOptions(device="cuda", reporter=reporter))
        engine.bind({"rgb": FULL}).close()
        engine.close()
        assert any("built now" in note for note in reporter.notes) == (at == 0)
        assert not any("compiling kernels" in note for note in reporter.notes) or at == 0


@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("is_captured", [False, True])
def test_states_over_three_hundred_frames(
    runtime: type[TensorRTEngine], tmp_path: Path, slots: int, is_captured: bool
) -> None:
    path = make_models.recurrent(tmp_path / "rvm.onnx")
    engine = runtime(path, EngineOptions(device="cuda", states=RVM_STATES, outputs=("pha",)))
    driver = engine.driver
    shapes = rvm_shapes(64, 96)
    network = engine.open_slots(shapes, slots, driver, extra={"downsample_ratio": np.array([0.5], np.float32)})
    assert network.is_capturable
    frames = frames_like_pictures(300, (1, 3, 64, 96))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    states: dict[str, Any] = {name: np.zeros((1, 1, 1, 1), np.float32) for name, _ in RVM_STATES}
    stream = driver.stream()
    recorded = []
    for slot in range(slots if is_captured else 0):
        with capture(driver, stream) as recording:
            network.enqueue(slot, stream)
        recorded.append(recording.finish())
    network.reset(0, stream)
    for at, frame in enumerate(frames):
        slot = at % slots
        network.input(slot).upload(frame, stream)
        (recorded[slot].launch(stream)) if is_captured else network.enqueue(slot, stream)
        found = np.empty(network.alpha(slot).shape, np.float32)
        network.alpha(slot).download(found, stream)
        stream.synchronize()
        names = ["pha", *(output for _, output in RVM_STATES)]
        got = session.run(names, {"src": frame, "downsample_ratio": np.array([0.5], np.float32)} | states)
        states = {name: value for (name, _), value in zip(RVM_STATES, got[1:], strict=True)}
        assert np.abs(found - got[0]).mean() <= 1e-4
    for graph in recorded:
        graph.close()
    stream.close()
    network.close()
    engine.close()


def test_stand_ins_run(runtime: type[TensorRTEngine], tmp_path: Path) -> None:
    for path, name, shape, output in (
        (graphs.modnet_like(tmp_path / "modnet.onnx"), "input", (1, 3, 96, 160), "output"),
        (graphs.u2net_like(tmp_path / "u2net.onnx"), "input.1", (1, 3, 45, 45), "d0"),
    ):
        engine = runtime(path, EngineOptions(device="cuda", outputs=(output,)))
        binding = engine.bind({name: shape})
        frames = frames_like_pictures(3, shape)
        for frame, want in zip(frames, reference(path, name, frames), strict=True):
            assert np.abs(binding.run({name: frame})[output] - want).mean() <= 1e-4
        binding.close()
        engine.close()
