"""Plans as engines, over a library in Python and the null driver: binding, slots, states, the cache, what goes wrong.

The network is run by ONNX Runtime when a stream gets there, in a random order that events permit, so what reads too
early, writes too early or takes another slot's state gives other numbers than the reference: ONNX Runtime alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fake_tensorrt as fake
import make_models
import numpy as np
import pytest
import trt_graphs as graphs
from runtime_helpers import RVM_STATES, rvm_shapes
from trt_runs import pictures, reference, run_slots, rvm_reference

from livematte.errors import DeviceError, ModelError, UsageError
from livematte.reporting import ListReporter
from livematte.runtimes.cuda.null import open_null
from livematte.runtimes.options import EngineOptions
from livematte.runtimes.plans import PlanStore
from livematte.runtimes.tensorrt import compiler, engine, opening, plan
from livematte.runtimes.tensorrt.engine import TensorRTEngine, TensorRTRTXEngine
from livematte.runtimes.tensorrt.library import describe
from livematte.runtimes.tensorrt.opening import obtain
from livematte.runtimes.tensorrt.profile import Profile
from livematte.runtimes.tensorrt.request import Built

VERSIONS = {"tensorrt": "11.4.0", "tensorrt_rtx": "1.7.1"}
RUNTIMES = {"tensorrt": TensorRTEngine, "tensorrt-rtx": TensorRTRTXEngine}


class World:
    """The fake libraries, drivers of any seed, and how many plans were built."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.built: list[str] = []
        self.drivers: list[Any] = []
        self.seed: int | None = 0
        self.reporter = ListReporter()
        fake.STREAMS.clear()
        fake.COMPLAINTS.clear()
        fake.LOG.clear()
        for name, version in VERSIONS.items():
            monkeypatch.setitem(sys.modules, name, fake.namespace(name, version))
        monkeypatch.setattr(engine, "open_driver", lambda _name, _ordinal=0: self.driver())
        monkeypatch.setattr(compiler, "_take_gpu", lambda _ordinal: None)
        monkeypatch.setattr(opening, "build_plan", self._build)
        self._monkeypatch = monkeypatch

    def driver(self) -> Any:
        driver = open_null(seed=self.seed)
        make = driver.stream

        def stream(**options: Any) -> Any:
            made = make(**options)
            fake.STREAMS[made.handle] = made
            return made

        driver.stream = stream
        self.drivers.append(driver)
        return driver

    def open(self, path: Path, runtime: str = "tensorrt-rtx", **options: Any) -> Any:
        given = {"device": "cuda", "reporter": self.reporter} | options
        return RUNTIMES[runtime](path, EngineOptions(**given))

    def _build(self, request: Any, *, progress: Callable[[str, float], None]) -> Built:
        self.built.append(request.runtime)
        module = sys.modules[request.runtime.replace("-", "_")]
        made, facts = compiler.compile_plan(describe(request.runtime, module), request, progress)
        return Built(made, 0.5, facts)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    world = World(monkeypatch)
    yield world
    assert fake.COMPLAINTS == []
    for driver in world.drivers:
        driver.close()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_host_path_gives_the_networks_answer(world: World, tmp_path: Path, runtime: str) -> None:
    path = graphs.modnet_like(tmp_path / "net.onnx")
    opened = world.open(path, runtime)
    assert (opened.name, opened.device, opened.precision) == (runtime, "cuda:0", "fp32")
    binding = opened.bind({"input": (1, 3, 32, 64)})
    session = reference(path)
    for frame in pictures(4, (1, 3, 32, 64)):
        found = binding.run({"input": frame})["output"]
        np.testing.assert_allclose(found, session.run(None, {"input": frame})[0], atol=1e-5)
    binding.buffer("input")[...] = 0.25
    again = binding.run({})["output"]
    np.testing.assert_allclose(again, session.run(None, {"input": np.full((1, 3, 32, 64), 0.25, np.float32)})[0],
                               atol=1e-5)  # fmt: skip
    binding.close()
    opened.close()


@pytest.mark.parametrize("seed", range(3))
def test_states_go_from_frame_to_frame_on_the_host_path(world: World, tmp_path: Path, seed: int) -> None:
    world.seed = seed
    path = make_models.recurrent(tmp_path / "rvm.onnx")
    opened = world.open(path, states=RVM_STATES, outputs=("pha",))
    binding = opened.bind(rvm_shapes(32, 48))
    binding.buffer("downsample_ratio")[...] = 0.5
    frames = pictures(6, (1, 3, 32, 48))
    wanted = rvm_reference(path, frames)
    for _ in range(2):
        for frame, want in zip(frames, wanted, strict=True):
            np.testing.assert_allclose(binding.run({"src": frame})["pha"], want, atol=1e-5)
        binding.reset()
    binding.close()
    opened.close()


def test_another_constant_is_another_plan_and_a_new_start(world: World, tmp_path: Path) -> None:
    path = make_models.recurrent(tmp_path / "rvm.onnx")
    opened = world.open(path, states=RVM_STATES, outputs=("pha",))
    binding = opened.bind(rvm_shapes(32, 48))
    assert world.built == []  # the ratio is not known yet
    frames = pictures(3, (1, 3, 32, 48))
    for ratio in (0.5, 0.25):
        binding.buffer("downsample_ratio")[...] = ratio
        for frame, want in zip(frames, rvm_reference(path, frames, ratio), strict=True):
            np.testing.assert_allclose(binding.run({"src": frame})["pha"], want, atol=1e-5)
    assert len(world.built) == 2
    binding.close()
    opened.close()


@pytest.mark.parametrize("graphs_too", [False, True])
@pytest.mark.parametrize("slots", [1, 2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_slots_hand_states_on_in_frame_order(
    world: World, tmp_path: Path, slots: int, seed: int, graphs_too: bool
) -> None:
    world.seed = seed
    path = make_models.recurrent(tmp_path / "rvm.onnx")
    opened = world.open(path, states=RVM_STATES, outputs=("pha",))
    driver = opened.driver
    network = opened.open_slots(rvm_shapes(32, 48), slots, driver, extra={"downsample_ratio": np.array([0.5], "f4")})
    assert network.is_recurrent
    assert network.is_capturable
    assert network.slots == slots
    frames = pictures(7, (1, 3, 32, 48), seed)
    found = run_slots(network, driver, frames, slots, graphs_too=graphs_too)
    for got, want in zip(found, rvm_reference(path, frames), strict=True):
        np.testing.assert_allclose(got, want, atol=1e-5)
    network.close()
    opened.close()


@pytest.mark.parametrize("slots", [1, 3])
def test_warm_runs_of_a_scenes_first_frame(world: World, tmp_path: Path, slots: int) -> None:
    path = make_models.recurrent(tmp_path / "rvm.onnx")
    opened = world.open(path, states=RVM_STATES, outputs=("pha",))
    driver = opened.driver
    network = opened.open_slots(rvm_shapes(32, 48), slots, driver, extra={"downsample_ratio": np.array([0.5], "f4")})
    first, second = pictures(2, (1, 3, 32, 48))
    stream = driver.stream()
    begin = slots - 1
    for slot in range(slots):
        network.input(slot).upload(second, stream)
        network.enqueue(slot, stream)  # another scene, whose states must not be seen
    network.input(begin).upload(first, stream)
    network.reset(begin, stream)
    for _ in range(2):
        network.enqueue(begin, stream)
        network.carry(begin, stream)
    network.enqueue(begin, stream)
    follower = (begin + 1) % slots
    result = np.empty(network.alpha(begin).shape, np.float32)
    network.alpha(begin).download(result, stream)
    network.input(follower).upload(second, stream)
    network.enqueue(follower, stream)
    then = np.empty_like(result)
    network.alpha(follower).download(then, stream)
    stream.synchronize()
    wanted = rvm_reference(path, [first, first, first, second])
    np.testing.assert_allclose(result, wanted[2], atol=1e-5)
    np.testing.assert_allclose(then, wanted[3], atol=1e-5)
    stream.close()
    network.close()
    opened.close()


@pytest.mark.parametrize("slots", [1, 3])
def test_states_are_zeros_when_slots_are_opened(world: World, tmp_path: Path, slots: int) -> None:
    path = make_models.recurrent(tmp_path / "rvm.onnx")
    opened = world.open(path, states=RVM_STATES, outputs=("pha",))
    ratio = {"downsample_ratio": np.array([0.5], "f4")}
    network = opened.open_slots(rvm_shapes(32, 48), slots, opened.driver, extra=ratio)
    frame = pictures(1, (1, 3, 32, 48))[0]
    stream = opened.driver.stream()
    network.input(0).upload(frame, stream)
    network.enqueue(0, stream)
    found = np.empty(network.alpha(0).shape, np.float32)
    network.alpha(0).download(found, stream)
    stream.synchronize()
    np.testing.assert_allclose(found, rvm_reference(path, [frame])[0], atol=1e-5)
    stream.close()
    network.close()
    opened.close()


def test_the_warm_up_leaves_no_trace_in_the_states(world: World, tmp_path: Path) -> None:
    """A state that grows from nothing, so that the run at opening would show if its states were kept."""
    sketch = graphs.Sketch()
    one = sketch.constant(np.float32(1))
    sketch.nodes.append(graphs.helper.make_node("Add", ["past", one], ["next"]))
    mean = sketch.add("ReduceMean", "input", axes=[1], keepdims=1)
    sketch.nodes.append(graphs.helper.make_node("Add", [mean, "next"], ["matte"]))
    sides = (1, 1, 8, 8)
    path = sketch.save(
        tmp_path / "count.onnx",
        [graphs.info("input", (1, 3, 8, 8)), graphs.info("past", sides)],
        [graphs.info("matte", sides), graphs.info("next", sides)],
    )
    for slots in (1, 2, 3):
        opened = world.open(path, states=(("past", "next"),), outputs=("matte",))
        network = opened.open_slots({"input": (1, 3, 8, 8), "past": sides}, slots, opened.driver)
        stream = opened.driver.stream()
        found = np.empty(sides, np.float32)
        for at in range(5):
            network.enqueue(at % slots, stream)
            network.alpha(at % slots).download(found, stream)
            stream.synchronize()
            assert (found == at + 1).all(), (slots, at)
        stream.close()
        network.close()
        opened.close()


def test_a_plan_for_a_range_of_shapes_is_used_where_there_is_one(world: World, tmp_path: Path) -> None:
    path = graphs.convolutions(tmp_path / "net.onnx", sides=(1, 3, "height", "width"))
    opened = world.open(path)
    shapes = [{"input": (1, 3, side, 2 * side)} for side in (32, 48, 64)]
    ranged = Profile.dynamic(*shapes)
    obtain(replace(opened.wish(shapes[1], {}), dynamic=ranged), store=opened.store, reporter=world.reporter)
    session = reference(path)
    for given in shapes:
        binding = opened.bind(given)
        frame = pictures(1, given["input"])[0]
        want = session.run(None, {"input": frame})[0]
        np.testing.assert_allclose(binding.run({"input": frame})["matte"], want, atol=1e-5)
        binding.close()
    assert len(world.built) == 1
    opened.bind({"input": (1, 3, 96, 96)}).close()
    assert len(world.built) == 2
    opened.close()


def test_what_cuda_says_is_no_reason_for_another_build(world: World, tmp_path: Path) -> None:
    said = {
        "Error Code 1: Cuda Runtime (cudaError 35: CUDA driver version is insufficient)": "CUDA error 35",
        "Error Code 2: OutOfMemory (Requested size was 12 bytes)": "not enough memory on the GPU",
        "cudaError 2: out of memory": "not enough memory on the GPU",
    }
    for reason, why in said.items():
        with pytest.raises(DeviceError, match=why):
            plan._check_reason(reason, "the plan of x", 12040)
    plan._check_reason("The engine plan file is generated on an incompatible device", "the plan of x", 12040)


def test_precisions_that_plans_have_not_end_with_2(world: World, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no precision 'bf16' for plans"):
        world.open(graphs.convolutions(tmp_path / "net.onnx"), computes_in="bf16")


def test_a_network_without_memory_ignores_reset_and_carry(world: World, tmp_path: Path) -> None:
    path = graphs.convolutions(tmp_path / "net.onnx")
    opened = world.open(path, "tensorrt")
    network = opened.open_slots({"input": (1, 3, 32, 32)}, 3, opened.driver)
    assert not network.is_recurrent
    frames = pictures(8, (1, 3, 32, 32))
    session = reference(path)
    found = run_slots(network, opened.driver, frames, 3, graphs_too=False)
    stream = opened.driver.stream()
    network.carry(0, stream)
    stream.synchronize()
    stream.close()
    for got, frame in zip(found, frames, strict=True):
        np.testing.assert_allclose(got, session.run(None, {"input": frame})[0], atol=1e-5)
    network.close()
    opened.close()


def test_runs_that_overlap_are_noticed(world: World, tmp_path: Path) -> None:
    """The fake's own test: slots share scratch memory, so their runs must not overlap."""
    noticed = 0
    for seed in range(12):
        world.seed = seed
        opened = world.open(graphs.convolutions(tmp_path / "net.onnx"), "tensorrt")
        network = opened.open_slots({"input": (1, 3, 32, 32)}, 2, opened.driver)
        streams = [opened.driver.stream() for _ in range(2)]
        for _ in range(3):
            for slot, stream in enumerate(streams):
                network.enqueue(slot, stream)
        for stream in streams:
            stream.synchronize()
            stream.close()
        noticed += bool(fake.COMPLAINTS)
        fake.COMPLAINTS.clear()
        network.close()
        opened.close()
    assert noticed > 0


def test_only_wanted_outputs_are_fetched(world: World, tmp_path: Path) -> None:
    opened = world.open(graphs.u2net_like(tmp_path / "net.onnx"), outputs=("d0",))
    binding = opened.bind({"input.1": (1, 3, 45, 45)})
    assert list(binding.run({"input.1": pictures(1, (1, 3, 45, 45))[0]})) == ["d0"]
    binding.close()
    opened.close()


def test_half_precision_is_made_and_read_back(world: World, tmp_path: Path) -> None:
    path = graphs.convolutions(tmp_path / "net.onnx", name="picture")
    opened = world.open(path, computes_in="fp16")
    assert opened.precision == "fp16"
    binding = opened.bind({"picture": (1, 3, 32, 32)})
    assert binding.buffer("picture").dtype == np.float32  # the file's own type, whatever it computes in
    frame = pictures(1, (1, 3, 32, 32))[0]
    found = binding.run({"picture": frame})["matte"]
    np.testing.assert_allclose(found, reference(path).run(None, {"picture": frame})[0], atol=2e-3)
    binding.close()
    opened.close()


def test_a_half_file_is_fed_in_half(world: World, tmp_path: Path) -> None:
    path = graphs.convolutions(tmp_path / "net.onnx", np.float16)
    opened = world.open(path, precision="fp16")
    binding = opened.bind({"input": (1, 3, 32, 32)})
    assert binding.buffer("input").dtype == np.float16
    frame = pictures(1, (1, 3, 32, 32))[0].astype(np.float16)
    found = binding.run({"input": frame})["matte"]
    np.testing.assert_allclose(found, reference(path).run(None, {"input": frame})[0], atol=2e-3)
    binding.close()
    opened.close()


def test_a_plan_is_built_once_and_the_reason_is_said(world: World, tmp_path: Path) -> None:
    path = graphs.convolutions(tmp_path / "net.onnx")
    for at in range(3):
        opened = world.open(path, "tensorrt")
        assert opened.is_built({"input": (1, 3, 32, 32)}, {}) == (at > 0)
        for _ in range(2):
            opened.bind({"input": (1, 3, 32, 32)}).close()
        opened.close()
        assert len(world.built) == 1, at
    said = [note for note in world.reporter.notes if "built now" in note]
    assert len(said) == 1
    assert "net for TensorRT 11.4.0 in fp32" in said[0]


@pytest.mark.parametrize("harm", ["cut", "flipped", "foreign", "empty"])
def test_a_damaged_plan_is_built_again_with_a_word(world: World, tmp_path: Path, harm: str) -> None:
    path = graphs.convolutions(tmp_path / "net.onnx")
    opened = world.open(path, "tensorrt")
    opened.bind({"input": (1, 3, 32, 32)}).close()
    opened.close()
    (kept,) = PlanStore().folder.glob("*.plan")
    data = bytearray(kept.read_bytes())
    data[-20] ^= 1
    kept.write_bytes({"cut": bytes(data[:-7]), "flipped": bytes(data), "foreign": b"ftrt" * 99, "empty": b""}[harm])
    world.reporter.notes.clear()
    opened = world.open(path, "tensorrt")
    opened.bind({"input": (1, 3, 32, 32)}).close()
    opened.close()
    assert len(world.built) == 2
    assert any("built now" in note and kept.name in note for note in world.reporter.notes)


def test_a_plan_of_another_version_is_not_even_offered(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = graphs.convolutions(tmp_path / "net.onnx")
    for number in ("11.4.0", "11.5.0"):
        monkeypatch.setitem(sys.modules, "tensorrt", fake.namespace("tensorrt", number))
        opened = world.open(path, "tensorrt")
        opened.bind({"input": (1, 3, 32, 32)}).close()
        opened.close()
    assert len(world.built) == 2
    assert any("11.4.0, and 11.5.0 is installed" in note for note in world.reporter.notes)


def test_a_plan_that_the_library_refuses_is_built_again_once(world: World, tmp_path: Path) -> None:
    path = graphs.convolutions(tmp_path / "net.onnx")
    opened = world.open(path, "tensorrt")
    opened.bind({"input": (1, 3, 32, 32)}).close()
    wish = opened.wish({"input": (1, 3, 32, 32)}, {})
    opened.close()
    store = PlanStore()
    key = opening.wish_key(wish, opening.prepared_graph(wish))
    store.put(key, b"FAKEPLAN" + (2).to_bytes(4, "little") + b"{}", {})
    opened = world.open(path, "tensorrt")
    opened.bind({"input": (1, 3, 32, 32)}).close()
    opened.close()
    assert len(world.built) == 2
    assert any("is refused by TensorRT 11.4.0" in note for note in world.reporter.notes)


def test_a_library_that_refuses_its_own_plan_is_a_device_error(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = b"FAKEPLAN" + (2).to_bytes(4, "little") + b"{}"
    monkeypatch.setattr(opening, "build_plan", lambda request, *, progress: Built(nothing, 0.1, {}))
    opened = world.open(graphs.convolutions(tmp_path / "net.onnx"), "tensorrt")
    with pytest.raises(DeviceError, match="cannot load it"):
        opened.bind({"input": (1, 3, 32, 32)})
    opened.close()


def test_a_plan_that_computes_in_something_else_is_refused(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_TRT", "int8")
    opened = world.open(graphs.convolutions(tmp_path / "net.onnx"), "tensorrt")
    with pytest.raises(DeviceError, match="1 layers in int8"):
        opened.bind({"input": (1, 3, 32, 32)})
    opened.close()


def test_rtx_keeps_the_kernels_that_it_compiled(world: World, tmp_path: Path) -> None:
    path = graphs.convolutions(tmp_path / "net.onnx")
    for _ in range(2):
        opened = world.open(path)
        opened.bind({"input": (1, 3, 32, 32)}).close()
        opened.close()
    parts = sorted(entry.header.key.part for entry in PlanStore().entries() if entry.header)
    assert parts == ["plan", "runtime-cache"]
    assert len([note for note in world.reporter.notes if "compiling kernels for this GPU" in note]) == 1


def test_a_chip_that_rtx_does_not_know_is_passed_over(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = sys.modules["tensorrt_rtx"]
    members = {name: value for name, value in module.ComputeCapability.__members__.items() if name != "SM00"}
    monkeypatch.setattr(module, "ComputeCapability", type("Capability", (), {"__members__": members}))
    with pytest.raises(DeviceError, match=r"knows the chips sm_75, sm_80, sm_89.*--runtime tensorrt"):
        world.open(graphs.convolutions(tmp_path / "net.onnx"))


@pytest.mark.parametrize("device", ["cpu", "auto", "gpu", "cuda:x", "cuda:all"])
def test_other_devices_end_with_5(world: World, tmp_path: Path, device: str) -> None:
    with pytest.raises(DeviceError, match="NVIDIA GPUs only"):
        world.open(graphs.convolutions(tmp_path / "net.onnx"), device=device)


def test_states_that_do_not_pair_are_a_model_error(world: World, tmp_path: Path) -> None:
    opened = world.open(graphs.convolutions(tmp_path / "net.onnx"), states=(("input", "matte"),))
    with pytest.raises(ModelError):
        opened.open_slots({"input": (1, 3, 32, 32)}, 2, opened.driver)
    opened.close()


def test_shapes_that_the_graph_has_not_are_a_value_error(world: World, tmp_path: Path) -> None:
    opened = world.open(graphs.convolutions(tmp_path / "net.onnx"))
    with pytest.raises(ValueError, match="input"):
        opened.bind({"input": (1, 3, 64, 64)})
    with pytest.raises(ValueError, match="at least one slot"):
        opened.open_slots({"input": (1, 3, 32, 32)}, 0, opened.driver)
    opened.close()


def test_the_device_runs_out_of_nothing_of_ours(world: World, tmp_path: Path) -> None:
    """Everything that bindings and slots open is closed: the driver would warn of what is left, and warnings fail."""
    path = graphs.convolutions(tmp_path / "net.onnx")
    opened = world.open(path)
    for _ in range(3):
        binding = opened.bind({"input": (1, 3, 32, 32)})
        binding.run({"input": pictures(1, (1, 3, 32, 32))[0]})
        binding.close()
        opened.open_slots({"input": (1, 3, 32, 32)}, 2, opened.driver).close()
    opened.close()
