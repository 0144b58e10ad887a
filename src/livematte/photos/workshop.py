"""What makes cut-outs of photos: a network and the tools of each thread, for any number of pictures.

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
from livematte.outputs import background_word
from livematte.photos.files import STDIO, Naming, PhotoJob
from livematte.photos.formats import StillImage, encode
from livematte.photos.options import PhotoListener, PhotoOptions, PhotoSummary
from livematte.photos.stills import StillMatting, info_of, read_still, to_frame, to_pixels, to_rgba, without_position
from livematte.pipeline import EMPTY_MEAN_ALPHA
from livematte.reporting import Once
from livematte.runtimes.threads import default_threads
from livematte.sinks.video import part_path

_CROP_ALPHA = 0.05
"""Pixels from this alpha on count as the subject for `--crop`: a matte's haze would make the box the whole picture."""
_MOST_WORKERS = 4
"""Photos at once: each holds several copies of its picture, 72 MB a copy for 24 megapixels."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the pictures shall become."""

    background: str | None
    alpha_only: bool
    naming: Naming

    @classmethod
    def of(cls, settings: Settings, options: PhotoOptions) -> Wanted:
        """UsageError where a background and alpha alone are asked for together."""
        background = options.background if options.background is not None else settings.output.background
        alpha_only = options.alpha_only or settings.output.alpha_only
        if background is not None and alpha_only:
            raise UsageError("--alpha-only writes the matte alone and --background a finished picture. Choose one.")
        word = background_word(background) if background is not None else "matte" if alpha_only else "alpha"
        return cls(background, alpha_only, Naming(word, options.format, background is None and not alpha_only))


@dataclass(frozen=True, slots=True)
class _Plan:
    """What all pictures share."""

    loaded: LoadedModel
    settings: Settings
    options: PhotoOptions
    wanted: Wanted
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


class Workshop:
    """A loaded network and its threads; each thread has tools of its own. Close it when no picture is left."""

    def __init__(
        self,
        settings: Settings,
        options: PhotoOptions,
        wanted: Wanted,
        *,
        most_at_once: int,
        reporter: Once,
        listener: PhotoListener,
    ) -> None:
        """`most_at_once`: how many pictures there will be at once; cores and memory set a bound too.

        ModelError, ModelMissing, DeviceError of the network.
        """
        workers = max(min(most_at_once, default_threads(), _MOST_WORKERS), 1)
        model = settings.model
        if workers > 1 and not model.threads:
            # One picture a core scales better than several threads on each picture in turn.
            model = model.model_copy(update={"threads": max(default_threads() // workers, 1)})
        loaded = load_model(model, reporter=reporter)
        self._plan = _Plan(loaded, settings, options, wanted, reporter)
        self._listener = listener
        self._local = threading.local()
        self._lock = threading.Lock()
        self._made: list[_Tools] = []
        self._done = self._total = 0
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="livematte-photo") if workers > 1 else None
        self.description = loaded.describe()
        """What runs, and on what."""
        listener.status(self.description + (f"; {workers} pictures at once" if workers > 1 else ""))

    def run(self, jobs: Sequence[PhotoJob], summary: PhotoSummary, *, is_alone: bool = False) -> None:
        """Make these; what comes of each goes into the summary. `is_alone`: the one picture's error is raised."""
        self._done, self._total = 0, len(jobs)

        def work(job: PhotoJob) -> LivematteError | None:
            return self._work(job, is_alone=is_alone)

        results = [work(job) for job in jobs] if self._pool is None else list(self._pool.map(work, jobs))
        if is_alone and results[0] is not None:
            raise results[0]
        for job, error in zip(jobs, results, strict=True):
            if error is None:
                summary.done.append((job.source, job.target))
            else:
                summary.failed.append((job.source, error))

    def close(self) -> None:
        """End the threads, then give the network back."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        for tools in self._made:
            tools.close()
        self._plan.loaded.close()

    def _work(self, job: PhotoJob, *, is_alone: bool) -> LivematteError | None:
        """One picture; what is wrong with it comes back, and what is wrong with the network is raised.

        Of several pictures, what is wrong with one is said at once.
        """
        try:
            _convert_one(job, self._plan, self._tools())
        except (SourceError, SinkError, NobodyFound) as error:
            if not is_alone:
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
            wants_foreground = not plan.wanted.alpha_only
            made = _Tools(
                StillMatting(
                    plan.loaded, plan.settings.matting, wants_foreground=wants_foreground, reporter=plan.reporter
                )
            )
            self._local.tools = made
            with self._lock:
                self._made.append(made)
        return cast(_Tools, self._local.tools)


def _convert_one(job: PhotoJob, plan: _Plan, tools: _Tools) -> None:
    still = read_still(_read(job.source), job.source, remark=plan.reporter.note)
    matted = tools.matting(to_frame(still))
    alpha = matted.matte.alpha
    peak = int(np.iinfo(alpha.dtype).max)
    if float(alpha.mean()) < EMPTY_MEAN_ALPHA * peak:
        raise _nobody(job.source, plan.loaded, plan.settings.matting.region)
    pixels: npt.NDArray[Any]
    if plan.wanted.alpha_only:
        pixels = alpha
    elif plan.wanted.background is not None:
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
    assert plan.wanted.background is not None
    if tools.compositor is None:
        tools.compositor = Compositor(plan.wanted.background, info_of(matted.frame), reporter=plan.reporter)
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
