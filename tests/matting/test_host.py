"""The host's matting, end to end, with a formula in place of a network."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest
from formula_pictures import FormulaSession, disc, frame_of, info_for, noise, picture_of, smooth

from livematte.config import MattingSettings
from livematte.errors import UsageError
from livematte.frames import Frame
from livematte.matting.host import HostMatting, multiply_alphas
from livematte.planes import plane_arrays
from livematte.reporting import ListReporter

SIZE = (180, 320)
SMALL = disc(54, 96, soft_px=3).astype(np.float32) / 255


def always(index: int) -> np.ndarray:
    return SMALL


def make(session: FormulaSession, frame: Frame, *, wide: bool = False, foreground: bool = True, timer=None, **settings):
    return HostMatting(
        session,
        MattingSettings(**settings),
        info=info_for(frame.host_picture()),
        wide_alpha=wide,
        wants_foreground=foreground,
        reporter=ListReporter(),
        timer=timer,
    )


def still(index: int, seed: int = 0, size: tuple[int, int] = SIZE) -> Frame:
    waves, grain = smooth("yuv420p", *size, phase=seed), noise("yuv420p", *size, seed)
    mixed = [0.9 * wave + 0.1 * part for wave, part in zip(waves, grain, strict=True)]
    return frame_of(picture_of("yuv420p", mixed), index)


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "gbrp"])
def test_each_frame_gets_its_matte(pix_fmt: str, wide: bool) -> None:
    session = FormulaSession(always)
    frame = frame_of(picture_of(pix_fmt, noise(pix_fmt, *SIZE)))
    matting = make(session, frame, wide=wide)
    matted = matting.push([frame]) + matting.flush()
    assert len(matted) == 1
    assert matted[0].frame is frame
    alpha = matted[0].matte.alpha
    assert alpha.shape == SIZE
    assert alpha.dtype == (np.uint16 if wide else np.uint8)
    assert np.abs(alpha / np.iinfo(alpha.dtype).max - disc(*SIZE, soft_px=10) / 255).mean() < 0.01
    cleaned = matted[0].matte.foreground
    assert cleaned.format.name == pix_fmt
    opaque = alpha == np.iinfo(alpha.dtype).max
    assert np.array_equal(plane_arrays(cleaned)[0][opaque], plane_arrays(frame.picture)[0][opaque])
    matting.close()
    assert session.calls == ["estimate 0", "close"]


def test_without_a_foreground_none_is_made() -> None:
    frame = still(0)
    assert make(FormulaSession(always), frame, foreground=False).push([frame])[0].matte.foreground is None


def test_keep_background_passes_the_planes() -> None:
    frame = still(0)
    matted = make(FormulaSession(always), frame, keep_background=True).push([frame])
    assert matted[0].matte.foreground is frame.picture


@pytest.mark.parametrize("own_type", [np.uint8, np.uint16])
@pytest.mark.parametrize("wide", [False, True])
def test_the_sources_own_alpha_multiplies(wide: bool, own_type: type) -> None:
    own = np.zeros(SIZE, own_type)
    own[:, :160] = np.iinfo(own_type).max
    own[:, 100:160] //= 2
    frame = still(0)
    frame.alpha = own
    plain = make(FormulaSession(always), frame, wide=wide).push([still(0)])[0].matte.alpha
    both = make(FormulaSession(always), frame, wide=wide).push([frame])[0].matte.alpha
    assert np.array_equal(both[:, :100], plain[:, :100])
    assert not both[:, 160:].any()
    assert np.abs(both[:, 100:160].astype(float) - plain[:, 100:160] / 2).max() <= np.iinfo(both.dtype).max / 255


def test_multiply_by_hand() -> None:
    ours, theirs = np.array([[0, 128, 255, 255]], np.uint8), np.array([[255, 128, 255, 0]], np.uint8)
    assert multiply_alphas(ours, theirs).tolist() == [[0, 64, 255, 0]]


def test_ofd_lags_one_frame_and_loses_none() -> None:
    frames = [still(number) for number in range(5)]
    matting = make(FormulaSession(always, temporal="ofd"), frames[0])
    assert matting.delay_frames == 1
    assert matting.push(frames[:1]) == []
    matted = matting.push(frames[1:]) + matting.flush()
    assert [one.frame.index for one in matted] == [0, 1, 2, 3, 4]
    assert all(one.frame is frame for one, frame in zip(matted, frames, strict=True))


def test_a_cut_flushes_then_forgets_and_warms() -> None:
    session = FormulaSession(always, is_recurrent=True, temporal="ofd")
    frames = [still(0), still(1)]
    other = np.kron(np.random.default_rng(5).integers(0, 2, (9, 16)), np.ones((20, 20))) * 200 + 20
    chroma = [np.full((90, 160), 128.0)] * 2
    frames += [frame_of(picture_of("yuv420p", [other, *chroma]), number) for number in (2, 3)]
    matting = make(session, frames[0])
    assert len(matting.push(frames[:2])) == 1
    assert [one.frame.index for one in matting.push(frames[2:3])] == [1]
    assert matting.cuts == 1
    assert [one.frame.index for one in matting.push(frames[3:]) + matting.flush()] == [2, 3]
    assert session.calls == [
        "warm 0", "estimate 0", "estimate 1", "reset", "warm 2", "estimate 2", "estimate 3",
    ]  # fmt: skip


def test_another_size_flushes_and_starts_over() -> None:
    session = FormulaSession(always, temporal="ofd")
    matting = make(session, still(0))
    matting.push([still(0)])
    matted = matting.push([still(1, size=(120, 200))]) + matting.flush()
    assert [one.matte.alpha.shape for one in matted] == [SIZE, (120, 200)]
    assert session.calls == ["estimate 0", "reset", "estimate 1"]


def test_reset_drops_what_is_held() -> None:
    matting = make(FormulaSession(always, temporal="ofd"), still(0))
    matting.push([still(0)])
    matting.reset()
    assert matting.flush() == []
    assert [one.frame.index for one in matting.push([still(7), still(8)]) + matting.flush()] == [7, 8]


def test_auto_follows_the_manifest_and_settings_win() -> None:
    frame = still(0)
    assert make(FormulaSession(always, temporal="ofd"), frame).delay_frames == 1
    assert make(FormulaSession(always, temporal="ofd"), frame, temporal="ema").delay_frames == 0
    assert make(FormulaSession(always, temporal="ofd"), frame, smooth="off").delay_frames == 0
    assert make(FormulaSession(always), frame, temporal="ofd").delay_frames == 1


def test_edges_are_applied() -> None:
    frame = still(0)
    plain, shrunk = (
        make(FormulaSession(always), frame, **settings).push([frame])[0].matte.alpha
        for settings in ({}, {"shrink": 12.0})
    )
    assert shrunk.astype(int).sum() < 0.95 * plain.astype(int).sum()
    with pytest.raises(UsageError, match="--levels"):
        make(FormulaSession(always), frame, levels=(0.9, 0.1))


def test_stages_are_timed() -> None:
    seen = []

    class Timer:
        @contextmanager
        def measure(self, stage: str):
            seen.append(stage)
            yield

    frame = still(0)
    make(FormulaSession(always), frame, timer=Timer()).push([frame])
    assert seen == ["scene", "network", "smooth", "upsample", "edges", "foreground"]


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (3, 5), (4, 1), (35, 61)])
def test_odd_and_tiny_pictures(size: tuple[int, int]) -> None:
    frame = still(0, size=size)
    for refine in ("bicubic", "guided"):
        matting = make(FormulaSession(always, temporal="adaptive", refine=refine), frame, shrink=1.5, feather=3.0)
        matted = matting.push([frame, still(1, size=size)])
        assert [one.matte.alpha.shape for one in matted] == [size, size]
