"""Audio tracks of a container, and their packets with shifted times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import av
from av.container import InputContainer

from livematte.frames import AudioPacket, AudioTrack
from livematte.sources.timing import Window, fraction


def audio_tracks(container: InputContainer) -> tuple[AudioTrack, ...]:
    """Every audio track that FFmpeg can decode, in the container's order."""
    tracks = []
    for stream in container.streams.audio:
        context = stream.codec_context
        if context is None or not context.sample_rate:
            continue
        language = stream.metadata.get("language")
        tracks.append(
            AudioTrack(
                stream=stream,
                codec=context.name,
                sample_rate=context.sample_rate,
                channels=context.layout.nb_channels,
                language=language if language not in (None, "", "und") else None,
            )
        )
    return tuple(tracks)


@dataclass(slots=True)
class Sound:
    """Brings audio packets onto the output's clock and keeps those that lie inside the window.

    Until the first picture is known, so is nothing about the shift: packets that come earlier are held.
    """

    track_of: Mapping[int, int]
    """Stream index -> track number."""
    window: Window
    origin: Fraction
    """The input's own time of the window's zero, in seconds."""
    shift: Fraction | None = None
    """Seconds that are taken off every time; None: not known yet."""
    held: list[av.Packet[Any]] = field(default_factory=list)
    done: set[int] = field(default_factory=set)
    """Tracks that have passed the window's end."""

    @property
    def is_over(self) -> bool:
        """True when every track has passed the window's end."""
        return len(self.done) == len(self.track_of)

    def start(self, shift: Fraction) -> list[AudioPacket]:
        """The shift is known now: give out what was held."""
        self.shift = shift
        held, self.held = self.held, []
        return [item for packet in held for item in self.take(packet)]

    def take(self, packet: av.Packet[Any]) -> list[AudioPacket]:
        """The packet, shifted, as a list of one; empty where it is held or lies outside the window."""
        base = fraction(packet.time_base) or Fraction(1, 48000)
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is not None and not self._is_inside(stamp * base, packet):
            return []
        if self.shift is None:
            self.held.append(packet)
            return []
        ticks = round(self.shift / base)
        if ticks:
            if self.window.start and stamp is not None and stamp < ticks:
                return []
            packet.pts = None if packet.pts is None else packet.pts - ticks
            packet.dts = None if packet.dts is None else packet.dts - ticks
        return [AudioPacket(self.track_of[packet.stream_index], packet)]

    def _is_inside(self, seconds: Fraction, packet: av.Packet[Any]) -> bool:
        moment = seconds - self.origin
        if self.window.end is not None and moment >= self.window.end:
            self.done.add(packet.stream_index)
            return False
        return not self.window.start or moment >= self.window.start - 1
