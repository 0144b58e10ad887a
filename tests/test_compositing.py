"""Backgrounds, and the over operator in the source's own planes."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from formula_pictures import (
    FORMATS,
    SPEC,
    disc,
    frame_of,
    info_for,
    mean_alphas,
    noise,
    picture_of,
)
from formula_pictures import over as formula_over
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from livematte.color import ColorSpec
from livematte.color_convert import to_rgb
from livematte.compositing.backgrounds import parse_colour
from livematte.compositing.canvas import Canvas, flat_values, rgb_planes
from livematte.compositing.compositor import Compositor, parse_blur
from livematte.errors import SourceError, UsageError
from livematte.frames import Frame, Matte, MattedFrame
from livematte.planes import layout, plane_arrays
from livematte.reporting import ListReporter

SIZE = (72, 128)


def matted_of(frame: Frame, alpha: np.ndarray, foreground: av.VideoFrame | None = None) -> MattedFrame:
    return MattedFrame(frame, Matte(alpha, foreground))


def composite(background: str, frame: Frame, alpha: np.ndarray, foreground: av.VideoFrame | None = None):
    compositor = Compositor(background, info_for(frame.host_picture(), frame.color), reporter=ListReporter())
    try:
        return compositor.composite(matted_of(frame, alpha, foreground))
    finally:
        compositor.close()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", [(72, 128), (73, 127), (1, 1)])
@pytest.mark.parametrize("pix_fmt", FORMATS)
def test_over_is_exact_at_both_ends_and_to_half_a_step_between(
    pix_fmt: str, size: tuple[int, int], dtype: type
) -> None:
    alpha = disc(*size, dtype=dtype)
    frame = frame_of(picture_of(pix_fmt, noise(pix_fmt, *size)))
    made = composite("green", frame, alpha)
    values = flat_values((120, 255, 155), Canvas(size[1], size[0], pix_fmt, SPEC))
    assert made.picture.format.name == pix_fmt
    assert made.matted.frame is frame
    for before, after, value, share in zip(
        plane_arrays(frame.picture), plane_arrays(made.picture), values, mean_alphas(pix_fmt, alpha), strict=True
    ):
        assert np.array_equal(after[share == 1], before[share == 1])
        assert (after[share == 0] == value).all()
        exact = share * before + (1 - share) * value
        # Half a step of rounding, and half an 8-bit step of alpha where chroma's mean alpha is rounded.
        assert np.abs(after - exact).max() <= 0.51 + layout(pix_fmt).peak * 0.5 / 255


def test_the_cleaned_foreground_is_used_where_there_is_one() -> None:
    alpha = disc(*SIZE)
    frame = frame_of(picture_of("yuv420p", noise("yuv420p", *SIZE)))
    cleaned = picture_of("yuv420p", [np.full_like(p, 90) for p in noise("yuv420p", *SIZE)])
    made = composite("black", frame, alpha, cleaned)
    assert (plane_arrays(made.picture)[0][alpha == 255] == 90).all()


# --- colours ---


@pytest.mark.parametrize(
    ("text", "rgb"),
    [
        ("green", (120, 255, 155)),
        ("Green", (120, 255, 155)),
        ("120,255,155", (120, 255, 155)),
        (" 1, 2 ,3 ", (1, 2, 3)),
        ("#78ff9b", (120, 255, 155)),
        ("#abc", (170, 187, 204)),
        ("white", (255, 255, 255)),
        ("rebeccapurple", (102, 51, 153)),
        ("rgb(9,8,7)", (9, 8, 7)),
        ("beach.jpg", None),
        ("greenish", None),
    ],
)
def test_colour_names(text: str, rgb: tuple[int, int, int] | None) -> None:
    assert parse_colour(text) == rgb


@given(st.tuples(*[st.integers(0, 255)] * 3), st.sampled_from(["bt709", "smpte170m", "bt2020nc"]))
def test_flat_colours_come_back_through_the_frames_own_matrix(rgb: tuple[int, int, int], matrix: str) -> None:
    for pix_fmt, spread in (("yuv444p", "tv"), ("yuv420p10le", "tv"), ("yuv444p", "pc"), ("gbrp", "pc")):
        spec = ColorSpec("rgb" if pix_fmt == "gbrp" else matrix, spread)
        values = flat_values(rgb, Canvas(16, 16, pix_fmt, spec))
        picture = picture_of(
            pix_fmt, [np.full(p.shape, v, float) for p, v in zip(noise(pix_fmt, 16, 16), values, strict=True)]
        )
        back = to_rgb(picture, spec, 16, 16)[8, 8]
        assert np.abs(back.astype(int) - rgb).max() <= 2


def test_white_in_hdr_is_203_nit() -> None:
    """BT.2408: reference white is 58 % of PQ and 75 % of HLG."""
    for transfer, share in (("smpte2084", 0.58), ("arib-std-b67", 0.75)):
        spec = ColorSpec("bt2020nc", "tv", "bt2020", transfer)
        luma, blue, red = flat_values((255, 255, 255), Canvas(16, 16, "yuv420p10le", spec))
        assert (luma - 64) / 876 == pytest.approx(share, abs=0.01)
        assert (blue, red) == pytest.approx((512, 512), abs=1)
        planes = rgb_planes(np.full((16, 16, 3), 255, np.uint8), Canvas(16, 16, "yuv420p10le", spec))
        assert np.abs(planes[0].astype(int) - luma).max() <= 2


# --- pictures ---


def halves(width: int, height: int) -> Image.Image:
    """Left half red, right half blue, a green dot in the top left corner."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[:, : width // 2] = (200, 30, 30)
    picture[:, width // 2 :] = (30, 30, 200)
    picture[: height // 8, : width // 8] = (30, 200, 30)
    return Image.fromarray(picture)


def shown(made, color: ColorSpec = SPEC) -> np.ndarray:
    return to_rgb(made.picture, color, made.picture.width, made.picture.height).astype(int)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "gbrp", "gbrp10le"])
@pytest.mark.parametrize("picture_size", [(300, 100), (64, 200), (128, 72), (31, 17)])
def test_a_picture_covers_and_is_cropped_to_its_middle(
    tmp_path: Path, pix_fmt: str, picture_size: tuple[int, int]
) -> None:
    halves(*picture_size).save(tmp_path / "beach.png")
    color = ColorSpec("rgb", "pc") if pix_fmt.startswith("gbr") else SPEC
    frame = frame_of(picture_of(pix_fmt, noise(pix_fmt, *SIZE)), color=color)
    rgb = shown(composite(str(tmp_path / "beach.png"), frame, np.zeros(SIZE, np.uint8)), color)
    assert np.abs(rgb[60, 10] - (200, 30, 30)).max() < 6
    assert np.abs(rgb[60, 118] - (30, 30, 200)).max() < 6
    edge = np.argmax(rgb[60, :, 2] > rgb[60, :, 0])
    assert abs(edge - 64) <= 4


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    halves(128, 72).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    frame = frame_of(picture_of("yuv420p", noise("yuv420p", *SIZE)))
    rgb = shown(composite(str(tmp_path / "turned.jpg"), frame, np.zeros(SIZE, np.uint8)))
    assert np.abs(rgb[10, 10] - (30, 30, 200)).max() < 12
    assert np.abs(rgb[10, 118] - (200, 30, 30)).max() < 12


# --- videos ---


def write_steps(path: Path, greys: list[int], *, rate: int = 10, size: tuple[int, int] = (64, 64)) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=rate)
        stream.width, stream.height, stream.pix_fmt = size[0], size[1], "yuv420p"
        for number, grey in enumerate(greys):
            planes = [np.full((size[1], size[0]), grey), *[np.full((size[1] // 2, size[0] // 2), 128)] * 2]
            picture = picture_of("yuv420p", planes)
            picture.pts, picture.time_base = number, Fraction(1, rate)
            picture.color_range = 1
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def test_a_video_runs_by_the_sources_time_and_loops(tmp_path: Path) -> None:
    """Three greys at 10 a second behind a clip at 25: each stays for a tenth of a second, then it begins again."""
    write_steps(tmp_path / "waves.mkv", [50, 100, 150])
    reporter = ListReporter()
    picture = picture_of("yuv420p", noise("yuv420p", 64, 64))
    compositor = Compositor(str(tmp_path / "waves.mkv"), info_for(picture), reporter=reporter)
    seen = []
    for number in range(5, 30):  # a clip that begins at 0.2 s
        made = compositor.composite(matted_of(frame_of(picture, number, rate=25), np.zeros((64, 64), np.uint8)))
        seen.append(int(plane_arrays(made.picture)[0][32, 32]))
    compositor.close()
    expected = [(50, 100, 150)[int((number - 5) * 0.04 * 10 + 1e-6) % 3] for number in range(5, 30)]
    assert np.abs(np.array(seen) - expected).max() <= 1
    assert any("begins again at its end" in note for note in reporter.notes)


def test_a_video_follows_jumps_in_time(tmp_path: Path) -> None:
    write_steps(tmp_path / "waves.mkv", [50, 100, 150])
    picture = picture_of("yuv420p", noise("yuv420p", 64, 64))
    compositor = Compositor(str(tmp_path / "waves.mkv"), info_for(picture), reporter=ListReporter())
    seen = []
    for tenth in (0, 7, 8, 31):
        made = compositor.composite(matted_of(frame_of(picture, tenth, rate=10), np.zeros((64, 64), np.uint8)))
        seen.append(int(plane_arrays(made.picture)[0][0, 0]))
    compositor.close()
    assert np.abs(np.array(seen) - (50, 100, 150, 100)).max() <= 1


def test_a_video_of_one_picture_is_still(tmp_path: Path) -> None:
    write_steps(tmp_path / "one.mkv", [77])
    picture = picture_of("yuv420p", noise("yuv420p", 64, 64))
    compositor = Compositor(str(tmp_path / "one.mkv"), info_for(picture), reporter=ListReporter())
    for second in (0, 1, 100):
        made = compositor.composite(matted_of(frame_of(picture, second, rate=1), np.zeros((64, 64), np.uint8)))
        assert abs(int(plane_arrays(made.picture)[0][0, 0]) - 77) <= 1
    compositor.close()


# --- blur ---


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "gbrp"])
@pytest.mark.parametrize("blur", ["blur", "blur=12", "blur=100"])
def test_a_bright_person_does_not_glow_in_the_blur(pix_fmt: str, blur: str) -> None:
    """A white person before a flat dark room: outside the person the blurred room must still be the room."""
    size = (270, 480)
    peak = layout(pix_fmt).peak
    alpha = disc(*size, soft_px=4)
    alphas = mean_alphas(pix_fmt, alpha)
    person = [np.full(share.shape, 0.92 * peak) for share in alphas]
    room = [np.full(share.shape, 0.25 * peak) for share in alphas]
    frame = frame_of(picture_of(pix_fmt, formula_over(person, room, alphas)))
    made = composite(blur, frame, alpha)
    for plane, share in zip(plane_arrays(made.picture), alphas, strict=True):
        assert np.abs(plane[share == 0] / peak - 0.25).max() < 0.01


def test_blur_blurs_the_room_alike_whatever_stands_before_it() -> None:
    size = (270, 480)
    alpha = disc(*size)
    room = noise("yuv420p", *size)
    empty = composite("blur=30", frame_of(picture_of("yuv420p", room)), np.zeros(size, np.uint8))
    person = [np.full_like(plane, 235.0) for plane in room]
    seen = formula_over(person, room, mean_alphas("yuv420p", alpha))
    with_person = composite("blur=30", frame_of(picture_of("yuv420p", seen)), alpha)
    clear = disc(*size, radius=120) == 0
    texture = [float(plane_arrays(made.picture)[0][clear].std()) for made in (empty, with_person)]
    assert texture[0] < 8  # 74 before the blur
    difference = plane_arrays(empty.picture)[0][clear].astype(int) - plane_arrays(with_person.picture)[0][clear]
    assert np.abs(difference).mean() < 3


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (61, 35)])
def test_blur_of_odd_pictures_and_of_pictures_full_of_person(size: tuple[int, int]) -> None:
    frame = frame_of(picture_of("yuv420p", noise("yuv420p", *size)))
    for value in (0, 128, 255):
        made = composite("blur", frame, np.full(size, value, np.uint8))
        assert (made.picture.height, made.picture.width) == size
    assert np.array_equal(plane_arrays(made.picture)[0], plane_arrays(frame.picture)[0])


def test_blur_spellings() -> None:
    assert parse_blur("blur") == 40.0
    assert parse_blur("Blur=12.5") == 12.5
    assert parse_blur("blurred.png") is None
    for wrong in ("blur=", "blur=0", "blur=-3", "blur=much", "blur=1000", "blur=nan"):
        with pytest.raises(UsageError, match="the radius goes above 0 up to 400 px"):
            parse_blur(wrong)


# --- what cannot be ---


@pytest.mark.parametrize("text", ["sunset", "1,2,300", "", "greenscreen"])
def test_an_unknown_kind_lists_the_kinds(text: str) -> None:
    frame = frame_of(picture_of("yuv420p", noise("yuv420p", *SIZE)))
    with pytest.raises(UsageError, match=r"green|120,255,155"):
        composite(text, frame, disc(*SIZE))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    frame = frame_of(picture_of("yuv420p", noise("yuv420p", *SIZE)))
    with pytest.raises(SourceError, match="does not exist"):
        composite(str(tmp_path / "beach.jpg"), frame, disc(*SIZE))
    with pytest.raises(UsageError, match="is a folder"):
        composite(str(tmp_path), frame, disc(*SIZE))


@pytest.mark.parametrize(
    "content", [b"", b"not a picture at all", b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR"]
)
def test_a_file_that_is_no_picture(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "broken.png").write_bytes(content)
    frame = frame_of(picture_of("yuv420p", noise("yuv420p", *SIZE)))
    with pytest.raises(SourceError, match=r"broken\.png"):
        composite(str(tmp_path / "broken.png"), frame, disc(*SIZE))


def test_a_file_without_pictures(tmp_path: Path) -> None:
    path = tmp_path / "sound.mka"
    with av.open(str(path), "w", format="matroska") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        sound.rate = 8000
        container.mux(stream.encode(sound))
    frame = frame_of(picture_of("yuv420p", noise("yuv420p", *SIZE)))
    with pytest.raises(SourceError, match="no video track"):
        composite(str(path), frame, disc(*SIZE))
