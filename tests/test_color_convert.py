from __future__ import annotations

import threading

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest

from livematte.color import ColorSpec
from livematte.color_convert import hlg_to_scene, nits_to_pq, pq_to_nits, to_rgb, tone_map_nits
from livematte.planes import layout, new_picture, plane_arrays

LUMA = {"bt709": (0.2126, 0.0722), "smpte170m": (0.299, 0.114), "bt470bg": (0.299, 0.114), "bt2020nc": (0.2627, 0.0593)}
Float = npt.NDArray[np.float64]


def rgb_by_formula(planes: list[Float], matrix: str, span: str, bits: int) -> Float:
    """(h, w, 3) RGB 0..255, unrounded, of YUV planes at one size: Rec. BT.601/709/2020 as they are written."""
    kr, kb = LUMA[matrix]
    step = 1 << (bits - 8)
    if span == "tv":
        y = (planes[0] - 16 * step) / (219 * step)
        u, v = ((plane - 128 * step) / (224 * step) for plane in planes[1:])
    else:
        peak = (1 << bits) - 1
        y = planes[0] / peak
        u, v = ((plane - 128 * step) / peak for plane in planes[1:])
    red, blue = y + 2 * (1 - kr) * v, y + 2 * (1 - kb) * u
    green = (y - kr * red - kb * blue) / (1 - kr - kb)
    return np.clip(np.dstack([red, green, blue]) * 255, 0, 255)


def picture_of(pix_fmt: str, width: int, height: int, seed: int = 0) -> av.VideoFrame:
    """Smooth patches with noise, inside the legal range."""
    rng = np.random.default_rng(seed)
    made = new_picture(pix_fmt, width, height)
    for plane in plane_arrays(made):
        high, wide = plane.shape
        patches = rng.integers(60, 180, (high // 8 + 1, wide // 8 + 1)).astype(np.float32)
        values = cv2.resize(patches, (wide, high)).reshape(high, wide) + rng.normal(0, 8, (high, wide))
        plane[:] = (np.clip(values, 20, 230) * (1 << (layout(pix_fmt).bits - 8))).astype(plane.dtype)
    return made


def flat_picture(pix_fmt: str, values: tuple[int, int, int]) -> av.VideoFrame:
    made = new_picture(pix_fmt, 64, 48)
    for plane, value in zip(plane_arrays(made), values, strict=True):
        plane.fill(value)
    return made


@pytest.mark.parametrize("matrix", ["bt709", "smpte170m", "bt470bg", "bt2020nc"])
@pytest.mark.parametrize("span", ["tv", "pc"])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p", "yuv422p10le", "yuv420p12le"])
def test_colours_follow_the_pictures_own_matrix_and_range(matrix: str, span: str, pix_fmt: str) -> None:
    bits = layout(pix_fmt).bits
    rng = np.random.default_rng(3)
    for _ in range(10):
        step = 1 << (bits - 8)
        values = tuple(int(v) * step for v in (rng.integers(40, 200), *rng.integers(90, 165, 2)))
        got = to_rgb(flat_picture(pix_fmt, values), ColorSpec(matrix, span), 32, 24)
        want = rgb_by_formula([np.full((1, 1), float(v)) for v in values], matrix, span, bits)[0, 0]
        assert np.abs(got.reshape(-1, 3) - want).max() <= (0.8 if span == "pc" and bits > 8 else 0.55)


@pytest.mark.parametrize("span", ["tv", "pc"])
@pytest.mark.parametrize("pix_fmt", ["yuv420p10le", "yuv422p10le", "yuv420p12le"])
def test_colours_at_the_pictures_own_size(pix_fmt: str, span: str) -> None:
    """libswscale's converter of 10-bit 4:2:0 to packed 16-bit RGB, taken where no side changes, gives wrong colours."""
    bits = layout(pix_fmt).bits
    values = (150 << (bits - 8), 125 << (bits - 8), 133 << (bits - 8))
    got = to_rgb(flat_picture(pix_fmt, values), ColorSpec("bt709", span), 64, 48)
    want = rgb_by_formula([np.full((1, 1), float(v)) for v in values], "bt709", span, bits)[0, 0]
    assert np.abs(got.reshape(-1, 3) - want).max() <= 0.8


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p", "yuv422p10le"])
@pytest.mark.parametrize("size", [(448, 256), (224, 160)])
def test_the_scaled_picture_is_the_exact_area_mean(pix_fmt: str, size: tuple[int, int]) -> None:
    picture = picture_of(pix_fmt, 1283, 721)
    planes = [
        cv2.resize(plane.astype(np.float32), size, interpolation=cv2.INTER_AREA).astype(np.float64)
        for plane in plane_arrays(picture)
    ]
    error = to_rgb(picture, ColorSpec("bt709", "tv"), *size) - rgb_by_formula(
        planes, "bt709", "tv", layout(pix_fmt).bits
    )
    assert abs(error.mean()) < 0.05
    assert np.abs(error).mean() < 0.3


@pytest.mark.parametrize("pix_fmt", ["gbrp", "gbrp10le", "gbrp16le"])
def test_planar_rgb_is_scaled_without_losing_its_chroma(pix_fmt: str) -> None:
    picture = picture_of(pix_fmt, 1280, 720)
    green, blue, red = (
        cv2.resize(p.astype(np.float32), (448, 256), interpolation=cv2.INTER_AREA) for p in plane_arrays(picture)
    )
    want = np.dstack([red, green, blue]) * (255 / layout(pix_fmt).peak)
    error = to_rgb(picture, ColorSpec("rgb", "pc"), 448, 256) - want
    assert abs(error.mean()) < 0.05
    assert np.abs(error).mean() < 0.3


def test_limited_rgb_is_spread_to_full_range() -> None:
    got = to_rgb(flat_picture("gbrp", (16, 235, 125)), ColorSpec("rgb", "tv"), 8, 8)
    assert got[0, 0].tolist() == [127, 0, 255]


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (2, 2), (7, 1)])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p10le", "gbrp"])
def test_tiny_pictures_convert(size: tuple[int, int], pix_fmt: str) -> None:
    bits = layout(pix_fmt).bits
    made = new_picture(pix_fmt, *size)
    for plane, value in zip(plane_arrays(made), (126, 128, 128), strict=True):
        plane.fill(value << (bits - 8))
    color = ColorSpec("rgb", "pc") if layout(pix_fmt).is_rgb else ColorSpec("bt709", "tv")
    got = to_rgb(made, color, 32, 32)
    assert got.shape == (32, 32, 3)
    assert got.dtype == np.uint8
    assert np.abs(got.astype(int) - 128).max() <= 2


def test_the_result_is_contiguous_and_its_own_memory() -> None:
    picture = picture_of("yuv420p", 128, 96)
    first = to_rgb(picture, ColorSpec("bt709", "tv"), 33, 17)
    kept = first.copy()
    second = to_rgb(picture_of("yuv420p", 128, 96, seed=9), ColorSpec("bt709", "tv"), 33, 17)
    assert first.flags.c_contiguous
    assert (first == kept).all()
    assert (first != second).any()


def test_threads_have_scalers_of_their_own() -> None:
    picture = picture_of("yuv420p", 320, 240)
    want = to_rgb(picture, ColorSpec("bt709", "tv"), 96, 64)
    different: list[int] = []

    def work() -> None:
        for _ in range(20):
            if (to_rgb(picture, ColorSpec("bt709", "tv"), 96, 64) != want).any():
                different.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not different


def test_the_pictures_own_tags_are_left_as_they_were() -> None:
    picture = picture_of("yuv420p10le", 64, 64)
    picture.colorspace, picture.color_range, picture.color_primaries, picture.color_trc = 9, 1, 9, 16
    to_rgb(picture, ColorSpec("bt2020nc", "tv", "bt2020", "smpte2084"), 32, 32)
    assert (picture.colorspace, picture.color_range, picture.color_primaries, picture.color_trc) == (9, 1, 9, 16)


def test_a_format_that_is_no_working_format_is_refused() -> None:
    with pytest.raises(ValueError, match="working format"):
        to_rgb(av.VideoFrame(16, 16, "nv12"), ColorSpec("bt709", "tv"), 8, 8)


# --- HDR ---


def test_pq_matches_the_values_that_bt2100_gives() -> None:
    nits = pq_to_nits(np.array([0.0, 0.508078, 0.580689, 0.751827, 1.0]))
    assert nits == pytest.approx([0, 100, 203, 1000, 10000], rel=1e-4)
    assert nits_to_pq(nits) == pytest.approx([0, 0.508078, 0.580689, 0.751827, 1.0], abs=1e-5)


def test_hlg_matches_the_values_that_bt2100_gives() -> None:
    assert hlg_to_scene(np.array([0.0, 0.5, 0.75, 1.0])) == pytest.approx([0, 1 / 12, 0.26496, 1.0], abs=1e-4)


def test_the_tone_curve_rises_keeps_the_dark_and_ends_at_sdr_white() -> None:
    light = np.linspace(0, 1000, 500)
    mapped = tone_map_nits(light)
    assert (np.diff(mapped) > 0).all()
    assert mapped[-1] == pytest.approx(100, abs=0.1)
    assert tone_map_nits(np.array([5.0, 20.0])) == pytest.approx([5, 20], rel=1e-6)
    assert float(tone_map_nits(np.array([203.0]))[0]) == pytest.approx(89, abs=1)


@pytest.mark.parametrize(("trc", "signal"), [("smpte2084", 0.580689), ("arib-std-b67", 0.75)])
def test_reference_white_comes_out_nearly_white_and_grey(trc: str, signal: float) -> None:
    code = round(64 + 876 * signal)
    picture = flat_picture("yuv420p10le", (code, 512, 512))
    got = to_rgb(picture, ColorSpec("bt2020nc", "tv", "bt2020", trc), 16, 16).reshape(-1, 3)
    want = 255 * (89 / 100) ** (1 / 2.4)
    assert np.ptp(got[0]) <= 1
    assert np.abs(got - want).max() <= 3


def test_hdr_by_the_whole_formula() -> None:
    rng = np.random.default_rng(8)
    color = ColorSpec("bt2020nc", "tv", "bt2020", "smpte2084")
    matrix = np.array([[1.660491, -0.587641, -0.07285], [-0.12455, 1.1329, -0.008349], [-0.018151, -0.100579, 1.11873]])
    for _ in range(20):
        values = tuple(int(v) for v in (rng.integers(200, 640), *rng.integers(460, 560, 2)))
        got = to_rgb(flat_picture("yuv444p10le", values), color, 8, 8)[0, 0]
        signal = rgb_by_formula([np.full((1, 1), float(v)) for v in values], "bt2020nc", "tv", 10)[0, 0] / 255
        light = matrix @ (tone_map_nits(pq_to_nits(signal)) / 100)
        want = 255 * np.clip(light, 0, 1) ** (1 / 2.4)
        assert np.abs(got - want).max() <= 1.5


def test_black_stays_black_in_hdr() -> None:
    got = to_rgb(
        flat_picture("yuv420p10le", (64, 512, 512)), ColorSpec("bt2020nc", "tv", "bt2020", "arib-std-b67"), 8, 8
    )
    assert got.max() <= 1
