"""Colours and matte as two files: straight fill or composite, made in one pass, neither without the other."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from livematte.color import ColorSpec
from livematte.errors import SinkError
from livematte.planes import plane_arrays
from livematte.reporting import ListReporter
from livematte.sinks import pixels
from sinks.making import Shot, alpha, decode, picture, start, times, write

SIZE = {"width": 320, "height": 192}
NAMES = ["clip_alpha.mp4", "clip_fg.mp4"]


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("background", [None, "green"])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "gbrp"])
def test_both_files_hold_their_half(tmp_path: Path, background: str | None, pix_fmt: str) -> None:
    shot = Shot(pix_fmt=pix_fmt, **SIZE)
    sink = write(tmp_path / "clip.mp4", shot, format="pair", background=background)
    assert sink.wants == ("composite" if background else "straight")
    assert _names(tmp_path) == NAMES
    assert sink.bytes_written == sum(path.stat().st_size for path in tmp_path.iterdir())
    fg, matte = decode(tmp_path / "clip_fg.mp4"), decode(tmp_path / "clip_alpha.mp4")
    assert len(fg) == len(matte) == 8
    for index, (colours, grey) in enumerate(zip(fg, matte, strict=True)):
        luma, blue, red = plane_arrays(grey)
        assert np.abs((luma.astype(float) - 16) / 219 * 255 - alpha(320, 192, index)).mean() < 0.8
        assert np.abs(blue.astype(int) - 128).max() <= 1
        assert np.abs(red.astype(int) - 128).max() <= 1
        if pix_fmt == "yuv420p":
            assert (
                np.abs(plane_arrays(colours)[0].astype(int) - plane_arrays(picture(pix_fmt, 320, 192, index))[0]).mean()
                < 2
            )


def test_the_matte_is_limited_and_the_colours_keep_their_tags(tmp_path: Path) -> None:
    write(tmp_path / "clip.mp4", Shot(color=ColorSpec("smpte170m", "pc", "smpte170m", "smpte170m")), format="pair")
    found = {}
    for name in NAMES:
        with av.open(str(tmp_path / name)) as container:
            context = container.streams.video[0].codec_context
            found[name] = (context.colorspace, context.color_range)
    assert found == {"clip_fg.mp4": (6, 2), "clip_alpha.mp4": (6, 1)}


def test_odd_sizes_and_uneven_times_are_the_same_in_both(tmp_path: Path) -> None:
    pts = (5, 3000, 7000, 8001, 15000, 15001, 40000, 41000)
    write(tmp_path / "clip.mp4", Shot(pts=pts, width=101, height=63), format="pair")
    for name in NAMES:
        assert times(tmp_path / name) == [Fraction(value, 90000) for value in pts]
        frame = decode(tmp_path / name)[0]
        assert (frame.width, frame.height) == (102, 64)


@pytest.mark.parametrize("broken", ["fg", "alpha"])
def test_neither_file_stays_where_the_other_cannot_be_read(
    tmp_path: Path, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = start(tmp_path / "clip.mp4", Shot(), format="pair")
    for index in range(8):
        sink.write(Shot().item(index, sink.wants))
    one: Any = sink.colours if broken == "fg" else sink.matte
    finish = one._writer.finish

    def then_truncate() -> None:
        finish()
        one.part.write_bytes(one.part.read_bytes()[: one.part.stat().st_size // 2])

    monkeypatch.setattr(one._writer, "finish", then_truncate)
    with pytest.raises(SinkError, match=f"clip_{broken}.mp4 was written, but cannot be decoded again"):
        sink.close()
    assert not _names(tmp_path)


def test_a_wrong_matte_is_caught_and_both_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = pixels.Packer._fill_luma
    monkeypatch.setattr(pixels.Packer, "_fill_luma", lambda self, planes, matte: real(self, planes, 255 - matte))
    sink = start(tmp_path / "clip.mp4", Shot(), format="pair")
    for index in range(8):
        sink.write(Shot().item(index, sink.wants))
    with pytest.raises(SinkError, match="different from the matte"):
        sink.close()
    assert not _names(tmp_path)


def test_a_second_file_that_cannot_be_opened_takes_the_first_away(tmp_path: Path) -> None:
    (tmp_path / "clip_alpha.mp4").mkdir()
    with pytest.raises(SinkError, match="there is a folder of that name"):
        start(tmp_path / "clip.mp4", Shot(), format="pair")
    assert _names(tmp_path) == ["clip_alpha.mp4"]


def test_what_is_said_is_said_once_for_the_picture(tmp_path: Path) -> None:
    reporter = ListReporter()
    write(tmp_path / "clip.mp4", Shot(width=101, pix_fmt="yuv420p10le"), reporter=reporter, format="pair")
    assert sum("even sides" in note for note in reporter.notes) == 1
    assert sum("8 bits" in note for note in reporter.notes) == 1
    assert sum("alpha came back" in note for note in reporter.notes) == 1
