"""What a conversion costs and gains: mattes and milliseconds of several forms of one network, on the same frames.

All run through sessions, as in use. They take turns frame by frame, so whatever else the machine does slows all alike.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import av
import cv2
import numpy as np
import numpy.typing as npt

from livematte.config import ModelSettings
from livematte.frames import Frame
from livematte.metrics import ClipScore, mean_over_clips
from livematte.models.contract import tie
from livematte.models.load import LoadedModel
from livematte.models.manifest import Manifest
from livematte.models.session import Session
from livematte.reporting import Reporter
from livematte.runtimes import RUNTIMES
from livematte.runtimes.graphs.calibrate import TRUTH_SUFFIX, clips_of, frames_of
from livematte.runtimes.onnx_header import read_header
from livematte.runtimes.options import EngineOptions

METRICS = ("MAD", "MSE", "dtSSD")
WARM_UP = 3
"""Runs of each form that do not count, at the start of each clip."""


@dataclass(frozen=True)
class Contender:
    """One form of the network on one runtime."""

    label: str
    """`fp32`, `fp16`, `int8`."""
    path: Path
    precision: str
    runtime: str
    device: str = "cpu"


@dataclass(frozen=True)
class ReportRow:
    """One form's figures; lower is better."""

    label: str
    runtime: str
    mad: float
    """x 1e3, against the first row's mattes at the network's size."""
    mse: float
    """x 1e3."""
    dtssd: float
    """x 1e2: the flicker that was added."""
    ms: float
    """Median of the network's time a frame."""
    p95_ms: float
    true: dict[str, float] | None = None
    """MAD, MSE, dtSSD at the picture's size against true mattes (`NAME.alpha.mkv`), where there were some."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values; None for what could not be measured."""
        numbers = {"mad": self.mad, "mse": self.mse, "dtssd": self.dtssd, "ms": self.ms, "p95_ms": self.p95_ms}
        plain = {name: None if math.isnan(value) else round(value, 4) for name, value in numbers.items()}
        true = None if self.true is None else {name.lower(): round(value, 4) for name, value in self.true.items()}
        return {"label": self.label, "runtime": self.runtime, **plain, "true": true}


@dataclass(frozen=True)
class Report:
    """All forms, the network as it was first."""

    rows: tuple[ReportRow, ...]
    frames: int
    size: str
    """Of the network's input: `448x256`."""
    notes: tuple[str, ...] = ()

    def row(self, label: str, runtime: str) -> ReportRow | None:
        """The row of this form and runtime."""
        return next((row for row in self.rows if (row.label, row.runtime) == (label, runtime)), None)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for `--json` and `--report`."""
        rows = [row.as_dict() for row in self.rows]
        return {"frames": self.frames, "network_size": self.size, "rows": rows, "notes": list(self.notes)}

    def lines(self) -> list[str]:
        """The figures as a table in text."""
        has_true = any(row.true for row in self.rows)
        head = ["", "runtime", "MAD", "MSE", "dtSSD", "ms", "p95"] + ["true MAD", "true dtSSD"] * has_true
        table = [head, *(_cells(row, has_true=has_true) for row in self.rows)]
        widths = [max(len(cells[at]) for cells in table) for at in range(len(head))]
        body = [
            "  ".join(
                cell.ljust(width) if at < 2 else cell.rjust(width)
                for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
            ).rstrip()
            for cells in table
        ]
        about = f"{self.frames} frames at {self.size}; MAD, MSE x1e3 and dtSSD x1e2 are differences from fp32"
        return [*body, about, *self.notes]


def measure(
    contenders: Sequence[Contender],
    manifest: Manifest,
    specs: Sequence[str],
    settings: ModelSettings,
    *,
    frames: int,
    reporter: Reporter,
    progress: Callable[[float], None] = lambda share: None,
) -> Report:
    """Run every form over the first `frames` frames of each input, in turns; all are held against the first one.

    settings: quality, network size and threads for all. Raises what loading a network and reading a clip raise.
    """
    clips = clips_of(specs)
    runs: list[_Run] = []
    with ExitStack() as stack:
        for contender in contenders:
            runs.append(_Run(contender, manifest, settings, reporter))
            stack.callback(runs[-1].close)
        count = 0
        for at, clip in enumerate(clips):
            with _truth(clip) as truth:
                for number, frame in enumerate(frames_of(clip, frames, step=1, reporter=reporter)):
                    true = next(truth, None)
                    _one_frame(runs, frame, true, first=number % len(runs), is_counted=number >= WARM_UP)
                    count += 1
                    progress((at + (number + 1) / frames) / len(clips))
            for run in runs:
                run.end_clip(clip)
        progress(1.0)
        size = runs[0].size
        return Report(tuple(run.row() for run in runs), count, size)


def _one_frame(
    runs: Sequence[_Run], frame: Frame, true: npt.NDArray[np.uint8] | None, *, first: int, is_counted: bool
) -> None:
    """Each form once, another one first each time; then the mattes are compared."""
    alphas: dict[int, npt.NDArray[np.float32]] = {}
    for turn in range(len(runs)):
        at = (first + turn) % len(runs)
        alphas[at] = runs[at].estimate(frame, is_counted=is_counted)
    for at, run in enumerate(runs):
        run.score(alphas[at], alphas[0], true)


class _Run:
    """One form at work."""

    def __init__(self, contender: Contender, manifest: Manifest, settings: ModelSettings, reporter: Reporter) -> None:
        self._contender = contender
        contract = tie(manifest.graph, read_header(contender.path), str(contender.path))
        options = EngineOptions(
            device=contender.device,
            precision=contender.precision,
            threads=settings.threads,
            states=tuple((state.input, state.output) for state in contract.states),
            outputs=(contract.alpha.name,),
            reporter=reporter,
        )
        self._engine = RUNTIMES.load(contender.runtime)(contender.path, options)
        self._session = Session(LoadedModel(manifest, self._engine, settings, contract, contender.path))
        self._clock = _Clock()
        self._session.timer = self._clock
        self._times: list[float] = []
        self._clips: dict[str, dict[str, float]] = {}
        self._true: dict[str, dict[str, float]] = {}
        self._is_new = True
        self._begin()

    @property
    def size(self) -> str:
        found = self._session.network_size
        return "" if found is None else f"{found.width}x{found.height}"

    def estimate(self, frame: Frame, *, is_counted: bool) -> npt.NDArray[np.float32]:
        """Alpha of this frame, a copy."""
        if self._is_new:
            self._session.warm(frame)
            self._is_new = False
        self._clock.network_ms = 0.0
        alpha = self._session.estimate(frame).alpha.copy()
        if is_counted:
            self._times.append(self._clock.network_ms)
        return np.clip(alpha, 0.0, 1.0)

    def score(
        self, alpha: npt.NDArray[np.float32], reference: npt.NDArray[np.float32], true: npt.NDArray[np.uint8] | None
    ) -> None:
        """Hold one matte against the first form's, and against the true one where there is one."""
        self._score.add(alpha, reference)
        if true is not None:
            size = (true.shape[1], true.shape[0])
            large = cv2.resize(alpha, size, interpolation=cv2.INTER_CUBIC)
            self._true_score.add(np.clip(large, 0.0, 1.0).astype(np.float32, copy=False), true)

    def end_clip(self, clip: str) -> None:
        """Another clip begins."""
        if self._score.frames:
            self._clips[clip] = self._score.mean
        if self._true_score.frames:
            self._true[clip] = self._true_score.mean
        self._session.reset()
        self._begin()

    def row(self) -> ReportRow:
        """The figures of all clips; each counts once."""
        mean = mean_over_clips(self._clips) or dict.fromkeys(METRICS, math.nan)
        ms, p95 = np.percentile(self._times, (50, 95)) if self._times else (math.nan, math.nan)
        return ReportRow(
            self._contender.label, self._contender.runtime, mean["MAD"], mean["MSE"], mean["dtSSD"], float(ms),
            float(p95), mean_over_clips(self._true) or None,
        )  # fmt: skip

    def close(self) -> None:
        """Session, then engine."""
        self._session.close()
        self._engine.close()

    def _begin(self) -> None:
        self._score, self._true_score = ClipScore(METRICS), ClipScore(METRICS)
        self._is_new = True


@dataclass
class _Clock:
    """Takes the network's time alone."""

    network_ms: float = field(default=0.0)

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        begin = time.perf_counter()
        yield
        if stage == "network":
            self.network_ms += 1e3 * (time.perf_counter() - begin)


@contextmanager
def _truth(clip: str) -> Iterator[Iterator[npt.NDArray[np.uint8]]]:
    """The true mattes beside a clip (`NAME.alpha.mkv`), or nothing."""
    path = Path(clip)
    beside = path.with_name(f"{path.stem}{TRUTH_SUFFIX}")
    if not beside.is_file() or path.is_dir():
        yield iter(())
        return
    pictures = _pictures(beside)
    try:
        yield pictures
    finally:
        pictures.close()


def _pictures(path: Path) -> Generator[npt.NDArray[np.uint8], None, None]:
    with av.open(str(path)) as container:
        for picture in container.decode(video=0):
            yield cast(npt.NDArray[np.uint8], picture.to_ndarray(format="gray"))


def _cells(row: ReportRow, *, has_true: bool) -> list[str]:
    cells = [row.label, row.runtime, *(_number(value) for value in (row.mad, row.mse, row.dtssd))]
    cells += ["-" if math.isnan(value) else f"{value:.1f}" for value in (row.ms, row.p95_ms)]
    if has_true:
        true = row.true or {}
        cells += [_number(true.get(name, math.nan)) for name in ("MAD", "dtSSD")]
    return cells


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"
