"""Live, memory stays flat: resident memory of both processes over a long run, within 2 %.

    python benchmarks/live_memory.py          # 108,000 frames with the null engine, 10 minutes with the network
    python benchmarks/live_memory.py --frames 5000 --minutes 0

With the null engine the clip's frames go as fast as they are taken (an hour of a 30-fps camera in some minutes); with
the network they are paced, as a camera's. Supervisor and worker are looked at once a second. A run's first fifth fills
buffers and caches; the median of the second fifth is then compared with that of the last. Ends with 1 where either
process grew by more than 2 %. Writes `benchmarks/results/live_memory.json`.
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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from live_runs import UNPACED_FRAMES, Seen, run_live, write_clip

from livematte.config import LiveSettings, ModelSettings, OutputSettings, Settings
from livematte.live.base import LiveState
from livematte.runtimes.threads import cpu_name

RESULTS = Path(__file__).parent / "results" / "live_memory.json"
LIMIT = 0.02
LENGTHS = {"null": 2.0, "auto": 60.0}
"""Seconds of clip for each engine: with `null` its frames are kept in memory; with the network the clip is opened again
at each end."""
_MIB = 1024 * 1024


@dataclass
class Memory:
    """Resident memory of this process and of the worker, once a second."""

    supervisor: list[float] = field(default_factory=list)
    worker: list[float] = field(default_factory=list)
    workers: set[int] = field(default_factory=set)
    _last: float = 0.0

    def __call__(self, state: LiveState) -> None:
        now = time.monotonic()
        if state.state != "running" or now - self._last < 1.0:
            return
        self._last = now
        here = psutil.Process()
        children = [child for child in here.children() if _is_worker(child)]
        if len(children) != 1:
            return
        self.workers.add(children[0].pid)
        self.supervisor.append(here.memory_info().rss / _MIB)
        self.worker.append(children[0].memory_info().rss / _MIB)


def _is_worker(process: psutil.Process) -> bool:
    """Not multiprocessing's resource tracker."""
    try:
        return "spawn_main" in " ".join(process.cmdline())
    except psutil.Error:
        return False


def growth(samples: list[float]) -> dict[str, Any]:
    """The medians of the second and the last fifth, in MiB, and by how much the last is larger."""
    fifth = max(len(samples) // 5, 1)
    early, late = statistics.median(samples[fifth : 2 * fifth] or samples), statistics.median(samples[-fifth:])
    return {
        "early_mib": round(early, 1), "late_mib": round(late, 1), "peak_mib": round(max(samples), 1),
        "growth": round(late / early - 1, 4), "samples": len(samples),
    }  # fmt: skip


def measure(clip: str, runtime: str, *, minutes: float | None, frames: int | None, size: str) -> dict[str, Any]:
    """One run: `frames` as fast as they go, or `minutes` at the clip's own pace."""
    settings = Settings(
        model=ModelSettings(quality="fast", runtime=runtime),
        live=LiveSettings(loop=True, cpu_share=1.0, adapt="off", idle_seconds=0),
        output=OutputSettings(background="blur"),
    )
    memory, seen = Memory(), Seen(skip_frames=1 << 60)
    plugins: tuple[str, ...] = ()
    if frames is not None:
        os.environ[UNPACED_FRAMES] = str(frames)
        plugins = ("live_runs:unpaced",)
    seconds = 60 * minutes if minutes else None
    summary, _ = run_live(clip, settings, seconds=seconds, seen=seen, plugins=plugins, tick=memory)
    return {
        "engine": runtime, "size": size, "frames": summary.frames, "seconds": summary.seconds,
        "dropped": summary.dropped, "faults": summary.faults, "workers": len(memory.workers),
        "supervisor": growth(memory.supervisor), "worker": growth(memory.worker),
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=108_000, help="with the null engine; 0: leave it out")
    parser.add_argument("--minutes", type=float, default=10.0, help="with the network; 0: leave it out")
    parser.add_argument("--size", default="1280x720")
    arguments = parser.parse_args()
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        clips = {
            name: str(write_clip(Path(folder) / f"{name}.mp4", arguments.size, 30, s)) for name, s in LENGTHS.items()
        }
        if arguments.frames:
            runs.append(measure(clips["null"], "null", minutes=None, frames=arguments.frames, size=arguments.size))
        if arguments.minutes:
            runs.append(measure(clips["auto"], "auto", minutes=arguments.minutes, frames=None, size=arguments.size))
    flat = all(
        run[process]["growth"] <= LIMIT and run["faults"] == 0 for run in runs for process in ("supervisor", "worker")
    )
    report = {
        "protocol": "medians of the second and the last fifth of each run, one sample a second; governor off",
        "machine": {"cpu": cpu_name(), "cores": os.cpu_count(), "python": platform.python_version()},
        "limit": LIMIT,
        "flat": flat,
        "runs": runs,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))
    return 0 if flat else 1


if __name__ == "__main__":
    sys.exit(main())
