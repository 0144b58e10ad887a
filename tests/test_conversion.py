"""Whole conversions: what comes out of a file is what went in, with its alpha, its times and nothing of the room.

Exact mattes without a network: the sources carry alpha of their own, and the null runtime says 1 everywhere.
"""

from __future__ import annotations

import threading
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest

from clipmaker import Clip, write_clip
from livematte.config import InputSettings, MattingSettings, ModelSettings, OutputSettings, Settings
from livematte.conversion import Conversion, ConvertSummary, convert
from livematte.errors import AlphaLost, Interrupted, LivematteError, SinkError, SourceError, UsageError
from livematte.planes import plane_arrays
from livematte.reporting import ListReporter
from livematte.sinks import pixels
from livematte.sources.synthetic import SyntheticClip, parse_synthetic
from livematte.stats import Progress

Array = npt.NDArray[Any]
NULL = ModelSettings(runtime="null")
EXACT = MattingSettings(smooth="off")


def settings(**output: Any) -> Settings:
    return Settings(model=NULL, matting=EXACT, output=OutputSettings(**output))


def decoded(path: Path) -> list[av.VideoFrame]:
    """Every frame, alpha included: VP9 needs libvpx, the default decoder drops its alpha without a word."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        if stream.metadata.get("alpha_mode") != "1":
            return list(container.decode(stream))
        decoder = av.CodecContext.create("libvpx-vp9", "r")
        return [frame for packet in container.demux(stream) for frame in decoder.decode(packet)]


def rgba(frame: av.VideoFrame) -> Array:
    """(H, W, 4) uint8; alpha straight from its plane."""
    picture = frame.to_ndarray(format="rgba") if "rgba" not in frame.format.name else frame.to_ndarray()
    if "yuva" in frame.format.name:
        bits = frame.format.components[3].bits
        picture[..., 3] = plane_arrays(frame)[3] >> (bits - 8)
    return picture


@pytest.fixture
def noisy(tmp_path: Path) -> Path:
    """Eight RGBA pictures of a soft disc before pure noise: any trace of the noise can be found again."""
    folder = tmp_path / "noisy"
    folder.mkdir()
    dice = np.random.default_rng(1)
    y, x = np.mgrid[0:160, 0:240]
    for index in range(8):
        distance = np.hypot(x - 100 - 2 * index, y - 80)
        alpha = np.clip((50 - distance) / 8 + 0.5, 0, 1)
        room = dice.integers(0, 256, (160, 240, 3))
        picture = np.round(np.array([180, 120, 90]) * alpha[..., None] + room * (1 - alpha[..., None]))
        both = np.dstack([picture[..., ::-1], np.round(255 * alpha)]).astype(np.uint8)
        cv2.imwrite(str(folder / f"{index:03}.png"), both)
    return folder


def noise_left(source: Array, result: Array, outside: Array) -> float:
    """Correlation of what is shown under alpha 0 with what was there; 0 within chance for 20,000 samples is 0.03."""
    a, b = source[outside].astype(float).ravel(), result[outside].astype(float).ravel()
    if b.std() == 0:
        return 0.0
    return abs(float(np.corrcoef(a, b)[0, 1]))


@pytest.mark.parametrize("name", ["out.mov", "out.webm", "out.mkv", "out/", "out.nut"])
@pytest.mark.parametrize("encode", ["fast", "lossless"])
def test_the_room_is_gone_from_every_format(noisy: Path, tmp_path: Path, name: str, encode: str) -> None:
    convert(noisy, f"{tmp_path}/{name}", settings=settings(encode=encode))
    path = tmp_path / name
    if name == "out/":
        frames = [cv2.cvtColor(cv2.imread(str(one), -1), cv2.COLOR_BGRA2RGBA) for one in sorted(path.iterdir())]
    else:
        frames = [rgba(frame) for frame in decoded(path)]
    assert len(frames) == 8
    for index, frame in enumerate(frames):
        source = cv2.cvtColor(cv2.imread(str(noisy / f"{index:03}.png"), -1), cv2.COLOR_BGRA2RGBA)
        outside = source[..., 3] == 0
        assert noise_left(source[..., :3], frame[..., :3], outside) < 0.03
        far = cv2.erode(outside.astype(np.uint8), np.ones((61, 61), np.uint8)) > 0
        assert far.sum() > 3000
        assert np.ptp(frame[far][:, :3].astype(int), axis=0).max() <= 4, "one flat colour beyond the edge"
        assert np.abs(frame[..., 3].astype(int) - source[..., 3]).mean() < 1


def test_keep_background_keeps_the_room(noisy: Path, tmp_path: Path) -> None:
    kept = Settings(model=NULL, matting=MattingSettings(smooth="off", keep_background=True))
    convert(noisy, tmp_path / "kept.mkv", settings=kept)
    source = cv2.cvtColor(cv2.imread(str(noisy / "000.png"), -1), cv2.COLOR_BGRA2RGBA)
    assert np.array_equal(rgba(decoded(tmp_path / "kept.mkv")[0]), source)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "gbrp"])
def test_where_alpha_is_one_ffv1_holds_the_decoded_source_bit_for_bit(tmp_path: Path, pix_fmt: str) -> None:
    spec = f"synthetic:121x77@25:4:{pix_fmt}:alpha"
    convert(spec, tmp_path / "exact.mkv", settings=settings())
    clip = SyntheticClip(parse_synthetic(spec))
    frames = decoded(tmp_path / "exact.mkv")
    assert len(frames) == 4
    for index, frame in enumerate(frames):
        wide = clip.layout.bits > 8
        alpha, source = clip.alpha(index, wide=wide), plane_arrays(clip.picture(index))
        opaque = (alpha == (65535 if wide else 255)).astype(np.uint8)
        if pix_fmt == "gbrp":
            red, green, blue, own = np.moveaxis(rgba(frame), 2, 0)
            written: list[Array] = [green, blue, red, own]
        else:
            written = list(plane_arrays(frame))
        peak = 255 if not wide else 1023
        assert np.array_equal(written[3], np.round(alpha / (65535 if wide else 255) * peak))
        for plane, truth in zip(written[:3], source, strict=True):
            across, down = -(-121 // truth.shape[1]), -(-77 // truth.shape[0])
            padded = cv2.copyMakeBorder(opaque, 0, -77 % down, 0, -121 % across, cv2.BORDER_REPLICATE)
            covered = padded.reshape(truth.shape[0], down, truth.shape[1], across).min(axis=(1, 3)) == 1
            assert covered.sum() > 50
            assert np.array_equal(plane[covered], truth[covered])


def test_times_of_a_variable_rate_survive_exactly_and_are_said(tmp_path: Path) -> None:
    write_clip(tmp_path / "vfr.mp4", Clip(pts=(0, 20, 50, 60, 110, 130, 190, 200, 240, 300)))
    with av.open(str(tmp_path / "vfr.mp4")) as container:
        expected = [frame.pts * frame.time_base for frame in container.decode(video=0)]
    reporter = ListReporter()
    for name in ("out.mov", "out.nut"):
        convert(tmp_path / "vfr.mp4", tmp_path / name, settings=settings(), reporter=reporter)
        assert [frame.pts * frame.time_base for frame in decoded(tmp_path / name)] == expected
    convert(tmp_path / "vfr.mp4", tmp_path / "out.webm", settings=settings())
    rounded = [frame.pts * frame.time_base for frame in decoded(tmp_path / "out.webm")]
    assert all(abs(a - b) <= Fraction(1, 2000) for a, b in zip(rounded, expected, strict=True))
    assert any("variable" in note for note in reporter.notes)
    assert any("keeps its own time" in note and "--constant-rate" in note for note in reporter.notes)


def test_a_constant_rate_is_constant(tmp_path: Path) -> None:
    write_clip(tmp_path / "vfr.mp4", Clip(pts=(0, 20, 50, 60, 110, 130, 190, 200, 240, 300)))
    reporter = ListReporter()
    chosen = settings(constant_rate="30")
    summary = convert(tmp_path / "vfr.mp4", tmp_path / "cfr.mov", settings=chosen, reporter=reporter)
    times = [frame.pts * frame.time_base for frame in decoded(tmp_path / "cfr.mov")]
    assert {b - a for a, b in pairwise(times)} == {Fraction(1, 30)}
    assert summary.frames == len(times) == 10 + summary.repeated - summary.dropped
    assert summary.repeated > 0
    assert "the output gets a constant 30 frames a second." in reporter.notes
    assert not any("own time" in note for note in reporter.notes)


@pytest.mark.parametrize("size", ["1x1", "3x5", "17x9", "101x1"])
@pytest.mark.parametrize("name", ["out.mov", "out.webm", "out.mkv", "out.mp4"])
def test_odd_sizes_convert(tmp_path: Path, size: str, name: str) -> None:
    chosen = settings(background="green") if name == "out.mp4" else settings()
    summary = convert(f"synthetic:{size}@25:3:alpha", tmp_path / name, settings=chosen)
    assert summary.frames == 3
    assert len(decoded(tmp_path / name)) == 3


def test_several_outputs_come_from_one_pass(tmp_path: Path) -> None:
    targets = [tmp_path / "a.mov", tmp_path / "b.webm", tmp_path / "c.mkv"]
    seen: list[Progress] = []
    summary = convert("synthetic:96x64@25:40:alpha", targets, settings=settings(), observer=seen.append)
    assert [Path(one.target).name for one in summary.outputs] == ["a.mov", "b.webm", "c.mkv"]
    assert all(one.bytes == path.stat().st_size for one, path in zip(summary.outputs, targets, strict=True))
    assert seen[-1].finished
    assert seen[-1].frames == 40
    assert summary.stages["network"] > 0
    assert not list(tmp_path.glob("*.part*"))


def test_an_interruption_leaves_a_playable_part_and_no_file(tmp_path: Path) -> None:
    stop = threading.Event()

    def observe(progress: Progress) -> None:
        if progress.frames >= 20:
            stop.set()

    with pytest.raises(Interrupted, match=r"\.part"):
        convert("synthetic:320x180@25:4000:alpha", tmp_path / "long.mov", settings=settings(), observer=observe,
                stop=stop)  # fmt: skip
    assert not (tmp_path / "long.mov").exists()
    assert len(decoded(tmp_path / "long.part.mov")) >= 20


def test_a_source_that_breaks_off_leaves_a_part_and_says_how_much_is_missing(tmp_path: Path) -> None:
    clip = Clip(frames=150, container_options={"movflags": "faststart"})
    write_clip(tmp_path / "whole.mp4", clip)
    data = (tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(SourceError, match=r"\d") as caught:
        convert(tmp_path / "cut.mp4", tmp_path / "out.mov", settings=settings())
    assert caught.value.exit_code == 3
    assert not (tmp_path / "out.mov").exists()
    assert len(decoded(tmp_path / "out.part.mov")) > 50


def test_alpha_that_gets_lost_on_the_way_is_caught_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An encoder that takes alpha and forgets it: what comes back is 1 everywhere."""

    def forget(target: Array, alpha: Array, bits: int) -> None:
        target[:] = (1 << bits) - 1

    monkeypatch.setattr(pixels, "write_alpha", forget)
    for name in ("lost.webm", "lost.mov", "lost.mkv"):
        with pytest.raises(AlphaLost):
            convert("synthetic:96x64@25:5:alpha", tmp_path / name, settings=settings())
    assert list(tmp_path.iterdir()) == []


def test_too_little_space_stops_early_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil
    from collections import namedtuple

    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(10**9, 10**9 - 1000, 1000))
    with pytest.raises(SinkError, match="Make room"):
        convert("synthetic:640x360@25:3000:alpha", tmp_path / "big.mov", settings=settings())
    assert list(tmp_path.iterdir()) == []


def test_nobody_is_said(tmp_path: Path) -> None:
    reporter = ListReporter()
    levels = MattingSettings(levels=(0.98, 0.99), smooth="off")
    write_clip(tmp_path / "room.mp4", Clip(frames=30, rate=Fraction(5)))
    dark = Settings(model=ModelSettings(quality="fast"), matting=levels, output=OutputSettings(format="null"))
    summary = convert(tmp_path / "room.mp4", settings=dark, reporter=reporter)
    assert summary.empty_frames >= 25
    assert any("nobody" in warning for warning in reporter.warnings)


def test_start_and_end_take_a_piece_and_begin_at_zero(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4", Clip(frames=100))
    piece = Settings(model=NULL, input=InputSettings(start="1.0", end="2.0"))
    assert convert(tmp_path / "clip.mp4", tmp_path / "piece.mov", settings=piece).frames == 25
    times = [frame.pts * frame.time_base for frame in decoded(tmp_path / "piece.mov")]
    assert (times[0], times[-1]) == (0, Fraction(24, 25))


@pytest.mark.parametrize(
    ("output", "word"),
    [({"background": "no such colour"}, "no such colour"), ({"constant_rate": "fast"}, "fast"),
     ({"format": "avi"}, "avi")],
)  # fmt: skip
def test_bad_settings_are_refused_before_anything_is_written(tmp_path: Path, output: dict[str, str], word: str) -> None:
    target = [] if "format" in output else [tmp_path / "out.mov"]
    with pytest.raises(LivematteError, match=word):
        convert("synthetic:64x48@25:5", target or None, settings=settings(**output))
    assert list(tmp_path.iterdir()) == []


def test_preparing_says_what_will_run_and_writes_nothing(tmp_path: Path) -> None:
    conversion = Conversion("synthetic:64x48@25:5", [str(tmp_path / "out.mov")], Settings(model=NULL))
    conversion.prepare()
    assert "livematte-s" in conversion.status
    assert "ProRes" in conversion.status
    assert conversion.info.width == 64
    conversion.close()
    assert list(tmp_path.iterdir()) == []


def test_a_background_makes_an_opaque_mp4_with_the_person_before_it(tmp_path: Path) -> None:
    convert("synthetic:160x96@25:5:alpha", tmp_path / "green.mp4", settings=settings(background="120,255,155"))
    clip = SyntheticClip(parse_synthetic("synthetic:160x96@25:5:alpha"))
    alpha = clip.alpha(0)
    picture = decoded(tmp_path / "green.mp4")[0].to_ndarray(format="rgb24")
    empty = cv2.erode((alpha == 0).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    assert np.abs(picture[empty].astype(int) - (120, 255, 155)).mean() < 4


def test_summary_is_plain_data() -> None:
    summary = convert("synthetic:64x48@25:5:alpha", settings=settings(format="null"))
    assert isinstance(summary, ConvertSummary)
    data = summary.as_dict()
    wanted = {"frames", "dropped", "repeated", "empty_frames", "seconds", "fps", "stages", "output"}
    assert wanted <= set(data)
    assert data["frames"] == 5


def test_a_second_name_for_the_same_output_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        convert("synthetic:64x48@25:5", [tmp_path / "a.mov", tmp_path / "a.mov"], settings=settings())
