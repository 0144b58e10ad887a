"""Says, once, that a second person is in a clip whose people are all kept."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from livematte.matting.subject import SubjectFilter
from livematte.reporting import ListReporter, Reporter

SmallAlpha = npt.NDArray[np.float32]

LOOK_SECONDS: Final = 0.5
"""Between two looks, so that it costs nothing worth measuring (0.5 ms a look at 448x256)."""

_ALL_ARE_KEPT: Final = (
    "from {moment} on there seems to be more than one person, and all are kept. For the largest one alone: "
    "--subject largest; for those in one part of the picture: --region X,Y,WIDTH,HEIGHT."
)


class SecondPerson:
    """Looks on twice a second until it has something to say, and changes nothing. Used by one thread.

    What counts as a second person is what `SubjectFilter` would leave out, in two looks in a row.
    """

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._filter = SubjectFilter(ListReporter())
        self._next_look: float | None = None
        self._first_seen: float | None = None
        self.has_said = False

    def look(self, alpha: SmallAlpha, seconds: float) -> None:
        """The next frame's alpha (h, w) float32 in 0..1 and its time."""
        if self.has_said or (self._next_look is not None and seconds < self._next_look):
            return
        self._next_look = seconds + LOOK_SECONDS
        self._filter.push(alpha, seconds)
        if not self._filter.leaves_somebody_out:
            self._first_seen = None
        elif self._first_seen is None:
            self._first_seen = seconds
        else:
            self.has_said = True
            self._reporter.note(_ALL_ARE_KEPT.format(moment=_moment(self._first_seen)))

    def reset(self) -> None:
        """Another clip or a cut: look anew, at once."""
        self._filter.reset()
        self._next_look = self._first_seen = None


def _moment(seconds: float) -> str:
    """`0:07`, `12:30`."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
