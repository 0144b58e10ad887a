"""The networks that a governor may go to: how long the first one takes here, and which lighter ones are ready."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from statistics import median

from livematte.errors import LivematteError
from livematte.frames import Frame, StreamInfo, Timestamp
from livematte.live.governor import Rung
from livematte.live.governor_ladder import ReadyModel, work
from livematte.live.governor_meter import StageWatch
from livematte.matting.host import HostMatting
from livematte.models import catalogue
from livematte.models.load import LoadedModel, load_model
from livematte.models.session import Session
from livematte.planes import layout, new_picture, plane_arrays
from livematte.reporting import ListReporter

_WARM_RUNS = 5
"""Of which the median counts: what else a starting program does must not choose the first rung."""
_LIGHTER = ("livematte-s", "selfie")
"""Networks for people that may take over from a heavier one, where they are on this machine."""
_LEAST_UNIT_MS = 1e-7
"""The null runtime takes no time; a ladder still needs costs."""

_logger = logging.getLogger("livematte")


@dataclass(frozen=True, slots=True)
class Took:
    """A frame's time while warming."""

    network_ms: float
    matting_ms: float
    cpu_ms: float


def warm(host: HostMatting, info: StreamInfo, watch: StageWatch, cpu_clock: Callable[[], float]) -> Took:
    """Run a grey picture until everything is bound, then time it. Nothing of it is remembered.

    `watch` is the host's timer.
    """
    grey = grey_frame(info)

    def push(index: int) -> None:
        host.push([replace(grey, index=index, time=Timestamp(index, Fraction(1, 30)))])

    bound = host.delay_frames + 1
    for index in range(bound):
        push(index)
    runs: list[Took] = []
    for index in range(bound, bound + _WARM_RUNS):
        begin, cpu, network = watch.clock(), cpu_clock(), watch.network_seconds
        push(index)
        spent = (watch.network_seconds - network, watch.clock() - begin, cpu_clock() - cpu)
        runs.append(Took(*(1000.0 * seconds for seconds in spent)))
    took = Took(
        median(run.network_ms for run in runs),
        median(run.matting_ms for run in runs),
        median(run.cpu_ms for run in runs),
    )
    host.reset()
    return took


def first_model(loaded: LoadedModel, info: StreamInfo, took: Took) -> ReadyModel:
    """The chosen network, with what its warm-up told."""
    size = Session(loaded).size_for(info.width, info.height)
    return ReadyModel(loaded, max(took.network_ms / work(size), _LEAST_UNIT_MS))


def session_for(rung: Rung, model: ReadyModel) -> Session:
    """A session of this network at the rung's size, not bound yet."""
    changes = {"quality": rung.quality, "network_size": rung.network_size}
    return Session(replace(model.loaded, settings=model.loaded.settings.model_copy(update=changes)))


def lighter_models(loaded: LoadedModel, frame: Frame, clock: Callable[[], float]) -> Iterator[ReadyModel]:
    """Networks that may take over from this one, loaded, run on a frame and timed. The caller closes them.

    Only from a network that this package knows and that is for people alone: nobody who cuts out a product wants a
    network that knows persons only. What is not on this machine, or does not run, is left out.
    """
    if loaded.manifest.name not in catalogue.shipped() or loaded.manifest.subjects != ("people",):
        return
    for name in _LIGHTER:
        if name == loaded.manifest.name:
            continue
        changes = {"model": name, "quality": "fast", "network_size": None, "precision": "auto"}
        try:
            other = load_model(loaded.settings.model_copy(update=changes), reporter=ListReporter())
        except LivematteError as error:
            _logger.info("%s is not offered: %s", name, error)
            continue
        try:
            ready = ReadyModel(other, _timed(other, frame, clock))
        except LivematteError as error:
            other.close()
            _logger.info("%s is not offered: %s", name, error)
            continue
        yield ready


def _timed(loaded: LoadedModel, frame: Frame, clock: Callable[[], float]) -> float:
    """Milliseconds that `work` of 1 takes."""
    session = Session(loaded)
    try:
        session.estimate(frame)
        begin = clock()
        session.estimate(frame)
        took_ms = 1000.0 * (clock() - begin)
        return max(took_ms / work(session.size_for(frame.width, frame.height)), _LEAST_UNIT_MS)
    finally:
        session.close()


def grey_frame(info: StreamInfo) -> Frame:
    """A picture such as the source will give."""
    picture = new_picture(info.pix_fmt, info.width, info.height)
    for plane in plane_arrays(picture):
        plane[...] = (layout(info.pix_fmt).peak + 1) // 2
    return Frame(picture, Timestamp(0, info.time_base), None, 0, info.color)
