"""Finds cuts, so that the past of one scene does not leak into the next.

Note [Cut detection]
    Each frame is reduced to 64x36 luma and compared with the last by normalised cross-correlation (Lewis 1995, "Fast
    Normalized Cross-Correlation"), the best over shifts of up to an eighth of the picture. Correlation ignores gain
    and offset, so exposure changes and fades of light do not count; the shifts forgive pans; and a person who moves
    changes only a part. A cut correlates like two unrelated pictures. A flash (a burnt-out frame or two, then the same
    scene again) is told apart by comparing with the frame before the flash as well.
"""

from __future__ import annotations

from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from livematte.planes import PlaneArray

cv: Any = cv2  # OpenCV's own stubs know neither dtypes nor scalars as operands

_SIZE: Final = (64, 36)
"""Width and height of the reduced luma; for portrait pictures turned."""
_SHIFT_SHARE: Final = 8
"""Shifts of up to 1 / 8 of each side are tried."""
_SIMILAR: Final = 0.65
"""Correlation from which on two frames are of one scene. Neighbours in 12 clips with fast hands, pans and a juggler lie
at 0.87 or more; of 1,500 pairs of unrelated photographs 0.6 % lie above."""
_FLAT: Final = 2.0
"""Standard deviation (of 255) below which a picture has no structure to correlate."""
_FLAT_STEP: Final = 40.0
"""Change of mean (of 255) that counts as a cut between two flat pictures."""

_LONGEST_FLASH: Final = 4
"""Frames; what stays burnt out for longer is a bright scene."""

SmallLuma = npt.NDArray[np.float32]


class SceneCuts:
    """Says of each frame whether a new scene begins with it. Used by one thread."""

    def __init__(self) -> None:
        self._last: SmallLuma | None = None
        self._before_flash: SmallLuma | None = None
        self._flash_frames = 0

    def push(self, luma: PlaneArray, peak: int) -> bool:
        """Take the next frame's luma (H, W), 0..`peak`; True where it begins a new scene. 0.2 ms at any size.

        A bright flash is not a cut, and neither is the frame after it; brightness that stays was a cut after all and
        is reported `_LONGEST_FLASH` frames late.
        """
        return self.push_reduced(_reduce(luma, peak))

    def push_reduced(self, small: SmallLuma) -> bool:
        """The same for luma that is reduced already (as `_reduce` does; on a GPU a kernel). Keeps the array."""
        last, self._last = self._last, small
        if last is None or last.shape != small.shape:
            self._before_flash = None
            return False
        if self._before_flash is not None:
            return self._during_flash(self._before_flash, last, small)
        if _similar(last, small):
            return False
        if _is_flash(last, small):
            self._before_flash, self._flash_frames = last, 1
            return False
        return True

    def _during_flash(self, before: SmallLuma, last: SmallLuma, small: SmallLuma) -> bool:
        if _similar(before, small):
            self._before_flash = None
            return False
        self._flash_frames += 1
        if self._flash_frames <= _LONGEST_FLASH and (_similar(last, small) or _is_flash(before, small)):
            return False
        self._before_flash = None
        return True

    def reset(self) -> None:
        """Forget the past."""
        self._last = self._before_flash = None


def _reduce(luma: PlaneArray, peak: int) -> SmallLuma:
    size = _SIZE if luma.shape[1] >= luma.shape[0] else _SIZE[::-1]
    # LINEAR to four times the size reads few samples; AREA from there averages them.
    middle = cv.resize(luma, (4 * size[0], 4 * size[1]), interpolation=cv2.INTER_LINEAR)
    small = cv.resize(middle, size, interpolation=cv2.INTER_AREA)
    reduced: SmallLuma = small.astype(np.float32) * np.float32(255 / peak)
    return reduced


def _similar(last: SmallLuma, small: SmallLuma) -> bool:
    flat = (float(last.std()) < _FLAT, float(small.std()) < _FLAT)
    if all(flat):
        return abs(float(last.mean()) - float(small.mean())) < _FLAT_STEP
    if any(flat):
        return False
    return _correlation(last, small) >= _SIMILAR


def _correlation(last: SmallLuma, small: SmallLuma) -> float:
    """Normalised correlation, -1..1, the best over shifts; the unshifted one where that is high already."""
    unshifted = float(cv.matchTemplate(last, small, cv2.TM_CCOEFF_NORMED)[0, 0])
    if unshifted >= _SIMILAR:
        return unshifted
    rows, columns = small.shape[0] // _SHIFT_SHARE, small.shape[1] // _SHIFT_SHARE
    core = small[rows:-rows, columns:-columns]
    return max(unshifted, float(cv.matchTemplate(last, core, cv2.TM_CCOEFF_NORMED).max()))


def _is_flash(last: SmallLuma, small: SmallLuma) -> bool:
    """Burnt out: nearly every part is brighter than before, and most of it is near white."""
    return float((small >= last - 4).mean()) > 0.97 and float((small > 225).mean()) > 0.6
