"""OpenVINO: what the contract of all runtimes does not hold: recurrent values, precision, devices, words."""

from __future__ import annotations

import sys
from pathlib import Path

import make_models
import numpy as np
import pytest
from runtime_helpers import RVM_STATES, open_engine, picture, rvm_shapes

from livematte import resources
from livematte.config import ModelSettings
from livematte.errors import DeviceError, ModelError
from livematte.models.load import load_model
from livematte.reporting import ListReporter
from livematte.runtimes.openvino_engine import OpenVINOEngine

openvino = pytest.importorskip("openvino")
EMBEDDED = resources.root() / "engines" / "livematte-s.onnx"


@pytest.mark.parametrize("full", [False, True], ids=["growing states", "whole states"])
def test_states_as_onnx_runtime_has_them(tmp_path: Path, full: bool) -> None:
    path = make_models.recurrent(tmp_path / "r.onnx")
    shapes = rvm_shapes(16, 24)
    if full:
        grown = open_engine("onnxruntime", path, states=RVM_STATES)
        outputs = grown.session.run(
            None,
            {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
            | {"downsample_ratio": np.ones(1, np.float32)},
        )
        sizes = {spec.name: value.shape for spec, value in zip(grown.outputs, outputs, strict=True)}
        shapes |= {source: sizes[output] for source, output in RVM_STATES}
    bindings = [
        open_engine(runtime, path, states=RVM_STATES, outputs=("pha",)).bind(shapes)
        for runtime in ("openvino", "onnxruntime")
    ]
    for turn in range(2):
        for gray in (0.2, 0.9, 0.4, 0.7):
            feeds = {"src": picture(16, 24, gray), "downsample_ratio": np.ones(1, np.float32)}
            ours, exact = (binding.run(feeds)["pha"] for binding in bindings)
            np.testing.assert_allclose(ours, exact, atol=1e-5, err_msg=f"turn {turn}")
        for binding in bindings:
            binding.reset()


def test_bindings_do_not_share_state(tmp_path: Path) -> None:
    engine = open_engine("openvino", make_models.recurrent(tmp_path / "r.onnx"), states=RVM_STATES, outputs=("pha",))
    one, two = engine.bind(rvm_shapes(16, 16)), engine.bind(rvm_shapes(16, 16))
    feeds = {"src": picture(16, 16, 0.5), "downsample_ratio": np.ones(1, np.float32)}
    first = one.run(feeds)["pha"].copy()
    one.run(feeds)
    np.testing.assert_allclose(two.run(feeds)["pha"], first, atol=1e-6)


def test_the_embedded_network_computes_in_float32() -> None:
    """Equal to ONNX Runtime to rounding: in bfloat16, which the library takes by itself, it would not be."""
    random = np.random.default_rng(5).random((1, 3, 96, 160), np.float32)
    results = [
        open_engine(runtime, EMBEDDED).bind({"rgb": random.shape}).run({"rgb": random})["alpha"].copy()
        for runtime in ("openvino", "onnxruntime")
    ]
    np.testing.assert_allclose(results[0], results[1], atol=2e-4)


def test_bf16_only_when_asked() -> None:
    loaded = load_model(ModelSettings(runtime="openvino", precision="bf16"), reporter=ListReporter())
    assert isinstance(loaded.engine, OpenVINOEngine)
    assert loaded.engine.precision == "bf16"
    assert loaded.engine._settings()["INFERENCE_PRECISION_HINT"] == "bf16"
    plain = load_model(ModelSettings(runtime="openvino"), reporter=ListReporter())
    assert plain.engine._settings()["INFERENCE_PRECISION_HINT"] == "f32"
    assert "livematte-s in fp32 on cpu" in plain.describe()
    assert "openvino" in plain.describe()
    loaded.close()
    plain.close()


def test_bf16_needs_a_runtime_that_has_it() -> None:
    with pytest.raises(ModelError, match="has no file in bf16"):
        load_model(ModelSettings(runtime="onnxruntime", precision="bf16"), reporter=ListReporter())


@pytest.mark.parametrize("device", ["gpu", "gpu:3", "npu"])
def test_devices_that_are_not_here(tmp_path: Path, device: str) -> None:
    with pytest.raises(DeviceError, match="OpenVINO sees CPU here"):
        open_engine("openvino", make_models.stateless(tmp_path / "a.onnx"), device=device)


def test_nvidia_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="--runtime onnxruntime --device cuda"):
        open_engine("openvino", make_models.stateless(tmp_path / "a.onnx"), device="cuda")


def test_absent_library_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(DeviceError, match=r"pip install 'livematte\[openvino\]'"):
        open_engine("openvino", make_models.stateless(tmp_path / "a.onnx"))


def test_one_size_is_compiled_once(tmp_path: Path) -> None:
    engine = open_engine("openvino", make_models.stateless(tmp_path / "a.onnx"))
    first = engine.compiled({"picture": (1, 3, 4, 4)})
    assert engine.compiled({"picture": (1, 3, 4, 4)}) is first
    assert engine.compiled({"picture": (1, 3, 8, 4)}) is not first
