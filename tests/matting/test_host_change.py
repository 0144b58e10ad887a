"""Settings that change while it runs: from the next frame on, and the network keeps its memory."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest
from formula_pictures import FormulaSession, disc, frame_of, info_for, noise, picture_of

from livematte.config import MattingSettings, ModelSettings
from livematte.errors import UsageError
from livematte.frames import Frame
from livematte.matting.host import HostMatting
from livematte.models.load import load_model
from livematte.models.session import Session
from livematte.reporting import ListReporter

SIZE = (90, 160)
SMALL = disc(54, 96, soft_px=8).astype(np.float32) / 255


def frame(index: int) -> Frame:
    return frame_of(picture_of("yuv420p", noise("yuv420p", *SIZE)), index)


class Rig:
    def __init__(self, *, is_live: bool = True, temporal: str = "none", **settings) -> None:
        self.said = ListReporter()
        self.session = FormulaSession(lambda index: SMALL, is_recurrent=True, temporal=temporal)
        self.matting = HostMatting(
            self.session,
            MattingSettings(subject="all", **settings),
            info=info_for(frame(0).host_picture()),
            wide_alpha=False,
            wants_foreground=True,
            reporter=self.said,
            is_live=is_live,
        )

    def change(self, **settings) -> None:
        self.matting.change(MattingSettings(**({"subject": "all"} | settings)))


def test_edges_region_and_foreground_change_with_the_next_frame() -> None:
    rig = Rig()
    first = rig.matting.push([frame(0)])[0].matte
    rig.change(shrink=20.0)
    shrunk = rig.matting.push([frame(1)])[0].matte
    assert shrunk.alpha.astype(int).sum() < 0.95 * first.alpha.astype(int).sum()
    rig.change(region="0,0,0.5,1")
    halved = rig.matting.push([frame(2)])[0].matte
    assert not halved.alpha[:, 90:].any()
    assert np.array_equal(halved.alpha[:, :70], first.alpha[:, :70])
    rig.change(keep_background=True)
    kept = rig.matting.push([frame(3)])[0]
    assert np.array_equal(kept.matte.alpha, first.alpha)
    assert kept.matte.foreground is kept.frame.picture
    assert rig.session.calls == ["warm 0", "estimate 0", "estimate 1", "estimate 2", "estimate 3"]  # no reset


def test_another_smoothing_gives_out_what_the_old_one_held_back() -> None:
    rig = Rig(temporal="ofd", is_live=False)
    assert rig.matting.delay_frames == 1
    assert rig.matting.push([frame(0)]) == []
    rig.change(smooth="off")
    assert [one.frame.index for one in rig.matting.push([frame(1)])] == [0, 1]
    assert rig.matting.delay_frames == 0
    rig.change(temporal="ofd")
    assert rig.matting.push([frame(2)]) == []
    assert [one.frame.index for one in rig.matting.push([frame(3)]) + rig.matting.flush()] == [2, 3]
    assert "reset" not in rig.session.calls


def test_other_edges_leave_the_smoothing_as_it_is() -> None:
    rig = Rig(temporal="ofd", is_live=False)
    rig.matting.push([frame(0)])
    rig.change(feather=2.0)
    assert [one.frame.index for one in rig.matting.push([frame(1)])] == [0]


@pytest.mark.parametrize("bad", [{"levels": (0.9, 0.1)}, {"region": "9,9"}])
def test_what_cannot_be_is_refused_and_nothing_changes(bad: dict) -> None:
    rig = Rig()
    first = rig.matting.push([frame(0)])[0].matte.alpha
    with pytest.raises(UsageError):
        rig.change(shrink=20.0, **bad)
    assert np.array_equal(rig.matting.push([frame(1)])[0].matte.alpha, first)


def test_live_no_smoothing_that_delays_is_taken_by_itself() -> None:
    live, file = Rig(temporal="ofd"), Rig(temporal="ofd", is_live=False)
    assert (live.matting.delay_frames, file.matting.delay_frames) == (0, 1)
    assert "one frame later" in live.said.notes[0]
    assert file.said.notes == []
    assert Rig(temporal="adaptive").said.notes == []
    live.change(temporal="ofd")  # asked for, it is taken
    live.matting.push([frame(0)])
    assert live.matting.delay_frames == 1


def test_the_network_is_timed_without_its_preprocessing() -> None:
    seen: list[str] = []

    class Timer:
        @contextmanager
        def measure(self, stage: str):
            seen.append(stage)
            yield

    loaded = load_model(ModelSettings(runtime="null"), reporter=ListReporter())
    matting = HostMatting(
        Session(loaded),
        MattingSettings(),
        info=info_for(frame(0).host_picture()),
        wide_alpha=False,
        wants_foreground=False,
        reporter=ListReporter(),
        timer=Timer(),
    )
    matting.push([frame(0)])
    assert seen[:3] == ["scene", "preprocess", "network"]
    assert set(seen[3:]) <= {"preprocess", "network", "smooth", "upsample", "edges"}
    matting.close()
    loaded.close()
