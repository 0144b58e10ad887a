"""`--region` and `--subject` together: what a matte keeps of the network's answer."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from livematte.config import MattingSettings
from livematte.frames import AlphaArray, StreamInfo
from livematte.matting.region import Region, parse_region
from livematte.matting.second_person import SecondPerson
from livematte.matting.subject import SubjectFilter
from livematte.reporting import Reporter

SmallAlpha = npt.NDArray[np.float32]


class Keeper:
    """The region first, then the largest person inside it. Used by one thread.

    `--subject auto` keeps everybody in files and photos, and the largest person alone where the source is live: there
    it is a passer-by, here it may be the second actor, and that there is one is said once.
    """

    def __init__(self, settings: MattingSettings, info: StreamInfo, *, is_live: bool, reporter: Reporter) -> None:
        """`info` gives the size that a region in pixels belongs to. UsageError: a region that cannot be."""
        self._size = info.source_size or (info.width, info.height)
        self._is_live = is_live
        self._reporter = reporter
        self._region: Region | None = None
        self._subject: SubjectFilter | None = None
        self._second: SecondPerson | None = None
        self.change(settings)

    def check(self, settings: MattingSettings) -> None:
        """UsageError where `change` would raise it; any thread."""
        if settings.region is not None:
            parse_region(settings.region, *self._size)

    def change(self, settings: MattingSettings) -> None:
        """Other settings from the next frame on; whoever is followed stays so. UsageError: nothing is changed."""
        self._region = None if settings.region is None else parse_region(settings.region, *self._size)
        largest = settings.subject == "largest" or (settings.subject == "auto" and self._is_live)
        if not largest:
            self._subject = None
        elif self._subject is None:
            self._subject = SubjectFilter(self._reporter)
        if settings.subject != "auto" or self._is_live:
            self._second = None
        elif self._second is None:
            self._second = SecondPerson(self._reporter)

    @property
    def is_idle(self) -> bool:
        """True where everybody, everywhere is kept."""
        return self._region is None and self._subject is None

    def push(self, alpha: SmallAlpha, seconds: float) -> SmallAlpha:
        """The next frame's alpha (h, w) float32 in 0..1 and its time; `alpha` itself where all of it is kept."""
        if self._region is not None:
            alpha = self._region.keep_inside(alpha)
        return alpha if self._subject is None else self._subject.push(alpha, seconds)

    def look(self, alpha: SmallAlpha, seconds: float) -> None:
        """Say once that there is a second person, where all are kept without anybody having asked for it."""
        if self._second is not None:
            self._second.look(alpha, seconds)

    def finish(self, alpha: AlphaArray) -> None:
        """Clear, in place, what enlarging and edge controls have spread out of the region; (H, W) uint8 or uint16."""
        if self._region is not None:
            self._region.clear_outside(alpha)

    def reset(self) -> None:
        """Forget whom it followed."""
        if self._subject is not None:
            self._subject.reset()
        if self._second is not None:
            self._second.reset()

    def follow_on(self, other: Keeper) -> None:
        """Go on with whom another one followed, which is not used any more."""
        if self._subject is not None and other._subject is not None:
            self._subject.follow_on(other._subject)
