from __future__ import annotations

import gc
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from clipmaker import (
    VARIABLE_PTS,
    Clip,
    alpha_pattern,
    make_picture,
    planes_of,
    write_alpha_webm,
    write_clip,
    write_raw_h264,
    write_variable,
)
from livematte.config import InputSettings
from livematte.errors import SourceError, UsageError
from livematte.frames import AudioPacket, Frame
from livematte.reporting import ListReporter
from livematte.sources import open_source
from livematte.sources.video import VideoSource

LOSSLESS = {"preset": "ultrafast", "qp": "0"}


class Read:
    """A source, read to its end."""

    def __init__(self, path: Path | str, settings: InputSettings | None = None) -> None:
        self.reporter = ListReporter()
        source = open_source(str(path), settings or InputSettings(), reporter=self.reporter)
        assert isinstance(source, VideoSource)
        self.source, self.info = source, source.info
        try:
            items = list(source)
        finally:
            source.close()
        self.frames = [item for item in items if isinstance(item, Frame)]
        self.audio = [item for item in items if isinstance(item, AudioPacket)]

    @property
    def seconds(self) -> list[Fraction]:
        return [frame.time.seconds for frame in self.frames]

    def said(self, words: str) -> bool:
        return any(words in line for line in self.reporter.notes + self.reporter.warnings)


def same_planes(picture: av.VideoFrame, index: int, clip: Clip) -> bool:
    want = planes_of(make_picture(clip, index))
    return all((a == b).all() for a, b in zip(planes_of(picture), want, strict=True))


# --- time ---


def test_every_frame_keeps_the_streams_own_time(tmp_path: Path) -> None:
    read = Read(write_clip(tmp_path / "a.mp4", Clip(frames=30, rate=Fraction(30000, 1001))))
    assert read.seconds == [Fraction(1001 * n, 30000) for n in range(30)]
    assert [frame.index for frame in read.frames] == list(range(30))
    assert read.info.frame_rate == Fraction(30000, 1001)
    assert not read.info.is_variable_rate
    assert read.info.frame_count == 30
    assert read.info.duration_seconds == pytest.approx(1.001)


def test_bframes_come_in_presentation_order(tmp_path: Path) -> None:
    clip = Clip(frames=20, gop=12, options={"preset": "medium", "qp": "0", "bf": "3"})
    read = Read(write_clip(tmp_path / "a.mkv", clip))
    assert read.seconds == [Fraction(n, 25) for n in range(20)]
    assert all(same_planes(frame.host_picture(), frame.index, clip) for frame in read.frames)


@pytest.mark.parametrize("suffix", ["mov", "mp4", "nut", "mkv"])
def test_variable_rates_are_kept_and_said(tmp_path: Path, suffix: str) -> None:
    read = Read(write_variable(tmp_path / f"a.{suffix}"))
    tolerance = Fraction(1, 1999) if suffix == "mkv" else 0
    for got, pts in zip(read.seconds, VARIABLE_PTS, strict=True):
        assert abs(got - Fraction(pts, 600)) <= tolerance
    assert read.info.is_variable_rate
    assert read.said("variable frame rate")


@pytest.mark.parametrize("suffix", ["mov", "mkv", "webm", "nut", "avi", "ts", "flv"])
def test_constant_rates_are_not_called_variable(tmp_path: Path, suffix: str) -> None:
    codec = "libvpx-vp9" if suffix == "webm" else "libx264"
    options = {"deadline": "realtime", "cpu-used": "8"} if suffix == "webm" else {"preset": "ultrafast"}
    read = Read(write_clip(tmp_path / f"a.{suffix}", Clip(frames=60, rate=Fraction(30), codec=codec, options=options)))
    assert len(read.frames) == 60
    assert not read.info.is_variable_rate


@pytest.mark.parametrize("rate", [Fraction(25), Fraction(30), Fraction(60000, 1001)])
def test_raw_streams_take_the_codecs_rate_and_it_is_said(tmp_path: Path, rate: Fraction) -> None:
    read = Read(write_raw_h264(tmp_path / "a.h264", Clip(rate=rate)))
    assert read.seconds == [n / rate for n in range(10)]
    assert read.info.frame_rate == rate
    assert read.said("without times")
    assert read.said("as its codec says")


@pytest.mark.shared
def test_a_real_raw_stream(shared: Path) -> None:
    read = Read(shared / "clips" / "desk.264")
    assert read.seconds == [Fraction(n, 25) for n in range(19)]
    assert read.said("names no rate")


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_avi_has_no_presentation_times_and_b_frames_come_right_all_the_same(tmp_path: Path, codec: str) -> None:
    options = {"bf": "2"} if codec == "mpeg4" else {"preset": "medium", "bf": "2", "b-adapt": "0"}
    clip = Clip(frames=30, codec=codec, options=options, gop=10)
    path = write_clip(tmp_path / "a.avi", clip)
    read = Read(path)
    assert read.seconds == [Fraction(n, 25) for n in range(30)]
    assert not read.reporter.warnings
    piece = Read(path, InputSettings(start="0.6"))  # from the 15th on, behind a keyframe
    assert piece.seconds == [Fraction(n, 25) for n in range(15)]
    pairs = zip(read.frames[15:], piece.frames, strict=True)
    assert all(
        (a == b).all() for one, two in pairs for a, b in [(planes_of(one.picture)[0], planes_of(two.picture)[0])]
    )


def test_avi_that_repeats_pictures_is_not_called_cut_off(tmp_path: Path) -> None:
    """Its header counts repeats as pictures: 10 pictures at 100 a second, each shown four times, are 40."""
    every_fourth = Clip(pts=range(0, 40, 4), time_base=Fraction(1, 100), rate=Fraction(100), codec="mpeg4", options={})
    read = Read(write_clip(tmp_path / "a.avi", every_fourth))
    assert read.seconds == [Fraction(n, 25) for n in range(10)]


def test_mpeg_ts_begins_at_zero_and_it_is_said(tmp_path: Path) -> None:
    times = [126000 + 3600 * n for n in range(10)]
    read = Read(write_clip(tmp_path / "a.ts", Clip(frames=10, pts=times, time_base=Fraction(1, 90000))))
    assert read.seconds == [Fraction(n, 25) for n in range(10)]
    assert read.said("begins at 1.40 s")
    cut = Read(tmp_path / "a.ts", InputSettings(start="0.2", end="0.3"))
    assert cut.seconds == [Fraction(n, 25) for n in range(3)]


def test_a_movs_own_late_start_is_kept(tmp_path: Path) -> None:
    times = [300 + 24 * n for n in range(10)]
    read = Read(write_clip(tmp_path / "a.mov", Clip(frames=10, pts=times)))
    assert read.seconds == [Fraction(pts, 600) for pts in times]


# --- start, end, size ---


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_start_and_end_cut_exactly(tmp_path: Path, suffix: str) -> None:
    clip = Clip(frames=50, gop=20, options=LOSSLESS, audio=("aac",))
    path = write_clip(tmp_path / f"a.{suffix}", clip)
    read = Read(path, InputSettings(start="0:00.6", end="1.2"))
    assert read.seconds == [Fraction(n, 25) for n in range(15)]
    assert same_planes(read.frames[0].host_picture(), 15, clip)
    assert same_planes(read.frames[-1].host_picture(), 29, clip)
    times = [float(item.packet.pts * Fraction(item.packet.time_base)) for item in read.audio]
    assert 0 <= times[0] < 0.03
    assert 0.5 < times[-1] < 0.6
    assert times == sorted(times)
    assert read.info.duration_seconds == pytest.approx(0.6)


def test_audio_keeps_its_place_beside_the_pictures(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mov", Clip(frames=50, audio=("pcm_s16le", "aac")))
    whole, cut = Read(path), Read(path, InputSettings(start="1"))
    for track in (0, 1):
        data = {bytes(item.packet): item.packet.pts for item in whole.audio if item.track == track}
        rate = whole.info.audio[track].sample_rate
        for item in cut.audio:
            if item.track == track:
                assert data[bytes(item.packet)] - item.packet.pts == rate


def test_raw_streams_can_be_cut(tmp_path: Path) -> None:
    read = Read(write_raw_h264(tmp_path / "a.h264"), InputSettings(start="0.2", end="0.3"))
    assert read.seconds == [Fraction(0), Fraction(1, 25), Fraction(2, 25)]


def test_a_window_without_pictures_is_an_error(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4")
    with pytest.raises(SourceError, match="between --start and --end"):
        Read(path, InputSettings(start="50"))


def test_size_scales_and_keeps_the_aspect(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", Clip(color=("bt709", "tv", "bt709", "bt709")))
    read = Read(path, InputSettings(size="-1x24"))
    assert (read.info.width, read.info.height, read.info.sample_aspect_ratio) == (32, 24, None)
    assert all((f.width, f.height, f.picture.format.name) == (32, 24, "yuv420p") for f in read.frames)
    stretched = Read(path, InputSettings(size="48x48"))
    assert stretched.info.sample_aspect_ratio == Fraction(4, 3)
    with pytest.raises(UsageError, match="--size"):
        Read(path, InputSettings(size="0x0"))


def test_scaling_moves_no_levels(tmp_path: Path) -> None:
    def flat(index: int, clip: Clip) -> av.VideoFrame:
        picture = av.VideoFrame(64, 48, "yuv420p10le")
        for plane, value in zip(picture.planes, (64, 300, 900), strict=True):
            np.frombuffer(memoryview(plane), np.uint16)[:] = value
        picture.pts, picture.time_base = index, Fraction(1, 25)
        return picture

    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p10le"
        container.mux(stream.encode(flat(0, Clip())))
        container.mux(stream.encode(None))
    (frame,) = Read(path, InputSettings(size="32x24")).frames
    assert [(int(p.min()), int(p.max())) for p in planes_of(frame.host_picture())] == [(64, 64), (300, 300), (900, 900)]


# --- what is kept and dropped ---


def test_timecode_is_kept_and_shifted(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mov", Clip(frames=50, metadata={"timecode": "10:00:00:00"}))
    assert Read(path).info.start_timecode == "10:00:00:00"
    assert Read(path, InputSettings(start="1.2")).info.start_timecode == "10:00:01:05"


def test_drop_frame_timecode(tmp_path: Path) -> None:
    clip = Clip(frames=6, rate=Fraction(30000, 1001), metadata={"timecode": "00:00:59;28"})
    path = write_clip(tmp_path / "a.mov", clip)
    assert Read(path).info.start_timecode == "00:00:59;28"
    assert Read(path, InputSettings(start="0.06")).info.start_timecode == "00:01:00;02"


def test_creation_time_is_kept_and_gps_only_on_request(tmp_path: Path) -> None:
    tags = {"creation_time": "2024-05-06T07:08:09.000000Z", "location": "+48.1000+011.5000/", "title": "A walk"}
    path = write_clip(tmp_path / "a.mov", Clip(metadata=tags))
    read = Read(path)
    assert read.info.metadata["creation_time"] == tags["creation_time"]
    assert read.info.metadata["title"] == "A walk"
    assert not any("location" in key for key in read.info.metadata)
    assert read.said("--keep-location")
    kept = Read(path, InputSettings(keep_location=True))
    assert "+48.1000+011.5000/" in kept.info.metadata.values()
    assert not kept.said("--keep-location")


def test_apples_location_key_is_dropped_too(tmp_path: Path) -> None:
    key = "com.apple.quicktime.location.ISO6709"
    options = {"movflags": "use_metadata_tags"}
    path = write_clip(tmp_path / "a.mov", Clip(metadata={key: "+01.0+002.0/"}, container_options=options))
    assert key not in Read(path).info.metadata
    kept = Read(path, InputSettings(keep_location=True)).info.metadata
    assert kept[key] == kept["location"] == "+01.0+002.0/"  # FFmpeg writes the plain name only


def test_apples_other_notes_get_names_that_can_be_written(tmp_path: Path) -> None:
    notes = {"make": "Apple", "model": "iPhone 15", "creationdate": "2024-05-01T14:00:00+0200"}
    tags = {f"com.apple.quicktime.{key}": value for key, value in notes.items()}
    path = write_clip(tmp_path / "a.mov", Clip(metadata=tags, container_options={"movflags": "use_metadata_tags"}))
    kept = Read(path).info.metadata
    assert (kept["make"], kept["model"], kept["date"]) == tuple(notes.values())


def test_audio_tracks_are_described(tmp_path: Path) -> None:
    read = Read(write_clip(tmp_path / "a.mkv", Clip(frames=25, audio=("aac", "libopus"))))
    assert [(t.codec, t.sample_rate, t.channels) for t in read.info.audio] == [("aac", 48000, 2), ("opus", 48000, 2)]
    assert {item.track for item in read.audio} == {0, 1}


def test_further_tracks_are_dropped_and_said(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    clip = Clip(frames=3)
    with av.open(str(path), "w") as container:
        first = container.add_stream("libx264", rate=25, options=clip.options)
        second = container.add_stream("libx264", rate=25, options=clip.options)
        for stream, width in ((first, 64), (second, 32)):
            stream.width, stream.height, stream.pix_fmt = width, 48, "yuv420p"
        for stream, width in ((first, 64), (second, 32)):
            for index in range(3):
                container.mux(stream.encode(make_picture(Clip(width=width, frames=3), index)))
            container.mux(stream.encode(None))
    read = Read(path)
    assert read.info.width == 64
    assert len(read.frames) == 3
    assert read.said("1 further video track")


def test_chapters_are_dropped_and_said(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    clip = Clip(frames=3)
    with av.open(str(path), "w") as container:
        container.set_chapters(
            [{"id": n, "start": n, "end": n + 1, "time_base": Fraction(1, 25), "metadata": {}} for n in range(2)]
        )
        stream = container.add_stream("libx264", rate=25, options=clip.options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(3):
            container.mux(stream.encode(make_picture(clip, index)))
        container.mux(stream.encode(None))
    assert Read(path).said("left out of the output: 2 chapter marks")


# --- colour and alpha ---


@pytest.mark.parametrize(
    "color", [("bt709", "tv", "bt709", "bt709"), ("smpte170m", "tv", "smpte170m", "smpte170m"),
              ("bt2020nc", "tv", "bt2020", "arib-std-b67"), ("bt709", "pc", "bt709", "iec61966-2-1")],
)  # fmt: skip
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le"])
def test_tags_and_samples_survive(tmp_path: Path, color: tuple[str, str, str, str], pix_fmt: str) -> None:
    clip = Clip(frames=3, pix_fmt=pix_fmt, options=LOSSLESS, color=color)
    read = Read(write_clip(tmp_path / "a.mkv", clip))
    found = read.info.color
    assert (found.colorspace, found.color_range, found.color_primaries, found.color_trc) == color
    assert not found.guessed
    assert (read.info.pix_fmt, read.info.bits) == (pix_fmt, 10 if "10" in pix_fmt else 8)
    assert all(frame.color == found for frame in read.frames)
    assert all(same_planes(frame.host_picture(), frame.index, clip) for frame in read.frames)


@pytest.mark.parametrize("codec", ["libvpx-vp9", "libvpx"])
def test_webm_alpha_is_not_lost(tmp_path: Path, codec: str) -> None:
    read = Read(write_alpha_webm(tmp_path / "a.webm", codec=codec))
    assert read.info.has_alpha
    assert codec in read.source.decoder
    assert len(read.frames) == 6
    for frame in read.frames:
        assert frame.alpha is not None
        error = np.abs(frame.alpha.astype(int) - alpha_pattern(frame.index, 64, 48))
        assert error.max() == 0 if codec == "libvpx-vp9" else error.mean() < 6


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "options", "suffix", "exact"),
    [
        ("png", "rgba", {}, "mov", True),
        ("ffv1", "yuva420p", {}, "mkv", True),
        ("ffv1", "yuva444p10le", {}, "mkv", True),
        ("qtrle", "argb", {}, "mov", True),
        ("prores_ks", "yuva444p10le", {"profile": "4444", "alpha_bits": "16"}, "mov", True),
        ("apng", "rgba", {}, "apng", True),
    ],
)
def test_alpha_codecs(
    tmp_path: Path, codec: str, pix_fmt: str, options: dict[str, str], suffix: str, exact: bool
) -> None:
    clip = Clip(frames=3, codec=codec, pix_fmt=pix_fmt, options=options, alpha=True)
    read = Read(write_clip(tmp_path / f"a.{suffix}", clip))
    assert len(read.frames) == 3
    for frame in read.frames:
        assert frame.alpha is not None
        wide = frame.alpha.dtype == np.uint16
        got = np.rint(frame.alpha.astype(float) * (1023 / 65535)) if wide else frame.alpha
        assert (got == alpha_pattern(frame.index, 64, 48, peak=1023 if wide else 255)).all()


def test_gifs_are_clips(tmp_path: Path) -> None:
    read = Read(write_clip(tmp_path / "a.gif", Clip(codec="gif", pix_fmt="rgb8", options={})))
    assert read.seconds == [Fraction(n, 25) for n in range(10)]
    assert read.info.pix_fmt == "gbrp"


def test_interlaced_pictures_pass_and_it_is_said(tmp_path: Path) -> None:
    options = {"preset": "ultrafast", "x264-params": "tff=1"}
    read = Read(write_clip(tmp_path / "a.mp4", Clip(options=options)))
    assert len(read.frames) == 10
    assert read.said("interlaced")


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (63, 47)])
def test_odd_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    clip = Clip(*size, frames=3, codec="rawvideo", pix_fmt="yuv420p", options={})
    read = Read(write_clip(tmp_path / "a.nut", clip))
    assert (read.info.width, read.info.height) == size
    assert all(same_planes(frame.host_picture(), frame.index, clip) for frame in read.frames)


def _two_sizes(path: Path) -> Path:
    parts = []
    for width, height in ((64, 48), (32, 48)):
        clip = Clip(width, height, frames=4, format="h264", gop=1)
        parts.append(write_clip(path.with_name(f"{width}.h264"), clip).read_bytes())
    path.write_bytes(b"".join(parts))
    return path


def test_a_size_that_changes_on_the_way_is_scaled_to_the_first_and_said(tmp_path: Path) -> None:
    read = Read(_two_sizes(tmp_path / "a.h264"))
    assert len(read.frames) == 8
    assert {(frame.width, frame.height) for frame in read.frames} == {(64, 48)}
    assert read.said("changes its size")


# --- closing ---


def test_close_from_another_thread_ends_the_iteration(tmp_path: Path) -> None:
    import threading

    source = open_source(
        str(write_clip(tmp_path / "a.mp4", Clip(frames=200))), InputSettings(), reporter=ListReporter()
    )
    items = iter(source)
    next(items)
    closer = threading.Thread(target=source.close)
    closer.start()
    closer.join()
    assert len(list(items)) < 200


@pytest.mark.parametrize("when", [0, 1, 5])
def test_close_in_the_middle_is_clean_and_repeatable(tmp_path: Path, when: int) -> None:
    path = write_clip(tmp_path / "a.mov", Clip(frames=20, audio=("aac",)))
    source = open_source(str(path), InputSettings(), reporter=ListReporter())
    items = iter(source)
    for _ in range(when):
        next(items)
    source.close()
    source.close()
    path.unlink()  # on Windows this fails where the file is still open


def test_close_frees_the_decoder_without_waiting_for_the_collector(tmp_path: Path) -> None:
    """A clip looped for hours is opened anew at each seam; containers and their streams refer to each other."""

    def containers() -> int:
        return sum(isinstance(one, av.container.InputContainer) for one in gc.get_objects())

    path = write_clip(tmp_path / "a.mp4", Clip(frames=3))
    before = containers()
    gc.disable()
    try:
        for _ in range(3):
            source = open_source(str(path), InputSettings(), reporter=ListReporter())
            assert len(list(source)) == 3
            assert containers() > before
            source.close()
            del source
        assert containers() <= before
    finally:
        gc.enable()
