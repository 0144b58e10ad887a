"""Network sizes: pure functions, held against publishers' rules and by hand."""

from __future__ import annotations

import pytest

from livematte.errors import UsageError
from livematte.models.catalogue import by_name
from livematte.models.manifest import AreaSize, FixedSize, NativeRatioSize, PerQuality, ShortSideSize, State
from livematte.models.sizes import network_size, parse_size, state_shape

AREA = AreaSize(policy="area", pixels=PerQuality(fast=86016, good=114688, best=184320))
SHORT = ShortSideSize(policy="short_side", short_side=PerQuality(fast=384, good=512, best=672))
LETTERBOX = FixedSize(policy="fixed", width=1024, height=1024, fit="letterbox")
STRETCH = FixedSize(policy="fixed", width=320, height=240, fit="stretch")


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (1920, 1080, (448, 256)),
        (1080, 1920, (256, 448)),
        (3840, 2160, (448, 256)),
        (640, 480, (384, 288)),
        (1000, 1000, (352, 352)),
        (1, 1, (352, 352)),
        (4000, 10, (3584, 32)),
        (10, 4000, (32, 3584)),
    ],
)
def test_area(width: int, height: int, expected: tuple[int, int]) -> None:
    found = network_size(AREA, width, height)
    assert (found.width, found.height) == expected
    assert found.content == (0, 0, *expected)
    assert not found.is_padded


def test_area_follows_quality() -> None:
    sizes = [network_size(AREA, 1280, 720, quality=quality) for quality in ("fast", "good", "best")]
    assert [(one.width, one.height) for one in sizes] == [(384, 224), (448, 256), (576, 320)]


@pytest.mark.parametrize("width", range(1, 5000, 97))
@pytest.mark.parametrize("height", [1, 33, 720, 4321])
def test_area_keeps_its_promises(width: int, height: int) -> None:
    found = network_size(AREA, width, height)
    assert found.width % 32 == found.height % 32 == 0
    assert min(found.width, found.height) >= 32
    assert 0.65 <= found.width * found.height / 114688 <= 1.35  # rounding a side of 33 px to 32 or 64 costs that


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (1920, 1080, (896, 512)),  # 910 rounded down to a multiple of 32
        (1080, 1920, (512, 896)),
        (640, 480, (640, 480)),  # neither all below nor all above 512: kept
        (400, 300, (672, 512)),  # 682
        (1000, 500, (992, 480)),
        (1, 1, (512, 512)),
    ],
)
def test_short_side_is_modnets_rule(width: int, height: int, expected: tuple[int, int]) -> None:
    found = network_size(SHORT, width, height)
    assert (found.width, found.height) == expected


RVM = by_name("rvm").graph.input.size


@pytest.mark.parametrize(
    ("width", "height", "ratio"),
    [
        (1280, 720, 0.375),
        (720, 1280, 0.375),
        (1920, 1080, 0.25),
        (3840, 2160, 0.125),
        (512, 512, 1.0),
        (320, 240, 1.0),
        (1, 1, 1.0),
        (2048, 1000, 0.25),
        (640, 480, 0.8),
    ],
)
def test_native_ratio(width: int, height: int, ratio: float) -> None:
    found = network_size(RVM, width, height)
    assert (found.width, found.height) == (width, height)
    assert found.ratio == pytest.approx(ratio)


def test_native_ratio_follows_quality_up_to_one() -> None:
    assert isinstance(RVM, NativeRatioSize)
    assert network_size(RVM, 1920, 1080, quality="best").ratio == pytest.approx(0.4)  # the publisher's full body
    assert network_size(RVM, 1280, 720, quality="best").ratio == pytest.approx(0.6)
    assert network_size(RVM, 640, 480, quality="best").ratio == 1.0


def test_native_ratio_leaves_a_pixel() -> None:
    found = network_size(RVM, 8000, 3, quality="fast")
    assert int(3 * found.ratio) >= 1


def test_letterbox_is_centred() -> None:
    found = network_size(LETTERBOX, 1920, 1080)
    assert found.content == (0, 224, 1024, 576)
    assert found.is_padded
    assert network_size(LETTERBOX, 500, 500).content == (0, 0, 1024, 1024)
    assert network_size(LETTERBOX, 1, 5000).content == (511, 0, 1, 1024)


def test_stretch_ignores_the_picture() -> None:
    for size in ((1, 1), (4000, 30)):
        assert network_size(STRETCH, *size).content == (0, 0, 320, 240)


def test_override() -> None:
    assert network_size(AREA, 640, 480, override=(512, 288)).width == 512
    with pytest.raises(UsageError, match=r"multiples of 32.*500x300.*512x288"):
        network_size(AREA, 640, 480, override=(500, 300))
    with pytest.raises(UsageError, match="320x240 only"):
        network_size(STRETCH, 640, 480, override=(512, 288))
    native = network_size(RVM, 3840, 2160, override=(1280, 720))
    assert (native.width, native.height, native.ratio) == (1280, 720, 0.375)


@pytest.mark.parametrize("text", ["", "448", "448x", "0x256", "448x-1", "448*256", "4e2x300", "16385x32"])
def test_parse_size_refuses(text: str) -> None:
    with pytest.raises(UsageError, match="WIDTHxHEIGHT"):
        parse_size(text)


def test_parse_size() -> None:
    assert parse_size(" 448X256 ") == (448, 256)


def test_no_pixels() -> None:
    with pytest.raises(ValueError, match="no pixels"):
        network_size(AREA, 0, 10)


def test_state_shapes_are_the_publishers() -> None:
    """1920x1080 at 0.25: 1x16x135x240, 1x20x68x120, 1x40x34x60, 1x64x17x30."""
    size = network_size(RVM, 1920, 1080)
    shapes = [state_shape(state, size) for state in by_name("rvm").graph.states]
    assert shapes == [(1, 16, 135, 240), (1, 20, 68, 120), (1, 40, 34, 60), (1, 64, 17, 30)]
    assert state_shape(State(input="i", output="o"), size) == (1, 1, 1, 1)
