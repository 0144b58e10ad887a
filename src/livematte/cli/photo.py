"""`livematte photo`: pictures in, cut-outs out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from livematte.cli.conflicts import warn_of_conflicts
from livematte.cli.console import Console
from livematte.cli.options import (
    GROUP_OUTPUT,
    GROUP_RUN,
    MattingArgument,
    MattingOptions,
    ModelArgument,
    RunArgument,
    RunOptions,
    settings_from,
)
from livematte.cli.progress_bar import counting
from livematte.cli.report import write_report
from livematte.cli.unknown import refuse_unknown_options
from livematte.cli.watched_folders import folders_to_watch
from livematte.config import ModelSettings, Settings
from livematte.photos.conversion import convert_photos
from livematte.photos.options import PhotoListener, PhotoOptions, PhotoSummary

PhotoArgument = Annotated[PhotoOptions, Parameter(name="*", group=GROUP_OUTPUT)]


def photo(
    inputs: Annotated[list[str], Parameter(allow_leading_hyphen=True, metavar="IN", negative=())],
    /,
    *,
    output: Annotated[
        str | None,
        Parameter(name=["--output", "-o"], allow_leading_hyphen=True, group=GROUP_OUTPUT, metavar="OUT"),
    ] = None,
    options: PhotoArgument = PhotoOptions(),  # noqa: B008
    watch: Annotated[bool, Parameter(name="--watch", group=GROUP_RUN)] = False,
    model: ModelArgument = ModelSettings(),  # noqa: B008  frozen models, never changed
    matting: MattingArgument = MattingOptions(),  # noqa: B008
    run: RunArgument = RunOptions(),  # noqa: B008
) -> int:
    """Cut people out of pictures.

    `livematte photo picture.jpg` writes `picture_alpha.png`. For things and animals: `--model isnet`.

    Parameters
    ----------
    inputs
        Pictures, folders, globs ("*.jpg"), or `-` for stdin.
    output
        File, or folder for several pictures (subfolders are mirrored), or `-` for stdout. Without it:
        `<name>_alpha.png` beside each picture.
    watch
        Cut out the pictures that are in the folder, then wait for more and take each when it is whole, until Ctrl-C.
        Needs `-o DIR/`; subfolders are mirrored, and pictures whose output exists are skipped.
    """
    refuse_unknown_options(inputs, photo)
    settings = settings_from(run, {"model": model, "matting": matting})
    console = Console.for_run(quiet=run.quiet, as_json=run.json, stdout_taken=goes_to_stdout(inputs, output))
    warn_of_conflicts(console)
    if {"smooth", "temporal"} & matting.model_fields_set:
        console.note("A photo has no frames before it, so --smooth and --temporal change nothing here.")
    begin = time.monotonic()
    take = _watch if watch else _once
    summary = take(inputs, output, settings, options, console)
    values = _values(summary, time.monotonic() - begin)
    if watch or len(summary.done) + len(summary.skipped) + len(summary.failed) > 1:
        _say_sum(summary, values, console)
    console.event("summary", values)
    write_report(run.report, values, settings, console)
    return summary.exit_code


def _once(
    inputs: list[str], output: str | None, settings: Settings, options: PhotoOptions, console: Console
) -> PhotoSummary:
    """Everything that was named."""
    with counting(console, "pictures") as count, console.status_first() as say_status:
        listener = PhotoListener(say_status, count, lambda target: console.ask(f"{target} exists already. Replace?"))
        summary = convert_photos(
            inputs, output, settings=settings, options=options, reporter=console, listener=listener
        )
    _say(summary, console)
    return summary


def _watch(
    inputs: list[str], output: str | None, settings: Settings, options: PhotoOptions, console: Console
) -> PhotoSummary:
    """What is in the folders, then what arrives, until Ctrl-C while it waits; Ctrl-C in a picture passes through."""
    from livematte.photos.watch import PhotoWatch

    folders = folders_to_watch(inputs, [output] if output else [], command="photo", things="pictures")
    names = ", ".join(str(one) for one in folders)
    console.say(f"Waiting for pictures in {names}. Ctrl-C ends it.")
    console.event("watching", {"folders": [str(one) for one in folders]})
    listener = PhotoListener(console.say)
    watch = PhotoWatch(folders, Path(output or ""), settings, options, console, listener)
    whole = PhotoSummary()
    for summary in watch.batches():
        _say(summary, console)
        for source, target in summary.done:
            console.event("file", {"input": source, "path": target})
        whole.add(summary)
    return whole


def goes_to_stdout(inputs: Sequence[str], output: str | None) -> bool:
    """True where the picture itself goes to stdout: `-o -`, or stdin without a name for the output."""
    return output == "-" or (output is None and "-" in inputs)


def _say(summary: PhotoSummary, console: Console) -> None:
    """A line for each picture."""
    from livematte.progress import readable_bytes

    for _, target in summary.done:
        if target != "-":
            console.say(f"{target}: {readable_bytes(Path(target).stat().st_size)}")
    for source, target in summary.skipped:
        console.say(f"{target} exists already, so {source} is skipped. --overwrite replaces it.")


def _say_sum(summary: PhotoSummary, values: dict[str, Any], console: Console) -> None:
    parts = [f"{len(summary.done)} cut out in {values['seconds']:.1f} s"]
    parts += [f"{len(summary.skipped)} skipped because the output exists"] * bool(summary.skipped)
    failed = ", ".join(source for source, _ in summary.failed)
    parts += [f"{len(summary.failed)} failed: {failed}"] * bool(summary.failed)
    console.say(f"{', '.join(parts)}.")


def _values(summary: PhotoSummary, seconds: float) -> dict[str, Any]:
    return {
        "frames": len(summary.done),
        "seconds": round(seconds, 3),
        "fps": round(len(summary.done) / seconds, 2) if seconds > 0 else 0.0,
        "model": summary.model,
        "output": [{"input": source, "path": target} for source, target in summary.done],
        "skipped": [target for _, target in summary.skipped],
        "failed": [
            {"input": source, "kind": type(error).__name__, "message": str(error)} for source, error in summary.failed
        ],
    }
