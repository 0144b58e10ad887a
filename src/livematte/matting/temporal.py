"""Steadies alpha in time, at the network's size.

All work on float32 alpha at the network's size: enlarging is linear, so for `ema` the result is the one that
smoothing at the picture's size would give (save for clamping), and for the others it is ten to twenty times as cheap.
All measure time in seconds, from the frames' own timestamps: a clip at 24 frames a second, one at 60 and one whose
rate varies are steadied alike.

Note [Stillness]
    Where the picture has not changed, alpha has not either: a change of alpha there is the network's flicker. So
    `adaptive` compares each frame's luma (at the network's size, noise averaged over 5x5) with the last one's: its
    weight is the exponential average's below a change of 1.5 of 255 and rises to 1, no smoothing at all, at 4. Motion
    leaves no trail, and neither does a moving background. Measured with the default network (study_matting.py), on
    composites where everything moves and on webcam clips: MAD 11.01 -> 11.08, dtSSD 6.40 -> 6.29, flicker of what
    stands still 1.03 -> 0.37. An exponential average pays 13 MAD for 0.73, and the one-euro filter, whose gate is the
    change of alpha itself and cannot tell flicker from motion, 2.3 MAD for 0.68. RVM, steady by itself, loses 0.2 MAD
    for 0.83 -> 0.41: its manifest says `none`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from livematte.config import Smooth
from livematte.planes import PlaneArray

cv: Any = cv2  # OpenCV's own stubs know neither dtypes nor scalars as operands

SmallAlpha = npt.NDArray[np.float32]

_GATE_SIDE_PX: Final = 256
"""Shorter side at which motion is measured where alpha is larger."""
_STILL: Final = 1.5
_MOVING: Final = 4.0
"""Changes of luma (of 255): up to the first all stands still, from the second on all moves."""
_LONGEST_GAP_SECONDS: Final = 0.5
"""After a longer gap between two frames the past says nothing about the present."""


class Smoother(Protocol):
    """Takes a frame's alpha, gives back the oldest alpha that is final. Used by one thread."""

    delay_frames: int
    """How many frames it holds back: after `push` of frame n it gives out frame n - delay_frames."""

    def push(self, alpha: SmallAlpha, seconds: float, luma: PlaneArray, peak: int) -> SmallAlpha | None:
        """The next frame's alpha (h, w) float32 in 0..1, its time, and its luma (H, W) 0..`peak`. Copies what it keeps.

        Gives back the alpha of the oldest frame that is now final, valid until the next call, or None while the
        delay fills.
        """

    def flush(self) -> list[SmallAlpha]:
        """The end: what is still held back, oldest first; then forgets the past."""

    def reset(self) -> None:
        """Forget the past (a cut, a seek, another size) and drop what is held back."""


class NoSmoother:
    """Hands alpha through."""

    delay_frames = 0

    def push(self, alpha: SmallAlpha, seconds: float, luma: PlaneArray, peak: int) -> SmallAlpha | None:
        """See `Smoother.push`."""
        return alpha

    def flush(self) -> list[SmallAlpha]:
        """See `Smoother.flush`."""
        return []

    def reset(self) -> None:
        """See `Smoother.reset`."""


class Exponential:
    """Exponential moving average: s += k (a - s), k = 1 - exp(-dt / time constant).

    Brown 1959; the standard filter of live tools, here with a constant in seconds instead of a weight a frame.
    """

    delay_frames = 0

    def __init__(self, time_constant_seconds: float) -> None:
        self._time_constant = time_constant_seconds
        self._state: SmallAlpha | None = None
        self._last_seconds = 0.0

    def push(self, alpha: SmallAlpha, seconds: float, luma: PlaneArray, peak: int) -> SmallAlpha | None:
        """See `Smoother.push`."""
        interval = seconds - self._last_seconds
        self._last_seconds = seconds
        if not _continues(self._state, alpha, interval):
            self._state = alpha.copy()
            return self._state
        assert self._state is not None
        cv.accumulateWeighted(alpha, self._state, -math.expm1(-interval / self._time_constant))
        return self._state

    def flush(self) -> list[SmallAlpha]:
        """See `Smoother.flush`."""
        self.reset()
        return []

    def reset(self) -> None:
        """See `Smoother.reset`."""
        self._state = None


class Adaptive:
    """An exponential average that lets go where the picture moves; Note [Stillness]."""

    delay_frames = 0

    def __init__(self, time_constant_seconds: float) -> None:
        self._time_constant = time_constant_seconds
        self._state: SmallAlpha | None = None
        self._last_luma: SmallAlpha | None = None
        self._last_seconds = 0.0

    def push(self, alpha: SmallAlpha, seconds: float, luma: PlaneArray, peak: int) -> SmallAlpha | None:
        """See `Smoother.push`."""
        interval = seconds - self._last_seconds
        self._last_seconds = seconds
        small = _quiet_luma(luma, peak, alpha.shape)
        last, self._last_luma = self._last_luma, small
        if last is None or last.shape != small.shape or not _continues(self._state, alpha, interval):
            self._state = alpha.copy()
            return self._state
        assert self._state is not None
        weight = -math.expm1(-interval / self._time_constant)
        gain = _motion(small, last) * np.float32(1 - weight) + np.float32(weight)
        if gain.shape != alpha.shape:
            gain = cv.resize(gain, alpha.shape[::-1], interpolation=cv2.INTER_LINEAR)
        step = cv.subtract(alpha, self._state)
        cv.multiply(step, gain, dst=step)
        cv.add(self._state, step, dst=self._state)
        return self._state

    def flush(self) -> list[SmallAlpha]:
        """See `Smoother.flush`."""
        self.reset()
        return []

    def reset(self) -> None:
        """See `Smoother.reset`."""
        self._state = self._last_luma = None


def _quiet_luma(luma: PlaneArray, peak: int, shape: tuple[int, ...]) -> SmallAlpha:
    """Luma 0..255 as float32 at alpha's size (at most `_GATE_SIDE_PX` on the shorter side), its noise averaged away."""
    scale = min(1.0, _GATE_SIDE_PX / min(shape))
    width, height = max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale))
    # LINEAR to twice the size and AREA from there: 0.3 ms at 1080p, where AREA alone takes 3.
    middle = cv.resize(luma, (2 * width, 2 * height), interpolation=cv2.INTER_LINEAR)
    small = cv.resize(middle, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
    small *= np.float32(255 / peak)
    return cv.blur(small, (5, 5), borderType=cv2.BORDER_REPLICATE)  # type: ignore[no-any-return]


def _motion(luma: SmallAlpha, last: SmallAlpha) -> SmallAlpha:
    """0 where the picture stands still, 1 where it moves, 0..1 between."""
    change = cv.blur(cv.absdiff(luma, last), (3, 3), borderType=cv2.BORDER_REPLICATE)
    change -= np.float32(_STILL)
    change *= np.float32(1 / (_MOVING - _STILL))
    np.clip(change, 0, 1, out=change)
    return cv.dilate(change, np.ones((3, 3), np.uint8))  # type: ignore[no-any-return]


class OneEuro:
    """One-euro filter a pixel: Casiez, Roussel and Vogel 2012, https://doi.org/10.1145/2207676.2208639.

    A low-pass whose cut-off frequency rises with the (low-passed) speed of alpha: min_cutoff + beta * |speed|.
    """

    delay_frames = 0

    def __init__(self, min_cutoff_hz: float, beta: float, speed_cutoff_hz: float = 1.0) -> None:
        self._min_cutoff = min_cutoff_hz
        self._beta = beta
        self._speed_cutoff = speed_cutoff_hz
        self._state: SmallAlpha | None = None
        self._previous: SmallAlpha | None = None
        self._speed: SmallAlpha | None = None
        self._last_seconds = 0.0

    def push(self, alpha: SmallAlpha, seconds: float, luma: PlaneArray, peak: int) -> SmallAlpha | None:
        """See `Smoother.push`."""
        interval = seconds - self._last_seconds
        self._last_seconds = seconds
        if not _continues(self._state, alpha, interval):
            self._state, self._previous = alpha.copy(), alpha.copy()
            self._speed = np.zeros_like(alpha)
            return self._state
        assert self._state is not None
        assert self._previous is not None
        assert self._speed is not None
        speed = cv.addWeighted(alpha, 1 / interval, self._previous, -1 / interval, 0)
        cv.accumulateWeighted(speed, self._speed, _low_pass_weight(self._speed_cutoff, interval))
        # weight = r / (r + 1) with r = 2 pi cutoff dt
        ratio = np.abs(self._speed)
        ratio *= np.float32(2 * math.pi * interval * self._beta)
        ratio += np.float32(2 * math.pi * interval * self._min_cutoff)
        ratio /= ratio + np.float32(1)
        self._state += ratio * (alpha - self._state)
        np.copyto(self._previous, alpha)
        return self._state

    def flush(self) -> list[SmallAlpha]:
        """See `Smoother.flush`."""
        self.reset()
        return []

    def reset(self) -> None:
        """See `Smoother.reset`."""
        self._state = self._previous = self._speed = None


class OneFrameDelay:
    """OFD: Ke et al. 2022, "MODNet", https://arxiv.org/abs/2011.11961, section 3.4.

    A pixel that agrees in the frames before and after (within `tolerance`) and differs from both in the frame
    between flickers there: it becomes their mean. Needs the next frame, so it lags by one.
    """

    delay_frames = 1

    def __init__(self, tolerance: float = 0.1) -> None:
        self._tolerance = tolerance
        self._before: SmallAlpha | None = None
        self._held: SmallAlpha | None = None
        self._held_seconds = 0.0

    def push(self, alpha: SmallAlpha, seconds: float, luma: PlaneArray, peak: int) -> SmallAlpha | None:
        """See `Smoother.push`."""
        held, before = self._held, self._before
        interval = seconds - self._held_seconds
        self._held, self._held_seconds = alpha.copy(), seconds
        if held is None or held.shape != alpha.shape:
            self._before = None
            return held
        self._before = held
        if before is None or not 0 < interval <= _LONGEST_GAP_SECONDS:
            return held
        return self._without_flicker(before, held, alpha)

    def _without_flicker(self, before: SmallAlpha, held: SmallAlpha, after: SmallAlpha) -> SmallAlpha:
        flickers = cv.absdiff(before, after) <= self._tolerance
        for neighbour in (before, after):
            flickers &= cv.absdiff(held, neighbour) > self._tolerance
        steadied = held.copy()
        steadied[flickers] = (before[flickers] + after[flickers]) / 2
        return steadied

    def flush(self) -> list[SmallAlpha]:
        """See `Smoother.flush`."""
        held = self._held
        self.reset()
        return [] if held is None else [held]

    def reset(self) -> None:
        """See `Smoother.reset`."""
        self._before = self._held = None


@dataclass(frozen=True, slots=True)
class Strength:
    """What `--smooth` means to each algorithm; figures from benchmarks/study_matting.py."""

    ema_seconds: float
    """ema: time constant."""
    still_seconds: float
    """adaptive: time constant where the picture stands still."""
    min_cutoff_hz: float
    """one-euro: cut-off for what stands still."""
    beta: float
    """one-euro: how fast the cut-off rises with speed, Hz for each alpha a second."""
    ofd_tolerance: float
    """ofd: differences of alpha up to it are none."""


STRENGTHS: Final[dict[Smooth, Strength]] = {
    "normal": Strength(ema_seconds=0.02, still_seconds=0.1, min_cutoff_hz=4.0, beta=16.0, ofd_tolerance=0.1),
    "strong": Strength(ema_seconds=0.05, still_seconds=0.5, min_cutoff_hz=1.0, beta=8.0, ofd_tolerance=0.05),
}


def make_smoother(algorithm: str, smooth: Smooth) -> Smoother:
    """The smoother for `--smooth` and one of none, ema, adaptive, one-euro, ofd. ValueError for another name."""
    if smooth == "off" or algorithm == "none":
        return NoSmoother()
    strength = STRENGTHS[smooth]
    if algorithm == "ema":
        return Exponential(strength.ema_seconds)
    if algorithm == "adaptive":
        return Adaptive(strength.still_seconds)
    if algorithm == "one-euro":
        return OneEuro(strength.min_cutoff_hz, strength.beta)
    if algorithm == "ofd":
        return OneFrameDelay(strength.ofd_tolerance)
    raise ValueError(f"unknown smoothing '{algorithm}'; there are none, ema, adaptive, one-euro and ofd")


def _continues(state: SmallAlpha | None, alpha: SmallAlpha, interval_seconds: float) -> bool:
    """Whether the past says anything about this alpha: same size, time going on, no long gap."""
    return state is not None and state.shape == alpha.shape and 0 < interval_seconds <= _LONGEST_GAP_SECONDS


def _low_pass_weight(cutoff_hz: float, interval_seconds: float) -> float:
    ratio = 2 * math.pi * cutoff_hz * interval_seconds
    return ratio / (ratio + 1)
