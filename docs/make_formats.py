"""Writes docs/formats.md from the table of formats in the code: python docs/make_formats.py"""

from __future__ import annotations

from pathlib import Path

from livematte.sinks.formats import FORMATS, Format

_HEAD = """\
# Which file suits which program

Made from `src/livematte/sinks/formats.py` by `docs/make_formats.py`. The ending of `-o` chooses the format, or
`--format`. Alpha is straight, never premultiplied. `livematte doctor` tries each codec on your machine.
"""
_TIMES = {
    "exact": "kept exactly",
    "milliseconds": "rounded to a millisecond by the container",
    "none": "not in the file",
}
_AUDIO = {"pcm": "uncompressed PCM", "libopus": "Opus", "aac": "AAC", "flac": "FLAC"}


def page() -> str:
    """The text of docs/formats.md."""
    return _HEAD + "".join(_section(one) for one in FORMATS.values() if one.name != "null")


def _section(one: Format) -> str:
    endings = ", ".join(f"`{suffix}`" for suffix in one.suffixes)
    lines = [f"\n## `{one.name}`: {one.title}\n", f"- Endings: {endings}", f"- Timestamps: {_TIMES[one.times]}"]
    if one.audio_else is None:
        lines.append("- Audio: none")
    else:
        copied = f"copied where it is {', '.join(sorted(one.audio_copy))}; else " if one.audio_copy else ""
        lines.append(f"- Audio: {copied}{_AUDIO.get(one.audio_else, one.audio_else)}")
    lines += [f"- {text}" for text in (one.advice.shows, one.advice.does_not, one.advice.click) if text]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    Path(__file__).with_name("formats.md").write_text(page(), encoding="utf-8", newline="\n")
