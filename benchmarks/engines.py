"""Runtimes, devices and precisions beside each other: the engine alone, the pipeline around it, how far alpha is off.

    python benchmarks/engines.py [--model livematte-s rvm-mobilenetv3 FILE.onnx] [--engine RUNTIME:DEVICE:PRECISION ...]

Without `--engine`: ONNX Runtime on every device that the installed one has, in fp32 and fp16. Alpha is compared with
that of the first engine of each network that ran (x 1e3, mean and largest over the frames of a synthetic 720p clip, or
of `--clip`). What cannot run is a row that says why. Writes `benchmarks/results/engines.json`.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

from livematte.bench import machine
from livematte.bench.plan import Case, Length
from livematte.bench.result import as_run
from livematte.bench.runner import run_case
from livematte.config import InputSettings, ModelSettings
from livematte.errors import DeviceError, LivematteError
from livematte.frames import Frame
from livematte.models.load import load_model
from livematte.models.session import Session
from livematte.reporting import ListReporter
from livematte.runtimes.ort_library import load_library, present_devices
from livematte.sources import open_source

RESULTS = Path(__file__).parent / "results" / "engines.json"
Alphas = list[npt.NDArray[np.float32]]


def present() -> list[str]:
    """RUNTIME:DEVICE:PRECISION of all that could run here."""
    try:
        devices = ["cpu", *(one for one in present_devices(load_library()) if one != "cpu")]
    except DeviceError:
        return []
    return [f"onnxruntime:{device}:{precision}" for device in devices for precision in ("fp32", "fp16")]


def alphas(settings: ModelSettings, clip: str, frames: int) -> Alphas:
    """The network's own alpha of the first frames."""
    loaded = load_model(settings, reporter=ListReporter())
    source = open_source(clip, InputSettings(), reporter=ListReporter())
    session, found = Session(loaded, is_file=False), []
    for item in source:
        if isinstance(item, Frame):
            if item.index == frames:
                break
            found.append(session.estimate(item).alpha.copy())
    source.close()
    session.close()
    loaded.close()
    return found


def measure(model: str, engine: str, options: argparse.Namespace, reference: Alphas) -> dict[str, object]:
    """One row. `reference` is filled by the first engine that runs."""
    runtime, device, precision = engine.split(":")
    row: dict[str, object] = {"model": Path(model).stem, "engine": engine}
    case = Case(
        model=model, runtime=runtime, device=device, precision=precision,
        source=options.clip or "synthetic", size=None if options.clip else (1280, 720),
        length=Length(options.frames, 20.0, 20),
    )  # fmt: skip
    try:
        mine = alphas(case.settings().model, case.spec(), 12)
        run = as_run(case, [run_case(case, lambda frames, fps: None) for _ in range(options.rounds)])
    except LivematteError as error:
        return row | {"not_run": str(error).replace(str(Path(model).parent) + "/", "") if "/" in model else str(error)}
    if not reference:
        reference += mine
    off = [np.abs(a - b) for a, b in zip(mine, reference, strict=True)]
    return row | {
        "model": run["model"],
        "engine_ms": run["engine_alone"]["ms"],
        "engine_fps": round(run["engine_alone"]["fps"], 1),
        "fps": round(run["fps"], 1),
        "efficiency": run["efficiency"],
        "latency_ms": run["latency_ms"],
        "cpu_ms_per_frame": run["cpu_ms_per_frame"],
        "peak_mib": run["peak_mib"],
        "vram_peak_mib": run["vram_peak_mib"],
        "gpus": run["gpus"],
        "clock_settled": run["clock_settled"],
        "off_mean": round(1000 * float(np.mean([one.mean() for one in off])), 3),
        "off_largest": round(1000 * float(max(one.max() for one in off)), 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", default=["livematte-s"])
    parser.add_argument("--engine", nargs="+", help="RUNTIME:DEVICE:PRECISION")
    parser.add_argument("--clip")
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    engines = options.engine or present()
    wrong = [engine for engine in engines if engine.count(":") != 2]
    if wrong:
        parser.error(f"{wrong[0]} is not RUNTIME:DEVICE:PRECISION, such as onnxruntime:cuda:fp16")
    facts, rows = machine.facts(), []
    for model in options.model:
        reference: Alphas = []
        for engine in engines:
            rows.append(measure(model, engine, options, reference))
            print(json.dumps(rows[-1]), flush=True)
    report = {
        "protocol": f"{options.clip or 'synthetic 720p'}, null, {options.rounds} runs of {options.frames} frames",
        "machine": facts | {"load_after": machine.load()},
        "rows": rows,
    }
    options.results.parent.mkdir(exist_ok=True)
    options.results.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
