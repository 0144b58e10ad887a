"""Audio tracks: copied byte for byte where the container takes the codec, else converted, and said."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from livematte.frames import AudioPacket, AudioTrack
from livematte.reporting import ListReporter
from sinks.making import Shot, start, times

RATE = 48000
SECONDS = 0.5


@pytest.fixture
def source(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """An open container with sine waves of one or two codecs."""
    codecs: tuple[str, ...] = request.param
    path = tmp_path / "sound.mka"
    with av.open(str(path), "w") as made:
        streams: list[Any] = [made.add_stream(codec, rate=RATE) for codec in codecs]
        for number, stream in enumerate(streams):
            stream.layout = "stereo"
            stream.metadata["language"] = ("deu", "eng")[number]
        made.start_encoding()
        for number, stream in enumerate(streams):
            context = stream.codec_context
            size = context.frame_size or 1024
            for begin in range(0, int(RATE * SECONDS), size):
                wave = np.sin((np.arange(begin, begin + size)) * (0.05 + 0.02 * number))
                frame = av.AudioFrame.from_ndarray(np.tile(wave, (2, 1)).astype(np.float32), "fltp", "stereo")
                frame.sample_rate, frame.pts, frame.time_base = RATE, begin, Fraction(1, RATE)
                resampler = av.AudioResampler(context.format, "stereo", RATE)
                for ready in resampler.resample(frame):
                    made.mux(stream.encode(ready))
            made.mux(stream.encode(None))
    with av.open(str(path)) as container:
        yield container


def _tracks(container: Any) -> tuple[AudioTrack, ...]:
    return tuple(
        AudioTrack(stream, stream.codec_context.name, stream.sample_rate, 2, stream.metadata.get("language"))
        for stream in container.streams.audio
    )


def _write(target: Path, container: Any, reporter: ListReporter, **settings: Any) -> list[bytes]:
    """Pictures, and the audio packets between them; returns the packets of the first track."""
    shot = Shot(audio=_tracks(container))
    sink = start(target, shot, reporter=reporter, **settings)
    assert sink.wants_audio
    first: list[bytes] = []
    numbers = {stream.index: number for number, stream in enumerate(container.streams.audio)}
    packets = [packet for packet in container.demux() if packet.size]
    for number, packet in enumerate(packets):
        if numbers[packet.stream.index] == 0:
            first.append(bytes(packet))
        sink.write(AudioPacket(numbers[packet.stream.index], packet))
        if number < len(shot.pts):
            sink.write(shot.item(number, sink.wants))
    for number in range(len(packets), len(shot.pts)):
        sink.write(shot.item(number, sink.wants))
    sink.close()
    return first


def _read(path: Path) -> tuple[list[str], list[bytes], list[str | None], float]:
    """(codecs, first track's packets, languages, seconds of sound in the first track)."""
    with av.open(str(path)) as container:
        streams = container.streams.audio
        names = [stream.codec_context.codec.canonical_name for stream in streams]
        languages = [stream.metadata.get("language") for stream in streams]
        packets = [packet for packet in container.demux(streams[0]) if packet.size]
        ends = [(packet.pts + (packet.duration or 0)) * Fraction(packet.time_base) for packet in packets]
        return names, [bytes(packet) for packet in packets], languages, float(max(ends))


@pytest.mark.parametrize(
    ("source", "name", "settings"),
    [
        (("aac", "aac"), "clip.mov", {}),
        (("aac",), "clip.mp4", {"background": "green"}),
        (("aac",), "clip.mkv", {}),
        (("libopus", "libopus"), "clip.webm", {"encode": "fast"}),
        (("libopus",), "clip.mkv", {}),
        (("libmp3lame",), "clip.mov", {}),
        (("pcm_s16le",), "clip.mov", {}),
        (("flac",), "clip.mkv", {}),
        (("pcm_s16le",), "clip.nut", {}),
    ],
    indirect=["source"],
)
def test_copied(tmp_path: Path, source: Any, name: str, settings: dict[str, Any]) -> None:
    reporter = ListReporter()
    sent = _write(tmp_path / name, source, reporter, **settings)
    codecs, packets, languages, _ = _read(tmp_path / name)
    assert codecs == [stream.codec_context.codec.canonical_name for stream in source.streams.audio]
    assert b"".join(packets) == b"".join(sent)
    if name != "clip.nut":
        german = "ger" if name == "clip.mov" else "deu"
        assert languages == [german, "eng"][: len(languages)]
    assert not [note for note in reporter.notes if note.startswith("Audio")]
    assert len(times(tmp_path / name)) == 8


@pytest.mark.parametrize(
    ("source", "name", "settings", "codec"),
    [
        (("libopus",), "clip.mov", {}, "pcm_s24le"),
        (("flac",), "clip.mov", {}, "pcm_s16le"),
        (("libopus", "flac"), "clip.mp4", {"background": "green"}, "aac"),
        (("aac",), "clip.webm", {"encode": "fast"}, "opus"),
        (("pcm_s16le",), "clip.webm", {"encode": "fast"}, "opus"),
    ],
    indirect=["source"],
)
def test_converted_and_said(tmp_path: Path, source: Any, name: str, settings: dict[str, Any], codec: str) -> None:
    reporter = ListReporter()
    _write(tmp_path / name, source, reporter, **settings)
    codecs, _, _, seconds = _read(tmp_path / name)
    assert set(codecs) == {codec}
    assert abs(seconds - SECONDS) < 0.1  # whole packets: FLAC's hold 96 ms
    assert sum(note.startswith("Audio track") for note in reporter.notes) == len(codecs)
    assert not reporter.warnings


@pytest.mark.parametrize("source", [("libopus",)], indirect=True)
def test_converted_sound_stays_in_its_place(tmp_path: Path, source: Any) -> None:
    """The wave that comes out is the wave that went in, at the same time, within a codec's own delay."""
    _write(tmp_path / "clip.mov", source, ListReporter())
    with av.open(str(tmp_path / "clip.mov")) as container:
        found = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1).reshape(-1)[::2]
        start_time = container.streams.audio[0].start_time or 0
    wave = found.astype(np.float64)
    meant = np.sin(np.arange(len(wave)) * 0.05)
    lags = range(-1000, 1001, 1)
    middle = slice(6000, 12000)
    score = [float(np.dot(wave[middle], meant[6000 + lag : 12000 + lag])) for lag in lags]
    # The sine repeats every 126 samples (2.6 ms): the best lag must be within one period of none.
    assert abs(start_time) < RATE // 50
    assert max(score) > 0.9 * np.linalg.norm(wave[middle]) * np.linalg.norm(meant[middle])


@pytest.mark.parametrize("source", [("aac",)], indirect=True)
def test_sound_longer_than_the_picture(tmp_path: Path, source: Any) -> None:
    shot = Shot(audio=_tracks(source), pts=(0, 3000))
    sink = start(tmp_path / "clip.mov", shot)
    for index in range(2):
        sink.write(shot.item(index, sink.wants))
    for packet in source.demux():
        if packet.size:
            sink.write(AudioPacket(0, packet))
    sink.close()
    assert _read(tmp_path / "clip.mov")[3] > 0.45
    assert len(times(tmp_path / "clip.mov")) == 2


@pytest.mark.parametrize("source", [("aac",)], indirect=True)
@pytest.mark.parametrize("name", ["pictures/", "clip.rgba"])
def test_formats_without_sound_say_so(tmp_path: Path, source: Any, name: str) -> None:
    reporter = ListReporter()
    shot = Shot(audio=_tracks(source))
    sink = start(f"{tmp_path}/{name}", shot, reporter=reporter)
    assert not sink.wants_audio
    sink.abort(keep=False)
    assert any("sound" in note for note in reporter.notes)


@pytest.mark.parametrize("source", [("aac",)], indirect=True)
def test_no_audio_when_it_is_not_wanted(tmp_path: Path, source: Any) -> None:
    shot = Shot(audio=_tracks(source))
    sink = start(tmp_path / "clip.mov", shot, audio=False)
    assert not sink.wants_audio
    sink.write(shot.item(0, sink.wants))
    sink.close()
    with av.open(str(tmp_path / "clip.mov")) as container:
        assert not container.streams.audio
