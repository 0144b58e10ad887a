"""`--try`: the sheet, the forecast, and what it may and may not touch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipmaker import Clip, write_clip
from livematte.config import MattingSettings, ModelSettings, OutputSettings, Settings
from livematte.errors import UsageError
from livematte.reporting import ListReporter
from livematte.sheet import MAGENTA
from livematte.trial import try_conversion

NULL = ModelSettings(runtime="null")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    write_clip(path, Clip(frames=50))
    return path


def test_six_frames_in_a_sheet_and_a_forecast(clip: Path) -> None:
    trial = try_conversion(str(clip), [], settings=Settings(model=NULL), reporter=ListReporter())
    assert trial.sheet == clip.with_name("clip_try.png")
    assert trial.expected_bytes is not None
    assert trial.expected_bytes > 1000
    assert trial.expected_seconds is not None
    with Image.open(trial.sheet) as sheet:
        assert sheet.width == 6 * (64 + 2 * 6)  # six cells of the clip's own 64 px, with their margins
        assert np.asarray(sheet).shape[2] == 3
    assert sorted(path.name for path in clip.parent.iterdir()) == ["clip.mp4", "clip_try.png"]


def test_the_room_shows_as_magenta(tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    settings = Settings(model=NULL, matting=MattingSettings(smooth="off"))
    try_conversion("synthetic:64x48@25:20:alpha", [], settings=settings, reporter=ListReporter(), sheet=sheet)
    with Image.open(sheet) as image:
        pixels = np.asarray(image.convert("RGB"))
    assert (pixels == MAGENTA).all(axis=2).mean() > 0.02


def test_an_output_that_exists_is_not_touched(clip: Path) -> None:
    precious = clip.with_name("clip_alpha.mov")
    precious.write_text("precious")
    try_conversion(str(clip), [], settings=Settings(model=NULL), reporter=ListReporter())
    assert precious.read_text() == "precious"


def test_what_the_output_may_not_be_is_said_before(clip: Path) -> None:
    with pytest.raises(UsageError, match="--background"):
        try_conversion(str(clip), ["out.mp4"], settings=Settings(model=NULL), reporter=ListReporter())
    with pytest.raises(UsageError, match="pipe"):
        try_conversion("-", [], settings=Settings(model=NULL), reporter=ListReporter())


def test_options_are_named_as_they_are_typed() -> None:
    from livematte.trial import _options

    settings = Settings(
        matting=MattingSettings(levels=(0.1, 0.9), keep_background=True), output=OutputSettings(audio=False)
    )
    assert _options(settings) == "--levels 0.1,0.9 --keep-background --no-audio"
    assert _options(Settings()) == "all defaults"
