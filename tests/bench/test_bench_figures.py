"""Percentiles and the bootstrap: right where it can be computed by hand, and honest about noise."""

from __future__ import annotations

import numpy as np
import pytest

from livematte.bench.figures import mean, median, percentiles, ratio_interval


def test_percentiles_of_known_values() -> None:
    found = percentiles([float(value) for value in range(1, 101)])
    assert found == {"p50": 50.5, "p95": 95.05, "p99": 99.01, "mean": 50.5, "max": 100.0}
    assert percentiles([])["p99"] == 0.0


def _rounds(level: float, seed: int, *, spread: float = 0.0) -> list[list[float]]:
    rng = np.random.default_rng(seed)
    levels = level * (1 + spread * rng.normal(size=3))
    return [rng.normal(one, 2.0, 200).tolist() for one in levels]


def test_ten_percent_are_found_and_their_size_is_right() -> None:
    low, value, high = ratio_interval(_rounds(30, 1), _rounds(33, 2), mean)
    assert 1.05 < low < value < high < 1.15
    assert value == pytest.approx(1.1, abs=0.01)


def test_equal_programs_contain_one() -> None:
    """At 99 % and eight pairs, two misses would be a broken interval."""
    missed = 0
    for seed in range(8):
        low, _, high = ratio_interval(_rounds(30, seed), _rounds(30, 100 + seed), median)
        missed += not low <= 1 <= high
    assert missed <= 1


def test_rounds_that_differ_widen_the_interval() -> None:
    """Whole rounds are drawn: what differs between runs of one program must not look like a change."""
    low, _, high = ratio_interval(_rounds(30, 3), _rounds(30, 4), mean)
    wide_low, _, wide_high = ratio_interval(_rounds(30, 3, spread=0.1), _rounds(30, 4, spread=0.1), mean)
    assert wide_high - wide_low > 3 * (high - low)


def test_neighbours_that_move_together_widen_the_interval() -> None:
    rng = np.random.default_rng(5)
    steps = rng.normal(30, 4, 25)
    slow = [np.repeat(steps, 12).tolist()]
    mixed = [rng.permutation(np.repeat(steps, 12)).tolist()]
    low, _, high = ratio_interval(slow, slow, mean)
    narrow_low, _, narrow_high = ratio_interval(mixed, mixed, mean)
    assert high - low > 1.8 * (narrow_high - narrow_low)


def test_nothing_to_compare_is_an_error() -> None:
    with pytest.raises(ValueError, match="no samples"):
        ratio_interval([[]], [[1.0]], mean)
    with pytest.raises(ValueError, match="is 0"):
        ratio_interval([[0.0]], [[1.0]], mean)
