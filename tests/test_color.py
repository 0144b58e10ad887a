from __future__ import annotations

import av
import pytest

from livematte.color import COLOR_PRIMARIES, COLOR_RANGES, COLOR_TRCS, COLORSPACES, ColorSpec, name_of, resolve


def _resolved(**changes: object) -> ColorSpec:
    values: dict[str, object] = {
        "colorspace": 2, "color_range": 0, "primaries": 2, "trc": 2, "is_rgb": False, "height": 1080,
    }  # fmt: skip
    return resolve(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(("height", "matrix"), [(1080, "bt709"), (720, "bt709"), (576, "bt470bg"), (480, "smpte170m")])
def test_untagged_yuv_follows_its_height_and_says_so(height: int, matrix: str) -> None:
    found = _resolved(height=height)
    assert (found.colorspace, found.color_range) == (matrix, "tv")
    assert found.guessed == {"colorspace", "color_range"}


def test_stated_tags_are_kept_and_not_marked_as_guessed() -> None:
    found = _resolved(colorspace=9, color_range=1, primaries=9, trc=16, height=480)
    assert found == ColorSpec("bt2020nc", "tv", "bt2020", "smpte2084")
    assert found.is_hdr


def test_rgb_is_full_range_and_a_full_range_name_wins() -> None:
    assert _resolved(is_rgb=True).color_range == "pc"
    assert _resolved(is_rgb=True).colorspace == "rgb"
    assert _resolved(full_range_name=True, color_range=1).color_range == "pc"


def test_yuv_that_claims_the_matrix_rgb_is_guessed_anew() -> None:
    assert _resolved(colorspace=0).colorspace == "bt709"


def test_an_unknown_number_is_called_unknown() -> None:
    assert name_of(COLOR_TRCS, 99) == "unknown"
    assert _resolved(trc=99).color_trc == "unknown"


def test_tables_agree_with_ffmpegs_own_numbers() -> None:
    from av.video.reformatter import ColorPrimaries, ColorRange, ColorTrc

    assert COLOR_TRCS["smpte2084"] == ColorTrc.SMPTE2084
    assert COLOR_TRCS["arib-std-b67"] == ColorTrc.ARIB_STD_B67
    assert COLOR_PRIMARIES["bt2020"] == ColorPrimaries.BT2020
    assert COLOR_RANGES == {"unknown": ColorRange.UNSPECIFIED, "tv": ColorRange.MPEG, "pc": ColorRange.JPEG}
    picture = av.VideoFrame(16, 16, "yuv420p")
    picture.colorspace = COLORSPACES["bt709"]
    assert picture.colorspace == 1
