"""`--region` in photos and in the Python API, with the embedded network."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from livematte import Session
from livematte.config import MattingSettings
from livematte.demo.clip import PORTRAIT
from livematte.errors import UsageError

pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """Her at the left, and again, smaller, at the right."""
    with Image.open(PORTRAIT) as stored:
        portrait = np.asarray(stored.convert("RGB"))
    height, width = portrait.shape[:2]
    both = np.full((height, 2 * width, 3), 128, np.uint8)
    both[:, :width] = portrait
    with Image.fromarray(portrait) as stored:
        small = np.asarray(stored.resize((width // 2, height // 2)))
    both[height // 2 :, 2 * width - width // 2 :] = small
    return both


@pytest.fixture(scope="module")
def largest() -> Iterator[Session]:
    with Session(quality="fast", matting=MattingSettings(subject="largest")) as session:
        yield session


def test_the_largest_of_two_is_kept(picture: np.ndarray, largest: Session) -> None:
    with Session(quality="fast") as everybody:
        alpha = everybody.matte(picture)
    alone = largest.matte(picture)
    middle = picture.shape[1] // 2
    assert alpha[:, middle + middle // 4 :].max() > 200  # photos keep everybody
    assert alone[:, middle + middle // 4 :].max() < 30
    assert np.abs(alone[:, : middle // 2].astype(int) - alpha[:, : middle // 2]).mean() < 1


def test_pictures_have_no_past(picture: np.ndarray, largest: Session) -> None:
    """Each picture's own largest, also right after its mirror image."""
    first = largest.matte(picture)
    mirrored = largest.matte(np.ascontiguousarray(picture[:, ::-1]))
    middle = picture.shape[1] // 2
    assert first[:, :middle].max() > 200
    assert mirrored[:, middle:].max() > 200


def test_a_region_in_pixels_belongs_to_each_picture(picture: np.ndarray) -> None:
    height, width = picture.shape[:2]
    with Session(quality="fast", matting=MattingSettings(region=f"0,0,{width // 2},{height}")) as session:
        assert not session.matte(picture)[:, width // 2 :].any()
        larger = np.ascontiguousarray(np.pad(picture, ((0, 0), (0, 200), (0, 0))))
        assert not session.matte(larger)[:, width // 2 :].any()
        with pytest.raises(UsageError, match="has 100x100 px"):
            session.matte(picture[:100, :100].copy())
        assert not session.matte(picture)[:, width // 2 :].any()  # and it goes on
