"""Which refinement and which smoothing suit a network: errors on composites with exact alpha, flicker on real clips.

    python benchmarks/study_matting.py [--shared ../shared] [--frames 48] [--networks livematte-s ...]

Writes benchmarks/results/study_matting.json and study_matting.md. Three questions, for each network:

1. Refinement: bicubic and guided filters of several radii, without smoothing.
2. Smoothing: every algorithm and strength, with bicubic. Besides the errors, `still`: 1e2 x the RMS change
   of alpha from frame to frame where the picture stands still (luma, averaged over 5x5, changes by less than 2.5 of
   255 in all the neighbourhood), in four webcam clips; a true matte has 0 there.
3. Quality: fast, good and best, bicubic, with the network's own smoothing; milliseconds a frame of the session.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from livematte import color, metrics
from livematte.config import ModelSettings
from livematte.frames import Frame, Timestamp
from livematte.matting import temporal
from livematte.matting.refine import Bicubic, Guided, Refiner, make_refiner
from livematte.models.load import LoadedModel, load_model
from livematte.models.session import Session
from livematte.planes import plane_arrays
from livematte.reporting import ListReporter

CLIPS = ("curls", "group", "plain", "scarf", "toddler")
STILL_CLIPS = ("student.mkv", "please.mkv", "hungry.mkv", "sister.mkv")
NETWORKS = {
    "livematte-s": "livematte-s",
    "rvm-mobilenetv3": "rvm_mobilenetv3_fp32.onnx",
    "selfie": "selfie_segmentation.onnx",
}
RESULTS = Path(__file__).parent / "results"
Row = dict[str, float]


@dataclass
class Clip:
    """A clip in memory: what a study reads again and again."""

    name: str
    frames: list[Frame]
    true: list[np.ndarray]
    """uint8 alphas; empty where there are none."""

    @property
    def lumas(self) -> list[np.ndarray]:
        return [plane_arrays(frame.host_picture())[0] for frame in self.frames]


def read(path: Path, limit: int) -> list[Frame]:
    """The first frames of a planar YUV clip."""
    frames = []
    with av.open(str(path)) as container:
        for index, picture in enumerate(container.decode(video=0)):
            if index == limit:
                break
            spec = color.resolve(
                colorspace=int(picture.colorspace),
                color_range=int(picture.color_range),
                primaries=int(picture.color_primaries),
                trc=int(picture.color_trc),
                is_rgb=False,
                height=picture.height,
            )
            base = Fraction(picture.time_base.numerator, picture.time_base.denominator)
            frames.append(Frame(picture, Timestamp(picture.pts, base), None, index, spec))
    return frames


def read_clip(folder: Path, name: str, limit: int) -> Clip:
    frames = read(folder / f"{name}.mp4", limit)
    with av.open(str(folder / f"{name}.alpha.mkv")) as container:
        true = [p.to_ndarray(format="gray") for _, p in zip(range(limit), container.decode(video=0), strict=False)]
    return Clip(name, frames, true)


def estimates(loaded: LoadedModel, clip: Clip) -> tuple[list[np.ndarray], float]:
    """Every frame's alpha at the network's size, and milliseconds a frame (median)."""
    session = Session(loaded, is_file=True)
    alphas, times = [], []
    session.warm(clip.frames[0])
    for frame in clip.frames:
        begin = time.perf_counter()
        alphas.append(session.estimate(frame).alpha.copy())
        times.append(1000 * (time.perf_counter() - begin))
    session.close()
    return alphas, float(np.median(times))


def smoothed(smoother: temporal.Smoother, alphas: Sequence[np.ndarray], clip: Clip) -> Iterator[np.ndarray]:
    smoother.reset()
    for alpha, frame, luma in zip(alphas, clip.frames, clip.lumas, strict=True):
        ready = smoother.push(alpha, float(frame.time.seconds), luma, 255)
        if ready is not None:
            yield ready
    yield from smoother.flush()


def errors(
    refiner: Refiner, smoother: temporal.Smoother, alphas: Sequence[np.ndarray], clip: Clip, names: Sequence[str]
) -> Row:
    score = metrics.ClipScore(names)
    for small, luma, true in zip(smoothed(smoother, alphas, clip), clip.lumas, clip.true, strict=True):
        score.add(refiner.refine(small, luma, 255), true)
    return score.mean


def flicker(smoother: temporal.Smoother, alphas: Sequence[np.ndarray], clip: Clip) -> float:
    """`still` of this module's docstring."""
    shape = alphas[0].shape
    lumas = [
        cv2.blur(cv2.resize(luma, shape[::-1], interpolation=cv2.INTER_AREA).astype(np.float32), (5, 5))
        for luma in clip.lumas
    ]
    steady = [alpha.copy() for alpha in smoothed(smoother, alphas, clip)]
    changes = []
    for number in range(1, len(steady)):
        moved = (np.abs(lumas[number] - lumas[number - 1]) > 2.5).astype(np.uint8)
        still = cv2.dilate(moved, np.ones((5, 5), np.uint8)) == 0
        if still.any():
            changes.append(float(np.sqrt(np.square(steady[number] - steady[number - 1])[still].mean())))
    return 100 * float(np.mean(changes))


REFINERS: dict[str, Callable[[], Refiner]] = {
    "bicubic": lambda: Bicubic(wide=False),
    "guided r1 1e-3": lambda: Guided(wide=False, radius_px=1, epsilon=1e-3),
    "guided r1 1e-2": lambda: Guided(wide=False, radius_px=1, epsilon=1e-2),
    "guided r2 1e-3": lambda: Guided(wide=False, radius_px=2, epsilon=1e-3),
    "guided r4 1e-3": lambda: Guided(wide=False, radius_px=4, epsilon=1e-3),
}
SMOOTHERS: dict[str, Callable[[], temporal.Smoother]] = {"none": temporal.NoSmoother}
for _algorithm in ("ema", "adaptive", "one-euro", "ofd"):
    for _strength in ("normal", "strong"):
        SMOOTHERS[f"{_algorithm} {_strength}"] = lambda a=_algorithm, s=_strength: temporal.make_smoother(a, s)  # type: ignore[misc]


def load(name: str, shared: Path, quality: str) -> LoadedModel:
    model = NETWORKS[name]
    path = shared / "models" / model
    chosen = str(path) if path.is_file() else model
    return load_model(ModelSettings.model_validate({"model": chosen, "quality": quality}), reporter=ListReporter())


def study(name: str, shared: Path, clips: Sequence[Clip], still: Sequence[Clip]) -> dict[str, dict[str, Row]]:
    """Question -> variant -> errors, for one network."""
    loaded = load(name, shared, "good")
    known = {clip.name: estimates(loaded, clip) for clip in clips}
    still_known = {clip.name: estimates(loaded, clip) for clip in still}
    defaults = loaded.manifest.defaults
    loaded.close()

    def over_clips(refiner: Refiner, make: Callable[[], temporal.Smoother], names: Sequence[str]) -> Row:
        rows = {clip.name: errors(refiner, make(), known[clip.name][0], clip, names) for clip in clips}
        return metrics.mean_over_clips(rows)

    refinement = {
        variant: over_clips(make(), temporal.NoSmoother, metrics.DEFAULT_METRICS) for variant, make in REFINERS.items()
    }
    smoothing = {}
    for variant, make in SMOOTHERS.items():
        row = over_clips(Bicubic(wide=False), make, ("MAD", "MSE", "dtSSD"))
        row["still"] = float(np.mean([flicker(make(), still_known[clip.name][0], clip) for clip in still]))
        smoothing[variant] = row
    quality = {}
    for level in ("fast", "good", "best"):
        loaded = load(name, shared, level)
        rows, times, shape = {}, [], (0, 0)
        for clip in clips:
            alphas, milliseconds = estimates(loaded, clip)
            shape = alphas[0].shape
            smoother = temporal.make_smoother(defaults.temporal, "normal")
            refiner = make_refiner(defaults.refine, wide=False)
            rows[clip.name] = errors(refiner, smoother, alphas, clip, metrics.DEFAULT_METRICS)
            times.append(milliseconds)
        loaded.close()
        size = {"width": float(shape[1]), "height": float(shape[0])}
        quality[level] = metrics.mean_over_clips(rows) | {"ms": float(np.median(times))} | size
    return {"refinement": refinement, "smoothing": smoothing, "quality": quality}


def as_markdown(results: dict[str, dict[str, dict[str, Row]]]) -> str:
    lines = []
    for network, questions in results.items():
        for question, variants in questions.items():
            columns = list(next(iter(variants.values())))
            lines += [
                f"### {network}: {question}",
                "",
                f"| | {' | '.join(columns)} |",
                "|---" * (len(columns) + 1) + "|",
            ]
            for variant, row in variants.items():
                lines.append(f"| {variant} | {' | '.join(f'{row[column]:.2f}' for column in columns)} |")
            lines.append("")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("LIVEMATTE_SHARED", "../shared")))
    parser.add_argument("--frames", type=int, default=48, help="frames of each clip")
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    options = parser.parse_args()
    clips = [read_clip(options.shared / "eval", name, options.frames) for name in CLIPS]
    still = [Clip(name, read(options.shared / "clips" / name, options.frames), []) for name in STILL_CLIPS]
    machine = {"machine": platform.machine(), "system": platform.system(), "cpus": os.cpu_count()}
    machine |= {"opencv": cv2.__version__, "numpy": np.__version__, "python": platform.python_version()}
    report = {"frames": options.frames, "clips": CLIPS, "still_clips": STILL_CLIPS, "host": machine}
    RESULTS.mkdir(exist_ok=True)
    known = RESULTS / "study_matting.json"
    results: dict[str, dict[str, dict[str, Row]]] = json.loads(known.read_text())["results"] if known.is_file() else {}
    for name in options.networks:
        results[name] = study(name, options.shared, clips, still)
        print(as_markdown({name: results[name]}), flush=True)
        # After each network, because a run takes a quarter of an hour.
        text = json.dumps(report | {"results": results}, indent=1) + "\n"
        known.write_text(text, encoding="utf-8")
        (RESULTS / "study_matting.md").write_text(as_markdown(results), encoding="utf-8")


if __name__ == "__main__":
    main()
