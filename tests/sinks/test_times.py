"""Times, timecode, tags, aspect and metadata, read back from the files."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from livematte.color import COLOR_PRIMARIES, COLOR_RANGES, COLOR_TRCS, COLORSPACES, ColorSpec
from livematte.reporting import ListReporter
from livematte.sources.timing import fraction
from sinks.making import Shot, decode, times, write

UNEVEN = (0, 3, 7, 8, 15, 16, 40, 41)
EXACT = ["clip.mov", "clip.mp4", "clip.nut"]
BASES = [
    Fraction(1, 30), Fraction(1001, 30000), Fraction(1, 1000), Fraction(1, 12288), Fraction(1, 90000),
    Fraction(1, 1000000),
]  # fmt: skip


def _settings(name: str) -> dict[str, Any]:
    return {"background": "green"} if name.endswith("mp4") else {}


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("base", BASES, ids=str)
@pytest.mark.parametrize("offset", [0, 5])
def test_uneven_times_are_exact(tmp_path: Path, name: str, base: Fraction, offset: int) -> None:
    step = max(1, round(Fraction(1, 30) / base))
    pts = tuple((offset + pts) * step + number % 2 for number, pts in enumerate(UNEVEN))
    shot = Shot(pts=pts, time_base=base, width=32, height=32)
    write(tmp_path / name, shot, **_settings(name))
    assert times(tmp_path / name) == [value * base for value in pts]


@pytest.mark.parametrize("name", ["clip.webm", "clip.mkv"])
def test_matroska_rounds_to_a_millisecond(tmp_path: Path, name: str) -> None:
    pts = tuple(3003 * value for value in UNEVEN)
    write(tmp_path / name, Shot(pts=pts))
    found = times(tmp_path / name)
    for got, meant in zip(found, pts, strict=True):
        assert abs(got - Fraction(meant, 90000)) <= Fraction(1, 2000)


@pytest.mark.parametrize("name", ["clip.mov", "clip.mp4"])
@pytest.mark.parametrize("last", [1500, 45000, None])
def test_the_last_frame_lasts_as_long_as_it_should(tmp_path: Path, name: str, last: int | None) -> None:
    pts = (0, 3000, 9000, 12000)
    shot = Shot(pts=pts, durations=(3000, 6000, 3000, last))
    write(tmp_path / name, shot, **_settings(name))
    with av.open(str(tmp_path / name)) as container:
        stream = container.streams.video[0]
        assert stream.duration is not None
        assert stream.duration * Fraction(stream.time_base or 1) == Fraction(12000 + (last or 3000), 90000)


def test_frames_out_of_order_are_put_in_order_and_it_is_said(tmp_path: Path) -> None:
    reporter = ListReporter()
    write(tmp_path / "clip.mov", Shot(pts=(0, 3000, 3000, 6000)), reporter=reporter)
    assert times(tmp_path / "clip.mov") == [Fraction(pts, 90000) for pts in (0, 3000, 3001, 6000)]
    assert len(reporter.warnings) == 1


def test_a_frame_with_another_time_base_is_rescaled(tmp_path: Path) -> None:
    from sinks.making import start

    sink = start(tmp_path / "clip.mov", Shot())
    sink.write(Shot().item(0, "straight"))
    sink.write(Shot(time_base=Fraction(1, 1000), pts=(0, 40)).item(1, "straight"))
    sink.close()
    assert times(tmp_path / "clip.mov") == [0, Fraction(1, 25)]


@pytest.mark.parametrize("name", ["clip.mov", "clip.mp4"])
def test_the_nominal_rate_is_stated(tmp_path: Path, name: str) -> None:
    shot = Shot(rate=Fraction(30000, 1001), time_base=Fraction(1001, 30000), pts=tuple(range(8)))
    write(tmp_path / name, shot, **_settings(name))
    with av.open(str(tmp_path / name)) as container:
        assert Fraction(container.streams.video[0].average_rate or 0) == Fraction(30000, 1001)


@pytest.mark.parametrize("name", ["clip.mov", "clip.mp4", "clip.mkv", "clip.webm"])
@pytest.mark.parametrize(
    ("timecode", "rate", "written"),
    [
        ("01:02:03:04", Fraction(25), "01:02:03:04"),
        ("01:02:03;04", Fraction(30000, 1001), "01:02:03;04"),
        ("01:02:03;04", Fraction(25), "01:02:03:04"),
        ("01:02:03:04", None, None),
    ],
)
def test_start_timecode(tmp_path: Path, name: str, timecode: str, rate: Fraction | None, written: str | None) -> None:
    reporter = ListReporter()
    shot = Shot(timecode=timecode, rate=rate, pts=(0, 3000))
    write(tmp_path / name, shot, reporter=reporter, **_settings(name))
    with av.open(str(tmp_path / name)) as container:
        tags = {**container.metadata, **container.streams.video[0].metadata}
        found = {key.lower(): value for key, value in tags.items()}
        if name in ("clip.mov", "clip.mp4"):
            assert any(stream.type == "data" for stream in container.streams) == (written is not None)
    assert found.get("timecode") == written
    assert any(note.startswith("The start timecode") for note in reporter.notes) == (written != timecode)


def _tags(path: Path) -> tuple[int, int, int, int]:
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        return context.colorspace, context.color_range, context.color_primaries, context.color_trc


def _numbers(matrix: str, spread: str, primaries: str, trc: str) -> tuple[int, int, int, int]:
    return COLORSPACES[matrix], COLOR_RANGES[spread], COLOR_PRIMARIES[primaries], COLOR_TRCS[trc]


SPECS = [
    ("bt709", "tv", "bt709", "bt709"),
    ("smpte170m", "tv", "smpte170m", "smpte170m"),
    ("bt470bg", "pc", "bt470bg", "smpte170m"),
    ("bt2020nc", "tv", "bt2020", "smpte2084"),
    ("bt2020nc", "tv", "bt2020", "arib-std-b67"),
    ("bt709", "tv", "unknown", "unknown"),
]


@pytest.mark.parametrize("name", ["clip.mkv", "clip.webm", "clip.mp4"])
@pytest.mark.parametrize("spec", SPECS, ids="-".join)
def test_colour_tags(tmp_path: Path, name: str, spec: tuple[str, str, str, str]) -> None:
    write(tmp_path / name, Shot(pts=(0, 3000), color=ColorSpec(*spec)), **_settings(name))
    assert _tags(tmp_path / name) == _numbers(*spec)


@pytest.mark.parametrize(
    ("spec", "written"),
    [
        (SPECS[0], SPECS[0]),
        (SPECS[1], ("smpte170m", "tv", "smpte170m", "bt709")),
        (SPECS[2], ("smpte170m", "tv", "bt470bg", "bt709")),
        (SPECS[3], SPECS[3]),
        (SPECS[4], SPECS[4]),
        (SPECS[5], SPECS[5]),
    ],
)
def test_prores_tags(tmp_path: Path, spec: tuple[str, str, str, str], written: tuple[str, str, str, str]) -> None:
    reporter = ListReporter()
    write(tmp_path / "clip.mov", Shot(pts=(0, 3000), color=ColorSpec(*spec)), reporter=reporter)
    assert _tags(tmp_path / "clip.mov") == _numbers(*written)
    assert any("full-range" in note for note in reporter.notes) == (spec[1] == "pc")


def test_rgb_sources_are_tagged_bt709_in_prores(tmp_path: Path) -> None:
    write(tmp_path / "clip.mov", Shot(pts=(0, 3000), pix_fmt="gbrp"))
    assert _tags(tmp_path / "clip.mov")[:3] == (1, 1, 1)


@pytest.mark.parametrize("name", ["clip.mov", "clip.mp4", "clip.mkv", "clip.webm", "clip.nut"])
@pytest.mark.parametrize("aspect", [Fraction(4, 3), Fraction(8, 9)])
def test_pixel_aspect(tmp_path: Path, name: str, aspect: Fraction) -> None:
    reporter = ListReporter()
    shot = Shot(aspect=aspect, width=96, height=64, pts=(0, 3000))
    write(tmp_path / name, shot, reporter=reporter, **_settings(name))
    with av.open(str(tmp_path / name)) as container:
        found = container.streams.video[0].sample_aspect_ratio
    assert any("not square" in note for note in reporter.notes) == (name == "clip.nut")
    assert name == "clip.nut" or (found is not None and fraction(found) == aspect)


@pytest.mark.parametrize("name", ["clip.mov", "clip.mp4", "clip.mkv", "clip.webm"])
def test_metadata_passes_and_technical_keys_do_not(tmp_path: Path, name: str) -> None:
    kept = {"creation_time": "2020-01-02T03:04:05.000000Z", "title": "Grün", "encoder": "OldEncoder"}
    write(tmp_path / name, Shot(metadata=kept, pts=(0, 3000)), **_settings(name))
    with av.open(str(tmp_path / name)) as container:
        found = {key.lower(): value for key, value in container.metadata.items()}
    assert found["title"] == "Grün"
    assert found["creation_time"].startswith("2020-01-02T03:04:05")
    assert found["encoder"] != "OldEncoder"


@pytest.mark.parametrize("name", ["clip.mov", "clip.mp4"])
def test_the_index_comes_first(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, Shot(), **_settings(name))
    data = (tmp_path / name).read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_no_frame_is_lost_or_doubled(tmp_path: Path) -> None:
    for name in ("clip.mov", "clip.webm", "clip.mkv", "clip.nut", "clip.mp4"):
        write(tmp_path / name, Shot(), **_settings(name))
        assert len(decode(tmp_path / name)) == 8
