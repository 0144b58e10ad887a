"""What a run says while it goes on: nobody in the picture, the forecast of its size."""

from __future__ import annotations

from contextlib import nullcontext
from fractions import Fraction
from types import SimpleNamespace
from typing import Any, cast

import pytest

from livematte.errors import SinkError
from livematte.frames import StreamInfo
from livematte.pipeline import Counters, Pipeline
from livematte.progress import Watch, readable_bytes
from livematte.reporting import ListReporter
from livematte.stats import Stats


def watch(counters: Counters, reporter: ListReporter) -> Watch:
    """Over a pipeline that stands still at these counters: 25 frames a second, 1000 in all, no sinks."""
    info = SimpleNamespace(frame_rate=Fraction(25), frame_count=1000, duration_seconds=40.0)
    pipeline: Any = SimpleNamespace(
        info=cast(StreamInfo, info), counters=counters, sinks=[], rate=None, stats=Stats(), stages=()
    )
    return Watch(cast(Pipeline, pipeline), reporter=reporter, observer=None)


@pytest.mark.parametrize(
    ("counters", "said"),
    [
        (Counters(matted=124, empty_frames=124, leading_empty=124), False),
        (Counters(matted=125, empty_frames=125, leading_empty=125), True),
        # Somebody came in after 6 s, all between two looks of the watch: the first 5 s were empty all the same.
        (Counters(matted=180, empty_frames=150, leading_empty=150), True),
        (Counters(matted=500, empty_frames=499, leading_empty=0), False),
    ],
)
def test_nobody_for_five_seconds_is_said_once(counters: Counters, said: bool) -> None:
    reporter = ListReporter()
    watching = watch(counters, reporter)
    watching.tick()
    watching.tick()
    assert len(reporter.warnings) == said
    assert all("first 5 seconds" in one and "--model isnet" in one for one in reporter.warnings)


@pytest.mark.parametrize(("target", "stops"), [("-", False), ("clip.mov", True)])
def test_the_disk_limits_files_and_not_a_pipe(target: str, stops: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("livematte.progress.shutil.disk_usage", lambda folder: SimpleNamespace(free=1000))
    watching = watch(Counters(written={"encode": 100}), ListReporter())
    cast(Any, watching)._pipeline.sinks.append(SimpleNamespace(name=target, bytes_written=10_000_000))
    with pytest.raises(SinkError, match="Make room") if stops else nullcontext():
        watching.tick()


@pytest.mark.parametrize(
    ("counters", "said"),
    [
        (Counters(matted=40, empty_frames=40, leading_empty=40), True),
        (Counters(matted=40, empty_frames=39, leading_empty=39), False),
        (Counters(), False),
    ],
)
def test_a_short_clip_without_anybody_is_said_at_its_end(counters: Counters, said: bool) -> None:
    reporter = ListReporter()
    watching = watch(counters, reporter)
    watching.tick()
    assert not reporter.warnings
    watching.finish()
    assert ["any frame" in one for one in reporter.warnings] == [True] * said


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (734_000, "734 kB"), (12_340_000, "12.3 MB"), (4_200_000_000, "4.2 GB")],
)
def test_sizes_as_people_read_them(size: int, text: str) -> None:
    assert readable_bytes(size) == text
