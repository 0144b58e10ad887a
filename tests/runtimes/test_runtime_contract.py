"""What every runtime owes (`runtimes/base.py`), held against each of them."""

from __future__ import annotations

from pathlib import Path

import make_models
import numpy as np
import pytest
from runtime_helpers import RVM_STATES, open_engine, picture, rvm_shapes

from livematte.errors import DeviceError, LivematteError, ModelError, UsageError
from livematte.runtimes import RUNTIMES


@pytest.fixture(params=["onnxruntime", "openvino", "null"])
def runtime(request: pytest.FixtureRequest) -> str:
    if request.param == "openvino":
        pytest.importorskip("openvino")
    return request.param


def test_says_what_it_is(runtime: str, tmp_path: Path) -> None:
    engine = open_engine(runtime, make_models.stateless(tmp_path / "a.onnx"), device="cpu", precision="fp32")
    assert (engine.name, engine.device, engine.precision) == (runtime, "cpu", "fp32")
    assert [(spec.name, spec.dtype, spec.shape) for spec in engine.inputs] == [
        ("picture", "float32", ("batch", 3, "height", "width"))
    ]
    assert [spec.name for spec in engine.outputs] == ["matte"]
    engine.close()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 5), (32, 64)])
def test_output_has_the_pictures_shape(runtime: str, tmp_path: Path, height: int, width: int) -> None:
    engine = open_engine(runtime, make_models.stateless(tmp_path / "a.onnx"), constant_alpha=0.25)
    binding = engine.bind({"picture": (1, 3, height, width)})
    found = binding.run({"picture": picture(height, width, 0.25)})["matte"]
    assert found.shape == (1, 1, height, width)
    np.testing.assert_allclose(found, 0.25, atol=1e-6)
    binding.close()


def test_buffer_is_read_without_being_fed(runtime: str, tmp_path: Path) -> None:
    engine = open_engine(runtime, make_models.stateless(tmp_path / "a.onnx"), constant_alpha=0.5)
    binding = engine.bind({"picture": (1, 3, 4, 4)})
    binding.buffer("picture")[...] = 0.5
    np.testing.assert_allclose(binding.run({})["matte"], 0.5, atol=1e-6)


def test_enqueue_runs_at_once(runtime: str, tmp_path: Path) -> None:
    binding = open_engine(runtime, make_models.stateless(tmp_path / "a.onnx")).bind({"picture": (1, 3, 4, 4)})
    first = binding.run({"picture": picture(4, 4, 1.0)})["matte"]
    binding.enqueue(None)
    np.testing.assert_allclose(first, 1.0)


@pytest.mark.parametrize(
    ("feeds", "said"),
    [
        ({}, "nothing was ever fed into the input picture"),
        (
            {"picture": np.zeros((1, 3, 4, 5), np.float32)},
            r"'picture' got float32 \(1, 3, 4, 5\).*float32 \(1, 3, 4, 4\)",
        ),
        ({"picture": np.zeros((1, 3, 4, 4), np.float64)}, "'picture' got float64"),
        ({"image": np.zeros((1, 3, 4, 4), np.float32)}, "no input 'image'; it has picture"),
    ],
)
def test_wrong_feeds(runtime: str, tmp_path: Path, feeds: dict, said: str) -> None:
    binding = open_engine(runtime, make_models.stateless(tmp_path / "a.onnx")).bind({"picture": (1, 3, 4, 4)})
    with pytest.raises(ValueError, match=said):
        binding.run(feeds)


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        ({}, "no shape was given for the input 'picture'"),
        ({"picture": (1, 4, 8, 8)}, r"'picture' is \(batch, 3, height, width\) in the graph"),
        ({"picture": (1, 3, 8)}, "in the graph"),
        ({"picture": (1, 3, 8, 8), "more": (1,)}, "no input 'more'"),
    ],
)
def test_wrong_shapes(runtime: str, tmp_path: Path, shapes: dict, said: str) -> None:
    engine = open_engine(runtime, make_models.stateless(tmp_path / "a.onnx"))
    with pytest.raises(ValueError, match=said):
        engine.bind(shapes)


def test_states_cannot_be_fed(runtime: str, tmp_path: Path) -> None:
    engine = open_engine(runtime, make_models.recurrent(tmp_path / "r.onnx"), states=RVM_STATES, outputs=("pha",))
    binding = engine.bind(rvm_shapes(8, 8))
    with pytest.raises(ValueError, match="'r1i' is a recurrent state"):
        binding.run({"r1i": np.zeros((1, 1, 1, 1), np.float32)})


def test_only_wanted_outputs_come_back(runtime: str, tmp_path: Path) -> None:
    engine = open_engine(runtime, make_models.many(tmp_path / "m.onnx"), outputs=("d0",))
    assert list(engine.bind({"input.1": (1, 3, 16, 16)}).run({"input.1": picture(16, 16, 0.1)})) == ["d0"]


def test_all_outputs_without_a_wish(runtime: str, tmp_path: Path) -> None:
    engine = open_engine(runtime, make_models.many(tmp_path / "m.onnx"))
    found = engine.bind({"input.1": (1, 3, 16, 16)}).run({"input.1": picture(16, 16, 0.1)})
    assert sorted(found) == ["d0", "d1", "d2"]


def test_half_precision(runtime: str, tmp_path: Path) -> None:
    engine = open_engine(runtime, make_models.half(tmp_path / "h.onnx"), precision="fp16", constant_alpha=0.5)
    found = engine.bind({"picture": (1, 3, 4, 4)}).run({"picture": picture(4, 4, 0.5, np.float16)})["matte"]
    assert found.dtype == np.float16
    np.testing.assert_allclose(found, 0.5)


def test_recurrent_output_shape(runtime: str, tmp_path: Path) -> None:
    engine = open_engine(runtime, make_models.recurrent(tmp_path / "r.onnx"), states=RVM_STATES, outputs=("pha",))
    binding = engine.bind(rvm_shapes(21, 33))
    feeds = {"src": picture(21, 33, 0.4), "downsample_ratio": np.ones(1, np.float32)}
    for _ in range(3):
        assert binding.run(feeds)["pha"].shape == (1, 1, 21, 33)
    binding.reset()
    assert binding.run({})["pha"].shape == (1, 1, 21, 33)


@pytest.mark.parametrize("content", [b"", b"hello, this is text\n", b"\x80\x02}q\x00.", b"\x08\x08\x12"])
def test_what_is_no_network(runtime: str, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "no.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError):
        open_engine(runtime, path)


def test_a_cut_off_network(runtime: str, tmp_path: Path) -> None:
    whole = make_models.recurrent(tmp_path / "r.onnx").read_bytes()
    path = tmp_path / "cut.onnx"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError):
        open_engine(runtime, path)


def test_device_that_is_not_there(runtime: str, tmp_path: Path) -> None:
    with pytest.raises(DeviceError) as caught:
        open_engine(runtime, make_models.stateless(tmp_path / "a.onnx"), device="abacus")
    assert caught.value.exit_code == 5


def test_unknown_runtime() -> None:
    with pytest.raises(UsageError, match="null, onnxruntime, openvino, tensorrt, tensorrt-rtx"):
        RUNTIMES.load("abacus")


def test_errors_are_ours() -> None:
    assert issubclass(ModelError, LivematteError)
