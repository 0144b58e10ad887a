"""Cut-outs of photos: what `livematte photo` does, as a function."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from livematte.config import Settings
from livematte.outputs import refuse_existing
from livematte.photos.files import STDIO, PhotoJob, plan_jobs
from livematte.photos.options import PhotoListener, PhotoOptions, PhotoSummary
from livematte.photos.workshop import Wanted, Workshop
from livematte.reporting import Once, Reporter


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
    wanted = Wanted.of(settings, options)
    naming = wanted.naming
    if wanted.alpha_only and naming.format is None:
        naming = replace(naming, format="png" if output is None or _is_folder(output) else None)
    jobs = plan_jobs(inputs, output, naming, reporter=reporter)
    summary = PhotoSummary()
    if not (options.overwrite or settings.output.overwrite):
        jobs = _without_existing(jobs, summary, listener)
    if not jobs:
        return summary
    workshop = Workshop(settings, options, wanted, most_at_once=len(jobs), reporter=Once(reporter), listener=listener)
    try:
        summary.model = workshop.description
        workshop.run(jobs, summary, is_alone=len(jobs) == 1 and not summary.skipped)
    finally:
        workshop.close()
    return summary


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
