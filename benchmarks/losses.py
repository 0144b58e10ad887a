"""What a tool lost of a clip, measured on the file that it wrote: alpha, sound, times, frames, colour."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt

from livematte import metrics
from livematte.bench.quality import true_alphas
from livematte.config import InputSettings, MattingSettings, ModelSettings
from livematte.frames import Frame
from livematte.matting.host import HostMatting
from livematte.models.load import load_model
from livematte.models.session import Session
from livematte.planes import alpha_to_bits
from livematte.reporting import ListReporter
from livematte.sources import open_source

Plane = npt.NDArray[np.uint8]
REPORTER = ListReporter()
_INNER_PX = 15
"""Colour is compared only so far inside of where our own matte is opaque: there every tool shows the source."""


@dataclass(frozen=True)
class Losses:
    """Of one output, against the clip that it was made from."""

    frames: int
    frames_of_clip: int
    has_alpha: bool
    """An alpha channel that is not opaque everywhere."""
    audio_tracks: int
    audio_tracks_of_clip: int
    worst_time_ms: float | None
    """Largest error of a frame's time, the first frame's set to 0; None: the output carries no times."""
    colour_error: float | None
    """Mean absolute error of R, G and B (0..255) inside of the person; None: sizes differ, or nobody is there."""
    mad: float | None
    """x 1e3, against the true alpha; None: no alpha, or no truth was given."""


def reference_alphas(clip: Path) -> list[Plane]:
    """Our own matte of each frame: it only says where the person is surely."""
    loaded = load_model(ModelSettings(), reporter=REPORTER)
    source = open_source(str(clip), InputSettings(), reporter=REPORTER)
    matting = HostMatting(
        Session(loaded, is_file=True), MattingSettings(), info=source.info, wide_alpha=False, wants_foreground=False,
        reporter=REPORTER,
    )  # fmt: skip
    alphas: list[Plane] = []
    for frame in _frames(source):
        alphas += [alpha_to_bits(one.matte.alpha, 8) for one in matting.push([frame])]  # type: ignore[misc]
    alphas += [alpha_to_bits(one.matte.alpha, 8) for one in matting.flush()]  # type: ignore[misc]
    matting.close()
    source.close()
    loaded.close()
    return alphas


def measure(clip: Path, output: Path, alphas: list[Plane], truth: Path | None) -> Losses:
    """Compare an output (a video, or a folder of pictures) with its clip, frame by frame in order."""
    before = open_source(str(clip), InputSettings(), reporter=REPORTER)
    after = open_source(str(output), InputSettings(), reporter=REPORTER)
    score = metrics.ClipScore(("MAD",))
    true = true_alphas(truth) if truth is not None else None
    errors, times, lowest, count = [], [], 255, 0
    first: tuple[Fraction, Fraction] | None = None
    written = _frames(after)
    for ours, theirs in zip(_frames(before), written, strict=False):
        first = first or (ours.time.seconds, theirs.time.seconds)
        times.append(abs(float((theirs.time.seconds - first[1]) - (ours.time.seconds - first[0]))))
        known = next(true, None) if true is not None else None
        if theirs.alpha is not None:
            alpha = alpha_to_bits(theirs.alpha, 8)
            lowest = min(lowest, int(alpha.min()))
            if known is not None and known.shape == alpha.shape:
                score.add(alpha, known)
        if count < len(alphas):
            errors += _colour_error(ours, theirs, alphas[count])
        count += 1
    rest = sum(1 for _ in written)
    losses = Losses(
        frames=count + rest,
        frames_of_clip=_count(clip),
        has_alpha=lowest < 255,
        audio_tracks=_audio(output),
        audio_tracks_of_clip=_audio(clip),
        worst_time_ms=None if output.is_dir() or not times else round(1000 * max(times), 2),
        colour_error=round(float(np.mean(errors)), 3) if errors else None,
        mad=round(score.mean["MAD"], 2) if score.frames else None,
    )
    before.close()
    after.close()
    return losses


def _frames(source: object) -> Iterator[Frame]:
    return (item for item in source if isinstance(item, Frame))  # type: ignore[attr-defined]


def _colour_error(ours: Frame, theirs: Frame, alpha: Plane) -> list[float]:
    if (ours.width, ours.height) != (theirs.width, theirs.height):
        return []
    inner = cv2.erode((alpha == 255).astype(np.uint8), np.ones((2 * _INNER_PX + 1,) * 2, np.uint8)) > 0
    if not inner.any():
        return []
    difference = np.abs(ours.rgb().astype(np.int16) - theirs.rgb().astype(np.int16))
    return [float(difference[inner].mean())]


def _audio(path: Path) -> int:
    if path.is_dir():
        return 0
    with av.open(str(path)) as container:
        return len(container.streams.audio)


def _count(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def as_json(losses: Losses) -> dict[str, object]:
    return asdict(losses)


def ffmpeg_is_here() -> bool:
    """True where `ffmpeg` and `ffprobe` can be called: some peers need both."""
    try:
        return all(subprocess.run([n, "-version"], capture_output=True, check=False).returncode == 0
                   for n in ("ffmpeg", "ffprobe"))  # fmt: skip
    except OSError:
        return False


if __name__ == "__main__":
    clip, output = Path(sys.argv[1]), Path(sys.argv[2])
    truth = Path(sys.argv[3]) if len(sys.argv) > 3 else None
    print(json.dumps(as_json(measure(clip, output, reference_alphas(clip), truth)), indent=2))
