"""Real plans by TensorRT-RTX, which needs no GPU to build them: our own network, and stand-ins for others."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import make_models
import numpy as np
import pytest
import trt_graphs as graphs
from runtime_helpers import RVM_STATES, rvm_shapes

from livematte import resources
from livematte.errors import DeviceError, ModelError, UsageError
from livematte.models import catalogue
from livematte.models.contract import Contract, tie
from livematte.models.sizes import network_size
from livematte.reporting import ListReporter
from livematte.runtimes.graphs import GraphFacts, facts_of
from livematte.runtimes.onnx_header import read_header
from livematte.runtimes.plans import PlanStore
from livematte.runtimes.tensorrt.builder import BuildRequest, build_plan
from livematte.runtimes.tensorrt.library import load
from livematte.runtimes.tensorrt.opening import Obtained, PlanWish, obtain
from livematte.runtimes.tensorrt.profile import Profile, dynamic_profile

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None,
    reason="TensorRT-RTX is not installed: pip install 'livematte[rtx]'",
)

OURS = resources.root() / "engines" / "livematte-s.onnx"


def our_contract() -> Contract:
    return tie(catalogue.by_name("livematte-s").graph, read_header(OURS), "livematte-s")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> PlanStore:
    """One for all tests here: a plan that two of them want is built once."""
    return PlanStore(tmp_path_factory.mktemp("plans"))


@pytest.fixture
def get(store: PlanStore) -> Callable[[PlanWish], Obtained]:
    return lambda wish: obtain(wish, store=store, reporter=ListReporter())


def our_wish(precision: str, **changes: object) -> PlanWish:
    contract = our_contract()
    spec = contract.graph.input
    assert spec is not None
    facts, shapes = facts_of(contract, network_size(spec.size, 1920, 1080))
    given = {"onnx": OURS, "runtime": "tensorrt-rtx", "precision": precision, "shapes": shapes, "facts": facts,
             "targets": ("sm_89",), "label": "livematte-s"} | changes  # fmt: skip
    return PlanWish(**given)


@pytest.mark.parametrize("precision", ["fp32", "tf32", "fp16"])
def test_our_own_network_for_one_size(store: PlanStore, precision: str) -> None:
    reporter = ListReporter()
    got = obtain(our_wish(precision), store=store, reporter=reporter)
    assert not got.from_cache
    assert len(got.plan) > 1 << 20
    kind = "fp16" if precision == "fp16" else "fp32"
    assert max(got.facts["types"], key=got.facts["types"].get) == kind
    assert got.facts["inputs"] == {"rgb": "float (1, 3, 256, 448)"}
    assert any("livematte-s for TensorRT-RTX" in note for note in reporter.notes)
    reporter.notes.clear()
    again = obtain(our_wish(precision), store=store, reporter=reporter)
    assert again.from_cache
    assert again.plan == got.plan
    assert reporter.notes == []


def test_half_precision_makes_a_smaller_plan_with_its_islands_listed(get: Callable[[PlanWish], Obtained]) -> None:
    full = get(our_wish("fp32"))
    half = get(our_wish("fp16"))
    assert len(half.plan) < 0.8 * len(full.plan)
    assert isinstance(half.facts["islands"], list)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_our_own_network_for_a_range_of_sizes(get: Callable[[PlanWish], Obtained], precision: str) -> None:
    got = get(our_wish(precision, dynamic=dynamic_profile(our_contract(), 1920, 1080)))
    shapes = json.loads(got.key.profile)["rgb"]
    assert len(shapes) == 3
    assert shapes[1] == [1, 3, 256, 448]
    assert -1 in (int(side) for side in got.facts["inputs"]["rgb"].split("(")[1].rstrip(")").split(","))


def test_several_chips_in_one_plan_and_another_key_for_each(get: Callable[[PlanWish], Obtained]) -> None:
    one = get(our_wish("fp16"))
    several = get(our_wish("fp16", targets=("sm_86", "sm_89", "sm_120")))
    assert several.key != one.key
    assert len(several.plan) >= len(one.plan)
    portable = get(our_wish("fp16", targets=()))
    assert portable.key not in (one.key, several.key)


def test_data_centre_chips_are_refused(get: Callable[[PlanWish], Obtained]) -> None:
    with pytest.raises(UsageError, match=r"sm_90.*--runtime tensorrt"):
        get(our_wish("fp32", targets=("sm_90",)))
    assert "sm_89" in load("tensorrt-rtx").targets()
    assert "sm_90" not in load("tensorrt-rtx").targets()


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_modnets_operators(get: Callable[[PlanWish], Obtained], tmp_path: Path, precision: str) -> None:
    path = graphs.modnet_like(tmp_path / "modnet.onnx")
    wish = PlanWish(
        path, "tensorrt-rtx", precision, {"input": (1, 3, 96, 160)}, GraphFacts(outputs=("output",)), ("sm_89",)
    )
    got = get(wish)
    if precision == "fp16":
        assert any("instancenorm" in " ".join(pair) for pair in got.facts["islands"])


def test_modnets_operators_with_free_sides(tmp_path: Path) -> None:
    path = graphs.modnet_like(tmp_path / "modnet.onnx", (1, 3, "height", "width"))
    ranged = Profile.dynamic({"input": (1, 3, 64, 64)}, {"input": (1, 3, 96, 160)}, {"input": (1, 3, 320, 320)})
    built = build_plan(BuildRequest(path, "tensorrt-rtx", ranged, "fp32", ("sm_89",)))
    assert built.facts["inputs"] == {"input": "float (1, 3, -1, -1)"}


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_u2nets_operators_and_one_output_of_many(
    get: Callable[[PlanWish], Obtained], tmp_path: Path, precision: str
) -> None:
    path = graphs.u2net_like(tmp_path / "u2net.onnx")
    wish = PlanWish(
        path, "tensorrt-rtx", precision, {"input.1": (1, 3, 45, 45)}, GraphFacts(outputs=("d0",)), ("sm_89",)
    )
    got = get(wish)
    assert list(got.facts["outputs"]) == ["d0"]


def test_a_recurrent_network_gets_its_ratio_folded_in(get: Callable[[PlanWish], Obtained], tmp_path: Path) -> None:
    path = make_models.recurrent(tmp_path / "rvm.onnx")
    facts = GraphFacts(states=RVM_STATES, outputs=("pha",), constants={"downsample_ratio": 0.5})
    got = get(PlanWish(path, "tensorrt-rtx", "fp32", rvm_shapes(64, 96), facts, ("sm_89",)))
    inputs = got.facts["inputs"]
    assert "downsample_ratio" not in inputs
    assert inputs["r1i"] == "float (1, 16, 16, 24)"
    assert sorted(got.facts["outputs"]) == ["pha", "r1o", "r2o", "r3o", "r4o"]


def test_a_ratio_that_is_not_folded_in_is_refused_with_its_name(tmp_path: Path) -> None:
    path = make_models.recurrent(tmp_path / "rvm.onnx")
    profile = Profile.static(rvm_shapes(64, 96))
    with pytest.raises((ModelError, DeviceError), match=r"TensorRT-RTX|downsample_ratio"):
        build_plan(BuildRequest(path, "tensorrt-rtx", profile, "fp32", ("sm_89",)))


def test_quantized_networks_parse_and_build(tmp_path: Path) -> None:
    path = graphs.quantized(tmp_path / "int8.onnx")
    built = build_plan(
        BuildRequest(path, "tensorrt-rtx", Profile.static({"input": (1, 3, 32, 32)}), "int8", ("sm_89",))
    )
    assert built.facts["types"] == {"int8": 1, "fp32": 1}


def test_a_quantized_network_computes_in_half_around_its_int8(
    get: Callable[[PlanWish], Obtained], tmp_path: Path
) -> None:
    path = graphs.quantized(tmp_path / "int8.onnx")
    got = get(PlanWish(path, "tensorrt-rtx", "int8", {"input": (1, 3, 32, 32)}, GraphFacts(), ("sm_89",)))
    assert got.facts["types"] == {"int8": 1, "fp16": 1}


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_published_rvm_becomes_a_plan(get: Callable[[PlanWish], Obtained], shared: Path, precision: str) -> None:
    path = shared / "models" / "rvm_mobilenetv3_fp32.onnx"
    contract = tie(catalogue.by_name("rvm-mobilenetv3").graph, read_header(path), "rvm")
    spec = contract.graph.input
    assert spec is not None
    facts, shapes = facts_of(contract, network_size(spec.size, 640, 360))
    got = get(PlanWish(path, "tensorrt-rtx", precision, shapes, facts, ("sm_89",)))
    assert got.facts["types"] == {precision: 78}
    assert got.facts["outputs"].keys() == {"pha", "r1o", "r2o", "r3o", "r4o"}


def test_an_operator_that_it_lacks_is_named_with_its_node(tmp_path: Path) -> None:
    path = graphs.deformable(tmp_path / "deform.onnx")
    request = BuildRequest(path, "tensorrt-rtx", Profile.static({"input": (1, 3, 16, 16)}), "fp32", ("sm_89",))
    with pytest.raises(ModelError, match=r"'/deformed'.*DeformConv|DeformConv.*'/deformed'"):
        build_plan(request)


def test_progress_rises_to_the_end(tmp_path: Path) -> None:
    path = graphs.convolutions(tmp_path / "net.onnx", np.float16)
    said: list[float] = []
    request = BuildRequest(path, "tensorrt-rtx", Profile.static({"input": (1, 3, 32, 32)}), "fp16", ("sm_89",))
    build_plan(request, progress=lambda _stage, fraction: said.append(fraction))
    assert said == sorted(said)
    assert said[0] == 0.0
    assert said[-1] == 1.0
    assert len(said) > 3
