"""APNG and animated WebP: times, pixels, loop count, what is checked and what is said."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from livematte.color import ColorSpec
from livematte.config import OutputSettings
from livematte.errors import AlphaLost, SinkError
from livematte.frames import MattedFrame, Timestamp
from livematte.planes import plane_arrays
from livematte.reporting import ListReporter
from livematte.sinks import animated_apng, animated_webp, open_sink
from livematte.sinks.animated_time import Fractions, Milliseconds, Steps
from sinks.making import Shot, decode, start, webp_pictures, write

VARIABLE = (0, 3003, 3753, 9003, 9753, 30003)
"""Steps of 1/30 s, 1/120 s and more, on a clock of 90 kHz."""


def _apng_delays(path: Path) -> list[Fraction]:
    """Read from the chunks, without livematte's reader."""
    data = path.read_bytes()
    at, found = 8, []
    while at < len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        if name == b"fcTL":
            numerator, denominator = struct.unpack_from(">HH", data, at + 8 + 20)
            found.append(Fraction(numerator, denominator))
        at += length + 12
    return found


def _webp_durations(path: Path) -> list[int]:
    with Image.open(path) as animation:
        found = []
        for number in range(animation.n_frames):
            animation.seek(number)
            animation.load()
            found.append(animation.info["duration"])
    return found


def _alphas(shot: Shot, *, wide: bool = False) -> list[np.ndarray[Any, Any]]:
    found = []
    for index in range(len(shot.pts)):
        item = shot.item(index, "straight", wide=wide)
        assert isinstance(item, MattedFrame)
        found.append(item.matte.alpha)
    return found


# --- times ---


def test_apng_keeps_a_variable_rate_exactly(tmp_path: Path) -> None:
    shot = Shot(pts=VARIABLE, durations=(None, None, None, None, None, 1501))
    write(tmp_path / "clip.apng", shot)
    steps = [Fraction(b - a, 90000) for a, b in itertools.pairwise(VARIABLE)]
    assert _apng_delays(tmp_path / "clip.apng") == [*steps, Fraction(1501, 90000).limit_denominator(65535)]


def test_webp_rounds_to_milliseconds_without_drift(tmp_path: Path) -> None:
    """60 pictures at 60000/1001: each 16 or 17 ms, all together the 1001 ms that they are."""
    shot = Shot(pts=[1001 * n for n in range(60)], time_base=Fraction(1, 60000), rate=Fraction(60000, 1001))
    reporter = ListReporter()
    write(tmp_path / "clip.webp", shot, reporter=reporter)
    durations = _webp_durations(tmp_path / "clip.webp")
    assert set(durations) == {16, 17}
    assert sum(durations) == 1001
    ends = list(itertools.accumulate(durations))
    assert all(abs(end - (n + 1) * 1001 / 60) <= 0.5 for n, end in enumerate(ends))
    assert any("milliseconds" in note for note in reporter.notes)


def test_a_clip_that_begins_later_begins_at_0(tmp_path: Path) -> None:
    write(tmp_path / "clip.webp", Shot(pts=(900_000, 903_000, 912_000)))
    assert _webp_durations(tmp_path / "clip.webp") == [33, 100, 34]


@given(st.lists(st.fractions(Fraction(1, 100_000), 70_000, max_denominator=1_000_000), min_size=1, max_size=60))
def test_delays_never_drift(steps: list[Fraction]) -> None:
    fractions, exact, written = Fractions(), Fraction(0), Fraction(0)
    for step in steps:
        numerator, denominator = fractions.take(step)
        assert 0 <= numerator <= 65535
        assert 1 <= denominator <= 65535
        exact += step
        written += Fraction(numerator, denominator)
    if max(steps) < 60_000:
        assert abs(exact - written) <= Fraction(1, 2)
    if max(steps) < 1:
        assert abs(exact - written) <= Fraction(1, 65535)


@given(st.lists(st.fractions(Fraction(1, 500), 10, max_denominator=1_000_000), min_size=1, max_size=60))
def test_milliseconds_never_drift(steps: list[Fraction]) -> None:
    clock = Milliseconds()
    written = sum(clock.take(step) for step in steps)
    assert abs(written - 1000 * sum(steps)) <= Fraction(1, 2)


def test_frames_that_do_not_come_later_are_said_and_put_in_order() -> None:
    reporter = ListReporter()
    steps = Steps(Fraction(1, 25), reporter=reporter)
    base = Fraction(1, 25)
    found = [steps.next(Timestamp(pts, base), None) for pts in (0, 5, 5, 4, 8)]
    assert found == [None, 5 * base, base, base, base]
    assert steps.end() == Fraction(1, 25)
    assert any("in order" in warning for warning in reporter.warnings)


def test_too_fast_for_browsers_is_said(tmp_path: Path) -> None:
    reporter = ListReporter()
    shot = Shot(pts=(0, 1, 2), time_base=Fraction(1, 120), rate=Fraction(120))
    write(tmp_path / "clip.apng", shot, reporter=reporter)
    assert any("--constant-rate 50" in note for note in reporter.notes)


# --- pixels ---


@pytest.mark.parametrize("name", ["clip.apng", "clip.webp", "lossless.webp"])
def test_alpha_comes_back_exactly(tmp_path: Path, name: str) -> None:
    """All pictures, by a reader that is not ours: Pillow."""
    shot = Shot(width=101, height=63)
    write(tmp_path / name, shot, encode="lossless" if "lossless" in name else "good")
    found = webp_pictures(tmp_path / name)
    assert len(found) == len(shot.pts)
    for picture, meant in zip(found, _alphas(shot), strict=True):
        assert np.array_equal(picture[..., 3], meant)


@pytest.mark.parametrize(("name", "tolerance"), [("clip.apng", 0), ("lossless.webp", 0), ("clip.webp", 6)])
def test_colours_come_back(tmp_path: Path, name: str, tolerance: int) -> None:
    """What is not empty, of an RGB source: exact without loss, near it with loss."""
    shot = Shot(pix_fmt="gbrp", width=96, height=64)
    write(tmp_path / name, shot, encode="lossless" if "lossless" in name else "good")
    for index, picture in enumerate(webp_pictures(tmp_path / name)):
        item = shot.item(index, "straight")
        assert isinstance(item, MattedFrame)
        green, blue, red = plane_arrays(item.frame.host_picture())[:3]
        meant = np.stack([red, green, blue], -1).astype(int)
        seen = item.matte.alpha > 0
        errors = np.abs(picture[..., :3].astype(int) - meant)[seen]
        assert errors.max() == 0 if tolerance == 0 else errors.mean() < tolerance


def test_webp_has_nothing_of_the_room_under_alpha_0(tmp_path: Path) -> None:
    """Even of a foreground that was not cleaned: without loss nothing at all, with loss nothing beyond the box."""
    write(tmp_path / "lossless.webp", Shot(), encode="lossless")
    for picture in webp_pictures(tmp_path / "lossless.webp"):
        assert (picture[picture[..., 3] == 0] == 0).all()
    write(tmp_path / "good.webp", Shot(), encode="good")
    for picture, meant in zip(webp_pictures(tmp_path / "good.webp"), _alphas(Shot()), strict=True):
        rows = np.flatnonzero(meant.any(axis=1))
        assert rows[0] > 2
        assert (picture[: rows[0] - 1] == 0).all()


def test_apng_of_ten_bits_keeps_sixteen(tmp_path: Path) -> None:
    shot = Shot(pix_fmt="yuv420p10le")
    sink = write(tmp_path / "clip.apng", shot)
    assert sink.alpha_bits == 16
    found = decode(tmp_path / "clip.apng")
    assert len(found) == len(shot.pts)
    assert found[0].format.name == "rgba64be"
    for picture, meant in zip(found, _alphas(shot, wide=True), strict=True):
        assert np.array_equal(picture.to_ndarray(format="rgba64le")[..., 3], meant)


def test_an_empty_picture_and_a_full_one(tmp_path: Path) -> None:
    shot = Shot(pts=(0, 3000, 6000))
    for name in ("clip.apng", "clip.webp"):
        sink = start(tmp_path / name, shot)
        for index, value in enumerate((0, 255, 0)):
            item = shot.item(index, "straight")
            assert isinstance(item, MattedFrame)
            item.matte.alpha[:] = value
            sink.write(item)
        sink.close()
        alphas = [picture[..., 3] for picture in webp_pictures(tmp_path / name)]
        assert [int(alpha.mean()) for alpha in alphas] == [0, 255, 0]


@pytest.mark.parametrize("name", ["clip.apng", "clip.webp"])
def test_a_composite_is_opaque_and_a_matte_is_grey(tmp_path: Path, name: str) -> None:
    shot = Shot()
    write(tmp_path / name, shot, background="green")
    write(tmp_path / f"matte_{name}", shot, alpha_only=True)
    assert all((picture[..., 3] == 255).all() for picture in webp_pictures(tmp_path / name))
    for picture, meant in zip(webp_pictures(tmp_path / f"matte_{name}"), _alphas(shot), strict=True):
        assert np.array_equal(picture[..., 0], meant)
        assert np.array_equal(picture[..., 1], meant)


# --- what the file says ---


@pytest.mark.parametrize(("count", "name"), [(0, "clip.apng"), (3, "clip.apng"), (0, "clip.webp"), (3, "clip.webp")])
def test_loop_count(tmp_path: Path, count: int, name: str) -> None:
    write(tmp_path / name, Shot(), loop_count=count)
    with Image.open(tmp_path / name) as animation:
        assert animation.info["loop"] == count
        assert animation.n_frames == 8


def test_loop_count_is_not_for_videos(tmp_path: Path) -> None:
    reporter = ListReporter()
    write(tmp_path / "clip.mkv", Shot(pts=(0, 3000)), reporter=reporter, loop_count=2)
    assert any("--loop-count" in note for note in reporter.notes)


def test_apng_states_its_colours(tmp_path: Path) -> None:
    write(tmp_path / "clip.apng", Shot(color=ColorSpec("bt2020nc", "tv", "bt2020", "bt709")))
    assert decode(tmp_path / "clip.apng")[0].color_primaries == 9


def _notes(info_changes: dict[str, Any], name: str, **settings: Any) -> Sequence[str]:
    reporter = ListReporter()
    info = replace(Shot().info, **info_changes)
    sink = open_sink(name, settings=OutputSettings(**settings), info=info, reporter=reporter)
    return sink.encoding.notes  # type: ignore[attr-defined, no-any-return]


def test_what_is_said_before_it_begins() -> None:
    long = {"width": 1920, "height": 1080, "frame_count": 1800}
    assert any("1866 MB" in note and "--format webp" in note for note in _notes(long, "a.apng"))
    assert not any("MB" in note for note in _notes({**long, "frame_count": 60}, "a.apng"))
    assert any("not square" in note for note in _notes({"sample_aspect_ratio": Fraction(4, 3)}, "a.webp"))
    wide = {"color": ColorSpec("bt2020nc", "tv", "bt2020", "bt709")}
    assert any("paler" in note for note in _notes(wide, "a.webp"))
    assert not any("paler" in note for note in _notes({}, "a.webp"))
    assert any("has 10" in note for note in _notes({"pix_fmt": "yuv420p10le", "bits": 10}, "a.webp"))


def test_hdr_and_huge_pictures_are_refused() -> None:
    hdr = {"color": ColorSpec("bt2020nc", "tv", "bt2020", "smpte2084"), "pix_fmt": "yuv420p10le", "bits": 10}
    with pytest.raises(SinkError, match="HDR"):
        _notes(hdr, "a.webp")
    assert _notes(hdr, "a.webp", alpha_only=True)
    with pytest.raises(SinkError, match="16383"):
        _notes({"width": 16384}, "a.webp")


# --- checks ---


@pytest.mark.parametrize("name", ["clip.apng", "clip.webp"])
def test_a_file_cut_short_is_not_kept(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = start(tmp_path / name, Shot())
    for index in range(5):
        sink.write(Shot().item(index, "straight"))
    finish = type(sink._writer).finish

    def cut(writer: Any) -> None:
        finish(writer)
        data = sink.part.read_bytes()
        sink.part.write_bytes(data[: len(data) // 2])

    monkeypatch.setattr(type(sink._writer), "finish", cut)
    with pytest.raises(SinkError, match="cannot be decoded again"):
        sink.close()
    assert not list(tmp_path.iterdir())


def test_lost_alpha_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An encoder that drops alpha in silence."""
    right = animated_webp.still_webp

    def opaque(raw: bytes, mode: str, size: tuple[int, int], options: Any) -> bytes:
        pixels = np.frombuffer(raw, np.uint8).reshape(size[1], size[0], 4)[..., :3]
        return right(pixels.tobytes(), "RGB", size, options)

    monkeypatch.setattr(animated_webp, "still_webp", opaque)
    shot = Shot(pts=(0, 3000, 6000))
    sink = start(tmp_path / "clip.webp", shot)
    for index in range(3):
        item = shot.item(index, "straight")
        assert isinstance(item, MattedFrame)
        np.maximum(item.matte.alpha, 90, out=item.matte.alpha)
        sink.write(item)
    with pytest.raises(AlphaLost, match="opaque everywhere"):
        sink.close()
    assert not list(tmp_path.iterdir())


def test_four_gigabytes_are_the_end_of_a_webp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(animated_webp, "_LARGEST_FILE", 6000)
    with pytest.raises(SinkError, match="4 GB"):
        _write_all(tmp_path / "clip.webp")
    assert not list(tmp_path.iterdir())


def _write_all(path: Path) -> None:
    shot = Shot(pts=tuple(range(0, 40 * 3000, 3000)))
    sink = start(path, shot, encode="lossless")
    try:
        for index in range(len(shot.pts)):
            sink.write(shot.item(index, "straight"))
    except SinkError:
        sink.abort(keep=False)
        raise
    sink.close()


def test_pictures_are_found_by_their_number(tmp_path: Path) -> None:
    shot = Shot(width=33, height=17)
    write(tmp_path / "clip.apng", shot)
    write(tmp_path / "clip.webp", shot)
    apng = animated_apng.index_of(tmp_path / "clip.apng")
    webp = animated_webp.index_of(tmp_path / "clip.webp")
    assert apng.is_whole
    assert webp.is_whole
    for number, meant in enumerate(_alphas(shot)):
        still = animated_apng.picture_at(tmp_path / "clip.apng", apng, number)
        assert np.array_equal(still.to_ndarray(format="rgba")[..., 3], meant)
        assert np.array_equal(animated_webp.picture_at(tmp_path / "clip.webp", webp, number)[..., 3], meant)
