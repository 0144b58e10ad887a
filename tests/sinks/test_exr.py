"""EXR sequences: pixels computed by hand, primaries, timecode, what is said and what is refused."""

from __future__ import annotations

import importlib
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from livematte.color import ColorSpec
from livematte.config import OutputSettings
from livematte.errors import AlphaLost, SinkError, UsageError
from livematte.frames import Frame, Matte, MattedFrame, Timestamp
from livematte.planes import new_picture, plane_arrays
from livematte.reporting import ListReporter
from livematte.sinks import exr, open_sink
from livematte.sinks.exr_light import light_table, primaries_of, timecode_parts, transfer_of
from sinks.making import BT709, Shot, decode, start, write

OpenEXR: Any = pytest.importorskip("OpenEXR", reason="writing EXR needs the extra 'exr'")


def _read(path: Path) -> Any:
    return OpenEXR.File(str(path)).parts[0]


def _pixels(path: Path, name: str = "RGBA") -> np.ndarray[Any, np.dtype[np.float16]]:
    pixels = _read(path).channels[name].pixels
    assert pixels.dtype == np.float16
    return pixels  # type: ignore[no-any-return]


def _flat(shot: Shot, samples: tuple[int, int, int], alpha: np.ndarray[Any, Any]) -> MattedFrame:
    """A picture of one colour under that alpha."""
    picture = new_picture(shot.pix_fmt, shot.width, shot.height)
    for plane, value in zip(plane_arrays(picture), samples, strict=True):
        plane[:] = value
    frame = Frame(picture, Timestamp(0, shot.time_base), None, 0, shot.spec)
    return MattedFrame(frame, Matte(alpha, picture))


def _one(tmp_path: Path, shot: Shot, item: MattedFrame, **settings: Any) -> Path:
    sink = start(f"{tmp_path}/light/", shot, format="exr", **settings)
    sink.write(item)
    sink.close()
    return tmp_path / "light" / "0000.exr"


def test_a_pixel_computed_by_hand(tmp_path: Path) -> None:
    """BT.709, limited range, Y 120, U 100, V 180, alpha 128/255, worked out step by step from the standard."""
    shot = Shot(width=5, height=3)
    path = _one(tmp_path, shot, _flat(shot, (120, 100, 180), np.full((3, 5), 128, np.uint8)))
    luma, blue_part, red_part = (120 - 16) / 219, (100 - 128) / 224, (180 - 128) / 224
    red = luma + 1.5748 * red_part
    green = luma - 0.187324 * blue_part - 0.468124 * red_part
    blue = luma + 1.8556 * blue_part
    share = 128 / 255
    # H.273 writes BT.709's 1.099 with more digits: 1.0992968.
    expected = [((coded + 0.0992968) / 1.0992968) ** (1 / 0.45) * share for coded in (red, green, blue)]
    # By hand: R' 0.84046, G' 0.38963, B' 0.24294; light 0.70578, 0.16522, 0.07478; times 0.50196.
    assert expected == pytest.approx([0.35428, 0.08293, 0.03754], abs=1e-5)
    found = _pixels(path)
    assert found.shape == (3, 5, 4)
    assert found[1, 2, :3].astype(float) == pytest.approx(expected, rel=1e-3)
    assert float(found[1, 2, 3]) == np.float16(share)
    assert (found == found[0, 0]).all()


def test_a_ten_bit_pixel_under_sixteen_bits_of_alpha(tmp_path: Path) -> None:
    shot = Shot(pix_fmt="yuv444p10le", width=4, height=2)
    alpha = np.array([[0, 1, 300, 32768], [65535, 65534, 40000, 257]], np.uint16)
    found = _pixels(_one(tmp_path, shot, _flat(shot, (700, 512, 512), alpha)))
    light = (((700 - 64) / 876 + 0.0992968) / 1.0992968) ** (1 / 0.45)
    share = alpha / 65535
    assert found[..., 3].astype(float) == pytest.approx(share, rel=2**-11, abs=2**-25)
    for channel in range(3):
        assert found[..., channel].astype(float) == pytest.approx(light * share, rel=1e-3, abs=2**-24)


def test_nothing_of_the_room_is_left_under_alpha_0(tmp_path: Path) -> None:
    shot = Shot(pix_fmt="gbrp")
    item = shot.item(0, "straight")
    assert isinstance(item, MattedFrame)
    found = _pixels(_one(tmp_path, shot, item))
    outside = item.matte.alpha == 0
    assert outside.any()
    assert (found[outside].view(np.uint16) == 0).all()
    assert np.isfinite(found).all()


def test_every_pixel_is_light_times_alpha(tmp_path: Path) -> None:
    shot = Shot(pix_fmt="gbrp", width=101, height=63)
    item = shot.item(3, "straight")
    assert isinstance(item, MattedFrame)
    found = _pixels(_one(tmp_path, shot, item)).astype(np.float64)
    green, blue, red = (plane / 255.0 for plane in plane_arrays(item.frame.host_picture())[:3])
    coded = np.stack([red, green, blue], -1)
    light = np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
    assert found[..., :3] == pytest.approx(light * (item.matte.alpha / 255.0)[..., None], rel=2e-3, abs=1e-6)


@pytest.mark.parametrize(
    ("trc", "coded", "light"),
    [
        ("bt709", 0.5, 0.259589),
        ("bt709", 0.04, 0.04 / 4.5),
        ("bt2020-10", 0.5, 0.259589),
        ("iec61966-2-1", 0.5, 0.214041),
        ("gamma22", 0.5, 0.217638),
        ("linear", 0.5, 0.5),
        ("log100", 0.5, 0.1),
        ("smpte2084", 0.58069, 2.03),  # BT.2408: reference white, 203 cd/m2, lies at 58 %
        ("smpte2084", 1.0, 100.0),
        ("arib-std-b67", 0.5, 1 / 12),
        ("arib-std-b67", 1.0, 1.0),
    ],
)
def test_inverse_transfers(trc: str, coded: float, light: float) -> None:
    assert light_table(trc)[round(coded * 65535)] == pytest.approx(light, rel=2e-3)
    assert (np.diff(light_table(trc)) >= 0).all()
    assert light_table(trc)[0] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    ("color", "primaries", "transfer"),
    [
        (BT709, "bt709", "bt709"),
        (ColorSpec("bt709", "tv"), "bt709", "bt709"),
        (ColorSpec("smpte170m", "tv"), "smpte170m", "bt709"),
        (ColorSpec("bt470bg", "tv"), "bt470bg", "bt709"),
        (ColorSpec("bt2020nc", "tv", "unknown", "smpte2084"), "bt2020", "smpte2084"),
        (ColorSpec("rgb", "pc", "smpte432"), "smpte432", "iec61966-2-1"),
    ],
)
def test_what_is_not_stated(color: ColorSpec, primaries: str, transfer: str) -> None:
    assert (primaries_of(color), transfer_of(color)) == (primaries, transfer)


def test_the_header_says_what_the_numbers_mean(tmp_path: Path) -> None:
    shot = Shot(
        pix_fmt="yuv420p10le", color=ColorSpec("bt2020nc", "tv", "bt2020", "smpte2084"), rate=Fraction(30000, 1001),
        time_base=Fraction(1, 30000), pts=[1001 * n for n in range(4)], timecode="00:00:59;28", aspect=Fraction(4, 3),
    )  # fmt: skip
    reporter = ListReporter()
    write(f"{tmp_path}/pq_%02d.exr", shot, reporter=reporter)
    header = _read(tmp_path / "pq_03.exr").header
    expected = (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, 0.3127, 0.3290)
    assert header["chromaticities"] == pytest.approx(expected, abs=1e-6)
    assert header["whiteLuminance"] == 100.0
    assert header["framesPerSecond"] == Fraction(30000, 1001)
    assert header["pixelAspectRatio"] == pytest.approx(4 / 3)
    assert header["presentationTime"] == "1001/10000 s"
    assert header["compression"] == OpenEXR.ZIP_COMPRESSION
    # 00:00:59;28, ;29, then 00:01:00;02: drop-frame leaves out ;00 and ;01.
    code = header["timeCode"]
    assert (code.hours, code.minutes, code.seconds, code.frame, bool(code.dropFrame)) == (0, 1, 0, 3, True)
    assert any("100 cd/m2" in note for note in reporter.notes)
    white = _pixels(tmp_path / "pq_00.exr")
    assert float(white.max()) > 1.0


def test_timecode_at_high_rates_counts_pairs() -> None:
    assert timecode_parts("01:00:00:00", Fraction(3, 60), Fraction(60)) == (1, 0, 0, 1, 0, 1)
    assert timecode_parts("01:00:00:00", Fraction(3, 25), Fraction(25)) == (1, 0, 0, 3, 0, 0)
    assert timecode_parts("nonsense", Fraction(0), Fraction(25)) is None
    assert timecode_parts("01:00:00:00", Fraction(0), Fraction(120)) is None


def test_channels_by_content(tmp_path: Path) -> None:
    write(f"{tmp_path}/matte/", Shot(), format="exr", alpha_only=True)
    write(f"{tmp_path}/front/", Shot(), format="exr", foreground_only=True)
    write(f"{tmp_path}/over/", Shot(), format="exr", background="green")
    matte = _read(tmp_path / "matte" / "0000.exr")
    assert list(matte.channels) == ["Y"]
    assert "chromaticities" not in matte.header
    item = Shot().item(0, "straight")
    assert isinstance(item, MattedFrame)
    shares = np.rint(matte.channels["Y"].pixels.astype(float) * 255)
    assert np.array_equal(shares, item.matte.alpha)
    for name in ("front", "over"):
        assert _pixels(tmp_path / name / "0000.exr", "RGB").shape == (64, 96, 3)


def test_ffmpeg_reads_the_same(tmp_path: Path) -> None:
    write(f"{tmp_path}/light/", Shot(width=101, height=63), format="exr")
    shown = decode(tmp_path / "light" / "0002.exr")[0]
    assert (shown.format.name, shown.width, shown.height) == ("gbrapf16le", 101, 63)
    ours = _pixels(tmp_path / "light" / "0002.exr")
    row = np.frombuffer(memoryview(shown.planes[3]), np.float16).reshape(63, -1)[:, :101]  # type: ignore[arg-type]
    assert np.array_equal(row, ours[..., 3])


def test_the_missing_extra_is_said_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    with pytest.raises(UsageError, match=r"pip install 'livematte\[exr\]'"):
        open_sink(
            f"{tmp_path}/light/", settings=OutputSettings(format="exr"), info=Shot().info, reporter=ListReporter()
        )
    assert not list(tmp_path.iterdir())
    importlib.import_module("livematte.sinks.exr")


def test_an_unknown_transfer_is_refused() -> None:
    info = replace(Shot().info, color=ColorSpec("bt709", "tv", "bt709", "new-curve"))
    with pytest.raises(SinkError, match="new-curve"):
        open_sink("light/", settings=OutputSettings(format="exr"), info=info, reporter=ListReporter())


def test_lost_alpha_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that drops alpha: the check reads it back as opaque, and no picture stays."""
    right = exr.exr_pixels
    monkeypatch.setattr(exr, "exr_pixels", lambda coded, color, alpha: right(coded, color, None))
    with pytest.raises(AlphaLost, match="opaque everywhere"):
        write(f"{tmp_path}/light/", Shot(), format="exr")
    assert not list(tmp_path.iterdir())


def test_a_damaged_picture_is_not_kept(tmp_path: Path) -> None:
    sink = start(f"{tmp_path}/light/", Shot(), format="exr")
    for index in range(3):
        sink.write(Shot().item(index, "straight"))
    victim = sink.part / "0002.exr"
    victim.write_bytes(victim.read_bytes()[: victim.stat().st_size // 3])
    with pytest.raises(SinkError, match="cannot be decoded again"):
        sink.close()
    assert not list(tmp_path.iterdir())


def test_a_variable_rate_is_said(tmp_path: Path) -> None:
    reporter = ListReporter()
    info = replace(Shot().info, is_variable_rate=True)
    sink = open_sink(f"{tmp_path}/v/", settings=OutputSettings(format="exr"), info=info, reporter=reporter)
    sink.open(info)
    sink.abort(keep=False)
    assert any("--constant-rate" in note for note in reporter.notes)
    assert not list(tmp_path.iterdir())
