"""The Python API: kinds in, kinds out, and what is inside."""

from __future__ import annotations

import doctest
import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageCms

import livematte
from livematte import api
from livematte.config import MattingSettings, ModelSettings
from livematte.errors import ModelError, SourceError, UsageError

NULL = ModelSettings(runtime="null")
"""Alpha is 1 everywhere: what comes out is what went in."""


@pytest.fixture
def everything() -> api.Session:
    with api.Session(settings=NULL) as session:
        yield session


def picture(height: int = 24, width: int = 32) -> np.ndarray:
    rng = np.random.default_rng(5)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_docstrings_run() -> None:
    found = doctest.testmod(api)
    assert found.attempted >= 10
    assert found.failed == 0


def test_array(everything: api.Session) -> None:
    rgb = picture()
    found = everything.cutout(rgb)
    assert found.shape == (24, 32, 4)
    np.testing.assert_array_equal(found[..., :3], rgb)
    assert (found[..., 3] == 255).all()
    alpha = everything.matte(rgb)
    assert (alpha.dtype, alpha.shape) == (np.uint8, (24, 32))


def test_array_of_16_bits_keeps_them(everything: api.Session) -> None:
    rgb = picture().astype(np.uint16) * 251
    found = everything.cutout(rgb)
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found[..., :3], rgb)
    assert (found[..., 3] == 65535).all()
    assert everything.matte(rgb).dtype == np.uint8


def test_own_alpha_is_multiplied(everything: api.Session) -> None:
    rgba = np.dstack((picture(), np.full((24, 32), 128, np.uint8)))
    rgba[:4, :, 3] = 0
    found = everything.matte(rgba)
    assert (found[:4] == 0).all()
    assert (found[4:] == 128).all()


def test_bytes_give_png_bytes_with_profile(everything: api.Session) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    buffer = io.BytesIO()
    Image.fromarray(picture()).save(buffer, "PNG", icc_profile=profile)
    found = everything.cutout(buffer.getvalue())
    assert isinstance(found, bytes)
    with Image.open(io.BytesIO(found)) as image:
        assert (image.format, image.mode) == ("PNG", "RGBA")
        assert image.info["icc_profile"] == profile
        np.testing.assert_array_equal(np.asarray(image)[..., :3], picture())


def test_path_and_pil_give_pil_upright(everything: api.Session, tmp_path: Path) -> None:
    rgb = picture()
    exif = Image.Exif()
    exif[0x0112] = 6  # shown a quarter turn clockwise
    path = tmp_path / "turned.png"
    Image.fromarray(rgb).save(path, exif=exif)
    with Image.open(path) as image:
        cutouts = [everything.cutout(path), everything.cutout(str(path)), everything.cutout(image)]
    for found in cutouts:
        assert isinstance(found, Image.Image)
        assert found.size == (24, 32)
        np.testing.assert_array_equal(np.asarray(found)[..., :3], np.rot90(rgb, -1))


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "rgb24", "nv12", "yuvj420p", "yuv422p10le"])
def test_decoded_frame(everything: api.Session, pix_fmt: str) -> None:
    frame = av.VideoFrame.from_ndarray(picture(32, 32), format="rgb24").reformat(format=pix_fmt)
    frame.pts, frame.time_base = 7, Fraction(1, 25)
    found = everything.cutout(frame)
    assert (found.format.name, found.width, found.height, found.pts) == ("rgba", 32, 32, 7)
    assert (found.to_ndarray()[..., 3] == 255).all()
    assert everything.matte(frame).shape == (32, 32)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        42,
        None,
    ],
    ids=["grey", "float", "two channels", "empty", "number", "None"],
)
def test_what_is_no_picture(everything: api.Session, wrong: object) -> None:
    with pytest.raises(UsageError) as caught:
        everything.matte(wrong)
    if isinstance(wrong, np.ndarray):
        assert "COLOR_BGR2RGB" in str(caught.value)


def test_unreadable_pictures(everything: api.Session, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="not a picture"):
        everything.matte(b"hello")
    with pytest.raises(SourceError, match="cannot be read"):
        everything.matte(tmp_path / "none.png")


def test_the_room_is_gone_where_alpha_is_zero() -> None:
    """The default network sees nobody in noise: no pixel of the picture may be left."""
    rgb = picture(96, 96)
    found = livematte.cutout(rgb)
    gone = found[..., 3] == 0
    assert gone.mean() > 0.9
    assert not np.array_equal(found[gone][:, :3], rgb[gone])
    assert len(np.unique(found[gone][:, :3].astype(int) @ [65536, 256, 1])) < 10


def test_streaming_is_one_for_one(everything: api.Session) -> None:
    frames = [picture() for _ in range(5)]
    for temporal in ("none", "ema", "adaptive", "one-euro", "ofd"):
        with api.Session(settings=NULL, matting=MattingSettings(temporal=temporal)) as session:
            found = list(session.matte_frames(frames))
        assert [alpha.shape for alpha in found] == [(24, 32)] * 5
        assert all((alpha == 255).all() for alpha in found)
    assert list(everything.matte_frames([])) == []


def test_streaming_does_not_read_ahead(everything: api.Session) -> None:
    taken = []

    def source() -> object:
        for at in range(100):
            taken.append(at)
            yield picture()

    alphas = everything.matte_frames(source(), smooth="off")
    next(alphas)
    assert len(taken) == 1
    alphas.close()


def test_closed_session_says_so() -> None:
    session = api.Session(settings=NULL)
    session.close()
    session.close()
    with pytest.raises(UsageError, match="closed"):
        session.matte(picture())


def test_unknown_model() -> None:
    with pytest.raises(ModelError, match="no network called 'foo'"):
        api.Session("foo")


def test_one_session_behind_the_functions() -> None:
    assert api._default() is api._default()
    assert api._default().describe().startswith("livematte-s in fp32")


def test_a_frame_that_was_made_and_has_no_time(everything: api.Session) -> None:
    frame = av.VideoFrame.from_ndarray(picture(), format="rgb24")
    found = everything.cutout(frame)
    assert (found.format.name, found.pts) == ("rgba", None)
