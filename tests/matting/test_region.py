"""`--region`: what is a region, and what lies outside of it is gone."""

from __future__ import annotations

import numpy as np
import pytest
from formula_pictures import FormulaSession, frame_of, info_for, noise, picture_of

from livematte.config import MattingSettings
from livematte.errors import UsageError
from livematte.matting.host import HostMatting
from livematte.matting.region import Region, check_region, parse_region
from livematte.reporting import ListReporter


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("320,0,640,720", (0.25, 0, 0.75, 1)),
        ("0.25,0,0.5,1", (0.25, 0, 0.75, 1)),
        (" 0 , 0 , 1 , 1 ", (0, 0, 1, 1)),
        ("0,0,1280,720", (0, 0, 1, 1)),
        ("0.7,0.1,0.3,0.9", (0.7, 0.1, 1, 1)),  # 0.7 + 0.3 and 0.1 + 0.9 are the edges, whatever floats make of them
        ("10,20,1,1", (10 / 1280, 20 / 720, 11 / 1280, 21 / 720)),
    ],
)
def test_pixels_and_shares(text: str, expected: tuple[float, ...]) -> None:
    region = parse_region(text, 1280, 720)
    assert (region.left, region.top, region.right, region.bottom) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not four numbers"),
        ("1,2,3", "not four numbers"),
        ("1,2,3,4,5", "not four numbers"),
        ("left,0,1,1", "not four numbers"),
        ("0,0,nan,1", "not four numbers"),
        ("0,0,inf,1", "not four numbers"),
        ("-1,0,100,100", "0 or more"),
        ("0,0,0,100", "above 0"),
        ("0.5,0,300,400", "mixes pixels and shares"),
        ("0,0,1281,720", "has 1280x720 px"),
        ("640,0,641,720", "reaches to 1281,720"),
        ("0.6,0,0.5,1", "1 at most"),
    ],
)
def test_what_is_no_region_is_said(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse_region(text, 1280, 720)


def test_checking_needs_no_picture() -> None:
    check_region("4000,0,640,720")
    with pytest.raises(UsageError, match="not four numbers"):
        check_region("wide")


def test_a_side_written_as_thirds_is_on_the_edge() -> None:
    region = parse_region("0.3333,0,0.6666,1", 1280, 720)
    assert region.right == 1.0
    assert region.weight(90, 30)[15, -1] == 1


def test_weight_is_zero_outside_whole_inside_and_rises_within() -> None:
    weight = Region(0.25, 0.0, 0.75, 1.0).weight(400, 200)  # the ramp is 2.5 % of 200: 5 px
    assert weight.shape == (200, 400)
    assert not weight[:, :100].any()
    assert not weight[:, 300:].any()
    assert (weight[:, 105:295] == 1).all()  # to the very top and bottom: those sides are the picture's own
    ramp = weight[100, 99:107]
    assert (np.diff(ramp)[:6] > 0).all()
    assert ramp[1] == pytest.approx(0.1)
    assert np.array_equal(weight, weight[:, ::-1])


def test_a_region_thinner_than_its_ramps_never_exceeds_one() -> None:
    weight = Region(0.5, 0.5, 0.51, 0.51).weight(400, 400)
    assert 0 < weight.max() <= 1
    assert not weight[:200].any()


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("settings", [{}, {"feather": 40.0}, {"shrink": -40.0}])
def test_nothing_is_left_outside_at_the_pictures_size(wide: bool, settings: dict[str, float]) -> None:
    """Neither enlarging nor the edge controls carry alpha out of the region; the smoother does not either."""
    full = np.ones((54, 96), np.float32)
    frame = frame_of(picture_of("yuv420p", noise("yuv420p", 180, 320)))
    matting = HostMatting(
        FormulaSession(lambda index: full),
        MattingSettings(region="80,45,160,90", **settings),
        info=info_for(frame.host_picture()),
        wide_alpha=wide,
        wants_foreground=False,
        reporter=ListReporter(),
    )
    alpha = matting.push([frame])[0].matte.alpha
    outside = np.ones(alpha.shape, bool)
    outside[45:135, 80:240] = False
    assert not alpha[outside].any()
    assert (alpha[80:100, 110:210] == np.iinfo(alpha.dtype).max).all()


def test_pixels_are_those_before_size() -> None:
    """The right half of a 640x360 input, written at 320x180."""
    from dataclasses import replace

    full = np.ones((54, 96), np.float32)
    frame = frame_of(picture_of("yuv420p", noise("yuv420p", 180, 320)))
    info = replace(info_for(frame.host_picture()), source_size=(640, 360))
    matting = HostMatting(
        FormulaSession(lambda index: full),
        MattingSettings(region="320,0,320,360"),
        info=info,
        wide_alpha=False,
        wants_foreground=False,
        reporter=ListReporter(),
    )
    alpha = matting.push([frame])[0].matte.alpha
    assert not alpha[:, :160].any()
    assert (alpha[:, 170:] == 255).all()


def test_a_region_outside_the_picture_is_refused_before_the_first_frame() -> None:
    frame = frame_of(picture_of("yuv420p", noise("yuv420p", 180, 320)))

    def make(region: str) -> HostMatting:
        return HostMatting(
            FormulaSession(lambda index: np.ones((54, 96), np.float32)),
            MattingSettings(region=region),
            info=info_for(frame.host_picture()),
            wide_alpha=False,
            wants_foreground=False,
            reporter=ListReporter(),
        )

    with pytest.raises(UsageError, match="320x180"):
        make("300,0,100,100")
    matting = make("0,0,160,180")
    with pytest.raises(UsageError, match="320x180"):
        matting.change(MattingSettings(region="300,0,100,100"))
    assert not matting.push([frame])[0].matte.alpha[:, 160:].any()  # the old region still holds
    matting.change(MattingSettings(region="160,0,160,180"))
    assert not matting.push([frame])[0].matte.alpha[:, :160].any()
