"""PNG in MOV: exact, in 8 and 16 bits; and mattes as PNG pictures for green-screen tools."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from livematte.planes import alpha_from_bits, layout, plane_arrays
from livematte.reporting import ListReporter
from livematte.sinks.pixels import first_plane, packed_array
from sinks.making import Shot, alpha, decode, picture, times, write


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "gbrp", "gbrp10le", "yuv422p10le"])
@pytest.mark.parametrize("level", ["fast", "good"])
@pytest.mark.parametrize("size", [(96, 64), (101, 63)])
def test_alpha_and_rgb_are_exact(tmp_path: Path, pix_fmt: str, level: str, size: tuple[int, int]) -> None:
    width, height = size
    deep = layout(pix_fmt).bits > 8
    write(tmp_path / "clip.mov", Shot(pix_fmt=pix_fmt, width=width, height=height), format="png-mov", encode=level)
    frames = decode(tmp_path / "clip.mov")
    assert len(frames) == 8
    for index, frame in enumerate(frames):
        assert frame.format.name == ("rgba64be" if deep else "rgba")
        pixels = packed_array(frame)
        pixels = pixels.byteswap() if deep else pixels
        assert np.array_equal(pixels[..., 3], alpha(width, height, index, wide=deep))
        if pix_fmt.startswith("gbr"):
            green, blue, red = plane_arrays(picture(pix_fmt, width, height, index))
            for channel, plane in enumerate((red, green, blue)):
                assert np.array_equal(pixels[..., channel], alpha_from_bits(plane, layout(pix_fmt).bits, wide=deep))


def test_quicktime_is_told_that_there_is_alpha(tmp_path: Path) -> None:
    """Its sample entry counts 32 bits a pixel with alpha; 24 would be opaque to Apple's and Adobe's readers."""
    for name, settings, depth in (("a.mov", {}, 32), ("b.mov", {"foreground_only": True}, 24)):
        write(tmp_path / name, Shot(), format="png-mov", **settings)
        data = (tmp_path / name).read_bytes()
        entry = data.index(b"stsd") + 12
        assert data[entry + 4 : entry + 8] == b"png "
        assert int.from_bytes(data[entry + 82 : entry + 84], "big") == depth


def test_uneven_times_are_exact_and_the_last_frame_keeps_its_length(tmp_path: Path) -> None:
    pts = (5, 3000, 7000, 8001)
    shot = Shot(pts=pts, durations=(2995, 4000, 1001, 45000))
    write(tmp_path / "clip.mov", shot, format="png-mov")
    assert times(tmp_path / "clip.mov") == [Fraction(value, 90000) for value in pts]
    with av.open(str(tmp_path / "clip.mov")) as container:
        stream = container.streams.video[0]
        assert stream.duration * Fraction(stream.time_base) == Fraction(8001 + 45000 - 5, 90000)


@pytest.mark.parametrize(
    ("pix_fmt", "encode", "bits"),
    [("yuv420p", "good", 8), ("yuv420p", "fast", 8), ("yuv420p", "lossless", 16), ("yuv420p10le", "good", 16)],
)
def test_a_matte_sequence_has_8_or_16_bits_and_is_exact(tmp_path: Path, pix_fmt: str, encode: str, bits: int) -> None:
    reporter = ListReporter()
    shot = Shot(pix_fmt=pix_fmt, width=101, height=63)
    sink = write(f"{tmp_path}/hint/", shot, reporter=reporter, alpha_only=True, encode=encode)
    assert (sink.wants, sink.alpha_bits) == ("alpha", bits)
    names = sorted(path.name for path in (tmp_path / "hint").iterdir())
    assert names == [f"{index:04d}.png" for index in range(8)], "one picture a frame"
    for index, name in enumerate(names):
        frame = decode(tmp_path / "hint" / name)[0]
        assert frame.format.name == ("gray" if bits == 8 else "gray16be")
        assert np.array_equal(first_plane(frame), alpha(101, 63, index, wide=bits == 16))
    assert any("came back exactly" in note for note in reporter.notes)


def test_colours_of_8_bits_stay_8_bits(tmp_path: Path) -> None:
    """16 bits are for a matte alone: a picture of 8 bits would only grow."""
    write(f"{tmp_path}/a/", Shot(pts=(0,)), encode="lossless")
    assert decode(tmp_path / "a" / "0000.png")[0].format.name == "rgba"
