from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clipmaker import Clip, fill_planes, planes_of, write_clip
from livematte.config import InputSettings
from livematte.frames import Frame
from livematte.planes import new_picture
from livematte.reporting import ListReporter
from livematte.sources import open_source
from livematte.sources.orientation import EXIF, Orientation, from_matrix, of_frame, turn_alpha, turn_picture

ONE = 1 << 16
BY_HAND = {
    Orientation(False, False, False): lambda a: a,
    Orientation(False, True, False): lambda a: a[:, ::-1],
    Orientation(False, False, True): lambda a: a[::-1],
    Orientation(False, True, True): lambda a: np.rot90(a, 2),
    Orientation(True, False, False): lambda a: a.T,
    Orientation(True, True, False): lambda a: np.rot90(a, -1),
    Orientation(True, False, True): lambda a: np.rot90(a, 1),
    Orientation(True, True, True): lambda a: np.rot90(a, 2).T,
}


@pytest.mark.parametrize("orientation", list(BY_HAND))
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p10le", "gbrp"])
@pytest.mark.parametrize("size", [(32, 18), (31, 17), (1, 1)])
def test_planes_move_without_change(orientation: Orientation, pix_fmt: str, size: tuple[int, int]) -> None:
    picture = new_picture(pix_fmt, *size)
    fill_planes(picture, 2)
    turned = turn_picture(picture, orientation)
    assert (turned.width, turned.height) == (size[::-1] if orientation.transpose else size)
    for before, after in zip(planes_of(picture), planes_of(turned), strict=True):
        assert (after == BY_HAND[orientation](before)).all()


@pytest.mark.parametrize("orientation", [o for o in BY_HAND if o.transpose])
def test_422_turned_by_a_quarter_becomes_444_with_repeated_chroma(orientation: Orientation) -> None:
    picture = new_picture("yuv422p10le", 31, 18)
    fill_planes(picture, 1)
    turned = turn_picture(picture, orientation)
    assert turned.format.name == "yuv444p10le"
    luma, blue, red = planes_of(picture)
    wide = [luma, *(np.repeat(plane, 2, axis=1)[:, :31] for plane in (blue, red))]
    for before, after in zip(wide, planes_of(turned), strict=True):
        assert (after == BY_HAND[orientation](before)).all()


@pytest.mark.parametrize("orientation", list(BY_HAND))
def test_alpha_turns_with_its_picture(orientation: Orientation) -> None:
    alpha = np.arange(35, dtype=np.uint16).reshape(5, 7)
    assert (turn_alpha(alpha, orientation) == BY_HAND[orientation](alpha)).all()


@pytest.mark.parametrize(
    ("matrix", "orientation"),
    [
        ((ONE, 0, 0, 0, ONE, 0, 0, 0, 1 << 30), Orientation()),
        ((0, ONE, 0, -ONE, 0, 0, 0, 0, 1 << 30), Orientation(True, True, False)),
        ((0, -ONE, 0, ONE, 0, 0, 0, 0, 1 << 30), Orientation(True, False, True)),
        ((-ONE, 0, 0, 0, -ONE, 0, 0, 0, 1 << 30), Orientation(False, True, True)),
        ((-ONE, 0, 0, 0, ONE, 0, 0, 0, 1 << 30), Orientation(False, True, False)),
        ((46341, 46341, 0, -46341, 46341, 0, 0, 0, 1 << 30), None),
        ((0, 0, 0, 0, 0, 0, 0, 0, 0), None),
    ],
)
def test_display_matrices(matrix: tuple[int, ...], orientation: Orientation | None) -> None:
    assert from_matrix(matrix) == orientation


class _Unnamed:
    """A picture with side data that PyAV has no name for: PyAV 17 and 18 then refuse all of it."""

    def __init__(self, rotation: int) -> None:
        self.rotation = rotation

    @property
    def side_data(self) -> dict[str, bytes]:
        raise ValueError("39 is not a valid Type")


@pytest.mark.parametrize(
    ("rotation", "orientation"),
    [(0, Orientation()), (-90, EXIF[6]), (90, EXIF[8]), (180, EXIF[3]), (-180, EXIF[3]), (30, None)],
)
def test_side_data_without_a_name_does_not_hide_the_rotation(rotation: int, orientation: Orientation | None) -> None:
    assert of_frame(_Unnamed(rotation)) == orientation  # type: ignore[arg-type]


def test_exif_has_all_eight() -> None:
    assert sorted(EXIF) == list(range(1, 9))
    assert len(set(EXIF.values())) == 8


@pytest.mark.parametrize(
    ("rotation", "hflip", "orientation"),
    [
        (90, False, Orientation(True, False, True)),
        (-90, False, Orientation(True, True, False)),
        (180, False, Orientation(False, True, True)),
        (0, True, Orientation(False, True, False)),
    ],
)
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p"])
def test_a_clip_with_a_display_matrix_is_read_upright(
    tmp_path: Path, rotation: float, hflip: bool, orientation: Orientation, pix_fmt: str
) -> None:
    options = {"preset": "ultrafast", "qp": "0"}
    clip = Clip(width=48, height=32, frames=3, pix_fmt=pix_fmt, options=options, rotation=rotation, hflip=hflip)
    straight = write_clip(tmp_path / "straight.mov", Clip(48, 32, 3, pix_fmt=pix_fmt, options=options))
    turned = write_clip(tmp_path / "turned.mov", clip)
    reporter = ListReporter()
    plain = [f for f in open_source(str(straight), InputSettings(), reporter=reporter) if isinstance(f, Frame)]
    assert not reporter.notes
    source = open_source(str(turned), InputSettings(), reporter=reporter)
    upright = [f for f in source if isinstance(f, Frame)]
    source.close()
    assert (source.info.width, source.info.height) == ((32, 48) if orientation.transpose else (48, 32))
    for stored, shown in zip(plain, upright, strict=True):
        want = planes_of(turn_picture(stored.host_picture(), orientation))
        assert shown.picture.format.name == source.info.pix_fmt
        assert all((a == b).all() for a, b in zip(planes_of(shown.host_picture()), want, strict=True))
    assert any(orientation.words in note for note in reporter.notes)
    assert any("4:4:4" in note for note in reporter.notes) is (pix_fmt == "yuv422p" and orientation.transpose)


def test_pixel_shape_changes_places_too(tmp_path: Path) -> None:
    from fractions import Fraction

    clip = Clip(frames=2, rotation=90, sample_aspect_ratio=Fraction(4, 3))
    source = open_source(str(write_clip(tmp_path / "a.mov", clip)), InputSettings(), reporter=ListReporter())
    source.close()
    assert source.info.sample_aspect_ratio == Fraction(3, 4)


def test_an_odd_angle_is_said_and_left(tmp_path: Path) -> None:
    reporter = ListReporter()
    path = write_clip(tmp_path / "a.mov", Clip(frames=2, rotation=30))
    source = open_source(str(path), InputSettings(), reporter=reporter)
    source.close()
    assert (source.info.width, source.info.height) == (64, 48)
    assert any("quarter turn" in warning for warning in reporter.warnings)
