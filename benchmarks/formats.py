"""Frames a second, size and limiting stage of `convert` for each output format, on a real clip.

    python benchmarks/formats.py CLIP [--encode good] [--quality good]

One conversion after another in one process, after a warm-up. Writes `benchmarks/results/formats.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from pathlib import Path

from livematte.config import ModelSettings, OutputSettings, Settings
from livematte.conversion import Conversion
from livematte.models.load import LoadedModel, load_model
from livematte.reporting import ListReporter
from livematte.runtimes.threads import cpu_name

RESULTS = Path(__file__).parent / "results" / "formats.json"
TARGETS = {
    "null": "null", "mov": "clip.mov", "webm": "clip.webm", "mkv": "clip.mkv", "mp4": "clip.mp4", "png": "clip/",
    "nut": "clip.nut", "mp4 blur": "blur.mp4",
}  # fmt: skip


def measure(clip: Path, name: str, target: str, encode: str, loaded: LoadedModel) -> dict[str, object]:
    """One conversion into a scratch folder."""
    background = {"mp4": "green", "mp4 blur": "blur"}.get(name)
    output = OutputSettings(
        encode=encode,  # type: ignore[arg-type]
        background=background,
        format="null" if name == "null" else None,
    )
    with tempfile.TemporaryDirectory() as folder:
        targets = [] if name == "null" else [f"{folder}/{target}"]
        conversion = Conversion(str(clip), targets, Settings(output=output), ListReporter(), loaded)
        conversion.prepare()
        summary = conversion.run()
    size = sum(one.bytes for one in summary.outputs)
    return {
        "format": name,
        "fps": round(summary.fps, 1),
        "limiting_stage": (summary.limiting_stage or "").split(":")[0],
        "kib_per_frame": round(size / 1024 / max(1, summary.frames), 1),
        "stage_ms_per_frame": {
            stage.split(":")[0]: round(1000 * seconds / summary.frames, 2) for stage, seconds in summary.stages.items()
        },
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--encode", default="good", choices=("fast", "good", "lossless"))
    parser.add_argument("--quality", default="good", choices=("fast", "good", "best"))
    arguments = parser.parse_args()
    loaded = load_model(ModelSettings(quality=arguments.quality), reporter=ListReporter())
    measure(arguments.clip, "null", "null", arguments.encode, loaded)
    rows = [measure(arguments.clip, name, target, arguments.encode, loaded) for name, target in TARGETS.items()]
    loaded.close()
    report = {
        "protocol": f"{arguments.clip.name}, --encode {arguments.encode}, --quality {arguments.quality}, one run each",
        "machine": {"cpu": cpu_name(), "cores": os.cpu_count(), "python": platform.python_version()},
        "rows": rows,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(report, indent=2) + "\n")
    for row in rows:
        print(
            f"{row['format']:9} {row['fps']:>6} fps  {row['kib_per_frame']:>8} KiB/frame  "
            f"limited by {row['limiting_stage']}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
