"""Capture to sent, live: the embedded network at 720p from a paced 30-fps clip to a null virtual camera.

    python benchmarks/latency.py [CLIP] [--seconds 60] [--quality fast] [--cpu-share 1.0]

Three things are measured, with the quality pinned (the governor is off): the bare network alone, on the clip's own
frames; a live run with the network, its drops, and its latency by each frame's own index and capture time as they are
carried to the sink; and a run with the null engine (alpha 1), whose latency is read from a clock in the pixels
(`live_runs.py`, Note [Clock in the pixels]) beside the carried one. Frames of the first two seconds do not count. Where
the bare network takes under 20 ms a frame, at most 1 % drops and a p95 of two frame times must hold: else it ends
with 1. Writes `benchmarks/results/latency.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from live_runs import Seen, run_live, write_clip

from livematte.config import InputSettings, LiveSettings, ModelSettings, OutputSettings, Settings
from livematte.frames import Frame
from livematte.live.governed import keep_to_share
from livematte.models.load import load_model
from livematte.models.session import Session
from livematte.reporting import LogReporter
from livematte.runtimes.threads import cpu_name
from livematte.sources import open_source
from livematte.stats import Stats

RESULTS = Path(__file__).parent / "results" / "latency.json"
SIZE, RATE = "1280x720", 30
FAST_NETWORK_MS = 20.0
"""The promise holds where the bare network is faster than this."""
MOST_DROPS = 0.01
FRAME_TIMES = 2.0


def bare_network_ms(clip: str, settings: Settings, frames: int = 150) -> dict[str, Any]:
    """The network alone, one frame after another: what its binding takes, and what makes its input."""
    loaded = load_model(keep_to_share(settings), reporter=LogReporter())
    session = Session(loaded)
    session.timer = stats = Stats()
    source = open_source(clip, InputSettings(), reporter=LogReporter())
    try:
        pictures = [item for item, _ in zip(source, range(frames), strict=False) if isinstance(item, Frame)]
        for frame in pictures[:10]:
            session.estimate(frame)
        stats.stages.clear()
        for frame in pictures:
            session.estimate(frame)
        size = session.network_size
        assert size is not None
        return {
            "network_ms": round(stats.stages["network"].percentile_ms(50), 2),
            "network_p95_ms": round(stats.stages["network"].percentile_ms(95), 2),
            "preprocess_ms": round(stats.stages["preprocess"].percentile_ms(50), 2),
            "network_size": f"{size.width}x{size.height}",
            "engine": loaded.describe(),
        }
    finally:
        source.close()
        session.close()
        loaded.close()


def percentiles(milliseconds: list[float]) -> dict[str, float]:
    """p50, p95, p99 and the largest."""
    if not milliseconds:
        return {}
    found = np.percentile(milliseconds, (50, 95, 99, 100))
    return {name: round(float(v), 2) for name, v in zip(("p50", "p95", "p99", "max"), found, strict=True)}


def live(clip: str, settings: Settings, seconds: float, *, in_pixels: bool) -> dict[str, Any]:
    """One live run."""
    seen = Seen(skip_frames=2 * RATE, wants_pixels=in_pixels)
    plugins = ("live_runs:stamp_pixels",) if in_pixels else ()
    summary, state = run_live(clip, settings, seconds=seconds, seen=seen, plugins=plugins)
    span = seen.numbers[-1] - seen.numbers[0] + 1 if seen.numbers else 0
    result: dict[str, Any] = {
        "frames": len(seen.numbers),
        "drops": round(1 - len(seen.numbers) / span, 4) if span else 1.0,
        "drops_whole_run": round(summary.dropped / max(summary.dropped + summary.frames, 1), 4),
        "latency_ms": percentiles(seen.by_capture_ms),
        "cpu_percent": summary.cpu_percent,
        "repeated": summary.repeated,
        "faults": summary.faults,
        "stages_ms": {name: round(value, 2) for name, value in sorted(state.stages_ms.items())},
    }
    if in_pixels:
        difference = [a - b for a, b in zip(seen.by_pixels_ms, seen.by_capture_ms, strict=False)]
        result["latency_by_pixels_ms"] = percentiles(seen.by_pixels_ms)
        result["unreadable_clocks"] = seen.unreadable
        result["pixels_minus_carried_ms"] = round(statistics.median(difference), 2) if difference else None
    return result


def settings_for(arguments: argparse.Namespace, runtime: str) -> Settings:
    return Settings(
        model=ModelSettings(quality=arguments.quality, runtime=runtime),
        live=LiveSettings(loop=True, cpu_share=arguments.cpu_share, adapt="off", idle_seconds=0),
        output=OutputSettings(background=arguments.background),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", nargs="?", help="default: ten seconds of a synthetic person, as H.264")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--quality", default="fast", choices=("fast", "good", "best"))
    parser.add_argument("--cpu-share", type=float, default=1.0)
    parser.add_argument("--background", default="blur")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clip = arguments.clip or str(write_clip(Path(folder) / "clip.mp4", SIZE, RATE, 10.0))
        network = settings_for(arguments, "auto")
        bare = bare_network_ms(clip, network)
        with_network = live(clip, network, arguments.seconds, in_pixels=False)
        with_clock = live(clip, settings_for(arguments, "null"), arguments.seconds, in_pixels=True)
    limit_ms = FRAME_TIMES * 1000 / RATE
    applies = bare["network_ms"] < FAST_NETWORK_MS
    runs = (with_network, with_clock) if applies else (with_clock,)
    holds = all(run["drops"] <= MOST_DROPS and run["latency_ms"].get("p95", limit_ms + 1) <= limit_ms for run in runs)
    report = {
        "protocol": f"{SIZE} at {RATE}, paced, to a null virtual camera, governor off, the first two seconds apart",
        "machine": {"cpu": cpu_name(), "cores": os.cpu_count(), "python": platform.python_version()},
        "date": time.strftime("%Y-%m-%d"),
        "seconds": arguments.seconds,
        "quality": arguments.quality,
        "cpu_share": arguments.cpu_share,
        "background": arguments.background,
        "bare_network": bare,
        "promise": {"applies": applies, "drops": MOST_DROPS, "p95_ms": round(limit_ms, 1), "holds": holds},
        "with_network": with_network,
        "null_engine_clock_in_pixels": with_clock,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
