"""Which encoders work here is found by trying: HEVC with alpha, NVENC, and what is said where there is none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from livematte.color import ColorSpec
from livematte.config import OutputSettings
from livematte.errors import SinkError
from livematte.frames import StreamInfo
from livematte.planes import plane_arrays
from livematte.reporting import ListReporter
from livematte.sinks import encoders, h26x, hevc_alpha
from livematte.sinks.encoders import why_not
from livematte.sinks.encoding import Encoding
from livematte.sinks.encodings import encoding_for
from livematte.sinks.formats import FORMATS
from livematte.sinks.pixels import Packer, packed_array
from sinks.making import BT709, RGB, Shot, alpha, decode, picture, write


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "options"),
    [("libx264", "yuv420p", {}), ("libx265", "yuv420p10le", {"x265-params": "log-level=none"}),
     ("prores_ks", "yuva444p10le", {"profile": "4444"})],
)  # fmt: skip
def test_what_works_is_found(codec: str, pix_fmt: str, options: Mapping[str, str]) -> None:
    assert why_not(codec, pix_fmt, options) == ""


def test_alpha_that_a_decoder_drops_is_found_out() -> None:
    """FFmpeg's own VP9 decoder, by whose name the codec goes, gives opaque pictures."""
    reason = why_not("libvpx-vp9", "yuva420p", {"deadline": "realtime", "cpu-used": "8", "auto-alt-ref": "0"})
    assert "opaque when they are decoded again" in reason


def test_wrong_alpha_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    real = encoders._picture

    def spoiled(pix_fmt: str) -> object:
        made = real(pix_fmt)
        plane_arrays(made)[3][:] = 77
        return made

    monkeypatch.setattr(encoders, "_picture", spoiled)
    assert "alpha back" in encoders._tried.__wrapped__("prores_ks", "yuva444p10le", (("profile", "4444"),))


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "says"),
    [("hevc_nothing", "yuv420p", "not in this build"), ("libx264", "rgba", "does not take rgba"),
     ("libx264", "yuv420p", "does not open")],
)  # fmt: skip
def test_each_reason_has_its_words(codec: str, pix_fmt: str, says: str) -> None:
    options = {"preset": "no such preset"} if says == "does not open" else {}
    assert says in why_not(codec, pix_fmt, options)


def test_where_no_encoder_carries_alpha_every_reason_and_two_ways_out_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hevc_alpha, "why_not", lambda codec, pix_fmt, options: "is not in this build of FFmpeg")
    with pytest.raises(SinkError) as caught:
        encoding_for(FORMATS["hevc-alpha"], OutputSettings(), Shot().info)
    said = str(caught.value)
    for part in ("hevc_videotoolbox", "macOS", "libx265", "ENABLE_ALPHA", "Preserve Transparency", "--format webm"):
        assert part in said
    assert "\n" not in said


@pytest.mark.parametrize("working", ["hevc_videotoolbox", "libx265"])
def test_the_first_encoder_that_carries_alpha_is_taken(working: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def reason(codec: str, pix_fmt: str, options: Mapping[str, str]) -> str:
        tried.append(codec)
        return "" if codec == working else "is not in this build of FFmpeg"

    monkeypatch.setattr(hevc_alpha, "why_not", reason)
    made = encoding_for(FORMATS["hevc-alpha"], OutputSettings(), Shot(width=101, height=63).info)
    assert made.codec == working
    assert tried[-1] == working
    assert made.has_alpha
    assert made.codec_tag == "hvc1"
    assert made.premultiplied == (working == "hevc_videotoolbox")
    assert any("Passed over: hevc_videotoolbox" in note for note in made.notes) == (working == "libx265")


def test_hevc_without_alpha_in_mov_needs_no_such_encoder(tmp_path: Path) -> None:
    write(tmp_path / "clip.mov", Shot(), format="hevc-alpha", background="green")
    assert decode(tmp_path / "clip.mov")[0].format.name == "yuv420p"


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "gbrp"])
def test_premultiplied_pictures_are_colours_times_alpha(pix_fmt: str) -> None:
    """What VideoToolbox is given: checked against arithmetic of our own, padding included."""
    encoding = Encoding(
        FORMATS["hevc-alpha"], "straight", "none", "bgra", BT709, {}, "", even_sides=True, premultiplied=True
    )
    matte = alpha(101, 63)
    shown = picture(pix_fmt, 101, 63)
    packer = Packer(encoding, 101, 63, reporter=ListReporter())
    got = packed_array(packer.pack(shown, RGB if pix_fmt == "gbrp" else BT709, matte)).copy()
    assert got.shape == (64, 102, 4)
    straight = Packer(
        Encoding(FORMATS["nut"], "straight", "none", "rgba", RGB, {}, ""), 101, 63, reporter=ListReporter()
    )
    rgb = packed_array(straight.pack(shown, RGB if pix_fmt == "gbrp" else BT709, matte))[..., :3].astype(np.float64)
    meant = rgb * matte[..., None] / 255
    assert np.abs(got[:63, :101, 2::-1] - meant).max() <= 0.51
    assert np.array_equal(got[:63, :101, 3], matte)
    assert np.array_equal(got[63, :101], got[62, :101])
    assert (got[matte_is_zero(matte)][:, :3] == 0).all(), "nothing under alpha 0"


def matte_is_zero(matte: np.ndarray) -> np.ndarray:
    padded = np.pad(matte, ((0, 1), (0, 1)), mode="edge")
    return padded == 0


def test_nvenc_that_does_not_open_is_an_error_or_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(h26x, "why_not", lambda codec, pix_fmt, options: "does not open (no driver)")
    with pytest.raises(SinkError, match="h264_nvenc does not open") as caught:
        write(tmp_path / "clip.mp4", Shot(), stacked=True, hardware_encoder="nvenc")
    assert "--hardware-encoder auto" in str(caught.value)
    reporter = ListReporter()
    sink = write(tmp_path / "clip.mp4", Shot(), reporter=reporter, stacked=True, hardware_encoder="auto")
    assert "libx264" in sink.encoder
    assert any("The CPU encodes: h264_nvenc does not open" in note for note in reporter.notes)


@pytest.mark.parametrize(("name", "codec"), [("mp4", "h264_nvenc"), ("hevc", "hevc_nvenc")])
@pytest.mark.parametrize("asked", ["nvenc", "auto"])
def test_nvenc_that_opens_is_used(name: str, codec: str, asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(h26x, "why_not", lambda codec, pix_fmt, options: "")
    settings = OutputSettings(stacked=True, hardware_encoder=asked)  # type: ignore[arg-type]
    made = encoding_for(FORMATS[name], settings, Shot(pix_fmt="yuv420p10le", width=48, height=48).info)
    assert (made.codec, made.pix_fmt, made.stacked) == (codec, "yuv420p", True)
    assert Packer(made, 48, 48, reporter=ListReporter()).size == (160, 320)
    assert any("8 bits; the input has 10" in note for note in made.notes)


def test_doctor_says_what_nvenc_does_here_and_that_missing_hevc_alpha_is_no_fault() -> None:
    from livematte.doctor.checks import _alpha_codecs

    found = {one.name: one for one in _alpha_codecs()}
    for codec, reason in h26x.hardware_encoders().items():
        assert found[f"{codec} (--hardware-encoder)"].detail == (reason or "works here")
    assert found["HEVC with alpha in MOV"].state in ("ok", "info")
    assert found["H.264 in MP4, stacked alpha"].state == "ok"


def test_nvenc_for_a_format_that_is_not_its_own_is_said(tmp_path: Path) -> None:
    reporter = ListReporter()
    write(tmp_path / "clip.mov", Shot(), reporter=reporter, hardware_encoder="nvenc")
    assert any("NVENC encodes H.264 and HEVC only" in note for note in reporter.notes)


def test_what_videotoolbox_is_told_fits_the_picture() -> None:
    info = StreamInfo("x", 1920, 1080, "yuv420p", ColorSpec("bt709", "pc"), Shot().time_base, Shot().rate)
    options = hevc_alpha._options(hevc_alpha.CANDIDATES[0], OutputSettings(), info)
    assert 5_000_000 < int(options["b"]) < 30_000_000
    assert 0 < float(options["alpha_quality"]) <= 1
