"""Matting on the host: network, smoothing, enlarging, edges, foreground colours, one frame after another."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import cv2
import numpy as np
import numpy.typing as npt

from livematte.config import MattingSettings
from livematte.frames import AlphaArray, Frame, Matte, MattedFrame, StreamInfo
from livematte.matting.edges import Edges
from livematte.matting.foreground import clean
from livematte.matting.keeper import Keeper
from livematte.matting.refine import make_refiner
from livematte.matting.scene import SceneCuts
from livematte.matting.temporal import make_smoother
from livematte.matting.two_stage import CoarseTimer, SecondStage, Window
from livematte.matting.two_stage_box import MOST_BOXES, Box
from livematte.planes import PlaneArray, alpha_to_bits, layout, plane_arrays
from livematte.reporting import Reporter

cv: Any = cv2  # OpenCV's own stubs know neither dtypes nor scalars as operands


class Estimated(Protocol):
    """A network's answer for one frame."""

    @property
    def alpha(self) -> npt.NDArray[np.float32]:
        """(h, w) in 0..1 at the network's size; may be overwritten by the next estimate."""


class EstimatingSession(Protocol):
    """What matting needs of a network's session (`models.session.Session`); tests use a formula."""

    @property
    def is_recurrent(self) -> bool:
        """True where a frame's matte depends on the frames before."""

    @property
    def manifest(self) -> Any:
        """The network's manifest; its `defaults` name refinement and smoothing for `auto`."""

    def estimate(self, frame: Frame) -> Estimated:
        """Alpha of this frame."""

    def warm(self, frame: Frame) -> None:
        """Let a recurrent network see a scene's first frame before it counts."""

    def reset(self) -> None:
        """Forget the past."""

    def close(self) -> None:
        """Give buffers back. Called once."""


class Timer(Protocol):
    """Takes the time of a stage (`stats.Stats`)."""

    def measure(self, stage: str) -> AbstractContextManager[None]:
        """A context whose duration is added to `stage`."""


@runtime_checkable
class TimedSession(Protocol):
    """A session that times its own parts (`preprocess`, `network`)."""

    timer: Timer | None


class _NoTimer:
    def measure(self, stage: str) -> AbstractContextManager[None]:
        return nullcontext()


@dataclass(frozen=True, slots=True)
class _Held:
    """A frame whose alpha is not final yet."""

    frame: Frame
    window: Window | None
    """The part of the picture that its alpha stands for; None: all of it."""


class HostMatting:
    """`matting.base.Matting` on host memory.

    Each frame: scene cut? → network → region and subject → the second network on the subject's box, where there is one
    (`two_stage.py`) → smoothing, these at the network's size → up to the picture's size → edge controls → times the
    source's own alpha → foreground colours. A cut or another size gives out what is held back, then forgets the past.
    Closes the sessions that it was given.
    """

    def __init__(
        self,
        session: EstimatingSession,
        settings: MattingSettings,
        *,
        info: StreamInfo,
        wide_alpha: bool,
        wants_foreground: bool,
        reporter: Reporter,
        timer: Timer | None = None,
        is_live: bool = False,
        second: Callable[[], EstimatingSession] | None = None,
    ) -> None:
        """`wide_alpha`: uint16 instead of uint8. `timer`: gets scene, preprocess (of a session that times it), network,
        subject, smooth, upsample, edges, foreground. `is_live`: decides what `--subject auto` means, and `auto` takes
        no smoothing that delays pictures. `second`: makes sessions of the network that refines what `session` finds
        (`--refine-with`); the timer then gets coarse for the first network, network for the second, and crop.

        `info` is what the source promised; each frame's own size and format decide. UsageError: `levels` out of order,
        a `region` that is none.
        """
        self._session = session
        self._settings = self._next_settings = settings
        self._info = info
        self._is_live = is_live
        self._wide = wide_alpha
        self._wants_foreground = wants_foreground
        self._reporter = reporter
        self._timer: Timer = timer or _NoTimer()
        self._second: SecondStage | None = None
        if second is not None:
            self._second = SecondStage(second, most=1 if is_live else MOST_BOXES, timer=timer)
        if second is not None and timer is not None:
            timer = CoarseTimer(timer)
        self._network_timer: Timer = timer or _NoTimer()
        if isinstance(session, TimedSession):
            session.timer, self._network_timer = timer, _NoTimer()
        self._edges = Edges(settings.shrink, settings.feather, *settings.levels)
        self._keeper = Keeper(settings, info, is_live=is_live, reporter=reporter)
        self._smoother = make_smoother(self._algorithm(settings), settings.smooth)
        self._refiner = make_refiner(self._refinement(settings), wide=wide_alpha)
        self._cuts = SceneCuts()
        self._held: deque[_Held] = deque()
        self._box: Box | None = None
        self._shape = (info.width, info.height, info.pix_fmt)
        self._is_fresh = True
        self.delay_frames = self._smoother.delay_frames
        self.cuts = 0
        """Scene cuts found so far."""

    def push(self, frames: Sequence[Frame]) -> list[MattedFrame]:
        """See `Matting.push`. Errors of the network (`LivematteError`) pass through."""
        matted = self._changed()
        for frame in frames:
            matted += self._push_one(frame)
        return matted

    def change(self, settings: MattingSettings) -> None:
        """Other settings from the next frame on; any thread. The network keeps what it remembers of the clip.

        Another smoothing begins anew, after what it held back has been given out. UsageError: `levels` out of order, a
        `region` that is none; nothing is changed then.
        """
        Edges(settings.shrink, settings.feather, *settings.levels)
        self._keeper.check(settings)
        self._next_settings = settings

    def follow_on(self, other: HostMatting) -> None:
        """Keep the person that another matting of the same clip followed, where that one's network is replaced."""
        self._keeper.follow_on(other._keeper)

    def flush(self) -> list[MattedFrame]:
        """See `Matting.flush`."""
        with self._timer.measure("smooth"):
            alphas = self._smoother.flush()
        return [self._grow(self._held.popleft(), alpha) for alpha in alphas]

    def reset(self) -> None:
        """See `Matting.reset`; drops what is held back (`flush` first to keep it)."""
        self._forget()
        self._cuts.reset()
        self._held.clear()

    def close(self) -> None:
        """See `Matting.close`."""
        self._held.clear()
        try:
            self._session.close()
        finally:
            if self._second is not None:
                self._second.close()

    def _forget(self) -> None:
        """Begin a new scene."""
        self._session.reset()
        if self._second is not None:
            self._second.reset()
        self._keeper.reset()
        self._smoother.reset()
        self._box = None
        self._is_fresh = True

    @property
    def _defaults(self) -> Any:
        """Of the network whose alpha counts."""
        return (self._session if self._second is None else self._second).manifest.defaults

    def _algorithm(self, settings: MattingSettings) -> str:
        if settings.temporal != "auto":
            return settings.temporal
        algorithm = str(self._defaults.temporal)
        if algorithm == "ofd" and self._is_live:
            self._reporter.note(
                "This network's own smoothing (ofd) would show every picture one frame later; live, adaptive is taken."
            )
            return "adaptive"
        return algorithm

    def _refinement(self, settings: MattingSettings) -> str:
        return str(self._defaults.refine) if settings.refine == "auto" else settings.refine

    def _changed(self) -> list[MattedFrame]:
        """Take over what `change` left; gives out what a smoother that goes had held back."""
        old, new = self._settings, self._next_settings
        if new is old:
            return []
        matted: list[MattedFrame] = []
        if (new.temporal, new.smooth) != (old.temporal, old.smooth):
            matted = self.flush()
            self._smoother = make_smoother(self._algorithm(new), new.smooth)
            self.delay_frames = self._smoother.delay_frames
        if new.refine != old.refine:
            self._refiner = make_refiner(self._refinement(new), wide=self._wide)
        self._keeper.change(new)
        self._edges = Edges(new.shrink, new.feather, *new.levels)
        self._settings = new
        return matted

    def _push_one(self, frame: Frame) -> list[MattedFrame]:
        picture = frame.host_picture()
        matted: list[MattedFrame] = []
        shape = (picture.width, picture.height, picture.format.name)
        if shape != self._shape:
            matted += self.flush()
            self.reset()
            self._shape = shape
        if self._begins_scene(frame):
            self.cuts += 1
            matted += self.flush()
            self._forget()
        with self._network_timer.measure("network"):
            if self._is_fresh and self._session.is_recurrent:
                self._session.warm(frame)
            alpha = self._session.estimate(frame).alpha
        self._is_fresh = False
        if not self._keeper.is_idle:
            with self._timer.measure("subject"):
                alpha = self._keeper.push(alpha, float(frame.time.seconds))
        self._keeper.look(alpha, float(frame.time.seconds))
        return matted + (self._smoothed(frame, alpha, None) if self._second is None else self._refined(frame, alpha))

    def _refined(self, frame: Frame, coarse: npt.NDArray[np.float32]) -> list[MattedFrame]:
        """The second network's turn. Another box begins the smoothing anew, after what it held back."""
        assert self._second is not None
        refined = self._second.push(frame, coarse)
        box = None if refined is None else refined.window.box
        matted: list[MattedFrame] = []
        if box != self._box:
            matted = self.flush()
            self._box = box
        if refined is not None:
            return matted + self._smoothed(frame, refined.alpha, refined.window)
        nobody = np.zeros((frame.height, frame.width), np.uint16 if self._wide else np.uint8)
        return [*matted, self._finish(frame, nobody)]

    def _smoothed(self, frame: Frame, alpha: npt.NDArray[np.float32], window: Window | None) -> list[MattedFrame]:
        """Steady alpha in time; the frame that is now final, if one is."""
        self._held.append(_Held(frame, window))
        with self._timer.measure("smooth"):
            luma, peak = _luma(frame, window)
            ready = self._smoother.push(alpha, float(frame.time.seconds), luma, peak)
        return [] if ready is None else [self._grow(self._held.popleft(), ready)]

    def _begins_scene(self, frame: Frame) -> bool:
        picture = frame.host_picture()
        with self._timer.measure("scene"):
            return self._cuts.push(plane_arrays(picture)[0], layout(picture.format.name).peak)

    def _grow(self, held: _Held, small: npt.NDArray[np.float32]) -> MattedFrame:
        """Everything from the smoothed alpha at the network's size to the matted frame."""
        with self._timer.measure("upsample"):
            alpha = self._refiner.refine(small, *_luma(held.frame, held.window))
            if held.window is not None:
                alpha = held.window.place(alpha, (held.frame.height, held.frame.width))
        return self._finish(held.frame, alpha)

    def _finish(self, frame: Frame, alpha: AlphaArray) -> MattedFrame:
        """Everything that happens at the picture's size; may write to `alpha`."""
        with self._timer.measure("edges"):
            alpha = self._edges.apply(alpha)
            self._keeper.finish(alpha)
            if frame.alpha is not None:
                alpha = multiply_alphas(alpha, frame.alpha)
        foreground = None
        if self._wants_foreground:
            with self._timer.measure("foreground"):
                foreground = clean(
                    frame.host_picture(),
                    alpha,
                    keep_background=self._settings.keep_background,
                    despill=self._settings.despill,
                    color=frame.color,
                )
        return MattedFrame(frame, Matte(alpha, foreground))


def _luma(frame: Frame, window: Window | None) -> tuple[PlaneArray, int]:
    """(the first plane of what an alpha stands for, its largest value)."""
    picture = frame.host_picture()
    luma = plane_arrays(picture)[0]
    return luma if window is None else luma[window.box.at], layout(picture.format.name).peak


def multiply_alphas(alpha: AlphaArray, own: AlphaArray) -> AlphaArray:
    """alpha * own in the scale of `alpha`, rounded; 1 * 1 is exactly 1. Both (H, W), uint8 or uint16."""
    own = alpha_to_bits(own, 8 * alpha.dtype.itemsize)
    product: AlphaArray = cv.multiply(alpha, own, scale=1 / int(np.iinfo(alpha.dtype).max))
    return product
