"""The engine alone: the network on its own buffers, again and again, with nothing beside it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from livematte.bench import gpu
from livematte.bench.figures import percentiles
from livematte.models.load import LoadedModel
from livematte.models.session import Session

_RUNS: Final = 40
_SECONDS: Final = 1.5
_STEADY_SHARE: Final = 0.02
"""The clock is steady when its last three readings lie within this share of each other."""
_STEADY_READINGS: Final = 3
_SETTLE_SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a GPU's clock before the measurement."""

    seconds: float
    clock_mhz: float
    is_steady: bool


def engine_alone(loaded: LoadedModel, width: int, height: int) -> dict[str, float | int]:
    """Milliseconds a run of the network for pictures of this size, on made-up pixels, and runs a second.

    Preprocessing is not in it. On a GPU the copies to and from the device are.
    """
    step, close = _stepper(loaded, width, height)
    try:
        for _ in range(3):
            step()
        times: list[float] = []
        begin = time.perf_counter()
        while len(times) < _RUNS and time.perf_counter() - begin < _SECONDS:
            before = time.perf_counter()
            step()
            times.append(1000 * (time.perf_counter() - before))
    finally:
        close()
    found = percentiles(times)
    return {"ms": found["p50"], "p95_ms": found["p95"], "fps": round(1000 / found["p50"], 2), "runs": len(times)}


def saturate(loaded: LoadedModel, width: int, height: int) -> Settled | None:
    """Keep a GPU busy until its clock is steady; None for a processor, whose clock follows within a frame."""
    if loaded.engine.device == "cpu" or not gpu.read():
        return None
    step, close = _stepper(loaded, width, height)

    def clock() -> float:
        value = gpu.read()[0]["sm_clock_mhz"]
        return value if isinstance(value, float) else 0.0

    try:
        return settle(step, clock)
    finally:
        close()


def settle(
    step: Callable[[], object],
    clock_mhz: Callable[[], float],
    *,
    every_seconds: float = 0.5,
    limit_seconds: float = _SETTLE_SECONDS,
) -> Settled:
    """Call `step` without a pause, reading the clock every so often, until it is steady or the time is over."""
    begin = time.perf_counter()
    readings: list[float] = []
    while True:
        upto = time.perf_counter() + every_seconds
        while time.perf_counter() < upto:
            step()
        readings.append(clock_mhz())
        newest = readings[-_STEADY_READINGS:]
        steady = len(newest) == _STEADY_READINGS and max(newest) - min(newest) <= _STEADY_SHARE * max(newest)
        seconds = time.perf_counter() - begin
        if steady or seconds >= limit_seconds:
            return Settled(round(seconds, 1), readings[-1], steady)


def _stepper(loaded: LoadedModel, width: int, height: int) -> tuple[Callable[[], object], Callable[[], None]]:
    """A function that runs the network once, and one that gives its buffers back."""
    contract = loaded.contract
    size = Session(loaded, is_file=False).size_for(width, height)
    binding = loaded.engine.bind(contract.shapes(size))
    for extra in contract.extra:
        binding.buffer(extra.name)[...] = size.ratio if extra.value == "ratio" else extra.value
    picture = binding.buffer(contract.image.name)
    picture[...] = 0.5
    return (lambda: binding.run({})), binding.close
