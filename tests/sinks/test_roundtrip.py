"""Codec round trips with exact alpha, for every format and every `--encode` level, and what planes come back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from livematte.color import ColorSpec
from livematte.planes import alpha_from_bits, alpha_to_bits, layout, plane_arrays
from livematte.sinks.encodings import ffv1_format
from livematte.sinks.pixels import packed_array
from livematte.sinks.verify import alpha_of
from sinks.making import BT709, FORMATS_WITH_ALPHA, RGB, Shot, alpha, decode, picture, write

LEVELS = ("fast", "good", "lossless")
MEAN_LIMIT = {"mov": 1.0, "webm": 1.0, "mkv": 0.0, "png": 0.0, "nut": 0.0}
SIZE = {"width": 320, "height": 192}


def _first(folder: Path, name: str) -> Path:
    return folder / name / "0000.png" if name.endswith("/") else folder / name


def _differences(folder: Path, name: str, sink: Any, shot: Shot, *, wide: bool) -> np.ndarray:
    """Absolute differences of alpha over all frames, in steps of 1/255."""
    paths = sorted((folder / name).iterdir()) if name.endswith("/") else [folder / name]
    decoder = "libvpx-vp9" if name.endswith(".webm") else None
    frames = [frame for path in paths for frame in decode(path, decoder)]
    assert len(frames) == len(shot.pts)
    found = []
    for index, frame in enumerate(frames):
        got = alpha_of(frame, sink.encoding, wide=wide).astype(np.float64)
        meant = alpha(shot.width, shot.height, index, wide=wide).astype(np.float64)
        found.append(np.abs(got - meant) / (257.0 if wide else 1.0))
    return np.stack(found)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("kind", list(FORMATS_WITH_ALPHA))
def test_alpha_comes_back(tmp_path: Path, kind: str, level: str) -> None:
    shot = Shot(**SIZE)
    name = FORMATS_WITH_ALPHA[kind]
    sink = write(f"{tmp_path}/{name}", shot, encode=level)
    off = _differences(tmp_path, name, sink, shot, wide=sink.alpha_bits > 8)
    if level == "lossless":
        # ProRes takes 10 bits of a 16-bit matte and is decoded as 12: half a step of 1/1023 and of 1/4095.
        assert off.max() <= (0.17 if kind == "mov" else 0.0)
    assert off.mean() <= MEAN_LIMIT[kind]
    assert np.quantile(off, 0.999) <= (16 if kind == "webm" else 0.17)


@pytest.mark.parametrize("kind", list(FORMATS_WITH_ALPHA))
@pytest.mark.parametrize("pix_fmt", ["yuv420p10le", "yuv422p10le", "gbrp"])
def test_alpha_of_deeper_and_rgb_sources(tmp_path: Path, kind: str, pix_fmt: str) -> None:
    shot = Shot(pix_fmt=pix_fmt, **SIZE)
    name = FORMATS_WITH_ALPHA[kind]
    sink = write(f"{tmp_path}/{name}", shot)
    deep = layout(pix_fmt).bits > 8 and kind in ("mov", "mkv", "png")
    assert (sink.alpha_bits > 8) == deep
    off = _differences(tmp_path, name, sink, shot, wide=deep)
    assert off.mean() <= (1.0 if kind == "webm" else 0.13)


@pytest.mark.parametrize(
    "pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p12le", "gbrp10le"]
)
@pytest.mark.parametrize("color_range", ["tv", "pc"])
def test_ffv1_gives_every_plane_back_bit_for_bit(tmp_path: Path, pix_fmt: str, color_range: str) -> None:
    spec = RGB if "gbr" in pix_fmt else ColorSpec("bt709", color_range)
    shot = Shot(pix_fmt=pix_fmt, width=100, height=70, pts=(0, 3000, 6000), color=spec)
    write(tmp_path / "clip.mkv", shot)
    bits = layout(pix_fmt).bits
    for index, frame in enumerate(decode(tmp_path / "clip.mkv")):
        assert layout(frame.format.name).has_alpha
        *colours, fourth = plane_arrays(frame)
        for got, meant in zip(colours, plane_arrays(picture(pix_fmt, 100, 70, index)), strict=True):
            assert np.array_equal(got, meant)
        assert np.array_equal(fourth, alpha_to_bits(alpha(100, 70, index, wide=bits > 8), bits))


def test_ffv1_keeps_8_bit_rgb_exactly_as_bgra(tmp_path: Path) -> None:
    write(tmp_path / "clip.mkv", Shot(pix_fmt="gbrp"))
    frame = decode(tmp_path / "clip.mkv")[0]
    assert frame.format.name == "bgra"
    green, blue, red = plane_arrays(picture("gbrp", 96, 64))
    got = packed_array(frame)
    for channel, meant in enumerate((blue, green, red, alpha(96, 64))):
        assert np.array_equal(got[..., channel], meant)


def test_ffv1_takes_the_next_larger_depth_where_it_has_no_alpha_form(tmp_path: Path) -> None:
    assert ffv1_format("yuv420p12le", with_alpha=True) == "yuva420p16le"
    shot = Shot(pix_fmt="yuv420p12le", pts=(0,))
    write(tmp_path / "clip.mkv", shot)
    *colours, fourth = plane_arrays(decode(tmp_path / "clip.mkv")[0])
    for got, meant in zip(colours, plane_arrays(picture("yuv420p12le", 96, 64)), strict=True):
        assert np.array_equal(got, meant << 4)
    assert np.array_equal(fourth, alpha(96, 64, wide=True))


def test_vp9_lossless_gives_every_plane_back_bit_for_bit(tmp_path: Path) -> None:
    write(tmp_path / "clip.webm", Shot(), encode="lossless")
    for index, frame in enumerate(decode(tmp_path / "clip.webm", "libvpx-vp9")):
        for got, meant in zip(plane_arrays(frame)[:3], plane_arrays(picture("yuv420p", 96, 64, index)), strict=True):
            assert np.array_equal(got, meant)


def test_prores_colours_come_back(tmp_path: Path) -> None:
    write(tmp_path / "clip.mov", Shot(**SIZE))
    frame = decode(tmp_path / "clip.mov")[3]
    assert frame.format.name == "yuva444p12le"
    luma = plane_arrays(frame)[0].astype(np.float64) / 16
    meant = plane_arrays(picture("yuv420p", 320, 192, 3))[0].astype(np.float64)
    assert np.abs(luma - meant).mean() < 0.6


@pytest.mark.parametrize("kind", ["mov", "mp4", "mkv", "png", "nut", "webm"])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "gbrp"])
def test_alpha_only_is_a_grey_picture(tmp_path: Path, kind: str, pix_fmt: str) -> None:
    name = {"png": "matte/"}.get(kind, f"matte.{kind}")
    shot = Shot(pix_fmt=pix_fmt, **SIZE)
    sink = write(f"{tmp_path}/{name}", shot, alpha_only=True)
    assert sink.wants == "alpha"
    frame = decode(_first(tmp_path, name))[0]
    got = alpha_of(frame, sink.encoding, wide=False).astype(np.float64)
    exact = kind in ("mkv", "png", "nut")
    assert np.abs(got - alpha(320, 192)).mean() <= (0.0 if exact else 1.0)
    if frame.format.name.startswith("yuv"):
        mid = 1 << (layout(frame.format.name).bits - 1)
        assert all(np.abs(plane.astype(int) - mid).max() <= 2 for plane in plane_arrays(frame)[1:3])


def test_an_opaque_composite_converts_to_8_bit_420(tmp_path: Path) -> None:
    shot = Shot(pix_fmt="yuv422p10le", **SIZE)
    write(tmp_path / "clip.mp4", shot, background="green")
    frame = decode(tmp_path / "clip.mp4")[0]
    assert frame.format.name == "yuv420p"
    meant = plane_arrays(picture("yuv422p10le", 320, 192))
    got = plane_arrays(frame)
    assert np.abs(got[0] - meant[0] / 4.0).mean() < 1.0
    rows = meant[1].astype(np.float64)
    assert np.abs(got[1] - (rows[0::2] + rows[1::2]) / 8).mean() < 1.0


def test_png_pictures_show_the_frames_own_matrix(tmp_path: Path) -> None:
    for matrix, weights in (("bt709", (0.2126, 0.0722)), ("smpte170m", (0.299, 0.114))):
        shot = Shot(pts=(0,), pix_fmt="yuv444p", color=ColorSpec(matrix, "tv"))
        write(f"{tmp_path}/{matrix}/", shot)
        got = packed_array(decode(tmp_path / matrix / "0000.png")[0])[..., :3].astype(np.float64)
        luma, blue, red = (plane.astype(np.float64) for plane in plane_arrays(picture("yuv444p", 96, 64)))
        bright, b, r = (luma - 16) / 219, (blue - 128) / 224 * 2 * (1 - weights[1]), (red - 128) / 224
        r *= 2 * (1 - weights[0])
        g = -(weights[0] * r + weights[1] * b) / (1 - sum(weights))
        meant = np.clip(np.stack([bright + r, bright + g, bright + b], -1) * 255, 0, 255)
        assert np.abs(got - meant).max() <= 0.65


def test_png_of_a_deep_source_has_16_bits(tmp_path: Path) -> None:
    write(f"{tmp_path}/deep/", Shot(pix_fmt="gbrp10le", pts=(0,)))
    frame = decode(tmp_path / "deep" / "0000.png")[0]
    assert frame.format.name == "rgba64be"
    red = plane_arrays(picture("gbrp10le", 96, 64))[2]
    assert np.array_equal(packed_array(frame)[..., 0].byteswap(), alpha_from_bits(red, 10, wide=True))


@pytest.mark.shared
@pytest.mark.parametrize(("name", "bound"), [("clip.mov", 1.0), ("clip.webm", 1.0), ("clip.mkv", 0.0)])
def test_real_mattes(tmp_path: Path, shared: Path, name: str, bound: float) -> None:
    mattes = [frame.to_ndarray() for frame in decode(shared / "eval" / "curls.alpha.mkv")[:6]]
    pictures = decode(shared / "eval" / "curls.mp4")[:6]
    shot = Shot(width=1280, height=720, pts=tuple(range(0, 6 * 3000, 3000)), color=BT709)
    from sinks.making import start

    sink = start(tmp_path / name, shot, encode="fast")
    for index, (shown, matte) in enumerate(zip(pictures, mattes, strict=True)):
        item: Any = Shot().item(index, "straight")
        item.matte.alpha, item.matte.foreground = matte, shown
        sink.write(item)
    sink.close()
    frames = decode(tmp_path / name, "libvpx-vp9" if name.endswith("webm") else None)
    off = [
        np.abs(alpha_of(frame, sink.encoding, wide=False).astype(int) - matte)
        for frame, matte in zip(frames, mattes, strict=True)
    ]
    assert np.mean(off) <= bound
    assert np.quantile(off, 0.999) <= 16 * bound
