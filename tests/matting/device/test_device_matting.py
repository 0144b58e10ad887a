"""The device's path over the null driver: the same numbers as the references, however late work runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cases import case, difference, run
from cpu_network import CpuEngine
from host_reference import HostReference
from PIL import Image
from rigging import Clip, load, make
from shim.build import shim_library

from livematte.config import MattingSettings
from livematte.errors import DeviceError, UsageError
from livematte.matting.device.backdrop import ReadyCompositor
from livematte.models.load import LoadedModel
from livematte.planes import plane_arrays
from livematte.runtimes.cuda.base import Driver
from livematte.runtimes.cuda.null import open_null
from livematte.stats import Stats

SEEDS, PARTS = 100, 5


def outcome(seed: int, machine, folder: Path) -> float:
    given = case(seed)
    loaded = given.load(folder)
    driver, kernels = machine(seed)
    matting = given.matting(loaded, driver, kernels)
    matted = run(matting, given.clip)
    matting.close()
    return difference(matted, given.expected(loaded))


@pytest.mark.parametrize("seed", range(6))
def test_it_equals_the_reference(seed: int, machine, tmp_path: Path) -> None:
    assert outcome(seed, machine, tmp_path) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_it_equals_the_reference_for_many_seeds(part: int, machine, tmp_path: Path) -> None:
    worst = {seed: outcome(seed, machine, tmp_path) for seed in range(part, SEEDS, PARTS)}
    assert len(worst) == SEEDS // PARTS
    assert {seed: apart for seed, apart in worst.items() if apart > 1} == {}


@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("temporal", ["none", "ema", "adaptive", "one-euro"])
@pytest.mark.parametrize("refine", ["bicubic", "guided"])
def test_half_precision_inside_a_letterbox(refine: str, temporal: str, slots: int, machine, tmp_path: Path) -> None:
    clip = Clip(20, 80, 34, count=4, cuts=(2,))
    loaded = load(tmp_path, half=True, boxed=True)
    settings = {"temporal": temporal, "refine": refine}
    matting = make(loaded, *machine(slots), clip, slots=slots, **settings)
    matted = run(matting, clip)
    matting.close()
    told = MattingSettings(**settings)
    expected = HostReference(loaded, told, clip.info(), wide=False, foreground=True).run(clip.frames())
    assert difference(matted, expected) <= 1


@pytest.mark.parametrize("capturable", [True, False])
@pytest.mark.parametrize("temporal", ["ema", "adaptive", "one-euro"])
def test_one_slot_and_three_give_the_same(temporal: str, capturable: bool, machine, tmp_path: Path) -> None:
    clip = Clip(5, 64, 48, count=7, cuts=(4,), gaps={2: 3})
    loaded = load(tmp_path, capturable=capturable, warm_runs=2, temporal=temporal)
    results = []
    for slots in (1, 2, 3, 5):
        matting = make(loaded, *machine(slots), clip, slots=slots)
        assert matting.delay_frames == slots - 1
        matted = run(matting, clip)
        assert matting.cuts == 1
        matting.close()
        assert [one.frame.index for one in matted] == list(range(7))
        results.append([[one.matte.alpha, *plane_arrays(one.matte.foreground)] for one in matted])
    for other in results[1:]:
        for first, second in zip(results[0], other, strict=True):
            assert all(np.array_equal(one, two) for one, two in zip(first, second, strict=True))


def test_frames_are_held_back_by_the_slots_alone(machine, tmp_path: Path) -> None:
    clip = Clip(1, 64, 48, count=5)
    matting = make(load(tmp_path), *machine(1), clip, slots=3)
    assert [len(matting.push([frame])) for frame in clip.frames()] == [0, 0, 1, 1, 1]
    assert len(matting.flush()) == 2
    assert matting.flush() == []
    matting.close()


def test_each_matte_stays_what_it_was(machine, tmp_path: Path) -> None:
    """Memory is used again only when nobody looks at it."""
    clip = Clip(2, 64, 48, count=10)
    matting = make(load(tmp_path), *machine(2), clip)
    matted, copies = [], []
    for frame in clip.frames():
        for one in matting.push([frame]):
            matted.append(one)
            copies.append(one.matte.alpha.copy())
    matting.close()
    assert all(np.array_equal(one.matte.alpha, copy) for one, copy in zip(matted, copies, strict=True))


def test_another_size_in_the_middle(machine, tmp_path: Path) -> None:
    first, second = Clip(3, 64, 48, count=4, cuts=()), Clip(4, 80, 36, count=4, cuts=())
    loaded = load(tmp_path)
    matting = make(loaded, *machine(3), first)
    matted = [one for frame in first.frames() + second.frames() for one in matting.push([frame])] + matting.flush()
    matting.close()
    expected = []
    for clip in (first, second):
        expected += HostReference(loaded, MattingSettings(), clip.info(), wide=False, foreground=True).run(
            clip.frames()
        )
    assert difference(matted, expected) <= 1


def test_a_reset_forgets(machine, tmp_path: Path) -> None:
    clip = Clip(6, 64, 48, count=4, cuts=())
    loaded = load(tmp_path)
    matting = make(loaded, *machine(4), clip)
    matting.push(clip.frames())
    matting.reset()
    again = run(matting, clip)
    matting.close()
    expected = HostReference(loaded, MattingSettings(), clip.info(), wide=False, foreground=True).run(clip.frames())
    assert difference(again, expected) <= 1


def test_settings_change_between_two_frames(machine, tmp_path: Path) -> None:
    clip = Clip(7, 64, 48, count=6, cuts=())
    loaded = load(tmp_path)
    matting = make(loaded, *machine(5), clip)
    frames = clip.frames()
    old, new = MattingSettings(), MattingSettings(shrink=40.0, levels=(0.1, 0.9), refine="guided", despill=0.5)
    matted = [one for frame in frames[:3] for one in matting.push([frame])]
    matting.change(new)
    matted += [one for frame in frames[3:] for one in matting.push([frame])] + matting.flush()
    matting.close()
    reference = HostReference(loaded, old, clip.info(), wide=False, foreground=True)
    expected = reference.run(frames[:3])
    reference.settings, reference.refine = new, "guided"
    expected += reference.run(frames[3:])
    assert difference(matted, expected) <= 1


def test_another_smoothing_begins_anew_and_the_network_goes_on(machine, tmp_path: Path) -> None:
    clip = Clip(8, 64, 48, count=6, cuts=())
    loaded = load(tmp_path)
    matting = make(loaded, *machine(6), clip)
    frames = clip.frames()
    matted = [one for frame in frames[:3] for one in matting.push([frame])]
    matting.change(MattingSettings(temporal="ema", keep_background=True))
    matted += [one for frame in frames[3:] for one in matting.push([frame])] + matting.flush()
    matting.close()
    reference = HostReference(loaded, MattingSettings(), clip.info(), wide=False, foreground=True)
    expected = reference.run(frames[:3])
    reference.settings = MattingSettings(temporal="ema", keep_background=True)
    reference.smoothing, reference.last_seconds = "ema", None
    expected += reference.run(frames[3:])
    assert difference(matted, expected) <= 1
    assert all(one.matte.foreground is one.frame.picture for one in matted[3:])


def test_what_cannot_be_changed_to_is_refused(machine, tmp_path: Path) -> None:
    clip = Clip(9, 64, 48, count=2)
    matting = make(load(tmp_path), *machine(7), clip)
    for wrong in ({"subject": "largest"}, {"temporal": "ofd"}, {"levels": (0.9, 0.1)}, {"region": "1,2"}):
        with pytest.raises(UsageError):
            matting.change(MattingSettings(**wrong))
    assert len(run(matting, clip)) == 2
    matting.close()


@pytest.mark.parametrize("wide", [False, True])
def test_composites_over_a_picture(wide: bool, machine, tmp_path: Path) -> None:
    picture = tmp_path / "behind.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)).save(picture)
    clip = Clip(10, 64, 48, count=4)
    loaded = load(tmp_path)
    matting = make(loaded, *machine(8), clip, wide=wide, background=str(picture), foreground=False)
    matted = run(matting, clip)
    copies = matting.copies
    matting.close()
    reference = HostReference(
        loaded, MattingSettings(), clip.info(), wide=wide, foreground=False, background=str(picture)
    )
    assert difference(matted, reference.run(clip.frames())) <= 1
    assert all(one.matte.foreground is None for one in matted)
    assert ReadyCompositor().composite(matted[0]).picture is matted[0].matte.composite
    assert copies.up == 4 + 4 + 3  # pictures, blocks, and the background once a slot
    assert copies.down == 3 * 4  # statistics, alpha, composite


def test_a_blur_that_is_too_narrow_is_refused(machine, tmp_path: Path) -> None:
    clip = Clip(11, 64, 48, count=1)
    matting = make(load(tmp_path), *machine(9), clip, background="blur=1")
    with pytest.raises(UsageError, match="blur=1"):
        run(matting, clip)
    matting.close()


def test_frames_with_alpha_of_their_own_are_refused(machine, tmp_path: Path) -> None:
    clip = Clip(12, 64, 48, count=1)
    matting = make(load(tmp_path), *machine(10), clip)
    frame = replace(clip.frames()[0], alpha=np.zeros((48, 64), np.uint8))
    with pytest.raises(UsageError, match="alpha"):
        matting.push([frame])
    matting.close()


def test_formats_without_kernels_end_with_the_reason(machine, tmp_path: Path) -> None:
    clip = Clip(13, 64, 48, "yuv444p", count=1)
    matting = make(load(tmp_path), *machine(11), clip)
    with pytest.raises(DeviceError, match="yuv444p"):
        run(matting, clip)
    matting.close()


def test_the_thread_that_pushes_need_not_be_the_one_that_made_it(machine, tmp_path: Path) -> None:
    clip = Clip(14, 64, 48, count=4)
    matting = make(load(tmp_path), *machine(12), clip)
    results: list = []
    thread = threading.Thread(target=lambda: results.extend(run(matting, clip)))
    thread.start()
    thread.join()
    assert len(results) == 4
    closer = threading.Thread(target=matting.close)
    closer.start()
    closer.join()


def test_everything_is_given_back(machine, tmp_path: Path) -> None:
    clip = Clip(15, 64, 48, count=4)
    driver, kernels = machine(13)
    kernels.load()
    before = driver.free_bytes()
    matting = make(load(tmp_path), driver, kernels, clip)
    assert driver.free_bytes() < before
    run(matting, clip)
    matting.close()
    driver.synchronize()
    assert driver.free_bytes() == before


def test_stages_are_timed(machine, tmp_path: Path) -> None:
    clip, stats = Clip(16, 64, 48, count=3), Stats()
    matting = make(load(tmp_path), *machine(14), clip, timer=stats)
    run(matting, clip)
    matting.close()
    assert {name: times.count for name, times in stats.stages.items()} == dict.fromkeys(
        ("upload", "scene", "launch", "wait", "download"), 3
    )


# -- a device that is lost ------------------------------------------------------------------------------------------


class Failing(CpuEngine):
    """Its third run of the network does something else."""

    def __init__(self, loaded: LoadedModel, capturable: bool, instead: Callable[[Driver], None]) -> None:
        super().__init__(loaded.path, "matte", (("past", "next"),), capturable)
        self.instead = instead

    def open_slots(self, shapes, slots, driver, *, extra=None):
        network = super().open_slots(shapes, slots, driver, extra=extra or {})
        run_once = network._run

        def fail(slot: int) -> None:
            run_once(slot)
            if network.runs == 3:
                self.instead(driver)

        network._run = fail
        return network


def kill(driver: Driver) -> None:
    """From here on every call says that an address was illegal, as CUDA's do."""
    driver.backend._simulator.fault_code = 700


@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("capturable", [True, False])
def test_a_dead_context_is_told_once_and_closing_is_quiet(
    slots: int, capturable: bool, machine, tmp_path: Path
) -> None:
    clip = Clip(17, 64, 48, count=6)
    loaded = load(tmp_path, capturable=capturable)
    loaded.engine = Failing(loaded, capturable, kill)
    matting = make(loaded, *machine(15), clip, slots=slots)
    with pytest.raises(DeviceError, match="700") as first:
        run(matting, clip)
    for again in (matting.flush, matting.reset, lambda: matting.push(clip.frames()[:1])):
        with pytest.raises(DeviceError) as second:
            again()
        assert second.value is first.value
    matting.close()


def test_a_function_of_the_host_that_fails_is_heard_at_the_end(machine, tmp_path: Path) -> None:
    def fail(driver: Driver) -> None:
        raise RuntimeError("the network broke")

    clip = Clip(18, 64, 48, count=6)
    loaded = load(tmp_path)
    loaded.engine = Failing(loaded, True, fail)
    matting = make(loaded, *machine(16), clip)
    with pytest.raises(DeviceError, match="the network broke"):
        run(matting, clip)
    matting.close()


def test_memory_that_does_not_suffice_ends_with_5(tmp_path: Path) -> None:
    driver = open_null(total_bytes=400_000)
    kernels = shim_library(driver)
    clip = Clip(19, 64, 48, count=1)
    matting = make(load(tmp_path), driver, kernels, clip)
    with pytest.raises(DeviceError) as error:
        run(matting, clip)
    assert error.value.exit_code == 5
    matting.close()
    kernels.close()
    driver.close()
