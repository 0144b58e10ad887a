"""What one round of a case gave, and how rounds become a run of the report."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from livematte.bench.figures import percentiles
from livematte.bench.plan import Case
from livematte.bench.probe import Probe
from livematte.stats import Stats

Json = dict[str, Any]


@dataclass(slots=True)
class Round:
    """One measured pass, as it comes out of the child process. Plain values only: it is pickled."""

    engine: str
    """The status line: network, precision, device, runtime, decoder, encoder."""
    model: str
    """The network's name in its manifest (`auto` is a choice, not a network)."""
    device: str
    precision: str
    size: tuple[int, int]
    seconds: float
    """From the end of the warm-up to the last frame."""
    interval_ms: list[float]
    """Between a frame that was done and the next."""
    latency_ms: list[float]
    stages_ms: dict[str, float]
    """Mean busy milliseconds a frame of each stage."""
    threads: list[str]
    """The stages among them that have a thread of their own."""
    depths: dict[str, list[int]]
    handed: int
    """Frames that came in while it was measured."""
    late_ms: list[float]
    cpu_seconds: float
    peak_mib: float | str
    bytes_per_frame: float
    alone: Json
    gpus: list[Json] = field(default_factory=list)
    settled: Json | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def frames(self) -> int:
        return len(self.interval_ms)

    @property
    def fps(self) -> float:
        return self.frames / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Timings:
    """What a probe and the pipeline's statistics say, without the warm-up."""

    seconds: float
    interval_ms: list[float]
    latency_ms: list[float]
    stages_ms: dict[str, float]
    depths: dict[str, list[int]]
    late_ms: list[float]


def timings(probe: Probe, stats: Stats) -> Timings:
    """The warm-up taken off. Fewer frames than it needs give empty lists."""
    skipped = probe.length.warm_up
    done = probe.done[skipped:]
    stages: dict[str, float] = {}
    for name, seconds in stats.seconds_by_stage().items():
        mark = probe.marks.get(name)
        count = stats.stages[name].count - (mark.count if mark else 0)
        if count > 0:
            stages[name] = 1000 * (seconds - (mark.seconds if mark else 0.0)) / count
    decoded = probe.decode_ms[skipped:]
    if decoded:
        stages["decode"] = float(np.mean(decoded))
    return Timings(
        seconds=done[-1] - done[0] if done else 0.0,
        interval_ms=[round(1000 * (b - a), 3) for a, b in itertools.pairwise(done)],
        latency_ms=[round(value, 3) for value in probe.latency_ms[skipped + 1 :]],
        stages_ms={name: round(value, 3) for name, value in stages.items()},
        depths={name: values[skipped + 1 :] for name, values in probe.depths.items()},
        late_ms=[round(value, 3) for value in probe.late_ms[skipped + 1 :]],
    )


def as_run(case: Case, rounds: Sequence[Round]) -> Json:
    """A run of the report. ValueError without a round."""
    if not rounds:
        raise ValueError("a run needs at least one round")
    last = rounds[-1]
    frames, seconds = sum(one.frames for one in rounds), sum(one.seconds for one in rounds)
    fps = frames / seconds if seconds > 0 else 0.0
    stages = _mean_of([one.stages_ms for one in rounds])
    limiting = max((name for name in stages if name in last.threads), key=stages.__getitem__, default=None)
    limit_fps = 1000 / stages[limiting] if limiting and stages[limiting] > 0 else 0.0
    latencies = [value for one in rounds for value in one.latency_ms]
    cpu = sum(one.cpu_seconds for one in rounds)
    handed = sum(one.handed for one in rounds)
    return {
        "name": case.name,
        "case": case.key,
        "model": last.model,
        "engine": last.engine,
        "device": last.device,
        "precision": last.precision,
        "width": last.size[0],
        "height": last.size[1],
        "frames": frames,
        "seconds": round(seconds, 3),
        "fps": round(fps, 2),
        "fps_of_rounds": [round(one.fps, 2) for one in rounds],
        "latency_ms": percentiles(latencies),
        "interval_ms": percentiles([value for one in rounds for value in one.interval_ms]),
        "stages_ms": {name: round(value, 3) for name, value in stages.items()},
        "threads": last.threads,
        "queue_depth": _depths(rounds),
        "limiting_stage": limiting,
        "limit_fps": round(limit_fps, 2),
        "efficiency": round(fps / limit_fps, 3) if limit_fps and not case.pace else None,
        "engine_alone": _alone(rounds),
        "dropped": max(0, handed - frames) if case.pace else 0,
        "late_ms": percentiles([value for one in rounds for value in one.late_ms]) if case.pace else None,
        "cpu_percent": round(100 * cpu / seconds, 1) if seconds > 0 else 0.0,
        "cpu_ms_per_frame": round(1000 * cpu / frames, 2) if frames else 0.0,
        "peak_mib": _highest([one.peak_mib for one in rounds]),
        "vram_peak_mib": _vram(rounds),
        "gpus": last.gpus,
        "clock_settled": last.settled,
        "kib_per_frame": round(last.bytes_per_frame / 1024, 2),
        "notes": list(dict.fromkeys(note for one in rounds for note in one.notes)),
        "samples": {
            "interval_ms": [one.interval_ms for one in rounds],
            "latency_ms": [one.latency_ms for one in rounds],
        },
    }


def _mean_of(tables: Sequence[dict[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for table in tables for name in table)
    return {name: float(np.mean([table[name] for table in tables if name in table])) for name in names}


def _depths(rounds: Sequence[Round]) -> dict[str, Json]:
    made = {}
    for name in dict.fromkeys(name for one in rounds for name in one.depths):
        values = [value for one in rounds for value in one.depths.get(name, ())]
        if values:
            made[name] = {"mean": round(float(np.mean(values)), 2), "max": max(values)}
    return made


def _alone(rounds: Sequence[Round]) -> Json:
    """The round in which the engine was fastest: what else ran can only slow it down."""
    return min((one.alone for one in rounds), key=lambda alone: alone.get("ms", float("inf")))


def _highest(values: Sequence[float | str]) -> float | str:
    numbers = [value for value in values if not isinstance(value, str)]
    return round(max(numbers), 1) if numbers else values[0]


def _vram(rounds: Sequence[Round]) -> float | str | None:
    """Peak of the first GPU's memory in use, all programs together; None without a GPU."""
    seen = [one.gpus[0]["memory_used_mib_peak"] for one in rounds if one.gpus]
    return _highest(seen) if seen else None
