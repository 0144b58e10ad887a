"""The device's path in the pipeline: its own thread, real sinks, the order of closing."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from rigging import load

from clipmaker import Clip as WrittenClip
from clipmaker import write_clip
from livematte.config import InputSettings, OutputSettings, Settings
from livematte.matting.device.backdrop import ReadyCompositor
from livematte.matting.device.opening import open_device_matting
from livematte.pipeline import Pipeline
from livematte.reporting import ListReporter
from livematte.sinks import open_sink
from livematte.sources import open_source
from livematte.stats import Stats


@pytest.mark.parametrize(("name", "background"), [("out.mov", None), ("out.mp4", "#204060")])
def test_a_clip_becomes_a_file(name: str, background: str | None, machine, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "in.mp4", WrittenClip(width=96, height=64, frames=9))
    settings, reporter, stats = Settings(output=OutputSettings(background=background)), ListReporter(), Stats()
    driver, kernels = machine(3)
    loaded = load(tmp_path)
    loaded.engine.driver = driver
    source = open_source(str(path), InputSettings(), reporter=reporter)
    sink = open_sink(str(tmp_path / name), settings=settings.output, info=source.info, reporter=reporter)
    matting = open_device_matting(
        loaded,
        settings,
        source.info,
        wide_alpha=sink.alpha_bits > 8,
        wants_foreground=sink.wants == "straight",
        wants_composite=sink.wants == "composite",
        reporter=reporter,
        timer=stats,
        kernels=kernels,
    )
    compositor = ReadyCompositor() if sink.wants == "composite" else None
    pipeline = Pipeline(source, matting, [sink], compositor=compositor, stats=stats)
    counters = pipeline.run(lambda: None)
    assert counters.matted == 9
    assert list(counters.written.values()) == [9]
    with av.open(str(tmp_path / name)) as written:
        pictures = list(written.decode(video=0))
    assert len(pictures) == 9
    if background is None:
        alpha = pictures[4].to_ndarray(format="rgba")[..., 3]
        assert alpha.min() < 40 < 200 < alpha.max()
    else:
        assert np.abs(pictures[4].to_ndarray(format="rgb24").astype(int) - (0x20, 0x40, 0x60)).sum(-1).min() < 40
