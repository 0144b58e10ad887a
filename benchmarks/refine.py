"""Whether `--refine-with` helps: small figures with exact alpha, one network alone against two stages.

    python benchmarks/refine.py FOLDER [--backgrounds FOLDER] [--coarse livematte-s FILE.onnx]
        [--second livematte-s FILE.onnx] [--frames 12] [--heavy FILE.onnx --heavy-frames 2] [--scales 1/3 1/2 1]

FOLDER holds clips NAME.mp4 with their true mattes NAME.alpha.mkv. Each clip's person, with the colours at the edge
cleaned by the true alpha, is shrunk to a share of a 1920x1080 frame, set at its bottom over a picture (without
--backgrounds: over a formula), and moved to the right by 2 px a frame; the true alpha is shrunk and moved alike.
Scale 1 is the clip's own size and framing, where the figure is large, over the same picture. `pair` has two people, 1/3
each, at the two ends of the frame: with a box each, as it is, and with one box around both.

Writes `benchmarks/results/refine.json`: MAD, MSE, Grad and dtSSD over the whole frame and MAD within the unknown band,
means over clips; `ms` is the median of matting a frame, of a busy machine or a quiet one as
`machine` says.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt

from livematte import metrics
from livematte.bench import machine
from livematte.bench.quality import pairs_in, true_alphas
from livematte.color import ColorSpec
from livematte.config import InputSettings, MattingSettings, ModelSettings
from livematte.errors import LivematteError
from livematte.frames import Frame, StreamInfo, Timestamp
from livematte.matting.foreground import clean
from livematte.matting.host import HostMatting
from livematte.models.load import LoadedModel, load_model
from livematte.models.session import Session, second_sessions
from livematte.planes import new_picture, plane_arrays
from livematte.reporting import ListReporter
from livematte.sources import open_source

RESULTS = Path(__file__).parent / "results" / "refine.json"
WIDTH, HEIGHT = 1920, 1080
SPEC = ColorSpec("bt709", "tv")
REPORTER = ListReporter()
Grey = npt.NDArray[np.uint8]
Rgb = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Picture:
    """One frame of a composite and its true alpha (H, W) uint8."""

    frame: Frame
    alpha: Grey


@dataclass
class Scored:
    """One configuration on one clip."""

    score: metrics.ClipScore = field(default_factory=metrics.ClipScore)
    took_ms: list[float] = field(default_factory=list)

    def as_row(self) -> dict[str, float]:
        return {**self.score.mean, "MAD in the band": self.score.band_mean["MAD"], "ms": float(np.median(self.took_ms))}


def people(clip: Path, truth: Path, frames: int) -> Iterator[tuple[Rgb, Grey]]:
    """Straight colours and alpha of a clip's person, (h, w, 3) and (h, w) uint8."""
    source = open_source(str(clip), InputSettings(), reporter=REPORTER)
    alphas = true_alphas(truth)
    try:
        for item in source:
            if isinstance(item, Frame):
                if item.index >= frames:
                    return
                alpha = next(alphas)
                cleaned = clean(item.host_picture(), alpha, keep_background=False, despill=0.0, color=item.color)
                yield Frame(cleaned, item.time, None, item.index, item.color).rgb(), alpha
    finally:
        alphas.close()
        source.close()


def backdrop(pictures: list[Path], number: int) -> Rgb:
    """A background of 1920x1080: a photo, or without any a formula of slow waves and grain."""
    if pictures:
        image = cv2.imread(str(pictures[37 * number % len(pictures)]), cv2.IMREAD_COLOR)
        assert image is not None
        scale = max(WIDTH / image.shape[1], HEIGHT / image.shape[0])
        grown = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)[:HEIGHT, :WIDTH]
        return np.ascontiguousarray(cv2.resize(grown, (WIDTH, HEIGHT))[..., ::-1]).astype(np.uint8)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    waves = [128 + 90 * np.sin(x / (70 + 40 * at) + number) * np.cos(y / (90 + 20 * at)) for at in range(3)]
    grain = np.random.default_rng(number).normal(0, 6, (HEIGHT, WIDTH, 3))
    return np.clip(np.dstack(waves) + grain, 0, 255).astype(np.uint8)


def over(behind: Rgb, alpha: Grey, figures: list[tuple[Rgb, Grey, int]], scale: Fraction) -> Rgb:
    """Set figures (colours, alpha, left px), shrunk, at the bottom of a picture; their alpha is written to `alpha`."""
    made = behind.copy()
    size = int(WIDTH * scale), int(HEIGHT * scale)
    for colours, own, left in figures:
        small = cv2.resize(own, size, interpolation=cv2.INTER_AREA)
        # Premultiplied while shrinking, so that what is under alpha 0 does not run into the edge.
        weight = own[..., None].astype(np.float32) / 255
        front = cv2.resize(colours * weight, size, interpolation=cv2.INTER_AREA)
        at = slice(HEIGHT - size[1], HEIGHT), slice(left, left + size[0])
        share = small[..., None].astype(np.float32) / 255
        made[at] = np.rint(front + made[at] * (1 - share)).clip(0, 255).astype(np.uint8)
        alpha[at] = np.maximum(alpha[at], small)
    return made


def as_frame(rgb: Rgb, index: int) -> Frame:
    """4:2:0 in BT.709, limited range, as a camera gives it."""
    picture = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(
        format="yuv420p", dst_colorspace=1, src_color_range=2, dst_color_range=1
    )
    made = new_picture("yuv420p", rgb.shape[1], rgb.shape[0])
    for source, target in zip(plane_arrays(picture), plane_arrays(made), strict=True):
        target[...] = source
    return Frame(made, Timestamp(index, Fraction(1, 30)), 1, index, SPEC)


def small_figures(pair: tuple[Path, Path], frames: int, scale: Fraction, behind: Rgb) -> Iterator[Picture]:
    """One figure, moving."""
    for index, (colours, own) in enumerate(people(*pair, frames)):
        if scale == 1:
            size = own.shape[1], own.shape[0]
            alpha = own
            share = own[..., None].astype(np.float32) / 255
            rgb = np.rint(colours * share + cv2.resize(behind, size) * (1 - share)).astype(np.uint8)
        else:
            alpha = np.zeros((HEIGHT, WIDTH), np.uint8)
            left = int((WIDTH - WIDTH * scale) / 3) + 2 * index
            rgb = over(behind, alpha, [(colours, own, left)], scale)
        yield Picture(as_frame(rgb, index), alpha)


def two_figures(pairs: list[tuple[Path, Path]], frames: int, behind: Rgb) -> Iterator[Picture]:
    """Two small figures far apart."""
    scale = Fraction(1, 3)
    for index, both in enumerate(zip(people(*pairs[0], frames), people(*pairs[1], frames), strict=True)):
        alpha = np.zeros((HEIGHT, WIDTH), np.uint8)
        lefts = 2 * index, WIDTH - int(WIDTH * scale) - 2 * index
        figures = [(*one, left) for one, left in zip(both, lefts, strict=True)]
        yield Picture(as_frame(over(behind, alpha, figures, scale), index), alpha)


def run(loaded: LoadedModel, pictures: list[Picture], *, one_box: bool) -> Scored:
    """Score every frame."""
    scored = Scored()
    alphas = _alphas(loaded, pictures, scored.took_ms, one_box=one_box)
    for picture, alpha in zip(pictures, alphas, strict=True):
        scored.score.add(alpha, picture.alpha, band=metrics.unknown_band(picture.alpha))
    return scored


def _alphas(
    loaded: LoadedModel, pictures: list[Picture], took_ms: list[float], *, one_box: bool
) -> list[npt.NDArray[Any]]:
    first = pictures[0].frame
    info = StreamInfo("composite", first.width, first.height, "yuv420p", SPEC, Fraction(1, 30), Fraction(30))
    matting = HostMatting(
        Session(loaded, is_file=True),
        MattingSettings(subject="all"),
        info=info,
        wide_alpha=False,
        wants_foreground=False,
        reporter=REPORTER,
        is_live=one_box,  # live there is one box
        second=second_sessions(loaded, is_file=True),
    )
    found: list[npt.NDArray[Any]] = []
    try:
        for picture in pictures:
            begin = time.perf_counter()
            found += [one.matte.alpha for one in matting.push([picture.frame])]
            took_ms.append(1000 * (time.perf_counter() - begin))
        found += [one.matte.alpha for one in matting.flush()]
    finally:
        matting.close()
    return found


def rows_for(name: str, clips: dict[str, list[Picture]], options: argparse.Namespace) -> Iterator[dict[str, object]]:
    """Each pair of networks on the clips of one kind."""
    for coarse in options.coarse:
        for second in (None, *options.second, *options.heavy):
            frames = options.heavy_frames if second in options.heavy else options.frames
            for arm in ("automatic", "one box") if name == "pair" and second is not None else ("automatic",):
                row: dict[str, object] = {"figures": name, "coarse": Path(coarse).stem, "frames": frames}
                row |= {"second": second and Path(second).stem, "boxes": arm if second else None}
                try:
                    loaded = load_model(ModelSettings(model=coarse, refine_with=second), reporter=REPORTER)
                except LivematteError as error:
                    yield row | {"not_run": str(error)}
                    continue
                try:
                    scores = {
                        clip: run(loaded, all_[:frames], one_box=arm == "one box").as_row()
                        for clip, all_ in clips.items()
                    }
                finally:
                    loaded.close()
                row |= {
                    key: round(value, 3) if np.isfinite(value) else None
                    for key, value in metrics.mean_over_clips(scores).items()
                }
                row["MAD by clip"] = {clip: round(score["MAD"], 2) for clip, score in scores.items()}
                yield row


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--backgrounds", type=Path)
    parser.add_argument("--coarse", nargs="+", default=["livematte-s"])
    parser.add_argument("--second", nargs="*", default=["livematte-s"])
    parser.add_argument("--heavy", nargs="*", default=[])
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--heavy-frames", type=int, default=2)
    parser.add_argument("--scales", nargs="+", default=["1/3", "1/2", "1"])
    parser.add_argument("--no-pair", action="store_true")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    pictures = sorted(options.backgrounds.glob("*.jpg")) if options.backgrounds else []
    pairs = pairs_in(options.folder)
    rows: list[dict[str, object]] = []

    def take(name: str, clips: dict[str, list[Picture]]) -> None:
        for row in rows_for(name, clips, options):
            rows.append(row)
            print(json.dumps(row), file=sys.stderr, flush=True)

    for scale in options.scales:
        made = {
            pair[0].stem: list(small_figures(pair, options.frames, Fraction(scale), backdrop(pictures, number)))
            for number, pair in enumerate(pairs)
        }
        take(scale, made)
    if not options.no_pair and len(pairs) > 1:
        take("pair", {"pair": list(two_figures([pairs[0], pairs[-1]], options.frames, backdrop(pictures, 0)))})
    result = {"machine": machine.facts(), "frame": f"{WIDTH}x{HEIGHT}", "rows": rows}
    options.results.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
