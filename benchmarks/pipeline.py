"""What the pipeline costs beside the work itself, what each output costs, and whether memory stays flat.

    python benchmarks/pipeline.py CLIP [--model livematte-s rvm-mobilenetv3 FILE.onnx] [--frames 300] [--rounds 3]
    python benchmarks/pipeline.py CLIP --only goals

Three parts, all unless `--only` names some:

goals    `convert` to a null sink against a plain loop of the same functions on one thread (plain_loop.py), in turns in
         one process after a warm-up, start-up apart, at 720p and 1080p with the first of the models, at 720p with the
         others. Printed with pass or FAIL: CPU seconds at most 1.05 times the plain loop's at 720p and 1.10 times at
         1080p; preprocess, upsample, smooth and foreground together at most 40 % of the network at 720p.
formats  one run of each output, in a process of its own (`livematte.bench`): speed, efficiency, size, limiting stage.
memory   peak memory of 300 and 3,000 frames (memory.py).

CPU seconds are the process's own. Writes `benchmarks/results/pipeline.json`; ends with 1 where a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import memory
from plain_loop import REPORTER, enlarged, looped, plain_loop

from livematte.bench import machine
from livematte.bench.plan import SIZES, Case, Length
from livematte.bench.result import as_run
from livematte.bench.runner import run_case
from livematte.config import ModelSettings, OutputSettings, Settings
from livematte.conversion import Conversion
from livematte.models.load import LoadedModel, load_model
from livematte.stats import StageTimes

RESULTS = Path(__file__).parent / "results" / "pipeline.json"
PARTS = ("goals", "formats", "memory")
FORMATS = ("null", "mov", "webm", "mkv", "mp4", "png", "nut")
CPU_GOALS = {"720p": 1.05, "1080p": 1.10}
BESIDE_GOAL = 0.40
BESIDE = ("preprocess", "upsample", "smooth", "foreground")
Row = dict[str, Any]


def pipeline(clip: Path, loaded: LoadedModel, settings: Settings) -> tuple[int, dict[str, StageTimes]]:
    """The clip through `Conversion`: frames and stage times."""
    conversion = Conversion(str(clip), (), settings, REPORTER, loaded)
    conversion.prepare()
    summary = conversion.run()
    return summary.frames, conversion.stats.stages


def cpu_and_wall(work: Callable[[], object]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall


def overhead(clip: Path, size: str, model: str, rounds: int) -> Row:
    """Both ways in turns; medians, and what each stage took."""
    settings = Settings(model=ModelSettings(model=model), output=OutputSettings(format="null"))
    loaded = load_model(settings.model, reporter=REPORTER)
    frames = plain_loop(clip, loaded, settings)
    pipeline(clip, loaded, settings)
    plain, piped = [], []
    tables: list[dict[str, float]] = []

    def run_pipeline() -> None:
        stages = pipeline(clip, loaded, settings)[1]
        tables.append({name: 1000 * times.total_seconds / frames for name, times in stages.items()})

    for _ in range(rounds):
        plain.append(cpu_and_wall(lambda: plain_loop(clip, loaded, settings)))
        piped.append(cpu_and_wall(run_pipeline))
    name = loaded.manifest.name
    loaded.close()
    stages = {key: round(statistics.median(t.get(key, 0.0) for t in tables), 2) for key in sorted(tables[0])}
    threads = [stages[key] for key in ("decode", "matting", "encode") if key in stages]
    fps = frames / statistics.median(one[1] for one in piped)
    return {
        "model": name,
        "size": size,
        "frames": frames,
        "plain_cpu_seconds": round(statistics.median(one[0] for one in plain), 3),
        "pipeline_cpu_seconds": round(statistics.median(one[0] for one in piped), 3),
        "cpu_ratio": round(statistics.median(b[0] / a[0] for a, b in zip(plain, piped, strict=True)), 3),
        "plain_fps": round(frames / statistics.median(one[1] for one in plain), 1),
        "pipeline_fps": round(fps, 1),
        "efficiency": round(fps * max(threads) / 1000, 3),
        "beside_share": round(sum(stages.get(key, 0.0) for key in BESIDE) / stages["network"], 3),
        "matting_beside_share": round((stages["matting"] - stages["network"]) / stages["network"], 3),
        "stage_ms_per_frame": stages,
    }


def goals_of(rows: Sequence[Row]) -> list[Row]:
    """The goals that these rows can show, each with what was measured; of the first model alone."""
    first = rows[0]["model"] if rows else ""
    goals = []
    for row in (row for row in rows if row["model"] == first):
        limit = CPU_GOALS[row["size"]]
        goals.append(_goal(f"CPU seconds at {row['size']}, of the plain loop's", row["cpu_ratio"], limit))
        if row["size"] == "720p":
            words = f"{', '.join(BESIDE)} at 720p, of the network's"
            goals.append(_goal(words, row["beside_share"], BESIDE_GOAL))
    return goals


def _goal(words: str, measured: float, limit: float) -> Row:
    return {"goal": words, "measured": measured, "limit": limit, "passed": measured <= limit}


def goals(clip: Path, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    small = looped(clip, options.frames, folder)
    big = enlarged(clip, SIZES["1080p"], options.frames // 2, folder)
    rows = [overhead(small, "720p", options.model[0], options.rounds)]
    rows.append(overhead(big, "1080p", options.model[0], options.rounds))
    rows += [overhead(small, "720p", model, options.rounds) for model in options.model[1:]]
    protocol = f"{clip.name}, {rows[0]['frames']} frames; medians of {options.rounds} paired rounds; start-up apart"
    return {"protocol": protocol, "rows": rows, "goals": goals_of(rows)}


def formats(clip: Path, options: argparse.Namespace) -> dict[str, Any]:
    length = Length(options.frames, 60.0, 20)
    rows = []
    for encode in options.encode:
        for name in FORMATS:
            if name == "null" and encode != options.encode[0]:
                continue
            case = Case(model=options.model[0], source=str(clip), size=None, output=name, encode=encode, length=length)
            rounds = [run_case(case, lambda frames, fps: None) for _ in range(options.rounds)]
            run = as_run(case, rounds)
            rows.append(
                {
                    "format": name if encode == "good" else f"{name} ({encode})",
                    "fps": round(run["fps"], 1),
                    "limiting_stage": (run["limiting_stage"] or "").split(":")[0],
                    "efficiency": run["efficiency"],
                    "cpu_ms_per_frame": run["cpu_ms_per_frame"],
                    "peak_mib": run["peak_mib"],
                    "kib_per_frame": round(run["kib_per_frame"], 1),
                    "stage_ms_per_frame": run["stages_ms"],
                }
            )
            print(json.dumps(rows[-1]), flush=True)
    protocol = f"{clip.name}, --quality good, {options.rounds} runs of {length.frames} frames at most"
    return {"protocol": protocol, "rows": rows}


def flatness(options: argparse.Namespace) -> dict[str, Any]:
    """Peak MiB of a short and a long run of 1080p (memory.py)."""
    short = max(memory.peak_mb(300, "1920x1080", "null", []) for _ in range(memory.SHORT_RUNS))
    long = memory.peak_mb(options.long, "1920x1080", "null", [])
    return {
        "protocol": f"synthetic 1080p, null, 300 frames (largest of {memory.SHORT_RUNS} runs) and {options.long}",
        "rows": [{"frames": 300, "peak_mib": round(short)}, {"frames": options.long, "peak_mib": round(long)}],
        "growth": round(long / short - 1, 4),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path, help="1280x720")
    parser.add_argument("--model", nargs="+", default=["livematte-s"])
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--long", type=int, default=3000, help="frames of the long run for memory")
    parser.add_argument("--encode", nargs="+", default=["good"], choices=("fast", "good", "lossless"))
    parser.add_argument("--only", nargs="+", default=PARTS, choices=PARTS)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    report = json.loads(options.results.read_text()) if options.results.is_file() else {}
    report["machine"] = machine.facts()
    with tempfile.TemporaryDirectory() as folder:
        if "goals" in options.only:
            report["goals"] = goals(options.clip, options, Path(folder))
        if "formats" in options.only:
            report["formats"] = formats(options.clip, options)
    if "memory" in options.only:
        report["memory"] = flatness(options)
    report["machine"]["load_after"] = machine.load()
    options.results.parent.mkdir(exist_ok=True)
    options.results.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    for goal in report["goals"]["goals"] if "goals" in options.only else ():
        verdict = "pass" if goal["passed"] else "FAIL"
        print(f"{verdict}  {goal['goal']}: {goal['measured']:.3f} (at most {goal['limit']:.2f})")
    missed = "goals" in options.only and not all(goal["passed"] for goal in report["goals"]["goals"])
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
