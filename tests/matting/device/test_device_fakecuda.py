"""The device's path over fakecuda: CUDA's own rules, in child processes."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import mutants
import pytest

from clipmaker import Clip, write_clip

DRIVER = "cuda-core"
SEEDS, PARTS = 100, 5
CHILD = "matting.device.over_fakecuda:"
needs_bindings = pytest.mark.skipif(
    importlib.util.find_spec("cuda") is None, reason="cuda-bindings is not installed (pip install cuda-core)"
)
pytestmark = needs_bindings


def check(found: dict, seeds: int) -> None:
    assert found["damage"] == []
    assert found["live"] == {}
    assert found["pageable"] == 0
    assert {seed: apart for seed, apart in found["worst"].items() if apart > 1} == {}
    assert found["seeds"] == seeds


def test_it_equals_the_reference(fakecuda) -> None:
    check(fakecuda.call(f"{CHILD}many", seeds=list(range(3)), driver=DRIVER), 3)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_it_equals_the_reference_for_many_seeds(part: int, fakecuda) -> None:
    seeds = list(range(part, SEEDS, PARTS))
    check(fakecuda.call(f"{CHILD}many", seeds=seeds, driver=DRIVER), SEEDS // PARTS)


def test_pictures_that_lie_on_the_device(fakecuda) -> None:
    found = fakecuda.call(f"{CHILD}from_surfaces", first=5, driver=DRIVER)
    assert found["damage"] == []
    assert found["worst"] <= 1


@pytest.mark.parametrize("rotation", [0, 90])
def test_a_clip_by_the_gpus_decoder(rotation: int, fakecuda, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", Clip(width=96, height=64, frames=6, rotation=rotation))
    found = fakecuda.call(f"{CHILD}from_the_decoder", path=str(path), seeds=[1, 2], driver=DRIVER, surfaces=4)
    assert found["decoder"].endswith("(NVDEC)")
    assert found["worst"] <= 1
    assert found["damage"] == []
    assert found["across"] == 2 * 6
    assert len(found["pts"]) == 6


@pytest.mark.slow
def test_a_surface_that_is_given_back_too_early_is_noticed(fakecuda) -> None:
    assert fakecuda.call(f"{CHILD}from_surfaces", first=5, driver=DRIVER, early=True)["worst"] > 1


@pytest.mark.slow
@pytest.mark.parametrize(("lane", "mark"), [*mutants.JOINS, *(("host", mark) for mark in mutants.ARRIVALS)])
def test_a_wait_that_is_removed_is_noticed(lane: str, mark: str, fakecuda) -> None:
    assert fakecuda.call(f"{CHILD}mutant", lane=lane, mark=mark, driver=DRIVER, seeds=list(range(8))) > 1


@pytest.mark.parametrize(
    ("call", "code"), [("cuEventSynchronize", 700), ("cuGraphLaunch", 719), ("cuMemcpyHtoDAsync", 999)]
)
def test_a_dead_context_is_told_once(call: str, code: int, fakecuda) -> None:
    pushed, flushed, closed, again = fakecuda.call(f"{CHILD}dead_context", call=call, code=code, driver=DRIVER)["said"]
    assert str(code) in pushed
    assert flushed == pushed
    assert closed == again == ""
