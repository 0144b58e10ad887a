"""The word about a second person in a clip: once, after two looks, and nothing is changed."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from formula_pictures import SPEC

from livematte.config import MattingSettings
from livematte.frames import StreamInfo
from livematte.matting.keeper import Keeper
from livematte.matting.second_person import SecondPerson
from livematte.reporting import ListReporter

INFO = StreamInfo("formula", 256, 144, "yuv420p", SPEC, Fraction(1, 30), Fraction(30))


def _people(number: int) -> np.ndarray:
    """(144, 256) float32: one tall figure, and a smaller one at the edge."""
    alpha = np.zeros((144, 256), np.float32)
    alpha[30:144, 60:120] = 1
    if number > 1:
        alpha[60:144, 210:250] = 1
    return alpha


def _looked(counts: list[int], interval: float = 0.1) -> ListReporter:
    reporter = ListReporter()
    second = SecondPerson(reporter)
    for number, count in enumerate(counts):
        second.look(_people(count), 65 + number * interval)
    return reporter


def test_one_person_is_not_worth_a_word() -> None:
    assert _looked([1] * 40).notes == []


def test_a_second_one_is_named_once_with_the_moment() -> None:
    notes = _looked([1] * 10 + [2] * 60).notes
    assert len(notes) == 1
    assert "from 1:06 on" in notes[0]
    assert "--subject largest" in notes[0]


def test_a_passing_shadow_is_not_a_person() -> None:
    assert _looked([1] * 10 + [2] * 4 + [1] * 20).notes == []


@pytest.mark.parametrize(("subject", "is_live"), [("all", False), ("largest", False), ("auto", True)])
def test_who_chose_is_not_told(subject: str, is_live: bool) -> None:
    reporter = ListReporter()
    settings = MattingSettings.model_validate({"subject": subject})
    keeper = Keeper(settings, INFO, is_live=is_live, reporter=reporter)
    for number in range(30):
        keeper.look(keeper.push(_people(2), number / 10), number / 10)
    assert [note for note in reporter.notes if "are kept" in note] == []


def test_a_file_keeps_all_and_says_so() -> None:
    reporter = ListReporter()
    keeper = Keeper(MattingSettings(), INFO, is_live=False, reporter=reporter)
    alpha = _people(2)
    assert keeper.is_idle
    for number in range(30):
        keeper.look(alpha, number / 10)
    assert len(reporter.notes) == 1
