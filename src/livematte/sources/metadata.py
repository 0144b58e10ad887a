"""Which of a container's notes go on into the output: a short list of harmless ones, and GPS only when asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

_KEPT: Final = (
    "creation_time", "date", "title", "artist", "author", "album", "copyright", "description", "comment", "genre",
    "make", "model", "com.apple.quicktime.creationdate", "com.apple.quicktime.make", "com.apple.quicktime.model",
)  # fmt: skip
"""Keys in FFmpeg's spelling, lower case."""
_APPLE: Final = "com.apple.quicktime."
"""What phones of Apple call their notes. No writer of FFmpeg's knows these names, but their plain ones."""
_PLAIN_NAMES: Final = {"creationdate": "date", "make": "make", "model": "model", "location.iso6709": "location"}
_PLACES: Final = ("location", "gps", "geotag")
"""A key that contains one of these holds a position."""


def kept_metadata(
    container: Mapping[str, str], stream: Mapping[str, str], *, keep_location: bool
) -> tuple[dict[str, str], bool]:
    """(what is kept, whether a position was left out). The container's values win over the stream's."""
    kept: dict[str, str] = {}
    left_out = False
    for key, value in {**stream, **container}.items():
        small = key.lower()
        if any(word in small for word in _PLACES):
            if keep_location:
                kept[key] = value
            else:
                left_out = True
        elif small in _KEPT:
            kept[small] = value
    for key in [key for key in kept if key.lower().startswith(_APPLE)]:
        plain = _PLAIN_NAMES.get(key.lower().removeprefix(_APPLE))
        if plain is not None:
            kept.setdefault(plain, kept[key])
    return kept, left_out


def start_timecode(container: Mapping[str, str], stream: Mapping[str, str], others: Sequence[Mapping[str, str]]) -> str:
    """SMPTE timecode of the first frame, from the video track, the container or a `tmcd` track; empty: none."""
    for source in (stream, container, *others):
        for key, value in source.items():
            if key.lower() == "timecode" and value:
                return value
    return ""
