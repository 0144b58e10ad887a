"""The one table of output formats: names, suffixes, containers, codecs, audio, and which programs show their alpha.

How each is encoded (pixel format, options) is in `encodings.py`; nothing else in the program knows a codec by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import Final, Literal

from livematte.config import OutputSettings
from livematte.errors import UsageError

Times = Literal["exact", "milliseconds", "none"]
"""What becomes of timestamps: kept exactly, rounded by the container to 1 ms, or not stored at all."""


@dataclass(frozen=True, slots=True)
class Advice:
    """Where a format's transparency is seen: three sentences for a person."""

    shows: str
    """Programs that show its alpha."""
    does_not: str
    """Programs that do not."""
    click: str
    """What to click or type there; empty: nothing."""


@dataclass(frozen=True, slots=True)
class Format:
    """One output format."""

    name: str
    title: str
    """For people: `ProRes 4444 in MOV`."""
    suffixes: tuple[str, ...]
    container: str | None
    """FFmpeg's muxer; None: no container (pictures, null)."""
    carries_alpha: bool
    times: Times
    audio_copy: frozenset[str] = frozenset()
    """Audio codecs (FFmpeg's canonical names) that are copied as they are."""
    audio_else: str | None = None
    """Encoder for every other audio codec; None: the format has no audio."""
    advice: Advice = Advice("", "", "")


_PCM = frozenset({"pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_s32be", "pcm_f32le", "pcm_u8"})
_MOV_AUDIO = frozenset({"aac", "alac", "mp3", "ac3", "eac3", "pcm_alaw", "pcm_mulaw"}) | _PCM
_MP4_AUDIO = frozenset({"aac", "alac", "mp3", "ac3", "eac3"})
_MKV_AUDIO = frozenset(
    {"aac", "ac3", "alac", "dts", "eac3", "flac", "mp2", "mp3", "opus", "truehd", "vorbis"}
) | (_PCM - {"pcm_u8"})  # fmt: skip
_NUT_AUDIO = frozenset({"aac", "ac3", "flac", "mp2", "mp3", "opus", "vorbis", "pcm_s16le", "pcm_s16be", "pcm_s24le"})

_EDITORS = Advice(
    shows="Premiere Pro, After Effects, DaVinci Resolve, Final Cut Pro, Vegas, Nuke, Blender and OBS show its alpha.",
    does_not="Browsers do not play it; QuickTime Player and VLC play it over black.",
    click="Alpha is straight: in Premiere Pro choose Modify > Interpret Footage > Alpha: Straight, in After Effects "
    "Interpret Footage > Main > Straight - Unmatted, in Resolve Clip Attributes > Alpha mode: Straight.",
)
_WEB = Advice(
    shows="Chrome, Edge, Firefox, Android's WebView, OBS (Media Source) and Resolve show its alpha.",
    does_not="Safari and iOS play it opaque; Premiere Pro and QuickTime do not open it; VLC ignores its alpha; FFmpeg "
    "needs '-c:v libvpx-vp9' before '-i', or it reads it as opaque.",
    click="On a page: <video src=... autoplay loop muted playsinline>.",
)
_ARCHIVE = Advice(
    shows="FFmpeg, mpv, Blender and Shotcut read its alpha, bit for bit what was computed.",
    does_not="Premiere Pro, Final Cut Pro, QuickTime and browsers do not open it.",
    click="For an editor turn it into ProRes 4444: ffmpeg -i clip.mkv -c:v prores_ks -profile:v 4444 clip.mov.",
)
_OPAQUE = Advice(
    shows="Every player and editor shows it: it is an ordinary opaque video.",
    does_not="Nothing shows alpha in it: MP4 has none.",
    click="",
)
_GREY = Advice(
    shows="Use it as a luma matte: in Premiere Pro Track Matte Key > Matte Luma, in After Effects Luma Matte, in "
    "Resolve External Matte.",
    does_not="Nothing shows transparency by itself: the file is alpha as a grey picture, white where the person is.",
    click="",
)
_PICTURES = Advice(
    shows="Every editor, compositor and image program shows its alpha.",
    does_not="",
    click="Import it as an image sequence (choose the first picture and tick 'image sequence') and set the frame rate: "
    "pictures carry no times. Alpha is straight.",
)
_PIPE = Advice(
    shows="For a pipe into FFmpeg or a program of your own; alpha is straight and exact.",
    does_not="Players and editors do not open it.",
    click="For example: livematte convert clip.mp4 -o - --format nut | ffmpeg -i - -c:v qtrle clip.mov.",
)

FORMATS: Final[dict[str, Format]] = {
    entry.name: entry
    for entry in (
        Format("mov", "ProRes 4444 in MOV", (".mov",), "mov", True, "exact", _MOV_AUDIO, "pcm", _EDITORS),
        Format("webm", "VP9 with alpha in WebM", (".webm",), "webm", True, "milliseconds",
               frozenset({"opus", "vorbis"}), "libopus", _WEB),
        Format("mkv", "FFV1 in Matroska, exact", (".mkv",), "matroska", True, "milliseconds",
               _MKV_AUDIO, "flac", _ARCHIVE),
        Format("mp4", "H.264 in MP4, opaque", (".mp4", ".m4v"), "mp4", False, "exact",
               _MP4_AUDIO, "aac", _OPAQUE),
        Format("png", "PNG pictures", (".png",), None, True, "none", advice=_PICTURES),
        Format("nut", "raw RGBA in NUT", (".nut",), "nut", True, "exact", _NUT_AUDIO, "pcm", _PIPE),
        Format("rawvideo", "raw RGBA without a container", (".raw", ".rgba"), "rawvideo", True, "none",
               advice=_PIPE),
        Format("null", "nothing (measures speed)", (), None, True, "exact"),
    )
}  # fmt: skip
"""Format by name, in the order in which help and `doctor` list them."""

STDOUT: Final = "-"


def is_pattern(target: str) -> bool:
    """True where the name is a numbered pattern of pictures (`shot_%04d.png`)."""
    _, sign, tail = PurePath(target).name.partition("%")
    digits = tail.split("d")[0] if "d" in tail else "x"
    return bool(sign) and (digits == "" or digits.isdigit())


def format_for(target: str, settings: OutputSettings) -> Format:
    """The format of an output: `--format` if given, else by the name of the target.

    `-` alone is NUT; a name that ends in a slash, or a pattern, is a PNG sequence; the word `null` is the null sink.
    Raises `UsageError` for names that say nothing or something else than `--format`, and for `.mp4` where the result
    would have alpha.
    """
    chosen = FORMATS.get(settings.format) if settings.format else _by_name(target)
    if chosen is None and settings.format:
        raise UsageError(f"unknown format '{settings.format}'. There are: {', '.join(FORMATS)}.")
    if chosen is None:
        raise UsageError(
            f"the name '{target}' does not say what to write. Known endings: {_known_suffixes()}; a name that ends in "
            "'/' becomes a folder of PNG pictures. Or say it with --format " + "|".join(FORMATS) + "."
        )
    by_name = _by_name(target)
    if settings.format and target != STDOUT and by_name is not None and by_name is not chosen:
        raise UsageError(
            f"'{target}' is a name for {by_name.title}, and --format {chosen.name} asks for {chosen.title}. Leave "
            "--format out, or give a name that fits it."
        )
    if target == STDOUT and chosen.name not in ("nut", "rawvideo", "null"):
        raise UsageError(
            f"{chosen.title} cannot go to a pipe, because it is checked by reading it back and its index is written "
            "last. On stdout there are --format nut (keeps times and audio) and --format rawvideo."
        )
    if chosen.name == "png" and PurePath(target).suffix.lower() == ".png" and not is_pattern(target):
        stem = target[: -len(".png")]
        raise UsageError(
            f"'{target}' names one picture, but a clip has many. Name a folder ('{stem}/') or a pattern with a number "
            f"('{stem}_%04d.png'); for single pictures there is 'livematte photo'."
        )
    _refuse_lost_alpha(target, chosen, settings)
    return chosen


def advice_for(chosen: Format, settings: OutputSettings) -> Advice:
    """Which programs show the result: the format's own advice, or the plain one where the output is opaque."""
    if settings.background is None and not settings.foreground_only and not settings.alpha_only:
        return chosen.advice
    return _GREY if settings.alpha_only else _OPAQUE


def _by_name(target: str) -> Format | None:
    if target == STDOUT:
        return FORMATS["nut"]
    if target == "null":
        return FORMATS["null"]
    if target.endswith(("/", "\\")) or is_pattern(target):
        return FORMATS["png"]
    suffix = PurePath(target).suffix.lower()
    return next((entry for entry in FORMATS.values() if suffix in entry.suffixes), None)


def _refuse_lost_alpha(target: str, chosen: Format, settings: OutputSettings) -> None:
    opaque = settings.background is not None or settings.foreground_only or settings.alpha_only
    if chosen.carries_alpha or opaque:
        return
    raise UsageError(
        f"'{target}' would lose its transparency: MP4 (H.264) carries no alpha. Name it .mov (editors), .webm "
        "(browsers, OBS), .mkv (exact) or a folder of PNG pictures; or keep .mp4 and put something behind the person "
        "with --background green (a colour, an image, a video, blur), or write --alpha-only or --foreground-only."
    )


def _known_suffixes() -> str:
    return ", ".join(suffix for entry in FORMATS.values() for suffix in entry.suffixes)
