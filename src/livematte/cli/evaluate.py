"""`livematte evaluate`: how good a matte is, in the numbers that papers use."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from livematte import __version__
from livematte.cli.console import Console
from livematte.cli.options import GROUP_OUTPUT, GROUP_RUN
from livematte.errors import SinkError
from livematte.evaluation import Evaluation, EvaluationOptions

_ROWS = (
    ("sad", "SAD", "/ 1000"),
    ("mad", "MAD", "x 1000"),
    ("mse", "MSE", "x 1000"),
    ("grad", "Grad", "/ 1000"),
    ("conn", "Conn", "/ 1000"),
    ("dtssd", "dtSSD", "x 100"),
    ("flicker", "flicker", "x 100"),
)
_MOST_CLIPS_SHOWN = 40


@dataclass(frozen=True)
class EvaluateRun:
    """How it runs and what it says."""

    quiet: bool = False
    """Say only what went wrong."""
    json: bool = False
    """JSON lines on stdout: progress, messages, and last the summary."""
    report: str | None = None
    """Write the summary, each clip's numbers and all messages into this file, as JSON."""
    debug: bool = False
    """Show the traceback of an error (also with LIVEMATTE_DEBUG=1)."""


RunArgument = Annotated[EvaluateRun, Parameter(name="*", group=GROUP_RUN)]


def evaluate(
    predicted: Annotated[str, Parameter(metavar="PREDICTED")],
    true: Annotated[str | None, Parameter(metavar="TRUE")] = None,
    /,
    *,
    source: str | None = None,
    flicker: Annotated[bool, Parameter(negative=())] = False,
    sheet: Annotated[str | None, Parameter(group=GROUP_OUTPUT)] = None,
    frames: Annotated[int, Parameter(group=GROUP_OUTPUT)] = 6,
    run: RunArgument = EvaluateRun(),
) -> int:
    """Measure a matte against the true one: SAD, MAD, MSE, Grad, Conn and dtSSD, 0 being perfect.

    `livematte evaluate mine.mov true.mkv` compares two clips, matched by time; two pictures or two folders work too.
    Each number is given for the whole picture and for the unknown band, 15 px (at 1080 lines) to both sides of the
    edge. With PREDICTED alone it measures flicker along the picture's motion.

    Parameters
    ----------
    predicted
        The matte to judge: a file with alpha, or a grey one; a clip, a picture, a folder of either.
    true
        The true matte, of the same kind and size.
    source
        The clip, picture or folder that was matted: for the sheet, and to find motion in.
    flicker
        Measure flicker along the picture's motion too; it needs no TRUE. 0 also for a matte that is constantly wrong.
    sheet
        Write the worst frames into this PNG: source, true, predicted, error.
    frames
        How many of the worst frames the sheet shows.
    """
    from livematte.evaluation import evaluate as measure

    console = Console.for_run(quiet=run.quiet, as_json=run.json, stdout_taken=False)
    _check(sheet, frames)
    options = EvaluationOptions(source=source, flicker=flicker, worst_frames=frames if sheet else 0)
    with _progress(console) as progress:
        evaluation = measure(predicted, true, options=options, reporter=console, progress=progress)
    if sheet:
        _write_sheet(sheet, evaluation, console)
    summary = evaluation.as_dict() | ({"sheet": sheet} if sheet else {})
    _say(evaluation, summary, console)
    _write_report(run.report, summary, console)
    console.event("summary", summary)
    return 0


def _check(sheet: str | None, frames: int) -> None:
    from livematte.errors import UsageError

    if not 1 <= frames <= 50:
        raise UsageError(f"--frames is {frames}; a sheet shows 1 to 50 frames.")
    if sheet is not None and Path(sheet).suffix.lower() != ".png":
        raise UsageError(f"--sheet is '{sheet}'; the sheet is a PNG: give a name that ends in .png.")


@contextmanager
def _progress(console: Console) -> Iterator[Callable[[str, int], None]]:
    """A line that counts frames, where a person watches; JSON lines now and then, where they were asked for."""
    if not console.is_terminal:
        yield _events(console)
        return
    with console.rich.status("reading") as status:
        yield lambda name, frames: status.update(f"{name}: frame {frames}")


def _events(console: Console) -> Callable[[str, int], None]:
    def event(name: str, frames: int) -> None:
        if frames % 50 == 0:
            console.event("progress", {"input": name, "frames": frames})

    return event


def _say(evaluation: Evaluation, summary: dict[str, Any], console: Console) -> None:
    if console.as_json or console.quiet:
        return
    if len(evaluation.clips) > 1:
        _say_clips(evaluation, console)
    band = summary.get("band", {})
    headings = ["", "scale", "whole picture", *(["unknown band"] if band else [])]
    rows = [
        [name, scale, _number(summary[key]), *([_number(band.get(key))] if band else [])]
        for key, name, scale in _ROWS
        if key in summary
    ]
    _table(headings, rows, console)
    kind = "clips or pictures" if len(evaluation.clips) > 1 else "clip or picture"
    console.say(f"{evaluation.frames} frames of {len(evaluation.clips)} {kind}. Smaller is better.")


def _say_clips(evaluation: Evaluation, console: Console) -> None:
    keys = [(key, name) for key, name, _ in _ROWS if any(name_of(key) in clip.errors for clip in evaluation.clips)]
    rows = []
    for clip in evaluation.clips[:_MOST_CLIPS_SHOWN]:
        values = clip.as_dict()
        rows.append([clip.name, str(clip.frames), *(_number(values.get(key)) for key, _ in keys)])
    _table(["", "frames", *(name for _, name in keys)], rows, console)
    if len(evaluation.clips) > _MOST_CLIPS_SHOWN:
        console.say(f"... and {len(evaluation.clips) - _MOST_CLIPS_SHOWN} more; --report FILE lists all.")
    console.say("")


def name_of(key: str) -> str:
    """A JSON key's metric: `dtssd` -> `dtSSD`."""
    return next(name for other, name, _ in _ROWS if other == key)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _table(headings: list[str], rows: list[list[str]], console: Console) -> None:
    """A rich table in a terminal, the same columns as plain text elsewhere."""
    if console.is_terminal:
        from rich.table import Table

        table = Table(box=None, pad_edge=False)
        for number, heading in enumerate(headings):
            table.add_column(heading, justify="left" if number == 0 else "right")
        for row in rows:
            table.add_row(*row)
        console.rich.print(table)
        return
    widths = [max(len(line[at]) for line in [headings, *rows]) for at in range(len(headings))]
    for line in [headings, *rows]:
        cells = [text.rjust(width) for text, width in zip(line[1:], widths[1:], strict=True)]
        console.say("  ".join([line[0].ljust(widths[0]), *cells]).rstrip())


def _write_sheet(path: str, evaluation: Evaluation, console: Console) -> None:
    from PIL import Image

    from livematte.evaluation.worst import worst_sheet

    frames = evaluation.worst.ordered()
    if not frames:
        console.note("no frame differs, so no sheet was written.")
        return
    compared = evaluation.predicted if evaluation.true is None else f"{evaluation.predicted} against {evaluation.true}"
    lines = [f"The worst frames of {compared}.", "Error: red too opaque, blue too transparent, black right."]
    try:
        Image.fromarray(worst_sheet(frames, lines if evaluation.true is not None else lines[:1])).save(path, "PNG")
    except OSError as error:
        raise SinkError(f"the sheet {path} cannot be written: {error.strerror or error}.") from error
    console.say(f"{path}: the worst {len(frames)} frames.")


def _write_report(path: str | None, summary: dict[str, Any], console: Console) -> None:
    if path is None:
        return
    report = {
        "livematte": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "summary": summary,
        "notes": console.notes,
        "warnings": console.warnings,
    }
    try:
        Path(path).write_text(json.dumps(report, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise SinkError(f"the report {path} cannot be written: {error.strerror or error}.") from error
