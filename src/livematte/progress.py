"""Watches a run from the caller's thread: progress, the forecast of its size, and an empty picture."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from livematte.errors import SinkError
from livematte.frames import StreamInfo
from livematte.pipeline import Pipeline
from livematte.reporting import Reporter
from livematte.sinks.base import Sink
from livematte.sinks.formats import STDOUT
from livematte.stats import Progress

Observer: TypeAlias = Callable[[Progress], None]

_FORECAST_AFTER_FRAMES = 30
"""Frames after which the output's size is forecast and held against the free space."""
_FORECAST_AFTER_BYTES = 1 << 15
"""An encoder that looks ahead (x264, VP9) has given out nothing but a header by then: wait for real output."""
_NOBODY_SECONDS = 5.0
"""Seconds of pictures without anybody after which that is said."""


class Watch:
    """Makes a `Progress` of the pipeline's counters at each `tick`; SinkError where the disk is too small."""

    def __init__(self, pipeline: Pipeline, *, reporter: Reporter, observer: Observer | None) -> None:
        self._pipeline = pipeline
        self._info: StreamInfo = pipeline.info
        self._reporter = reporter
        self._observer = observer
        self._begin = time.monotonic()
        self._said_forecast = False
        self._said_nobody = False

    def tick(self) -> None:
        """Called about five times a second while the run goes on."""
        progress = self.progress()
        self._forecast(progress)
        self._say_nobody_was_seen(_NOBODY_SECONDS * float(self._info.frame_rate or 25))
        if self._observer is not None:
            self._observer(progress)

    def finish(self) -> Progress:
        """The last progress, handed to the observer as well."""
        progress = self.progress(finished=True)
        if self._observer is not None:
            self._observer(progress)
        self._say_nobody_was_seen(self._pipeline.counters.matted)
        return progress

    def progress(self, *, finished: bool = False) -> Progress:
        """What the run has reached now."""
        counters = self._pipeline.counters
        seconds = time.monotonic() - self._begin
        frames = min(counters.written.values(), default=0)
        fps = frames / seconds if seconds > 0 else 0.0
        expected = self._expected_frames()
        written = sum(sink.bytes_written for sink in self._pipeline.sinks)
        forecast = frames >= _FORECAST_AFTER_FRAMES and written >= _FORECAST_AFTER_BYTES
        return Progress(
            frames=frames,
            expected_frames=expected,
            fps=fps,
            seconds=seconds,
            seconds_left=max(0.0, (expected - frames) / fps) if expected is not None and fps > 0 else None,
            limiting_stage=self._pipeline.stats.limiting_stage(self._pipeline.stages),
            bytes_written=written,
            expected_bytes=int(written / frames * expected) if forecast and expected else None,
            dropped=counters.dropped,
            repeated=counters.repeated,
            empty_frames=counters.empty_frames,
            finished=finished,
        )

    def _expected_frames(self) -> int | None:
        if self._pipeline.rate is not None and self._info.duration_seconds is not None:
            return round(self._info.duration_seconds * self._pipeline.rate.rate)
        return self._info.frame_count

    def _forecast(self, progress: Progress) -> None:
        if self._said_forecast or progress.expected_bytes is None:
            return
        self._said_forecast = True
        still_to_come = progress.expected_bytes - progress.bytes_written
        if progress.expected_frames is not None and progress.frames < progress.expected_frames // 2:
            self._reporter.note(f"expected size: about {readable_bytes(progress.expected_bytes)}.")
        for folder in _folders(self._pipeline.sinks):
            free = shutil.disk_usage(folder).free
            if still_to_come > free:
                raise SinkError(
                    f"the output will need about {readable_bytes(still_to_come)} more, and {folder} has "
                    f"{readable_bytes(free)} free. Make room, write to another disk with -o, or take a smaller format "
                    "(--format webm, or --encode fast)."
                )

    def _say_nobody_was_seen(self, frames: float) -> None:
        """Once, where the run began with that many frames without anybody."""
        empty = self._pipeline.counters.leading_empty
        if self._said_nobody or not empty or empty < frames:
            return
        self._said_nobody = True
        rate = float(self._info.frame_rate or 25)
        where = f"the first {_NOBODY_SECONDS:.0f} seconds" if empty >= _NOBODY_SECONDS * rate else "any frame"
        self._reporter.warn(
            f"nobody was found in {where}. If there is a person, try --quality best or --model rvm-mobilenetv3; for "
            "things and animals, --model isnet ('livematte model list' shows all)."
        )


def _folders(sinks: Sequence[Sink]) -> set[Path]:
    folders = {Path(sink.name).absolute().parent for sink in sinks if sink.bytes_written and sink.name != STDOUT}
    return {folder for folder in folders if folder.is_dir()}


def readable_bytes(size: int) -> str:
    """`734 kB`, `12.3 MB`, `4.2 GB`: decimal units, as file managers and disks count."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}" if size < 100 * factor else f"{size / factor:.0f} {unit}"
    return f"{size} bytes"
