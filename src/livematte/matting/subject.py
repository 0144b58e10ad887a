"""One person alone: finds the people in alpha, keeps one of them and follows that one; at the network's size.

Note [Whose pixels]
    Where alpha is 0.5 or more it is solid, and each connected solid part is a person, or a piece of one. The largest
    part is the subject, and these stay with it: small parts nearby (a hand blurred apart from the arm, a cup held out),
    parts above or below it (a body behind a table's edge), and what overlapped it before. All other parts are others.
    What is softer than 0.5 (hair, blur) goes with the nearer of the two: the weight rises from 0 to 1 between a quarter
    and three quarters of the way from the others to the subject, so no hard cut runs through hair. What hangs together
    with the subject, or is near it, stays; haze that belongs to nobody fades out. A matte with one person in it is
    given back as it came.

Note [Following]
    From frame to frame the subject is the part that overlaps it best (intersection over union, Jaccard 1901, as in
    Bochinski et al. 2017, "High-Speed Tracking-by-Detection Without Using Image Information",
    https://doi.org/10.1109/AVSS.2017.8078516). Beside the last frame's region a slow memory of it is kept. Where the
    subject suddenly grows, somebody else has touched it and the two are one part: then the memory stands still, and
    when they part again it says who is who. Somebody who is half as large again takes over after three seconds, not
    before; a subject that is not seen for 1.5 seconds is gone, and the largest is chosen anew.

    Two people who touch are one part: alpha alone cannot tell them apart. `--region` helps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from livematte.reporting import Reporter

cv: Any = cv2  # OpenCV's own stubs know neither dtypes nor scalars as operands

SmallAlpha = npt.NDArray[np.float32]
_Mask = npt.NDArray[np.uint8]  # 0 or 1

_WORK_SIDE_PX: Final = 96
"""Shorter side at which parts are found, about: a gap of 1 % of the picture's height still parts two people."""
_SOLID: Final = 0.5
_SOFT: Final = 0.1
"""Alpha from which on soft pixels hang together with a solid part."""
_SPECK_SHARE: Final = 0.0002
"""Of the picture: smaller parts are nobody's."""
_SOMEBODY_SHARE: Final = 0.003
"""Of the picture: others as large as this are worth a word."""
_NEAR_SHARE: Final = 0.06
"""Of the shorter side: a gap up to this is near."""
_SMALL_SHARE: Final = 0.10
"""Of the subject's area: a part up to this may be a hand or a thing held."""
_STAYS_NEAR: Final = 3.0
"""A small part that was the subject's stays so up to this many times the near gap."""
_LEAST_OVERLAP: Final = 0.25
"""Of the smaller of the two: a part that overlaps the subject's last region by less is somebody else."""
_MERGED_GROWTH: Final = 1.35
"""A subject that is larger than its memory by this has touched somebody."""
_MEMORY_SECONDS: Final = 0.5
_LONGEST_MERGE_SECONDS: Final = 3.0
"""After it the two that touch are taken for one."""
_GONE_SECONDS: Final = 1.5
_TAKEOVERS: Final = ((1.5, 3.0), (8.0, 0.5))
"""(times the subject's area, seconds): who is so much larger for so long is the subject from then on."""
_SAME_ASPECT: Final = 0.05
"""Two sizes of one picture differ by no more, rounded to what networks take."""
_NOT_WORTH_IT: Final = 0.02
"""Alpha up to this outside the subject is left as it is."""

_FIVE: Final = np.ones((5, 5), np.uint8)
_PER_255: Final = np.float32(1 / 255)

_LEFT_OUT = (
    "more than one person is in the picture: the largest is followed and the others are left out. --subject all keeps "
    "everybody."
)


@dataclass(slots=True)
class _Parts:
    """Solid parts of one frame, numbered from 1; specks have the number 0."""

    labels: npt.NDArray[np.uint16]
    areas: npt.NDArray[np.int64]
    """By number, in pixels of the work size; that of 0 is 0."""

    @property
    def numbers(self) -> range:
        return range(1, len(self.areas))

    def box(self, number: int) -> tuple[int, int, int, int]:
        """(left, top, width, height) of a part."""
        left, top, width, height = cv.boundingRect((self.labels == number).view(np.uint8))
        return left, top, width, height

    def mask(self, numbers: list[int]) -> _Mask:
        chosen = np.zeros(len(self.areas), np.uint8)
        chosen[numbers] = 1
        return np.take(chosen, self.labels)

    def shares_in(self, region: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.float64]:
        """By number: the share of the part that lies in a region."""
        if region is None:
            return np.zeros(len(self.areas))
        inside = np.bincount(self.labels[region], minlength=len(self.areas))
        return inside / np.maximum(self.areas, 1)

    def largest(self) -> int | None:
        return int(self.areas.argmax()) if len(self.areas) > 1 else None


class SubjectFilter:
    """Keeps the largest person and follows it (Note [Whose pixels], Note [Following]). Used by one thread."""

    def __init__(self, reporter: Reporter) -> None:
        """`reporter` is told, once, that somebody is left out."""
        self._reporter = reporter
        self._has_said = False
        self.reset()

    def reset(self) -> None:
        """Forget whom it followed (a cut, a seek, another size)."""
        self._subject: _Mask | None = None
        self._others: npt.NDArray[np.bool_] | None = None
        self._memory: SmallAlpha | None = None
        self._merged_since: float | None = None
        self._larger_since: list[float | None] = [None] * len(_TAKEOVERS)
        self._seen_seconds = self._last_seconds = 0.0

    def push(self, alpha: SmallAlpha, seconds: float) -> SmallAlpha:
        """The next frame's alpha (h, w) float32 in 0..1 and its time: alpha with the others at 0.

        Never writes to `alpha`, and gives it back itself where nobody else is there: then 0.3 ms at 448x256, else 0.5.
        """
        small = _at_work_size(alpha)
        if self._subject is not None and seconds < self._last_seconds:
            self.reset()
        self._fit(small.shape)
        if self._subject is not None and seconds - self._seen_seconds > _GONE_SECONDS:
            self.reset()
        interval, self._last_seconds = seconds - self._last_seconds, seconds
        parts = _find_parts(small)
        principal = self._choose(parts, seconds)
        if principal is None:
            if self._subject is None:
                return alpha  # nobody is solid anywhere
            others = parts.mask(list(parts.numbers))
            self._others = others.view(np.bool_)
            return _apply(alpha, small, self._subject & (1 - others), others)
        subject, others, distance = self._divide(parts, principal)
        self._remember(subject, seconds, interval)
        self._others = others.view(np.bool_)
        self._say(others)
        return _apply(alpha, small, subject, others, distance)

    @property
    def leaves_somebody_out(self) -> bool:
        """True where the last frame had somebody else in it, large enough for a word."""
        others = self._others
        return others is not None and bool(np.count_nonzero(others) >= _SOMEBODY_SHARE * others.size)

    def follow_on(self, other: SubjectFilter) -> None:
        """Go on with whom another one followed, which is not used any more: the same clip, another network or size."""
        self._subject, self._others, self._memory = other._subject, other._others, other._memory
        self._merged_since, self._larger_since = other._merged_since, other._larger_since
        self._seen_seconds, self._last_seconds = other._seen_seconds, other._last_seconds
        self._has_said = other._has_said

    def _fit(self, shape: tuple[int, ...]) -> None:
        """Bring what is remembered to another size of the same picture; another shape of picture is another clip."""
        if self._subject is None or self._subject.shape == shape:
            return
        height, width = self._subject.shape
        if abs(width * shape[0] / (height * shape[1]) - 1) > _SAME_ASPECT:
            self.reset()
            return
        size = shape[1], shape[0]
        self._subject = cv.resize(self._subject, size, interpolation=cv2.INTER_NEAREST)
        self._memory = cv.resize(self._memory, size, interpolation=cv2.INTER_LINEAR)
        if self._others is not None:
            others = cv.resize(self._others.view(np.uint8), size, interpolation=cv2.INTER_NEAREST)
            self._others = others.view(np.bool_)

    def _choose(self, parts: _Parts, seconds: float) -> int | None:
        """The number of the subject's (largest) part in this frame; None: it is not to be seen."""
        largest = parts.largest()
        if self._subject is None or largest is None:
            return largest
        assert self._memory is not None
        region = self._subject.view(np.bool_)
        inside = parts.shares_in(region) * parts.areas
        size = int(region.sum())
        meets = inside / np.maximum(np.minimum(parts.areas, size), 1) >= _LEAST_OVERLAP
        meets[0] = False
        if not meets.any():
            return None
        if self._merged_since is not None:
            region = self._memory > 0.5
            inside, size = parts.shares_in(region) * parts.areas, int(region.sum())
        union = parts.areas + size - inside
        followed = int(np.where(meets, inside / np.maximum(union, 1), -1.0).argmax())
        return largest if self._takes_over(parts, largest, followed, seconds) else followed

    def _takes_over(self, parts: _Parts, largest: int, followed: int, seconds: float) -> bool:
        ratio = parts.areas[largest] / parts.areas[followed]
        for at, (times, wait) in enumerate(_TAKEOVERS):
            since = self._larger_since[at]
            if ratio < times:
                self._larger_since[at] = None
            elif since is None:
                self._larger_since[at] = seconds
            elif seconds - since >= wait:
                self.reset()
                return True
        return False

    def _divide(self, parts: _Parts, principal: int) -> tuple[_Mask, _Mask, SmallAlpha | None]:
        """(the subject's region, the others', each 0 or 1, the distance to the subject where it is known already)."""
        subject = parts.mask([principal])
        if len(parts.areas) == 2:
            return subject, np.zeros_like(subject), None
        gap = _distance_to(subject)
        near = _NEAR_SHARE * min(subject.shape)
        was_subject = parts.shares_in(None if self._subject is None else self._subject.view(np.bool_))
        was_other = parts.shares_in(self._others)
        remembered = parts.shares_in(None if self._memory is None else self._memory > 0.5)
        own = [principal]
        for number in parts.numbers:
            if number == principal or (was_other[number] > 0.5 and was_other[number] > was_subject[number]):
                continue
            box = left, top, width, height = parts.box(number)
            at = slice(top, top + height), slice(left, left + width)
            distance = float(gap[at][parts.labels[at] == number].min())
            if parts.areas[number] <= _SMALL_SHARE * parts.areas[principal]:
                belongs = distance <= near or (was_subject[number] > 0.5 and distance <= _STAYS_NEAR * near)
            else:
                is_stacked = distance <= near and _share_across(box, parts.box(principal)) > 0.5
                belongs = is_stacked or remembered[number] > 0.5
            if belongs:
                own.append(number)
        others = parts.mask([number for number in parts.numbers if number not in own])
        return (subject, others, gap) if len(own) == 1 else (parts.mask(own), others, None)

    def _remember(self, subject: _Mask, seconds: float, interval: float) -> None:
        self._subject, self._seen_seconds = subject, seconds
        if self._memory is None:
            self._memory = subject.astype(np.float32)
            return
        if cv.countNonZero(subject) > _MERGED_GROWTH * float(self._memory.sum()):
            if self._merged_since is None:
                self._merged_since = seconds
            if seconds - self._merged_since < _LONGEST_MERGE_SECONDS:
                return
            self._memory = subject.astype(np.float32)
        self._merged_since = None
        cv.accumulateWeighted(subject, self._memory, -math.expm1(-max(interval, 0.0) / _MEMORY_SECONDS))

    def _say(self, others: _Mask) -> None:
        if not self._has_said and cv.countNonZero(others) >= _SOMEBODY_SHARE * others.size:
            self._has_said = True
            self._reporter.note(_LEFT_OUT)


def _at_work_size(alpha: SmallAlpha) -> SmallAlpha:
    factor = round(min(alpha.shape) / _WORK_SIDE_PX)
    if factor < 2:
        return alpha
    size = max(1, alpha.shape[1] // factor), max(1, alpha.shape[0] // factor)
    return cv.resize(alpha, size, interpolation=cv2.INTER_AREA)  # type: ignore[no-any-return]


def _find_parts(small: SmallAlpha) -> _Parts:
    solid = (small >= _SOLID).view(np.uint8)
    count, labels = cv.connectedComponents(solid, connectivity=8, ltype=cv2.CV_16U)
    areas = np.bincount(labels.ravel(), minlength=count)  # a third of what connectedComponentsWithStats takes
    areas[0] = 0
    kept = areas >= max(1.0, _SPECK_SHARE * small.size)
    if kept[1:].all():
        return _Parts(labels, areas)
    numbers = np.where(kept, np.cumsum(kept), 0).astype(np.uint16)
    return _Parts(np.take(numbers, labels), np.concatenate([areas[:1], areas[kept]]))


def _distance_to(region: _Mask) -> SmallAlpha:
    """Pixels from each pixel to the region; 0 in it."""
    return cv.distanceTransform(1 - region, cv2.DIST_L2, 3)  # type: ignore[no-any-return]


def _share_across(box: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> float:
    """How much two boxes share left to right, of the narrower's width."""
    left, right = max(box[0], other[0]), min(box[0] + box[2], other[0] + other[2])
    return float(max(0, right - left) / min(box[2], other[2]))


def _apply(
    alpha: SmallAlpha, small: SmallAlpha, subject: _Mask, others: _Mask, to_subject: SmallAlpha | None = None
) -> SmallAlpha:
    """Alpha times the subject's weight (Note [Whose pixels]); `alpha` itself where that would change nothing."""
    soft_parts, soft = cv.connectedComponents((small >= _SOFT).view(np.uint8), connectivity=8, ltype=cv2.CV_16U)
    is_alone = cv.countNonZero(others) == 0
    if is_alone and soft_parts <= 2:
        return alpha  # all there is hangs together
    near = _NEAR_SHARE * min(small.shape)
    if to_subject is None:
        to_subject = _distance_to(subject)
    hangs = np.zeros(soft_parts, np.uint8)
    hangs[soft[subject.view(np.bool_)]] = 255
    hangs[0] = 0
    # What hangs together with the subject counts as near it, two pixels further too; then a ramp as wide as `near`.
    together = cv.blur(cv.dilate(np.take(hangs, soft), _FIVE), (5, 5)).astype(np.float32)
    weight: SmallAlpha = np.maximum(np.clip(2 - to_subject * np.float32(1 / near), 0, 1), together * _PER_255)
    if not is_alone:
        to_others = _distance_to(others)
        share = to_others / (to_others + to_subject)  # never 0 / 0: no pixel is in both
        weight = np.minimum(weight, np.clip(2 * share - np.float32(0.5), 0, 1))
    elif float((small * (1 - weight)).max()) <= _NOT_WORTH_IT:
        return alpha
    if weight.shape != alpha.shape:
        weight = cv.resize(weight, alpha.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return cv.multiply(alpha, weight)  # type: ignore[no-any-return]
