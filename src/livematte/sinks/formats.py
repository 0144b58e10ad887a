"""The one table of output formats: names, suffixes, containers, codecs, audio, and which programs show their alpha.

How each is encoded (pixel format, options) is in `encodings.py`; nothing else in the program knows a codec by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import Final, Literal

from livematte.config import OutputSettings
from livematte.errors import UsageError
from livematte.sinks import advice as told
from livematte.sinks.advice import Advice as Advice

Times = Literal["exact", "milliseconds", "none"]
"""What becomes of timestamps: kept exactly, rounded by the container to 1 ms, or not stored at all."""


PCM: Final = frozenset(
    {"pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_s32be", "pcm_f32le", "pcm_u8"}
)
"""Uncompressed audio, as FFmpeg names it."""


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
    advice: Advice = told.NONE


_MOV_AUDIO = frozenset({"aac", "alac", "mp3", "ac3", "eac3", "pcm_alaw", "pcm_mulaw"}) | PCM
_MP4_AUDIO = frozenset({"aac", "alac", "mp3", "ac3", "eac3"})
_MKV_AUDIO = frozenset(
    {"aac", "ac3", "alac", "dts", "eac3", "flac", "mp2", "mp3", "opus", "truehd", "vorbis"}
) | (PCM - {"pcm_u8"})  # fmt: skip
_NUT_AUDIO = frozenset({"aac", "ac3", "flac", "mp2", "mp3", "opus", "vorbis", "pcm_s16le", "pcm_s16be", "pcm_s24le"})

FORMATS: Final[dict[str, Format]] = {
    entry.name: entry
    for entry in (
        Format("mov", "ProRes 4444 in MOV", (".mov",), "mov", True, "exact", _MOV_AUDIO, "pcm", told.EDITORS),
        Format("webm", "VP9 with alpha in WebM", (".webm",), "webm", True, "milliseconds",
               frozenset({"opus", "vorbis"}), "libopus", told.WEB),
        Format("mkv", "FFV1 in Matroska, exact", (".mkv",), "matroska", True, "milliseconds",
               _MKV_AUDIO, "flac", told.ARCHIVE),
        Format("mp4", "H.264 in MP4, opaque", (".mp4", ".m4v"), "mp4", False, "exact",
               _MP4_AUDIO, "aac", told.OPAQUE),
        Format("hevc", "HEVC in MP4, opaque", (".mp4", ".m4v"), "mp4", False, "exact",
               _MP4_AUDIO, "aac", told.OPAQUE_HEVC),
        Format("hevc-alpha", "HEVC with alpha in MOV", (".mov",), "mov", True, "exact",
               _MP4_AUDIO, "aac", told.HEVC_ALPHA),
        Format("png-mov", "PNG in MOV, exact", (".mov",), "mov", True, "exact", _MOV_AUDIO, "pcm", told.PNG_MOV),
        Format("pair", "H.264 colours and H.264 matte, two MP4 files", (".mp4", ".m4v"), "mp4", True, "exact",
               _MP4_AUDIO, "aac", told.PAIR),
        Format("png", "PNG pictures", (".png",), None, True, "none", advice=told.PICTURES),
        Format("exr", "EXR pictures, linear light", (".exr",), None, True, "none", advice=told.EXR),
        Format("apng", "animated PNG, exact", (".apng", ".png"), "apng", True, "exact", advice=told.APNG),
        Format("webp", "animated WebP", (".webp",), "webp", True, "milliseconds", advice=told.WEBP),
        Format("nut", "raw RGBA in NUT", (".nut",), "nut", True, "exact", _NUT_AUDIO, "pcm", told.PIPE),
        Format("rawvideo", "raw RGBA without a container", (".raw", ".rgba"), "rawvideo", True, "none",
               advice=told.PIPE),
        Format("null", "nothing (measures speed)", (), None, True, "exact"),
    )
}  # fmt: skip
"""Format by name, in the order in which help and `doctor` list them."""

STDOUT: Final = "-"
SEQUENCES: Final = ("png", "exr")
"""The formats that are a folder of numbered pictures."""
ANIMATED: Final = ("apng", "webp")
"""The formats that are one animated picture."""
H26X: Final = ("mp4", "hevc")
"""The formats that are opaque H.264 or HEVC: they may be stacked."""


def is_pattern(target: str) -> bool:
    """True where the name is a numbered pattern of pictures (`shot_%04d.png`)."""
    _, sign, tail = PurePath(target).name.partition("%")
    digits = tail.split("d")[0] if "d" in tail else "x"
    return bool(sign) and (digits == "" or digits.isdigit())


def format_for(target: str, settings: OutputSettings) -> Format:
    """The format of an output: `--format` if given, else by the name of the target.

    `-` alone is NUT; a name that ends in a slash, or a pattern, is a PNG sequence (`%04d.exr`: an EXR sequence); the
    word `null` is the null sink.
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
    is_folder = target.endswith(("/", "\\"))
    fits = chosen.name in SEQUENCES if is_folder else PurePath(target).suffix.lower() in chosen.suffixes
    if settings.format and target != STDOUT and by_name is not None and by_name is not chosen and not fits:
        raise UsageError(
            f"'{target}' is a name for {by_name.title}, and --format {chosen.name} asks for {chosen.title}. Leave "
            "--format out, or give a name that fits it."
        )
    if target == STDOUT and chosen.name not in ("nut", "rawvideo", "null"):
        raise UsageError(
            f"{chosen.title} cannot go to a pipe, because it is checked by reading it back and its index is written "
            "last. On stdout there are --format nut (keeps times and audio) and --format rawvideo."
        )
    _refuse_single_picture(target, chosen)
    _refuse_contents(chosen, settings)
    _refuse_lost_alpha(target, chosen, settings)
    return chosen


def advice_for(chosen: Format, settings: OutputSettings) -> Advice:
    """Which programs show the result: the format's own advice, or the plain one where the output is opaque."""
    if settings.stacked:
        return told.STACKED
    if chosen.name == "pair":
        return chosen.advice
    if settings.alpha_only:
        return told.HINT if chosen.container is None else told.GREY
    if settings.background is None and not settings.foreground_only:
        return chosen.advice
    return chosen.advice if chosen.name == "hevc" else told.OPAQUE


def files_of(target: str, settings: OutputSettings) -> list[str]:
    """The files that an output's name stands for: itself; `clip_fg.mp4` and `clip_alpha.mp4` for a pair `clip.mp4`."""
    if settings.format != "pair":
        return [target]
    path = PurePath(target)
    return [target[: len(target) - len(path.name)] + f"{path.stem}_{what}{path.suffix}" for what in ("fg", "alpha")]


def _refuse_single_picture(target: str, chosen: Format) -> None:
    suffix = PurePath(target).suffix.lower()
    if chosen.name in ANIMATED and is_pattern(target):
        raise UsageError(
            f"'{target}' is a name for many pictures, and {chosen.title} is one file. Name it clip{chosen.suffixes[0]}."
        )
    if chosen.name not in SEQUENCES or suffix not in chosen.suffixes or is_pattern(target):
        return
    stem = target[: -len(suffix)]
    more = ""
    if chosen.name == "png":
        more = "; for single pictures there is 'livematte photo', and for one animated picture --format apng"
    raise UsageError(
        f"'{target}' names one picture, but a clip has many. Name a folder ('{stem}/') or a pattern with a number "
        f"('{stem}_%04d{suffix}'){more}."
    )


def _by_name(target: str) -> Format | None:
    if target == STDOUT:
        return FORMATS["nut"]
    if target == "null":
        return FORMATS["null"]
    if target.endswith(("/", "\\")) or is_pattern(target):
        return FORMATS["exr" if PurePath(target).suffix.lower() == ".exr" else "png"]
    suffix = PurePath(target).suffix.lower()
    return next((entry for entry in FORMATS.values() if suffix in entry.suffixes), None)


def _refuse_lost_alpha(target: str, chosen: Format, settings: OutputSettings) -> None:
    opaque = settings.background is not None or settings.foreground_only or settings.alpha_only
    if chosen.carries_alpha or opaque or settings.stacked:
        return
    raise UsageError(
        f"'{target}' would lose its transparency: {chosen.title.split(' in ')[0]} in MP4 carries no alpha. Name it "
        ".mov (editors), .webm (browsers, OBS), .mkv (exact) or a folder of PNG pictures; or keep .mp4 and put "
        "something behind the person with --background green (a colour, an image, a video, blur), or write "
        "--alpha-only or --foreground-only, --format pair (colours and matte in two files) or --stacked (both in one "
        "picture)."
    )


def _refuse_contents(chosen: Format, settings: OutputSettings) -> None:
    """What one file cannot hold together."""
    if settings.stacked and (settings.background is not None or settings.foreground_only or settings.alpha_only):
        raise UsageError(
            "--stacked writes colours and alpha, so it does not go with --background, --foreground-only or "
            "--alpha-only. Leave one of them out."
        )
    if settings.stacked and chosen.name not in (*H26X, "null"):
        raise UsageError(
            f"--stacked is for opaque video, and {chosen.title} is not made so. Name the output .mp4 (H.264), or add "
            "--format hevc (HEVC); to keep alpha as it is, leave --stacked out."
        )
    if chosen.name == "pair" and (settings.foreground_only or settings.alpha_only):
        raise UsageError(
            "--format pair writes both colours and matte, so it does not go with --foreground-only or --alpha-only. "
            "Leave one of them out."
        )
    if settings.audio_codec == "pcm" and not (chosen.audio_copy & PCM) and chosen.audio_else is not None:
        raise UsageError(
            f"--audio-codec pcm is for mov, png-mov, mkv and nut; {chosen.title} has no uncompressed sound. Leave it "
            "out, or choose one of those."
        )


def _known_suffixes() -> str:
    return ", ".join(dict.fromkeys(suffix for entry in FORMATS.values() for suffix in entry.suffixes))
