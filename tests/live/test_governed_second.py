"""`--refine-with` live: refused where two networks do not fit into a frame's time; the governor leaves them alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from formula_pictures import frame_of, info_for
from test_governed import PICTURE, RATE, Clock, ScriptedEngine

from livematte.config import LiveSettings, ModelSettings, Settings
from livematte.errors import UsageError
from livematte.live.governed import GovernedMatting, How, adapts
from livematte.models.load import LoadedModel, load_model
from livematte.reporting import ListReporter
from livematte.stats import Stats


def two_networks(clock: Clock) -> LoadedModel:
    """The default network's shape twice, each taking `clock.good_share` of a frame time; one engine."""
    loaded = load_model(ModelSettings(runtime="null", refine_with="livematte-s"), reporter=ListReporter())
    assert loaded.second is not None
    engine = ScriptedEngine(loaded.path, loaded.engine.options, clock)  # type: ignore[attr-defined]
    loaded.engine = loaded.second.engine = engine
    return loaded


def matting(clock: Clock, reporter: ListReporter, *, may_refuse: bool = True, timer: Stats | None = None):
    info = replace(info_for(PICTURE), frame_rate=Fraction(RATE))
    how = How(info, Settings(), wide_alpha=False, wants_foreground=True, reporter=reporter, may_refuse=may_refuse)
    read: Callable[[], float] = lambda: clock.now  # noqa: E731
    return GovernedMatting(two_networks(clock), how, adapts=False, timer=timer, clock=read, cpu_clock=lambda: clock.cpu)


def test_two_that_fit_run() -> None:
    """0.3 of a frame time each."""
    clock, reporter, stats = Clock(good_share=0.3), ListReporter(), Stats()
    made = matting(clock, reporter, timer=stats)
    assert any("With --refine-with" in note for note in reporter.notes)
    assert not reporter.warnings
    matted = made.push([frame_of(PICTURE)])
    assert (matted[0].matte.alpha == 255).all()
    assert {"coarse", "network"} <= set(stats.seconds_by_stage())
    made.close()


def test_two_that_do_not_fit_are_refused() -> None:
    """0.6 of a frame time each: 300 ms of 250."""
    clock = Clock(good_share=0.6)
    with pytest.raises(UsageError, match="takes up to 150 ms a frame here, beside 150 ms for livematte-s") as error:
        matting(clock, ListReporter())
    assert "4 frames a second leave 250 ms" in str(error.value)
    assert "--camera-rate" in str(error.value)


def test_later_it_is_only_said() -> None:
    """A machine that is busy for a moment must not end a call when the camera is opened again."""
    reporter = ListReporter()
    made = matting(Clock(good_share=0.6), reporter, may_refuse=False)
    assert any("Frames are dropped" in warning for warning in reporter.warnings)
    assert np.asarray(made.push([frame_of(PICTURE)])[0].matte.alpha).any()
    made.close()


def test_the_governor_leaves_two_networks_alone() -> None:
    model = ModelSettings(refine_with="livematte-s")
    assert not adapts(Settings(model=model))
    with pytest.raises(UsageError, match="--adapt on"):
        adapts(Settings(model=model, live=LiveSettings(adapt="on")))
