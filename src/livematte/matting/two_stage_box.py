"""Where the second network of `--refine-with` looks: boxes around whom the first one found, steady in time.

Note [A steady box]
    A box that follows the subject from frame to frame makes the second matte flicker, takes a recurrent network's past
    from under it, and binds new buffers each time. So the boxes stand still while people move about inside them. They
    change only where somebody comes within 5 % (of the own size) of a side, or where less than half of their area has
    been needed for a second. A new box has 15 % of the subject's size on each side; its sides are rounded up to a
    sixteenth of the picture's, and where the old size still serves, the old box is moved and keeps it. The left and
    upper sides are even, so that a sample of 4:2:0 or 4:2:2 chroma is never cut in two.

Note [Far apart]
    One box around two small figures at the two ends of a picture is as wide as the picture, and the second network sees
    them as small as the first did. So people get a box each where the box around both would be more than 1.25 times as
    large as theirs together: MAD of such a pair 1.60 against 2.52 (benchmarks/refine.py, the default network twice).
    Three boxes at most; of more people, those who are nearest share one. Somebody less than half as large as the
    largest gets none alone: what a first network takes for a person on a wall is small, and a second network that is
    shown the wall alone believes it (selfie and RVM: MAD of one clip 8 instead of 1). Live it is one box,
    so that a frame's time does not depend on who walks in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

cv: Any = cv2  # OpenCV's own stubs know neither dtypes nor scalars as operands

SmallAlpha = npt.NDArray[np.float32]

MARGIN_SHARE: Final = 0.15
"""Of the subject's width (height): room on each side of a new box."""
_LEAST_MARGIN_SHARE: Final = 0.05
"""Of the same: less room than this on a side, and the box is made anew."""
_SOLID: Final = 0.5
"""Alpha from which on the first network is sure of somebody."""
_LIKELY: Final = 0.25
"""Alpha from which on pixels that hang together with such a place are the same person's: MAD of figures of a
third 1.08 against 2.66 at 0.5 where the first network is selfie, which is unsure, and the default is the second."""
_SPECK_SHARE: Final = 0.0002
"""Of the picture: smaller parts are nobody."""
_PART_SHARE: Final = 0.02
"""Of the largest part: smaller parts do not make the box larger."""
_STEPS: Final = 16
"""Sizes of a box: multiples of this part of the picture's side, themselves multiples of 16 px."""
_STEP_PX: Final = 16
_LARGEST_SPARE: Final = 1.5
"""A side that is longer than needed by up to this is kept where the box moves."""
_SHRINK_SHARE: Final = 0.5
_SHRINK_SECONDS: Final = 1.0
"""A box of which less than this share has been needed for so long becomes smaller."""
GONE_SECONDS: Final = 1.0
"""After so long without anybody the boxes are forgotten."""
MOST_BOXES: Final = 3
_ALIKE: Final = 0.5
"""Of the largest: who has less pixels gets no box alone (Note [Far apart])."""
_FAR_APART: Final = 1.25
"""Note [Far apart]."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of the picture, in whole px."""

    left: int
    top: int
    width: int
    height: int

    @property
    def right(self) -> int:
        return self.left + self.width

    @property
    def bottom(self) -> int:
        return self.top + self.height

    @property
    def area(self) -> int:
        return self.width * self.height

    def joined(self, other: Box) -> Box:
        """The box around both."""
        left, top = min(self.left, other.left), min(self.top, other.top)
        return Box(left, top, max(self.right, other.right) - left, max(self.bottom, other.bottom) - top)

    @property
    def at(self) -> tuple[slice, slice]:
        """Rows and columns, to index a plane of the picture's size."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def overlap(self, other: Box) -> float:
        """Share of this box that lies in the other, 0..1."""
        wide = min(self.right, other.right) - max(self.left, other.left)
        high = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(wide, 0) * max(high, 0) / self.area


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where somebody is, in px of the picture; not rounded."""

    left: float
    top: float
    right: float
    bottom: float
    seen: float = 1.0
    """How much of them there is: pixels of the first network's alpha."""

    @property
    def area(self) -> float:
        return (self.right - self.left) * (self.bottom - self.top)

    def grown(self, share: float, width: int, height: int) -> Bounds:
        """With `share` of its own size more on each side, inside the picture."""
        across, down = share * (self.right - self.left), share * (self.bottom - self.top)
        return Bounds(
            max(self.left - across, 0.0),
            max(self.top - down, 0.0),
            min(self.right + across, float(width)),
            min(self.bottom + down, float(height)),
            self.seen,
        )

    def joined(self, other: Bounds) -> Bounds:
        """Around both."""
        return Bounds(
            min(self.left, other.left),
            min(self.top, other.top),
            max(self.right, other.right),
            max(self.bottom, other.bottom),
            self.seen + other.seen,
        )

    def lies_in(self, box: Box) -> bool:
        return self.left >= box.left and self.top >= box.top and self.right <= box.right and self.bottom <= box.bottom


def find_people(coarse: SmallAlpha, width: int, height: int) -> list[Bounds]:
    """Each part of the first network's alpha (h, w) 0..1 that has a solid core, specks left out.

    `width`, `height`: the picture's, px.
    """
    sure = coarse >= _SOLID
    if not sure.any():
        return []
    _, labels, stats, _ = cv.connectedComponentsWithStats((coarse >= _LIKELY).view(np.uint8), connectivity=8)
    parts = stats[np.unique(labels[sure])]
    areas = parts[:, cv2.CC_STAT_AREA]
    parts = parts[areas >= max(1.0, _SPECK_SHARE * coarse.size, _PART_SHARE * float(areas.max()))]
    across, down = width / coarse.shape[1], height / coarse.shape[0]
    return [
        Bounds(left * across, top * down, (left + wide) * across, (top + high) * down, float(area))
        for left, top, wide, high, area in parts.tolist()
    ]


def gather(people: Sequence[Bounds], most: int) -> list[Bounds]:
    """Those who share a box put together, until no two are near each other and at most `most`, alike, are left."""
    groups = list(people)
    while len(groups) > 1:
        pairs = [(one, other) for at, one in enumerate(groups) for other in groups[at + 1 :]]
        one, other = min(pairs, key=lambda pair: _waste(*pair))
        if _waste(one, other) > _FAR_APART:
            least = min(groups, key=lambda group: group.seen)
            is_small = least.seen < _ALIKE * max(group.seen for group in groups)
            if len(groups) <= most and not is_small:
                return groups
            possible = [pair for pair in pairs if not is_small or least in pair]
            one, other = min(possible, key=lambda pair: _room_between(*pair))
        groups = [group for group in groups if group is not one and group is not other] + [one.joined(other)]
    return groups


def _waste(one: Bounds, other: Bounds) -> float:
    """How many times as large as both together the bounds around them are."""
    return one.joined(other).area / max(one.area + other.area, 1.0)


def _room_between(one: Bounds, other: Bounds) -> float:
    """Px of the bounds around both that neither needs."""
    return one.joined(other).area - one.area - other.area


class Framing:
    """Keeps the boxes (Note [A steady box]). Used by one thread; one size of picture between two `reset`s."""

    def __init__(self, most: int = MOST_BOXES) -> None:
        """`most`: boxes at once (Note [Far apart])."""
        self._most = most
        self.reset()

    def reset(self) -> None:
        """Forget the boxes (a cut, a seek, another size)."""
        self._boxes: tuple[Box, ...] = ()
        self._larger_since: float | None = None
        self._seen_seconds = 0.0

    def push(self, coarse: SmallAlpha, width: int, height: int, seconds: float) -> tuple[Box, ...]:
        """The boxes for the next frame, from its alpha (h, w) 0..1, the picture's size in px and the frame's time.

        Empty: nobody is there.
        """
        if self._boxes and not 0 <= seconds - self._seen_seconds <= GONE_SECONDS:
            self.reset()
        people = [one.grown(MARGIN_SHARE, width, height) for one in find_people(coarse, width, height)]
        if not people:
            return ()
        self._seen_seconds = seconds
        # Who is near whom is told with the margins, which the boxes have too.
        groups = gather(people, self._most)
        near = [self._box_of(group, width, height) for group in groups]
        if None in near or self._is_too_large(groups, seconds, width, height):
            self._take(groups, width, height)
            return self._boxes
        return tuple(box for box in self._boxes if box in near)

    def _box_of(self, group: Bounds, width: int, height: int) -> Box | None:
        """The box that this group, with the least margin, lies in."""
        least = _least(group, width, height)
        return next((box for box in self._boxes if least.lies_in(box)), None)

    def _is_too_large(self, groups: Sequence[Bounds], seconds: float, width: int, height: int) -> bool:
        needed = sum(wide * high for wide, high in (_sides(group, width, height) for group in groups))
        if needed >= _SHRINK_SHARE * sum(box.area for box in self._boxes):
            self._larger_since = None
        elif self._larger_since is None:
            self._larger_since = seconds
        return self._larger_since is not None and seconds - self._larger_since >= _SHRINK_SECONDS

    def _take(self, groups: Sequence[Bounds], width: int, height: int) -> None:
        """New boxes, save where an old one serves as it is."""
        old = list(self._boxes)
        boxes: list[Box] = []
        for group in groups:
            sides = _sides(group, width, height)
            new = _around(group, sides, width, height)
            former = max(old, key=new.overlap, default=None)
            if former is not None and (len(groups) == 1 or new.overlap(former) > 0):
                old.remove(former)
                kept = _kept(former.width, sides[0]), _kept(former.height, sides[1])
                serves = kept == (former.width, former.height) and _least(group, width, height).lies_in(former)
                new = former if serves else _around(group, kept, width, height)
            boxes.append(new)
        self._boxes, self._larger_since = tuple(boxes), None


def _least(group: Bounds, width: int, height: int) -> Bounds:
    """A group that has its margin, with the least one instead."""
    return group.grown(-(MARGIN_SHARE - _LEAST_MARGIN_SHARE) / (1 + 2 * MARGIN_SHARE), width, height)


def _sides(group: Bounds, width: int, height: int) -> tuple[int, int]:
    return _size(group.right - group.left, width), _size(group.bottom - group.top, height)


def _around(group: Bounds, sides: tuple[int, int], width: int, height: int) -> Box:
    left, wide = _place(group.left, group.right, sides[0], width)
    top, high = _place(group.top, group.bottom, sides[1], height)
    return Box(left, top, wide, high)


def _size(length: float, limit: int) -> int:
    """`length` rounded up to a step; the whole side, even where it is odd, if the steps reach it."""
    step = _STEP_PX * math.ceil(limit / (_STEPS * _STEP_PX))
    return min(step * math.ceil(length / step), limit)


def _kept(old: int, needed: int) -> int:
    """The old side of a box where it still serves."""
    return old if needed <= old <= _LARGEST_SPARE * needed else needed


def _place(low: float, high: float, size: int, limit: int) -> tuple[int, int]:
    """(begin, length) of a side of `size` px around what lies between `low` and `high`.

    It begins at an even px and ends at `limit` at the latest.
    In a picture whose side is odd, a box at its far end is one px shorter.
    """
    furthest = limit + limit % 2 - size - size % 2
    begin = math.floor((low + high - size) / 2)
    begin = min(max(begin - begin % 2, 0), max(furthest, 0))
    if begin + size < high and begin < furthest:  # an odd begin was rounded down
        begin += 2
    return begin, min(size, limit - begin)
