"""`livematte photo` as a function: names, formats, metadata, failures."""

from __future__ import annotations

import io
import sys
import types
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from livematte.config import ModelSettings, Settings
from livematte.errors import AlphaLost, NobodyFound, SinkError, SourceError, UsageError
from livematte.photos import formats as still_formats
from livematte.photos import stills
from livematte.photos.conversion import convert_photos
from livematte.photos.options import PhotoOptions, PhotoSummary
from livematte.photos.stills import read_still
from livematte.reporting import ListReporter

NULL = Settings(model=ModelSettings(runtime="null"))
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def run(inputs: list[Path | str], output: Path | str | None = None, **options: object) -> PhotoSummary:
    reporter = options.pop("reporter", ListReporter())
    settings = options.pop("settings", NULL)
    target = None if output is None else str(output) + ("/" if isinstance(output, Path) and output.is_dir() else "")
    given = PhotoOptions(**options)
    return convert_photos([str(one) for one in inputs], target, settings=settings, options=given, reporter=reporter)


def opened(path: Path) -> Image.Image:
    """A picture in memory, its file closed."""
    with Image.open(path) as image:
        image.load()
        return image


def rgb(height: int = 20, width: int = 30) -> np.ndarray:
    return np.random.default_rng(2).integers(0, 256, (height, width, 3), dtype=np.uint8)


def with_hole() -> np.ndarray:
    """RGBA whose own alpha is 1 in a box, half on its border and 0 outside: with the null network, the result's."""
    alpha = np.zeros((40, 60), np.uint8)
    alpha[9:31, 14:51] = 128
    alpha[10:30, 15:50] = 255
    return np.dstack((rgb(40, 60), alpha))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "me.png"
    Image.fromarray(with_hole()).save(path)
    return path


def test_default_name(source: Path) -> None:
    summary = run([source])
    target = source.with_name("me_alpha.png")
    assert summary.done == [(str(source), str(target))]
    assert summary.exit_code == 0
    found = np.asarray(opened(target))
    np.testing.assert_array_equal(found[..., 3], with_hole()[..., 3])
    inside = with_hole()[..., 3] == 255
    np.testing.assert_array_equal(found[inside], with_hole()[inside])
    assert sorted(path.name for path in source.parent.iterdir()) == ["me.png", "me_alpha.png"]


def test_nothing_of_the_room_is_left(source: Path) -> None:
    run([source])
    found = np.asarray(opened(source.with_name("me_alpha.png")))
    far = np.zeros((40, 60), bool)
    far[:4] = far[-4:] = True
    assert len(np.unique(found[far][:, :3], axis=0)) == 1


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif", ".tiff", ".avif"])
def test_formats_with_alpha(source: Path, suffix: str) -> None:
    run([source], source.with_name(f"out{suffix}"))
    found = read_still(source.with_name(f"out{suffix}").read_bytes(), "out")
    np.testing.assert_allclose(found.alpha.astype(int), with_hole()[..., 3], atol=40 if suffix == ".avif" else 0)


def test_format_by_option(source: Path) -> None:
    assert run([source], format="webp").done[0][1].endswith("me_alpha.webp")
    with pytest.raises(UsageError, match="no picture format 'bmp'; there are png"):
        run([source], format="bmp")
    with pytest.raises(UsageError, match="no suffix of a picture"):
        run([source], source.with_name("out.xyz"))


def test_jpeg_needs_a_background(source: Path) -> None:
    with pytest.raises(UsageError, match="JPEG has no transparency"):
        run([source], source.with_name("out.jpg"))
    run([source], source.with_name("out.jpg"), background="#00ff00")
    found = np.asarray(opened(source.with_name("out.jpg")))
    assert np.abs(found[2, 2].astype(int) - (0, 255, 0)).max() < 12


def test_backgrounds(source: Path) -> None:
    assert run([source], background="blue").done[0][1].endswith("me_blue.jpg")
    run([source], source.with_name("b.png"), background="blue")
    found = np.asarray(opened(source.with_name("b.png")))
    assert found.shape == (40, 60, 3)
    assert tuple(found[0, 0]) == (0, 0, 255)
    np.testing.assert_array_equal(found[20, 30], with_hole()[20, 30, :3])
    Image.new("RGB", (10, 10), "red").save(source.with_name("wall.png"))
    run([source], source.with_name("c.png"), background=str(source.with_name("wall.png")))
    assert tuple(np.asarray(opened(source.with_name("c.png")))[0, 0]) == (255, 0, 0)
    assert run([source], background="blur").done[0][1].endswith("me_blur.jpg")


def test_alpha_only(source: Path) -> None:
    assert run([source], alpha_only=True).done[0][1].endswith("me_matte.png")
    found = opened(source.with_name("me_matte.png"))
    assert found.mode == "L"
    np.testing.assert_array_equal(np.asarray(found), with_hole()[..., 3])
    with pytest.raises(UsageError, match="Choose one"):
        run([source], alpha_only=True, background="blue")


def test_crop(source: Path) -> None:
    run([source], crop=True)
    assert np.asarray(opened(source.with_name("me_alpha.png"))).shape[:2] == (22, 37)


def test_existing_output(source: Path) -> None:
    run([source])
    with pytest.raises(UsageError, match="exists already"):
        run([source])
    run([source], overwrite=True)
    other = source.with_name("you.png")
    Image.fromarray(with_hole()).save(other)
    summary = run([source, other])
    assert [target for _, target in summary.skipped] == [str(source.with_name("me_alpha.png"))]
    assert [name for name, _ in summary.done] == [str(other)]
    assert summary.exit_code == 0


def test_output_is_the_input(source: Path) -> None:
    with pytest.raises(UsageError, match="is the input itself"):
        run([source], source, overwrite=True)


def exif_of_a_phone(orientation: int = 6) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "A phone"
    exif.get_ifd(0x8769)[0x829A] = 0.01
    exif.get_ifd(0x8769)[0x927C] = b"a small copy of the room"
    exif.get_ifd(0x8825)[1] = "N"
    exif.get_ifd(0x8825)[2] = (48.0, 12.0, 3.0)
    return exif


@pytest.mark.parametrize("suffix", [".png", ".webp", ".avif"])
def test_metadata(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "phone.jpg"
    Image.fromarray(rgb()).save(path, exif=exif_of_a_phone(), icc_profile=PROFILE, quality=95)
    for keep in (False, True):
        target = tmp_path / f"out{keep}{suffix}"
        run([path], target, keep_location=keep)
        with Image.open(target) as found:
            exif = found.getexif()
            assert found.size == (20, 30)  # upright
            assert found.info["icc_profile"] == PROFILE
            assert exif[0x010F] == "A phone"
            assert 0x0112 not in exif
            assert float(exif.get_ifd(0x8769)[0x829A]) == pytest.approx(0.01)
            assert bool(exif.get_ifd(0x8825)) is keep
        assert b"small copy" not in target.read_bytes()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_wide_pictures_is_pillows(tmp_path: Path, orientation: int) -> None:
    """16-bit pictures are turned by us, others by Pillow: both must agree."""
    small = rgb()
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.fromarray(small).save(buffer, "PNG", exif=exif)
    expected = read_still(buffer.getvalue(), "narrow").pixels
    wide = still_formats.encode(still_formats.StillImage(small.astype(np.uint16) * 257, exif=exif), _png())
    found = read_still(wide, "wide")
    assert found.is_wide
    np.testing.assert_array_equal(found.pixels, expected.astype(np.uint16) * 257)


def _png() -> still_formats.StillFormat:
    return still_formats.FORMATS["png"]


def test_sixteen_bits_stay(tmp_path: Path) -> None:
    deep = np.random.default_rng(3).integers(0, 65536, (20, 30, 3), dtype=np.uint16)
    cv2.imwrite(str(tmp_path / "deep.png"), deep[..., ::-1])
    run([tmp_path / "deep.png"])
    back = cv2.imread(str(tmp_path / "deep_alpha.png"), cv2.IMREAD_UNCHANGED)
    assert back.dtype == np.uint16
    np.testing.assert_array_equal(back[..., 2::-1], deep)
    reporter = ListReporter()
    run([tmp_path / "deep.png"], tmp_path / "o.webp", reporter=reporter)
    assert any("8 bits a channel" in note for note in reporter.notes)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "1", "CMYK", "I;16", "RGBA", "F"])
def test_every_mode_is_read(tmp_path: Path, mode: str) -> None:
    base = Image.fromarray(rgb())
    if mode == "I;16":
        image = Image.fromarray(np.linspace(0, 65535, 600).astype(np.uint16).reshape(20, 30))
    else:
        image = base.convert(mode)
    path = tmp_path / ("x.tif" if mode in ("CMYK", "F") else "x.png")
    image.save(path)
    run([path], tmp_path / "out.png")
    found = np.asarray(opened(tmp_path / "out.png"))
    assert found.shape[:2] == (20, 30)
    if mode == "I;16":
        assert found[-1, -1, 0] == 255
        assert found[0, 0, 0] == 0


def test_folder_in_parallel_mirrors_and_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.png", "b.png", "sub/c.png"):
        Image.fromarray(with_hole()).save(folder / name)
    (folder / "bad.png").write_bytes(b"no picture")
    (folder / "note.txt").write_text("hello", encoding="utf-8")
    reporter = ListReporter()
    summary = run([folder], str(tmp_path / "out") + "/", reporter=reporter)
    assert [Path(target).relative_to(tmp_path / "out").as_posix() for _, target in summary.done] == [
        "a_alpha.png", "b_alpha.png", "sub/c_alpha.png",
    ]  # fmt: skip
    assert [Path(name).name for name, _ in summary.failed] == ["bad.png"]
    assert summary.exit_code == 1
    assert any("bad.png" in text for text in reporter.warnings)
    assert not list((tmp_path / "out").rglob("*.part*"))


def test_results_of_an_earlier_run_are_left_out(source: Path) -> None:
    run([source])
    reporter = ListReporter()
    summary = run([source.parent], overwrite=True, reporter=reporter)
    assert [name for name, _ in summary.done] == [str(source)]
    assert any("results of an earlier run" in note for note in reporter.notes)


def test_globs_and_doubles(source: Path) -> None:
    summary = run([source.parent / "m*.png", source], source.parent / "out.png")
    assert len(summary.done) == 1
    with pytest.raises(SourceError, match="nothing matches"):
        run([source.parent / "z*.png"])


def test_two_pictures_into_one_file(source: Path) -> None:
    other = source.with_name("you.png")
    other.write_bytes(source.read_bytes())
    with pytest.raises(UsageError, match="Give a folder"):
        run([source, other], source.with_name("out.png"))
    jpeg = source.with_name("me.jpg")
    Image.fromarray(rgb()).save(jpeg)
    with pytest.raises(UsageError, match="would both become"):
        run([source, jpeg])


def test_stdin_to_stdout(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=io.BytesIO(source.read_bytes())))
    monkeypatch.setattr(sys, "stdout", types.SimpleNamespace(buffer=out))
    run(["-"])
    with Image.open(io.BytesIO(out.getvalue())) as found:
        assert (found.format, found.mode) == ("PNG", "RGBA")


def test_nobody(tmp_path: Path) -> None:
    path = tmp_path / "wall.png"
    Image.new("RGB", (160, 90), (120, 130, 125)).save(path)
    with pytest.raises(NobodyFound) as caught:
        run([path], settings=Settings())
    for part in ("wall.png", "--model isnet", "179 MB", "Apache-2.0", "model fetch isnet"):
        assert part in str(caught.value)
    assert caught.value.exit_code == 1
    assert [one.name for one in tmp_path.iterdir()] == ["wall.png"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.png", b"", "empty"),
        ("a.jpg", b"text", "not a picture"),
        ("a.heic", b"\0\0\0\x18ftypheic" + bytes(20), "heic"),
    ],
)
def test_bad_pictures(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(SourceError, match=said) as caught:
        run([path])
    assert caught.value.exit_code == 3
    assert name in str(caught.value)


def test_heic_without_its_extra_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stills, "register_heif", lambda: False)
    monkeypatch.setattr(Image, "open", _raise_unidentified)
    path = tmp_path / "a.heic"
    path.write_bytes(b"\0\0\0\x18ftypheic" + bytes(20))
    with pytest.raises(SourceError, match=r"livematte\[heic\]"):
        run([path])


def _raise_unidentified(*_: object, **__: object) -> None:
    raise stills.UnidentifiedImageError("cannot identify")


def test_heic_in(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    path = tmp_path / "a.heic"
    pillow_heif.from_pillow(Image.fromarray(cv2.resize(rgb(), (64, 64)))).save(str(path), quality=90)
    run([path])
    assert opened(tmp_path / "a_alpha.png").size == (64, 64)


def test_truncated_picture(source: Path) -> None:
    cut = source.with_name("cut.png")
    cut.write_bytes(source.read_bytes()[:1500])
    with pytest.raises(SourceError, match=r"cut\.png"):
        run([cut])


def test_huge_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "big.png"
    Image.new("L", (60, 50)).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(SourceError, match=r"too many pixels; at most 2,000"):
        run([path])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run([path])


def test_missing_and_video(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no picture or folder"):
        run([tmp_path / "none.png"])
    clip = tmp_path / "a.mp4"
    clip.write_bytes(b"x")
    with pytest.raises(UsageError, match="livematte convert"):
        run([clip])
    with pytest.raises(UsageError, match="no picture was given"):
        run([])


def test_unwritable_folder(source: Path) -> None:
    blocked = source.with_name("file")
    blocked.write_bytes(b"")
    with pytest.raises(SinkError, match="cannot be written"):
        run([source], blocked / "out.png")


def test_an_encoder_that_drops_alpha_is_caught(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = still_formats._through_pillow

    def opaque(image: still_formats.StillImage, kind: still_formats.StillFormat) -> bytes:
        return real(still_formats.StillImage(image.pixels[..., :3].copy()), kind)

    monkeypatch.setattr(still_formats, "_through_pillow", opaque)
    with pytest.raises(AlphaLost, match="did not keep the transparency"):
        run([source])
    assert not source.with_name("me_alpha.png").exists()


def test_an_encoder_that_is_not_there(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(still_formats.features, "check", lambda name: False)
    with pytest.raises(SinkError, match="built without AVIF"):
        run([source], source.with_name("o.avif"))


def test_recurrent_network_is_warmed_on_the_picture(tmp_path: Path) -> None:
    sys.path.insert(0, str(Path(__file__).parent / "models"))
    import make_models

    path = make_models.recurrent(tmp_path / "r.onnx")
    settings = Settings(model=ModelSettings(model=str(path), device="cpu"))
    for name, value in (("a", 200), ("b", 100)):
        Image.new("RGB", (64, 48), (value,) * 3).save(tmp_path / f"{name}.png")
    run([tmp_path / "a.png", tmp_path / "b.png"], str(tmp_path / "o") + "/", alpha_only=True, settings=settings)
    for name, value in (("a", 200), ("b", 100)):
        found = np.asarray(opened(tmp_path / "o" / f"{name}_matte.png"))
        # Warmed, the memory is near twice the picture: 0.5 + 0.2; cold it would be 0.6, with the other's past neither.
        assert abs(float(found.mean()) - 0.7 * value) < 2.5


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_what_an_editor_left_in_a_tiff_is_dropped(tmp_path: Path, suffix: str) -> None:
    """Previews, XMP with a position, and the TIFF's own strips do not travel; camera and date do."""
    exif = exif_of_a_phone()
    for tag in (700, 34377, 37724):  # XMP, Photoshop's resources (a preview among them), Photoshop's layers
        exif[tag] = b"a small copy of the room, at 51.5 N"
    path = tmp_path / "edited.tif"
    Image.fromarray(rgb()).save(path, exif=exif.tobytes())
    assert b"51.5 N" in path.read_bytes()
    run([path], tmp_path / f"out{suffix}")
    with Image.open(tmp_path / f"out{suffix}") as found:
        kept = found.getexif()
        assert kept[0x010F] == "A phone"
        assert not {700, 34377, 37724} & set(kept)
        assert suffix == ".tif" or 273 not in kept
    assert b"51.5 N" not in (tmp_path / f"out{suffix}").read_bytes()


def test_a_name_of_another_format_is_refused(source: Path) -> None:
    with pytest.raises(UsageError, match=r"name of a PNG file.*out\.webp"):
        run([source], source.with_name("out.png"), format="webp")
    run([source], source.with_name("out"), format="webp")
    assert opened(source.with_name("out")).format == "WEBP"
