"""ONNX Runtime: state, providers, and what its failures mean."""

from __future__ import annotations

import importlib
import sys
import types
from pathlib import Path

import make_models
import numpy as np
import onnxruntime
import pytest
from onnxruntime.capi import onnxruntime_pybind11_state as library_state
from runtime_helpers import RVM_STATES, open_engine, picture, rvm_shapes

from livematte.errors import DeviceError, ModelError
from livematte.runtimes import choice, ort_library, threads
from livematte.runtimes.placement import computing_on_processor, count_providers


def expected(gray: list[float]) -> list[float]:
    """The recurrent test network's alpha for frames of one grey each."""
    memory, found = 0.0, []
    for value in gray:
        memory = value + memory / 2
        found.append(value / 2 + memory / 10)
    return found


@pytest.mark.parametrize("alike", [False, True])
def test_state_goes_from_frame_to_frame(tmp_path: Path, alike: bool) -> None:
    path = make_models.recurrent(tmp_path / "r.onnx", alike=alike)
    binding = open_engine("onnxruntime", path, states=RVM_STATES, outputs=("pha",)).bind(rvm_shapes(32, 48))
    gray = [0.2, 0.9, 0.4, 0.4, 0.7, 0.1]
    ratio = np.full(1, 0.5, np.float32)
    for again in range(2):
        found = [
            float(binding.run({"src": picture(32, 48, value), "downsample_ratio": ratio})["pha"].mean())
            for value in gray
        ]
        np.testing.assert_allclose(found, expected(gray), atol=1e-5, err_msg=f"pass {again}")
        binding.reset()


def test_bindings_do_not_share_state(tmp_path: Path) -> None:
    engine = open_engine("onnxruntime", make_models.recurrent(tmp_path / "r.onnx"), states=RVM_STATES, outputs=("pha",))
    one, two = engine.bind(rvm_shapes(16, 16)), engine.bind(rvm_shapes(16, 16))
    feeds = {"src": picture(16, 16, 0.5), "downsample_ratio": np.ones(1, np.float32)}
    for _ in range(3):
        one.run(feeds)
    np.testing.assert_allclose(two.run(feeds)["pha"].mean(), expected([0.5])[0], atol=1e-6)


def test_nodes_are_counted_by_provider(tmp_path: Path) -> None:
    engine = open_engine("onnxruntime", make_models.logits(tmp_path / "l.onnx"))
    runs = engine.node_runs({"picture": (1, 3, 64, 64)})
    counted = count_providers(runs)
    assert set(counted) == {"CPUExecutionProvider"}
    assert counted["CPUExecutionProvider"] >= 2
    assert sum(computing_on_processor(runs).values()) >= 1  # the outputs are larger than shape arithmetic's


def test_absent_provider_names_the_command(tmp_path: Path) -> None:
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    with pytest.raises(DeviceError) as caught:
        open_engine("onnxruntime", make_models.stateless(tmp_path / "a.onnx"), device="cuda:0")
    text = str(caught.value)
    assert "it has cpu" in text
    assert "pip install 'livematte[gpu]'" in text
    assert "--device cpu" in text


def test_a_session_on_another_provider_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime puts a CUDA session on the CPU without an exception: that must not pass."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    real = onnxruntime.InferenceSession

    def on_cpu(path: str, options: object, providers: list) -> object:
        settings = {"device_id": "1", "use_tf32": "0", "arena_extend_strategy": "kSameAsRequested"}
        assert providers == [("CUDAExecutionProvider", settings)]
        return real(path, options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(onnxruntime, "InferenceSession", on_cpu)
    with pytest.raises(DeviceError, match="opened on CPUExecutionProvider instead"):
        open_engine("onnxruntime", make_models.stateless(tmp_path / "a.onnx"), device="cuda:1")


def test_every_exception_of_the_library_is_mapped() -> None:
    found = {
        name
        for name in dir(library_state)
        if isinstance(getattr(library_state, name), type) and issubclass(getattr(library_state, name), Exception)
    }
    assert found <= {*ort_library.MODEL_ERRORS, *ort_library.DEVICE_ERRORS}


def test_no_runtime_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def absent(name: str, package: str | None = None) -> types.ModuleType:
        if name == "onnxruntime":
            raise ModuleNotFoundError("No module named 'onnxruntime'", name="onnxruntime")
        return real(name, package)

    monkeypatch.setattr(ort_library.importlib, "import_module", absent)
    with pytest.raises(DeviceError) as caught:
        ort_library.load_library()
    assert "livematte[cpu]" in str(caught.value)
    assert "livematte[gpu]" in str(caught.value)
    assert caught.value.exit_code == 5


def test_a_missing_dll_names_the_redistributable(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> types.ModuleType:
        raise ImportError("DLL load failed while importing onnxruntime_pybind11_state: module not found")

    monkeypatch.setattr(ort_library.importlib, "import_module", broken)
    monkeypatch.setattr(ort_library.sys, "platform", "win32")
    with pytest.raises(DeviceError, match=r"VCRedist\.2015"):
        ort_library.load_library()


def test_a_network_that_fails_on_its_picture(tmp_path: Path) -> None:
    path = make_models.recurrent(tmp_path / "r.onnx")
    binding = open_engine("onnxruntime", path, states=RVM_STATES, outputs=("pha",)).bind(rvm_shapes(8, 8))
    with pytest.raises(ModelError, match="failed on this picture"):
        binding.run({"src": picture(8, 8, 0.5), "downsample_ratio": np.full(1, -1, np.float32)})


def test_threads_follow_affinity_and_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(threads, "_physical", lambda allowed: len(allowed) // 2)
    monkeypatch.setattr(threads, "_cgroup_quota", lambda: None)
    assert threads.default_threads.__wrapped__() == 2
    monkeypatch.setattr(threads, "_cgroup_quota", lambda: 0.5)
    assert threads.default_threads.__wrapped__() == 1


def test_auto_takes_a_gpu_only_where_the_library_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "nvidia_gpus", lambda: ("NVIDIA Test 1",))
    monkeypatch.setattr(choice, "_installed_plans", list)
    monkeypatch.setattr(choice, "present_devices", lambda _: ["cpu"])
    assert [one.device for one in choice.candidates("auto", "auto")] == ["cpu"]
    assert "NVIDIA Test 1 is here and not used" in choice.passed_over_gpu()[0]
    assert "livematte[gpu]" in choice.passed_over_gpu()[0]
    monkeypatch.setattr(choice, "present_devices", lambda _: ["cpu", "cuda"])
    assert [one.device for one in choice.candidates("auto", "auto")] == ["cuda", "cpu"]
    assert [one.device for one in choice.candidates("auto", "cuda:1")] == ["cuda:1"]


def test_auto_takes_a_compiled_plan_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "nvidia_gpus", lambda: ("NVIDIA Test 1",))
    monkeypatch.setattr(choice, "_installed_plans", lambda: ["tensorrt", "tensorrt-rtx"])
    monkeypatch.setattr(choice, "present_devices", lambda _: ["cpu", "cuda"])
    found = [(one.runtime, one.device) for one in choice.candidates("auto", "auto")]
    assert found == [
        ("tensorrt", "cuda"), ("tensorrt-rtx", "cuda"), ("onnxruntime", "cuda"), ("onnxruntime", "cpu"),
    ]  # fmt: skip
    assert choice.candidates("auto", "cuda:1")[-1] == choice.Candidate("onnxruntime", "cuda:1")
    assert choice.candidates("auto", "cpu") == (choice.Candidate("onnxruntime", "cpu"),)


def test_plans_are_for_gpus() -> None:
    assert choice.candidates("tensorrt-rtx", "auto") == (choice.Candidate("tensorrt-rtx", "cuda"),)
    assert choice.candidates("openvino", "auto") == (choice.Candidate("openvino", "cpu"),)


def test_no_gpu_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "nvidia_gpus", lambda: ())
    assert choice.passed_over_gpu() == ()


def test_importing_the_package_imports_no_backend() -> None:
    import subprocess

    code = (
        "import sys, livematte; "
        "heavy = {'onnxruntime', 'av', 'cv2', 'PIL', 'pooch', 'numpy'} & set(sys.modules); "
        "assert not heavy, heavy; "
        "import livematte.runtimes, livematte.models.manifest; "
        "assert 'onnxruntime' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_runtime_that_does_not_exist_ends_with_5_and_the_names() -> None:
    from livematte.runtimes import choice

    with pytest.raises(
        DeviceError, match=r"no runtime 'foo'.*auto, onnxruntime, openvino, tensorrt, tensorrt-rtx, null.*pip install"
    ) as caught:
        choice.candidates("foo", "auto")
    assert caught.value.exit_code == 5
