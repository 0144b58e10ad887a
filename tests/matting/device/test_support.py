"""What goes to the host's path, and that it is said why."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rigging import Clip, manifest

from livematte.color import ColorSpec
from livematte.config import MattingSettings, ModelSettings, OutputSettings, Settings
from livematte.matting.device.support import refinement_for, smoothing_for, unsupported

INFO = Clip(0).info()
NETWORK = manifest(recurrent=False)


def told(**matting: object) -> Settings:
    return Settings(matting=MattingSettings(**matting))


def test_the_default_settings_need_no_host() -> None:
    assert unsupported(Settings(), INFO, NETWORK) == []


@pytest.mark.parametrize(
    ("settings", "live", "word"),
    [
        (told(subject="largest"), False, "--subject all"),
        (told(), True, "--subject all"),
        (told(temporal="ofd"), False, "--temporal adaptive"),
        (Settings(model=ModelSettings(refine_with="auto")), False, "--refine-with"),
        (Settings(model=ModelSettings(quality="best")), False, "--quality good"),
    ],
)
def test_settings_without_kernels(settings: Settings, live: bool, word: str) -> None:
    reasons = unsupported(settings, INFO, NETWORK, is_live=live)
    assert len(reasons) == 1
    assert word in reasons[0]
    assert reasons[0].endswith(".")


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"color": ColorSpec("bt2020nc", "tv", "bt2020", "smpte2084")}, "HDR"),
        ({"has_alpha": True}, "alpha"),
        ({"pix_fmt": "gbrp"}, "gbrp"),
        ({"pix_fmt": "yuv444p"}, "yuv444p"),
    ],
)
def test_streams_without_kernels(changes: dict, word: str) -> None:
    reasons = unsupported(Settings(), replace(INFO, **changes), NETWORK)
    assert len(reasons) == 1
    assert word in reasons[0]


def test_all_reasons_are_told_at_once() -> None:
    info = replace(INFO, has_alpha=True, pix_fmt="gbrp")
    assert len(unsupported(told(subject="largest", temporal="ofd"), info, NETWORK)) == 4


def test_recurrent_networks_take_no_mirrored_pass_anyway() -> None:
    best = Settings(model=ModelSettings(quality="best"))
    assert unsupported(best, INFO, manifest(recurrent=True)) == []


@pytest.mark.parametrize(("activation", "supported"), [("none", True), ("sigmoid", False), ("softmax", False)])
def test_the_last_step_of_alpha(activation: str, supported: bool) -> None:
    graph = NETWORK.graph
    other = NETWORK.model_copy(
        update={
            "graphs": (graph.model_copy(update={"alpha": graph.alpha.model_copy(update={"activation": activation})}),)
        }
    )
    assert (unsupported(Settings(), INFO, other) == []) is supported


def test_what_auto_means() -> None:
    assert smoothing_for(MattingSettings(), manifest(recurrent=False, temporal="ema"), is_live=False) == "ema"
    assert smoothing_for(MattingSettings(), manifest(recurrent=False, temporal="ofd"), is_live=True) == "adaptive"
    assert smoothing_for(MattingSettings(smooth="off"), NETWORK, is_live=False) == "none"
    assert refinement_for(MattingSettings(), manifest(recurrent=False, refine="guided")) == "guided"
    assert refinement_for(MattingSettings(refine="bicubic"), manifest(recurrent=False, refine="guided")) == "bicubic"


@pytest.mark.parametrize(("background", "supported"), [("blur=400", True), ("blur=1", False), ("green", True)])
def test_blurs_that_the_kernels_cannot_make(background: str, supported: bool) -> None:
    settings = Settings(output=OutputSettings(background=background))
    reasons = unsupported(settings, INFO, NETWORK)
    assert (reasons == []) is supported
    assert supported or background in reasons[0]


def test_pictures_that_are_too_large() -> None:
    assert "16385x9" in unsupported(Settings(), replace(INFO, width=16385, height=9), NETWORK)[0]
    tall = replace(INFO, width=9600, height=5401)
    assert unsupported(Settings(), tall, NETWORK) == []
    assert "--feather" in unsupported(told(feather=1.0), tall, NETWORK)[0]
