"""Colours above alpha in one opaque picture: what comes back of both halves, and what the file says it is."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from livematte.color import ColorSpec
from livematte.errors import AlphaLost
from livematte.planes import alpha_to_bits, layout, plane_arrays
from livematte.reporting import ListReporter
from livematte.sinks import pixels
from livematte.sinks.stacked import halves
from livematte.sinks.verify import alpha_of
from sinks.making import Shot, alpha, decode, picture, start, times, write

CODECS = ["mp4", "hevc"]
SIZE = {"width": 320, "height": 192}


def _limited(matte: np.ndarray, bits: int) -> np.ndarray:
    """Alpha as limited-range luma, by ITU-T H.273: 16 + 219 a in 8 bits."""
    share = matte.astype(np.float64) / np.iinfo(matte.dtype).max
    return np.floor((16 + 219 * share) * (1 << (bits - 8)) + 0.5)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le", "yuv444p", "gbrp"])
@pytest.mark.parametrize("size", [(320, 192), (101, 63)])
def test_lossless_halves_are_what_was_meant(tmp_path: Path, codec: str, pix_fmt: str, size: tuple[int, int]) -> None:
    """The lower half by hand from H.273, whatever the source; the upper one bit for bit where it is 4:2:0 already."""
    width, height = size
    shot = Shot(pix_fmt=pix_fmt, width=width, height=height, pts=(0, 3000, 6000))
    sink = write(tmp_path / "clip.mp4", shot, format=codec, stacked=True, encode="lossless")
    deep = codec == "hevc" and "10" in pix_fmt
    assert sink.alpha_bits == (10 if deep else 8)
    frames = decode(tmp_path / "clip.mp4")
    assert len(frames) == 3
    for index, frame in enumerate(frames):
        assert frame.format.name == ("yuv420p10le" if deep else "yuv420p")
        assert (frame.width, frame.height) == (width + width % 2, 2 * (height + height % 2))
        bits = layout(frame.format.name).bits
        upper, lower = halves(frame)
        meant = alpha(width, height, index, wide=deep)
        assert np.array_equal(lower[0][:height, :width], _limited(meant, bits))
        assert all((plane == 1 << (bits - 1)).all() for plane in lower[1:3]), "no colour in the lower half"
        if pix_fmt == "yuv420p" or deep:
            for got, plane in zip(upper, plane_arrays(picture(pix_fmt, width, height, index)), strict=True):
                assert np.array_equal(got[: plane.shape[0], : plane.shape[1]], plane)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(("level", "mean", "high"), [("fast", 1.0, 12), ("good", 0.8, 8), ("lossless", 0.3, 1)])
def test_the_round_trip_of_alpha(tmp_path: Path, codec: str, level: str, mean: float, high: float) -> None:
    shot = Shot(**SIZE)
    sink = write(tmp_path / "clip.mp4", shot, format=codec, stacked=True, encode=level)
    off = [
        np.abs(alpha_of(frame, sink.encoding, wide=False).astype(int)[:192, :320] - alpha(320, 192, index))
        for index, frame in enumerate(decode(tmp_path / "clip.mp4"))
    ]
    assert len(off) == 8
    assert np.mean(off) <= mean
    assert np.quantile(off, 0.999) <= high


def test_a_program_that_reads_rgb_gets_alpha_from_the_lower_half(tmp_path: Path) -> None:
    """As a browser's shader sees it: the picture turned into RGB by its own tags, alpha from any channel."""
    write(tmp_path / "clip.mp4", Shot(**SIZE), stacked=True)
    frame = decode(tmp_path / "clip.mp4")[0]
    assert (frame.colorspace, frame.color_range) == (1, 1), "bt709, limited"
    rgb = frame.to_ndarray(format="rgb24")[192:].astype(int)
    assert np.ptp(rgb, axis=2).max() <= 2, "grey"
    assert np.abs(rgb[..., 1] - alpha(320, 192)).mean() < 1.0


@pytest.mark.parametrize("codec", CODECS)
def test_full_range_sources_become_limited_and_it_is_said(tmp_path: Path, codec: str) -> None:
    reporter = ListReporter()
    shot = Shot(color=ColorSpec("bt709", "pc"), pts=(0, 3000))
    write(tmp_path / "clip.mp4", shot, reporter=reporter, format=codec, stacked=True, encode="lossless")
    upper, lower = halves(decode(tmp_path / "clip.mp4")[0])
    source = plane_arrays(picture("yuv420p", 96, 64))[0].astype(np.float64)
    assert np.abs(upper[0] - (16 + source * 219 / 255)).max() <= 0.5
    assert np.array_equal(lower[0], _limited(alpha(96, 64), 8))
    with av.open(str(tmp_path / "clip.mp4")) as container:
        assert container.streams.video[0].codec_context.color_range == 1
    assert any("limited range" in note for note in reporter.notes)


def test_hdr_and_tall_pictures_say_what_players_do(tmp_path: Path) -> None:
    reporter = ListReporter()
    shot = Shot(color=ColorSpec("bt2020nc", "tv", "bt2020", "smpte2084"), width=32, height=2050, pts=(0,))
    write(tmp_path / "clip.mp4", shot, reporter=reporter, stacked=True, encode="fast")
    assert any("tone-maps" in note for note in reporter.notes)
    assert any("32x4100" in note and "--format hevc" in note for note in reporter.notes)


@pytest.mark.parametrize("codec", CODECS)
def test_the_file_says_what_it_is(tmp_path: Path, codec: str) -> None:
    shot = Shot(width=101, height=63, pts=(0, 3000), metadata={"comment": "take 3", "title": "Me"})
    write(tmp_path / "clip.mp4", shot, format=codec, stacked=True)
    with av.open(str(tmp_path / "clip.mp4")) as container:
        said = container.metadata["comment"]
        assert container.metadata["title"] == "Me"
        context = container.streams.video[0].codec_context
        assert context.codec_tag == ("hvc1" if codec == "hevc" else "avc1")
    assert said.startswith("stacked alpha: straight colours in the upper half")
    assert "picture 101x63, from the top left of halves of 102x64" in said
    assert said.endswith("; take 3")


@pytest.mark.parametrize("codec", CODECS)
def test_uneven_times_are_exact(tmp_path: Path, codec: str) -> None:
    pts = (5, 3000, 7000, 8001, 15000, 15001, 40000, 41000)
    write(tmp_path / "clip.mp4", Shot(pts=pts), format=codec, stacked=True)
    assert times(tmp_path / "clip.mp4") == [Fraction(value, 90000) for value in pts]


@pytest.mark.parametrize("codec", CODECS)
def test_a_wrong_lower_half_is_caught(tmp_path: Path, codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = pixels.Packer._fill_luma
    monkeypatch.setattr(pixels.Packer, "_fill_luma", lambda self, planes, matte: real(self, planes, matte // 2))
    sink = start(tmp_path / "clip.mp4", Shot(), format=codec, stacked=True)
    for index in range(8):
        sink.write(Shot().item(index, sink.wants))
    with pytest.raises(AlphaLost, match="different from the matte by"):
        sink.close()
    assert not list(tmp_path.iterdir())


def test_a_picture_that_changes_its_size_keeps_its_halves(tmp_path: Path) -> None:
    sink = start(tmp_path / "clip.mp4", Shot(**SIZE), stacked=True)
    sink.write(Shot(**SIZE).item(0, "straight"))
    sink.write(Shot(width=640, height=384).item(1, "straight"))
    sink.close()
    frame = decode(tmp_path / "clip.mp4")[1]
    meant = cv2.resize(alpha(640, 384, 1), (320, 192), interpolation=cv2.INTER_AREA)
    got: Any = alpha_of(frame, sink.encoding, wide=False)
    assert np.abs(got.astype(int) - meant).mean() < 1.0


def test_deep_alpha_has_877_levels(tmp_path: Path) -> None:
    """The 10 bits of HEVC halve the rounding twice."""
    shot = Shot(pix_fmt="yuv420p10le", **SIZE)
    sink = write(tmp_path / "clip.mp4", shot, format="hevc", stacked=True, encode="lossless")
    got = alpha_of(decode(tmp_path / "clip.mp4")[0], sink.encoding, wide=True).astype(np.float64)
    meant = alpha(320, 192, wide=True)
    assert np.abs(got - meant).max() <= 65535 / 876 / 2 + 1
    assert np.abs(alpha_to_bits(got.astype(np.uint16), 8).astype(int) - alpha_to_bits(meant, 8)).max() <= 1


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_very_short_hevc_is_written_every_time(tmp_path: Path, frames: int) -> None:
    """x265 gave chance decoding times to clips of one or two pictures: nine of ten writes failed."""
    pts = (7, 3000, 9000)[:frames]
    for attempt in range(12):
        path = tmp_path / f"{attempt}.mp4"
        write(path, Shot(pts=pts, width=101), format="hevc", stacked=True, encode=("good", "lossless")[attempt % 2])
        assert times(path) == [Fraction(value, 90000) for value in pts]
        assert len(decode(path)) == frames
