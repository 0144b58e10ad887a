"""The report for a person: one HTML file that needs nothing else, and the same plots as a PNG."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from livematte.bench import charts
from livematte.bench.canvas import FAINT, INK, Drawing, Svg
from livematte.errors import SinkError

Report = Mapping[str, Any]

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #18181b; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; font-size: 13px; width: 100%; }
th, td { border-bottom: 1px solid #e4e4e7; padding: .3rem .5rem; text-align: right; }
th:first-child, td:first-child { text-align: left; } th { font-weight: 600; }
div.wide { overflow-x: auto; } svg { max-width: 100%; height: auto; }
code { background: #f4f4f5; padding: .1rem .3rem; border-radius: 3px; } dt { font-weight: 600; }
dd { margin: 0 0 .3rem; }
"""
_COLUMNS = (
    "run", "fps", "p50 ms", "p95 ms", "p99 ms", "limited by", "of its limit", "engine alone", "dropped",
    "CPU %", "memory MiB", "MAD", "dtSSD",
)  # fmt: skip


def beside(report: Path) -> tuple[Path, Path]:
    """The page and the picture that are written beside a report: its own name with `.html` and `.png`."""
    return report.with_suffix(".html"), report.with_suffix(".png")


def write(report: Report, path: Path) -> list[Path]:
    """JSON, and beside it the page and the PNG; gives what was written. SinkError where that fails."""
    page, picture = beside(path)
    try:
        path.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        page.write_text(html(report), encoding="utf-8", newline="\n")
        if not report["runs"]:
            return [path, page]
        png(report).save(picture)
    except OSError as error:
        raise SinkError(f"the report {path} cannot be written: {error.strerror or error}.") from error
    return [path, page, picture]


def html(report: Report) -> str:
    """The whole page: no script, no link, no address; plots are inline SVG."""
    runs = report["runs"]
    plots = []
    for title, words, height, draw in _plots(runs):
        svg = Svg(charts.WIDTH, height)
        draw(svg, runs, 26 if draw is charts.speed_against_quality else 4)
        plots.append(f"<h2>{escape(title)}</h2><p>{escape(words)}</p>{svg.markup(title)}")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>livematte bench</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>'
        f"<h1>livematte bench: {escape(str(report['machine']['cpu']))}</h1>"
        f"{_advice(report)}<h2>Runs</h2><div class='wide'>{_table(runs)}</div>{_not_run(report)}"
        f"{''.join(plots)}<h2>Machine</h2>{_machine(report)}</body></html>\n"
    )


def png(report: Report) -> Any:
    """The plots below each other as a Pillow picture."""
    runs = report["runs"]
    plots = _plots(runs)
    drawing = Drawing(charts.WIDTH + 40, sum(height + 50 for _, _, height, _ in plots))
    shifted = _Shifted(drawing, 20)
    top = 0.0
    for title, _, height, draw in plots:
        drawing.text(20, top + 24, title)
        draw(shifted, runs, top + (60 if draw is charts.speed_against_quality else 40))
        top += height + 50
    return drawing.image


class _Shifted:
    """A canvas with a margin at its left."""

    def __init__(self, inner: Drawing, by: float) -> None:
        self._inner, self._by = inner, by

    def rectangle(self, x: float, y: float, width: float, height: float, *, fill: str, title: str = "") -> None:
        self._inner.rectangle(x + self._by, y, width, height, fill=fill)

    def line(self, x1: float, y1: float, x2: float, y2: float, *, colour: str = FAINT) -> None:
        self._inner.line(x1 + self._by, y1, x2 + self._by, y2, colour=colour)

    def dot(self, x: float, y: float, *, fill: str, title: str = "") -> None:
        self._inner.dot(x + self._by, y, fill=fill)

    def text(self, x: float, y: float, words: str, *, anchor: Any = "start", colour: str = INK) -> None:
        self._inner.text(x + self._by, y, words, anchor=anchor, colour=colour)


def _plots(runs: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, int, Any]]:
    """(title, explanation, height, function) of each plot that there is something for."""
    if not runs:
        return []
    found = []
    if charts.scatter_height(runs):
        found.append((
            "Speed against quality", "Saturated runs whose error is known. Further right and lower is better.",
            charts.scatter_height(runs), charts.speed_against_quality,
        ))  # fmt: skip
    found.append((
        "Where the time goes",
        "Milliseconds of work a frame. Decoding, matting and encoding overlap, each on a thread of its own; the parts "
        "of matting follow one another.",
        charts.bars_height(runs), charts.stage_bars,
    ))  # fmt: skip
    found.append((
        "Latency",
        "From the source handing a frame over until the output has taken it. In saturated runs the queues are full, "
        "and their wait is in it; a camera sees what the paced runs show.",
        charts.histogram_height(runs), charts.latency_histograms,
    ))  # fmt: skip
    return found


def row(run: Mapping[str, Any]) -> list[str]:
    """A run as the cells of `_COLUMNS`, for the page and the terminal."""
    latency, quality = run["latency_ms"], run["quality"]
    return [
        run["name"],
        f"{run['fps']:.1f}",
        *(f"{latency[name]:.1f}" for name in ("p50", "p95", "p99")),
        (run["limiting_stage"] or "").split(":")[0],
        f"{100 * run['efficiency']:.0f} %" if run["efficiency"] is not None else "",
        f"{run['engine_alone']['fps']:.1f} fps",
        str(run["dropped"]),
        f"{run['cpu_percent']:.0f}",
        _rounded(run["peak_mib"]),
        f"{quality['mad']:.2f}" if quality else "",
        f"{quality['dtssd']:.2f}" if quality else "",
    ]


def columns() -> tuple[str, ...]:
    """Headings of `row`."""
    return _COLUMNS


def _rounded(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.0f}"


def _table(runs: Sequence[Mapping[str, Any]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in _COLUMNS)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row(run)) + "</tr>" for run in runs)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _not_run(report: Report) -> str:
    lines = "".join(f"<li>{escape(one['name'])}: {escape(one['why'])}</li>" for one in report["not_run"])
    return f"<h2>Not run</h2><ul>{lines}</ul>" if lines else ""


def _advice(report: Report) -> str:
    lines = [
        f"<li>{escape(sentence(one))} <code>{escape(one['command'])}</code></li>" for one in report["recommendation"]
    ]
    return f"<ul>{''.join(lines)}</ul>" if lines else ""


def sentence(advice: Mapping[str, Any]) -> str:
    """A recommendation for persons, without its command."""
    size = f"{advice['width']}x{advice['height']}"
    error = f", MAD {advice['mad']:.2f}" if advice["mad"] is not None else ""
    if advice["keeps_30"]:
        return f"{size}: the best matte that keeps 30 frames a second here ({advice['fps']:.1f}{error}):"
    return f"{size}: nothing that was measured keeps 30 frames a second here; the fastest ({advice['fps']:.1f}{error}):"


def _machine(report: Report) -> str:
    rows = []
    for name, value in report["machine"].items():
        text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
        rows.append(f"<dt>{escape(name.replace('_', ' '))}</dt><dd>{escape(text)}</dd>")
    return f"<dl>{''.join(rows)}</dl>"
