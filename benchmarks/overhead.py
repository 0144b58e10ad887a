"""What the pipeline costs beside the work itself: `convert` to a null sink against a plain loop of the same functions.

    python benchmarks/overhead.py CLIP [--model livematte-s rvm-mobilenetv3 FILE.onnx] [--frames 300] [--rounds 3]

The plain loop decodes with PyAV, and calls preprocessing and network (one session, the same options), enlarging,
smoothing, foreground cleaning and the conversion to ProRes planes, one after the other on one thread. Both are run in
turns in one process, after a warm-up, start-up apart; CPU seconds are the process's own (`time.process_time`).
Writes `benchmarks/results/overhead.json`.
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
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av

from livematte.config import ModelSettings, OutputSettings, Settings
from livematte.conversion import Conversion
from livematte.frames import Frame, Matte, MattedFrame, Timestamp
from livematte.matting.edges import Edges
from livematte.matting.foreground import clean
from livematte.matting.refine import make_refiner
from livematte.matting.temporal import make_smoother
from livematte.models.load import LoadedModel, load_model
from livematte.models.session import Session
from livematte.planes import layout, plane_arrays
from livematte.reporting import LogReporter
from livematte.runtimes.threads import cpu_name
from livematte.sinks import open_sink
from livematte.sources import open_source
from livematte.stats import StageTimes

RESULTS = Path(__file__).parent / "results" / "overhead.json"
REPORTER = LogReporter()


def looped(clip: Path, frames: int, folder: Path) -> Path:
    """The clip's packets again and again, without re-encoding, until there are `frames` pictures."""
    target = folder / f"looped{clip.suffix}"
    with av.open(str(clip)) as source, av.open(str(target), "w") as out:
        template = source.streams.video[0]
        packets = [packet for packet in source.demux(template) if packet.dts is not None]
        stream = out.add_stream_from_template(template)
        first = packets[0].dts or 0
        step = (packets[-1].dts or 0) - first + (packets[-1].duration or 1)
        for turn in range(-(-frames // len(packets))):
            for packet in packets:
                copy = av.Packet(bytes(packet))
                copy.pts = (packet.pts or 0) + turn * step
                copy.dts = (packet.dts or 0) + turn * step
                copy.duration, copy.time_base, copy.stream = packet.duration, packet.time_base, stream
                copy.is_keyframe = packet.is_keyframe
                out.mux(copy)
    return target


def plain_loop(clip: Path, loaded: LoadedModel, settings: Settings) -> int:
    """Decode and matte on one thread, with nothing between the functions; gives the number of frames."""
    source = open_source(str(clip), settings.input, reporter=REPORTER)
    info = source.info
    source.close()
    sink = open_sink("null", settings=settings.output, info=info, reporter=REPORTER)
    sink.open(info)
    session = Session(loaded, is_file=True)
    defaults = loaded.manifest.defaults
    smoother = make_smoother(defaults.temporal, settings.matting.smooth)
    refiner = make_refiner(defaults.refine, wide=False)
    edges = Edges(0.0, 0.0, 0.0, 1.0)
    count = 0
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        base = Fraction(stream.time_base)
        for picture in container.decode(stream):
            frame = Frame(picture, Timestamp(picture.pts, base), picture.duration, count, info.color)
            if count == 0 and session.is_recurrent:
                session.warm(frame)
            luma, peak = plane_arrays(picture)[0], layout(picture.format.name).peak
            small = smoother.push(session.estimate(frame).alpha, float(frame.time.seconds), luma, peak)
            assert small is not None, "the network's default smoothing delays frames; the plain loop does not"
            alpha = edges.apply(refiner.refine(small, luma, peak))
            sink.write(MattedFrame(frame, Matte(alpha, clean(picture, alpha))))
            count += 1
    sink.close()
    session.close()
    return count


def pipeline(clip: Path, loaded: LoadedModel, settings: Settings) -> tuple[int, dict[str, StageTimes]]:
    """The same through `Conversion`."""
    conversion = Conversion(str(clip), (), settings, REPORTER, loaded)
    conversion.prepare()
    summary = conversion.run()
    return summary.frames, conversion.stats.stages


def cpu_and_wall(work: Callable[[], object]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall


def measure(clip: Path, model: str, rounds: int) -> dict[str, object]:
    """Both ways in turns; medians, and the share of each stage."""
    settings = Settings(model=ModelSettings(model=model), output=OutputSettings(format="null"))
    loaded = load_model(settings.model, reporter=REPORTER)
    frames = plain_loop(clip, loaded, settings)
    pipeline(clip, loaded, settings)
    plain, piped = [], []
    stages: dict[str, StageTimes] = {}

    def run_pipeline() -> None:
        stages.update(pipeline(clip, loaded, settings)[1])

    for _ in range(rounds):
        plain.append(cpu_and_wall(lambda: plain_loop(clip, loaded, settings)))
        piped.append(cpu_and_wall(run_pipeline))
    name = loaded.manifest.name
    loaded.close()
    ratios = [b[0] / a[0] for a, b in zip(plain, piped, strict=True)]
    return {
        "model": name,
        "frames": frames,
        "plain_cpu_seconds": round(statistics.median(one[0] for one in plain), 3),
        "pipeline_cpu_seconds": round(statistics.median(one[0] for one in piped), 3),
        "cpu_ratio": round(statistics.median(ratios), 3),
        "plain_fps": round(frames / statistics.median(one[1] for one in plain), 1),
        "pipeline_fps": round(frames / statistics.median(one[1] for one in piped), 1),
        "stage_ms_per_frame": {n: round(1000 * t.total_seconds / frames, 2) for n, t in sorted(stages.items())},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--model", nargs="+", default=["livematte-s"])
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clip = looped(arguments.clip, arguments.frames, Path(folder))
        rows = [measure(clip, model, arguments.rounds) for model in arguments.model]
    machine = {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }
    report = {"protocol": "medians of paired rounds; one process; start-up apart", "machine": machine, "rows": rows}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))
    return 0 if all(float(str(row["cpu_ratio"])) <= 1.10 for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
