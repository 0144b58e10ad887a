"""Made-up rounds and reports for the tests of `livematte.bench`."""

from __future__ import annotations

from typing import Any

import numpy as np

from livematte.bench.plan import Case, Length
from livematte.bench.result import Round, as_run
from livematte.bench.runner import Progressing, make_report

FACTS: dict[str, Any] = {
    "cpu": "a processor",
    "cores": 2,
    "usable_cores": 2,
    "load": [0.1, 0.1, 0.1],
    "power_source": "mains",
    "system": "a system",
    "python": "3.11.7",
    "livematte": "0.1.0",
    "packages": {"av": "18.1.0"},
    "gpus": [],
}


def made_round(ms: float = 20.0, *, seed: int = 1, frames: int = 200, noise: float = 1.0, **changes: Any) -> Round:
    """A round whose frames take `ms` milliseconds, give or take."""
    rng = np.random.default_rng(seed)
    intervals = np.maximum(0.1, rng.normal(ms, noise, frames)).round(3).tolist()
    values: dict[str, Any] = {
        "engine": "a network on a device",
        "model": "livematte-s",
        "device": "cpu",
        "precision": "fp32",
        "size": (1280, 720),
        "seconds": sum(intervals) / 1000,
        "interval_ms": intervals,
        "latency_ms": [3 * value for value in intervals],
        "stages_ms": {"decode": 1.0, "network": 0.7 * ms, "foreground": 0.2 * ms, "matting": 0.95 * ms, "encode": 2.0},
        "threads": ["decode", "matting", "encode"],
        "depths": {"matting": [3, 2, 3], "encode": [0, 1, 0]},
        "handed": frames,
        "late_ms": [],
        "cpu_seconds": 1.5 * sum(intervals) / 1000,
        "peak_mib": 300.0,
        "bytes_per_frame": 0.0,
        "alone": {"ms": 0.6 * ms, "p95_ms": ms, "fps": 1000 / (0.6 * ms), "runs": 40},
    }
    return Round(**{**values, **changes})


def made_report(ms: float = 20.0, *, seed: int = 1, machine: dict[str, Any] | None = None) -> dict[str, Any]:
    """A report of a saturated and a paced run, three rounds each."""
    length = Length(200, 5.0, 10)
    cases = [Case(length=length), Case(length=length, pace=30.0)]
    state = Progressing(cases, 3)
    for at, case in enumerate(cases):
        state.runs[at] = as_run(case, [made_round(ms, seed=10 * seed + at + 2 * n) for n in range(3)])
    return make_report(state, {**FACTS, **(machine or {})}, seconds=30.0, interrupted=False)
