"""Scores of clips and sets, from the errors of their frames."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from livematte.errors import UsageError
from livematte.metrics.planes import Alpha, Plane, Region, check_shapes, unit_pair
from livematte.metrics.spatial import frame_errors
from livematte.metrics.temporal import difference_of_changes

FRAME_METRICS: Final = ("MAD", "MSE", "SAD", "Grad", "Conn", "dtSSD")
"""Every name that `ClipScore` knows, in the order of tables."""
DEFAULT_METRICS: Final = ("MAD", "MSE", "Grad", "dtSSD")
"""What is computed unless Conn (30 times as slow) or SAD is asked for."""


@dataclass
class ClipScore:
    """Errors of one clip, frame by frame: `add` each pair in order, then read `mean`.

    Keeps the numbers of each frame and the last difference, so memory does not grow with the picture.
    """

    metrics: Sequence[str] = DEFAULT_METRICS
    """Names of `FRAME_METRICS`."""
    frames: int = 0
    by_frame: dict[str, list[float]] = field(default_factory=dict)
    """Name -> one number a frame (dtSSD: from the second frame on)."""
    band_by_frame: dict[str, list[float]] = field(default_factory=dict)
    """The same inside the band, of the frames that were given one with a pixel in it."""
    _last_difference: Plane | None = None

    def __post_init__(self) -> None:
        unknown = [name for name in self.metrics if name not in FRAME_METRICS]
        if unknown:
            raise UsageError(f"unknown metric {', '.join(unknown)}. There are: {', '.join(FRAME_METRICS)}.")
        self.by_frame = {name: [] for name in self.metrics}
        self.band_by_frame = {name: [] for name in self.metrics}

    def add(self, predicted: Alpha, true: Alpha, *, band: Region | None = None) -> dict[str, float]:
        """Score the next frame; gives back its numbers. UsageError where sizes differ, also from the last frame's.

        band: (H, W) boolean, `unknown_band(true)`: scored beside the whole picture, into `band_by_frame`.
        """
        a, b = unit_pair(predicted, true)
        if band is not None and not band.any():
            band = None
        regions: list[Region | None] = [None] if band is None else [None, band]
        rows = frame_errors(self.metrics, a, b, regions)
        if "dtSSD" in self.metrics:
            difference = a - b
            if self._last_difference is not None:
                check_shapes(difference, self._last_difference)
                for row, region in zip(rows, regions, strict=True):
                    row["dtSSD"] = difference_of_changes(difference, self._last_difference, region)
            self._last_difference = difference
        for row, kept in zip(rows, (self.by_frame, self.band_by_frame), strict=False):
            for name, value in row.items():
                kept[name].append(value)
        self.frames += 1
        return rows[0]

    @property
    def mean(self) -> dict[str, float]:
        """Mean over the frames by name; NaN where there was nothing to average (dtSSD of a single frame)."""
        return {name: _mean(rows) for name, rows in self.by_frame.items()}

    @property
    def band_mean(self) -> dict[str, float]:
        """The same inside the band."""
        return {name: _mean(rows) for name, rows in self.band_by_frame.items()}


def score_clip(pairs: Iterable[tuple[Alpha, Alpha]], metrics: Sequence[str] = DEFAULT_METRICS) -> dict[str, float]:
    """Mean errors of a clip given as (predicted, true) pairs in order."""
    score = ClipScore(metrics)
    for predicted, true in pairs:
        score.add(predicted, true)
    return score.mean


def mean_over_clips(by_clip: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """A set's errors: each clip counts once, whatever its length. `by_clip`: clip -> name -> error."""
    if not by_clip:
        return {}
    names = next(iter(by_clip.values())).keys()
    return {name: math.fsum(row[name] for row in by_clip.values()) / len(by_clip) for name in names}


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan
