"""The second network of `--refine-with`: what it sees, where its alpha counts, when it runs; formulas for networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
from formula_pictures import FormulaSession, frame_of, info_for, noise, picture_of

from livematte.config import MattingSettings
from livematte.frames import Frame, MattedFrame
from livematte.matting.host import HostMatting
from livematte.matting.two_stage import Window, band_weight, cut_picture, side_by_side
from livematte.matting.two_stage_box import Box
from livematte.planes import layout, plane_arrays
from livematte.reporting import ListReporter

SIZE = (360, 640)
BODY = slice(120, 300), slice(240, 360)
"""Rows and columns of the person; its box by hand: 120 px and 18 on each side are 156, 4 steps of 48 (192); 180 and 27
on each side are 234, 8 steps of 32 (256)."""
BOX = Box(204, 82, 192, 256)


def person(*places: tuple[slice, slice], quarter: bool = True) -> np.ndarray:
    alpha = np.zeros(SIZE, np.float32)
    for place in places:
        alpha[place] = 1
    return alpha[::4, ::4] if quarter else alpha


def still(index: int = 0, seed: int = 0, size: tuple[int, int] = SIZE, pix_fmt: str = "yuv420p") -> Frame:
    return frame_of(picture_of(pix_fmt, noise(pix_fmt, *size, seed)), index)


class Cropped(FormulaSession):
    """Alpha 1 everywhere, at half the size of what it sees; keeps that."""

    def __init__(self, value: float = 1.0, **given: object) -> None:
        super().__init__(None, **given)
        self.value = value
        self.seen: list[Frame] = []

    def estimate(self, frame: Frame) -> SimpleNamespace:
        self.calls.append(f"estimate {frame.index} {frame.width}x{frame.height}")
        self.seen.append(frame)
        return SimpleNamespace(alpha=np.full((frame.height // 2, frame.width // 2), self.value, np.float32))


class Stage:
    """Matting with a formula for each network, and the sessions of the second that were made."""

    def __init__(
        self, coarse: Callable[[int], np.ndarray], frame: Frame, *, wide: bool = False, timer: object = None,
        is_live: bool = False, value: float = 1.0, second: dict | None = None, **settings: object,
    ) -> None:  # fmt: skip
        self.first = FormulaSession(coarse)
        self.made: list[Cropped] = []

        def make() -> Cropped:
            self.made.append(Cropped(value, **(second or {})))
            return self.made[-1]

        self.matting = HostMatting(
            self.first, MattingSettings(**settings), info=info_for(frame.host_picture()), wide_alpha=wide,
            wants_foreground=False, reporter=ListReporter(), timer=timer, is_live=is_live, second=make,
        )  # fmt: skip

    def push(self, *frames: Frame) -> list[MattedFrame]:
        return self.matting.push(frames)

    @property
    def calls(self) -> list[str]:
        return self.made[0].calls


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "yuv444p", "gbrp"])
def test_it_sees_the_box_and_its_alpha_counts_there(pix_fmt: str, wide: bool) -> None:
    frame = still(pix_fmt=pix_fmt)
    stage = Stage(lambda index: person(BODY), frame, wide=wide)
    alpha = stage.push(frame)[0].matte.alpha
    assert stage.calls == [f"estimate 0 {BOX.width}x{BOX.height}"]
    kind = layout(pix_fmt)
    for number, (seen, whole) in enumerate(
        zip(plane_arrays(stage.made[0].seen[0].picture), plane_arrays(frame.picture), strict=True)
    ):
        is_chroma = number in (1, 2) and not kind.is_rgb
        down, across = (kind.log2_chroma_height, kind.log2_chroma_width) if is_chroma else (0, 0)
        assert np.array_equal(
            seen, whole[BOX.top >> down : BOX.bottom >> down, BOX.left >> across : BOX.right >> across]
        )
    assert alpha.dtype == (np.uint16 if wide else np.uint8)
    assert alpha.shape == SIZE
    assert (alpha[BODY] == np.iinfo(alpha.dtype).max).all()
    # The band: 6 % of 192 px are 11.5, and as much again until 0; the formula's alpha is 1 in all of the box.
    around = np.zeros(SIZE, bool)
    around[120 - 26 : 300 + 26, 240 - 26 : 360 + 26] = True
    assert not alpha[~around].any()
    near = np.zeros(SIZE, bool)
    near[120:300, 240 - 8 : 360 + 8] = True
    assert (alpha[near] == np.iinfo(alpha.dtype).max).all()
    assert 0 < alpha[200, 219] < alpha[200, 222] < alpha[200, 225] < np.iinfo(alpha.dtype).max


def test_what_the_second_does_not_see_as_a_person_is_0() -> None:
    """The first network only says where: inside it the second one's word counts alone."""
    frame = still()
    alpha = Stage(lambda index: person(BODY), frame, value=0.4).push(frame)[0].matte.alpha
    assert (alpha[BODY] == 102).all()


def test_nobody_in_view_runs_nothing() -> None:
    frame = still()
    stage = Stage(lambda index: person(), frame, wide=True)
    matted = stage.push(frame, still(1))
    assert [one.matte.alpha.dtype for one in matted] == [np.uint16] * 2
    assert not any(one.matte.alpha.any() for one in matted)
    assert stage.calls == []
    assert stage.first.calls == ["estimate 0", "estimate 1"]


def test_a_haze_is_nobody() -> None:
    frame = still()
    stage = Stage(lambda index: np.full((90, 160), 0.45, np.float32), frame)
    assert not stage.push(frame)[0].matte.alpha.any()
    assert stage.calls == []


def test_the_recurrent_past_is_kept_and_forgotten() -> None:
    """Kept while the box stands, or moves a little with its size; warmed anew where it jumps, and after a cut."""
    places = {0: 240, 1: 252, 2: 268, 3: 268, 4: 20}
    frames = [still(index) for index in places]
    recurrent = {"is_recurrent": True}
    stage = Stage(
        lambda index: person((BODY[0], slice(places[index], places[index] + 120))), frames[0], second=recurrent
    )
    stage.push(*frames)
    where = f"{BOX.width}x{BOX.height}"
    assert stage.calls == [
        "warm 0", *(f"estimate {index} {where}" for index in range(4)), "warm 4", f"estimate 4 {where}",
    ]  # fmt: skip


def test_a_cut_and_another_size_forget() -> None:
    waves = [frame_of(picture_of("yuv420p", _blocks(seed)), seed) for seed in (0, 1)]
    stage = Stage(lambda index: person(BODY), waves[0], second={"is_recurrent": True})
    stage.push(*waves)
    where = f"{BOX.width}x{BOX.height}"
    assert stage.matting.cuts == 1
    assert stage.calls == ["warm 0", f"estimate 0 {where}", "reset", "warm 1", f"estimate 1 {where}"]
    stage.push(still(2, size=(180, 320)))
    assert stage.calls[5] == "reset"
    assert stage.made[0].seen[-1].width < 192


def _blocks(seed: int) -> list[np.ndarray]:
    blocks = np.random.default_rng(seed).integers(0, 2, (9, 16)) * 200.0 + 20
    return [np.kron(blocks, np.ones((40, 40))), np.full((180, 320), 128.0), np.full((180, 320), 128.0)]


@pytest.mark.parametrize("temporal", ["ofd", "adaptive", "ema", "one-euro"])
def test_each_frame_gets_its_own_matte_where_the_box_changes(temporal: str) -> None:
    """Frames that a smoothing holds back come out in order, each with the box that was its own."""
    places = {0: 240, 1: 240, 2: None, 3: 20, 4: 24, 5: 480, 6: 480}
    frames = [still(index) for index in places]

    def coarse(index: int) -> np.ndarray:
        left = places[index]
        return person() if left is None else person((BODY[0], slice(left, left + 120)))

    stage = Stage(coarse, frames[0], temporal=temporal)
    matted = [one for frame in frames for one in stage.push(frame)] + stage.matting.flush()
    assert [one.frame.index for one in matted] == list(places)
    for one, left in zip(matted, places.values(), strict=True):
        columns = np.flatnonzero(one.matte.alpha.any(axis=0))
        if left is None:
            assert not columns.size
        else:
            assert left - 26 <= columns[0] <= max(left - 8, 0)
            assert left + 127 <= columns[-1] <= left + 146


def test_the_seconds_own_defaults_count() -> None:
    frame = still()
    stage = Stage(lambda index: person(BODY), frame, second={"temporal": "ofd"})
    assert stage.matting.delay_frames == 1


def test_two_far_apart_have_sessions_of_their_own() -> None:
    """Each has a past that goes on, and that a cut or a seek forgets."""
    places = (slice(160, 260), slice(16, 76)), (slice(160, 260), slice(560, 620))
    frames = [still(index) for index in range(2)]
    stage = Stage(lambda index: person(*places), frames[0], second={"is_recurrent": True})
    matted = stage.push(*frames)
    assert len(stage.made) == 2
    for session in stage.made:
        assert [call.split()[:2] for call in session.calls] == [["warm", "0"], ["estimate", "0"], ["estimate", "1"]]
    for one in matted:
        for place in places:
            assert (one.matte.alpha[place] == 255).all()
        assert not one.matte.alpha[:, 150:480].any()
    stage.matting.reset()
    stage.push(frames[1])
    for session in stage.made:
        assert [call.split()[0] for call in session.calls[3:]] == ["reset", "warm", "estimate"]
    stage.matting.close()
    assert [session.calls[-1] for session in stage.made] == ["close", "close"]


def test_live_there_is_one_box() -> None:
    places = (slice(160, 260), slice(16, 76)), (slice(160, 260), slice(560, 620))
    frame = still()
    stage = Stage(lambda index: person(*places), frame, is_live=True, subject="all")
    stage.push(frame)
    assert len(stage.made) == 1
    assert stage.made[0].seen[0].width >= 604  # from 16 to 620


def test_region_and_subject_choose_whom_it_sees() -> None:
    large, small = BODY, (slice(200, 260), slice(560, 620))
    frame = still()
    for settings, kept, left_out in (
        ({"subject": "largest"}, large, small),
        ({"region": "0.8,0,0.2,1"}, small, large),
    ):
        stage = Stage(lambda index: person(large, small), frame, **settings)
        alpha = stage.push(frame)[0].matte.alpha
        assert len(stage.made) == 1
        assert (alpha[kept] == 255).all()
        assert not alpha[left_out].any()


def test_change_while_it_runs() -> None:
    small = (slice(200, 260), slice(560, 620))
    frames = [still(index) for index in range(3)]
    stage = Stage(lambda index: person(BODY, small), frames[0], temporal="ofd")
    assert stage.push(frames[0]) == []
    stage.matting.change(MattingSettings(temporal="none", subject="largest"))
    before, after = stage.push(frames[1])
    assert before.matte.alpha[small].all()
    assert not after.matte.alpha[small].any()
    assert (after.matte.alpha[BODY] == 255).all()


def test_stages() -> None:
    seen: list[str] = []

    class Timer:
        @contextmanager
        def measure(self, stage: str) -> Iterator[None]:
            seen.append(stage)
            yield

    frame = still()
    Stage(lambda index: person(BODY), frame, timer=Timer()).push(frame)
    told = [stage for stage in dict.fromkeys(seen) if stage != "subject"]
    assert told == ["scene", "coarse", "crop", "network", "smooth", "upsample", "edges"]


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (35, 61), (361, 641)])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p"])
def test_odd_pictures(size: tuple[int, int], pix_fmt: str) -> None:
    frame = still(size=size, pix_fmt=pix_fmt)
    coarse = np.zeros((36, 64), np.float32)
    coarse[20 if size[0] > 2 else 0 :, 40 if size[1] > 2 else 0 :] = 1

    class Whole(Cropped):
        def estimate(self, frame: Frame) -> SimpleNamespace:
            self.seen.append(frame)
            return SimpleNamespace(alpha=np.ones((16, 16), np.float32))

    session = Whole()
    matting = HostMatting(
        FormulaSession(lambda index: coarse), MattingSettings(), info=info_for(frame.host_picture()),
        wide_alpha=False, wants_foreground=True, reporter=ListReporter(), second=lambda: session,
    )  # fmt: skip
    alpha = matting.push([frame])[0].matte.alpha
    assert alpha.shape == size
    assert alpha[-1, -1] == 255


def test_a_box_inside_a_chroma_sample_is_refused() -> None:
    picture = still().host_picture()
    with pytest.raises(ValueError, match="inside a chroma sample"):
        cut_picture(picture, Box(1, 0, 16, 16))
    assert cut_picture(still(pix_fmt="yuv422p").host_picture(), Box(2, 1, 16, 16)).height == 16


def test_band_by_hand() -> None:
    """One solid half, the box and alpha of the picture's own size: 6 % of 100 px are 6; 1 up to there, 0 from 12 on."""
    coarse = np.zeros((100, 200), np.float32)
    coarse[:, :100] = 1
    weight = band_weight(coarse, Box(0, 0, 200, 100), 200, 100)
    assert weight.shape == (100, 200)
    assert (weight[:, :106] == 255).all()
    assert weight[50, 108] == pytest.approx(255 * (2 - 9 / 6), abs=2)
    assert not weight[:, 111:].any()
    faint = np.where(coarse > 0, 0.19, 0).astype(np.float32)
    assert not band_weight(faint, Box(0, 0, 200, 100), 200, 100).any()


def test_place_sets_zeros_around() -> None:
    window = Window(Box(4, 2, 8, 6), np.full((3, 4), 255, np.uint8))
    placed = window.place(np.full((6, 8), 77, np.uint8), (12, 20))
    assert placed.shape == (12, 20)
    assert (placed[2:8, 4:12] == 77).all()
    assert int(placed.sum()) == 77 * 48
    half = Window(Box(4, 2, 8, 6), np.full((3, 4), 51, np.uint8))
    assert (half.place(np.full((6, 8), 65535, np.uint16), (12, 20))[2:8, 4:12] == 13107).all()


def test_side_by_side_keeps_each_in_its_place() -> None:
    """A ramp in each box, one at half and one at a fifth of its size, comes out where it lies in the picture."""
    boxes = (Box(10, 20, 40, 30), 2), (Box(101, 25, 60, 20), 5)
    parts = []
    for box, step in boxes:
        columns = (np.arange(box.width // step) + 0.5) * step + box.left
        parts.append((box, np.tile((columns / 200).astype(np.float32), (box.height // step, 1))))
    whole = boxes[0][0].joined(boxes[1][0])
    assert whole == Box(10, 20, 151, 30)
    made = side_by_side(parts, whole)
    assert made.shape == (15, 76)
    columns = (np.arange(76) + 0.5) * 151 / 76 + whole.left
    assert np.abs(made[5, 2:18] - columns[2:18] / 200).max() < 2e-3
    assert np.abs(made[5, 51:70] - columns[51:70] / 200).max() < 4e-3
    assert not made[:, 21:45].any()
    assert not made[13:, 45:].any()


def test_where_boxes_overlap_the_larger_counts() -> None:
    parts = [
        (Box(0, 0, 20, 20), np.full((20, 20), 0.75, np.float32)),
        (Box(10, 0, 20, 20), np.full((20, 20), 0.5, np.float32)),
    ]
    made = side_by_side(parts, Box(0, 0, 30, 20))
    assert (made[:, :20] == 0.75).all()
    assert (made[:, 20:] == 0.5).all()
