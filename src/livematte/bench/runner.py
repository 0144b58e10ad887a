"""Runs cases, one child process after another, and makes the report of them."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from livematte.bench import child, machine
from livematte.bench.advice import recommend
from livematte.bench.plan import Case
from livematte.bench.quality import Quality
from livematte.bench.result import Json, Round, as_run
from livematte.errors import LivematteError
from livematte.reporting import Reporter

SCHEMA: Final = "livematte-bench/1"
"""The report's form. A change that a reader of version 1 would misunderstand gets another number."""
_SILENCE_SECONDS: Final = 900.0
"""A child that says nothing for so long hangs; building an engine may take minutes."""


class RunFailed(LivematteError):
    """One case could not be measured; the others go on."""


@dataclass(slots=True)
class Progressing:
    """Where the whole benchmark stands, for whoever shows it."""

    cases: Sequence[Case]
    rounds: int
    case: int = 0
    """Index of the case that runs now."""
    round: int = 0
    frames: int = 0
    fps: float = 0.0
    runs: dict[int, Json] = field(default_factory=dict)
    """Case index -> its run so far."""
    failed: dict[int, str] = field(default_factory=dict)


Observer = Callable[[Progressing], None]


def run_cases(
    cases: Sequence[Case],
    *,
    rounds: int,
    reporter: Reporter,
    observer: Observer,
    measured: Mapping[tuple[str, str], Quality] | None = None,
) -> Json:
    """Every case `rounds` times, round by round, so that a machine that slows down slows all of them; the report.

    `measured`: qualities of this machine's own by (model, quality), instead of the manifests'. Ctrl-C ends it: the
    report then has what was finished, and says so under `interrupted`. A case that fails is under `not_run`.
    """
    state = Progressing(cases, rounds)
    collected: dict[int, list[Round]] = {}
    before, begin, interrupted = machine.facts(), time.monotonic(), False
    _warn_of_load(before, reporter)
    try:
        for number in range(rounds):
            for at, case in enumerate(cases):
                if at in state.failed:
                    continue
                state.case, state.round, state.frames, state.fps = at, number, 0, 0.0
                observer(state)
                try:
                    collected.setdefault(at, []).append(run_case(case, lambda f, s: _told(state, observer, f, s)))
                    state.runs[at] = as_run(case, collected[at])
                except LivematteError as error:
                    state.failed[at] = str(error)
                    reporter.warn(f"not run: {case.name}: {error}")
                observer(state)
    except KeyboardInterrupt:
        interrupted = True
        reporter.warn("interrupted; the report holds the runs that were finished.")
    return make_report(state, before, seconds=time.monotonic() - begin, interrupted=interrupted, measured=measured)


def make_report(
    state: Progressing,
    facts: Json,
    *,
    seconds: float,
    interrupted: bool,
    measured: Mapping[tuple[str, str], Quality] | None = None,
) -> Json:
    """The report as plain values (`SCHEMA`)."""
    from livematte.bench.quality import quality_of

    runs = [state.runs[at] for at in sorted(state.runs)]
    for run in runs:
        run["quality"] = quality_of(run, measured or {})
    return {
        "schema": SCHEMA,
        "machine": {**facts, "load_after": machine.load()},
        "rounds": state.rounds,
        "seconds": round(seconds, 1),
        "interrupted": interrupted,
        "runs": runs,
        "not_run": [
            {"name": state.cases[at].name, "case": state.cases[at].key, "why": why}
            for at, why in sorted(state.failed.items())
        ],
        "recommendation": recommend(runs),
    }


def run_case(case: Case, told: Callable[[int, float], None]) -> Round:
    """One round in a child process. RunFailed with the child's own words where it fails, dies or hangs."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=child.main, args=(case, theirs), name="livematte-bench", daemon=True)
    process.start()
    theirs.close()
    try:
        return _listen(ours, told)
    except EOFError:
        process.join(5)
        raise RunFailed(
            f"its process ended with exit code {process.exitcode} and said nothing. See 'livematte doctor'; the same "
            "as a conversion: livematte convert CLIP --format null."
        ) from None
    finally:
        ours.close()
        _end(process)


def _listen(connection: Any, told: Callable[[int, float], None]) -> Round:
    heard = time.monotonic()
    while True:
        if not connection.poll(0.5):
            if time.monotonic() - heard > _SILENCE_SECONDS:
                raise RunFailed(f"it said nothing for {_SILENCE_SECONDS:.0f} seconds and was ended.")
            continue
        heard = time.monotonic()
        word, *values = connection.recv()
        if word == "done":
            made: Round = values[0]
            return made
        if word == "failed":
            raise RunFailed(values[1])
        told(*values)


def _end(process: Any) -> None:
    """The child has said its last word, or is not wanted any more."""
    process.join(10 if process.exitcode is None else 0)
    if process.is_alive():
        process.kill()
        process.join()
    process.close()


def _told(state: Progressing, observer: Observer, frames: int, fps: float) -> None:
    state.frames, state.fps = frames, fps
    observer(state)


def _warn_of_load(facts: Json, reporter: Reporter) -> None:
    """Other work makes every figure wrong: it is said before the first run."""
    load = facts["load"]
    if isinstance(load, list) and load[0] > 0.5 * facts["usable_cores"]:
        reporter.warn(
            f"something else is running here (load {load[0]} on {facts['usable_cores']} cores): the speeds will be too "
            "low. The load is kept in the report."
        )
    if facts["power_source"] == "battery":
        reporter.warn("this machine runs on battery, which slows most of them down.")
