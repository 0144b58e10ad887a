"""Input that is broken, cut off, or not a video at all."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from clipmaker import Clip, make_picture, write_audio_only, write_clip, write_corrupt, write_truncated
from livematte.config import InputSettings
from livematte.errors import EndedEarly, LivematteError, SourceError
from livematte.frames import AudioPacket, Frame
from livematte.reporting import ListReporter
from livematte.sources import open_source

SETTINGS = InputSettings()


def read(path: Path, settings: InputSettings = SETTINGS) -> tuple[list[Frame], int, list[AudioPacket], ListReporter]:
    reporter = ListReporter()
    source = open_source(str(path), settings, reporter=reporter)
    try:
        items = list(source)
    finally:
        source.close()
    frames = [item for item in items if isinstance(item, Frame)]
    return frames, source.damaged, [item for item in items if isinstance(item, AudioPacket)], reporter


def cannot_open(path: Path | str) -> str:
    with pytest.raises(SourceError) as caught:
        open_source(str(path), SETTINGS, reporter=ListReporter())
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_damaged_packets_are_skipped_and_counted(tmp_path: Path) -> None:
    frames, damaged, _, _ = read(write_corrupt(tmp_path / "a.mov", every=7))
    assert damaged == 4
    assert len(frames) == 26
    assert [frame.index for frame in frames] == list(range(26))
    lost = set(range(30)) - {frame.time.pts // 512 for frame in frames}
    assert lost == {3, 10, 17, 24}


def test_h264_damage_in_the_middle_goes_on_to_the_end(tmp_path: Path) -> None:
    clip = Clip(width=160, height=120, frames=60, gop=10, options={"preset": "ultrafast", "crf": "10"})
    path = write_clip(tmp_path / "a.mp4", clip)
    data = bytearray(path.read_bytes())
    middle = len(data) // 3
    for position in range(middle, middle + 3000):
        data[position] ^= 0x5A
    path.write_bytes(bytes(data))
    frames, _, _, _ = read(path)
    assert len(frames) > 40
    assert frames[-1].time.pts == 59 * 512


def test_a_cut_off_mp4_ends_early_after_all_that_is_there(tmp_path: Path) -> None:
    path = write_truncated(tmp_path / "a.mp4", keep=0.5)
    source = open_source(str(path), SETTINGS, reporter=ListReporter())
    frames = []
    with pytest.raises(EndedEarly, match=r"lists [12]\.\d s more") as caught:
        frames.extend(source)
    source.close()
    assert 30 < len(frames) < 60
    assert caught.value.exit_code == 3


def test_a_cut_within_the_last_second_is_no_error(tmp_path: Path) -> None:
    frames, _, _, _ = read(write_truncated(tmp_path / "a.mp4", keep=0.9))
    assert 80 < len(frames) < 100


def test_what_lies_after_the_end_that_was_asked_for_does_not_matter(tmp_path: Path) -> None:
    path = write_truncated(tmp_path / "a.mp4", keep=0.5)
    frames, _, _, _ = read(path, InputSettings(end="1"))
    assert len(frames) == 25


def test_a_cut_off_avi_is_known_by_its_header(tmp_path: Path) -> None:
    clip = Clip(frames=100, codec="mjpeg", pix_fmt="yuvj420p", options={})
    path = write_truncated(tmp_path / "a.avi", keep=0.5, clip=clip)
    with pytest.raises(EndedEarly):
        read(path)


def test_a_cut_off_mkv_without_an_index_just_ends(tmp_path: Path) -> None:
    path = write_truncated(tmp_path / "a.mkv", keep=0.5, clip=Clip(frames=100))
    frames, _, _, _ = read(path)
    assert 30 < len(frames) < 70


def test_audio_longer_than_the_pictures_is_fine(tmp_path: Path) -> None:
    frames, damaged, audio, reporter = read(write_clip(tmp_path / "a.mov", Clip(audio=("aac",), audio_seconds=3)))
    assert (len(frames), damaged) == (10, 0)
    assert len(audio) > 100
    assert not reporter.warnings


def test_pictures_with_equal_times_are_moved_by_one_tick_and_said(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    clip = Clip(codec="ffv1", options={}, frames=6)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = clip.width, clip.height, clip.pix_fmt
        for index in range(6):
            for packet in stream.encode(make_picture(clip, index)):
                if index in (2, 3):  # two pictures say the time of the one before them
                    packet.pts = packet.dts = 1
                container.mux(packet)
        container.mux(stream.encode(None))
    frames, _, _, reporter = read(path)
    assert [frame.time.pts for frame in frames] == [0, 40, 41, 42, 160, 200]
    assert any("2 pictures" in warning for warning in reporter.warnings)


def test_not_a_video(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("This is no video.\n" * 50)
    (tmp_path / "text.txt").write_text("This is no video.\n" * 50)
    (tmp_path / "noise.mkv").write_bytes(bytes(range(256)) * 64)
    assert "empty" in cannot_open(tmp_path / "empty.mp4")
    assert "cannot be opened" in cannot_open(tmp_path / "text.mp4")
    assert "text.txt" in cannot_open(tmp_path / "text.txt")
    assert "cannot be opened" in cannot_open(tmp_path / "noise.mkv")
    assert "no file" in cannot_open(tmp_path / "absent.mp4")


def test_a_missing_index_is_named(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4")
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"moov") - 4])
    assert "moov atom not found" in cannot_open(path)


def test_sound_alone(tmp_path: Path) -> None:
    assert "sound" in cannot_open(write_audio_only(tmp_path / "a.m4a"))


def test_zero_frames(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "yuv420p"
        container.start_encoding()
    assert "a.mkv" in cannot_open(path)


def test_a_video_in_which_nothing_can_be_decoded(tmp_path: Path) -> None:
    assert "damaged" in cannot_open(write_corrupt(tmp_path / "a.mov", every=1))


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_mutations_end_in_frames_or_in_an_error_of_ours(tmp_path: Path, suffix: str, seed: int) -> None:
    path = write_clip(tmp_path / f"a.{suffix}", Clip(frames=30))
    rng = np.random.default_rng(seed)
    data = bytearray(path.read_bytes())
    for position in rng.integers(0, len(data), 1 + seed * 2):
        data[position] = int(rng.integers(0, 256))
    path.write_bytes(bytes(data[: len(data) - int(rng.integers(0, len(data) // 4))]))
    try:
        frames, *_ = read(path)
    except LivematteError:
        return
    times = [frame.time.pts for frame in frames]
    assert times == sorted(set(times))
