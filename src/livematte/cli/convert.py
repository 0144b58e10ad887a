"""`livematte convert`: clips in, transparent clips out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from livematte.cli.conflicts import warn_of_conflicts
from livematte.cli.console import Console
from livematte.cli.convert_many import Batch, convert_many, without_results
from livematte.cli.convert_said import naming_what_is_kept, readable_seconds, say_summary
from livematte.cli.options import (
    GROUP_RUN,
    InputArgument,
    MattingArgument,
    MattingOptions,
    ModelArgument,
    OutputArgument,
    OutputOptions,
    OutputsArgument,
    RunArgument,
    RunOptions,
    settings_from,
)
from livematte.cli.progress_bar import observing
from livematte.cli.report import write_report
from livematte.cli.unknown import refuse_unknown_options
from livematte.config import InputSettings, ModelSettings, Settings
from livematte.errors import SourceError, UsageError

if TYPE_CHECKING:
    from livematte.sources import InputSpec


def convert(
    inputs: Annotated[list[str], Parameter(allow_leading_hyphen=True, metavar="IN", negative=())],
    /,
    *,
    outputs: OutputsArgument = None,
    output: OutputArgument = OutputOptions(),  # noqa: B008  frozen models, never changed
    read: InputArgument = InputSettings(),  # noqa: B008
    model: ModelArgument = ModelSettings(),  # noqa: B008
    matting: MattingArgument = MattingOptions(),  # noqa: B008
    try_: Annotated[bool, Parameter(name="--try", group=GROUP_RUN)] = False,
    watch: Annotated[bool, Parameter(name="--watch", group=GROUP_RUN)] = False,
    run: RunArgument = RunOptions(),  # noqa: B008
) -> int:
    """Make clips transparent, or put something else behind the people in them.

    `livematte convert clip.mp4` writes `clip_alpha.mov` (ProRes 4444) for editors; `-o clip.webm` writes a WebM for
    the web. With `--background` it writes an opaque `.mp4`.

    Parameters
    ----------
    inputs
        Video files, folders, picture patterns (`shot_%04d.png`), URLs, or `-` for stdin.
    outputs
        Output file; its suffix chooses the format. Repeat it for several outputs of one input. For several inputs: a
        folder, as `DIR/`. `-` writes to stdout. Without it: `<name>_alpha.mov` beside the input.
    try_
        Instead of converting, write `<name>_try.png`: six frames over checker and magenta, with the expected size
        and time. An earlier look is replaced.
    watch
        Convert the clips that are in the folder, then wait for more and convert each when it is whole, until Ctrl-C.
        Needs `-o DIR/`; subfolders are mirrored, and clips whose output exists are skipped.
    """
    refuse_unknown_options(inputs, convert)
    targets = outputs or []
    settings = settings_from(run, {"input": read, "model": model, "matting": matting, "output": output})
    console = Console.for_run(quiet=run.quiet, as_json=run.json, stdout_taken="-" in targets)
    warn_of_conflicts(console)
    if watch:
        return _watch(inputs, targets, settings, console, run, trial=try_)
    specs, missing = _expand(inputs)
    specs = without_results(specs, inputs, targets, settings, console)
    if len(specs) == 1 and not missing and not _goes_into_folder(inputs, targets, settings):
        return _convert_one(specs[0].spec, targets, settings, console, run, trial=try_)
    if try_:
        raise UsageError(f"--try looks at one input, and there are {len(specs) + len(missing)}. Name one of them.")
    return convert_many(Batch(specs, missing), targets, settings, console, report=run.report)


def _watch(
    inputs: list[str], targets: list[str], settings: Settings, console: Console, run: RunOptions, *, trial: bool
) -> int:
    from livematte.cli.watched_folders import folders_to_watch

    if trial:
        raise UsageError("--try looks at one clip, and --watch waits for many. Leave one of them out.")
    results = targets
    if settings.output.format == "null" and not targets:
        results = [f"{Path(inputs[0]).name}-alpha"]  # nothing is written
    folders = folders_to_watch(inputs, results, command="convert", things="clips")
    return convert_many(Batch(()), targets, settings, console, report=run.report, watched=folders)


def _expand(inputs: list[str]) -> tuple[list[InputSpec], list[tuple[str, SourceError]]]:
    """Every input, and of several those that cannot be found. One alone that cannot be found raises."""
    from livematte.sources import expand_inputs

    if len(inputs) == 1:
        return expand_inputs(inputs), []
    specs: list[InputSpec] = []
    missing: list[tuple[str, SourceError]] = []
    for word in inputs:
        try:
            specs += expand_inputs([word])
        except SourceError as error:
            missing.append((word, error))
    return specs, missing


def _convert_one(
    spec: str, targets: list[str], settings: Settings, console: Console, run: RunOptions, *, trial: bool
) -> int:
    if trial:
        return _try(spec, targets, settings, console)
    settings = allow_replacing(spec, targets, settings, console)
    from livematte.conversion import Conversion
    from livematte.outputs import default_target
    from livematte.sinks.formats import files_of
    from livematte.sources.opening import shown_spec

    conversion = Conversion(spec, targets, settings, console)
    with console.status_first() as say_status:
        conversion.prepare()
        say_status(conversion.status)
    console.event("start", {"input": shown_spec(spec), "status": conversion.status})
    names = targets or [default_target(spec, settings.output)]
    files = [file for name in names for file in files_of(name, settings.output)]
    with naming_what_is_kept(files), observing(console, shown_spec(spec)) as observer:
        summary = conversion.run(observer)
    say_summary(console, summary)
    console.event("summary", summary.as_dict())
    write_report(run.report, summary.as_dict(), settings, console)
    return 0


def _try(spec: str, targets: list[str], settings: Settings, console: Console) -> int:
    from livematte.progress import readable_bytes
    from livematte.trial import try_conversion

    trial = try_conversion(spec, targets, settings=settings, reporter=console)
    console.say(trial.status)
    size = "unknown" if trial.expected_bytes is None else f"about {readable_bytes(trial.expected_bytes)}"
    length = "unknown" if trial.expected_seconds is None else f"about {readable_seconds(trial.expected_seconds)}"
    console.say(f"{trial.sheet}: six frames over checker and magenta. Expected size {size}, expected time {length}.")
    console.event(
        "summary",
        {
            "output": str(trial.sheet),
            "expected_bytes": trial.expected_bytes,
            "expected_seconds": trial.expected_seconds,
            "fps": round(trial.fps, 2),
        },
    )
    return 0


def allow_replacing(spec: str, targets: list[str], settings: Settings, console: Console) -> Settings:
    """The settings with `overwrite` where the person agrees in the terminal; unchanged where nobody can be asked."""
    if settings.output.overwrite or not console.is_terminal:
        return settings
    from livematte.outputs import default_target
    from livematte.sinks.formats import files_of

    names = targets or [default_target(spec, settings.output)]
    files = [file for name in names if name != "-" for file in files_of(name, settings.output)]
    existing = [name for name in files if Path(name).is_file()]
    same = [name for name in existing if Path(spec).exists() and Path(spec).samefile(name)]
    if not existing or same or settings.output.format == "null":
        return settings
    verb = "exists" if len(existing) == 1 else "exist"
    if not console.ask(f"{', '.join(existing)} {verb} already. Replace?"):
        return settings
    return settings.model_copy(update={"output": settings.output.model_copy(update={"overwrite": True})})


def _goes_into_folder(inputs: list[str], targets: list[str], settings: Settings) -> bool:
    """`-o DIR/` is a folder of PNG or EXR pictures for one clip, unless another --format, or a folder, is given."""
    from livematte.sinks.formats import SEQUENCES

    if len(targets) != 1 or not targets[0].endswith(("/", "\\")):
        return False
    return settings.output.format not in (None, *SEQUENCES) or (len(inputs) == 1 and _holds_clips(Path(inputs[0])))


def _holds_clips(path: Path) -> bool:
    from livematte.sources import expand_inputs

    return path.is_dir() and expand_inputs([str(path)])[0].spec != str(path)
