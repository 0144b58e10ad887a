"""Stage times: totals over everything, percentiles over the newest, in bounded memory."""

from __future__ import annotations

import pytest

from livematte.stats import Stats


def test_times_add_up_and_percentiles_follow_the_newest() -> None:
    stats = Stats()
    for _ in range(5000):
        stats.add("encode", 0.001)
    for _ in range(4096):
        stats.add("encode", 0.002)
    times = stats.stages["encode"]
    assert times.count == 9096
    assert times.total_seconds == pytest.approx(13.192)
    assert len(times.newest_ms) == 4096
    assert times.percentile_ms(50) == pytest.approx(2.0)


def test_the_limiting_stage_is_the_busiest_of_those_with_a_thread() -> None:
    stats = Stats()
    assert stats.limiting_stage(("decode", "matting")) is None
    for stage, seconds in (("decode", 1.0), ("matting", 3.0), ("network", 2.5), ("encode", 2.0)):
        stats.add(stage, seconds)
    assert stats.limiting_stage(("decode", "encode", "matting")) == "matting"
    assert stats.limiting_stage(("decode", "encode")) == "encode"


def test_a_block_that_raises_is_measured_too() -> None:
    stats = Stats()
    with pytest.raises(ValueError, match="broken"), stats.measure("matting"):
        raise ValueError("broken")
    assert stats.stages["matting"].count == 1
