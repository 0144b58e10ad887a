"""Matting under a governor: measures, decides once a second, and swaps networks between two frames.

Note [A swap]
    The next network is bound and run on a frame on a thread of its own while the present one goes on; the swap itself
    is an assignment between two frames. What the old one held back comes out first. The person that `--subject`
    follows stays the same one; the smoothing in time begins anew, as at a cut, because its memory has the old
    network's size.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import cv2

from livematte.config import MattingSettings, ModelSettings, Settings
from livematte.errors import LivematteError, UsageError
from livematte.frames import Frame, MattedFrame, StreamInfo
from livematte.live.governed_models import first_model, lighter_models, session_for, warm
from livematte.live.governed_second import How, check_frame_time
from livematte.live.governor import Governor, Rung, Step
from livematte.live.governor_ladder import ReadyModel, make_ladder
from livematte.live.governor_meter import USUAL_RATE, Meter, StageWatch
from livematte.live.messages import WorkerSpec
from livematte.matting.host import HostMatting, Timer
from livematte.models.load import LoadedModel
from livematte.models.session import Session
from livematte.reporting import Reporter
from livematte.runtimes.threads import default_threads, usable_cores

WINDOW_SECONDS = 1.0
_STANDSTILL_SECONDS = 3.0
"""Longer between two frames: the camera was closed, or hung."""


def keep_to_share(settings: Settings) -> ModelSettings:
    """The model's settings with the CPU threads that `cpu_share` leaves it, where none were asked for.

    Called once in the worker's process, before the network is loaded: OpenCV's threads are bounded too. On two cores
    the half is one thread: beside other work that keeps both cores busy, two were no faster (65 ms a frame against
    62 at 384x224, medians of 72 in turns).
    """
    share = settings.live.cpu_share
    cv2.setNumThreads(max(1, int(usable_cores() * share)))
    if settings.model.threads:
        return settings.model
    return settings.model.model_copy(update={"threads": max(1, int(default_threads() * share))})


def adapts(settings: Settings) -> bool:
    """Whether the governor may act: `--adapt`, and for `auto` that neither quality nor network size was stated.

    Never with `--refine-with`; UsageError where `--adapt on` asks for both.
    """
    if settings.model.refine_with is not None:
        if settings.live.adapt == "on":
            raise UsageError(
                "--refine-with runs two networks at sizes that stay as they are, and --adapt on changes the network. "
                "Leave one of them out."
            )
        return False
    if settings.live.adapt != "auto":
        return settings.live.adapt == "on"
    return not settings.model.model_fields_set & {"quality", "network_size"}


def make_matting(
    spec: WorkerSpec,
    loaded: LoadedModel,
    info: StreamInfo,
    *,
    reporter: Reporter,
    wide_alpha: bool = False,
    wants_foreground: bool = True,
    timer: Timer | None = None,
    may_refuse: bool = True,
) -> GovernedMatting:
    """Matting for a live source, bound and warmed for its pictures. The caller keeps `loaded` and closes it after.

    UsageError: with `--refine-with`, two networks that do not fit into the source's frame time here; where not
    `may_refuse` (it has run before) that is only said.
    """
    how = How(info, spec.settings, wide_alpha, wants_foreground, reporter, may_refuse)
    return GovernedMatting(loaded, how, adapts=spec.adapts, timer=timer)


class GovernedMatting:
    """`matting.base.Matting` whose network changes as the machine needs it; used by one thread, as that one is.

    A frame that the present rung skips comes to nothing: `push` gives no matte for it, and `skips` says so before.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        how: How,
        *,
        adapts: bool,
        timer: Timer | None = None,
        clock: Callable[[], float] = time.perf_counter,
        cpu_clock: Callable[[], float] = time.process_time,
    ) -> None:
        """Binds and warms. `clock` and `cpu_clock` in seconds (tests)."""
        self._how = how
        self._matting = how.settings.matting
        self._clock = clock
        self._cpu_clock = cpu_clock
        self._watch = StageWatch(timer, clock)
        self._meter = Meter(clock, cpu_clock, self._watch, how.info.frame_rate)
        self._last_seen = clock()
        self._taken: int | None = None
        self._newest: Frame | None = None
        self._next: _Prepared | None = None
        self._thread: threading.Thread | None = None
        self._failed: Rung | None = None
        self._others: list[ReadyModel] = []
        self._offered = 0
        self._first, self._governor = self._start(loaded, adapts)
        self._taken_rungs = [str(self.rung_now)]

    # -- what the worker asks ----------------------------------------------------------------------------------

    @property
    def rung(self) -> str:
        """The present rung, for persons: `livematte-s 384x224, every frame`."""
        return str(self.rung_now)

    @property
    def rungs(self) -> tuple[str, ...]:
        """Each rung that was taken so far, oldest first."""
        return tuple(self._taken_rungs)

    @property
    def rung_now(self) -> Rung:
        return self._rung

    @property
    def delay_frames(self) -> int:
        """See `Matting`."""
        return self._host.delay_frames

    def skips(self, frame: Frame) -> bool:
        """True where the present rung leaves this frame out. Changes nothing; may be asked more than once."""
        if self._taken is None:
            return False
        return 0 < frame.index - self._taken < self._rung.every

    def change(self, settings: MattingSettings) -> None:
        """Other edge controls, smoothing, subject or region from the next frame on; any thread (`HostMatting`)."""
        host = self._host
        host.change(settings)
        self._matting = settings
        if self._host is not host:  # swapped meanwhile, by the old settings
            self._host.change(settings)

    # -- Matting -----------------------------------------------------------------------------------------------

    def push(self, frames: Sequence[Frame]) -> list[MattedFrame]:
        """See `Matting.push`. Errors of the network pass through."""
        matted: list[MattedFrame] = []
        for frame in frames:
            matted += self._swap()
            if self.skips(frame):
                continue
            matted += self._push_one(frame)
        return matted

    def flush(self) -> list[MattedFrame]:
        """See `Matting.flush`."""
        return self._host.flush()

    def reset(self) -> None:
        """See `Matting.reset`."""
        self._host.reset()
        self._taken = None

    def close(self) -> None:
        """See `Matting.close`. Waits for a network that is just being prepared."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()
        if self._next is not None:
            self._next.host.close()
            self._next = None
        self._host.close()
        for other in self._others:
            other.loaded.close()
        self._newest = None

    # -- the start ---------------------------------------------------------------------------------------------

    def _start(self, loaded: LoadedModel, adapts: bool) -> tuple[ReadyModel, Governor | None]:
        """Warm the first rung, measure it, and begin where this machine can begin."""
        quality, info = loaded.settings.quality, self._how.info
        self._second: LoadedModel | None = None
        self._host = self._host_of(Session(loaded))
        took = warm(self._host, info, self._watch, self._cpu_clock)
        if loaded.second is not None:
            self._host.close()
            check_frame_time(loaded, loaded.second, took, self._how, self._clock)
            self._second = loaded.second
            self._host = self._host_of(Session(loaded))
            warm(self._host, info, self._watch, self._cpu_clock)
        first = first_model(loaded, info, took)
        ladder = make_ladder([first], info.width, info.height, quality=quality)
        self._rung = ladder[0]
        if not adapts:
            return first, None
        budget = self._how.settings.live.cpu_share * usable_cores()
        governor = Governor(ladder, cpu_budget=budget, now=self._clock())
        rate = float(info.frame_rate) if info.frame_rate else USUAL_RATE
        rung = governor.start(took.network_ms, took.matting_ms, took.cpu_ms, rate)
        if rung != self._rung:
            self._how.reporter.note(
                f"A frame takes {took.matting_ms:.0f} ms at {self._rung.size} here, which is too long for "
                f"{rate:.4g} frames a second in {self._how.settings.live.cpu_share:.0%} of the processor: it begins "
                f"with {rung}."
            )
            if _network_of(rung) != _network_of(self._rung):
                self._host.close()
                self._host = self._host_of(session_for(rung, first))
                warm(self._host, info, self._watch, self._cpu_clock)
            self._rung = rung
        self._meter.restart()
        return first, governor

    def _host_of(self, session: Session) -> HostMatting:
        how = self._how
        return HostMatting(
            session,
            self._matting,
            info=how.info,
            wide_alpha=how.wide_alpha,
            wants_foreground=how.wants_foreground,
            reporter=how.reporter,
            timer=self._watch,
            is_live=True,
            second=None if self._second is None else partial(Session, self._second),
        )

    # -- frame by frame ----------------------------------------------------------------------------------------

    def _push_one(self, frame: Frame) -> list[MattedFrame]:
        begin = self._clock()
        if begin - self._last_seen > _STANDSTILL_SECONDS:
            self._meter.forget_times()
            self._meter.restart()
            if self._governor is not None:
                self._governor.pause()
        matted = self._host.push([frame])
        now = self._last_seen = self._clock()
        if self._governor is None:
            self._taken = frame.index
            return matted
        gap = frame.index - self._taken if self._taken is not None else self._rung.every
        self._meter.take(frame, now - begin, max(gap - self._rung.every, 0))
        self._taken, self._newest = frame.index, frame
        if now - self._meter.began >= WINDOW_SECONDS:
            self._decide(self._governor, now)
        return matted

    def _decide(self, governor: Governor, now: float) -> None:
        window = self._meter.close()
        if self._thread is not None and self._thread.is_alive():
            return  # what is prepared there loads the machine too: this second says nothing
        self._offer_others(governor)
        step = governor.observe(window, now)
        if step is None:
            return
        if step.rung == self._rung:
            self._how.reporter.warn(step.sentence)
        elif _network_of(step.rung) == _network_of(self._rung):
            self._arrive(step)
        else:
            self._begin(lambda: self._prepare(step))

    def _arrive(self, step: Step) -> None:
        assert self._governor is not None
        self._rung = step.rung
        self._governor.arrive(step.rung, self._clock())
        self._taken_rungs.append(str(step.rung))
        self._meter.restart()
        self._how.reporter.note(step.sentence)

    def _swap(self) -> list[MattedFrame]:
        """Take the network that has become ready; what the old one held back comes out (Note [A swap])."""
        if self._failed is not None and self._governor is not None:
            self._governor.withdraw(self._failed)
            self._failed = None
        prepared, self._next = self._next, None
        if prepared is None:
            return []
        matted = self._host.flush()
        prepared.host.follow_on(self._host)
        self._host.close()
        self._host = prepared.host
        if prepared.matting != self._matting:
            self._host.change(self._matting)
        self._arrive(prepared.step)
        return matted

    # -- beside the frames -------------------------------------------------------------------------------------

    def _begin(self, work: Callable[[], None]) -> None:
        self._thread = threading.Thread(target=work, name="livematte-prepare", daemon=True)
        self._thread.start()

    def _prepare(self, step: Step) -> None:
        """Bind and run the network of a rung; the frames go on meanwhile."""
        frame, matting = self._newest, self._matting
        assert frame is not None
        try:
            models = (self._first, *self._others)
            model = next(one for one in models if one.loaded.manifest.name == step.rung.model)
            session = session_for(step.rung, model)
            try:
                for _ in range(2):
                    session.estimate(frame)
                session.reset()
                host = self._host_of(session)
            except BaseException:
                session.close()
                raise
        except LivematteError as error:
            self._how.reporter.warn(f"{step.rung} cannot be used here: {error}")
            self._failed = step.rung
            return
        self._next = _Prepared(step, host, matting)

    def _offer_others(self, governor: Governor) -> None:
        """Lighter networks are loaded once, beside the first frames; one that is ready joins the ladder."""
        frame = self._newest
        if self._thread is None and frame is not None:
            self._begin(lambda: self._load_others(frame))
        ready = self._others[:]
        if len(ready) != self._offered and not governor.is_stepping:
            self._offered = len(ready)
            info = self._how.info
            quality = self._first.loaded.settings.quality
            governor.offer(make_ladder([self._first, *ready], info.width, info.height, quality=quality))

    def _load_others(self, frame: Frame) -> None:
        for model in lighter_models(self._first.loaded, frame, self._clock):
            self._others.append(model)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A network that is ready to take over."""

    step: Step
    host: HostMatting
    matting: MattingSettings
    """What it was made with."""


def _network_of(rung: Rung) -> tuple[str, str, str | None]:
    return rung.model, rung.quality, rung.network_size
