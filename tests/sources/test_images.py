from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from clipmaker import pattern, planes_of, write_pictures
from livematte.config import InputSettings
from livematte.errors import SourceError, UsageError
from livematte.frames import Frame
from livematte.reporting import ListReporter
from livematte.sources import open_source
from livematte.sources.images import ImageSource


def read(spec: Path | str, settings: InputSettings | None = None) -> tuple[ImageSource, list[Frame], ListReporter]:
    reporter = ListReporter()
    source = open_source(str(spec), settings or InputSettings(), reporter=reporter)
    assert isinstance(source, ImageSource)
    frames = [item for item in source if isinstance(item, Frame)]
    source.close()
    return source, frames, reporter


def test_a_folder_is_read_in_natural_order_with_exact_times(tmp_path: Path) -> None:
    source, frames, reporter = read(write_pictures(tmp_path / "a", 12, name="f{}.png"))
    assert [frame.time.seconds for frame in frames] == [Fraction(n, 24) for n in range(12)]
    assert [frame.index for frame in frames] == list(range(12))
    for index, frame in enumerate(frames):
        want = [pattern(index, 64, 48, plane=n) for n in (1, 0, 2)]  # files are BGR, planes are G, B, R
        assert all((a == b).all() for a, b in zip(planes_of(frame.host_picture()), want, strict=True))
    assert any("24" in note and "--rate" in note for note in reporter.notes)
    assert (source.info.frame_count, source.info.pix_fmt, source.info.frame_rate) == (12, "gbrp", Fraction(24))


def test_the_rate_can_be_given(tmp_path: Path) -> None:
    _, frames, reporter = read(write_pictures(tmp_path / "a", 3), InputSettings(rate="30000/1001"))
    assert frames[2].time.seconds == Fraction(2002, 30000)
    assert not reporter.notes


def test_start_and_end_cut_and_begin_at_zero(tmp_path: Path) -> None:
    source, frames, _ = read(write_pictures(tmp_path / "a", 12), InputSettings(rate="10", start="0.5", end="0.9"))
    assert [frame.time.seconds for frame in frames] == [Fraction(n, 10) for n in range(4)]
    assert (planes_of(frames[0].host_picture())[1] == pattern(5, 64, 48)).all()
    assert source.info.frame_count == 4
    with pytest.raises(SourceError, match="--start"):
        read(tmp_path / "a", InputSettings(start="60"))


def test_a_pattern_takes_its_own_files_and_says_gaps(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "a", 5)
    (folder / "frame_0003.png").unlink()
    (folder / "frame_12.png").write_bytes(b"another digit count")
    _, frames, reporter = read(folder / "frame_%04d.png")
    assert len(frames) == 4
    assert any("1 gap" in warning for warning in reporter.warnings)
    with pytest.raises(SourceError, match="no file matches"):
        open_source(str(folder / "other_%04d.png"), InputSettings(), reporter=ListReporter())


def test_a_single_picture_is_a_clip_of_one_frame(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "a", 1)
    source, frames, reporter = read(folder / "frame_0001.png")
    assert len(frames) == 1
    assert source.info.frame_count == 1
    assert not reporter.notes


def test_sixteen_bits_and_alpha_survive(tmp_path: Path) -> None:
    stored = np.random.default_rng(1).integers(0, 65536, (17, 31, 4), dtype=np.uint16)  # B, G, R, A
    cv2.imwrite(str(tmp_path / "a.png"), stored)
    source, (frame,), _ = read(tmp_path / "a.png")
    assert (source.info.pix_fmt, source.info.bits, source.info.has_alpha) == ("gbrp16le", 16, True)
    for plane, channel in zip(planes_of(frame.host_picture()), (1, 0, 2), strict=True):
        assert (plane == stored[..., channel]).all()
    assert frame.alpha is not None
    assert (frame.alpha == stored[..., 3]).all()


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".webp"])
def test_lossless_formats_are_exact(tmp_path: Path, suffix: str) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (17, 31, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / f"a{suffix}", **({"lossless": True} if suffix == ".webp" else {}))
    _, (frame,), _ = read(tmp_path / f"a{suffix}")
    for plane, channel in zip(planes_of(frame.host_picture()), (1, 2, 0), strict=True):
        assert (plane == pixels[..., channel]).all()


@pytest.mark.parametrize("tag", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, tag: int) -> None:
    from PIL import ImageOps

    pixels = np.zeros((24, 40, 3), np.uint8)
    pixels[:12, :20] = 255
    exif = Image.Exif()
    exif[0x0112] = tag
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=exif, quality=95)
    with Image.open(tmp_path / "a.jpg") as stored:
        want = np.asarray(ImageOps.exif_transpose(stored).convert("L")).astype(int)
    _, (frame,), _ = read(tmp_path / "a.jpg")
    got = frame.rgb().mean(axis=2)
    assert got.shape == want.shape
    assert np.abs(got - want).mean() < 4


def test_a_jpeg_keeps_its_own_planes_and_full_range(tmp_path: Path) -> None:
    Image.fromarray(np.full((32, 32, 3), 90, np.uint8)).save(tmp_path / "a.jpg")
    source, (frame,), _ = read(tmp_path / "a.jpg")
    assert (source.info.pix_fmt, source.info.color.color_range) == ("yuv420p", "pc")
    assert np.abs(frame.rgb().astype(int) - 90).max() <= 1


def test_cmyk_and_files_whose_name_lies_are_read_too(tmp_path: Path) -> None:
    grey = Image.fromarray(np.full((16, 16, 3), 200, np.uint8))
    grey.convert("CMYK").save(tmp_path / "cmyk.jpg")
    grey.save(tmp_path / "x.png")
    (tmp_path / "x.png").rename(tmp_path / "liar.jpg")
    for name in ("cmyk.jpg", "liar.jpg"):
        _, (frame,), _ = read(tmp_path / name)
        assert np.abs(frame.rgb().astype(int) - 200).max() <= 3


def test_other_sizes_are_scaled_to_the_first_and_it_is_said(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "a", 1, size=(48, 64))
    write_pictures(folder, 1, name="z_{}.png", size=(24, 32))
    _, frames, reporter = read(folder)
    assert [(frame.width, frame.height) for frame in frames] == [(64, 48), (64, 48)]
    assert any("size" in warning for warning in reporter.warnings)


def test_a_picture_without_alpha_after_one_with_it_is_opaque(tmp_path: Path) -> None:
    Image.new("RGBA", (16, 16), (10, 20, 30, 40)).save(tmp_path / "1.png")
    Image.new("RGB", (16, 16), (10, 20, 30)).save(tmp_path / "2.png")
    _, frames, _ = read(tmp_path)
    assert [int(frame.alpha.max()) for frame in frames if frame.alpha is not None] == [40, 255]


def test_a_damaged_picture_is_left_out_and_its_time_stays_empty(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "a", 4)
    (folder / "frame_0002.png").write_bytes(b"no picture")
    source, frames, reporter = read(folder)
    assert [frame.time.pts for frame in frames] == [0, 2, 3]
    assert source.damaged == 1
    assert any("frame_0002.png" in warning for warning in reporter.warnings)


def test_nothing_readable_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(SourceError, match=r"a\.png"):
        open_source(str(tmp_path / "a.png"), InputSettings(), reporter=ListReporter())
    with pytest.raises(SourceError, match="no file"):
        open_source(str(tmp_path / "b.png"), InputSettings(), reporter=ListReporter())


def test_size(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "a", 1)
    _, (frame,), _ = read(folder, InputSettings(size="32x-1"))
    assert (frame.width, frame.height) == (32, 24)
    with pytest.raises(UsageError, match="--size"):
        read(folder, InputSettings(size="big"))
