"""Writes README's measured tables from benchmarks/results/*.json, between its markers.

    python benchmarks/readme_table.py [--check]

Reads what the other scripts wrote: `overhead.json` (rows with `model`, `pipeline_fps`, `cpu_ratio`),
`study_matting.json` (errors of each network at `--quality good` with its own defaults) and `formats.json` (rows with
`format`, `fps`, `limiting_stage`, `kib_per_frame`). A file that is not there leaves its column or table out. `--check`
writes nothing and ends with 1 where the README is not what it would write.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results"
BEGIN, END = "<!-- measured: begin (benchmarks/readme_table.py) -->", "<!-- measured: end -->"


def load(name: str) -> dict[str, Any]:
    """One result file, or an empty one."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"rows": []}


def model_table() -> list[str]:
    """Speed and quality side by side, a row a network that has either."""
    overhead, study = load("overhead"), load("study_matting")
    speed = {row["model"]: row for row in overhead["rows"]}
    scores = {name: found["quality"]["good"] for name, found in study.get("results", {}).items()}
    names = list(dict.fromkeys([*speed, *scores]))
    if not names:
        return []
    lines = [
        "| network | 720p to a null output, frames a second | CPU, of a plain loop's | MAD | MSE | Grad | dtSSD |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in names:
        fast, good = speed.get(name, {}), scores.get(name, {})
        ratio = f"{fast['cpu_ratio']:.2f} x" if fast else ""
        cells = [name, str(fast.get("pipeline_fps", "")), ratio]
        cells += [f"{good[key]:.2f}" if key in good else "" for key in ("MAD", "MSE", "Grad", "dtSSD")]
        lines.append(f"| {' | '.join(cells)} |")
    frames, clips = study.get("frames"), ", ".join(study.get("clips", ()))
    return [
        *lines,
        "",
        f"{_sources(('overhead', overhead))} `benchmarks/results/study_matting.json`: {frames} frames each of five "
        f"720p composites with exact alpha ({clips}).",
    ]


def format_table() -> list[str]:
    """What each output format costs."""
    formats = load("formats")
    if not formats["rows"]:
        return []
    lines = ["| output | frames a second | limited by | KiB a frame |", "|---|---|---|---|"]
    for row in formats["rows"]:
        lines.append(f"| {row['format']} | {row['fps']} | {row['limiting_stage']} | {row['kib_per_frame']} |")
    return [*lines, "", _sources(("formats", formats))]


def _sources(*files: tuple[str, dict[str, Any]]) -> str:
    said = []
    for name, content in files:
        if content["rows"]:
            machine = ", ".join(f"{key} {value}" for key, value in content.get("machine", {}).items())
            about = "; ".join(part for part in (content.get("protocol", ""), machine) if part)
            said.append(f"`benchmarks/results/{name}.json`: {about}.")
    return " ".join(said)


def text() -> str:
    """README with its tables made anew."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    head, rest = readme.split(BEGIN)
    tail = rest.split(END)[1]
    models, formats = model_table(), format_table()
    body = [*models, *([""] if models and formats else []), *formats]
    return f"{head}{BEGIN}\n{chr(10).join(body)}\n{END}{tail}"


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
