"""Cut-outs of photos: what `livematte photo` does, as a function.

Note [Nobody there]
    A mean alpha below 0.005 is less than a face at the far end of a hall: the network found nobody. Then no file is
    written, because an empty picture would look like a success.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import numpy.typing as npt

from livematte.compositing import Compositor
from livematte.config import Settings
from livematte.errors import LivematteError, NobodyFound, SinkError, SourceError, UsageError
from livematte.frames import MattedFrame
from livematte.models import catalogue
from livematte.models.load import LoadedModel, load_model
from livematte.outputs import background_word, refuse_existing
from livematte.photos.files import STDIO, Naming, PhotoJob, plan_jobs
from livematte.photos.formats import StillImage, encode
from livematte.photos.options import PhotoListener, PhotoOptions, PhotoSummary
from livematte.photos.stills import StillMatting, info_of, read_still, to_frame, to_pixels, to_rgba, without_position
from livematte.pipeline import EMPTY_MEAN_ALPHA
from livematte.reporting import Once, Reporter
from livematte.runtimes.threads import default_threads
from livematte.sinks.video import part_path

_CROP_ALPHA = 0.05
"""Pixels from this alpha on count as the subject for `--crop`: a matte's haze would make the box the whole picture."""
_MOST_WORKERS = 4
"""Photos at once: each holds several copies of its picture, 72 MB a copy for 24 megapixels."""


def convert_photos(
    inputs: Sequence[str],
    output: str | None,
    *,
    settings: Settings = Settings(),  # noqa: B008  frozen, never changed
    options: PhotoOptions = PhotoOptions(),  # noqa: B008
    reporter: Reporter,
    listener: PhotoListener = PhotoListener(),  # noqa: B008
) -> PhotoSummary:
    """Cut the people out of pictures, folders, globs and stdin (`-`), several at once where cores allow.

    output: a file, a folder (existing, or ending in `/`; subfolders are mirrored), `-` for stdout, or None:
    `<stem>_alpha.png` beside each. One picture: its error is raised (NobodyFound, SourceError, SinkError...). Several:
    what fails is in the summary and the rest goes on; outputs that exist are skipped and counted. Errors of the
    network itself (ModelError, DeviceError) and of usage are raised.
    """
    background = options.background if options.background is not None else settings.output.background
    alpha_only = options.alpha_only or settings.output.alpha_only
    if background is not None and alpha_only:
        raise UsageError("--alpha-only writes the matte alone and --background a finished picture. Choose one.")
    needs_alpha = background is None and not alpha_only
    naming = Naming(_word(background, alpha_only=alpha_only), options.format, needs_alpha)
    if alpha_only and naming.format is None:
        naming = Naming(naming.word, "png" if output is None or _is_folder(output) else None, needs_alpha)
    jobs = plan_jobs(inputs, output, naming, reporter=reporter)
    said = Once(reporter)
    summary = PhotoSummary()
    if not (options.overwrite or settings.output.overwrite):
        jobs = _without_existing(jobs, summary, listener)
    if not jobs:
        return summary
    workers = max(min(len(jobs), default_threads(), _MOST_WORKERS), 1)
    model_settings = settings.model
    if workers > 1 and not model_settings.threads:
        # One picture a core scales better than several threads on each picture in turn.
        model_settings = model_settings.model_copy(update={"threads": max(default_threads() // workers, 1)})
    loaded = load_model(model_settings, reporter=said)
    try:
        summary.model = loaded.describe()
        listener.status(summary.model + (f"; {workers} pictures at once" if workers > 1 else ""))
        plan = _Plan(loaded, settings, options, background, alpha_only, said)
        _run(jobs, plan, workers, summary, listener)
    finally:
        loaded.close()
    return summary


def _word(background: str | None, *, alpha_only: bool) -> str:
    if background is None:
        return "matte" if alpha_only else "alpha"
    return background_word(background)


def _is_folder(output: str) -> bool:
    return output != STDIO and (output.endswith(("/", os.sep)) or Path(output).is_dir())


def _without_existing(jobs: list[PhotoJob], summary: PhotoSummary, listener: PhotoListener) -> list[PhotoJob]:
    taken = [job for job in jobs if job.target != STDIO and os.path.exists(job.target)]
    if taken and len(jobs) == 1:
        if listener.may_replace(taken[0].target):
            return jobs
        refuse_existing(taken[0].target, overwrite=False)
    summary.skipped = [(job.source, job.target) for job in taken]
    return [job for job in jobs if job not in taken]


@dataclass(frozen=True, slots=True)
class _Plan:
    """What all pictures share."""

    loaded: LoadedModel
    settings: Settings
    options: PhotoOptions
    background: str | None
    alpha_only: bool
    reporter: Once


@dataclass(slots=True)
class _Tools:
    """What one thread works with, for all its pictures."""

    matting: StillMatting
    compositor: Compositor | None = None
    """Made at the first picture; it reads the background once."""

    def close(self) -> None:
        self.matting.close()
        if self.compositor is not None:
            self.compositor.close()


class _Workers:
    """What the threads share: each has tools of its own on the one network."""

    def __init__(self, plan: _Plan, total: int, listener: PhotoListener, *, is_alone: bool) -> None:
        """`is_alone`: the one picture's error is raised, so nothing is said of it before."""
        self._plan = plan
        self._total = total
        self._is_alone = is_alone
        self._listener = listener
        self._local = threading.local()
        self._lock = threading.Lock()
        self._made: list[_Tools] = []
        self._done = 0

    def work(self, job: PhotoJob) -> LivematteError | None:
        """One picture; what is wrong with it comes back, and what is wrong with the network is raised.

        Of several pictures, what is wrong with one is said at once.
        """
        try:
            _convert_one(job, self._plan, self._tools())
        except (SourceError, SinkError, NobodyFound) as error:
            if not self._is_alone:
                self._plan.reporter.warn(str(error))  # names the picture itself
            return error
        finally:
            with self._lock:
                self._done += 1
                self._listener.progress(self._done, self._total)
        return None

    def _tools(self) -> _Tools:
        """The tools of the thread that asks."""
        if not hasattr(self._local, "tools"):
            plan = self._plan
            made = _Tools(
                StillMatting(
                    plan.loaded, plan.settings.matting, wants_foreground=not plan.alpha_only, reporter=plan.reporter
                )
            )
            self._local.tools = made
            with self._lock:
                self._made.append(made)
        return cast(_Tools, self._local.tools)

    def close(self) -> None:
        """Close every thread's tools, when no thread works any more."""
        for tools in self._made:
            tools.close()


def _run(jobs: Sequence[PhotoJob], plan: _Plan, workers: int, summary: PhotoSummary, listener: PhotoListener) -> None:
    """All jobs, `workers` at a time."""
    is_alone = len(jobs) == 1 and not summary.skipped
    shared = _Workers(plan, len(jobs), listener, is_alone=is_alone)
    try:
        if workers == 1:
            results = [shared.work(job) for job in jobs]
        else:
            with ThreadPoolExecutor(workers, thread_name_prefix="livematte-photo") as pool:
                results = list(pool.map(shared.work, jobs))
    finally:
        shared.close()
    if is_alone and results[0] is not None:
        raise results[0]
    for job, error in zip(jobs, results, strict=True):
        if error is None:
            summary.done.append((job.source, job.target))
        else:
            summary.failed.append((job.source, error))


def _convert_one(job: PhotoJob, plan: _Plan, tools: _Tools) -> None:
    still = read_still(_read(job.source), job.source, remark=plan.reporter.note)
    matted = tools.matting(to_frame(still))
    alpha = matted.matte.alpha
    peak = int(np.iinfo(alpha.dtype).max)
    if float(alpha.mean()) < EMPTY_MEAN_ALPHA * peak:
        raise _nobody(job.source, plan.loaded, plan.settings.matting.region)
    pixels: npt.NDArray[Any]
    if plan.alpha_only:
        pixels = alpha
    elif plan.background is not None:
        pixels = _over_background(matted, plan, tools)
    else:
        pixels = to_rgba(to_pixels(_foreground(matted)), alpha)
    if still.is_wide and job.kind.name != "png":
        plan.reporter.note(f"{job.kind.name.upper()} is written with 8 bits a channel; PNG keeps the picture's 16.")
    if plan.options.crop:
        pixels = pixels[_box(alpha, peak)]
    exif = still.exif if plan.options.keep_location or plan.settings.input.keep_location else None
    exif = exif or without_position(still.exif)
    _write(job.target, encode(StillImage(np.ascontiguousarray(pixels), still.icc_profile, exif), job.kind))


def _foreground(matted: MattedFrame) -> av.VideoFrame:
    assert isinstance(matted.matte.foreground, av.VideoFrame)  # asked for, on the host
    return matted.matte.foreground


def _over_background(matted: MattedFrame, plan: _Plan, tools: _Tools) -> npt.NDArray[Any]:
    assert plan.background is not None
    if tools.compositor is None:
        tools.compositor = Compositor(plan.background, info_of(matted.frame), reporter=plan.reporter)
    return to_pixels(tools.compositor.composite(matted).picture)


def _box(alpha: npt.NDArray[Any], peak: int) -> tuple[slice, slice]:
    """Rows and columns of the subject."""
    there = alpha >= max(round(_CROP_ALPHA * peak), 1)
    rows, columns = np.flatnonzero(there.any(axis=1)), np.flatnonzero(there.any(axis=0))
    if not rows.size:
        return slice(None), slice(None)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _nobody(source: str, loaded: LoadedModel, region: str | None) -> NobodyFound:
    where = "in the picture" if region is None else f"inside --region {region}"
    message = f"{source}: {loaded.manifest.name} found nobody {where}, so nothing was written."
    things = catalogue.by_name("isnet")
    if "things" in loaded.manifest.subjects:
        return NobodyFound(f"{message} Nothing stands out from the background; try another picture.")
    size = things.weights().size_bytes or 0
    return NobodyFound(
        f"{message} For things and animals use --model isnet ({size / 1e6:.0f} MB, licence {things.licence.spdx}, "
        f"commercial use: {things.licence.commercial}), after: livematte model fetch isnet"
    )


def _read(source: str) -> bytes:
    if source == STDIO:
        return sys.stdin.buffer.read()
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise SourceError(f"{source} cannot be read: {error.strerror or error}. Check its permissions.") from error


def _write(target: str, data: bytes) -> None:
    """The whole file or none: written beside it, then renamed."""
    if target == STDIO:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    path = Path(target)
    part = part_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        os.replace(part, path)
    except OSError as error:
        with contextlib.suppress(OSError):  # the first error is the one to say
            part.unlink()
        raise SinkError(
            f"{target} cannot be written: {error.strerror or error}. Check the folder and the free space, or name "
            "another place with -o."
        ) from error
