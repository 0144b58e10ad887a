"""From samples to figures: percentiles, and bootstrap intervals for what differs between two reports.

Note [Bootstrap]
    Efron 1979, "Bootstrap Methods: Another Look at the Jackknife", https://doi.org/10.1214/aos/1176344552: the interval
    is made of the figure's values over samples drawn again, with replacement. Frame times follow each other (a clock
    that rises, a disk that is busy), so blocks of neighbours are drawn rather than single frames: Künsch 1989, "The
    Jackknife and the Bootstrap for General Stationary Observations", https://doi.org/10.1214/aos/1176347265. Whole
    rounds are drawn first, because two runs of one program differ by more than their frames do (`ROUNDS` of 3 by
    default; with a single round only the blocks are left, and the interval is too narrow).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

Rounds = Sequence[Sequence[float]]
"""Samples of one figure in milliseconds, a list a round."""
Figure = Callable[[npt.NDArray[np.float64]], float]

_DRAWS: Final = 1000
_BLOCK: Final = 12
"""Frames of a block; 0.4 s at 30 frames a second."""
CONFIDENCE: Final = 0.99
"""Of an interval: a report has a dozen runs, and at 95 % every second comparison would find something in noise."""


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """`p50`, `p95`, `p99`, `mean` and `max`, rounded to 1 us where the values are milliseconds; zeros without any."""
    if not values:
        return {"p50": 0.0, "p95": 0.0, "p99": 0.0, "mean": 0.0, "max": 0.0}
    array = np.asarray(values, np.float64)
    p50, p95, p99 = np.percentile(array, (50, 95, 99))
    named = {"p50": p50, "p95": p95, "p99": p99, "mean": array.mean(), "max": array.max()}
    return {name: round(float(value), 3) for name, value in named.items()}


def mean(values: npt.NDArray[np.float64]) -> float:
    """The mean as a `Figure`."""
    return float(values.mean())


def median(values: npt.NDArray[np.float64]) -> float:
    """The median as a `Figure`."""
    return float(np.median(values))


def ratio_interval(before: Rounds, after: Rounds, figure: Figure, *, seed: int = 1) -> tuple[float, float, float]:
    """figure(after) / figure(before): (low end, value, high end) of its `CONFIDENCE` interval (Note [Bootstrap]).

    ValueError where one of the two has no samples, or its figure is 0.
    """
    first, second = _arrays(before), _arrays(after)
    if not first or not second:
        raise ValueError("a report has no samples to compare")
    base = figure(np.concatenate(first))
    if base <= 0:
        raise ValueError("the figure to compare with is 0")
    rng = np.random.default_rng(seed)
    drawn = np.array([figure(_redraw(rng, second)) / max(figure(_redraw(rng, first)), 1e-9) for _ in range(_DRAWS)])
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(drawn, (tail, 100 - tail))
    return float(low), figure(np.concatenate(second)) / base, float(high)


def _arrays(rounds: Rounds) -> list[npt.NDArray[np.float64]]:
    return [np.asarray(one, np.float64) for one in rounds if len(one)]


def _redraw(rng: np.random.Generator, rounds: Sequence[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    """Rounds drawn with replacement, and in each of them blocks of neighbours."""
    return np.concatenate([_blocks(rng, rounds[at]) for at in rng.integers(len(rounds), size=len(rounds))])


def _blocks(rng: np.random.Generator, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    length = min(_BLOCK, len(values))
    count = -(-len(values) // length)
    starts = rng.integers(len(values) - length + 1, size=count)
    drawn: npt.NDArray[np.float64] = values[(starts[:, None] + np.arange(length)).ravel()][: len(values)]
    return drawn
