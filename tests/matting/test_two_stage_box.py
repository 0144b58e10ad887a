"""Boxes of the second network: size, margin, alignment, steadiness, who shares one; by hand."""

from __future__ import annotations

import numpy as np
import pytest

from livematte.matting.two_stage_box import Bounds, Box, Framing, find_people, gather

WIDTH, HEIGHT = 1280, 720
"""Steps of a box are 80 px across and 48 px down."""


def coarse(*rectangles: tuple[int, int, int, int]) -> np.ndarray:
    """Alpha 320x180 of a picture of 1280x720, solid in rectangles (left, top, right, bottom) in px of the picture."""
    alpha = np.zeros((180, 320), np.float32)
    for left, top, right, bottom in rectangles:
        alpha[top // 4 : bottom // 4, left // 4 : right // 4] = 1
    return alpha


def push(framing: Framing, alpha: np.ndarray, seconds: float = 0.0) -> tuple[Box, ...]:
    return framing.push(alpha, WIDTH, HEIGHT, seconds)


def test_margin_and_steps_by_hand() -> None:
    """200x300 px need 260x390 with the margins: 4 and 9 steps, 320x432, around the same middle (600, 350)."""
    assert push(Framing(), coarse((500, 200, 700, 500))) == (Box(440, 134, 320, 432),)


def test_at_the_edge_the_box_ends_with_the_picture() -> None:
    """From 1000 to the right edge, and down to the lower one: 240 + 36 across, 320 + 48 down."""
    assert push(Framing(), coarse((1040, 400, 1280, 720))) == (Box(960, 336, 320, 384),)
    assert push(Framing(), coarse((0, 0, 240, 320))) == (Box(0, 0, 320, 384),)


def test_a_large_subject_gets_the_whole_picture() -> None:
    assert push(Framing(), coarse((100, 40, 1200, 720))) == (Box(0, 0, WIDTH, HEIGHT),)


@pytest.mark.parametrize(("width", "height"), [(641, 361), (33, 35), (17, 1), (1, 1), (1279, 719)])
def test_odd_pictures(width: int, height: int) -> None:
    """Wherever the subject is, its box begins at even px, stays in the picture and holds all of the subject."""
    alpha = np.zeros((36, 64), np.float32)
    for top in range(0, 36, 7):
        for left in range(0, 64, 5):
            alpha[:] = 0
            alpha[top : top + 8, left : left + 6] = 1
            (people,) = find_people(alpha, width, height)
            (box,) = Framing().push(alpha, width, height, 0.0)
            assert (box.left % 2, box.top % 2) == (0, 0)
            assert box.right <= width
            assert box.bottom <= height
            assert people.lies_in(box)


def test_it_stands_still_while_the_subject_moves_inside() -> None:
    framing = Framing()
    (first,) = push(framing, coarse((500, 200, 700, 500)))
    # 5 % of 200 px are 10: from 448 on the left side would be 440 - 438 = 2 px too near.
    assert push(framing, coarse((452, 200, 652, 500)), 0.1) == (first,)
    assert push(framing, coarse((540, 220, 740, 520)), 0.2) == (first,)
    (moved,) = push(framing, coarse((444, 200, 644, 500)), 0.3)
    assert moved == Box(384, 134, 320, 432)


def test_the_old_size_is_kept_where_it_serves() -> None:
    """180x300 px would get 240x432 anew; the box that was 320 wide stays 320 wide."""
    framing = Framing()
    push(framing, coarse((500, 200, 700, 500)))
    (moved,) = push(framing, coarse((800, 200, 980, 500)), 0.1)
    assert (moved.width, moved.height) == (320, 432)
    assert push(Framing(), coarse((800, 200, 980, 500)))[0].width == 240


def test_it_grows_at_once_and_shrinks_after_a_second() -> None:
    framing = Framing()
    push(framing, coarse((500, 200, 700, 500)))
    (grown,) = push(framing, coarse((300, 100, 900, 620)), 0.1)
    assert (grown.width, grown.height) == (800, 720)
    small = coarse((500, 200, 700, 500))
    assert push(framing, small, 0.2) == (grown,)
    assert push(framing, small, 1.1) == (grown,)
    assert push(framing, small, 1.25) == (Box(440, 134, 320, 432),)


def test_a_subject_that_is_small_for_a_moment_leaves_the_box_alone() -> None:
    framing = Framing()
    large, small = coarse((300, 100, 900, 620)), coarse((500, 200, 700, 500))
    (first,) = push(framing, large)
    for number in range(1, 40):
        assert push(framing, large if number % 8 == 0 else small, number / 10) == (first,)


def test_nobody() -> None:
    framing = Framing()
    assert push(framing, coarse()) == ()
    assert push(framing, np.full((180, 320), 0.49, np.float32)) == ()
    (first,) = push(framing, coarse((500, 200, 700, 500)), 1.0)
    assert push(framing, coarse(), 1.5) == ()
    assert push(framing, coarse((480, 200, 680, 500)), 1.9) == (first,)
    assert push(framing, coarse(), 3.0) == ()
    assert push(framing, coarse((480, 200, 680, 500)), 3.1) != (first,)


def test_specks_do_not_count() -> None:
    """A speck of 0.02 % alone is nobody; one of 2 % of the subject's area does not make its box larger."""
    alpha = coarse((500, 200, 700, 500))
    alone = push(Framing(), alpha)
    alpha[0:3, 0:3] = 1
    assert push(Framing(), alpha) == alone
    only = np.zeros_like(alpha)
    only[0:3, 0:3] = 1
    assert push(Framing(), only) == ()


def test_two_far_apart_get_a_box_each() -> None:
    left, right = (80, 300, 240, 600), (1040, 300, 1200, 600)
    boxes = push(Framing(), coarse(left, right))
    assert boxes == (push(Framing(), coarse(left))[0], push(Framing(), coarse(right))[0])
    assert len(push(Framing(most=1), coarse(left, right))) == 1


def test_who_is_much_smaller_gets_no_box_alone() -> None:
    """60x200 px are a quarter of 160x300: they share one box. 100x250 are more than half."""
    large = (80, 300, 240, 600)
    assert len(push(Framing(), coarse(large, (1040, 300, 1100, 500)))) == 1
    assert len(push(Framing(), coarse(large, (1040, 300, 1140, 552)))) == 2


def test_two_near_each_other_share_a_box() -> None:
    boxes = push(Framing(), coarse((400, 300, 560, 600), (600, 300, 760, 600)))
    assert len(boxes) == 1
    assert Bounds(400, 300, 760, 600).lies_in(boxes[0])


def test_of_five_the_nearest_share() -> None:
    people = [Bounds(left, 0, left + 10, 10) for left in (0, 100, 230, 345, 500)]
    groups = gather(people, 3)
    assert sorted((group.left, group.right) for group in groups) == [(0, 110), (230, 355), (500, 510)]


def test_two_who_meet_share_a_box_at_once_and_part_after_a_second() -> None:
    framing = Framing()
    apart = coarse((80, 300, 240, 600), (1040, 300, 1200, 600))
    assert len(push(framing, apart)) == 2
    assert len(push(framing, coarse((80, 300, 640, 600), (640, 300, 1200, 600)), 0.1)) == 1
    counts = [len(push(framing, apart, 0.2 + number / 10)) for number in range(13)]
    assert counts[:10] == [1] * 10
    assert counts[-1] == 2


def test_one_moves_and_the_other_box_stays() -> None:
    framing = Framing()
    before = push(framing, coarse((80, 300, 240, 600), (1040, 300, 1200, 600)))
    after = push(framing, coarse((88, 300, 248, 600), (940, 300, 1100, 600)), 0.1)
    assert after[0] == before[0]
    assert after[1] != before[1]
    assert (after[1].width, after[1].height) == (before[1].width, before[1].height)


def test_time_that_goes_back_begins_anew() -> None:
    framing = Framing()
    push(framing, coarse((500, 200, 700, 500)), 5.0)
    assert push(framing, coarse((480, 200, 680, 500)), 1.0) == push(Framing(), coarse((480, 200, 680, 500)))
