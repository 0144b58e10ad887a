"""Matting under the governor, with an engine and clocks whose time is scripted."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from formula_pictures import frame_of, info_for, noise, picture_of

from livematte.config import LiveSettings, MattingSettings, ModelSettings, Settings
from livematte.errors import DeviceError
from livematte.frames import Frame
from livematte.live import governed, governed_models
from livematte.live.governed import GovernedMatting, How, adapts, keep_to_share
from livematte.live.governor_ladder import ReadyModel, make_ladder
from livematte.matting.host import HostMatting
from livematte.models.load import LoadedModel, load_model
from livematte.reporting import ListReporter
from livematte.runtimes import threads
from livematte.runtimes.base import Tensor
from livematte.runtimes.null_engine import NullBinding, NullEngine
from livematte.runtimes.options import EngineOptions

RATE = 4
"""Frames a second: far below a camera's, with times to match, so that minutes are a few hundred frames."""
GOOD_PIXELS = 448 * 256
KEPT_SECONDS = 10.0
"""The promise: no rung is left again before that."""
PICTURE = picture_of("yuv420p", noise("yuv420p", 36, 64))


@dataclass
class Clock:
    """Time that passes only where a test says so; work on the main thread costs processor time too."""

    now: float = 0.0
    cpu: float = 0.0
    threads: float = 1.0
    slowness: Callable[[float], float] = lambda now: 1.0
    good_share: float = 0.3
    """Of a frame time: what the network takes at 448x256."""

    def work(self, pixels: int) -> None:
        if threading.current_thread() is threading.main_thread():
            seconds = self.good_share / RATE * pixels / GOOD_PIXELS * self.slowness(self.now)
            self.now += seconds
            self.cpu += seconds * self.threads


class ScriptedBinding(NullBinding):
    def __init__(self, engine: NullEngine, shapes: Mapping[str, tuple[int, ...]], clock: Clock) -> None:
        super().__init__(engine, shapes)
        self._clock = clock
        self._pixels = shapes["rgb"][2] * shapes["rgb"][3]

    def run(self, feeds: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        self._clock.work(self._pixels)
        return super().run(feeds)


class ScriptedEngine(NullEngine):
    """The null engine, taking `Clock.good_share` of a frame time for a picture of 448x256."""

    refused: tuple[int, int] | None = None
    """(width, height) for which binding fails."""

    def __init__(self, path: Path, options: EngineOptions, clock: Clock) -> None:
        super().__init__(path, options)
        self.clock = clock
        self.bound: list[tuple[int, int]] = []

    def bind(self, shapes: Mapping[str, tuple[int, ...]]) -> NullBinding:
        size = (shapes["rgb"][3], shapes["rgb"][2])
        if size == self.refused:
            raise DeviceError("no memory for that")
        self.bound.append(size)
        return ScriptedBinding(self, shapes, self.clock)


class Notes(ListReporter):
    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self.moments: list[float] = []

    def note(self, message: str) -> None:
        super().note(message)
        self.moments.append(self._clock.now)


@dataclass
class Live:
    """A paced source that drops what comes too late, and the matting behind it."""

    clock: Clock
    settings: Settings = field(default_factory=lambda: Settings(live=LiveSettings(cpu_share=1.0)))
    name: str = "livematte-s"
    is_adapting: bool = True
    begin: float = 0.0
    index: int = -1
    given: int = 0
    matted: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        loaded = load_model(ModelSettings(runtime="null"), reporter=ListReporter())
        self.engine = ScriptedEngine(loaded.path, loaded.engine.options, self.clock)  # type: ignore[attr-defined]
        model = self.settings.model.model_copy(update={"runtime": "null"})
        manifest = loaded.manifest.model_copy(update={"name": self.name})
        self.loaded = LoadedModel(manifest, self.engine, model, loaded.contract, loaded.path)
        self.reporter = Notes(self.clock)
        info = replace(info_for(PICTURE), frame_rate=Fraction(RATE))
        self.matting = GovernedMatting(
            self.loaded,
            How(info, self.settings, wide_alpha=False, wants_foreground=True, reporter=self.reporter),
            adapts=self.is_adapting,
            clock=lambda: self.clock.now,
            cpu_clock=lambda: self.clock.cpu,
        )
        self.begin = self.clock.now

    def frame(self, index: int) -> Frame:
        frame = frame_of(PICTURE, index)
        return replace(frame, captured_ns=round(1e9 * (self.begin + index / RATE)))

    def run(self, seconds: float) -> Live:
        end = self.clock.now + seconds
        while self.clock.now < end:
            newest = int((self.clock.now - self.begin) * RATE + 1e-6)
            if newest <= self.index:
                self.clock.now = self.begin + (self.index + 1) / RATE
                continue
            self.index = newest
            self.matted += [one.frame.index for one in self.matting.push([self.frame(newest)])]
            for thread in threading.enumerate():
                if thread.name == "livematte-prepare":
                    thread.join(30)
        return self

    def close(self) -> None:
        self.matting.close()
        self.loaded.close()

    @property
    def rungs(self) -> list[str]:
        return [rung.removeprefix("livematte-s ") for rung in self.matting.rungs]


@pytest.fixture
def live() -> Callable[..., Live]:
    made: list[Live] = []

    def make(**options: object) -> Live:
        clock = Clock(**{k: v for k, v in options.items() if k in ("good_share", "slowness", "threads")})  # type: ignore[arg-type]
        rest = {k: v for k, v in options.items() if k not in ("good_share", "slowness", "threads")}
        made.append(Live(clock, **rest))  # type: ignore[arg-type]
        return made[-1]

    yield make  # type: ignore[misc]
    for one in made:
        one.close()


def test_a_fast_network_keeps_its_size_and_every_frame(live: Callable[..., Live]) -> None:
    run = live(good_share=0.3).run(120)
    assert run.rungs == ["448x256, every frame"]
    assert run.matted == list(range(run.index + 1))


def test_the_start_is_chosen_by_what_warming_took(live: Callable[..., Live]) -> None:
    run = live(good_share=1.5).run(120)  # 320x192 takes 0.8 of a frame time
    assert run.rungs == ["320x192, every frame"]
    assert "375 ms at 448x256" in run.reporter.notes[0]
    assert run.matted == list(range(run.index + 1))


def test_it_goes_down_one_rung_at_a_time_and_comes_back(live: Callable[..., Live]) -> None:
    run = live(good_share=0.6, slowness=lambda now: 2.5 if 20 < now < 80 else 1.0).run(200)
    assert run.rungs == [
        "448x256, every frame",
        "384x224, every frame",
        "320x192, every frame",
        "384x224, every frame",
        "448x256, every frame",
    ]
    moments = run.reporter.moments
    assert all(later - earlier >= KEPT_SECONDS for earlier, later in itertools.pairwise(moments))
    assert "ms, and there is one every 250 ms" in run.reporter.notes[0] or "came too late" in run.reporter.notes[0]


def test_a_hopelessly_slow_network_skips_frames_whole(live: Callable[..., Live]) -> None:
    run = live(good_share=7).run(60)
    assert run.rungs[-1] == "288x160, every 3rd frame"
    late = run.matted[len(run.matted) // 2 :]
    assert {later - earlier for earlier, later in itertools.pairwise(late)} == {3}


def test_a_skipped_frame_gives_no_matte_and_is_told_before(live: Callable[..., Live]) -> None:
    run = live(good_share=7)
    matting = run.matting
    assert matting.rung.endswith("every 3rd frame")
    answers = [(matting.skips(run.frame(n)), matting.skips(run.frame(n)), len(matting.push([run.frame(n)])))
               for n in range(6)]  # fmt: skip
    assert answers == [(False, False, 1), (True, True, 0), (True, True, 0)] * 2
    assert not matting.skips(run.frame(0)), "a source that begins again is taken from its first frame"


def test_no_frame_is_lost_over_a_swap_and_none_comes_twice(live: Callable[..., Live]) -> None:
    """The processor's share is overstepped, so nothing is late; the smoothing holds one frame back."""
    share = LiveSettings(cpu_share=0.4 / threads.usable_cores())
    settings = Settings(live=share, matting=MattingSettings(temporal="ofd"))
    run = live(good_share=0.3, slowness=lambda now: 1.5 if now > 15 else 1.0, settings=settings).run(60)
    assert run.rungs == ["448x256, every frame", "384x224, every frame"]
    run.matted += [one.frame.index for one in run.matting.flush()]
    assert run.matted == list(range(run.index + 1))


def test_the_next_network_is_bound_and_has_run_before_it_is_taken(live: Callable[..., Live]) -> None:
    run = live(good_share=0.6, slowness=lambda now: 1.8 if now > 15 else 1.0)
    main_thread_binds: list[bool] = []
    bind = run.engine.bind

    def watched(shapes: Mapping[str, tuple[int, ...]]) -> NullBinding:
        main_thread_binds.append(threading.current_thread() is threading.main_thread())
        return bind(shapes)

    run.engine.bind = watched  # type: ignore[method-assign]
    run.run(60)
    assert run.rungs == ["448x256, every frame", "384x224, every frame"]
    assert main_thread_binds == [False]


def test_a_size_that_cannot_be_bound_is_said_and_passed_over(live: Callable[..., Live]) -> None:
    run = live(good_share=0.6, slowness=lambda now: 1.8 if now > 15 else 1.0)
    run.engine.refused = (384, 224)
    run.run(60)
    assert run.rungs == ["448x256, every frame", "320x192, every frame"]
    assert any("384x224" in warning and "no memory" in warning for warning in run.reporter.warnings)


def test_pinned_nothing_moves(live: Callable[..., Live]) -> None:
    run = live(good_share=7, is_adapting=False).run(60)
    assert run.rungs == ["448x256, every frame"]
    assert run.reporter.notes == run.reporter.warnings == []


def test_a_small_share_of_the_processor_means_a_smaller_network(live: Callable[..., Live]) -> None:
    settings = Settings(live=LiveSettings(cpu_share=0.3 / threads.usable_cores()))  # 0.3 of a core
    run = live(good_share=0.3, settings=settings).run(60)
    assert run.rungs[0] == "384x224, every frame"  # 0.3 of a core, 0.375 with the rest; then 0.28


def test_a_heavier_network_hands_over_to_livematte_s(live: Callable[..., Live]) -> None:
    run = live(good_share=0.3, slowness=lambda now: 9.0 if now > 5 else 1.0, name="modnet-photographic").run(90)
    assert any(rung.startswith("livematte-s 384x224") for rung in run.matting.rungs)
    assert any("takes over from modnet-photographic" in note for note in run.reporter.notes)


def test_only_from_networks_for_people_and_only_what_is_there(live: Callable[..., Live]) -> None:
    run = live(good_share=0.3)
    frame = run.frame(0)

    def names(loaded: LoadedModel) -> list[str]:
        found = list(governed_models.lighter_models(loaded, frame, lambda: 0.0))
        for one in found:
            one.loaded.close()
        return [one.loaded.manifest.name for one in found]

    def called(**changes: object) -> LoadedModel:
        return replace(run.loaded, manifest=run.loaded.manifest.model_copy(update=changes))

    assert names(called(name="rvm-mobilenetv3")) == ["livematte-s"]  # selfie is not on this machine
    assert names(called(name="u2net", subjects=("things", "people"))) == []
    assert names(called(name="a-file-of-mine")) == []
    assert names(run.loaded) == []


def test_settings_change_from_the_next_frame_on_and_over_a_swap(live: Callable[..., Live]) -> None:
    run = live(good_share=0.6, slowness=lambda now: 1.8 if now > 15 else 1.0)
    run.matting.change(MattingSettings(levels=(0.0, 1.0), region="0,0,0.5,1"))
    run.run(60)
    assert len(run.rungs) == 2
    last = run.matting.push([run.frame(run.index + 1)])[0].matte.alpha
    assert last[:, :16].min() == 255
    assert last[:, -16:].max() == 0


def test_the_person_who_is_followed_stays_the_same_over_a_swap(
    live: Callable[..., Live], monkeypatch: pytest.MonkeyPatch
) -> None:
    handed_over: list[tuple[HostMatting, HostMatting, bool]] = []
    closed: set[HostMatting] = set()
    follow_on, close = HostMatting.follow_on, HostMatting.close

    def noted(self: HostMatting, other: HostMatting) -> None:
        handed_over.append((self, other, other in closed))
        follow_on(self, other)

    def closing(self: HostMatting) -> None:
        closed.add(self)
        close(self)

    monkeypatch.setattr(HostMatting, "follow_on", noted)
    monkeypatch.setattr(HostMatting, "close", closing)
    run = live(good_share=0.6, slowness=lambda now: 1.8 if now > 15 else 1.0)
    before = run.matting._host
    run.run(60)
    assert len(run.rungs) == 2
    assert handed_over == [(run.matting._host, before, False)]


def test_a_pause_of_the_camera_is_not_lateness(live: Callable[..., Live]) -> None:
    run = live(good_share=0.6).run(30)
    run.clock.now += 3600
    run.run(60)
    assert run.rungs == ["448x256, every frame"]


# -- the ladder -----------------------------------------------------------------------------------------------------


def test_the_ladder_of_the_embedded_network() -> None:
    loaded = load_model(ModelSettings(runtime="null"), reporter=ListReporter())
    try:
        rungs = make_ladder([ReadyModel(loaded, 1e-3)], 1280, 720, quality="good")
        assert [f"{rung.size}/{rung.every}" for rung in rungs] == [
            "448x256/1", "384x224/1", "320x192/1", "384x224/2", "320x192/2", "320x192/3", "288x160/3",
        ]  # fmt: skip
        loads = [rung.cost / rung.every for rung in rungs]
        assert all(later < earlier for earlier, later in itertools.pairwise(loads))
        assert make_ladder([ReadyModel(loaded, 1e-3)], 1280, 720, quality="fast")[0].size == "384x224"
        upright = make_ladder([ReadyModel(loaded, 1e-3)], 720, 1280, quality="good")
        assert upright[0].size == "256x448"
        pinned = replace(loaded, settings=loaded.settings.model_copy(update={"network_size": "256x128"}))
        sizes = {rung.size for rung in make_ladder([ReadyModel(pinned, 1e-3)], 1280, 720, quality="good")}
        assert sizes == {"256x128"}
    finally:
        loaded.close()


def test_a_ladder_through_two_networks_gets_lighter_all_the_way() -> None:
    loaded = load_model(ModelSettings(runtime="null"), reporter=ListReporter())
    try:
        heavy = replace(loaded, manifest=loaded.manifest.model_copy(update={"name": "heavy"}))
        rungs = make_ladder([ReadyModel(heavy, 3e-3), ReadyModel(loaded, 1e-3)], 1280, 720, quality="good")
        names = [rung.model for rung in rungs]
        assert names[:3] == ["heavy", "heavy", "heavy"]
        assert set(names[3:]) == {"livematte-s"}
        loads = [rung.cost / rung.every for rung in rungs]
        assert all(later < earlier for earlier, later in itertools.pairwise(loads))
    finally:
        loaded.close()


# -- settings -------------------------------------------------------------------------------------------------------


def test_what_was_stated_pins_it() -> None:
    assert adapts(Settings())
    assert not adapts(Settings(model=ModelSettings(quality="good")))
    assert not adapts(Settings(model=ModelSettings(network_size="448x256")))
    assert adapts(Settings(model=ModelSettings(quality="good"), live=LiveSettings(adapt="on")))
    assert not adapts(Settings(live=LiveSettings(adapt="off")))


def test_threads_are_the_share_of_the_cores_and_never_none(monkeypatch: pytest.MonkeyPatch) -> None:
    set_for_opencv: list[int] = []
    monkeypatch.setattr(governed.cv2, "setNumThreads", set_for_opencv.append)
    for cores, share, expected in ((1, 0.5, 1), (2, 0.5, 1), (2, 1.0, 2), (8, 0.5, 4), (6, 0.25, 1)):
        monkeypatch.setattr(governed, "default_threads", lambda cores=cores: cores)
        monkeypatch.setattr(governed, "usable_cores", lambda cores=cores: float(cores))
        assert keep_to_share(Settings(live=LiveSettings(cpu_share=share))).threads == expected
        assert set_for_opencv[-1] == expected
    assert keep_to_share(Settings(model=ModelSettings(threads=5))).threads == 5


def test_alpha_comes_out_of_the_null_engine_whole(live: Callable[..., Live]) -> None:
    run = live(good_share=0.3)
    alpha = run.matting.push([run.frame(0)])[0].matte.alpha
    assert np.array_equal(alpha, np.full((36, 64), 255, np.uint8))
