"""Matting on the host: network, smoothing, enlarging, edges, foreground colours, one frame after another."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from livematte.config import MattingSettings
from livematte.frames import AlphaArray, Frame, Matte, MattedFrame, StreamInfo
from livematte.matting.edges import Edges
from livematte.matting.foreground import clean
from livematte.matting.refine import make_refiner
from livematte.matting.scene import SceneCuts
from livematte.matting.temporal import make_smoother
from livematte.planes import alpha_to_bits, layout, plane_arrays
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


class _NoTimer:
    def measure(self, stage: str) -> AbstractContextManager[None]:
        return nullcontext()


class HostMatting:
    """`matting.base.Matting` on host memory.

    Each frame: scene cut? → network → smoothing, both at the network's size → up to the picture's size → edge
    controls → times the source's own alpha → foreground colours. A cut or another size gives out what is held back,
    then forgets the past. Closes the session that it was given.
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
    ) -> None:
        """`wide_alpha`: uint16 instead of uint8. `timer`: gets scene, network, smooth, upsample, edges, foreground.

        `info` is what the source promised; each frame's own size and format decide. UsageError: `levels` out of order.
        """
        defaults = session.manifest.defaults
        algorithm = defaults.temporal if settings.temporal == "auto" else settings.temporal
        refinement = defaults.refine if settings.refine == "auto" else settings.refine
        self._session = session
        self._settings = settings
        self._wide = wide_alpha
        self._wants_foreground = wants_foreground
        self._reporter = reporter
        self._timer: Timer = timer or _NoTimer()
        self._edges = Edges(settings.shrink, settings.feather, *settings.levels)
        self._smoother = make_smoother(algorithm, settings.smooth)
        self._refiner = make_refiner(refinement, wide=wide_alpha)
        self._cuts = SceneCuts()
        self._held: deque[Frame] = deque()
        self._shape = (info.width, info.height, info.pix_fmt)
        self._is_fresh = True
        self.delay_frames = self._smoother.delay_frames
        self.cuts = 0
        """Scene cuts found so far."""

    def push(self, frames: Sequence[Frame]) -> list[MattedFrame]:
        """See `Matting.push`. Errors of the network (`LivematteError`) pass through."""
        matted: list[MattedFrame] = []
        for frame in frames:
            matted += self._push_one(frame)
        return matted

    def flush(self) -> list[MattedFrame]:
        """See `Matting.flush`."""
        with self._timer.measure("smooth"):
            alphas = self._smoother.flush()
        return [self._finish(self._held.popleft(), alpha) for alpha in alphas]

    def reset(self) -> None:
        """See `Matting.reset`; drops what is held back (`flush` first to keep it)."""
        self._session.reset()
        self._smoother.reset()
        self._cuts.reset()
        self._held.clear()
        self._is_fresh = True

    def close(self) -> None:
        """See `Matting.close`."""
        self._held.clear()
        self._session.close()

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
            self._session.reset()
            self._smoother.reset()
            self._is_fresh = True
        with self._timer.measure("network"):
            if self._is_fresh and self._session.is_recurrent:
                self._session.warm(frame)
            alpha = self._session.estimate(frame).alpha
        self._is_fresh = False
        self._held.append(frame)
        with self._timer.measure("smooth"):
            luma, peak = plane_arrays(picture)[0], layout(picture.format.name).peak
            ready = self._smoother.push(alpha, float(frame.time.seconds), luma, peak)
        if ready is not None:
            matted.append(self._finish(self._held.popleft(), ready))
        return matted

    def _begins_scene(self, frame: Frame) -> bool:
        picture = frame.host_picture()
        with self._timer.measure("scene"):
            return self._cuts.push(plane_arrays(picture)[0], layout(picture.format.name).peak)

    def _finish(self, frame: Frame, small: npt.NDArray[np.float32]) -> MattedFrame:
        """Everything from the smoothed alpha at the network's size to the matted frame."""
        picture = frame.host_picture()
        with self._timer.measure("upsample"):
            luma = plane_arrays(picture)[0]
            alpha = self._refiner.refine(small, luma, layout(picture.format.name).peak)
        with self._timer.measure("edges"):
            alpha = self._edges.apply(alpha)
            if frame.alpha is not None:
                alpha = multiply_alphas(alpha, frame.alpha)
        foreground = None
        if self._wants_foreground:
            with self._timer.measure("foreground"):
                foreground = clean(
                    picture,
                    alpha,
                    keep_background=self._settings.keep_background,
                    despill=self._settings.despill,
                    color=frame.color,
                )
        return MattedFrame(frame, Matte(alpha, foreground))


def multiply_alphas(alpha: AlphaArray, own: AlphaArray) -> AlphaArray:
    """alpha * own in the scale of `alpha`, rounded; 1 * 1 is exactly 1. Both (H, W), uint8 or uint16."""
    own = alpha_to_bits(own, 8 * alpha.dtype.itemsize)
    product: AlphaArray = cv.multiply(alpha, own, scale=1 / int(np.iinfo(alpha.dtype).max))
    return product
