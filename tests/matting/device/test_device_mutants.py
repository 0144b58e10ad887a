"""Mistakes must be noticed: each mutant differs from the reference for some seed, and the real thing for none."""

from __future__ import annotations

from pathlib import Path

import mutants
import pytest
from cases import difference, run
from cpu_network import CpuEngine
from host_reference import HostReference
from rigging import Clip, load, make
from test_device_pictures import decoded_run

from livematte.config import MattingSettings
from livematte.errors import DeviceError
from livematte.matting.device.matting import DeviceMatting

SEEDS = range(8)
CLIP = {"width": 64, "height": 48, "count": 8, "cuts": (5,), "gaps": {2: 2, 3: 3}}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list:
    loaded = load(tmp_path_factory.mktemp("net"))
    clip = Clip(21, **CLIP)
    return HostReference(loaded, MattingSettings(), clip.info(), wide=False, foreground=True).run(clip.frames())


def is_noticed(machine, folder: Path, expected: list, kind: type[DeviceMatting], network=None, slots: int = 3) -> bool:
    loaded = load(folder)
    if network is not None:
        loaded.engine = WithNetwork(loaded.engine, network)
    clip = Clip(21, **CLIP)
    for seed in SEEDS:
        matting = make(loaded, *machine(seed), clip, kind=kind, slots=slots)
        try:
            noticed = difference(run(matting, clip), expected) > 1
        except (DeviceError, ValueError, RuntimeWarning):
            noticed = True  # poison that is no number, or no picture
        finally:
            matting.close()
        if noticed:
            return True
    return False


class WithNetwork(CpuEngine):
    def __init__(self, engine: CpuEngine, network: type) -> None:
        self.__dict__ |= engine.__dict__
        self._network = network

    def open_slots(self, shapes, slots, driver, *, extra=None):
        return self._network(self, shapes, slots, driver, extra or {})


@pytest.mark.parametrize("slots", [1, 3])
def test_without_a_mistake_nothing_is_noticed(slots: int, machine, tmp_path: Path, expected: list) -> None:
    assert not is_noticed(machine, tmp_path, expected, DeviceMatting, slots=slots)


@pytest.mark.parametrize(("lane", "mark"), mutants.JOINS)
@pytest.mark.parametrize("slots", [1, 3])
def test_a_wait_of_a_stream_is_removed(slots, lane, mark, machine, tmp_path: Path, expected: list) -> None:
    assert is_noticed(machine, tmp_path, expected, mutants.without_wait(lane, mark), slots=slots)


@pytest.mark.parametrize("mark", mutants.ARRIVALS)
@pytest.mark.parametrize("slots", [1, 3])
def test_a_wait_of_the_host_is_removed(slots, mark, machine, tmp_path: Path, expected: list) -> None:
    assert is_noticed(machine, tmp_path, expected, mutants.without_wait("host", mark), slots=slots)


@pytest.mark.parametrize("rig", [mutants.SwappedMemory, mutants.SwappedBlock, mutants.ForgetfulRig])
def test_a_rig_that_errs(rig, machine, tmp_path: Path, expected: list) -> None:
    assert is_noticed(machine, tmp_path, expected, mutants.with_rig(rig))


def test_the_network_reads_another_slots_states(machine, tmp_path: Path, expected: list) -> None:
    assert is_noticed(machine, tmp_path, expected, DeviceMatting, network=mutants.SwappedNetwork)


def test_a_slot_is_taken_too_early(machine, tmp_path: Path) -> None:
    """With neither states nor smoothing, only the memory that two frames share can tell."""
    loaded = load(tmp_path, recurrent=False)
    clip = Clip(22, **CLIP)
    settings = MattingSettings(smooth="off")
    right = HostReference(loaded, settings, clip.info(), wide=False, foreground=True).run(clip.frames())
    for kind, is_right in ((DeviceMatting, True), (mutants.HastyMatting, False)):
        outcomes = []
        for seed in SEEDS:
            matting = make(loaded, *machine(seed), clip, kind=kind, smooth="off")
            outcomes.append(difference(run(matting, clip), right) <= 1)
            matting.close()
        assert all(outcomes) is is_right


@pytest.mark.parametrize("rig", [mutants.EarlyRelease, mutants.ImpatientRig])
@pytest.mark.parametrize("slots", [1, 3])
def test_a_decoders_surface_is_read_at_the_wrong_time(slots: int, rig, machine, tmp_path: Path) -> None:
    worst = 0.0
    for seed in SEEDS:
        matted, right, _ = decoded_run(machine, tmp_path, seed, kind=mutants.with_rig(rig), slots=slots)
        worst = max(worst, difference(matted, right))
        if worst > 1:
            return
    assert worst > 1
