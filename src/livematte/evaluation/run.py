"""One evaluation: every pair of files, frame by frame, in constant memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final

from livematte.errors import UsageError
from livematte.evaluation.pairing import Job, Matching, plan
from livematte.evaluation.reading import AlphaFrame, AlphaReader, byte_alpha, luma_of
from livematte.evaluation.worst import Worst, WorstFrame, rows_of
from livematte.metrics import FRAME_METRICS, ClipScore, Flicker, unknown_band
from livematte.reporting import Once, Reporter

_BELOW_NOISE: Final = 1e-9


@dataclass(frozen=True, slots=True)
class EvaluationOptions:
    """What is measured, and what is kept."""

    source: str | None = None
    """The clip (or folder) that the mattes were made of: for the sheet, and for finding motion."""
    flicker: bool = False
    """Measure flicker along the motion too; always done where there is no true alpha."""
    worst_frames: int = 0
    """Keep so many of the worst frames for a contact sheet."""


@dataclass(slots=True)
class ClipResult:
    """Errors of one predicted file."""

    name: str
    frames: int = 0
    unmatched: int = 0
    """Frames of either file that had no partner."""
    errors: dict[str, float] = field(default_factory=dict)
    """Name of `metrics.FRAME_METRICS` or `flicker` -> mean over its frames; NaN where there was nothing to average."""
    band: dict[str, float] = field(default_factory=dict)
    """The same inside the unknown band."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, small names; None for NaN."""
        return {"name": self.name, "frames": self.frames, "unmatched": self.unmatched, **_plain(self.errors, self.band)}


@dataclass(slots=True)
class Evaluation:
    """What came out."""

    predicted: str
    true: str | None
    clips: list[ClipResult] = field(default_factory=list)
    worst: Worst = field(default_factory=Worst)

    @property
    def frames(self) -> int:
        return sum(clip.frames for clip in self.clips)

    @property
    def errors(self) -> dict[str, float]:
        """Mean over the clips, each counting once; of those that have the number."""
        return _mean_over([clip.errors for clip in self.clips])

    @property
    def band(self) -> dict[str, float]:
        """The same inside the unknown band."""
        return _mean_over([clip.band for clip in self.clips])

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for `--json` and `--report`: `sad mad mse grad conn dtssd` for the whole picture, `band`."""
        return {
            "predicted": self.predicted,
            "true": self.true,
            "frames": self.frames,
            "unmatched": sum(clip.unmatched for clip in self.clips),
            **_plain(self.errors, self.band),
            "clips": [clip.as_dict() for clip in self.clips],
        }


def evaluate(
    predicted: str,
    true: str | None = None,
    *,
    options: EvaluationOptions = EvaluationOptions(),
    reporter: Reporter,
    progress: Callable[[str, int], None] = lambda name, frames: None,
) -> Evaluation:
    """Compare mattes in files: a clip, a picture or a folder against another one.

    A file without an alpha plane is read as alpha itself. Without `true`, only flicker along the motion is measured.
    progress: called after each frame with (clip, frames so far). Errors: UsageError (sizes or counts differ, colour
    pictures without alpha), SourceError (cannot be read).
    """
    said = Once(reporter)
    evaluation = Evaluation(predicted, true, worst=Worst(options.worst_frames))
    for job in plan(predicted, true, options.source):
        evaluation.clips.append(_Run(job, options, evaluation.worst, said).run(progress))
    unmatched = sum(clip.unmatched for clip in evaluation.clips)
    if unmatched:
        said.warn(
            f"{unmatched} frames have no frame of the same time in the other file and are left out; "
            f"{evaluation.frames} were compared."
        )
    return evaluation


class _Run:
    """One pair of files."""

    def __init__(self, job: Job, options: EvaluationOptions, worst: Worst, reporter: Reporter) -> None:
        self._job = job
        self._worst = worst
        self._reporter = reporter
        self._score = None if job.true is None else ClipScore(FRAME_METRICS)
        self._flicker = Flicker() if options.flicker or job.true is None else None
        self._changes: list[float] = []

    def run(self, progress: Callable[[str, int], None]) -> ClipResult:
        """All frames. The readers are closed whatever happens."""
        result = ClipResult(self._job.name)
        with ExitStack() as stack:
            readers = [stack.enter_context(AlphaReader(self._job.predicted, reporter=self._reporter))]
            if self._job.true is not None:
                readers.append(stack.enter_context(AlphaReader(self._job.true, reporter=self._reporter)))
            _check_sizes(readers)
            if self._job.source is not None:
                reader = AlphaReader(self._job.source, reporter=self._reporter, only_colours=True)
                readers.append(stack.enter_context(reader))
            matching = Matching(readers)
            for frames in matching:
                self._one(frames)
                result.frames += 1
                progress(result.name, result.frames)
            result.unmatched = matching.unmatched
        self._finish(result)
        return result

    def _one(self, frames: Sequence[AlphaFrame]) -> None:
        predicted = frames[0]
        true = None if self._job.true is None else frames[1]
        colours = predicted.colours if self._job.source is None else frames[-1].colours
        numbers: dict[str, float] = {}
        if self._score is not None and true is not None:
            numbers = self._score.add(predicted.alpha, true.alpha, band=unknown_band(true.alpha))
        if self._flicker is not None:
            self._say_where_motion_is_from(colours is not None)
            luma = byte_alpha(predicted.alpha) if colours is None else luma_of(colours)
            change = self._flicker.add(predicted.alpha, luma)
            if change is not None and not math.isnan(change):
                self._changes.append(change)
                numbers["flicker"] = change
        name, badness = ("MAD", numbers["MAD"]) if "MAD" in numbers else ("flicker", numbers.get("flicker", 0.0))
        if badness > _BELOW_NOISE and self._worst.wants(self._job.name, predicted.seconds, badness):
            label = f"{self._job.name}  {predicted.seconds:.2f} s  {name} {badness:.2f}"
            rows = rows_of(predicted.alpha, None if true is None else true.alpha, colours)
            self._worst.add(WorstFrame(self._job.name, predicted.seconds, badness, label, rows))

    def _say_where_motion_is_from(self, has_colours: bool) -> None:
        if self._job.source is None:
            where = "the colours of PREDICTED itself" if has_colours else "the matte itself, so flicker reads too low"
            self._reporter.note(f"motion is found in {where}; --source CLIP finds it in the clip that was matted.")

    def _finish(self, result: ClipResult) -> None:
        if self._score is not None:
            result.errors |= self._score.mean
            result.band |= self._score.band_mean
        if self._flicker is not None:
            if not self._changes and self._score is None:
                raise UsageError(
                    f"{self._job.name} has {result.frames} frame, and flicker is a change from frame to frame. Name "
                    "a clip, or the true alpha too: livematte evaluate PREDICTED TRUE."
                )
            result.errors["flicker"] = math.fsum(self._changes) / len(self._changes) if self._changes else math.nan


def _check_sizes(readers: Sequence[AlphaReader]) -> None:
    sizes = [(reader.info.width, reader.info.height) for reader in readers]
    if len(set(sizes)) > 1:
        shown = " and ".join(f"{one.info.name} {one.info.width}x{one.info.height}" for one in readers)
        raise UsageError(
            f"the mattes differ in size: {shown}. Errors are defined at one size: scale one of them first, or check "
            "that the files belong together."
        )


def _mean_over(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Name -> mean of the rows that have a number there; a row of one frame has no dtSSD."""
    found: dict[str, float] = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row[name] for row in rows if name in row and not math.isnan(row[name])]
        found[name] = math.fsum(values) / len(values) if values else math.nan
    return found


def _plain(errors: Mapping[str, float], band: Mapping[str, float]) -> dict[str, Any]:
    values: dict[str, Any] = _lower(errors)
    if band:
        values["band"] = _lower(band)
    return values


def _lower(errors: Mapping[str, float]) -> dict[str, float | None]:
    return {name.lower(): None if math.isnan(value) else round(value, 5) for name, value in errors.items()}
