"""The device's path on a real clip against the shipped CPU path, whose libswscale pass rounds its own way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cpu_network import CpuEngine
from rigging import LoadedModel

from livematte.config import InputSettings, MattingSettings, ModelSettings
from livematte.frames import Frame
from livematte.matting.device.matting import DeviceMatting
from livematte.matting.host import HostMatting
from livematte.models.load import load_model
from livematte.models.session import Session
from livematte.planes import plane_arrays
from livematte.reporting import ListReporter
from livematte.sources import open_source

MOST_MEAN = 4e-3
"""Of alpha, where 1 is opaque; 2e-4 was measured."""


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"refine": "guided", "shrink": 2.0, "feather": 4.0}])
def test_mattes_are_those_of_the_cpu(settings: dict, shared: Path, machine) -> None:
    reporter = ListReporter()
    source = open_source(str(shared / "clips" / "hungry.mkv"), InputSettings(end="0.2"), reporter=reporter)
    frames = [item for item in source if isinstance(item, Frame)]
    info = source.info
    source.close()
    told = {"info": info, "wide_alpha": False, "wants_foreground": True}
    loaded = load_model(ModelSettings(device="cpu"), reporter=reporter)
    host = HostMatting(Session(loaded), MattingSettings(**settings), **told, reporter=reporter)
    right = host.push(frames)
    host.close()
    loaded.close()
    engine = CpuEngine(loaded.path, "alpha")
    on_device = LoadedModel(loaded.manifest, engine, loaded.settings, loaded.contract, loaded.path)
    device = DeviceMatting(on_device, *machine(1), MattingSettings(**settings), **told)
    matted = device.push(frames) + device.flush()
    device.close()
    assert len(matted) == len(right) > 3
    for one, other in zip(matted, right, strict=True):
        assert 0.02 < other.matte.alpha.mean() / 255 < 0.9
        assert np.abs(one.matte.alpha.astype(float) - other.matte.alpha).mean() / 255 < MOST_MEAN
        for mine, theirs in zip(plane_arrays(one.matte.foreground), plane_arrays(other.matte.foreground), strict=True):
            assert np.abs(mine.astype(float) - theirs).mean() < 0.5
