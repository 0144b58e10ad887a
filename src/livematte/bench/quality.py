"""How good a setting's matte is: the manifests' measured values, or a folder of the user's with true mattes."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import numpy.typing as npt

from livematte import metrics
from livematte.config import InputSettings, MattingSettings, ModelSettings
from livematte.config import Quality as QualityName
from livematte.errors import ModelError, UsageError
from livematte.frames import Frame, MattedFrame
from livematte.matting.host import HostMatting
from livematte.models import catalogue
from livematte.models.load import LoadedModel, load_model
from livematte.models.session import Session, second_sessions
from livematte.planes import alpha_to_bits
from livematte.reporting import Reporter
from livematte.sources import open_source


@dataclass(frozen=True, slots=True)
class Quality:
    """Errors of a setting's matte (`metrics.py`); lower is better."""

    mad: float
    """x 1e3."""
    dtssd: float
    """x 1e2."""
    source: str
    """Where the figures are from, for persons."""
    mse: float | None = None
    """x 1e3."""
    grad: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"mad": self.mad, "mse": self.mse, "grad": self.grad, "dtssd": self.dtssd, "source": self.source}


def quality_of(run: Mapping[str, Any], measured: Mapping[tuple[str, str], Quality]) -> dict[str, Any] | None:
    """The errors of a run's setting: measured here, else its manifest's; None where nobody has measured them."""
    model, quality = str(run["case"]["model"]), str(run["case"]["quality"])
    if (model, quality) in measured:
        return measured[model, quality].as_dict()
    try:
        scores = catalogue.by_name(str(run["model"])).defaults.scores
    except ModelError:
        return None
    if scores is None:
        return None
    score = scores.of(cast(QualityName, quality))
    return Quality(score.mad, score.dtssd, "the network's manifest: five composites at 1280x720").as_dict()


def pairs_in(folder: Path) -> list[tuple[Path, Path]]:
    """(clip, true alpha) of a folder: `NAME.mp4` (or .mov, .mkv, .webm) with `NAME.alpha.mkv`. UsageError: none."""
    found = []
    for truth in sorted(folder.glob("*.alpha.mkv")) if folder.is_dir() else []:
        stem = truth.name.removesuffix(".alpha.mkv")
        clips = [clip for suffix in (".mp4", ".mov", ".mkv", ".webm") if (clip := folder / f"{stem}{suffix}").is_file()]
        if clips:
            found.append((clips[0], truth))
    if not found:
        raise UsageError(
            f"{folder} holds no clips with their true alpha. Give a folder with NAME.mp4 and, beside each, "
            "NAME.alpha.mkv: grey, full range, one picture a frame."
        )
    return found


def score_folder(settings: ModelSettings, folder: Path, *, frames: int, reporter: Reporter) -> Quality:
    """Errors of a network on every clip of a folder, the first `frames` pictures of each, with its own smoothing.

    Raises what loading a network and reading a clip raise, and `UsageError` (`pairs_in`).
    """
    pairs = pairs_in(folder)
    loaded = load_model(settings, reporter=reporter)
    try:
        rows = {clip.name: _score(loaded, clip, truth, frames, reporter) for clip, truth in pairs}
    finally:
        loaded.close()
    mean = {name: round(value, 3) for name, value in metrics.mean_over_clips(rows).items()}
    where = f"{len(pairs)} clips of {folder.name}, {frames} frames each at most"
    return Quality(mean["MAD"], mean["dtSSD"], where, mean["MSE"], mean["Grad"])


def _score(loaded: LoadedModel, clip: Path, truth: Path, frames: int, reporter: Reporter) -> dict[str, float]:
    source = open_source(str(clip), InputSettings(), reporter=reporter)
    matting = HostMatting(
        Session(loaded, is_file=True),
        MattingSettings(),
        info=source.info,
        wide_alpha=False,
        wants_foreground=False,
        reporter=reporter,
        second=second_sessions(loaded, is_file=True),
    )
    score = metrics.ClipScore()
    waiting = true_alphas(truth)

    def add(matted: list[MattedFrame]) -> None:
        for one in matted:
            true = next(waiting, None)
            if true is None:
                raise UsageError(f"{truth.name} has fewer pictures than {clip.name}; each frame needs its own.")
            score.add(alpha_to_bits(one.matte.alpha, 8), true)

    try:
        for item in source:
            if isinstance(item, Frame):
                if item.index >= frames:
                    break
                add(matting.push([item]))
        add(matting.flush())
    finally:
        matting.close()
        source.close()
        waiting.close()
    return dict(score.mean)


def true_alphas(path: Path) -> Generator[npt.NDArray[np.uint8], None, None]:
    """A generator over the grey pictures of a file as (H, W) uint8, full range."""
    with av.open(str(path)) as container:
        for picture in container.decode(video=0):
            yield cast(npt.NDArray[np.uint8], picture.to_ndarray(format="gray"))
