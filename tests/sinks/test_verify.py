"""What was written is decoded again: lost alpha must be caught, and no file may be left."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from livematte.errors import AlphaLost, SinkError
from livematte.reporting import ListReporter
from livematte.sinks import pixels
from livematte.sinks.container import Writer
from livematte.sinks.formats import FORMATS
from livematte.sinks.selftest import codecs_that_carry_alpha
from livematte.sinks.verify import Witness
from sinks.making import Shot, alpha, start, write


def _write_with(sink: Any, shot: Shot) -> None:
    for index in range(len(shot.pts)):
        sink.write(shot.item(index, sink.wants))
    sink.close()


def test_an_encoder_that_drops_alpha_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """libvpx-vp9 opened as opaque under a WebM's name: it takes every picture and says nothing."""
    real = Writer._video_stream

    def opaque(self: Writer, size: tuple[int, int]) -> Any:
        stream = real(self, size)
        stream.pix_fmt = "yuv420p"
        return stream

    monkeypatch.setattr(Writer, "_video_stream", opaque)
    sink = start(tmp_path / "clip.webm", Shot())
    with pytest.raises(AlphaLost, match="opaque everywhere") as caught:
        _write_with(sink, Shot())
    assert "--format" in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["clip.mov", "clip.mkv", "clip.webm", "pictures/", "clip.nut"])
def test_a_wrong_matte_is_caught_and_the_file_removed(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the alpha gets lost on the way into the encoder."""
    monkeypatch.setattr(pixels.Packer, "pack", lambda self, shown, color, matte: _PACK(self, shown, color, matte // 2))
    sink = start(f"{tmp_path}/{name}", Shot())
    with pytest.raises(AlphaLost, match="different from the matte by"):
        _write_with(sink, Shot())
    assert not list(tmp_path.iterdir())


_PACK = pixels.Packer.pack


def test_only_one_bad_frame_in_the_middle_is_found_when_it_has_the_most_edge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shot = Shot()
    items = [shot.item(index, "straight") for index in range(8)]
    for index, item in enumerate(items):
        item.matte.alpha = np.full((64, 96), 0, np.uint8)  # type: ignore[union-attr]
        if index == 4:
            item.matte.alpha = np.full((64, 96), 128, np.uint8)  # type: ignore[union-attr]
    written = 0

    def breaks_the_fifth(self: Any, shown: Any, color: Any, matte: Any) -> Any:
        nonlocal written
        written += 1
        return _PACK(self, shown, color, np.zeros_like(matte) if written == 5 else matte)

    monkeypatch.setattr(pixels.Packer, "pack", breaks_the_fifth)
    sink = start(tmp_path / "clip.mov", shot)
    for item in items:
        sink.write(item)
    with pytest.raises(AlphaLost):
        sink.close()
    assert not list(tmp_path.iterdir())


def test_a_file_cut_short_is_not_given_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, settings in (("clip.mov", {}), ("clip.mp4", {"background": "green"})):
        sink = start(tmp_path / name, Shot(), **settings)
        for index in range(8):
            sink.write(Shot().item(index, sink.wants))
        finish = sink._writer.finish

        def then_truncate(finish: Any = finish, part: Path = sink.part) -> None:
            finish()
            part.write_bytes(part.read_bytes()[: part.stat().st_size // 2])

        monkeypatch.setattr(sink._writer, "finish", then_truncate)
        with pytest.raises(SinkError, match="cannot be decoded again"):
            sink.close()
        assert not list(tmp_path.iterdir())


def test_small_loss_is_reported_with_figures(tmp_path: Path) -> None:
    reporter = ListReporter()
    write(tmp_path / "clip.webm", Shot(), reporter=reporter, encode="fast")
    said = [note for note in reporter.notes if "alpha came back" in note]
    assert len(said) == 1
    assert "/255 on average" in said[0]
    reporter = ListReporter()
    write(tmp_path / "clip.mkv", Shot(), reporter=reporter)
    assert any("alpha came back exactly in" in note for note in reporter.notes)


@pytest.mark.parametrize("name", ["clip.mov", "clip.mkv", "clip.webm", "clip.nut", "clip.mp4"])
def test_frames_deep_inside_a_longer_file_are_found(tmp_path: Path, name: str) -> None:
    """The most-edged frame is at 4.9 s of 8: behind several key frames, reached by a seek."""
    settings = {"alpha_only": True} if name == "clip.mp4" else {"encode": "fast"}
    shot = Shot(width=48, height=32, pts=tuple(range(0, 240 * 3000, 3000)))
    reporter = ListReporter()
    sink = start(tmp_path / name, shot, reporter=reporter, **settings)
    soft, hard = np.full((32, 48), 90, np.uint8), np.full((32, 48), 255, np.uint8)
    for index in range(240):
        item: Any = shot.item(index % 8, sink.wants)
        item.frame.time = dataclasses.replace(item.frame.time, pts=shot.pts[index])
        item.matte.alpha = soft if index == 147 else hard
        sink.write(item)
    sink.close()
    assert any("in 3 frames" in note for note in reporter.notes)


def test_the_witness_keeps_first_last_and_most_edged_once() -> None:
    witness = Witness()
    soft = np.full((64, 96), 128, np.uint8)
    for index in range(6):
        witness.see(Fraction(index), soft if index == 3 else alpha(96, 64, index))
    assert [meant.seconds for meant in witness.frames()] == [0, 3, 5]
    one = Witness()
    one.see(Fraction(0), soft)
    assert [meant.seconds for meant in one.frames()] == [0]


def test_an_opaque_matte_may_come_back_opaque(tmp_path: Path) -> None:
    sink = start(tmp_path / "clip.mov", Shot())
    for index in range(3):
        item: Any = Shot().item(index, "straight")
        item.matte.alpha = np.full((64, 96), 255, np.uint8)
        sink.write(item)
    sink.close()
    assert (tmp_path / "clip.mov").exists()


def test_the_doctor_is_told_what_survives_here() -> None:
    found = codecs_that_carry_alpha()
    good = {title for title, reason in found.items() if not reason}
    assert any("ProRes" in title for title in good)
    assert any("VP9" in title for title in good)
    assert any("FFV1" in title for title in good)
    assert any("H.264" in title and "no alpha" in reason for title, reason in found.items())


def test_the_doctor_is_told_what_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def opaque(self: Any, shown: Any, color: Any, matte: Any) -> Any:
        return _PACK(self, shown, color, None if matte is None else np.full_like(matte, 255))

    monkeypatch.setattr(pixels.Packer, "pack", opaque)
    spared = {FORMATS["exr"].title}  # written without a `Packer`'s picture; test_exr.py has its own
    assert {title for title, reason in codecs_that_carry_alpha().items() if not reason} <= spared


@pytest.mark.parametrize("name", ["clip.mov", "clip.mkv"])
def test_pictures_closer_than_the_containers_rounding_are_not_taken_for_each_other(tmp_path: Path, name: str) -> None:
    """Times that were repaired lie a tick apart: the last picture's neighbours stand at the same millisecond."""
    write(tmp_path / name, Shot(pts=tuple(range(24))))
    assert (tmp_path / name).exists()
