"""The eight presets by destination, each run on a small clip with exact alpha, and its own output decoded again.

The source carries alpha of its own and the null runtime says 1 everywhere, so every matte is known. Its rate varies and
its sound is AAC, as a phone's. What the programs themselves show is not tested here: the presets say so.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from clipmaker import Clip, alpha_pattern, write_clip
from livematte import presets
from livematte.config import ModelSettings, Settings
from livematte.conversion import convert
from livematte.errors import SinkError
from livematte.planes import alpha_from_bits, plane_arrays
from livematte.reporting import ListReporter
from livematte.sinks import hevc_alpha
from livematte.sinks.encoders import why_not
from livematte.trial import try_conversion

PTS = (0, 40, 80, 160, 200, 240, 280, 360, 400, 440)
"""Milliseconds: 25 a second, with two pictures missing, as a phone in the dark leaves them out."""
WIDTH, HEIGHT = 160, 90
ALPHA_OPTIONS = {"libx265": {"x265-params": "log-level=none"}}
GREEN = (120, 255, 155)
"""`--background green`: RVM's (Lin et al. 2022)."""
CONFIGS = Path(__file__).resolve().parents[1] / "configs"


@dataclass(frozen=True)
class Expected:
    """What a destination's file is."""

    name: str
    codec: str
    pix_fmt: str
    audio: str
    is_constant: bool
    mean: float
    """Largest mean error of alpha, in 1/255."""
    width: int = WIDTH


EXPECTED = [
    Expected("premiere", "prores", "yuva444p12le", "aac", True, 0.0),
    Expected("resolve", "prores", "yuva444p12le", "pcm_s24le", True, 0.0),
    Expected("finalcut", "prores", "yuva444p12le", "aac", True, 0.0),
    Expected("aftereffects", "prores", "yuva444p12le", "pcm_s24le", True, 0.0),
    Expected("obs", "vp9", "yuva420p", "opus", True, 1.5),
    Expected("web", "vp9", "yuva420p", "opus", False, 1.0),
    Expected("safari", "hevc", "yuva420p", "aac", False, 2.0),
    Expected("discord", "vp9", "yuva420p", "opus", False, 2.0, 640),
]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(
        tmp_path_factory.mktemp("clip") / "clip.mkv",
        Clip(
            width=WIDTH, height=HEIGHT, codec="ffv1", pix_fmt="yuva420p", options={}, alpha=True, pts=PTS,
            time_base=Fraction(1, 1000), color=("bt709", "tv", "bt709", "bt709"), audio=("aac",),
        ),
    )  # fmt: skip


def _settings(preset: str) -> Settings:
    return presets.load_settings(preset=preset).model_copy(update={"model": ModelSettings(runtime="null")})


@dataclass
class Read:
    """What a file turned out to hold."""

    codec: str
    tag: str
    tags: tuple[int, int, int, int]
    audio: list[str]
    sound_seconds: float
    pictures: list[tuple[Fraction, av.VideoFrame]]
    average_rate: Fraction | None


def _read(path: Path) -> Read:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context: Any = stream.codec_context
        decoder: Any = context
        if stream.metadata.get("alpha_mode") == "1":
            decoder = av.CodecContext.create("libvpx-vp9", "r")
        base = Fraction(stream.time_base or 1)
        frames = [
            (frame.pts * base, frame)
            for packet in container.demux(stream)
            for frame in decoder.decode(packet if packet.size else None)
        ]
        tags = (context.colorspace, context.color_range, context.color_primaries, context.color_trc)
        audio = [one.codec_context.codec.canonical_name for one in container.streams.audio]
        rate = None if stream.average_rate is None else Fraction(stream.average_rate)
        found = Read(context.codec.canonical_name, context.codec_tag, tags, audio, 0.0, frames, rate)
    with av.open(str(path)) as container:
        sound = list(container.decode(audio=0)) if found.audio else []
        found.sound_seconds = sum(frame.samples / frame.sample_rate for frame in sound)
    return found


def _shown_at(moment: Fraction) -> int:
    """Which of the source's pictures is seen at a moment (a millisecond of the container's rounding forgiven)."""
    return max(index for index, pts in enumerate(PTS) if Fraction(pts - 1, 1000) <= moment)


def _check(path: Path, expected: Expected, reporter: ListReporter) -> None:
    found = _read(path)
    assert found.codec == expected.codec
    assert found.audio == [expected.audio]
    assert abs(found.sound_seconds - 0.48) < 0.06, "the whole sound"
    assert found.tags == (1, 1, 1, 1), "BT.709, limited"
    times = [moment for moment, _ in found.pictures]
    if expected.is_constant:
        assert found.average_rate == 25 or expected.codec == "vp9"
        assert len(times) == 12, "both missing pictures are repeated"
        assert all(abs(moment - Fraction(index, 25)) <= Fraction(1, 2000) for index, moment in enumerate(times))
    else:
        assert [round(moment * 1000) for moment in times] == list(PTS)
    errors = []
    for moment, picture in found.pictures:
        assert picture.format.name == expected.pix_fmt
        assert picture.width == expected.width
        plane = plane_arrays(picture)[3]
        got = alpha_from_bits(plane, picture.format.components[3].bits, wide=False)
        meant = alpha_pattern(_shown_at(moment), WIDTH, HEIGHT).astype(np.uint8)
        if meant.shape != got.shape:
            meant = cv2.resize(meant, (got.shape[1], got.shape[0]), interpolation=cv2.INTER_LINEAR)
        errors.append(np.abs(got.astype(int) - meant).mean())
    assert max(errors) <= expected.mean
    assert any("alpha came back" in note for note in reporter.notes)


def _can_write_hevc_alpha() -> bool:
    return any(not why_not(one.codec, one.pix_fmt, ALPHA_OPTIONS.get(one.codec, {})) for one in hevc_alpha.CANDIDATES)


@pytest.mark.parametrize("expected", EXPECTED, ids=lambda one: one.name)
def test_what_a_preset_writes(clip: Path, tmp_path: Path, expected: Expected) -> None:
    reporter = ListReporter()
    settings = _settings(expected.name)
    suffix = {"webm": ".webm"}.get(settings.output.format or "", ".mov")
    target = tmp_path / f"out{suffix}"
    if expected.name == "safari" and not _can_write_hevc_alpha():
        with pytest.raises(SinkError, match=r"HEVC with alpha cannot be written.*macOS.*ENABLE_ALPHA.*Preserve Transp"):
            convert(clip, target, settings=settings, reporter=reporter)
        assert not list(tmp_path.iterdir()), "said before anything is written"
        return
    summary = convert(clip, target, settings=settings, reporter=reporter)
    assert [one.target for one in summary.outputs] == [str(target)]
    _check(target, expected, reporter)


def test_after_effects_gets_16_bit_alpha(clip: Path, tmp_path: Path) -> None:
    """ProRes's frame header counts alpha: 1 for 8 bits, 2 for 16 (SMPTE RDD 36, alpha_channel_type)."""
    kinds = {}
    for name in ("aftereffects", "premiere"):
        convert(clip, tmp_path / f"{name}.mov", settings=_settings(name), reporter=ListReporter())
        data = (tmp_path / f"{name}.mov").read_bytes()
        header = data.index(b"icpf") + 4
        kinds[name] = data[header + 17] & 15
    assert kinds == {"aftereffects": 2, "premiere": 1}


@pytest.mark.parametrize("expected", EXPECTED, ids=lambda one: one.name)
def test_each_preset_says_what_to_click_and_what_nobody_opened(expected: Expected) -> None:
    text = (CONFIGS / f"{expected.name}.toml").read_text(encoding="utf-8")
    head = text[: text.index("[")]
    assert f"--preset {expected.name}" in head
    assert "Unverified:" in head
    assert max(len(line) for line in text.splitlines()) <= 120
    settings = presets.load_settings(preset=expected.name)
    assert not settings.matting.keep_background
    stated = presets.read_layer(CONFIGS / f"{expected.name}.toml")
    assert {"format", "encode", "audio", "audio_codec", "stacked", "overwrite"} <= stated["output"].keys()


def test_the_presets_by_destination_are_these() -> None:
    found = {name for name, path in presets.preset_files().items() if "live" not in presets.read_layer(path)}
    assert {one.name for one in EXPECTED} <= found


@pytest.mark.parametrize(
    ("name", "settings", "audio"),
    [("a.mp4", {"stacked": True}, ["aac"]), ("b.mp4", {"stacked": True, "format": "hevc"}, ["aac"]),
     ("c.mov", {"format": "png-mov"}, ["aac"]), ("d.mkv", {"audio_codec": "pcm"}, ["pcm_s24le"]),
     ("e.mov", {"audio": False}, [])],
)  # fmt: skip
def test_other_deliveries_keep_the_sound(
    clip: Path, tmp_path: Path, name: str, settings: dict[str, Any], audio: list[str]
) -> None:
    reporter = ListReporter()
    chosen = Settings.model_validate({"model": {"runtime": "null"}, "output": settings})
    convert(clip, tmp_path / name, settings=chosen, reporter=reporter)
    found = _read(tmp_path / name)
    assert found.audio == audio
    if audio:
        assert abs(found.sound_seconds - 0.48) < 0.06
    assert [round(moment * 1000) for moment, _ in found.pictures] == list(PTS)
    assert any("as --audio-codec pcm asks" in note for note in reporter.notes) == ("audio_codec" in settings)


def test_a_pair_is_two_files_in_the_summary_and_its_sound_is_with_the_colours(clip: Path, tmp_path: Path) -> None:
    chosen = Settings.model_validate(
        {"model": {"runtime": "null"}, "output": {"format": "pair", "background": "green"}}
    )
    summary = convert(clip, tmp_path / "me.mp4", settings=chosen, reporter=ListReporter())
    assert [(Path(one.target).name, one.bytes > 0, one.format) for one in summary.outputs] == [
        ("me_fg.mp4", True, "pair"),
        ("me_alpha.mp4", True, "pair"),
    ]
    colours, matte = _read(tmp_path / "me_fg.mp4"), _read(tmp_path / "me_alpha.mp4")
    assert (colours.audio, matte.audio) == (["aac"], [])
    for index, ((moment, picture), (other, grey)) in enumerate(zip(colours.pictures, matte.pictures, strict=True)):
        assert moment == other
        meant = alpha_pattern(index, WIDTH, HEIGHT)
        luma = plane_arrays(grey)[0][:HEIGHT, :WIDTH].astype(float)
        assert np.abs((luma - 16) / 219 * 255 - meant).mean() < 1.0
        outside = meant == 0
        rgb = picture.to_ndarray(format="rgb24")[:HEIGHT, :WIDTH].astype(int)
        far = cv2.erode(outside.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
        assert np.abs(np.median(rgb[far], axis=0) - GREEN).max() <= 6


@pytest.mark.parametrize("settings", [{"stacked": True}, {"format": "pair"}, {"format": "png-mov"}])
def test_a_trial_forecasts_the_size(clip: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    """A clip as short as its sample: what the conversion writes, times the frames that two gaps made it expect."""
    chosen = Settings.model_validate({"model": {"runtime": "null"}, "output": settings})
    trial = try_conversion(str(clip), [], settings=chosen, reporter=ListReporter(), sheet=tmp_path / "sheet.png")
    target = tmp_path / ("out.mov" if settings.get("format") == "png-mov" else "out.mp4")
    summary = convert(clip, target, settings=chosen, reporter=ListReporter())
    written = sum(one.bytes for one in summary.outputs)
    assert trial.expected_bytes is not None
    assert 0.9 < trial.expected_bytes / written < 1.5
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["sheet.png", *(Path(one.target).name for one in summary.outputs)]
    )
