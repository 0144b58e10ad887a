from __future__ import annotations

import av
import numpy as np
import numpy.typing as npt
import pytest

from clipmaker import planes_of
from livematte.errors import SourceError
from livematte.planes import layout
from livematte.sources.normalise import door_for

WIDTH, HEIGHT = 31, 17
Samples = npt.NDArray[np.integer]


def write_rows(picture: av.VideoFrame, number: int, rows: Samples, dtype: str) -> None:
    plane = picture.planes[number]
    item = np.dtype(dtype).itemsize
    view = np.frombuffer(memoryview(plane), dtype).reshape(plane.height, plane.line_size // item)
    view[:, : rows.shape[1]] = rows


def random(shape: tuple[int, ...], bits: int, seed: int = 0) -> Samples:
    return np.random.default_rng(seed).integers(0, 1 << bits, shape)


def chroma_size(pix_fmt: str) -> tuple[int, int]:
    shape = layout(pix_fmt)
    return -(-HEIGHT >> shape.log2_chroma_height), -(-WIDTH >> shape.log2_chroma_width)


def converted(picture: av.VideoFrame) -> tuple[list[npt.NDArray[np.generic]], npt.NDArray[np.generic] | None, str]:
    door = door_for(picture)
    made, alpha = door.convert(picture)
    assert made.format.name == door.target
    assert (alpha is not None) == door.has_alpha
    assert (made.width, made.height) == (picture.width, picture.height)
    layout(door.target)
    return planes_of(made), alpha, door.target


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv444p16le", "gbrp", "gbrp12le"])
def test_working_formats_pass_as_the_same_object(pix_fmt: str) -> None:
    picture = av.VideoFrame(WIDTH, HEIGHT, pix_fmt)
    door = door_for(picture)
    made, alpha = door.convert(picture)
    assert made is picture
    assert alpha is None
    assert not door.remark


@pytest.mark.parametrize("name", ["yuvj420p", "yuvj422p", "yuvj444p"])
def test_full_range_names_lose_the_j_and_keep_every_sample(name: str) -> None:
    picture = av.VideoFrame(WIDTH, HEIGHT, name)
    planes = [random((HEIGHT, WIDTH), 8), *(random(chroma_size(name.replace("j", "")), 8, s) for s in (1, 2))]
    for number, rows in enumerate(planes):
        write_rows(picture, number, rows, "u1")
    got, _, target = converted(picture)
    assert target == name.replace("yuvj", "yuv")
    assert door_for(picture).full_range_name
    assert all((a == b).all() for a, b in zip(got, planes, strict=True))


@pytest.mark.parametrize(
    ("name", "target", "bits", "shift", "swapped"),
    [
        ("nv12", "yuv420p", 8, 0, False), ("nv21", "yuv420p", 8, 0, True), ("nv16", "yuv422p", 8, 0, False),
        ("nv24", "yuv444p", 8, 0, False), ("nv42", "yuv444p", 8, 0, True), ("p010le", "yuv420p10le", 10, 6, False),
        ("p210le", "yuv422p10le", 10, 6, False), ("p012le", "yuv420p12le", 12, 4, False),
        ("p016le", "yuv420p16le", 16, 0, False), ("nv20le", "yuv422p10le", 10, 0, False),
    ],
)  # fmt: skip
def test_semi_planar_formats(name: str, target: str, bits: int, shift: int, swapped: bool) -> None:
    picture = av.VideoFrame(WIDTH, HEIGHT, name)
    high, wide = chroma_size(target)
    luma, first, second = random((HEIGHT, WIDTH), bits), random((high, wide), bits, 1), random((high, wide), bits, 2)
    dtype = "u1" if bits == 8 else "<u2"
    pairs = np.stack([second, first] if swapped else [first, second], axis=2).reshape(high, 2 * wide)
    write_rows(picture, 0, luma << shift, dtype)
    write_rows(picture, 1, pairs << shift, dtype)
    got, _, reached = converted(picture)
    assert reached == target
    assert all((a == b).all() for a, b in zip(got, (luma, first, second), strict=True))


@pytest.mark.parametrize(("name", "order"), [("yuyv422", "YUYV"), ("uyvy422", "UYVY"), ("yvyu422", "YVYU")])
def test_packed_422(name: str, order: str) -> None:
    picture = av.VideoFrame(32, HEIGHT, name)
    luma, blue, red = random((HEIGHT, 32), 8), random((HEIGHT, 16), 8, 1), random((HEIGHT, 16), 8, 2)
    groups = {"Y": iter((luma[:, 0::2], luma[:, 1::2])), "U": iter((blue,)), "V": iter((red,))}
    write_rows(picture, 0, np.stack([next(groups[c]) for c in order], axis=2).reshape(HEIGHT, 64), "u1")
    got, _, target = converted(picture)
    assert target == "yuv422p"
    assert all((a == b).all() for a, b in zip(got, (luma, blue, red), strict=True))


@pytest.mark.parametrize(
    "name",
    ["rgb24", "bgr24", "rgba", "bgra", "argb", "abgr", "rgb0", "0bgr", "rgb48le", "rgb48be", "bgr48le", "rgba64le",
     "rgba64be", "bgra64be"],
)  # fmt: skip
def test_packed_rgb(name: str) -> None:
    bare = name.removesuffix("le").removesuffix("be")
    bits = 16 if bare.endswith(("48", "64")) else 8
    order = bare.removesuffix("24").removesuffix("48").removesuffix("64")
    samples = {c: random((HEIGHT, WIDTH), bits, ord(c)) for c in "rgba0"}
    picture = av.VideoFrame(WIDTH, HEIGHT, name)
    dtype = "u1" if bits == 8 else (">u2" if name.endswith("be") else "<u2")
    write_rows(picture, 0, np.stack([samples[c] for c in order], axis=2).reshape(HEIGHT, -1), dtype)
    got, alpha, target = converted(picture)
    assert target == ("gbrp" if bits == 8 else "gbrp16le")
    assert all((a == samples[c]).all() for a, c in zip(got, "gbr", strict=True))
    if "a" in order:
        assert alpha is not None
        assert alpha.dtype == (np.uint8 if bits == 8 else np.uint16)
        assert (alpha == samples["a"]).all()


@pytest.mark.parametrize(
    "name", ["yuva420p", "yuva422p", "yuva444p", "yuva444p10le", "yuva420p10be", "yuva444p12le", "yuva444p16le",
             "gbrap", "gbrap10le", "gbrap16be"],
)  # fmt: skip
def test_planar_alpha_is_split_off_exactly(name: str) -> None:
    known = av.VideoFormat(name)
    bits = known.components[0].bits
    target = name.replace("yuva", "yuv").replace("gbrap", "gbrp").replace("be", "le")
    dtype = "u1" if bits == 8 else (">u2" if name.endswith("be") else "<u2")
    small = (HEIGHT, WIDTH) if layout(target).is_rgb else chroma_size(target)
    planes = [random(s, bits, n) for n, s in enumerate(((HEIGHT, WIDTH), small, small, (HEIGHT, WIDTH)))]
    picture = av.VideoFrame(WIDTH, HEIGHT, name)
    for number, rows in enumerate(planes):
        write_rows(picture, number, rows, dtype)
    got, alpha, reached = converted(picture)
    assert reached == target
    assert all((a == b).all() for a, b in zip(got, planes[:3], strict=True))
    peak, full = (1 << bits) - 1, 255 if bits == 8 else 65535
    assert alpha is not None
    assert (alpha == np.floor(planes[3] * full / peak + 0.5)).all()
    if bits < 16:  # the codec's own samples come back from it
        assert (np.rint(alpha.astype(np.float64) * peak / full) == planes[3]).all()


@pytest.mark.parametrize("name", ["yuv420p10be", "yuv422p12be", "gbrp16be"])
def test_big_endian_becomes_little(name: str) -> None:
    target = name.replace("be", "le")
    bits = layout(target).bits
    small = (HEIGHT, WIDTH) if layout(target).is_rgb else chroma_size(target)
    planes = [random(s, bits, n) for n, s in enumerate(((HEIGHT, WIDTH), small, small))]
    picture = av.VideoFrame(WIDTH, HEIGHT, name)
    for number, rows in enumerate(planes):
        write_rows(picture, number, rows, ">u2")
    got, _, reached = converted(picture)
    assert reached == target
    assert all((a == b).all() for a, b in zip(got, planes, strict=True))


@pytest.mark.parametrize(("name", "across", "down"), [("yuv411p", 4, 1), ("yuv410p", 4, 4), ("yuv440p", 1, 2)])
def test_rare_chroma_is_repeated_and_said(name: str, across: int, down: int) -> None:
    small = (-(-HEIGHT // down), -(-WIDTH // across))
    planes = [random((HEIGHT, WIDTH), 8), random(small, 8, 1), random(small, 8, 2)]
    picture = av.VideoFrame(WIDTH, HEIGHT, name)
    for number, rows in enumerate(planes):
        write_rows(picture, number, rows, "u1")
    got, _, target = converted(picture)
    assert target == "yuv444p"
    assert "4:4:4" in door_for(picture).remark
    assert (got[0] == planes[0]).all()
    for a, b in zip(got[1:], planes[1:], strict=True):
        assert (a == np.kron(b, np.ones((down, across), int))[:HEIGHT, :WIDTH]).all()


@pytest.mark.parametrize(("name", "target"), [("gray", "gbrp"), ("gray16be", "gbrp16le"), ("gray10le", "gbrp10le")])
def test_full_range_grey_becomes_rgb(name: str, target: str) -> None:
    bits = layout(target).bits
    rows = random((HEIGHT, WIDTH), bits)
    picture = av.VideoFrame(WIDTH, HEIGHT, name)
    picture.color_range = 2
    write_rows(picture, 0, rows, "u1" if bits == 8 else (">u2" if name.endswith("be") else "<u2"))
    got, _, reached = converted(picture)
    assert reached == target
    assert all((plane == rows).all() for plane in got)


def test_limited_grey_keeps_its_range_as_yuv_with_neutral_chroma() -> None:
    picture = av.VideoFrame(WIDTH, HEIGHT, "gray")
    picture.color_range = 1
    rows = random((HEIGHT, WIDTH), 8)
    write_rows(picture, 0, rows, "u1")
    got, _, target = converted(picture)
    assert target == "yuv420p"
    assert (got[0] == rows).all()
    assert all((plane == 128).all() for plane in got[1:])


@pytest.mark.parametrize("name", ["ya8", "ya16le", "ya16be"])
def test_grey_with_alpha(name: str) -> None:
    bits = 8 if name == "ya8" else 16
    grey, alpha = random((HEIGHT, WIDTH), bits), random((HEIGHT, WIDTH), bits, 1)
    picture = av.VideoFrame(WIDTH, HEIGHT, name)
    dtype = "u1" if bits == 8 else (">u2" if name.endswith("be") else "<u2")
    write_rows(picture, 0, np.stack([grey, alpha], axis=2).reshape(HEIGHT, -1), dtype)
    got, found, _ = converted(picture)
    assert all((plane == grey).all() for plane in got)
    assert found is not None
    assert (found == alpha).all()


@pytest.mark.parametrize("transparent", [False, True])
def test_palettes(transparent: bool) -> None:
    picture = av.VideoFrame(WIDTH, HEIGHT, "pal8")
    index = random((HEIGHT, WIDTH), 4)
    colours = random((256, 4), 8, 1).astype(np.uint32)  # b, g, r, a
    colours[:, 3] = np.where(np.arange(256) == 3, 90, 255) if transparent else 255
    colours[200:, 3] = 0  # not used by any sample
    write_rows(picture, 0, index, "u1")
    words = np.frombuffer(memoryview(picture.planes[1]), np.uint32)
    words[:256] = colours[:, 0] | colours[:, 1] << 8 | colours[:, 2] << 16 | colours[:, 3] << 24
    got, alpha, target = converted(picture)
    assert target == "gbrp"
    for plane, column in zip(got, (1, 0, 2), strict=True):
        assert (plane == colours[index, column]).all()
    assert (alpha is not None) is transparent
    if alpha is not None:
        assert (alpha == colours[index, 3]).all()


@pytest.mark.parametrize("name", ["ayuv", "vuya", "vuyx", "vyu444", "uyva"])
def test_packed_444(name: str) -> None:
    order = {"vyu444": "vyu", "vuyx": "vuy-"}.get(name, name)
    samples = {c: random((HEIGHT, WIDTH), 8, ord(c)) for c in "yuva-"}
    picture = av.VideoFrame(WIDTH, HEIGHT, name)
    write_rows(picture, 0, np.stack([samples[c] for c in order], axis=2).reshape(HEIGHT, -1), "u1")
    got, alpha, target = converted(picture)
    assert target == "yuv444p"
    assert all((a == samples[c]).all() for a, c in zip(got, "yuv", strict=True))
    assert (alpha is not None) == ("a" in order)


@pytest.mark.parametrize("name", ["rgb565le", "monob", "gbrpf32le", "x2rgb10le", "xyz12le", "y210le", "bayer_rggb8"])
def test_everything_else_is_converted_and_said(name: str) -> None:
    picture = av.VideoFrame(32, 16, name)
    for plane in picture.planes:
        np.frombuffer(memoryview(plane), np.uint8)[:] = 0
    got, _, _ = converted(picture)
    assert len(got) == 3
    assert name in door_for(picture).remark


@pytest.mark.parametrize("name", ["yaf32le", "rgba128le"])
def test_what_swscale_cannot_take_is_refused_with_advice(name: str) -> None:
    picture = av.VideoFrame(32, 16, name)
    with pytest.raises(SourceError, match="pix_fmt"):
        door_for(picture).convert(picture)


def test_damaged_alpha_beyond_its_depth_is_clipped() -> None:
    picture = av.VideoFrame(WIDTH, HEIGHT, "yuva444p10le")
    for number in range(4):
        write_rows(picture, number, np.full((HEIGHT, WIDTH), 65535), "<u2")
    _, alpha, _ = converted(picture)
    assert alpha is not None
    assert (alpha == 65535).all()
