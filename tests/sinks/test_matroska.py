"""The display size that is put into a finished Matroska file."""

from __future__ import annotations

import zlib
from fractions import Fraction
from pathlib import Path

import av
import pytest

from livematte.sinks.matroska import state_pixel_shape
from livematte.sources.timing import fraction
from sinks.making import Shot, decode, write


@pytest.mark.parametrize("name", ["clip.mkv", "clip.webm"])
@pytest.mark.parametrize("shape", [Fraction(64, 45), Fraction(8, 9), Fraction(2)])
def test_only_the_head_of_the_file_changes(tmp_path: Path, name: str, shape: Fraction) -> None:
    path = tmp_path / name
    write(path, Shot(width=90, height=72, pts=(0, 3000, 6000), metadata={"title": "x" * 300}))
    before, pictures = path.read_bytes(), [bytes(frame.planes[0]) for frame in decode(path)]
    assert state_pixel_shape(str(path), (90, 72), shape)
    after = path.read_bytes()
    first_cluster = before.index(b"\x1f\x43\xb6\x75")
    assert after[first_cluster:] == before[first_cluster:]
    assert len(after) == len(before)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        found = fraction(stream.sample_aspect_ratio)
        assert found is not None
        assert (stream.width, stream.height) == (90, 72)
        assert abs(found / shape - 1) <= Fraction(1, 2 * 72)  # rounded to a whole pixel of what is shown
        assert dict(container.metadata)["title" if "title" in container.metadata else "TITLE"] == "x" * 300
    assert [bytes(frame.planes[0]) for frame in decode(path)] == pictures


def checksums(data: bytes) -> list[tuple[bytes, bytes]]:
    """(stored, right) of SeekHead and Tracks, whose sizes FFmpeg writes in one and in two bytes."""
    tracks = data.rindex(b"\x16\x54\xae\x6b", 0, data.index(b"\x1f\x43\xb6\x75"))
    pairs = []
    for start, length in ((data.index(b"\x11\x4d\x9b\x74"), 1), (tracks, 2)):
        content = start + 4 + length
        size = int.from_bytes(data[start + 4 : content], "big") & ((1 << (7 * length)) - 1)
        assert data[content : content + 2] == b"\xbf\x84"
        right = zlib.crc32(data[content + 6 : content + size])
        pairs.append((data[content + 2 : content + 6], right.to_bytes(4, "little")))
    return pairs


def test_checksums_are_right(tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    write(path, Shot(pts=(0, 3000)))
    before = checksums(path.read_bytes())
    assert state_pixel_shape(str(path), (96, 64), Fraction(4, 3))
    after = checksums(path.read_bytes())
    assert all(stored == right for stored, right in before + after)
    assert before != after


def test_a_file_that_is_laid_out_otherwise_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    write(path, Shot(pts=(0, 3000)))
    assert state_pixel_shape(str(path), (96, 64), Fraction(4, 3))
    whole = path.read_bytes()
    assert not state_pixel_shape(str(path), (96, 64), Fraction(4, 3))  # it states a display size already
    assert path.read_bytes() == whole
    for damage in (whole[:60], b"", bytes(100), whole.replace(b"\xec\x01\x00", b"\x80\x01\x00", 1)):
        path.write_bytes(damage)
        assert not state_pixel_shape(str(path), (96, 64), Fraction(4, 3))
        assert path.read_bytes() == damage
