"""Which path a run takes, and that it is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from cases import difference, run
from host_reference import HostReference
from rigging import Clip, load

from livematte.config import MattingSettings, OutputSettings, Settings
from livematte.errors import UsageError
from livematte.matting.device.opening import open_device_matting, runs_on_device
from livematte.reporting import ListReporter
from livematte.runtimes.null_engine import NullEngine
from livematte.runtimes.options import EngineOptions

CLIP = Clip(31, 64, 48, count=4)


def test_a_network_on_the_processor_takes_the_hosts_path_without_a_word(tmp_path: Path) -> None:
    loaded, reporter = load(tmp_path), ListReporter()
    loaded.engine = NullEngine(loaded.path, EngineOptions())
    assert not runs_on_device(loaded, Settings(), CLIP.info(), is_live=False, reporter=reporter)
    assert reporter.notes == []


def test_what_has_no_kernel_is_said_and_goes_to_the_host(tmp_path: Path) -> None:
    loaded, reporter = load(tmp_path), ListReporter()
    settings = Settings(matting=MattingSettings(temporal="ofd", subject="largest"))
    assert not runs_on_device(loaded, settings, CLIP.info(), is_live=False, reporter=reporter)
    assert len(reporter.notes) == 1
    assert "--subject all" in reporter.notes[0]
    assert "ofd" in reporter.notes[0]


@pytest.mark.parametrize("background", [None, "#405060"])
def test_matting_on_the_networks_own_device(background: str | None, machine, tmp_path: Path) -> None:
    loaded, reporter = load(tmp_path), ListReporter()
    driver, kernels = machine(1)
    loaded.engine.driver = driver
    settings = Settings(output=OutputSettings(background=background))
    assert runs_on_device(loaded, settings, CLIP.info(), is_live=False, reporter=reporter)
    matting = open_device_matting(
        loaded,
        settings,
        CLIP.info(),
        wide_alpha=False,
        wants_foreground=background is None,
        wants_composite=background is not None,
        reporter=reporter,
        kernels=kernels,
    )
    matted = run(matting, CLIP)
    assert matting.rung == "test at 48x32 on the GPU"
    matting.close()
    reference = HostReference(
        loaded, MattingSettings(), CLIP.info(), wide=False, foreground=background is None, background=background
    )
    assert difference(matted, reference.run(CLIP.frames())) <= 1
    assert all((one.matte.composite is None) is (background is None) for one in matted)
    assert reporter.notes == []


def test_kernels_of_its_own_are_closed_where_it_does_not_open(machine, tmp_path: Path, monkeypatch) -> None:
    loaded = load(tmp_path)
    driver, kernels = machine(2)
    loaded.engine.driver = driver
    closed: list[bool] = []
    monkeypatch.setattr("livematte.matting.device.opening.library", lambda driver, reporter: kernels)
    monkeypatch.setattr(kernels, "close", lambda: closed.append(True))
    told = {"wide_alpha": False, "wants_foreground": True, "wants_composite": False, "reporter": ListReporter()}
    with pytest.raises(UsageError):
        open_device_matting(loaded, Settings(matting=MattingSettings(levels=(0.9, 0.1))), CLIP.info(), **told)
    assert closed == [True]
    matting = open_device_matting(loaded, Settings(), CLIP.info(), **told)
    matting.close()
    assert closed == [True, True]
