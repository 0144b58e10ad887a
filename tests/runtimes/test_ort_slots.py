"""ONNX Runtime slot by slot, on the null driver: states, order, and what the CUDA provider is asked for."""

from __future__ import annotations

from pathlib import Path

import make_models
import numpy as np
import pytest
from runtime_helpers import RVM_STATES, open_engine, picture, rvm_shapes

from livematte.errors import DeviceError
from livematte.matting.device.network import DeviceEngine
from livematte.reporting import ListReporter
from livematte.runtimes.cuda.choice import open_driver
from livematte.runtimes.options import EngineOptions
from livematte.runtimes.ort_slots import OnnxRuntimeCudaEngine, cuda_settings, open_onnxruntime, open_slots

pytest.importorskip("onnx")


def _grays(count: int) -> list[float]:
    return [round(0.1 + 0.8 * at / count, 3) for at in range(count)]


@pytest.mark.parametrize("slots", [1, 2, 3])
def test_slots_hand_the_state_on(tmp_path: Path, slots: int) -> None:
    """Frame after frame through S slots gives what one binding on the host gives."""
    path = make_models.recurrent(tmp_path / "r.onnx")
    shapes, ratio = rvm_shapes(16, 16), np.ones(1, np.float32)
    host = open_engine("onnxruntime", path, states=RVM_STATES, outputs=("pha",)).bind(shapes)
    driver = open_driver("null")
    stream = driver.stream()
    options = EngineOptions(states=RVM_STATES, outputs=("pha",))
    network = open_slots(path, options, shapes, slots, driver, extra={"downsample_ratio": ratio})
    assert network.is_recurrent
    network.reset(0, stream)
    for at, gray in enumerate(_grays(7)):
        slot = at % slots
        network.input(slot).upload(picture(16, 16, gray), stream)
        network.enqueue(slot, stream)
        found = np.empty(network.alpha(slot).shape, np.float32)
        network.alpha(slot).download(found, stream)
        stream.synchronize()
        exact = host.run({"src": picture(16, 16, gray), "downsample_ratio": ratio})["pha"]
        np.testing.assert_allclose(found, exact, atol=1e-5)
    network.close()
    stream.close()
    driver.close()


def test_another_stream_is_refused(tmp_path: Path) -> None:
    driver = open_driver("null")
    one, two = driver.stream(), driver.stream()
    path = make_models.stateless(tmp_path / "a.onnx")
    network = open_slots(path, EngineOptions(), {"picture": (1, 3, 8, 8)}, 1, driver)
    network.enqueue(0, one)
    with pytest.raises(DeviceError, match="another one"):
        network.enqueue(0, two)
    network.close()
    one.close()
    two.close()
    driver.close()


def test_what_cuda_is_asked_for() -> None:
    driver = open_driver("null")
    stream = driver.stream()
    settings = cuda_settings(driver, stream, precision="fp32", prefer_nhwc=True)
    assert settings["user_compute_stream"] == str(stream.handle)
    assert (settings["use_tf32"], settings["prefer_nhwc"], settings["enable_cuda_graph"]) == ("0", "1", "1")
    assert int(settings["gpu_mem_limit"]) > 0
    stream.close()
    driver.close()


def test_the_driver_opens_first_and_closes_with_the_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On CUDA the context must have our flags before ONNX Runtime sees the device."""
    order: list[str] = []
    driver = open_driver("null")

    def opened(name: str, ordinal: int) -> object:
        order.append(f"driver {name} {ordinal}")
        return driver

    class OnProcessor(OnnxRuntimeCudaEngine):
        def _open(self, provider: str, options: object) -> object:
            order.append(provider)
            session = super()._open("CPUExecutionProvider", options)
            monkeypatch.setattr(type(session), "get_providers", lambda _: ["CUDAExecutionProvider"])
            return session

    monkeypatch.setattr("livematte.runtimes.ort_slots.check_provider", lambda *_: None)
    monkeypatch.setattr("livematte.runtimes.onnxruntime_engine.check_provider", lambda *_: None)
    monkeypatch.setattr("livematte.runtimes.ort_slots.open_driver", opened)
    monkeypatch.setattr("livematte.runtimes.ort_slots.OnnxRuntimeCudaEngine", OnProcessor)
    engine = open_onnxruntime(make_models.stateless(tmp_path / "a.onnx"), EngineOptions(device="cuda:1"))
    assert order == ["driver auto 1", "CUDAExecutionProvider"]
    assert isinstance(engine, DeviceEngine)
    engine.close()
    with pytest.raises(DeviceError):
        driver.stream()


def test_without_the_driver_layer_the_network_alone_runs_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str, ordinal: int) -> object:
        raise DeviceError("cuda-core is not installed.")

    monkeypatch.setattr("livematte.runtimes.ort_slots.check_provider", lambda *_: None)
    monkeypatch.setattr("livematte.runtimes.ort_slots.open_driver", missing)
    monkeypatch.setattr("livematte.runtimes.ort_slots.OnnxRuntimeEngine", lambda path, options: "alone")
    reporter = ListReporter()
    options = EngineOptions(device="cuda", reporter=reporter)
    assert open_onnxruntime(make_models.stateless(tmp_path / "a.onnx"), options) == "alone"
    assert "cuda-core is not installed" in reporter.notes[0]


def test_on_the_processor_it_is_no_device_engine(tmp_path: Path) -> None:
    engine = open_onnxruntime(make_models.stateless(tmp_path / "a.onnx"), EngineOptions())
    assert not isinstance(engine, DeviceEngine)
    engine.close()
