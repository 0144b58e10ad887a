"""The errors beside a speed: those of the manifests are those that were measured, and --eval measures anew."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from bench_samples import made_round

from livematte.bench.plan import Case
from livematte.bench.quality import Quality, pairs_in, quality_of, score_folder
from livematte.bench.result import as_run
from livematte.config import ModelSettings
from livematte.errors import UsageError
from livematte.models import catalogue
from livematte.reporting import ListReporter
from livematte.sources.synthetic import SyntheticClip, SyntheticSpec

STUDY = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "study_matting.json"


@pytest.mark.parametrize("name", ["livematte-s", "rvm-mobilenetv3", "selfie"])
def test_the_manifests_scores_are_what_the_study_measured(name: str) -> None:
    """Run benchmarks/study_matting.py, then write its errors at fast, good and best into engines/NAME.toml."""
    scores = catalogue.by_name(name).defaults.scores
    assert scores is not None
    measured = json.loads(STUDY.read_text())["results"][name]["quality"]
    for quality in ("fast", "good", "best"):
        score = scores.of(quality)  # type: ignore[arg-type]
        assert score.mad == pytest.approx(measured[quality]["MAD"], abs=0.006)
        assert score.dtssd == pytest.approx(measured[quality]["dtSSD"], abs=0.006)


def test_a_runs_quality_is_its_manifests_unless_it_was_measured_here() -> None:
    run = as_run(Case(), [made_round()])
    found = quality_of(run, {})
    assert found is not None
    assert found["mad"] == catalogue.by_name("livematte-s").defaults.scores.good.mad  # type: ignore[union-attr]
    here = quality_of(run, {("auto", "good"): Quality(1.5, 2.5, "here")})
    assert here is not None
    assert (here["mad"], here["source"]) == (1.5, "here")
    assert quality_of({**run, "model": "of-the-users-own"}, {}) is None
    assert quality_of({**run, "model": "u2netp"}, {}) is None


def _write(folder: Path, *, frames: int, alphas: int) -> None:
    clip = SyntheticClip(SyntheticSpec(width=128, height=96, frames=frames))
    with av.open(str(folder / "shape.mp4"), "w") as out, av.open(str(folder / "shape.alpha.mkv"), "w") as truth:
        video, grey = out.add_stream("libx264", rate=30), truth.add_stream("ffv1", rate=30)
        for stream, pix_fmt in ((video, "yuv420p"), (grey, "gray")):
            stream.width, stream.height, stream.pix_fmt = 128, 96, pix_fmt
        for index in range(max(frames, alphas)):
            if index < frames:
                picture = clip.picture(index)
                picture.pts, picture.time_base = index, Fraction(1, 30)
                out.mux(video.encode(picture))
            if index < alphas:
                alpha = av.VideoFrame.from_ndarray(np.ascontiguousarray(clip.alpha(index, wide=False)), "gray")
                alpha.pts, alpha.time_base = index, Fraction(1, 30)
                truth.mux(grey.encode(alpha))
        out.mux(video.encode())
        truth.mux(grey.encode())


def test_a_folder_of_ones_own_is_scored(tmp_path: Path) -> None:
    _write(tmp_path, frames=6, alphas=6)
    found = score_folder(ModelSettings(quality="fast"), tmp_path, frames=5, reporter=ListReporter())
    assert 0 < found.mad < 1000
    assert found.dtssd > 0
    assert "1 clips" in found.source


def test_clips_without_their_mattes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"alpha\.mkv"):
        pairs_in(tmp_path)
    _write(tmp_path, frames=6, alphas=3)
    with pytest.raises(UsageError, match="fewer pictures"):
        score_folder(ModelSettings(quality="fast"), tmp_path, frames=6, reporter=ListReporter())


@pytest.mark.shared
@pytest.mark.slow
def test_the_shared_composites_give_the_published_errors(shared: Path) -> None:
    """Six frames of each: near the figure over all 48."""
    found = score_folder(ModelSettings(quality="fast"), shared / "eval", frames=6, reporter=ListReporter())
    assert found.mad == pytest.approx(12.47, rel=0.3)
