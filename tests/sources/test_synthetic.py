from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest

from livematte.config import InputSettings
from livematte.errors import UsageError
from livematte.frames import Frame
from livematte.planes import layout, plane_arrays
from livematte.reporting import ListReporter
from livematte.sources import open_source
from livematte.sources.synthetic import SyntheticClip, SyntheticSource, SyntheticSpec, parse_synthetic


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "yuv444p16le", "gbrp", "gbrp12le"])
@pytest.mark.parametrize("size", [(160, 90), (161, 91), (1, 1), (3, 5)])
def test_pictures_are_the_formulas_mix_of_room_and_person(pix_fmt: str, size: tuple[int, int]) -> None:
    clip = SyntheticClip(SyntheticSpec(*size, frames=8, pix_fmt=pix_fmt))
    shape = layout(pix_fmt)
    rooms = clip._planes[0]
    for index in (0, 5):
        alpha = clip.alpha(index).astype(np.int64)
        person, mixed = plane_arrays(clip.foreground(index)), plane_arrays(clip.picture(index))
        for number, (top, room, got) in enumerate(zip(person, rooms, mixed, strict=True)):
            weight = alpha
            if number and not shape.is_rgb:
                high, wide = 1 << shape.log2_chroma_height, 1 << shape.log2_chroma_width
                padded = np.pad(alpha, ((0, -alpha.shape[0] % high), (0, -alpha.shape[1] % wide)), mode="edge")
                blocks = padded.reshape(padded.shape[0] // high, high, padded.shape[1] // wide, wide)
                weight = np.floor(blocks.mean(axis=(1, 3)) + 0.5).astype(np.int64)
            want = (top.astype(np.int64) * weight + room.astype(np.int64) * (255 - weight) + 127) // 255
            if number == 0 or shape.is_rgb or (size[0] % 2 == 0 and size[1] % 2 == 0):
                assert (got == want).all()


def test_alpha_is_soft_moves_and_is_a_plausible_person() -> None:
    clip = SyntheticClip(SyntheticSpec(320, 180))
    first, later = clip.alpha(0), clip.alpha(20)
    assert 0.05 < first.mean() / 255 < 0.5
    assert 0.005 < ((first > 0) & (first < 255)).mean() < 0.2
    assert (first != later).mean() > 0.02
    assert (clip.alpha(0, wide=True) == first.astype(np.uint16) * 257).all()


def test_the_same_seed_is_the_same_clip_and_another_is_not() -> None:
    def luma(seed: int) -> np.ndarray:
        return plane_arrays(SyntheticClip(SyntheticSpec(64, 64, seed=seed)).picture(3))[0].copy()

    assert (luma(1) == luma(1)).all()
    assert (luma(1) != luma(2)).any()


def test_the_name_says_everything() -> None:
    spec = parse_synthetic("synthetic:1920x1080@30000/1001:300:yuv420p10le:vfr:alpha:seed=7")
    assert spec == SyntheticSpec(1920, 1080, 300, Fraction(30000, 1001), "yuv420p10le", True, 7, True)
    assert parse_synthetic("synthetic:64x48").width == 64


@pytest.mark.parametrize("name", ["synthetic:0x10", "synthetic:axb", "synthetic:64x64:nv12", "synthetic:64x64@0"])
def test_a_wrong_name_explains_itself(name: str) -> None:
    with pytest.raises(UsageError):
        parse_synthetic(name)


def test_as_a_source() -> None:
    reporter = ListReporter()
    source = open_source("synthetic:64x48@30:9:vfr:alpha", InputSettings(), reporter=reporter)
    frames = [item for item in source if isinstance(item, Frame)]
    times = [frame.time.pts for frame in frames]
    assert len(frames) == source.info.frame_count == 9
    assert len({b - a for a, b in itertools.pairwise(times)}) > 2
    assert [b - a for a, b in itertools.pairwise(times)] == [frame.duration for frame in frames[:-1]]
    assert source.info.is_variable_rate
    assert reporter.notes
    assert isinstance(source, SyntheticSource)
    assert all((frame.alpha == source.clip.alpha(frame.index)).all() for frame in frames)


def test_a_window_shifts_to_zero_and_knows_its_first_frame() -> None:
    settings = InputSettings(start="1", end="2")
    source = open_source("synthetic:64x48@30:90", settings, reporter=ListReporter())
    frames = [item for item in source if isinstance(item, Frame)]
    assert isinstance(source, SyntheticSource)
    assert (len(frames), frames[0].time.pts, source.first_index) == (30, 0, 30)
    assert (plane_arrays(frames[0].host_picture())[0] == plane_arrays(source.clip.picture(30))[0]).all()


def test_size_is_in_the_name() -> None:
    with pytest.raises(UsageError, match="--size"):
        open_source("synthetic:64x48", InputSettings(size="32x-1"), reporter=ListReporter())
