"""A background that changes between two frames, breaks, or is wanted by nobody."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from formula_pictures import disc, noise, picture_of
from PIL import Image
from ring_making import info_of

from clipmaker import Clip, write_clip
from livematte.errors import SourceError, UsageError
from livematte.frames import Frame, Matte, MattedFrame, Timestamp
from livematte.live.live_compositor import LiveCompositor
from livematte.planes import plane_arrays
from livematte.reporting import ListReporter

INFO = info_of(64, 48)
ALPHA = disc(48, 64)


class Rig:
    def __init__(self, background: str) -> None:
        self.wanted = True
        self.said = ListReporter()
        self.compositor = LiveCompositor(background, INFO, is_wanted=lambda: self.wanted, reporter=self.said)

    def luma(self, index: int = 0) -> np.ndarray:
        picture = picture_of("yuv420p", noise("yuv420p", 48, 64, index))
        frame = Frame(picture, Timestamp(index, Fraction(1, 30)), 1, index, INFO.color)
        made = self.compositor.composite(MattedFrame(frame, Matte(ALPHA, picture)))
        return plane_arrays(made.picture)[0]


@pytest.fixture
def white() -> Iterator[Rig]:
    rig = Rig("white")
    yield rig
    rig.compositor.close()


def behind(luma: np.ndarray) -> set[int]:
    return {int(value) for value in luma[ALPHA == 0]}


def test_the_background_changes_from_one_frame_to_the_next(white: Rig, tmp_path: Path) -> None:
    assert behind(white.luma()) == {235}
    assert white.compositor.set_background("black", reporter=white.said)
    assert behind(white.luma(1)) == {16}
    Image.new("RGB", (20, 20), (255, 255, 255)).save(tmp_path / "paper.png")
    assert white.compositor.set_background(str(tmp_path / "paper.png"), reporter=white.said)
    assert behind(white.luma(2)) == {235}
    assert white.compositor.background == str(tmp_path / "paper.png")
    # two changes between two frames: the last one counts
    assert white.compositor.set_background("white", reporter=white.said)
    assert white.compositor.set_background("black", reporter=white.said)
    assert behind(white.luma(3)) == {16}
    assert white.said.warnings == []


@pytest.mark.parametrize("bad", ["no-such-kind", "gone.png", "blur=-4", "1,2,999"])
def test_a_background_that_cannot_be_used_is_said_and_the_old_one_stays(white: Rig, bad: str) -> None:
    for _ in range(2):  # said each time it is asked for
        assert not white.compositor.set_background(bad, reporter=white.said)
    assert behind(white.luma()) == {235}
    assert white.compositor.background == "white"
    assert len(white.said.warnings) == 2
    assert "stays as it was" in white.said.warnings[0]


def test_the_first_background_has_to_be_right() -> None:
    with pytest.raises(UsageError):
        Rig("no-such-kind")
    with pytest.raises(SourceError):
        Rig("gone.png")


def test_nothing_is_composited_while_nobody_wants_it(white: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    from livematte.compositing import Compositor

    calls = []
    real = Compositor.composite
    monkeypatch.setattr(Compositor, "composite", lambda self, matted: calls.append(matted) or real(self, matted))
    white.wanted = False
    with pytest.raises(AttributeError):  # None
        white.luma()
    assert calls == []
    assert white.compositor.set_background("black", reporter=white.said)
    white.wanted = True
    assert behind(white.luma()) == {16}
    assert len(calls) == 1


def test_transparent_shows_no_room_in_an_opaque_output() -> None:
    rig = Rig("transparent")
    assert behind(rig.luma()) == {16}
    rig.luma(1)
    assert len(rig.said.notes) == 1
    assert "black" in rig.said.notes[0]
    assert rig.compositor.set_background("white", reporter=rig.said)
    assert behind(rig.luma(2)) == {235}
    rig.compositor.close()


def test_a_video_that_breaks_off_gives_way_to_black_and_says_so(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "room.mp4", Clip(frames=5))
    rig = Rig(str(path))
    rig.luma(0)

    def broken(*_: object) -> None:
        raise SourceError("the background broke off.")

    rig.compositor._current._background._advance = broken
    assert behind(rig.luma(30)) == {16}
    assert behind(rig.luma(31)) == {16}
    assert len(rig.said.warnings) == 1
    rig.compositor.close()


def test_a_background_that_comes_after_the_end_is_closed() -> None:
    rig = Rig("white")
    rig.compositor.close()
    rig.compositor.set_background("black", reporter=rig.said)
    assert rig.compositor.background == "white"
