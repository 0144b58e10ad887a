"""Writes docs/formats.md from the table of formats in the code: python docs/make_formats.py"""

from __future__ import annotations

from pathlib import Path

from livematte.sinks.advice import HINT, STACKED, Advice
from livematte.sinks.formats import FORMATS, Format

_HEAD = """\
# Which file suits which program

Made from `src/livematte/sinks/formats.py` and `advice.py` by `docs/make_formats.py`. The ending of `-o` chooses the
format, or `--format`. Alpha is straight, never premultiplied, but for HEVC from macOS's own encoder and where a format
says so. `livematte doctor` tries each one on your machine.

Every file is decoded again and its alpha compared before it gets its name. Which *programs* show it is what their
makers and users publish: nobody here has opened the files in Premiere Pro, After Effects, Resolve, Final Cut Pro,
Safari, OBS or Discord. Where a program was really tried, "opened here" says so.

| You want it in | Write | Or |
|---|---|---|
| Premiere Pro, After Effects | `--preset premiere`, `--preset aftereffects` | `-o clip.mov` |
| DaVinci Resolve, Final Cut Pro | `--preset resolve`, `--preset finalcut` | `-o clip.mov` |
| Vegas, Nuke, Blender | `-o clip.mov` | `-o frames/` |
| a web page | `--preset web` and, from a Mac, `--preset safari` | `-o clip.webm` |
| OBS | `--preset obs` | `-o clip.webm` |
| Discord | `--preset discord` | `-o clip.webm` |
| an editor without alpha (CapCut, Filmora, Vegas Movie Studio) | `--format pair` | `--background green -o clip.mp4` |
| a game engine, WebGL, hardware decoders | `--stacked` | `--stacked --format hevc` |
| a green-screen keyer, as its hint | `--alpha-only -o matte/` | |
| Nuke, Fusion and other compositors | `--format exr -o frames/` | `-o frames/f_%04d.exr` |
| a chat, a sticker, a README | `-o clip.webp` | `-o clip.apng` |
| an archive, bit for bit | `-o clip.mkv` | `--format png-mov -o clip.mov` |
"""
_TAIL = {
    "mp4": """\

### `--stacked`: colours above alpha in one picture

One opaque H.264 file (HEVC with `--format hevc`) of twice the height. Each half has even sides. Alpha is limited-range
luma, 16 + 219 a in 8 bits, with neutral chroma: no matrix can change it, and it is the range that players assume. The
file's `comment` says what it is. Read as RGB, any channel of the lower half is alpha. Round trip on a real matte (720p,
`curls`, 12 frames):

| | alpha's error within the edge, mean of 255 | over the picture | largest | KiB a frame |
|---|---|---|---|---|
| H.264 `--encode fast` | 1.92 | 0.095 | 61 | 21 |
| H.264 `--encode good` | 1.32 | 0.064 | 27 | 38 |
| H.264 `--encode lossless` | 0.14 | 0.006 | 1 | 349 |
| HEVC `--encode fast` | 2.19 | 0.111 | 81 | 14 |
| HEVC `--encode good` | 1.71 | 0.086 | 49 | 23 |
| HEVC `--encode lossless` | 0.14 | 0.006 | 1 | 375 |
| for comparison, VP9 with alpha, `good` | 1.34 | 0.067 | 29 | 42 |

HEVC from sources of more than 8 bits has 10, alpha too. `--hardware-encoder nvenc` uses NVIDIA's encoder, after trying
it; nobody here had a card with one.

""",
    "png": """\

### `--alpha-only -o matte/`: a matte sequence, as an alpha hint

Grey PNG pictures, one a frame, full range, 8 bits; 16 where the clip has more than 8 bits or with `--encode lossless`.

""",
}
_ADVICE = {"mp4": STACKED, "png": HINT}
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
    if any(suffix in other.suffixes for suffix in one.suffixes for other in _before(one)):
        endings += f", with `--format {one.name}`"
    lines = [f"\n## `{one.name}`: {one.title}\n", f"- Endings: {endings}", f"- Timestamps: {_TIMES[one.times]}"]
    if one.audio_else is None:
        lines.append("- Audio: none")
    else:
        copied = f"copied where it is {', '.join(sorted(one.audio_copy))}; else " if one.audio_copy else ""
        lines.append(f"- Audio: {copied}{_AUDIO.get(one.audio_else, one.audio_else)}")
    lines += _told(one.advice)
    text = "\n".join(lines) + "\n"
    if one.name in _TAIL:
        text += _TAIL[one.name] + "\n".join(_told(_ADVICE[one.name])) + "\n"
    return text


def _before(one: Format) -> list[Format]:
    """The formats that an ending means first."""
    names = list(FORMATS)
    return [FORMATS[name] for name in names[: names.index(one.name)]]


def _told(advice: Advice) -> list[str]:
    lines = [f"- {text}" for text in (advice.shows, advice.does_not, advice.click) if text]
    return [*lines, f"- Opened here: {advice.opened}"] if advice.opened else lines


if __name__ == "__main__":
    Path(__file__).with_name("formats.md").write_text(page(), encoding="utf-8", newline="\n")
