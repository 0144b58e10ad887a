"""Alpha at the picture's size: exact where it can be, clamped, its ends settled."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from formula_pictures import disc
from hypothesis import given
from hypothesis import strategies as st

from livematte.matting.refine import HALF_STEP, Bicubic, Guided, make_refiner, quantise, settle_ends

LUMA = np.full((270, 480), 128, np.uint8)


@given(st.floats(0, 1, width=32))
def test_quantise_rounds_and_settles_both_ends_alike(value: float) -> None:
    alpha = np.full((2, 3), value, np.float32)
    narrow, wide = int(quantise(alpha, wide=False)[0, 0]), int(quantise(alpha, wide=True)[0, 0])
    assert abs(narrow - value * 255) <= 0.5 + 1e-4
    if abs(value - HALF_STEP) > 1e-4 and abs(value - (1 - HALF_STEP)) > 1e-4:
        assert (narrow == 0) == (wide == 0)
        assert (narrow == 255) == (wide == 65535)
    if 2 * HALF_STEP < value < 1 - 2 * HALF_STEP:
        assert abs(wide - value * 65535) <= 0.5 + 0.01


def test_quantise_clamps() -> None:
    beyond = np.array([[-0.3, 1.4]], np.float32)
    assert quantise(beyond, wide=False).tolist() == [[0, 255]]
    assert quantise(beyond, wide=True).tolist() == [[0, 65535]]


def test_settled_ends_by_hand() -> None:
    alpha = np.array([[0, 128, 129, 130, 40000, 65405, 65406, 65407, 65535]], np.uint16)
    assert settle_ends(alpha).tolist() == [[0, 0, 129, 130, 40000, 65405, 65406, 65535, 65535]]


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("name", ["bicubic", "guided"])
def test_constant_alpha_stays_constant(name: str, wide: bool) -> None:
    peak = 65535 if wide else 255
    noise = np.random.default_rng(0).integers(0, 256, (270, 480)).astype(np.uint8)
    for value in (0.0, 0.5, 1.0):
        alpha = make_refiner(name, wide=wide).refine(np.full((64, 96), value, np.float32), noise, 255)
        assert alpha.shape == (270, 480)
        assert alpha.dtype == (np.uint16 if wide else np.uint8)
        assert np.abs(alpha.astype(float) - value * peak).max() <= 1 + 0.001 * peak


@pytest.mark.parametrize("wide", [False, True])
def test_bicubic_comes_back_to_a_smooth_edge(wide: bool) -> None:
    true = disc(270, 480, soft_px=24).astype(np.float32) / 255
    small = cv2.resize(true, (160, 90), interpolation=cv2.INTER_AREA)
    grown = Bicubic(wide=wide).refine(small, LUMA, 255).astype(np.float64) / (65535 if wide else 255)
    assert np.abs(grown - true).max() < 0.05
    assert np.abs(grown - true).mean() < 0.002


def test_guided_takes_its_edge_from_the_luma() -> None:
    """Person bright, room dark, a hard edge: the guided filter restores what the network's size has lost."""
    true = (disc(270, 480, soft_px=0.5) > 127).astype(np.float32)
    luma = np.where(true > 0, 200, 40).astype(np.uint8)
    small = cv2.resize(true, (96, 54), interpolation=cv2.INTER_AREA)
    errors = {
        name: np.abs(make_refiner(name, wide=False).refine(small, luma, 255) / 255.0 - true).mean()
        for name in ("bicubic", "guided")
    }
    assert errors["guided"] < 0.25 * errors["bicubic"]


def test_guided_reads_any_depth() -> None:
    small = cv2.resize(disc(270, 480).astype(np.float32) / 255, (96, 54), interpolation=cv2.INTER_AREA)
    luma = np.random.default_rng(0).integers(0, 256, (270, 480)).astype(np.uint8)
    narrow = Guided(wide=False).refine(small, luma, 255)
    wide = Guided(wide=False).refine(small, luma.astype(np.uint16) * 257, 65535)
    # The 8-bit guide is rounded once more when it is reduced.
    assert np.abs(narrow.astype(int) - wide).max() <= 6
    assert np.abs(narrow.astype(int) - wide).mean() < 0.1


@pytest.mark.parametrize("name", ["bicubic", "guided"])
def test_same_size_is_only_quantised(name: str) -> None:
    alpha = np.random.default_rng(0).random((270, 480), dtype=np.float32)
    refined = make_refiner(name, wide=False).refine(alpha, LUMA, 255)
    assert np.array_equal(refined, quantise(alpha, wide=False))


def test_unknown_name() -> None:
    with pytest.raises(ValueError, match="bicubic and guided"):
        make_refiner("lanczos", wide=False)
