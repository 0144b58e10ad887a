"""Writes README's measured tables from benchmarks/results/*.json, between its markers.

    python benchmarks/readme_table.py [--check]

Reads what the other scripts wrote: `quality.json`, `peers.json`, `pipeline.json` and `engines.json`. A file that is not
there leaves its table out. `--check` writes nothing and ends with 1 where the README is not what it would write.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results"
BEGIN, END = "<!-- measured: begin (benchmarks/readme_table.py) -->", "<!-- measured: end -->"
Row = Mapping[str, Any]
_FACTS = ("cpu", "cores", "python", "load")
"""Facts of the machine that stand below a table; the others are in the file."""


def load(name: str) -> dict[str, Any]:
    """One result file, or an empty one."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def quality_table(found: Row) -> list[str]:
    """Speed and quality side by side, a row a network and quality."""
    rows = [
        [
            row["model"], row["quality"], _number(row, "fps", 1), _share(row, "efficiency"), _number(row, "mad", 2),
            _number(row, "mse", 2), _number(row, "grad", 2), _number(row, "dtssd", 2),
        ]
        for row in found.get("rows", ()) if "not_run" not in row
    ]  # fmt: skip
    head = ("network", "--quality", "720p, frames a second", "of its slowest stage", "MAD", "MSE", "Grad", "dtSSD")
    return _table(head, rows, "quality", found.get("protocol", ""), found)


def peers_table(found: Row) -> list[str]:
    """Peers, with what each loses. Random weights are no result: they count as not run."""
    rows = []
    for row in found.get("rows", ()):
        start = [row["tool"], row["network"], row["output"].strip("/").replace("out.", ".")]
        why = "weights" if "random weights" in row.get("marks", ()) else row.get("not_run")
        if why:
            rows.append([*start, f"not run: {why.splitlines()[0][:60]}", *[""] * 7])
            continue
        lost = row["losses"]
        rows.append([
            *start, _number(row, "fps", 1), _number(row, "cpu_seconds_per_frame", 3), str(row["peak_mib"]),
            "kept" if lost["has_alpha"] else "lost", "kept" if lost["audio_tracks"] else "lost",
            "none" if lost["worst_time_ms"] is None else f"{lost['worst_time_ms']:.0f}",
            _number(lost, "colour_error", 1), _number(lost, "mad", 1),
        ])  # fmt: skip
    head = (
        "tool", "network", "output", "frames a second", "CPU s a frame", "peak MiB", "alpha", "sound",
        "times off, ms", "colour off, of 255", "MAD",
    )  # fmt: skip
    return _table(head, rows, "peers", found.get("protocol", ""), found)


def goals_table(found: Row) -> list[str]:
    """The goals that pipeline.py holds itself to."""
    part = found.get("goals", {})
    rows = [
        [goal["goal"], f"{goal['measured']:.2f}", f"{goal['limit']:.2f}", "held" if goal["passed"] else "missed"]
        for goal in part.get("goals", ())
    ]
    return _table(("goal", "measured", "at most", ""), rows, "pipeline", part.get("protocol", ""), found)


def format_table(found: Row) -> list[str]:
    """What each output costs."""
    part = found.get("formats", {})
    rows = [
        [row["format"], _number(row, "fps", 1), row["limiting_stage"], _number(row, "kib_per_frame", 1)]
        for row in part.get("rows", ())
    ]
    head = ("output", "frames a second", "limited by", "KiB a frame")
    return _table(head, rows, "pipeline", part.get("protocol", ""), found)


def engines_table(found: Row) -> list[str]:
    """Runtimes, devices and precisions that ran."""
    rows = [
        [
            row["model"], row["engine"].replace(":", ", "), _number(row, "engine_fps", 1), _number(row, "fps", 1),
            _share(row, "efficiency"), _number(row, "off_mean", 3),
        ]
        for row in found.get("rows", ()) if "not_run" not in row
    ]  # fmt: skip
    head = ("network", "engine", "alone, a second", "pipeline, a second", "of its slowest stage", "alpha off, x 1000")
    return _table(head, rows, "engines", found.get("protocol", ""), found)


def _number(row: Row, key: str, digits: int) -> str:
    value = row.get(key)
    return "" if value is None else f"{value:.{digits}f}"


def _share(row: Row, key: str) -> str:
    value = row.get(key)
    return "" if value is None else f"{100 * value:.0f} %"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], name: str, protocol: str, found: Row) -> list[str]:
    """Markdown, with where it is from below it; empty without rows."""
    if not rows:
        return []
    machine = ", ".join(f"{key} {found['machine'][key]}" for key in _FACTS if key in found.get("machine", {}))
    about = "; ".join(part for part in (protocol, machine) if part)
    return [
        f"| {' | '.join(head)} |",
        f"{'|---' * len(head)}|",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
        f"`benchmarks/results/{name}.json`: {about}.",
        "",
    ]


def text() -> str:
    """README with its tables made anew."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    head, rest = readme.split(BEGIN)
    tail = rest.split(END)[1]
    pipeline = load("pipeline")
    body = [
        *quality_table(load("quality")),
        *peers_table(load("peers")),
        *format_table(pipeline),
        *goals_table(pipeline),
        *engines_table(load("engines")),
    ]
    return f"{head}{BEGIN}\n{chr(10).join(body).rstrip()}\n{END}{tail}"


def main() -> int:
    """Write, or check."""
    made = text()
    if "--check" in sys.argv:
        current = (ROOT / "README.md").read_text(encoding="utf-8")
        print("README.md is up to date" if made == current else "README.md is old: python benchmarks/readme_table.py")
        return int(made != current)
    (ROOT / "README.md").write_text(made, encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
