"""Cuts are found; exposure, flashes, pans, noise and fast motion are not cuts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from livematte.matting.scene import SceneCuts


def scene(seed: int, height: int = 180, width: int = 320) -> np.ndarray:
    """A picture with structure at all sizes, as photographs have it: noise with a spectrum of 1 / f."""
    random = np.random.default_rng(seed)
    picture = np.zeros((height, width))
    for octave in range(3, 8):
        coarse = random.normal(size=(2**octave, 2**octave))
        picture += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) / 1.6 ** (octave - 3)
    picture = (picture - picture.mean()) / picture.std() * 45 + 120
    return np.clip(picture, 0, 255).astype(np.uint8)


def cuts_of(frames: Sequence[np.ndarray], peak: int = 255) -> list[int]:
    detector = SceneCuts()
    return [number for number, frame in enumerate(frames) if detector.push(frame, peak)]


@pytest.mark.parametrize("seed", range(8))
def test_a_cut_is_found_on_its_frame(seed: int) -> None:
    assert cuts_of([scene(seed)] * 3 + [scene(seed + 100)] * 3 + [scene(seed + 200)] * 2) == [3, 6]


def test_portrait_and_deep_pictures_are_read_alike() -> None:
    frames = [scene(1, 320, 180)] * 2 + [scene(2, 320, 180)] * 2
    assert cuts_of(frames) == [2]
    assert cuts_of([frame.astype(np.uint16) << 2 for frame in frames], 1023) == [2]


def test_noise_and_exposure_are_no_cuts() -> None:
    random, still = np.random.default_rng(0), scene(3).astype(float)
    frames = []
    for gain, offset in ((1.0, 0), (1.3, 0), (0.5, 0), (0.5, 60), (0.25, 10), (1.0, 0)):
        noisy = still * gain + offset + random.normal(scale=6, size=still.shape)
        frames.append(np.clip(noisy, 0, 255).astype(np.uint8))
    assert cuts_of(frames) == []


def test_a_pan_is_no_cut() -> None:
    wide = scene(4, 180, 1600)
    assert cuts_of([wide[:, x : x + 320] for x in range(0, 1200, 30)]) == []


def test_a_fast_person_is_no_cut() -> None:
    frames = []
    for step in range(8):
        frame = scene(5)
        cv2.ellipse(frame, (60 + 30 * step, 120), (45, 90), 0, 0, 360, 235, -1)
        frames.append(frame)
    assert cuts_of(frames) == []


def test_a_flash_is_no_cut_and_neither_is_its_end() -> None:
    burnt = np.clip(scene(6).astype(int) + 200, 0, 255).astype(np.uint8)
    white = np.full_like(burnt, 255)
    for flash in ([burnt], [white], [burnt, white]):
        assert cuts_of([scene(6)] * 3 + flash + [scene(6)] * 3) == []


def test_another_scene_after_a_flash_is_a_cut() -> None:
    white = np.full((180, 320), 255, np.uint8)
    assert cuts_of([scene(6), white, scene(7), scene(7)]) == [2]


def test_a_bright_scene_is_found_late() -> None:
    bright = np.clip(scene(7).astype(int) // 8 + 222, 0, 255).astype(np.uint8)
    assert cuts_of([scene(6)] * 2 + [bright] * 8) == [6]


def test_to_black_and_back_to_another_scene() -> None:
    black = np.zeros((180, 320), np.uint8)
    assert cuts_of([scene(1), scene(1), black, black, scene(2), scene(2)]) == [2, 4]


def test_another_size_and_reset_forget() -> None:
    detector = SceneCuts()
    assert not detector.push(scene(1), 255)
    assert not detector.push(scene(2, 320, 180), 255)
    detector.reset()
    assert not detector.push(scene(3, 320, 180), 255)
    assert detector.push(scene(4, 320, 180), 255)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 1), (3, 5)])
def test_tiny_pictures_do_not_disturb(shape: tuple[int, int]) -> None:
    assert cuts_of([np.full(shape, 90, np.uint8)] * 3) == []


@pytest.mark.shared
def test_real_clips_have_no_cuts_inside_and_one_between(shared: Path) -> None:
    import av

    frames: list[np.ndarray] = []
    begins = []
    for name in ("student.mkv", "juggle.mp4", "hungry.mkv", "desk.264"):
        begins.append(len(frames))
        with av.open(shared / "clips" / name) as clip:
            for number, picture in enumerate(clip.decode(video=0)):
                if number == 60:
                    break
                frames.append(picture.to_ndarray(format="gray"))
    assert cuts_of([cv2.resize(frame, (640, 360)) for frame in frames]) == begins[1:]
