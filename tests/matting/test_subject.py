"""`--subject largest`, on people made of discs and boxes whose places are known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from formula_pictures import FormulaSession, frame_of, info_for, noise, picture_of

from livematte.config import MattingSettings
from livematte.matting.host import HostMatting
from livematte.matting.subject import SubjectFilter
from livematte.reporting import ListReporter

H, W = 256, 448
RATE = 30.0


def blob(x: float, y: float, radius: float, *, soft_px: float = 4.0, peak: float = 1.0) -> np.ndarray:
    """A disc with a soft edge on an H x W plane."""
    rows, columns = np.mgrid[:H, :W]
    distance = np.hypot(rows - y, columns - x)
    return (peak * np.clip((radius - distance) / soft_px + 0.5, 0, 1)).astype(np.float32)


def box(left: int, top: int, width: int, height: int, value: float = 1.0) -> np.ndarray:
    plane = np.zeros((H, W), np.float32)
    plane[top : top + height, left : left + width] = value
    return plane


def together(*planes: np.ndarray) -> np.ndarray:
    return np.maximum.reduce(planes)


def kept(result: np.ndarray, plane: np.ndarray) -> float:
    """How much of a plane's alpha is left."""
    return float(np.minimum(result, plane).sum() / plane.sum())


@pytest.fixture
def follow() -> SubjectFilter:
    return SubjectFilter(ListReporter())


def test_the_largest_stays_exactly_and_the_other_goes(follow: SubjectFilter) -> None:
    near, far = blob(140, 150, 70), blob(370, 150, 35)
    before = together(near, far)
    alpha = before.copy()
    result = follow.push(alpha, 0.0)
    assert np.array_equal(alpha, before)  # the network's own buffer is not written to
    assert np.allclose(result[:, :230], near[:, :230], atol=1e-6)
    assert result[:, 310:].max() == 0


def test_one_person_comes_back_as_it_came(follow: SubjectFilter) -> None:
    alpha = together(blob(200, 150, 60, soft_px=20), box(180, 200, 60, 56))
    assert follow.push(alpha, 0.0) is alpha


def test_nobody(follow: SubjectFilter) -> None:
    empty = np.zeros((H, W), np.float32)
    assert follow.push(empty, 0.0) is empty
    faint = blob(200, 100, 50, peak=0.3)
    assert follow.push(faint, 0.1) is faint  # a network that is unsure of everybody: nothing to choose between


def test_hair_and_a_soft_hand_stay(follow: SubjectFilter) -> None:
    """Soft alpha around the head, and a blurred hand apart that is nowhere solid."""
    body = together(blob(140, 90, 40, soft_px=30), box(90, 110, 100, 146))
    hand = blob(203, 150, 9, peak=0.4)
    other = blob(380, 150, 40)
    result = follow.push(together(body, hand, other), 0.0)
    assert kept(result, body) > 0.999
    assert kept(result, hand) > 0.98
    assert kept(result, other) < 0.001


def test_something_held_apart_stays_and_a_far_thing_does_not(follow: SubjectFilter) -> None:
    body = box(100, 60, 90, 196)
    cup, far = blob(204, 120, 8), blob(300, 120, 8)
    result = follow.push(together(body, cup, far), 0.0)
    assert kept(result, cup) > 0.99
    assert kept(result, far) < 0.001


def test_a_body_behind_a_table_is_one_person(follow: SubjectFilter) -> None:
    upper, lower = box(100, 40, 100, 110), box(110, 158, 80, 90)
    beside = box(212, 158, 70, 90)  # as near, as large, but beside: somebody else
    result = follow.push(together(upper, lower, beside), 0.0)
    assert kept(result, upper) > 0.99
    assert kept(result, lower) > 0.99
    assert kept(result, beside) < 0.01


def test_a_hand_that_goes_away_stays_within_reach(follow: SubjectFilter) -> None:
    """From the body outward: farther than a thing would count as held, but it was the subject's all along."""
    body = box(100, 60, 90, 196)
    for index in range(16):
        hand = blob(186 + 2 * index, 120, 10)
        result = follow.push(together(body, hand), index / RATE)
        assert kept(result, hand) > 0.99
    assert kept(SubjectFilter(ListReporter()).push(together(body, blob(221, 120, 10)), 0.0), hand) < 0.5


def test_a_body_that_something_parts_stays_one_person(follow: SubjectFilter) -> None:
    """A pole in front of it: two large parts side by side, both the subject's since before."""
    whole, left, right = box(100, 60, 120, 196), box(100, 60, 55, 196), box(165, 60, 55, 196)
    for index in range(5):
        follow.push(whole, index / RATE)
    result = follow.push(together(left, right), 5 / RATE)
    assert kept(result, left) > 0.999
    assert kept(result, right) > 0.999


def test_haze_of_nobody_fades_without_a_hard_edge(follow: SubjectFilter) -> None:
    """A chair or a coat, nowhere solid, that begins beside the body."""
    body, haze = box(60, 60, 80, 196), box(147, 60, 200, 196, 0.2)
    result = follow.push(together(body, haze), 0.0)
    assert kept(result, body) == 1
    assert result[:, 200:].max() == 0
    assert result[150, 150] == pytest.approx(0.2)  # near the body it may be its own
    assert np.abs(np.diff(result[150, 150:240])).max() < 0.03


def test_between_two_people_the_weight_changes_softly(follow: SubjectFilter) -> None:
    """Hair of both meets in the middle: a ramp, not a cut."""
    alpha = together(box(60, 40, 120, 216), box(220, 80, 90, 176), box(180, 80, 40, 100, 0.3))
    result = follow.push(alpha, 0.0)
    between = result[120, 176:224]
    assert between[0] == 1
    assert between[-1] == 0
    middle = between[8:40]
    assert np.abs(np.diff(middle)).max() < 0.06
    assert (np.diff(middle) <= 1e-6).all()


def test_a_passer_by_who_is_larger_for_a_moment_does_not_take_over(follow: SubjectFilter) -> None:
    mine = blob(110, 150, 50)
    for index in range(75):  # 2.5 s, coming and going, twice the subject's area at most
        other = blob(330, 150, 30 + 40 * np.sin(np.pi * index / 75))
        result = follow.push(together(mine, other), index / RATE)
        assert kept(result, mine) > 0.999
        assert kept(result, other) < 0.001


def test_who_stays_larger_takes_over_after_three_seconds(follow: SubjectFilter) -> None:
    mine, other = blob(110, 150, 45), blob(330, 150, 65)
    follow.push(mine, 0.0)
    seen = []
    for index in range(1, 120):
        result = follow.push(together(mine, other), index / RATE)
        seen.append(kept(result, other) > 0.99)
    first = seen.index(True) / RATE
    assert 2.9 < first < 3.2
    assert all(seen[seen.index(True) :])
    assert kept(result, mine) < 0.001


def test_two_cross_and_the_follower_keeps_its_own(follow: SubjectFilter) -> None:
    """A passer-by, larger, walks across behind the subject: they touch, are one part, and part again."""
    mine = together(blob(220, 90, 30), box(180, 110, 80, 146))
    for index in range(60):
        x = -40 + index * 9
        other = together(blob(x, 90, 36), box(round(max(x - 50, 0)), 110, round(min(100, max(x + 50, 1))), 146))
        result = follow.push(together(mine, other), index / RATE)
        assert kept(result, mine) > 0.99
        if index >= 50:  # apart again, on the other side
            assert kept(result, other) < 0.05


def test_touching_people_are_one_part_and_parted_by_memory(follow: SubjectFilter) -> None:
    """The stated limit: while they touch, both are there."""
    mine, other = box(80, 60, 100, 196), box(180, 60, 100, 196)
    result = follow.push(together(mine, other), 0.0)
    assert kept(result, other) > 0.99


def test_a_subject_that_leaves_is_gone_before_the_next_is_chosen(follow: SubjectFilter) -> None:
    mine, other = blob(110, 150, 60), blob(350, 150, 40)
    for index in range(10):
        follow.push(together(mine, other), index / RATE)
    seen = []
    for index in range(10, 80):
        seen.append(kept(follow.push(other, index / RATE), other))
    chosen = next(number for number, share in enumerate(seen) if share > 0.99)
    assert max(seen[:chosen]) < 0.001
    assert 1.4 < chosen / RATE < 1.7


def test_time_is_in_seconds_not_in_frames(follow: SubjectFilter) -> None:
    """The same at 5 frames a second."""
    mine, other = blob(110, 150, 60), blob(350, 150, 40)
    follow.push(together(mine, other), 0.0)
    shares = [kept(follow.push(other, step / 5), other) for step in range(1, 12)]
    assert max(shares[:7]) < 0.001
    assert shares[8] > 0.99


def test_a_short_loss_ends_where_it_began(follow: SubjectFilter) -> None:
    mine, other = blob(110, 150, 50), blob(350, 150, 60)
    follow.push(mine, 0.0)
    for index in range(1, 20):
        assert kept(follow.push(other, index / RATE), other) < 0.001
    result = follow.push(together(mine, other), 20 / RATE)
    assert kept(result, mine) > 0.999
    assert kept(result, other) < 0.001


def test_a_small_part_that_was_somebody_else_stays_so(follow: SubjectFilter) -> None:
    """A person far behind walks past the head, near as a held thing would be, but not touching."""
    body = box(180, 90, 90, 166)
    for index in range(80):
        x = 20 + index * 5
        result = follow.push(together(body, blob(x, 70, 12)), index / RATE)
        assert kept(result, body) > 0.97
        assert result[60:70, max(x - 5, 0) : x + 5].max() < 0.05


def test_a_speck_does_not_hold_on_against_a_person(follow: SubjectFilter) -> None:
    speck, person = blob(400, 30, 8), blob(150, 150, 70)
    follow.push(speck, 0.0)
    shares = [kept(follow.push(together(speck, person), index / RATE), person) for index in range(1, 30)]
    assert shares[-1] > 0.99
    assert shares[5] < 0.01


def test_reset_chooses_anew_and_so_do_a_cut_another_size_and_time_that_goes_back(follow: SubjectFilter) -> None:
    mine, other = blob(110, 150, 50), blob(330, 150, 55)
    both = together(mine, other)

    def start() -> None:
        follow.reset()
        follow.push(mine, 5.0)
        assert kept(follow.push(both, 5.1), mine) > 0.999

    start()
    follow.reset()
    assert kept(follow.push(both, 5.2), other) > 0.999
    start()
    assert kept(follow.push(both, 1.0), other) > 0.999
    start()
    assert follow.push(both[:, 100:], 5.2)[:, 200:].max() == 1


def test_another_size_of_the_same_picture_and_another_filter_go_on(follow: SubjectFilter) -> None:
    """A governor that steps the network's size, or its model: the larger passer-by is still not the subject."""
    mine, other = blob(110, 150, 50), blob(330, 150, 55)
    both = together(mine, other)
    follow.push(mine, 0.0)
    follow.push(both, 0.1)
    for number, size in enumerate(((336, 192), (640, 368))):
        small, own = (cv2.resize(plane, size, interpolation=cv2.INTER_AREA) for plane in (both, mine))
        result = follow.push(small, 0.2 + 0.1 * number)
        assert kept(result, own) > 0.999
        assert result.sum() < 1.001 * own.sum()
    heir = SubjectFilter(ListReporter())
    heir.follow_on(follow)
    result = heir.push(both, 0.5)
    assert kept(result, mine) > 0.999
    assert kept(result, other) < 0.001


def test_it_says_once_that_somebody_is_left_out() -> None:
    reporter = ListReporter()
    follow = SubjectFilter(reporter)
    follow.push(blob(110, 150, 50), 0.0)
    assert reporter.notes == []
    for index in range(1, 5):
        follow.push(together(blob(110, 150, 50), blob(330, 150, 40)), index / RATE)
    assert len(reporter.notes) == 1
    assert "--subject all" in reporter.notes[0]


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (17, 300), (720, 1280), (448, 256)])
def test_any_size(shape: tuple[int, int]) -> None:
    follow = SubjectFilter(ListReporter())
    random = np.random.default_rng(3)
    for index in range(3):
        alpha = random.random(shape, np.float32)
        result = follow.push(alpha, index / RATE)
        assert result.shape == shape
        assert result.dtype == np.float32
        assert (result <= alpha + 1e-6).all()


@pytest.mark.parametrize(
    ("subject", "is_live", "alone"),
    [("auto", False, False), ("auto", True, True), ("all", True, False), ("largest", False, True)],
)
def test_auto_is_all_in_files_and_largest_live(subject: str, is_live: bool, alone: bool) -> None:
    both = together(blob(110, 150, 60), blob(350, 150, 40))
    frame = frame_of(picture_of("yuv420p", noise("yuv420p", H, W)))
    reporter = ListReporter()
    matting = HostMatting(
        FormulaSession(lambda index: both),
        MattingSettings(subject=subject, smooth="off"),
        info=info_for(frame.host_picture()),
        wide_alpha=False,
        wants_foreground=False,
        reporter=reporter,
        is_live=is_live,
    )
    alpha = matting.push([frame])[0].matte.alpha
    assert alpha[150, 110] == 255
    assert bool(alpha[150, 350] == 0) is alone
    assert bool(reporter.notes) is alone
    matting.change(MattingSettings(subject="all", smooth="off"))
    assert matting.push([frame])[0].matte.alpha[150, 350] == 255


def test_a_cut_lets_go() -> None:
    """After a cut the larger of the new scene is the subject at once."""
    mine, other = blob(110, 150, 50), blob(330, 150, 60)
    alphas = [mine, together(mine, other), together(mine, other)]
    waves = [np.full((H, W), 40.0), *[np.full((H // 2, W // 2), 128.0)] * 2]
    checks = [np.kron(np.random.default_rng(5).integers(0, 2, (8, 14)), np.ones((32, 32))) * 200 + 20, *waves[1:]]
    steady = frame_of(picture_of("yuv420p", noise("yuv420p", H, W, 1)), 0)
    frames = [steady, frame_of(steady.host_picture(), 1), frame_of(picture_of("yuv420p", checks), 2)]
    matting = HostMatting(
        FormulaSession(lambda index: alphas[index]),
        MattingSettings(subject="largest", smooth="off"),
        info=info_for(steady.host_picture()),
        wide_alpha=False,
        wants_foreground=False,
        reporter=ListReporter(),
    )
    matted = matting.push(frames)
    assert matting.cuts == 1
    assert [int(one.matte.alpha[150, 330]) for one in matted] == [0, 0, 255]
    assert int(matted[2].matte.alpha[150, 110]) == 0
