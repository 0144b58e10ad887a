"""Which format a name means, what is refused, and what is asked of the pipeline."""

from __future__ import annotations

import pytest

from livematte.config import OutputSettings
from livematte.errors import UsageError
from livematte.sinks.encodings import encoding_for
from livematte.sinks.formats import FORMATS, advice_for, format_for, is_pattern
from sinks.making import Shot


@pytest.mark.parametrize(
    ("target", "settings", "name"),
    [
        ("a.mov", {}, "mov"),
        ("A.MOV", {}, "mov"),
        ("a.b.webm", {}, "webm"),
        ("a.mkv", {}, "mkv"),
        ("a.nut", {}, "nut"),
        ("a.rgba", {}, "rawvideo"),
        ("frames/", {}, "png"),
        ("frames/f_%05d.png", {}, "png"),
        ("-", {}, "nut"),
        ("-", {"format": "rawvideo"}, "rawvideo"),
        ("null", {}, "null"),
        ("a.bin", {"format": "mov"}, "mov"),
        ("a.mov", {"format": "mov"}, "mov"),
        ("a.mp4", {"background": "green"}, "mp4"),
        ("a.mp4", {"alpha_only": True}, "mp4"),
        ("a.mp4", {"foreground_only": True}, "mp4"),
        ("a.mp4", {"stacked": True}, "mp4"),
        ("a.mp4", {"stacked": True, "format": "hevc"}, "hevc"),
        ("a.mp4", {"background": "green", "format": "hevc"}, "hevc"),
        ("a.m4v", {"format": "pair"}, "pair"),
        ("a.mp4", {"format": "pair", "background": "green"}, "pair"),
        ("a.mov", {"format": "png-mov"}, "png-mov"),
        ("a.MOV", {"format": "hevc-alpha"}, "hevc-alpha"),
        ("a.mov", {"audio_codec": "pcm"}, "mov"),
        ("matte/", {"audio_codec": "pcm", "alpha_only": True}, "png"),
        ("frames/", {"format": "exr"}, "exr"),
        ("frames/f_%05d.exr", {}, "exr"),
        ("frames/f_%05d.EXR", {"format": "exr"}, "exr"),
        ("a.apng", {}, "apng"),
        ("a.png", {"format": "apng"}, "apng"),
        ("a.webp", {}, "webp"),
        ("a.webp", {"background": "green"}, "webp"),
    ],
)
def test_the_name_or_format_decides(target: str, settings: dict[str, object], name: str) -> None:
    assert format_for(target, OutputSettings.model_validate(settings)).name == name


@pytest.mark.parametrize(
    ("target", "settings", "says"),
    [
        ("a.webm", {"format": "mov"}, "is a name for VP9"),
        ("a.mp4", {}, "--background green"),
        ("a", {"format": "mp4"}, ".webm"),
        ("a.avi", {}, ".mov"),
        ("clip", {}, "--format"),
        ("a.mov", {"format": "prores"}, "There are: mov, webm"),
        ("-", {"format": "mov"}, "--format nut"),
        ("still.png", {}, "still_%04d.png"),
        ("still.png", {"format": "png"}, "still/"),
        ("a.webm", {"format": "png-mov"}, "is a name for VP9"),
        ("a.mov", {"format": "pair"}, "is a name for ProRes"),
        ("a.mp4", {"format": "hevc"}, "HEVC in MP4 carries no alpha"),
        ("a.mp4", {}, "--stacked"),
        ("a.mov", {"stacked": True}, "--format hevc"),
        ("a.mp4", {"stacked": True, "background": "green"}, "does not go with --background"),
        ("a.mp4", {"stacked": True, "alpha_only": True}, "--alpha-only"),
        ("a.mp4", {"format": "pair", "alpha_only": True}, "both colours and matte"),
        ("-", {"format": "pair"}, "--format nut"),
        ("a.webm", {"audio_codec": "pcm"}, "uncompressed"),
        ("still.exr", {}, "still_%04d.exr"),
        ("still.png", {}, "--format apng"),
        ("f_%04d.png", {"format": "exr"}, "is a name for PNG"),
        ("f_%04d.png", {"format": "apng"}, "clip.apng"),
        ("frames/", {"format": "webp"}, "is a name for PNG"),
        ("-", {"format": "webp"}, "--format nut"),
        ("a.webp", {"format": "apng"}, "is a name for animated WebP"),
        ("a.mp4", {"audio_codec": "pcm", "background": "green"}, "png-mov"),
    ],
)
def test_what_is_refused_and_what_it_names(target: str, settings: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        format_for(target, OutputSettings.model_validate(settings))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "expected"), [("a%04d.png", True), ("a%d.png", True), ("100%.png", False), ("a%s.png", False)]
)
def test_patterns(name: str, expected: bool) -> None:
    assert is_pattern(name) is expected


@pytest.mark.parametrize("name", list(FORMATS))
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "gbrp"])
@pytest.mark.parametrize("settings", [{}, {"alpha_only": True}, {"foreground_only": True}, {"background": "green"}])
def test_wants(name: str, pix_fmt: str, settings: dict[str, object]) -> None:
    chosen = OutputSettings.model_validate(settings)
    if name in ("mp4", "hevc", "hevc-alpha") and not settings:
        return
    encoding = encoding_for(FORMATS[name], chosen, Shot(pix_fmt=pix_fmt).info)
    wanted = {"alpha_only": "alpha", "background": "composite"}.get(next(iter(settings), ""), "straight")
    assert encoding.wants == wanted
    assert encoding.has_alpha == (not settings and name != "pair")
    assert advice_for(FORMATS[name], chosen) is not None


@pytest.mark.parametrize(
    ("pix_fmt", "encode", "bits"),
    [("yuv420p", "fast", 8), ("yuv420p", "good", 8), ("yuv420p", "lossless", 16), ("yuv420p10le", "fast", 16)],
)
def test_prores_alpha_has_no_more_bits_than_it_needs(pix_fmt: str, encode: str, bits: int) -> None:
    settings = OutputSettings.model_validate({"encode": encode})
    assert encoding_for(FORMATS["mov"], settings, Shot(pix_fmt=pix_fmt).info).options["alpha_bits"] == str(bits)


@pytest.mark.parametrize(
    ("name", "pix_fmt", "words"),
    [("mov", "yuv420p", "never lossless"), ("webm", "yuv444p", "4:2:0"), ("webm", "gbrp", "4:2:0"),
     ("mp4", "yuv422p", "4:2:0"), ("webm", "yuv420p", None), ("mkv", "yuv422p", None), ("png", "gbrp", None)],
)  # fmt: skip
def test_what_is_not_lossless_says_so(name: str, pix_fmt: str, words: str | None) -> None:
    background = "green" if name == "mp4" else None
    info = Shot(pix_fmt=pix_fmt).info
    notes = encoding_for(FORMATS[name], OutputSettings(encode="lossless", background=background), info).notes
    said = [note for note in notes if "lossless" in note.lower() or "4:2:0" in note]
    assert any(words in note for note in said) if words else not said
    usual = encoding_for(FORMATS[name], OutputSettings(background=background), info).notes
    assert not any("4:2:0" in note or "lossless" in note.lower() for note in usual)


def test_every_format_with_alpha_names_programs_that_show_it() -> None:
    for chosen in FORMATS.values():
        if chosen.name != "null":
            assert chosen.advice.shows
    assert "Straight" in FORMATS["mov"].advice.click
    assert "Safari" in FORMATS["webm"].advice.does_not
