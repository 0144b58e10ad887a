"""`livematte bench`: how fast this machine mattes, and what changed between two reports."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclopts import App, Group, Parameter

from livematte.cli.conflicts import warn_of_conflicts
from livematte.cli.console import Console
from livematte.cli.options import GROUP_RUN, MessageArgument, MessageOptions
from livematte.config import Encode, ModelSettings
from livematte.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from livematte.bench.plan import Case
    from livematte.bench.quality import Quality
    from livematte.bench.runner import Observer, Progressing

app = App(name="bench")

_GROUP_WHAT = Group("What is measured", sort_key=1)
_GROUP_HOW = Group("How it is measured", sort_key=2)
Words = list[str] | None


@Parameter(name="*", group=_GROUP_WHAT)
@dataclass(frozen=True)
class What:
    """Lists; each option may be repeated, or hold several words with commas. Every combination is run."""

    model: Words = None
    """Networks by name, or .onnx files. Default: auto."""
    quality: Words = None
    """fast, good, best. Default: all three."""
    runtime: Words = None
    """Inference runtimes. Default: auto."""
    device: Words = None
    """auto, cpu, cuda, ... as for convert. Default: auto."""
    precision: Words = None
    """auto, fp32, fp16. Default: auto."""
    size: Words = None
    """360p, 480p, 540p, 720p, 1080p, 1440p, 4k, WIDTHxHEIGHT, or source (a clip's own). Default: 720p and 1080p."""
    input: Words = None
    """Clips, or synthetic. Default: synthetic."""
    output: Words = None
    """null, a format of convert (mov, webm, mkv, mp4, png, ...), or virtual (the virtual camera). Default: null."""
    pace: Words = None
    """saturated (as fast as it goes), or frames a second that arrive, as from a camera. Default: saturated and 30."""
    encode: Encode = "good"
    """fast, good or lossless, for the outputs that are written."""
    threads: int = 0
    """CPU threads of the network; 0: chosen for this machine."""


@Parameter(name="*", group=_GROUP_HOW)
@dataclass(frozen=True)
class How:
    """The length of each run, and what is made of it."""

    quick: bool = False
    """The embedded network, synthetic 720p, nothing written: within a minute on two cores."""
    frames: int = 300
    """Frames of a round, at most."""
    seconds: float = 5.0
    """Seconds of a round, at most."""
    warm_up: int = 30
    """Frames at the start of each round that do not count."""
    rounds: int = 3
    """How often each run is made; comparisons need several."""
    eval: str | None = None
    """Measure the quality here, on a folder of clips NAME.mp4 with their true mattes NAME.alpha.mkv."""
    eval_frames: int = 48
    """Frames of each of those clips."""


@Parameter(name="*", group=GROUP_RUN)
@dataclass(frozen=True)
class Said:
    """What the command says."""

    quiet: bool = False
    """Say only what went wrong."""
    json: bool = False
    """JSON lines on stdout; the last one is the report."""
    report: str | None = None
    """Write the report into this file, as JSON, and beside it a page (.html) and a picture (.png)."""
    debug: bool = False
    """Show the traceback of an error (also with LIVEMATTE_DEBUG=1)."""


@app.default
def bench(*, what: What = What(), how: How = How(), said: Said = Said()) -> int:
    """Measure how fast this machine mattes: speed, latency, where the time goes, memory, beside the matte's quality.

    `livematte bench --quick` takes less than a minute. Without options: the embedded network at its three qualities, at
    720p and 1080p, as fast as it goes and at 30 frames a second; about six minutes. At the end stands the setting to
    use here, as a command to copy. Nothing else should run meanwhile.
    """
    console = Console.for_run(quiet=said.quiet, as_json=said.json, stdout_taken=False)
    warn_of_conflicts(console)
    report_path = _report_path(said.report)
    planned, rounds = _plan(what, how)
    from livematte.bench import pages
    from livematte.bench.runner import run_cases

    measured = _qualities(planned, how, console)
    with _observing(console) as observer:
        report = run_cases(planned, rounds=rounds, reporter=console, observer=observer, measured=measured)
    if not console.is_terminal or report["interrupted"]:
        _say_runs(console, report)
    for one in report["recommendation"]:
        console.say(f"\n{pages.sentence(one)}\n  {one['command']}")
    if report_path is not None:
        written = pages.write(report, report_path)
        console.say(f"\nwritten: {', '.join(map(str, written))}")
    console.event("summary", report)
    if report["interrupted"]:
        return 130
    return 0 if report["runs"] else 1


@app.command
def compare(
    before: Path,
    after: Path,
    /,
    *,
    force: bool = False,
    noise: float = 3.0,
    messages: MessageArgument = MessageOptions(),  # noqa: B008
) -> int:
    """What changed between two reports of `bench --report`, beyond the noise.

    Exit codes: 0 nothing became slower, 1 something did, 2 the reports are of machines in different states.

    Parameters
    ----------
    before, after
        Two reports (JSON).
    force
        Compare although the GPU's power limit, its driver model or the power source differ.
    noise
        Changes of less than so many percent are noise, whatever their interval says.
    """
    from livematte.bench import compare as comparing

    if not 0 <= noise <= 100:
        raise UsageError(f"--noise is a percentage from 0 to 100; got {noise:g}.")
    console = Console.for_run(quiet=False, as_json=messages.json, stdout_taken=False)
    found = comparing.compare(comparing.read(before), comparing.read(after), force=force, noise_percent=noise)
    for remark in found.remarks:
        console.note(f"differs: {remark}")
    for change in found.changes:
        console.say(comparing.sentence(change))
    for words, names in (("only in the first", found.only_before), ("only in the second", found.only_after)):
        if names:
            console.note(f"{words}: {'; '.join(names)}")
    if not found.changes:
        raise UsageError("the two reports have no run in common; measure the same settings twice.")
    console.say(f"{len(found.slower)} of {len(found.changes)} figures became worse.")
    console.event("summary", found.as_dict())
    return 1 if found.slower else 0


def _plan(what: What, how: How) -> tuple[list[Case], int]:
    from livematte.bench import plan

    for value, name, least in ((how.frames, "--frames", 2), (how.rounds, "--rounds", 1), (how.warm_up, "--warm-up", 0)):
        if value < least:
            raise UsageError(f"{name} must be at least {least}; got {value}.")
    if how.seconds <= 0:
        raise UsageError(f"--seconds must be more than 0; got {how.seconds:g}.")
    if how.quick:
        given = [name for name in _LISTS if getattr(what, name) is not None]
        if given:
            raise UsageError(f"--quick measures one setting; leave --{given[0]} out, or leave --quick out.")
        return plan.quick(), 1
    axes = plan.Axes(
        models=_words(what.model, "auto"),
        qualities=_words(what.quality, "fast", "good", "best"),
        runtimes=_words(what.runtime, "auto"),
        devices=_words(what.device, "auto"),
        precisions=_words(what.precision, "auto"),
        sizes=_words(what.size, "720p", "1080p"),
        sources=_words(what.input, plan.SYNTHETIC, by_comma=False),
        outputs=_words(what.output, "null"),
        paces=_words(what.pace, "saturated", "30"),
        encode=what.encode,
        threads=what.threads,
    )
    return plan.cases(axes, plan.Length(how.frames, how.seconds, how.warm_up)), how.rounds


_LISTS = ("model", "quality", "runtime", "device", "precision", "size", "input", "output", "pace")


def _words(given: Words, *default: str, by_comma: bool = True) -> list[str]:
    if not given:
        return list(default)
    return [word for one in given for word in (re.split(r",\s*", one) if by_comma else [one]) if word]


def _report_path(name: str | None) -> Path | None:
    """UsageError for a name whose page or picture would be the report itself."""
    if name is None:
        return None
    path = Path(name)
    if path.suffix.lower() in (".html", ".png"):
        raise UsageError(f"--report takes the JSON file's name; the page and the picture are written beside it: {name}")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"--report {name}: the folder {path.absolute().parent} does not exist.")
    return path


def _qualities(planned: list[Case], how: How, console: Console) -> dict[tuple[str, str], Quality]:
    """Errors measured on `--eval FOLDER`, for each model and quality of the plan."""
    if how.eval is None:
        return {}
    from livematte.bench.quality import pairs_in, score_folder
    from livematte.errors import LivematteError

    folder = Path(how.eval).expanduser()
    pairs_in(folder)
    found: dict[tuple[str, str], Quality] = {}
    for model, quality in dict.fromkeys((case.model, case.quality) for case in planned):
        console.note(f"measuring the quality of {model} {quality} on {folder}")
        try:
            settings = ModelSettings(model=model, quality=quality)
            found[model, quality] = score_folder(settings, folder, frames=how.eval_frames, reporter=console)
        except LivematteError as error:
            console.warn(f"the quality of {model} {quality} was not measured: {error}")
    return found


@contextmanager
def _observing(console: Console) -> Iterator[Observer]:
    """A live table for a person, a JSON line a run for a machine, nothing else."""
    if console.as_json:
        yield _JsonLines(console)
    elif console.is_terminal:
        from rich.live import Live

        with Live(console=console.rich, refresh_per_second=4) as live:
            yield lambda state: live.update(_table(state))
    else:
        yield lambda state: None


class _JsonLines:
    """One event when a round of a run begins."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last: tuple[int, int] | None = None

    def __call__(self, state: Progressing) -> None:
        now = (state.round, state.case)
        if now != self._last:
            self._last = now
            name = state.cases[state.case].name
            self._console.event("progress", {"run": name, "round": state.round + 1, "rounds": state.rounds})


def _table(state: Progressing) -> Table:
    """Every case: its figures, what it has reached, or that it waits."""
    from rich.table import Table

    from livematte.bench import pages

    shown = ("run", "fps", "p50 ms", "p95 ms", "p99 ms", "limited by", "of its limit", "dropped", "memory MiB")
    columns = pages.columns()
    table = Table(*shown)
    for at, case in enumerate(state.cases):
        if at in state.failed:
            table.add_row(case.name, "not run", style="yellow")
        elif at in state.runs:
            cells = dict(zip(columns, pages.row({**state.runs[at], "quality": None}), strict=True))
            table.add_row(*(cells[name] for name in shown), style="bold" if at == state.case else None)
        elif at == state.case:
            table.add_row(case.name, f"{state.fps:.1f}" if state.frames else "starting", style="bold")
        else:
            table.add_row(case.name, style="dim")
    table.caption = f"round {state.round + 1} of {state.rounds}"
    return table


def _say_runs(console: Console, report: dict[str, Any]) -> None:
    """The runs as lines, where no table was shown."""
    for run in report["runs"]:
        latency = run["latency_ms"]
        limited = (run["limiting_stage"] or "").split(":")[0]
        efficiency = f", {100 * run['efficiency']:.0f} % of what it allows" if run["efficiency"] is not None else ""
        dropped = f", {run['dropped']} dropped" if run["case"]["pace"] else ""
        console.say(
            f"{run['name']}: {run['fps']:.1f} fps; latency {latency['p50']:.0f} / {latency['p95']:.0f} / "
            f"{latency['p99']:.0f} ms (p50 / p95 / p99); limited by {limited}{efficiency}; engine alone "
            f"{run['engine_alone']['fps']:.1f} fps{dropped}; {run['peak_mib']} MiB"
        )
