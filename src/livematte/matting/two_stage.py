"""`--refine-with`: a second network on the subject's box, at full detail.

Note [Two stages]
    The first network sees the whole picture at its own size and says who is where: a figure that fills a third of a
    1080p frame has 85 of its 256 rows. The second one gets the box around it alone (`two_stage_box.py`), cut from the
    native picture, and so three times the detail. From coarse to fine in this way: Sengupta et al. 2020, "Background
    Matting" (https://arxiv.org/abs/2004.00626) crops to the person; Lin et al. 2021, "Real-Time High-Resolution
    Background Matting" (https://arxiv.org/abs/2012.07810) refines patches.

Note [Unknown band]
    The first network decides who is meant: the second one's alpha counts where the first one's is 0.2 or more, and in a
    band around that, as wide as 6 % of the box's shorter side; over the same width again it fades, and beyond alpha is
    exactly 0. So a network that takes things for people cannot bring back the chair beside the subject, and hair that
    the first one missed is still found.

Note [Several boxes]
    People far apart get a box each (`two_stage_box.py`, Note [Far apart]), and each box a session with a past of its
    own. Their alphas are then set side by side into one around all boxes, at the finest of their scales, so that the
    steps after this one know only one box.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING, Any, Final

import av
import cv2
import numpy as np
import numpy.typing as npt

from livematte.frames import AlphaArray, Frame
from livematte.matting.two_stage_box import GONE_SECONDS, MOST_BOXES, Box, Framing
from livematte.planes import layout, new_picture, plane_arrays

if TYPE_CHECKING:
    from livematte.matting.host import EstimatingSession, Timer

cv: Any = cv2  # OpenCV's own stubs know neither dtypes nor scalars as operands

SmallAlpha = npt.NDArray[np.float32]

BAND_SHARE: Final = 0.06
"""Of the box's shorter side: how far beyond the first network's solid region the second one's word counts fully."""
BAND_ALPHA: Final = 0.2
"""The first network's alpha from which on the band is measured: MAD of figures of a third 1.08 against 2.02 at 0.5
where it is selfie, which is unsure of them, and no change where it is the default network."""
_WORK_SIDE_PX: Final = 192
"""Shorter side at which the band is found, at most."""
_SAME_PLACE: Final = 0.75
"""A box of the same size that shares this much of itself with the last one is the same place to a recurrent network."""


@dataclass(frozen=True, slots=True)
class Window:
    """What part of the picture a refined alpha stands for."""

    box: Box
    weight: npt.NDArray[np.uint8]
    """(h, w) at a size of its own: 255 where alpha counts fully, 0 where it is 0 (Note [Unknown band])."""

    def place(self, alpha: AlphaArray, shape: tuple[int, ...]) -> AlphaArray:
        """Alpha of the box (height, width), uint8 or uint16, weighted and set into zeros of the picture's `shape`."""
        weight = cv.resize(self.weight, (self.box.width, self.box.height), interpolation=cv2.INTER_LINEAR)
        whole: AlphaArray = np.zeros(shape, alpha.dtype)
        if alpha.dtype == np.uint16:
            weight = weight.astype(np.uint16)
        cv.multiply(alpha, weight, dst=whole[self.box.at], scale=1 / 255)
        return whole


@dataclass(frozen=True, slots=True)
class Refined:
    """The second network's answer for one frame."""

    alpha: SmallAlpha
    """(h, w) in 0..1 over `window.box`, at the network's size, not weighted yet; the next push may overwrite it."""
    window: Window


@dataclass(slots=True)
class _Track:
    """A session and the box that it saw last."""

    session: EstimatingSession
    box: Box | None = None
    seconds: float = 0.0
    """When that was."""

    def is_at(self, box: Box, seconds: float) -> bool:
        """Whether this box, now, is the same place to a recurrent network."""
        last = self.box
        if last is None or (box.width, box.height) != (last.width, last.height):
            return False
        if not 0 <= seconds - self.seconds <= GONE_SECONDS:
            return False
        return box.overlap(last) >= _SAME_PLACE


class SecondStage:
    """The second network on the boxes around people; used by one thread."""

    def __init__(
        self, make_session: Callable[[], EstimatingSession], *, most: int = MOST_BOXES, timer: Timer | None = None
    ) -> None:
        """`make_session` gives a session for each box that is there at once, at most `most`; they are closed here.

        `timer` gets `crop` (boxes, band and the cut-out), and `network` where sessions do not time themselves.
        """
        self._make_session = make_session
        self._timer = timer
        self._framing = Framing(most)
        self._tracks: list[_Track] = []
        self._add_track()

    @property
    def manifest(self) -> Any:
        """The second network's manifest; its defaults name refinement and smoothing for `auto`."""
        return self._tracks[0].session.manifest

    def push(self, frame: Frame, coarse: SmallAlpha) -> Refined | None:
        """Alpha around whom the first network found, from its alpha (h, w) 0..1 of this frame.

        None: nobody is in view, and the network did not run. Errors of the network pass through.
        """
        with self._measure("crop"):
            boxes = self._framing.push(coarse, frame.width, frame.height, float(frame.time.seconds))
            if not boxes:
                return None
            whole = reduce(Box.joined, boxes)
            window = Window(whole, band_weight(coarse, whole, frame.width, frame.height))
        parts = [
            (box, self._estimate(frame, box, track)) for box, track in self._seats(boxes, float(frame.time.seconds))
        ]
        return Refined(parts[0][1] if len(parts) == 1 else side_by_side(parts, whole), window)

    def reset(self) -> None:
        """Forget the past (a cut, a seek, another size)."""
        self._framing.reset()
        for track in self._tracks:
            track.box = None
            track.session.reset()

    def close(self) -> None:
        """Give the networks' buffers back."""
        tracks, self._tracks = self._tracks, []
        for track in tracks:
            track.session.close()

    def _estimate(self, frame: Frame, box: Box, track: _Track) -> SmallAlpha:
        with self._measure("crop"):
            part = frame if box.area == frame.width * frame.height else cut_out(frame, box)
        session, seconds = track.session, float(frame.time.seconds)
        with nullcontext() if _times_itself(session) else self._measure("network"):
            if session.is_recurrent and not track.is_at(box, seconds):
                session.warm(part)
            track.box, track.seconds = box, seconds
            return session.estimate(part).alpha

    def _seats(self, boxes: Sequence[Box], seconds: float) -> list[tuple[Box, _Track]]:
        """A track for each box: the one that was there, else one that is free."""
        free = list(self._tracks)
        seats: list[tuple[Box, _Track]] = []
        for box in sorted(boxes, key=lambda one: not any(track.is_at(one, seconds) for track in free)):
            track = max(free, key=lambda one: (one.is_at(box, seconds), one.box is None), default=None)
            track = track or self._add_track()
            if track in free:
                free.remove(track)
            seats.append((box, track))
        return seats

    def _add_track(self) -> _Track:
        session = self._make_session()
        if _times_itself(session):
            session.timer = self._timer  # type: ignore[attr-defined]  # `TimedSession` has it
        self._tracks.append(_Track(session))
        return self._tracks[-1]

    def _measure(self, stage: str) -> AbstractContextManager[None]:
        return nullcontext() if self._timer is None else self._timer.measure(stage)


def _times_itself(session: EstimatingSession) -> bool:
    """`matting.host.TimedSession`."""
    return hasattr(session, "timer")


def side_by_side(parts: Sequence[tuple[Box, SmallAlpha]], whole: Box) -> SmallAlpha:
    """Alphas of boxes as one of the box `whole` around them, 0 elsewhere; the larger counts where boxes overlap.

    At the finest scale among the parts, but not above the picture's own.
    """
    scale = min(1.0, max(max(alpha.shape[1] / box.width, alpha.shape[0] / box.height) for box, alpha in parts))
    size = max(1, round(whole.width * scale)), max(1, round(whole.height * scale))
    across, down = size[0] / whole.width, size[1] / whole.height
    made = np.zeros(size[::-1], np.float32)
    for box, alpha in parts:
        left, top = (box.left - whole.left) * across, (box.top - whole.top) * down
        begin = math.floor(left), math.floor(top)
        end = math.ceil(left + box.width * across), math.ceil(top + box.height * down)
        step_x, step_y = alpha.shape[1] / (box.width * across), alpha.shape[0] / (box.height * down)
        # Middles of pixels onto middles of pixels.
        matrix = np.array(
            [
                [step_x, 0.0, (begin[0] + 0.5 - left) * step_x - 0.5],
                [0.0, step_y, (begin[1] + 0.5 - top) * step_y - 0.5],
            ]
        )
        shape = min(end[0], size[0]) - begin[0], min(end[1], size[1]) - begin[1]
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        grown = cv.warpAffine(alpha, matrix, shape, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        at = slice(begin[1], begin[1] + shape[1]), slice(begin[0], begin[0] + shape[0])
        np.maximum(made[at], np.clip(grown, 0, 1, out=grown), out=made[at])
    return made


def band_weight(coarse: SmallAlpha, box: Box, width: int, height: int) -> npt.NDArray[np.uint8]:
    """Weights 0..255 over the box (Note [Unknown band]); `coarse` (h, w) 0..1 is the whole picture's alpha.

    `width` and `height` are the picture's. The result is of the box's shape, its shorter side at most 192 px. 0.3 ms.
    """
    scale = min(1.0, _WORK_SIDE_PX / min(box.width, box.height))
    size = max(1, round(box.width * scale)), max(1, round(box.height * scale))
    across, down = coarse.shape[1] / width, coarse.shape[0] / height
    step_x, step_y = box.width / size[0] * across, box.height / size[1] * down
    # Middles of pixels onto middles of pixels.
    matrix = np.array(
        [
            [step_x, 0.0, box.left * across + (step_x - 1) / 2],
            [0.0, step_y, box.top * down + (step_y - 1) / 2],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    there = cv.warpAffine(coarse, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    outside = (there < BAND_ALPHA).view(np.uint8)
    if cv.countNonZero(outside) == outside.size:
        return np.zeros_like(outside)
    distance = cv.distanceTransform(outside, cv2.DIST_L2, 5)
    radius = max(1.0, BAND_SHARE * min(size))
    weight: npt.NDArray[np.uint8] = cv.convertScaleAbs(
        np.minimum(np.maximum(2 - distance * np.float32(1 / radius), 0), 1), alpha=255
    )
    return weight


def cut_out(frame: Frame, box: Box) -> Frame:
    """The frame's picture inside the box, as a frame of its own with the same time.

    Its planes are copied: 0.04 ms for 640x720 in 4:2:0, where scaling from the middle of the planes, whose rows then
    begin at odd addresses, takes libswscale a tenth longer than from memory of their own. ValueError for a box that
    would cut a chroma sample in two.
    """
    picture = frame.host_picture()
    part = cut_picture(picture, box)
    return replace(frame, picture=part, alpha=None)


def cut_picture(picture: av.VideoFrame, box: Box) -> av.VideoFrame:
    """A copy of the box of a picture, in the same format and with the same colour tags."""
    kind = layout(picture.format.name)
    if box.left % (1 << kind.log2_chroma_width) or box.top % (1 << kind.log2_chroma_height):
        raise ValueError(f"the box begins at {box.left},{box.top}, inside a chroma sample of {kind.pix_fmt}")
    part = new_picture(kind.pix_fmt, box.width, box.height)
    part.colorspace, part.color_range = picture.colorspace, picture.color_range
    for number, (source, target) in enumerate(zip(plane_arrays(picture), plane_arrays(part), strict=True)):
        is_chroma = number in (1, 2) and not kind.is_rgb
        top = box.top >> (kind.log2_chroma_height if is_chroma else 0)
        left = box.left >> (kind.log2_chroma_width if is_chroma else 0)
        rows, columns = target.shape
        np.copyto(target, source[top : top + rows, left : left + columns])
    return part


class CoarseTimer:
    """Gives the first network's time to the stage `coarse`, because `network` is the second one's."""

    def __init__(self, timer: Timer) -> None:
        self._timer = timer

    def measure(self, stage: str) -> AbstractContextManager[None]:
        """See `Timer.measure`."""
        return self._timer.measure("coarse" if stage == "network" else stage)
