"""Whole conversions with sound: it stays beside its pictures, whatever codec and container it goes from and into."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from clipmaker import Clip, make_picture
from livematte.config import InputSettings, MattingSettings, ModelSettings, OutputSettings, Settings
from livematte.conversion import convert
from livematte.reporting import ListReporter

RATE = 48000
BURST = Fraction(3, 10)
"""Second at which the sound sets in."""


def write_with_sound(path: Path, encoder: str, layout: str) -> Path:
    """Fifteen frames (0.6 s) of H.264, VP9 in WebM, with two tracks of a tone that sets in at `BURST`."""
    codec = "libvpx-vp9" if path.suffix == ".webm" else "libx264"
    options = {"deadline": "realtime"} if path.suffix == ".webm" else {"preset": "ultrafast"}
    clip = Clip(frames=15, codec=codec, options=options)
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=25, options=options)
        video.width, video.height, video.pix_fmt = clip.width, clip.height, "yuv420p"
        tracks = [container.add_stream(encoder, rate=RATE) for _ in range(2)]
        for track in tracks:
            track.codec_context.layout = layout
        container.start_encoding()
        for index in range(15):
            container.mux(video.encode(make_picture(clip, index)))
        container.mux(video.encode(None))
        moments = np.arange(int(0.6 * RATE)) / RATE
        wave = np.where(moments >= float(BURST), 0.5 * np.sin(2 * np.pi * 1000 * moments), 0).astype(np.float32)
        for track in tracks:
            context = track.codec_context
            channels = context.layout.nb_channels
            frame = av.AudioFrame.from_ndarray(np.tile(wave, (channels, 1)), "fltp", layout)
            frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
            resampler = av.AudioResampler(context.format, layout, RATE, frame_size=context.frame_size or 1024)
            for ready in (*resampler.resample(frame), *resampler.resample(None)):
                container.mux(track.encode(ready))
            container.mux(track.encode(None))
    return path


def onset(path: Path, track: int) -> float:
    """Second at which the track becomes loud, on the clock of its pictures."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[track]
        resampler = av.AudioResampler("fltp", "mono", RATE)
        for decoded in container.decode(stream):
            for frame in resampler.resample(decoded):
                loud = np.flatnonzero(np.abs(frame.to_ndarray()[0]) > 0.12)
                if loud.size:
                    base = Fraction(frame.time_base.numerator, frame.time_base.denominator)
                    return float(frame.pts * base) + int(loud[0]) / RATE
    return float("nan")


def picture_times(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return sorted(float(p.pts * p.time_base) for p in container.demux(video=0) if p.pts is not None and p.size)


def settings(name: str, **window: str) -> Settings:
    output = OutputSettings(encode="fast", background="green" if name.endswith("mp4") else None)
    return Settings(
        input=InputSettings(**window),
        model=ModelSettings(runtime="null"),
        matting=MattingSettings(smooth="off"),
        output=output,
    )


@pytest.mark.parametrize("output", ["out.mov", "out.webm", "out.mkv", "out.mp4", "out.nut"])
@pytest.mark.parametrize(
    ("source", "encoder", "layout"),
    [
        ("aac.mp4", "aac", "stereo"),
        ("opus.webm", "libopus", "stereo"),
        ("pcm.mov", "pcm_s16le", "stereo"),
        ("ac3.mkv", "ac3", "5.1(side)"),
        ("flac.mkv", "flac", "2.1"),
    ],
)
def test_sound_and_pictures_stay_together(tmp_path: Path, source: str, encoder: str, layout: str, output: str) -> None:
    """AAC out of MP4 begins before 0 and Opus has a run-in: neither may move the pictures, or the sound."""
    path = write_with_sound(tmp_path / source, encoder, layout)
    reporter = ListReporter()
    convert(path, tmp_path / output, settings=settings(output), reporter=reporter)
    assert not reporter.warnings
    assert picture_times(tmp_path / output) == pytest.approx([n / 25 for n in range(15)], abs=5e-4)
    for track in range(2):
        assert onset(tmp_path / output, track) == pytest.approx(onset(path, track), abs=2e-3)


@pytest.mark.parametrize("output", ["out.mov", "out.webm", "out.mkv", "out.mp4", "out.nut"])
def test_a_piece_of_a_clip_has_its_sound_in_place(tmp_path: Path, output: str) -> None:
    path = write_with_sound(tmp_path / "aac.mp4", "aac", "stereo")
    convert(path, tmp_path / output, settings=settings(output, start="0.16", end="0.56"))
    assert picture_times(tmp_path / output) == pytest.approx([n / 25 for n in range(10)], abs=5e-4)
    assert onset(tmp_path / output, 1) == pytest.approx(float(BURST) - 0.16, abs=2e-3)


@pytest.mark.parametrize("output", ["out.mp4", "out.webm"])
def test_a_track_that_does_not_name_its_speakers_is_converted(tmp_path: Path, output: str) -> None:
    """PCM in AVI says `1 channels`, which neither AAC nor Opus takes."""
    path = write_with_sound(tmp_path / "pcm.avi", "pcm_u8", "mono")
    with av.open(str(path)) as container:
        assert container.streams.audio[0].codec_context.layout.name == "1 channels"
    convert(path, tmp_path / output, settings=settings(output))
    with av.open(str(tmp_path / output)) as container:
        assert [stream.codec_context.layout.name for stream in container.streams.audio] == ["mono", "mono"]
