"""A folder that fills with pictures: each is cut out when it is whole."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from livematte.config import Settings
from livematte.errors import LivematteError, SourceError
from livematte.photos.files import Naming, PhotoJob, job_below
from livematte.photos.options import PhotoListener, PhotoOptions, PhotoSummary
from livematte.photos.stills import read_still
from livematte.photos.workshop import Wanted, Workshop
from livematte.reporting import Once, Reporter
from livematte.sources.folder_watch import POLL_SECONDS, Arrival, FolderWatch, same_name
from livematte.sources.inputs import PICTURE_SUFFIXES, InputSpec

_MOST_AT_A_TIME = 16
"""Pictures between two looks: so many, and what comes of them is said before the next."""


@dataclass(slots=True)
class PhotoWatch:
    """The loop of `photo --watch`: looks, cuts out what is whole, says what came of it, looks again."""

    folders: Sequence[Path]
    output: Path
    """The folder of the results; subfolders are mirrored."""
    settings: Settings
    options: PhotoOptions
    reporter: Reporter
    listener: PhotoListener = field(default_factory=PhotoListener)
    wait: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    _owners: dict[str, str] = field(default_factory=dict)
    """Output -> the picture that it belongs to."""

    def batches(self) -> Iterator[PhotoSummary]:
        """What came of the pictures, some at a time, until Ctrl-C while it waits; in a picture it passes through.

        ModelError, ModelMissing, DeviceError of the network; UsageError of settings that contradict each other.
        """
        wanted = Wanted.of(self.settings, self.options)
        watch = FolderWatch(
            self.folders, left_out=[self.output], opens=why_not_whole, suffixes=PICTURE_SUFFIXES, clock=self.clock
        )
        workshop = Workshop(
            self.settings,
            self.options,
            wanted,
            most_at_once=_MOST_AT_A_TIME,
            reporter=Once(self.reporter),
            listener=self.listener,
        )
        try:
            while True:
                found = watch.look()
                watch.say_unreadable(self.reporter)
                arrivals = self._arrivals(watch, found)
                if not arrivals:
                    try:
                        self.wait(POLL_SECONDS)
                    except KeyboardInterrupt:  # the ordinary end
                        return
                    continue
                summary = PhotoSummary(model=workshop.description)
                workshop.run(self._jobs(arrivals, wanted.naming, summary), summary)
                yield summary
        finally:
            workshop.close()

    def _arrivals(self, watch: FolderWatch, found: Sequence[InputSpec]) -> list[Arrival]:
        arrivals: list[Arrival] = []
        while len(arrivals) < _MOST_AT_A_TIME and (arrival := watch.next_whole(found)) is not None:
            arrivals.append(arrival)
        return arrivals

    def _jobs(self, arrivals: Sequence[Arrival], naming: Naming, summary: PhotoSummary) -> list[PhotoJob]:
        """What is to be done; the rest goes into the summary."""
        jobs = []
        for arrival in arrivals:
            source = arrival.spec.spec
            job = job_below(Path(source), self._folder_of(arrival.spec), self.output, naming)
            owner = self._owners.setdefault(job.target, source)
            if arrival.error is not None:
                self._fail(source, arrival.error, summary)
            elif owner != source:
                self._fail(source, same_name(source, owner, job.target), summary)
            elif os.path.exists(job.target) and not (arrival.is_again or self.options.overwrite):
                summary.skipped.append((source, job.target))
            else:
                if arrival.is_again:
                    self.reporter.note(f"{source} has changed since it was taken, so {job.target} is made anew.")
                jobs.append(job)
        return jobs

    def _fail(self, source: str, error: LivematteError, summary: PhotoSummary) -> None:
        self.reporter.warn(str(error))
        summary.failed.append((source, error))

    def _folder_of(self, spec: InputSpec) -> Path:
        """The watched folder that the picture lies below."""
        path = Path(spec.spec)
        return next(folder for folder in self.folders if folder / spec.relative_folder / path.name == path)


def why_not_whole(path: Path) -> LivematteError | None:
    """Why a file does not open as a picture, or None where it does."""
    try:
        read_still(path.read_bytes(), str(path), remark=lambda text: None)
    except SourceError as error:
        return error
    except OSError as error:
        return SourceError(f"{path} cannot be read: {error.strerror or error}. Check its permissions.")
    return None
