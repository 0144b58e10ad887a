"""Known colours come out of each camera format as BT.601 limited range has them, wherever they come from."""

from __future__ import annotations

import numpy as np
import pytest
from live_outputs_making import BT601, Shot, flat, unpacked

from livematte.color import ColorSpec
from livematte.compositing.canvas import Canvas, flat_values
from livematte.live.outputs.camera_pixels import CameraPacker, PixelName, Region, even_size, fit
from livematte.planes import new_picture, plane_arrays
from livematte.reporting import ListReporter

COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (200, 150, 120), (128, 128, 128))
PIXELS: tuple[PixelName, ...] = ("YUYV", "UYVY", "I420", "NV12", "RGB", "RGBA")
SOURCES = (
    ("yuv420p", ColorSpec("bt709", "tv")),
    ("yuv420p", ColorSpec("bt709", "pc")),
    ("yuv422p", ColorSpec("bt470bg", "pc")),
    ("yuv420p", ColorSpec("smpte170m", "tv")),
    ("yuv444p", ColorSpec("bt2020nc", "tv")),
    ("yuv420p10le", ColorSpec("bt709", "tv")),
    ("gbrp", ColorSpec("rgb", "pc")),
    ("gbrp", ColorSpec("rgb", "tv")),
)
WIDTH, HEIGHT = 32, 24


def expected(pixel: str, rgb: tuple[int, int, int]) -> tuple[int, ...]:
    return rgb if pixel.startswith("RGB") else flat_values(rgb, Canvas(WIDTH, HEIGHT, "yuv420p", BT601))


@pytest.mark.parametrize(("pix_fmt", "color"), SOURCES, ids=[f"{f} {c.colorspace} {c.color_range}" for f, c in SOURCES])
@pytest.mark.parametrize("pixel", PIXELS)
def test_known_colours(pixel: PixelName, pix_fmt: str, color: ColorSpec) -> None:
    packer = CameraPacker(pixel, WIDTH, HEIGHT, reporter=ListReporter())
    for rgb in COLOURS:
        sent = packer.pack(flat(rgb, pix_fmt, WIDTH, HEIGHT, color), color)
        for channel, value in zip(unpacked(pixel, WIDTH, HEIGHT, sent), expected(pixel, rgb), strict=False):
            assert np.abs(channel.astype(int) - value).max() <= 1, (rgb, value)


def test_hdr_is_tone_mapped_and_grey_stays_grey() -> None:
    color = ColorSpec("bt2020nc", "tv", "bt2020", "smpte2084")
    picture = new_picture("yuv420p10le", WIDTH, HEIGHT)
    for plane, value in zip(plane_arrays(picture), (600, 512, 512), strict=True):  # 335 nit
        plane[:] = value
    luma, blue, red = unpacked(
        "YUYV", 32, 24, CameraPacker("YUYV", 32, 24, reporter=ListReporter()).pack(picture, color)
    )
    assert 200 < luma.mean() <= 235
    assert abs(blue.mean() - 128) <= 1
    assert abs(red.mean() - 128) <= 1


@pytest.mark.parametrize("pixel", ["YUYV", "UYVY", "I420", "NV12"])
def test_bt601_limited_passes_bit_for_bit(pixel: PixelName) -> None:
    """4:2:0 into 4:2:0, and 4:2:2 into 4:2:2: the very samples."""
    pix_fmt = "yuv420p" if pixel in ("I420", "NV12") else "yuv422p"
    picture = Shot(pix_fmt, WIDTH, HEIGHT).shown(3)
    packer = CameraPacker(pixel, WIDTH, HEIGHT, reporter=ListReporter())
    for channel, plane in zip(
        unpacked(pixel, WIDTH, HEIGHT, packer.pack(picture, BT601)), plane_arrays(picture), strict=True
    ):
        assert np.array_equal(channel, plane)


def test_a_matrix_change_follows_the_picture_not_only_its_mean() -> None:
    """Where colours differ from pixel to pixel, luma gets its own pixel's share of chroma (4:4:4 arithmetic)."""
    color = ColorSpec("bt709", "tv")
    picture = Shot("yuv420p", 64, 48).shown(1)
    for plane in plane_arrays(picture)[1:]:
        plane[:, :16], plane[:, 16:] = 90, 170
    luma, _, _ = unpacked("I420", 64, 48, CameraPacker("I420", 64, 48, reporter=ListReporter()).pack(picture, color))
    change = luma.astype(int) - plane_arrays(picture)[0]
    share = 219 / 224 * (0.1016 + 0.1963)  # of Cb and Cr in luma, BT.709 to BT.601
    assert np.abs(change[:, :28] - share * (90 - 128)).max() <= 1.5
    assert np.abs(change[:, 36:] - share * (170 - 128)).max() <= 1.5


def test_straight_frames_keep_colours_and_alpha_apart() -> None:
    """Not premultiplied: where alpha is small the colour is as bright as where it is 1."""
    shot = Shot(rgb=(200, 150, 120))
    matted = shot.frame(0).matted
    assert matted is not None
    foreground = matted.frame.host_picture()
    packer = CameraPacker("RGBA", 96, 64, reporter=ListReporter())
    red, green, blue, alpha = unpacked("RGBA", 96, 64, packer.pack_straight(foreground, shot.spec, matted.matte.alpha))
    assert np.array_equal(alpha, matted.matte.alpha)
    for channel, value in zip((red, green, blue), (200, 150, 120), strict=True):
        assert np.abs(channel.astype(int) - value).max() <= 1


@pytest.mark.parametrize("pixel", PIXELS)
def test_another_size_keeps_its_aspect_over_black(pixel: PixelName) -> None:
    """A square picture in a 2:1 camera: black left and right, the colour in the middle; then the whole size again."""
    reporter = ListReporter()
    packer = CameraPacker(pixel, 64, 32, reporter=reporter)
    color = ColorSpec("bt709", "tv")
    first = unpacked(pixel, 64, 32, packer.pack(flat((255, 0, 0), "yuv420p", 48, 48, color), color))
    wanted, black = expected(pixel, (255, 0, 0)), expected(pixel, (0, 0, 0))
    for channel, value, dark in zip(first, wanted, black, strict=False):
        part = channel.shape[1] // 4
        assert np.abs(channel[:, part + 1 : -part - 1].astype(int) - value).max() <= 1
        assert np.abs(channel[:, : part - 1].astype(int) - dark).max() == 0
        assert np.abs(channel[:, -part + 1 :].astype(int) - dark).max() == 0
    assert reporter.notes == ["The picture is 48x48; the camera keeps 64x32, so it is scaled to fit."]
    again = unpacked(pixel, 64, 32, packer.pack(flat((255, 0, 0), "yuv420p", 64, 32, color), color))
    for channel, value in zip(again, wanted, strict=False):
        assert np.abs(channel.astype(int) - value).max() <= 1


def test_around_a_straight_picture_of_another_size_it_is_transparent() -> None:
    shot = Shot(width=48, height=48, rgb=(255, 255, 255))
    matted = shot.frame(0).matted
    assert matted is not None
    packer = CameraPacker("RGBA", 64, 32, reporter=ListReporter())
    opaque = packer.pack(flat((255, 0, 0), "yuv420p", 48, 48, shot.spec), shot.spec)
    assert opaque[..., 3].min() == 255  # a placeholder: black around it, not see-through
    sent = packer.pack_straight(matted.frame.host_picture(), shot.spec, np.full((48, 48), 255, np.uint8))
    assert sent[:, :16, 3].max() == 0
    assert sent[:, 48:, 3].max() == 0
    assert sent[:, 16:48, 3].min() == 255


@pytest.mark.parametrize("pixel", PIXELS)
def test_an_odd_size_loses_its_last_row_and_column(pixel: PixelName) -> None:
    reporter = ListReporter()
    width, height = even_size(33, 25)
    assert (width, height) == (32, 24)
    color = ColorSpec("bt709", "tv")
    sent = CameraPacker(pixel, width, height, reporter=reporter).pack(
        flat((200, 150, 120), "yuv420p", 33, 25, color), color
    )
    for channel, value in zip(unpacked(pixel, width, height, sent), expected(pixel, (200, 150, 120)), strict=False):
        assert np.abs(channel.astype(int) - value).max() <= 1
    assert not reporter.notes


def test_regions_are_even_and_inside() -> None:
    assert fit(1280, 720, 1280, 720) == Region(0, 0, 1280, 720)
    assert fit(640, 480, 1280, 720) == Region(160, 0, 960, 720)
    assert fit(1920, 1080, 640, 480) == Region(0, 60, 640, 360)
    for width in range(1, 90, 7):
        for height in range(1, 90, 11):
            region = fit(width, height, 64, 36)
            values = (region.left, region.top, region.width, region.height)
            assert all(value % 2 == 0 and value >= 0 for value in values)
            assert region.left + region.width <= 64
            assert region.top + region.height <= 36
            assert min(region.width, region.height) >= 2
