"""The device's path on a real GPU, with the kernels that NVRTC makes for it and a network on the CPU.

    LIVEMATTE_REQUIRE=gpu python -m pytest tests/matting/device/test_device_gpu.py -v

LIVEMATTE_TEST_CUDA names the driver layer (cuda-core, pycuda; null with the CPU's kernels tries these tests
themselves). Without a GPU they are skipped, with the reason.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from cases import case, difference, run
from host_reference import HostReference
from rigging import Clip, load, make
from shim.build import shim_library
from staged_network import StagedEngine
from surfaces import Decoder

from livematte.config import MattingSettings
from livematte.errors import DeviceError
from livematte.models.load import LoadedModel
from livematte.planes import plane_arrays
from livematte.runtimes.cuda.base import Driver
from livematte.runtimes.cuda.choice import open_driver
from livematte.runtimes.kernels import KernelLibrary
from livematte.runtimes.kernels.compile import library

pytestmark = pytest.mark.gpu
ROUNDS = int(os.environ.get("LIVEMATTE_DEVICE_FRAMES", "300"))


@pytest.fixture
def gpu(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Driver, KernelLibrary]]:
    """The driver and the kernels for its chip."""
    name = os.environ.get("LIVEMATTE_TEST_CUDA", "cuda-core")
    # One cache for all of them: else the kernels would be compiled for each test.
    monkeypatch.setenv("LIVEMATTE_CACHE", str(tmp_path_factory.getbasetemp() / "cubins"))
    try:
        driver = open_driver(name)
    except DeviceError as error:
        if "gpu" in os.environ.get("LIVEMATTE_REQUIRE", "").split(","):
            pytest.fail(str(error))
        pytest.skip(str(error))
    kernels = shim_library(driver) if name == "null" else library(driver)
    yield driver, kernels
    kernels.close()
    driver.close()


def staged(loaded: LoadedModel) -> LoadedModel:
    loaded.engine = StagedEngine(loaded.path, "matte", loaded.engine.states)
    return loaded


def test_it_equals_the_reference(gpu, tmp_path: Path) -> None:
    worst = {}
    for seed in range(24):
        given = case(seed)
        loaded = staged(given.load(tmp_path))
        matting = given.matting(loaded, *gpu)
        worst[seed] = difference(run(matting, given.clip), given.expected(loaded))
        matting.close()
    assert {seed: apart for seed, apart in worst.items() if apart > 1} == {}


def test_a_picture_of_full_size(gpu, tmp_path: Path) -> None:
    clip = Clip(1, 1280, 720, count=3, cuts=())
    loaded = staged(load(tmp_path))
    matting = make(loaded, *gpu, clip)
    matted = run(matting, clip)
    matting.close()
    expected = HostReference(loaded, MattingSettings(), clip.info(), wide=False, foreground=True).run(clip.frames())
    assert difference(matted, expected) <= 1


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("sw_format", ["nv12", "p010le"])
def test_pictures_that_lie_on_the_device(sw_format: str, rotation: int, gpu, tmp_path: Path) -> None:
    driver, kernels = gpu
    clip = Clip(2, 96, 64, {"nv12": "yuv420p", "p010le": "yuv420p10le"}[sw_format], count=8, cuts=(5,))
    loaded = staged(load(tmp_path))
    matting = make(loaded, driver, kernels, clip)
    decoder = Decoder(driver, sw_format, rotation=rotation)
    matted = [one for frame in decoder.frames(clip.frames()) for one in matting.push([frame])] + matting.flush()
    matting.close()
    gc.collect()
    assert decoder.released == 8
    decoder.close()
    expected = HostReference(loaded, MattingSettings(), clip.info(), wide=False, foreground=True).run(clip.frames())
    assert difference(matted, expected) <= 1


def test_one_slot_and_three_give_the_same(gpu, tmp_path: Path) -> None:
    clip = Clip(3, 320, 180, count=12, cuts=(7,))
    results = []
    for slots in (1, 3):
        matting = make(staged(load(tmp_path, warm_runs=2)), *gpu, clip, slots=slots)
        results.append([[one.matte.alpha, *plane_arrays(one.matte.foreground)] for one in run(matting, clip)])
        matting.close()
    for first, second in zip(*results, strict=True):
        assert all(np.array_equal(one, two) for one, two in zip(first, second, strict=True))


def test_many_frames_take_no_memory(gpu, tmp_path: Path) -> None:
    driver, kernels = gpu
    clip = Clip(4, 320, 180, count=10, cuts=())
    matting = make(staged(load(tmp_path, recurrent=False)), driver, kernels, clip)
    frames = clip.frames()
    free = []
    for number in range(ROUNDS):
        matting.push([frames[number % 10]])
        if number in (20, ROUNDS - 1):
            free.append(driver.free_bytes())
    matting.close()
    assert free[1] >= free[0]
