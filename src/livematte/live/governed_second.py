"""`--refine-with` live: whether two networks fit into a frame's time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from livematte.config import Settings
from livematte.errors import UsageError
from livematte.frames import StreamInfo
from livematte.live.governed_models import Took, grey_frame
from livematte.live.governor_meter import USUAL_RATE
from livematte.models.load import LoadedModel
from livematte.models.session import Session
from livematte.reporting import Reporter

_RUNS = 3
"""Of which the median counts."""


@dataclass(frozen=True, slots=True)
class How:
    """What every `HostMatting` of a run has in common."""

    info: StreamInfo
    settings: Settings
    wide_alpha: bool
    wants_foreground: bool
    reporter: Reporter
    may_refuse: bool = True
    """Two networks that are too slow end the run; False: they are only said."""


def check_frame_time(
    loaded: LoadedModel, second: LoadedModel, took: Took, how: How, clock: Callable[[], float]
) -> None:
    """Run the second network on a whole picture, its largest box, and hold both against the source's frame time.

    `took`: a frame's time without it. UsageError where they do not fit and
    `how.may_refuse`, else a warning.
    """
    rate = float(how.info.frame_rate) if how.info.frame_rate else USUAL_RATE
    second_ms = second_takes_ms(second, how.info, clock)
    both_ms = took.matting_ms + second_ms
    if both_ms <= 1000.0 / rate:
        how.reporter.note(
            f"A frame takes {both_ms:.0f} ms here, {second_ms:.0f} of them {second.manifest.name}. With --refine-with "
            "the networks' sizes stay as they are; frames that come too fast are dropped."
        )
        return
    reason = (
        f"--refine-with {second.manifest.name} takes up to {second_ms:.0f} ms a frame here, beside "
        f"{took.matting_ms:.0f} ms for {loaded.manifest.name} and the rest, and {rate:.4g} frames a second leave "
        f"{1000.0 / rate:.0f} ms."
    )
    if not how.may_refuse:
        how.reporter.warn(f"{reason} Frames are dropped.")
        return
    raise UsageError(
        f"{reason} Live, both must fit: leave --refine-with out, name a lighter network, take --quality fast, or ask "
        "the camera for fewer frames (--camera-rate)."
    )


def second_takes_ms(second: LoadedModel, info: StreamInfo, clock: Callable[[], float]) -> float:
    """Milliseconds of the second network on a picture of the source's size; the median of three runs."""
    session = Session(second)
    try:
        frame = grey_frame(info)
        session.estimate(frame)
        times: list[float] = []
        for _ in range(_RUNS):
            begin = clock()
            session.estimate(frame)
            times.append(1000.0 * (clock() - begin))
        return median(times)
    finally:
        session.close()
