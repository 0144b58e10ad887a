"""The report's plots: speed against quality, where the time goes, how latency spreads."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from livematte.bench.advice import LIVE_FPS
from livematte.bench.canvas import COLOURS, FAINT, INK, MUTED, Anchor, Canvas

Run = Mapping[str, Any]
WIDTH: Final = 860
_LEFT, _RIGHT = 64, 24
_ROW: Final = 26
_BINS: Final = 48
_PARTS: Final = (
    "scene", "preprocess", "coarse", "crop", "network", "subject", "smooth", "upsample", "edges", "foreground",
)  # fmt: skip
"""What the matting thread does, in order; its own bar is made of these."""


def scatter_height(runs: Sequence[Run]) -> int:
    """Of `speed_against_quality`, in px; 0: there is nothing to show."""
    return 310 if _scored(runs) else 0


def _scored(runs: Sequence[Run]) -> list[Run]:
    return [run for run in runs if run["quality"] and not run["case"]["pace"]]


def speed_against_quality(canvas: Canvas, runs: Sequence[Run], top: float) -> None:
    """A dot a saturated run whose error is known: frames a second to the right, error downward (lower is better)."""
    shown = _scored(runs)
    best_fps, worst = max(run["fps"] for run in shown), max(run["quality"]["mad"] for run in shown)
    right, peak = nice(max(best_fps, LIVE_FPS) * 1.1), nice(worst * 1.1)
    left, bottom, width, height = _LEFT, top + 250.0, WIDTH - _LEFT - 200, 230.0
    for tick in ticks(right):
        x = left + width * tick / right
        canvas.line(x, bottom - height, x, bottom)
        canvas.text(x, bottom + 16, f"{tick:g}", anchor="middle", colour=MUTED)
    for tick in ticks(peak):
        y = bottom - height * tick / peak
        canvas.line(left, y, left + width, y)
        canvas.text(left - 6, y + 4, f"{tick:g}", anchor="end", colour=MUTED)
    live = left + width * LIVE_FPS / right
    canvas.line(live, bottom - height, live, bottom, colour=INK)
    canvas.text(live + 4, bottom - height + 12, "30 fps", colour=MUTED)
    canvas.text(left + width / 2, bottom + 34, "frames a second, end to end", anchor="middle")
    canvas.text(left, bottom - height - 10, "error (MAD x 1000; lower is better)")
    for number, run in enumerate(shown):
        x, y = left + width * run["fps"] / right, bottom - height * run["quality"]["mad"] / peak
        colour = COLOURS[number % len(COLOURS)]
        canvas.dot(x, y, fill=colour, title=f"{run['name']}: {run['fps']} fps, MAD {run['quality']['mad']:.2f}")
        if number < 12:
            label = bottom - height + 20.0 * number + 6
            canvas.dot(left + width + 16, label - 4, fill=colour)
            canvas.text(left + width + 26, label, shortened(run["name"].removesuffix(", saturated"), 28))


def bars_height(runs: Sequence[Run]) -> int:
    """Of `stage_bars`, in px."""
    return 40 + 20 * _legend_rows(_stage_names(runs)) + _ROW * len(runs)


def _stage_names(runs: Sequence[Run]) -> list[str]:
    return list(dict.fromkeys(name for run in runs for name in parts_of(run)))


_LEGEND_COLUMNS: Final = 6


def _legend_rows(names: Sequence[str]) -> int:
    return -(-len(names) // _LEGEND_COLUMNS)


def stage_bars(canvas: Canvas, runs: Sequence[Run], top: float) -> None:
    """A bar a run: milliseconds a frame of each stage, side by side; those of one thread add up, others overlap."""
    names = _stage_names(runs)
    longest = nice(max(sum(parts_of(run).values()) for run in runs) * 1.02)
    left, width = 290.0, WIDTH - 290.0 - _RIGHT
    for number, name in enumerate(names):
        x, y = WIDTH / _LEGEND_COLUMNS * (number % _LEGEND_COLUMNS), top + 20.0 * (number // _LEGEND_COLUMNS)
        canvas.rectangle(x, y, 10, 10, fill=COLOURS[number % len(COLOURS)])
        canvas.text(x + 14, y + 10, name.split(":")[0])
    base = top + 4 + 20 * _legend_rows(names)
    for tick in ticks(longest):
        at = left + width * tick / longest
        canvas.line(at, base, at, base + _ROW * len(runs))
        canvas.text(at, base + _ROW * len(runs) + 16, f"{tick:g} ms", anchor="middle", colour=MUTED)
    for row, run in enumerate(runs):
        y, x = base + _ROW * row, left
        canvas.text(left - 8, y + 17, shortened(run["name"], 44), anchor="end")
        for name, value in parts_of(run).items():
            share = width * value / longest
            colour = COLOURS[names.index(name) % len(COLOURS)]
            canvas.rectangle(x, y + 5, share, _ROW - 10, fill=colour, title=f"{run['name']}, {name}: {value:.2f} ms")
            x += share


def parts_of(run: Run) -> dict[str, float]:
    """Milliseconds a frame, without counting anything twice: matting is shown by its parts."""
    stages: Mapping[str, float] = run["stages_ms"]
    shown = {name: stages[name] for name in ("decode", *_PARTS) if name in stages}
    rest = stages.get("matting", 0.0) - sum(stages.get(name, 0.0) for name in _PARTS)
    if rest > 0.005:
        shown["other matting"] = rest
    return shown | {n: v for n, v in stages.items() if n not in shown and n != "matting"}


def histogram_height(runs: Sequence[Run]) -> int:
    """Of `latency_histograms`, in px."""
    return 96 * len(runs) + 10


def latency_histograms(canvas: Canvas, runs: Sequence[Run], top: float) -> None:
    """A histogram a run of every frame's latency, with the median, p95 and p99 marked."""
    for number, run in enumerate(runs):
        values = np.array([v for one in run["samples"]["latency_ms"] for v in one], np.float64)
        base = top + 96.0 * number
        canvas.text(0, base + 12, run["name"])
        if values.size:
            _histogram(canvas, run, values, base + 20)


def _histogram(canvas: Canvas, run: Run, values: np.ndarray[Any, np.dtype[np.float64]], top: float) -> None:
    right = nice(max(float(np.percentile(values, 99.5)), 1.0) * 1.05)
    counts, _ = np.histogram(np.minimum(values, right), bins=_BINS, range=(0, right))
    height, width = 48.0, WIDTH - 2.0 * _RIGHT
    step = width / _BINS
    for at, count in enumerate(counts):
        tall = height * float(count) / float(counts.max())
        canvas.rectangle(at * step, top + height - tall, step - 1, tall, fill=COLOURS[0], title=f"{count} frames")
    canvas.line(0, top + height, width, top + height, colour=FAINT)
    for tick in ticks(right):
        anchor: Anchor = "middle" if tick else "start"
        canvas.text(width * tick / right, top + height + 14, f"{tick:g} ms", anchor=anchor, colour=MUTED)
    for name in ("p50", "p95", "p99"):
        x = min(width, width * run["latency_ms"][name] / right)
        canvas.line(x, top, x, top + height, colour=INK)
        canvas.text(x + 2, top + {"p50": 10, "p95": 22, "p99": 34}[name], name, colour=INK)


def nice(value: float) -> float:
    """The next of 1, 2, 2.5, 5 times a power of ten that is not smaller."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if step * power >= value * (1 - 1e-9))


def ticks(end: float) -> list[float]:
    """Five steps from 0 to `end`."""
    return [end * at / 5 for at in range(6)]


def shortened(text: str, length: int) -> str:
    """The text, with its middle left out where it is longer."""
    return text if len(text) <= length else f"{text[: length // 2 - 1]}...{text[-(length - length // 2 - 2) :]}"
