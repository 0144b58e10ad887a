"""One round of one case, in a process of its own: its peak of memory and its processor time are the round's alone."""

from __future__ import annotations

import os
import signal
import tempfile
from dataclasses import asdict
from multiprocessing.connection import Connection

from livematte.bench import gpu
from livematte.bench.alone import engine_alone, saturate
from livematte.bench.memory import peak_resident_mib
from livematte.bench.plan import SYNTHETIC, VIRTUAL, Case
from livematte.bench.probe import Probe
from livematte.bench.result import Round, timings
from livematte.conversion import Conversion
from livematte.errors import LivematteError, SourceError
from livematte.models.load import LoadedModel, load_model
from livematte.pipeline import Pipeline
from livematte.progress import Observer
from livematte.reporting import ListReporter
from livematte.sinks.formats import FORMATS, SEQUENCES


def main(case: Case, connection: Connection) -> None:
    """The child's entry: sends `("progress", frames, fps)`s, then `("done", Round)` or `("failed", kind, message)`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer; it ends this process
    try:
        made = measure(case, lambda now: connection.send(("progress", now.frames, now.fps)))
        connection.send(("done", made))
    except LivematteError as error:
        connection.send(("failed", type(error).__name__, str(error)))
    except BrokenPipeError:
        os._exit(1)  # the parent has gone
    finally:
        connection.close()


def measure(case: Case, observer: Observer | None = None) -> Round:
    """One round of a case in this process. Raises what a conversion raises, and `SourceError` for too short a clip."""
    reporter = ListReporter()
    settings = case.settings()
    loaded = load_model(settings.model, reporter=reporter)
    try:
        with tempfile.TemporaryDirectory(prefix="livematte-bench-") as folder, gpu.Sampler() as sampler:
            return _measure(case, loaded, folder, sampler, reporter, observer)
    finally:
        loaded.close()


def _measure(
    case: Case,
    loaded: LoadedModel,
    folder: str,
    sampler: gpu.Sampler,
    reporter: ListReporter,
    observer: Observer | None,
) -> Round:
    probe = Probe(case.length, case.pace, on_measuring=sampler.samples.clear)
    if case.output == VIRTUAL:
        from livematte.bench.virtual import stand_in

        probe.stand_in = lambda sink, info: stand_in(info, case.settings(), reporter)
    targets = [] if case.output == "null" else [f"{folder}/{_target(case.output)}"]
    conversion = Conversion(case.spec(), targets, case.settings(), reporter, loaded, probe)
    conversion.prepare()
    try:
        info, status = conversion.info, conversion.status
        settled = saturate(loaded, info.width, info.height) if not case.pace else None
        alone = engine_alone(loaded, info.width, info.height)
    except BaseException:
        conversion.close()
        raise
    summary = conversion.run(observer)
    found = timings(probe, conversion.stats)
    _check_length(case, len(probe.done))
    return Round(
        engine=status,
        model=loaded.manifest.name,
        device=loaded.engine.device,
        precision=loaded.engine.precision,
        size=(info.width, info.height),
        seconds=found.seconds,
        interval_ms=found.interval_ms,
        latency_ms=found.latency_ms,
        stages_ms=found.stages_ms,
        threads=_threads(probe.pipeline),
        depths=found.depths,
        handed=probe.measured_handed,
        late_ms=found.late_ms,
        cpu_seconds=probe.cpu_seconds,
        peak_mib=peak_resident_mib(),
        bytes_per_frame=sum(one.bytes for one in summary.outputs) / max(1, summary.frames),
        alone=alone,
        gpus=sampler.summary(),
        settled=asdict(settled) if settled else None,
        notes=_worth_keeping(case, [*reporter.warnings, *reporter.notes], folder),
    )


def _target(output: str) -> str:
    """A name whose suffix the format takes; the virtual camera stands in for an opaque file."""
    suffix = FORMATS["mp4" if output == VIRTUAL else output].suffixes[0]
    return "out/" if output in SEQUENCES else f"out{suffix}"


def _threads(pipeline: Pipeline | None) -> list[str]:
    return list(pipeline.stages) if pipeline is not None else []


def _worth_keeping(case: Case, said: list[str], folder: str) -> list[str]:
    """Without the scratch folder's name. The synthetic shape is no person: what is said of that would mislead."""
    lines = [line.replace(f"{folder}/", "") for line in said]
    return [line for line in lines if case.source != SYNTHETIC or not line.startswith("nobody was found")]


def _check_length(case: Case, done: int) -> None:
    if done < case.length.warm_up + 2:
        raise SourceError(
            f"{case.source} gave {done} frames, and {case.length.warm_up} of them are the warm-up. Give a longer clip, "
            "or a shorter warm-up with --warm-up."
        )
