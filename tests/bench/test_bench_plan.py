"""Lists of options become cases; what cannot be is refused."""

from __future__ import annotations

import pytest

from livematte.bench import plan
from livematte.bench.plan import Axes, Case, Length, cases
from livematte.errors import UsageError


def test_every_combination_once_saturated_first() -> None:
    axes = Axes(qualities=("fast", "good"), sizes=("720p", "1280x720", "4k"), paces=("30", "saturated"))
    made = cases(axes, Length())
    assert len(made) == 2 * 2 * 2  # 720p and 1280x720 are one size
    assert {case.size for case in made} == {(1280, 720), (3840, 2160)}
    assert [bool(case.pace) for case in made] == [True] * 4 + [False] * 4
    assert made[0].name == "auto fast, 720p, null, 30 fps"


@pytest.mark.parametrize(
    ("axes", "named"),
    [
        (Axes(sizes=("721p",)), "721p"),
        (Axes(paces=("0",)), "pace '0'"),
        (Axes(paces=("often",)), "often"),
        (Axes(outputs=("avi",)), "avi"),
        (Axes(qualities=("great",)), "great"),
        (Axes(precisions=("int3",)), "int3"),
        (Axes(sizes=("source",)), "synthetic"),
    ],
)
def test_what_cannot_be_is_named(axes: Axes, named: str) -> None:
    with pytest.raises(UsageError, match=named):
        cases(axes, Length())


def test_settings_are_those_of_convert() -> None:
    case = Case(
        model="rvm", quality="best", size=(640, 360), source="clip.mp4", output="webm", encode="fast", threads=3
    )
    settings = case.settings()
    assert (settings.model.model, settings.model.quality, settings.model.threads) == ("rvm", "best", 3)
    assert (settings.input.size, settings.output.format, settings.output.encode) == ("640x360", "webm", "fast")
    assert case.spec() == "clip.mp4"
    assert Case(output="mp4").settings().output.background == "blur"


def test_quick_is_what_it_promises() -> None:
    first, second = plan.quick()
    assert (first.model, first.size, first.output, first.source) == ("auto", (1280, 720), "null", "synthetic")
    assert (first.pace, second.pace) == (0.0, 30.0)
    assert sum(case.length.seconds for case in (first, second)) < 30
