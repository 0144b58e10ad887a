"""Speed and quality of each network together, on one machine in one run.

    python benchmarks/quality.py FOLDER [--model livematte-s rvm-mobilenetv3 FILE.onnx] [--quality fast good best]

FOLDER holds clips NAME.mp4 with their true mattes NAME.alpha.mkv (grey, full range). Errors are means over frames and
clips, with the network's own smoothing; speed is that of `convert` to a null sink on the first of the clips, each run
in a process of its own. Writes `benchmarks/results/quality.json`.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from livematte.bench import machine
from livematte.bench.plan import Case, Length
from livematte.bench.quality import pairs_in, score_folder
from livematte.bench.result import as_run
from livematte.bench.runner import RunFailed, run_case
from livematte.config import ModelSettings
from livematte.errors import LivematteError
from livematte.reporting import ListReporter

RESULTS = Path(__file__).parent / "results" / "quality.json"


def measure(model: str, quality: str, folder: Path, options: argparse.Namespace) -> dict[str, object]:
    """One row; `not_run` says why where it could not be made."""
    clip = pairs_in(folder)[0][0]
    case = Case(
        model=model, quality=quality, source=str(clip), size=None, length=Length(options.frames, 60.0, options.warm_up),  # type: ignore[arg-type]
    )  # fmt: skip
    try:
        run = as_run(case, [run_case(case, lambda frames, fps: None) for _ in range(options.rounds)])
        settings = ModelSettings.model_validate({"model": model, "quality": quality})
        errors = score_folder(settings, folder, frames=options.frames, reporter=ListReporter())
    except (LivematteError, RunFailed) as error:
        return {"model": Path(model).name, "quality": quality, "not_run": str(error)}
    return {
        "model": run["model"],
        "quality": quality,
        "width": run["width"],
        "height": run["height"],
        "fps": round(run["fps"], 1),
        "engine_fps": round(run["engine_alone"]["fps"], 1),
        "efficiency": run["efficiency"],
        "cpu_ms_per_frame": run["cpu_ms_per_frame"],
        "peak_mib": run["peak_mib"],
        "mad": errors.mad,
        "mse": errors.mse,
        "grad": errors.grad,
        "dtssd": errors.dtssd,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", nargs="+", default=["livematte-s"])
    parser.add_argument("--quality", nargs="+", default=["fast", "good", "best"], choices=("fast", "good", "best"))
    parser.add_argument("--frames", type=int, default=48, help="frames of each clip")
    parser.add_argument("--warm-up", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    facts, rows = machine.facts(), []
    for model in options.model:
        for quality in options.quality:
            rows.append(measure(model, quality, options.folder, options))
            print(json.dumps(rows[-1]), flush=True)
    names = ", ".join(clip.stem for clip, _ in pairs_in(options.folder))
    report = {
        "protocol": f"{options.frames} frames each of {names}; speed on the first, {options.rounds} runs, null output",
        "machine": facts | {"load_after": machine.load()},
        "rows": rows,
    }
    options.results.parent.mkdir(exist_ok=True)
    options.results.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
