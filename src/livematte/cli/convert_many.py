"""Several inputs into one folder: names, existing files, failures that do not stop the rest."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from livematte.cli.console import Console
from livematte.cli.convert_said import naming_what_is_kept, say_summary
from livematte.cli.progress_bar import observing
from livematte.cli.report import write_report
from livematte.cli.unexpected import unexpected
from livematte.config import Settings
from livematte.errors import Interrupted, LivematteError, SinkError, SourceError, UsageError

if TYPE_CHECKING:
    from livematte.models.load import LoadedModel
    from livematte.sources import InputSpec


@dataclass(slots=True)
class Batch:
    """Several inputs, and what became of them so far."""

    specs: Sequence[InputSpec]
    missing: Sequence[tuple[str, SourceError]] = ()
    """Inputs that were named and cannot be found."""
    done: list[dict[str, Any]] = field(default_factory=list)
    failed: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    said: set[str] = field(default_factory=set)

    def is_new(self, text: str) -> bool:
        """True the first time: what holds for every clip of a batch is said once."""
        if text in self.said:
            return False
        self.said.add(text)
        return True

    def fail(self, name: str, error: LivematteError, console: Console) -> None:
        """Name a failure at once and go on."""
        self.failed.append({"input": name, "kind": type(error).__name__, "message": str(error)})
        console.event("failed", self.failed[-1])
        console.warn(f"{name} failed: {error}")

    def forget(self, name: str) -> None:
        """An input that failed has come anew: what became of it before counts no more."""
        self.failed = [one for one in self.failed if one["input"] != name]

    @property
    def count(self) -> int:
        """Inputs that were converted or failed so far."""
        return len(self.done) + len(self.failed)


def convert_many(
    batch: Batch,
    targets: Sequence[str],
    settings: Settings,
    console: Console,
    *,
    report: str | None = None,
    watched: Sequence[Path] = (),
) -> int:
    """Convert each input, go on after a failure, and say at the end what failed. 1 if any did.

    `watched`: folders in which clips are waited for, until Ctrl-C ends it.
    """
    if len(targets) > 1 or (targets and not _may_be_folder(targets[0])):
        number = len(batch.specs) + len(batch.missing)
        raise UsageError(
            f"there are {number} inputs, so -o must be one folder, such as -o {_folder_example(targets[0])}; got "
            f"{', '.join(targets)}. The format is chosen with --format."
        )
    planned = [(one, target_of(one, targets, settings)) for one in batch.specs]
    _refuse_collisions(planned)
    begin = time.monotonic()
    for name, error in batch.missing:
        batch.fail(name, error, console)
    from livematte.models.load import load_model

    loaded = load_model(settings.model, reporter=console)
    try:
        for number, (one, target) in enumerate(planned, 1):
            console.say(f"[{number}/{len(planned)}] {one.shown}")
            convert_next(one, target, settings, console, loaded=loaded, batch=batch)
        if watched:
            _watch(watched, targets, settings, console, batch=batch, loaded=loaded)
    finally:
        loaded.close()
        summary = _summary(batch, time.monotonic() - begin)
        _say_end(batch, console)
        console.event("summary", summary)
    write_report(report, summary, settings, console)
    return 1 if batch.failed else 0


def _watch(
    folders: Sequence[Path],
    targets: Sequence[str],
    settings: Settings,
    console: Console,
    *,
    batch: Batch,
    loaded: LoadedModel,
) -> None:
    from livematte.cli.convert_many_watch import Watch

    try:
        Watch(folders, targets, settings, console, batch, loaded).run()
    except Interrupted:
        raise
    except KeyboardInterrupt:  # while it waits: the ordinary end
        return


def is_done_already(target: str, settings: Settings) -> bool:
    """True where an output, or one file of it, exists."""
    from livematte.outputs import is_occupied
    from livematte.sinks.formats import files_of

    return any(is_occupied(file) for file in files_of(target, settings.output))


def convert_next(
    one: InputSpec, target: str | None, settings: Settings, console: Console, *, loaded: LoadedModel, batch: Batch
) -> None:
    """Convert one input of several. What fails is noted in the batch; `Interrupted` alone is raised."""
    from livematte.sinks.formats import files_of

    files = [] if target is None else files_of(target, settings.output)
    if target is not None and not settings.output.overwrite and is_done_already(target, settings):
        batch.skipped.append(target)
        console.note(f"{target} exists already, so {one.shown} is skipped. --overwrite replaces it.")
        return
    from livematte.conversion import Conversion

    try:
        if target is not None:
            _make_folder(Path(target).parent)
        conversion = Conversion(one.spec, [] if target is None else [target], settings, console, loaded)
        with console.status_first() as say_status:
            conversion.prepare()
            if batch.is_new(conversion.status):
                say_status(conversion.status)
        with naming_what_is_kept(files), observing(console, one.shown) as observer:
            summary = conversion.run(observer)
    except Interrupted:
        raise
    except LivematteError as error:
        batch.fail(one.shown, error, console)
        return
    except Exception as error:  # a fault of ours with one clip must not cost the others
        batch.fail(one.shown, LivematteError(unexpected(error)), console)
        return
    batch.done.append(summary.as_dict())
    say_summary(console, summary, advise=batch.is_new)
    console.event("file", summary.as_dict())


def target_of(one: InputSpec, targets: Sequence[str], settings: Settings) -> str | None:
    """Where an input's output goes: into the folder given, mirrored, else beside the input. None: nowhere."""
    from livematte.outputs import default_target

    if settings.output.format == "null":
        return None
    name = default_target(one.spec, settings.output)
    if not targets:
        return name
    return str(Path(targets[0]) / one.relative_folder / Path(name).name)


def without_results(
    specs: Sequence[InputSpec], inputs: Sequence[str], targets: Sequence[str], settings: Settings, console: Console
) -> list[InputSpec]:
    """Leaves out results of an earlier run that lie among the clips of a folder or pattern, and says so.

    That is what lies in the folder of `-o`, and `clip_alpha.*` beside a `clip.*` that is taken too.
    """
    from livematte.outputs import default_target
    from livematte.sinks.formats import files_of

    made = {Path(one.spec).with_name(f"{Path(one.spec).stem}_alpha") for one in specs if one.kind == "video"}
    if settings.output.format != "null" and not targets:
        names = [default_target(one.spec, settings.output) for one in specs if one.kind == "video"]
        made |= {Path(file).with_suffix("") for name in names for file in files_of(name, settings.output)}
    folder = Path(targets[0]).resolve() if len(targets) == 1 and targets[0] != "-" else None
    kept = []
    for one in specs:
        path = Path(one.spec)
        is_found = one.kind == "video" and one.spec not in inputs
        is_below = folder is not None and os.path.isdir(folder) and _is_apart_and_below(path, folder, inputs)
        if not (is_found and (is_below or path.with_suffix("") in made)):
            kept.append(one)
    if len(kept) < len(specs):
        number = len(specs) - len(kept)
        what = "1 clip that is a result" if number == 1 else f"{number} clips that are results"
        console.note(f"Left out {what} of an earlier run. To convert such a clip, name it.")
    return kept


def _is_apart_and_below(path: Path, folder: Path, inputs: Sequence[str]) -> bool:
    """True for what lies in the outputs' folder, unless that folder is an input itself or holds one."""
    if any(Path(one).is_dir() and Path(one).resolve().is_relative_to(folder) for one in inputs):
        return False
    return path.resolve().is_relative_to(folder)


def _refuse_collisions(planned: Sequence[tuple[InputSpec, str | None]]) -> None:
    seen: dict[str, str] = {}
    for one, target in planned:
        if target is None:
            continue
        if target in seen:
            raise UsageError(
                f"{seen[target]} and {one.shown} would both be written to {target}. Give them in two commands with two "
                "folders, or give their common folder as the input, so that its subfolders are mirrored."
            )
        seen[target] = one.shown


def _may_be_folder(target: str) -> bool:
    return target != "-" and (target.endswith(("/", "\\")) or Path(target).is_dir() or not Path(target).suffix)


def _folder_example(target: str) -> str:
    return f"{Path(target).stem}/" if target != "-" else "out/"


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SinkError(f"the folder {folder} cannot be made: {error.strerror or error}.") from error


def _summary(batch: Batch, seconds: float) -> dict[str, Any]:
    frames = sum(int(one["frames"]) for one in batch.done)
    stages: dict[str, float] = {}
    for one in batch.done:
        for name, spent in one["stages"].items():
            stages[name] = round(stages.get(name, 0.0) + spent, 3)
    counts = ("dropped", "repeated", "damaged", "empty_frames")
    totals = {key: sum(int(one[key]) for one in batch.done) for key in counts}
    return {
        "frames": frames,
        **totals,
        "seconds": round(seconds, 3),
        "fps": round(frames / seconds, 2) if seconds > 0 else 0.0,
        "stages": stages,
        "output": [output for one in batch.done for output in one["output"]],
        "files": batch.done,
        "failed": batch.failed,
        "skipped": batch.skipped,
    }


def _say_end(batch: Batch, console: Console) -> None:
    parts = [f"{len(batch.done)} converted"]
    if batch.skipped:
        parts.append(f"{len(batch.skipped)} skipped because the output exists")
    if batch.failed:
        parts.append(f"{len(batch.failed)} failed: {', '.join(one['input'] for one in batch.failed)}")
    console.say(f"{', '.join(parts)}.")
