"""The card: legible, calm, at any size, made once, and nothing of the room in it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from livematte.color_convert import to_rgb
from livematte.errors import SourceError, UsageError
from livematte.live import placeholder
from livematte.live.placeholder import Placeholders, check_background, draw_card
from livematte.planes import plane_arrays


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (640, 480), (360, 640), (161, 91), (64, 48), (1920, 1080)])
@pytest.mark.parametrize("text", ["The camera is off.", "The camera does not answer; trying again."])
def test_the_text_is_there_whole_and_in_the_middle(width: int, height: int, text: str) -> None:
    card = draw_card(width, height, text)
    assert card.shape == (height, width, 3)
    ink = card.astype(int).sum(axis=2) > 400
    assert ink.mean() > 0.002, "nothing is written"
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if height >= 90:
        assert rows[0] > 0
        assert columns[0] > 0
        assert rows[-1] < height - 1
        assert columns[-1] < width - 1
        assert abs((columns[0] + columns[-1]) / 2 - width / 2) < 0.05 * width
        assert abs((rows[0] + rows[-1]) / 2 - height / 2) < 0.1 * height
    assert np.median(card.reshape(-1, 3), axis=0).tolist() == list(placeholder._PAPER)


def test_letters_are_large_enough_to_read() -> None:
    ink = draw_card(1280, 720, "The camera is off.").astype(int).sum(axis=2) > 400
    rows = np.flatnonzero(ink.any(axis=1))
    assert rows[-1] - rows[0] > 720 / 30


@pytest.mark.parametrize("background", ["blur", "transparent", "blur=20"])
def test_a_background_that_needs_a_person_gives_a_card(background: str) -> None:
    made = Placeholders().get(320, 180, reason="The camera is off.", background=background)
    rgb = to_rgb(made.composite, made.color, 320, 180)
    assert made.composite.format.name == "yuv420p"
    assert (made.composite.colorspace, made.composite.color_range) == (1, 1)
    assert made.reason == "The camera is off."
    assert np.abs(rgb.astype(int) - draw_card(320, 180, made.reason)).mean() < 3


def test_a_colour_stands_alone() -> None:
    made = Placeholders().get(65, 49, reason="The camera is off.", background="#ffffff")
    luma, *chroma = plane_arrays(made.composite)
    assert luma.shape == (49, 65)
    assert (luma == 235).all()
    assert all((plane == 128).all() for plane in chroma)


def test_a_picture_stands_alone_and_covers(tmp_path) -> None:
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:, :30, 0] = 255
    picture[:, 30:, 2] = 255
    Image.fromarray(picture).save(tmp_path / "room.png")
    made = Placeholders().get(120, 80, reason="Starting...", background=str(tmp_path / "room.png"))
    rgb = to_rgb(made.composite, made.color, 120, 80)
    assert np.abs(rgb[40, 20].astype(int) - (255, 0, 0)).max() < 6
    assert np.abs(rgb[40, 100].astype(int) - (0, 0, 255)).max() < 6


def test_a_picture_that_went_away_gives_a_card(tmp_path) -> None:
    made = Placeholders().get(320, 180, reason="The camera is off.", background=str(tmp_path / "gone.png"))
    rgb = to_rgb(made.composite, made.color, 320, 180)
    assert np.abs(rgb.astype(int) - draw_card(320, 180, made.reason)).mean() < 3


def test_the_same_question_gets_the_same_object() -> None:
    cards = Placeholders()
    one = cards.get(64, 48, reason="a", background="blur")
    other = cards.get(64, 48, reason="b", background="blur")
    assert cards.get(64, 48, reason="a", background="blur") is one
    assert other is not one
    assert cards.get(66, 48, reason="a", background="blur") is not one
    for number in range(2 * placeholder._KEPT):
        cards.get(64, 48, reason=str(number), background="blur")
    assert len(cards._made) == placeholder._KEPT


def test_backgrounds_are_checked(tmp_path) -> None:
    for good in ("blur", "transparent", "green", "#123456", "blur=12"):
        check_background(good)
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with pytest.raises(SourceError):
        check_background(str(tmp_path / "bad.png"))
    with pytest.raises(UsageError):
        check_background("no-such-colour")
