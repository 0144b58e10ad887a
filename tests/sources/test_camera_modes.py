"""Which mode of a camera is asked for, and what FFmpeg's Windows and macOS devices log about modes."""

from __future__ import annotations

from fractions import Fraction

import pytest

from livematte.config import LiveSettings
from livematte.errors import SourceError, UsageError
from livematte.sources.camera_modes import (
    Mode,
    Wanted,
    choose_mode,
    modes_words,
    parse_avfoundation_modes,
    parse_dshow_modes,
    rates_within,
    sizes_within,
)


def mode(width: int, height: int, rate: object, name: str) -> Mode:
    return Mode(width, height, Fraction(rate), name)  # type: ignore[arg-type]


C920 = [
    mode(640, 480, 30, "yuyv422"), mode(1280, 720, 10, "yuyv422"), mode(1920, 1080, 5, "yuyv422"),
    mode(640, 480, 30, "mjpeg"), mode(1280, 720, 30, "mjpeg"), mode(1280, 720, 15, "mjpeg"),
    mode(1920, 1080, 30, "mjpeg"), mode(1280, 720, 30, "h264"),
]  # fmt: skip
USB3 = [mode(1280, 720, 30, "mjpeg"), mode(1280, 720, 30, "yuyv422"), mode(1280, 720, 60, "nv12")]
LAPTOP = [mode(640, 480, 30, "yuyv422"), mode(1280, 720, 10, "yuyv422")]


@pytest.mark.parametrize(
    ("modes", "wanted", "chosen"),
    [
        (C920, Wanted(), mode(1280, 720, 30, "mjpeg")),  # raw is too slow at that size
        (USB3, Wanted(), mode(1280, 720, 30, "yuyv422")),  # raw is fast enough
        (LAPTOP, Wanted(), mode(640, 480, 30, "yuyv422")),  # rate before size
        ([mode(640, 360, 30, "gray"), mode(640, 480, 15, "yuyv422")], Wanted(), mode(640, 480, 15, "yuyv422")),
        ([mode(640, 360, 15, "gray")], Wanted(), mode(640, 360, 15, "gray")),
        ([mode(1280, 960, 30, "mjpeg"), mode(640, 360, 30, "mjpeg")], Wanted(), mode(1280, 960, 30, "mjpeg")),
        (C920, Wanted(size=(1920, 1080)), mode(1920, 1080, 30, "mjpeg")),
        (C920, Wanted(size=(1920, 1080), near=True), mode(1920, 1080, 30, "mjpeg")),
        (USB3, Wanted(size=(1920, 1080), near=True), mode(1280, 720, 30, "yuyv422")),
        (C920, Wanted(format="yuyv422"), mode(640, 480, 30, "yuyv422")),
        (C920, Wanted(format="yuyv422", size=(1280, 720)), mode(1280, 720, 10, "yuyv422")),
        (C920, Wanted(rate=Fraction(30000, 1001)), mode(1280, 720, 30, "mjpeg")),
        (C920, Wanted(rate=Fraction(15)), mode(1280, 720, 15, "mjpeg")),
        (C920, Wanted(format="h264"), mode(1280, 720, 30, "h264")),
        ([], Wanted(size=(1280, 720)), None),
    ],
)  # fmt: skip
def test_the_best_mode(modes: list[Mode], wanted: Wanted, chosen: Mode | None) -> None:
    assert choose_mode(modes, wanted, "camera 0") == chosen
    assert choose_mode(modes[::-1], wanted, "camera 0") == chosen


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(size=(800, 600)),
        Wanted(rate=Fraction(60)),
        Wanted(format="nv12"),
        Wanted(size=(1920, 1080), format="h264"),
    ],
)
def test_what_was_asked_for_is_never_replaced(wanted: Wanted) -> None:
    with pytest.raises(SourceError, match=r"camera 0 cannot give .* It has: 1920x1080 at 30"):
        choose_mode(C920, wanted, "camera 0")


def test_what_people_write() -> None:
    settings = LiveSettings(camera_size="1280x720", camera_rate="29.97", camera_format="MJPG")
    assert Wanted.of(settings) == Wanted((1280, 720), Fraction(30000, 1001), "mjpeg")
    assert Wanted.of(LiveSettings()) == Wanted()
    assert Wanted.of(LiveSettings(camera_size="~1920x1080")) == Wanted((1920, 1080), near=True)
    assert Wanted.of(LiveSettings(camera_size="~1920x1080")).is_soft
    assert not Wanted.of(LiveSettings(camera_size="1920x1080")).is_soft
    with pytest.raises(UsageError, match="--camera-size"):
        Wanted.of(LiveSettings(camera_size="720p"))
    with pytest.raises(UsageError, match="frame rate"):
        Wanted.of(LiveSettings(camera_rate="fast"))


def test_modes_in_words() -> None:
    assert modes_words(C920) == (
        "1920x1080 at 30 (MJPEG) or 5 (YUYV), 1280x720 at 30 (H.264, MJPEG) or 10 (YUYV), 640x480 at 30 (MJPEG, YUYV)"
    )
    assert modes_words([mode(1280, 720, 30, ""), mode(1280, 720, 15, "")]) == "1280x720 at 30"


DSHOW = """
 Pin "Capture" (alternative pin name "Capture")
  pixel_format=yuyv422  min s=640x480 fps=5 max s=640x480 fps=30
  pixel_format=yuyv422  min s=640x480 fps=5 max s=640x480 fps=30 (tv, bt470bg/bt709/unknown, topleft)
  vcodec=mjpeg  min s=1280x720 fps=30 max s=1280x720 fps=30.0003
  unknown compression type 0x34363248  min s=1280x720 fps=5 max s=1280x720 fps=30
"""


def test_what_directshow_logs() -> None:
    modes = parse_dshow_modes(DSHOW.splitlines())
    assert mode(1280, 720, 30, "mjpeg") in modes
    assert {one.format for one in modes} == {"mjpeg", "yuyv422"}
    assert {one.rate for one in modes if one.format == "yuyv422"} == {5, 15, 24, 25, 30}
    assert choose_mode(modes, Wanted(), "camera 0") == mode(1280, 720, 30, "mjpeg")


AVFOUNDATION = """
Selected video size (16x16) is not supported by the device.
Supported modes:
  1280x720@[1.000000 30.000030]fps
  640x480@[15.000000 29.970030]fps
"""


def test_what_avfoundation_logs() -> None:
    modes = parse_avfoundation_modes(AVFOUNDATION.splitlines())
    assert modes == [mode(640, 480, Fraction(30000, 1001), ""), mode(1280, 720, 30, "")]


def test_ranges_hold_their_ends_and_the_usual() -> None:
    assert sizes_within((32, 32, 16), (2592, 1944, 8))[0] == (32, 32)
    assert (1280, 720) in sizes_within((32, 32, 16), (2592, 1944, 8))
    assert (1280, 720) not in sizes_within((30, 32, 16), (2592, 1944, 8))
    assert rates_within(Fraction(1), Fraction(30)) == [1, 15, 24, 25, 30]
    assert rates_within(Fraction(0), Fraction(0)) == []
