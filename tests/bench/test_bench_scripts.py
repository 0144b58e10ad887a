"""The scripts in benchmarks/: goals, losses, and the README's tables."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from livematte import convert
from livematte.config import ModelSettings, OutputSettings, Settings
from livematte.demo.clip import clip_pictures

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)


def test_goals_are_passed_and_missed_where_they_are() -> None:
    import pipeline

    row = {"model": "m", "size": "720p", "cpu_ratio": 1.05, "beside_share": 0.41}
    big = {"model": "m", "size": "1080p", "cpu_ratio": 1.101}
    other = {"model": "n", "size": "720p", "cpu_ratio": 9.0, "beside_share": 9.0}
    found = pipeline.goals_of([row, big, other])
    assert [(goal["limit"], goal["passed"]) for goal in found] == [(1.05, True), (0.40, False), (1.10, False)]


def _clip(path: Path, times: list[int], *, sound: bool) -> Path:
    """The demo's portrait, small, with these times in 1/600 s."""
    pictures = clip_pictures()
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=30, options={"crf": "12"})
        video.width, video.height, video.pix_fmt = 256, 256, "yuv420p"
        video.time_base = video.codec_context.time_base = Fraction(1, 600)
        tone = out.add_stream("aac", rate=48000) if sound else None
        for index, moment in enumerate(times):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(pictures[index]), "rgb24")
            frame = picture.reformat(256, 256, "yuv420p")
            frame.pts, frame.time_base = moment, Fraction(1, 600)
            out.mux(video.encode(frame))
        out.mux(video.encode())
        if tone is not None:
            for block in range(12):
                samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
                samples.sample_rate, samples.pts, samples.time_base = 48000, 1024 * block, Fraction(1, 48000)
                out.mux(tone.encode(samples))
            out.mux(tone.encode())
    return path


def test_losses_are_what_the_files_show(tmp_path: Path) -> None:
    import losses

    uneven = _clip(tmp_path / "clip.mp4", [0, 20, 40, 80, 100, 120], sound=True)
    even = _clip(tmp_path / "even.mp4", [0, 20, 40, 60, 80], sound=False)
    settings = Settings(model=ModelSettings(quality="fast"), output=OutputSettings(overwrite=True))
    convert(uneven, tmp_path / "ours.mov", settings=settings)
    alphas = losses.reference_alphas(uneven)
    assert len(alphas) == 6
    ours = losses.measure(uneven, tmp_path / "ours.mov", alphas, None)
    assert (ours.has_alpha, ours.audio_tracks, ours.frames, ours.worst_time_ms) == (True, 1, 6, 0.0)
    assert ours.colour_error is not None
    assert ours.colour_error < 1.5
    other = losses.measure(uneven, even, alphas, None)
    assert (other.has_alpha, other.audio_tracks, other.frames, other.frames_of_clip) == (False, 0, 5, 6)
    assert other.worst_time_ms == pytest.approx(1000 * 20 / 600, abs=0.1)
    assert other.mad is None
    convert(uneven, f"{tmp_path}/pictures/", settings=settings)
    pictures = losses.measure(uneven, tmp_path / "pictures", alphas, None)
    assert (pictures.has_alpha, pictures.frames, pictures.worst_time_ms) == (True, 6, None)


def test_tables_of_the_readme() -> None:
    import readme_table

    lost = {"has_alpha": False, "audio_tracks": 0, "worst_time_ms": 33.4, "colour_error": 3.14, "mad": None}
    timed: dict[str, Any] = {
        "tool": "a tool", "network": "a network", "output": "out.mov", "fps": 1.234, "cpu_seconds_per_frame": 0.5,
        "peak_mib": 700, "losses": lost, "marks": [],
    }  # fmt: skip
    found = {"protocol": "a clip", "machine": {"cpu": "a processor", "load": [0.1]}, "rows": [
        timed, {**timed, "tool": "random", "marks": ["random weights"]}, {**timed, "tool": "third", "not_run": "no"},
    ]}  # fmt: skip
    lines = readme_table.peers_table(found)
    assert "| a tool | a network | .mov | 1.2 | 0.500 | 700 | lost | lost | 33 | 3.1 |  |" in lines
    assert any(line.startswith("| random | a network | .mov | not run: weights |") for line in lines)
    assert any("not run: no" in line for line in lines)
    assert len({line.count("|") for line in lines if line.startswith("|")}) == 1
    assert lines[-2].endswith("a clip; cpu a processor, load [0.1].")
    assert readme_table.peers_table({}) == []


def test_the_plain_loop_is_the_same_work(tmp_path: Path) -> None:
    import plain_loop

    from livematte.models.load import load_model

    clip = _clip(tmp_path / "clip.mp4", [0, 20, 40], sound=False)
    settings = Settings(model=ModelSettings(quality="fast"), output=OutputSettings(format="null"))
    loaded = load_model(settings.model, reporter=plain_loop.REPORTER)
    longer = plain_loop.looped(clip, 7, tmp_path)
    assert plain_loop.plain_loop(longer, loaded, settings) == 9
    bigger = plain_loop.enlarged(clip, (320, 320), 2, tmp_path)
    assert plain_loop.plain_loop(bigger, loaded, settings) == 2
    loaded.close()


@pytest.mark.parametrize("name", ["peers", "pipeline", "quality", "engines"])
def test_every_script_tells_what_it_does(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib

    module = importlib.import_module(name)
    monkeypatch.setattr("sys.argv", [name, "--help"])
    with pytest.raises(SystemExit) as ended:
        module.main()
    assert ended.value.code == 0
    assert name in capsys.readouterr().out
