"""What the page does with what was dropped: looks at six frames, converts clips, cuts out photos; one after another.

One thread works the jobs off in order: a conversion uses the whole machine, two at once would take as long and need
twice the memory.
"""

from __future__ import annotations

import os
import queue
import secrets
import shutil
import threading
import zipfile
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal

from livematte.errors import Interrupted, LivematteError
from livematte.page.answers import Refused
from livematte.page.orders import Order, What
from livematte.page.store import Store, Stored
from livematte.reporting import Reporter
from livematte.stats import Progress

State = Literal["waiting", "running", "done", "failed", "stopped"]

MOST_WAITING = 20


@dataclass(slots=True)
class Job:
    """One piece of work and how far it is."""

    id: str
    what: What
    stored: Stored
    order: Order
    state: State = "waiting"
    progress: dict[str, Any] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    error: str = ""
    summary: dict[str, Any] = field(default_factory=dict)
    result: Path | None = None
    """What can be saved."""
    picture: Path | None = None
    """What can be shown: the contact sheet, the cut-out photo."""
    stop: threading.Event = field(default_factory=threading.Event)
    is_unwanted: bool = False
    """Its file was removed while it ran: the thread deletes what there is."""

    def as_dict(self) -> dict[str, Any]:
        """For the page."""
        return {
            "id": self.id,
            "what": self.what,
            "upload": self.stored.id,
            "state": self.state,
            "progress": self.progress,
            "messages": list(self.messages),
            "error": self.error,
            "summary": self.summary,
            "name": self.result.name if self.result is not None else "",
            "bytes": self.result.stat().st_size if self.result is not None and self.result.exists() else 0,
            "has_picture": self.picture is not None,
        }


class Jobs:
    """The queue and its thread."""

    def __init__(self, store: Store, *, reporter: Reporter) -> None:
        self._store = store
        self._reporter = reporter
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}
        self._queue: queue.Queue[Job | None] = queue.Queue()
        self._thread = threading.Thread(target=self._run, name="livematte-page-jobs", daemon=True)

    def start(self) -> None:
        """Begin. Called once."""
        self._thread.start()

    def close(self) -> None:
        """Stop what runs, forget what waits, and wait for the thread."""
        with self._lock:
            for job in self._jobs.values():
                job.stop.set()
        self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def add(self, what: What, stored: Stored, order: Order) -> Job:
        """Queue a job. Refused (429) where too many wait."""
        job = Job(secrets.token_urlsafe(12), what, stored, order)
        with self._lock:
            if sum(one.state in ("waiting", "running") for one in self._jobs.values()) >= MOST_WAITING:
                raise Refused(
                    HTTPStatus.TOO_MANY_REQUESTS, f"{MOST_WAITING} jobs wait already; let some finish, or stop some."
                )
            self._jobs[job.id] = job
        self._queue.put(job)
        return job

    def find(self, identity: str) -> Job:
        """The job; Refused (404) where there is none."""
        with self._lock:
            found = self._jobs.get(identity)
        if found is None:
            raise Refused(HTTPStatus.NOT_FOUND, "that job is not known (any more). Start it again.")
        return found

    def forget(self, upload: str) -> None:
        """Stop and drop whatever is made of a file; then the file itself goes."""
        with self._lock:
            concerned = [job for job in self._jobs.values() if job.stored.id == upload]
            for job in concerned:
                job.stop.set()
                job.is_unwanted = job.state == "running"
                if not job.is_unwanted:
                    del self._jobs[job.id]
        if not any(job.is_unwanted for job in concerned):
            self._store.remove(upload)  # else by the thread, when it is done with it

    def stop_all_of(self, client: str) -> None:
        """A page has gone."""
        for stored in self._store.of_client(client):
            self.forget(stored.id)

    # -- the thread ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while (job := self._queue.get()) is not None:
            with self._lock:
                known = job.id in self._jobs
                if known and not job.stop.is_set():
                    job.state = "running"
            if not known:
                continue
            if job.state == "running":
                self._do(job)
            else:
                job.state = "stopped"
            with self._lock:
                if job.is_unwanted:
                    self._jobs.pop(job.id, None)
            if job.is_unwanted:
                self._store.remove(job.stored.id)

    def _do(self, job: Job) -> None:
        listener = _Listener(job)
        folder = job.stored.folder / job.id
        try:
            folder.mkdir(mode=0o700)
            {"try": _try, "clip": _convert, "photo": _cut_out}[job.what](job, folder, listener)
            job.state = "done"
        except Interrupted:
            job.state = "stopped"
        except LivematteError as error:
            job.error, job.state = plain_names(str(error), job.stored), "failed"
        except OSError as error:
            job.error = f"{job.stored.name} could not be worked on: {error.strerror or error}."
            job.state = "failed"
        except MemoryError:
            job.error = "memory ran out. Close other programs, or make the clip smaller."
            job.state = "failed"
        except Exception as error:
            job.error = f"{job.stored.name} ended with an error of livematte's own ({type(error).__name__}: {error})."
            job.state = "failed"
            self._reporter.warn(job.error)
        if job.state != "done":
            shutil.rmtree(folder, ignore_errors=True)


class _Listener:
    """A reporter: messages go to the page, and name files as the person knows them."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def note(self, message: str) -> None:
        self._job.messages.append(plain_names(message, self._job.stored))

    def warn(self, message: str) -> None:
        self.note(message)


def plain_names(message: str, stored: Stored) -> str:
    """A message without the path of our scratch folder, which means nothing to a person."""
    return message.replace(f"{stored.folder}{os.sep}", "")


def _target(job: Job, folder: Path) -> str:
    """`<stem>_alpha.mov` and its like, in the job's folder."""
    from livematte.outputs import default_target
    from livematte.sinks.formats import SEQUENCES

    name = Path(default_target(job.stored.name, job.order.settings.output)).name
    is_folder = job.order.settings.output.format in SEQUENCES
    return f"{folder / name}{os.sep if is_folder else ''}"


def _try(job: Job, folder: Path, listener: Reporter) -> None:
    from livematte.trial import try_conversion

    trial = try_conversion(
        str(job.stored.path), [_target(job, folder)], settings=job.order.settings, reporter=listener,
        sheet=folder / "sheet.png",
    )  # fmt: skip
    job.picture = trial.sheet
    job.summary = {
        "expected_bytes": trial.expected_bytes,
        "expected_seconds": trial.expected_seconds,
        "fps": trial.fps,
        "status": trial.status,
    }


def _convert(job: Job, folder: Path, listener: Reporter) -> None:
    from livematte.conversion import Conversion

    target = _target(job, folder)
    conversion = Conversion(str(job.stored.path), [target], job.order.settings, listener)
    conversion.prepare()
    job.summary = {"status": conversion.status}

    def observe(progress: Progress) -> None:
        job.progress = {
            "frames": progress.frames,
            "expected_frames": progress.expected_frames,
            "fps": progress.fps,
            "seconds_left": progress.seconds_left,
            "bytes": progress.bytes_written,
        }

    summary = conversion.run(observe, job.stop)
    if job.stop.is_set():
        raise Interrupted("stopped.")
    output = summary.outputs[0]
    job.summary |= {
        "frames": summary.frames, "seconds": summary.seconds, "fps": summary.fps,
        "shows": output.advice.shows, "does_not": output.advice.does_not, "click": output.advice.click,
    }  # fmt: skip
    if len(summary.outputs) > 1:
        job.result = _joined([Path(one.target) for one in summary.outputs], Path(target).with_suffix(".zip"))
    else:
        job.result = _packed(Path(target)) if Path(target).is_dir() else Path(target)


def _joined(files: list[Path], archive: Path) -> Path:
    """The two files of a pair as one that a browser can save."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as packed:
        for file in files:
            packed.write(file, file.name)
            file.unlink()
    return archive


def _packed(folder: Path) -> Path:
    """A folder of pictures as one file that a browser can save; PNG does not get smaller, so it is only stored."""
    archive = folder.with_name(f"{folder.name}.zip")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as packed:
        for picture in sorted(folder.iterdir()):
            packed.write(picture, f"{folder.name}/{picture.name}")
    shutil.rmtree(folder)
    return archive


def _cut_out(job: Job, folder: Path, listener: Reporter) -> None:
    job.result = job.picture = cut_out(job.stored, folder, job.order, listener)


def cut_out(stored: Stored, folder: Path, order: Order, reporter: Reporter) -> Path:
    """One photo through the photo path, into `folder`. Errors of `convert_photos`, with the person's name for it."""
    from livematte.photos.conversion import convert_photos
    from livematte.photos.formats import format_named
    from livematte.photos.options import PhotoOptions

    kind = format_named(order.photo_format)
    word = "alpha" if order.settings.output.background is None else "new"
    target = folder / f"{stored.path.stem}_{word}{kind.suffixes[0]}"
    convert_photos(
        [str(stored.path)], str(target), settings=order.settings,
        options=PhotoOptions(format=kind.name, crop=order.crop, overwrite=True), reporter=reporter,
    )  # fmt: skip
    return target
