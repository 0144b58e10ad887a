"""Decoding on the GPU: surfaces over fakecuda, and each way in which the GPU can refuse."""

from __future__ import annotations

import errno
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import av.error
import pytest

from clipmaker import Clip, write_alpha_webm, write_clip
from fakecuda.plugin import FakeCuda
from livematte.config import InputSettings
from livematte.errors import SourceError
from livematte.frames import DevicePicture, Frame
from livematte.reporting import ListReporter
from livematte.sources import nvdec
from livematte.sources.nvdec_errors import NvdecRefused, why
from livematte.sources.nvdec_surface import check_surface
from livematte.sources.orientation import Orientation
from livematte.sources.video import VideoSource

SEEDS = 12
SCENES = "fakecuda.nvdec_scenes"
LOSSLESS = {"preset": "ultrafast", "qp": "0"}


class Opened:
    """A clip opened by `open_nvdec` and read to its end."""

    def __init__(self, path: Path | str, *, settings: InputSettings | None = None, driver: Any = None) -> None:
        self.reporter = ListReporter()
        driver = driver or SimpleNamespace(
            name="cuda-core",
            device=SimpleNamespace(ordinal=0),
            legacy_stream=None,
            event=None,
            make_current=lambda: None,
        )
        source = nvdec.open_nvdec(str(path), settings or InputSettings(), driver=driver, reporter=self.reporter)
        assert isinstance(source, VideoSource)
        self.decoder = source.decoder
        try:
            self.frames = [item for item in source if isinstance(item, Frame)]
        finally:
            source.close()

    def said(self, words: str) -> bool:
        return any(words in line for line in self.reporter.notes)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "a.mp4", Clip(frames=12))


# --- surfaces ---


@pytest.mark.parametrize(("sw_format", "pix_fmt", "bits"), [("nv12", "yuv420p", 8), ("p010le", "yuv420p10le", 10)])
def test_surfaces_are_read_when_they_are_ready(
    fakecuda: FakeCuda, clip: Path, sw_format: str, pix_fmt: str, bits: int
) -> None:
    done = fakecuda.call(f"{SCENES}:surfaces", path=str(clip), sw_format=sw_format, seeds=SEEDS)
    assert done["right"] == SEEDS
    assert (done["pix_fmt"], done["bits"]) == (pix_fmt, bits)
    assert done["decoder"] == "h264 (NVDEC)"
    assert [frame[:4] for frame in done["frames"]] == [[512 * n, n, 64, 48] for n in range(12)]
    assert done["said"] == []


def test_without_the_wait_pictures_are_wrong(fakecuda: FakeCuda, clip: Path) -> None:
    done = fakecuda.call(f"{SCENES}:surfaces", path=str(clip), sw_format="nv12", seeds=SEEDS, waits=False)
    assert done["right"] < SEEDS


def test_without_a_recorded_event_pictures_are_wrong(fakecuda: FakeCuda, clip: Path) -> None:
    assert fakecuda.call(f"{SCENES}:unrecorded", path=str(clip), sw_format="nv12", seeds=SEEDS)["right"] < SEEDS


def test_a_surface_dropped_too_early_is_overwritten(fakecuda: FakeCuda, clip: Path) -> None:
    done = fakecuda.call(f"{SCENES}:surfaces", path=str(clip), sw_format="nv12", seeds=SEEDS, holds=False)
    assert done["right"] < SEEDS


@pytest.mark.parametrize(("rotation", "want"), [(-90.0, 90), (180.0, 180), (90.0, 270)])
def test_rotation_is_handed_on(fakecuda: FakeCuda, tmp_path: Path, rotation: float, want: int) -> None:
    path = write_clip(tmp_path / "a.mp4", Clip(frames=3, rotation=rotation))
    frames = fakecuda.call(f"{SCENES}:surfaces", path=str(path), sw_format="nv12", seeds=1)["frames"]
    size = [64, 48] if want == 180 else [48, 64]
    assert [frame[2:] for frame in frames] == [[*size, want]] * 3


def test_mirrors_are_decoded_on_the_processor(fakecuda: FakeCuda, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "m.mp4", Clip(frames=3, hflip=True))
    seen = fakecuda.call(f"{SCENES}:kinds", path=str(path), sw_format="nv12")
    assert seen["decoder"] == "h264 (software)"
    assert [one[0] for one in seen["seen"]] == ["yuv420p"] * 3
    assert "mirrored left to right" in seen["said"][-1]


@pytest.mark.parametrize(
    ("name", "sw_format", "size", "orientation", "words"),
    [
        ("cuda", "nv12", (64, 47), Orientation(), "even sizes"),
        ("cuda", "nv12", (63, 48), Orientation(), "even sizes"),
        ("cuda", "yuv444p", (64, 48), Orientation(), "surfaces are yuv444p"),
        ("cuda", "p016le", (64, 48), Orientation(), "surfaces are p016le"),
        ("yuv420p", "nv12", (64, 48), Orientation(), "host memory"),
        ("cuda", "nv12", (64, 48), Orientation(True, False, False), "mirrored along its diagonal"),
    ],
)
def test_what_the_kernels_do_not_read_is_refused(
    name: str, sw_format: str, size: tuple[int, int], orientation: Orientation, words: str
) -> None:
    picture: Any = SimpleNamespace(
        format=SimpleNamespace(name=name), sw_format=SimpleNamespace(name=sw_format), width=size[0], height=size[1]
    )
    with pytest.raises(NvdecRefused, match=words):
        check_surface(picture, orientation)


def test_another_size_on_the_way_goes_through_the_host(fakecuda: FakeCuda, tmp_path: Path) -> None:
    path = tmp_path / "two.h264"
    parts = []
    for width in (64, 96):
        part = write_clip(tmp_path / f"{width}.h264", Clip(width=width, frames=4, options=LOSSLESS, format="h264"))
        parts.append(part.read_bytes())
    path.write_bytes(b"".join(parts))
    seen = fakecuda.call(f"{SCENES}:kinds", path=str(path), sw_format="nv12")
    assert seen["seen"] == [["device", 64, 48]] * 4 + [["yuv420p", 64, 48]] * 4
    assert min(seen["means"]) > 50  # pictures, not poison and not black
    assert any("changes its size" in line for line in seen["said"])


# --- contexts and refusals ---


def test_pyav_shares_our_context_and_not_by_its_default(fakecuda: FakeCuda, clip: Path) -> None:
    ours = {"primary_ctx": "0", "current_ctx": "1"}
    shared = fakecuda.call(f"{SCENES}:real_context", path=str(clip), options=ours)
    assert shared == {"open": "ok", "decode": "InvalidDataError"}
    default = fakecuda.call(f"{SCENES}:real_context", path=str(clip), options=None)
    assert default["errno"] == errno.ENOTSUP
    both = fakecuda.call(f"{SCENES}:real_context", path=str(clip), options={"current_ctx": "1"})
    assert both["errno"] == errno.EINVAL


def test_without_nvdec_the_clip_is_decoded_on_the_processor(fakecuda: FakeCuda, clip: Path) -> None:
    done = fakecuda.call(f"{SCENES}:whole_fall_back", path=str(clip))
    assert done["frames"] == 12
    assert done["decoder"] == "h264 (software)"
    assert done["same"]
    assert "does not take its codec" in done["said"][0]


def test_a_failed_cuda_call_while_opening_is_a_refusal(fakecuda: FakeCuda, clip: Path) -> None:
    done = fakecuda.call(f"{SCENES}:whole_fall_back", path=str(clip), env={"FAKE_FAIL": "cuCtxGetDevice:*:999"})
    assert (done["frames"], done["decoder"]) == (12, "h264 (software)")
    assert "is decoded on the processor" in done["said"][0]


def test_without_a_driver_the_clip_is_decoded_on_the_processor(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object, **__: object) -> None:
        raise av.error.PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("livematte.sources.reader.open_container", _first(refuses))
    opened = Opened(clip)
    assert (opened.decoder, len(opened.frames)) == ("h264 (software)", 12)
    assert opened.said("no NVIDIA driver")


def _first(refuses: Any) -> Any:
    """`open_container` that refuses a hardware decoder, and opens without."""
    from livematte.sources.opening import open_container

    def opens(spec: str, stdin: Any = None, *, hwaccel: Any = None) -> Any:
        return refuses() if hwaccel is not None else open_container(spec, stdin)

    return opens


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (av.error.PermissionError(errno.EPERM, "no"), "no NVIDIA driver"),
        (av.error.OSError(errno.ENOTSUP, "no"), "error 95"),
        (av.error.InvalidDataError(1, "no"), "codec, profile"),
        (av.error.ArgumentError(errno.EINVAL, "no"), "no CUDA context"),
        (av.error.MemoryError(errno.ENOMEM, "no"), "memory ran out"),
        (NotImplementedError("no"), "no decoder on the GPU"),
        (RuntimeError("no stream is compatible"), "no decoder on the GPU"),
        (av.error.ExternalError(1, "no"), "decoder failed"),
    ],
)  # fmt: skip
def test_each_refusal_has_its_words_and_its_fall_back(
    error: BaseException, words: str, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert words in why(error)

    def refuses() -> None:
        raise error

    monkeypatch.setattr("livematte.sources.reader.open_container", _first(refuses))
    opened = Opened(clip)
    assert (opened.decoder, len(opened.frames)) == ("h264 (software)", 12)
    assert [frame.time.seconds for frame in opened.frames] == [Fraction(n, 25) for n in range(12)]
    assert opened.said(words)


@pytest.mark.parametrize("at", [0, 1])
def test_a_refusal_at_the_first_packets_begins_again_from_the_start(
    at: int, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Decoder(_Failing):
        packets_before = at

    monkeypatch.setattr(nvdec.NvdecReader, "__init__", lambda *a, **k: Decoder.opened(*a, **k))
    opened = Opened(clip)
    assert (opened.decoder, len(opened.frames)) == ("h264 (software)", 12)
    assert opened.said("codec, profile")


class _Failing:
    """A decoder that fails at a packet, in place of the GPU's."""

    packets_before = 0

    @classmethod
    def opened(cls, reader: Any, spec: str, *, driver: Any) -> None:
        from livematte.sources.reader import Reader

        Reader.__init__(reader, spec)
        reader._is_proven = False
        decoder = cls()
        decoder.real = reader.decoder  # type: ignore[attr-defined]
        decoder.name = "h264"  # type: ignore[attr-defined]
        reader.decoder = decoder

    def decode(self, _packet: Any) -> list[Any]:
        self.packets_before -= 1
        if self.packets_before < 0:
            raise av.error.InvalidDataError(1, "no")
        return []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["real"], name)


def test_pictures_in_host_memory_are_a_refusal(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(reader: Any, spec: str, *, driver: Any) -> None:  # what FFmpeg does where it falls back in silence
        from livematte.sources.reader import Reader

        Reader.__init__(reader, spec)
        reader._is_proven = False

    monkeypatch.setattr(nvdec.NvdecReader, "__init__", opened)
    done = Opened(clip)
    assert (done.decoder, len(done.frames)) == ("h264 (software)", 12)
    assert done.said("yuv420p in host memory")
    assert not any(isinstance(frame.picture, DevicePicture) for frame in done.frames)


def test_what_the_gpu_is_not_asked_for(clip: Path, tmp_path: Path) -> None:
    assert Opened(clip, settings=InputSettings(size="32x24")).said("--size")
    null = SimpleNamespace(name="null")
    assert Opened(clip, driver=null).said("there is no GPU")


def test_an_input_that_nobody_can_read_says_why(tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"nothing of a video" * 100)
    with pytest.raises(SourceError, match=r"broken\.mp4"):
        Opened(broken)
    with pytest.raises(SourceError, match="no file"):
        Opened(tmp_path / "absent.mp4")


def test_a_webm_with_alpha_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The GPU's VP9 decoder drops alpha without a word; such tracks get libvpx.
    from livematte.sources.opening import open_container

    def opens(spec: str, stdin: Any = None, *, hwaccel: Any = None) -> Any:
        return open_container(spec, stdin)  # as if the GPU had taken it

    monkeypatch.setattr("livematte.sources.reader.open_container", opens)
    opened = Opened(write_alpha_webm(tmp_path / "a.webm", frames=3))
    assert all(frame.alpha is not None for frame in opened.frames)
    assert opened.decoder == "libvpx-vp9 (software)"


def test_refused_is_no_livematte_error() -> None:
    assert not isinstance(NvdecRefused("x"), SourceError)
