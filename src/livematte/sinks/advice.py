"""What people are told about each format: which programs show its alpha, which do not, what to click there.

`shows` and `does_not` repeat what the programs' makers and users publish; `opened` says what was really opened here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Advice:
    """Where a format's transparency is seen: sentences for a person."""

    shows: str
    """Programs that show its alpha."""
    does_not: str
    """Programs that do not."""
    click: str
    """What to click or type there; empty: nothing."""
    opened: str = ""
    """Which programs were really tried by the makers of livematte; for the docs. Empty: FFmpeg alone."""


NONE: Final = Advice("", "", "")
"""For formats that nobody looks at."""
EDITORS: Final = Advice(
    shows="Premiere Pro, After Effects, DaVinci Resolve, Final Cut Pro, Vegas, Nuke, Blender and OBS show its alpha.",
    does_not="Browsers do not play it; QuickTime Player and VLC play it over black.",
    click="Alpha is straight: in Premiere Pro choose Modify > Interpret Footage > Alpha: Straight, in After Effects "
    "Interpret Footage > Main > Straight - Unmatted, in Resolve Clip Attributes > Alpha mode: Straight.",
)
WEB: Final = Advice(
    shows="Chrome, Edge, Firefox, Android's WebView, OBS (Media Source) and Resolve show its alpha.",
    does_not="Safari and iOS play it opaque; Premiere Pro and QuickTime do not open it; VLC ignores its alpha; FFmpeg "
    "needs '-c:v libvpx-vp9' before '-i', or it reads it as opaque.",
    click="On a page: <video src=... autoplay loop muted playsinline>.",
    opened="Chromium, by a test that compares what it shows with the matte.",
)
ARCHIVE: Final = Advice(
    shows="FFmpeg, mpv, Blender and Shotcut read its alpha, bit for bit what was computed.",
    does_not="Premiere Pro, Final Cut Pro, QuickTime and browsers do not open it.",
    click="For an editor turn it into ProRes 4444: ffmpeg -i clip.mkv -c:v prores_ks -profile:v 4444 clip.mov.",
)
OPAQUE: Final = Advice(
    shows="Every player and editor shows it: it is an ordinary opaque video.",
    does_not="Nothing shows alpha in it: MP4 has none.",
    click="",
)
OPAQUE_HEVC: Final = Advice(
    shows="Editors, Safari, Apple devices and players of the last years show it: it is an ordinary opaque video, "
    "smaller than H.264.",
    does_not="Nothing shows alpha in it. Chrome and Edge play it where the computer has an HEVC decoder; on some "
    "Windows systems HEVC is a paid extension.",
    click="",
)
STACKED: Final = Advice(
    shows="Programs of your own show its alpha: a shader or a compositor that takes colours from the upper half and "
    "alpha from the lower (web pages with WebGL, game engines, OBS with a stack filter, ffmpeg).",
    does_not="A player shows both halves above each other, the lower one grey: it is an ordinary opaque video.",
    click="Straight colours are the upper half, alpha is the lower half's grey. Taken apart again: ffmpeg -i IN -lavfi "
    '"[0]split[a][b];[a]crop=iw:ih/2:0:0[c];[b]crop=iw:ih/2:0:ih/2,format=gray,scale=in_range=tv:out_range=pc[m];'
    '[c][m]alphamerge" -c:v qtrle OUT.mov.',
    opened="Chromium, by a test that reads the lower half out of the H.264 file and compares it with the matte.",
)
PNG_MOV: Final = Advice(
    shows="After Effects, DaVinci Resolve, Nuke, Blender, Shotcut, Kdenlive and FFmpeg read its alpha, exactly as it "
    "was computed; 8 or 16 bits a channel.",
    does_not="Browsers do not play it, and QuickTime Player since macOS 10.15 does not; it is large and slow to scrub.",
    click="Alpha is straight: in After Effects Interpret Footage > Main > Straight - Unmatted, in Resolve Clip "
    "Attributes > Alpha mode: Straight.",
)
HEVC_ALPHA: Final = Advice(
    shows="Safari and everything else on macOS 10.15, iOS 13 and later show its alpha, Final Cut Pro and Keynote too.",
    does_not="Chrome, Firefox and Android play it opaque or not at all; give them a WebM beside it.",
    click='On a page, Safari\'s file first: <video autoplay loop muted playsinline><source src="clip.mov" '
    'type=\'video/mp4; codecs="hvc1"\'><source src="clip.webm" type="video/webm"></video>.',
    opened="nothing: PyAV's encoders on Linux and Windows do not carry it, and no Mac was at hand to write one.",
)
PAIR: Final = Advice(
    shows="Any editor takes the two files as fill and matte: in Premiere Pro Track Matte Key > Matte Luma, in After "
    "Effects Luma Matte, in Resolve the External Matte of a Fusion or Color page, in Vegas, Filmora, CapCut and "
    "Shotcut a luma mask; those without masks key the green of --background green out.",
    does_not="Neither file is transparent by itself: *_fg.mp4 holds the colours, *_alpha.mp4 the matte as grey, white "
    "where the person is.",
    click="Put *_alpha.mp4 on the track above *_fg.mp4 and choose it as the luma matte. Both have the same length.",
)
GREY: Final = Advice(
    shows="Use it as a luma matte: in Premiere Pro Track Matte Key > Matte Luma, in After Effects Luma Matte, in "
    "Resolve External Matte.",
    does_not="Nothing shows transparency by itself: the file is alpha as a grey picture, white where the person is.",
    click="",
)
HINT: Final = Advice(
    shows="Use it as a luma matte in any compositor, or as the alpha hint (garbage matte, core matte) of a "
    "green-screen keyer: CorridorKey's AlphaHint folder, Primatte, Keylight and IBK take one grey picture a frame.",
    does_not="Nothing shows transparency by itself: each picture is alpha as grey, white where the person is.",
    click="One picture a frame, numbered from 0000, full range, linear (no gamma): import it as a sequence at the "
    "clip's frame rate and as raw or linear data. --encode lossless writes 16 bits.",
)
PICTURES: Final = Advice(
    shows="Every editor, compositor and image program shows its alpha.",
    does_not="",
    click="Import it as an image sequence (choose the first picture and tick 'image sequence') and set the frame rate: "
    "pictures carry no times. Alpha is straight.",
)
EXR: Final = Advice(
    shows="Nuke, Fusion, After Effects, DaVinci Resolve, Blender, Natron and Houdini read it: linear light, "
    "premultiplied alpha, half float, with chromaticities, frame rate and timecode.",
    does_not="Browsers and players do not open it; programs that do not know linear light show it dark.",
    click="Alpha is premultiplied: in After Effects Interpret Footage > Main > Premultiplied, and Color Management > "
    "linear light on; in Nuke read it as linear; in Resolve Clip Attributes > Alpha mode: Premultiplied.",
    opened="Read back by the OpenEXR library, and by FFmpeg.",
)
APNG: Final = Advice(
    shows="All browsers (Chrome, Edge, Firefox, Safari), iOS, Android, Discord and Slack show it with its exact alpha.",
    does_not="Programs that know only still PNG show its first picture, and so do most editors. It is large: about as "
    "much as the PNG pictures together. For more than some seconds write .webp, or .webm.",
    click="Some services go by the ending: rename it to .png, or write it so with --format apng -o clip.png.",
    opened="Read back by Pillow and FFmpeg.",
)
WEBP: Final = Advice(
    shows="All browsers of the last years (Safari since 14), Android, Telegram stickers, Slack and image viewers show "
    "it with its alpha.",
    does_not="Editors and FFmpeg do not read animated WebP; it has no sound. For long clips a .webm is smaller and "
    "plays with less work.",
    click="On a page: <img src=...>. It plays by itself; --loop-count 1 lets it play once.",
    opened="Read back by Pillow, picture by picture, with libwebp.",
)
PIPE: Final = Advice(
    shows="For a pipe into FFmpeg or a program of your own; alpha is straight and exact.",
    does_not="Players and editors do not open it.",
    click="For example: livematte convert clip.mp4 -o - --format nut | ffmpeg -i - -c:v qtrle clip.mov.",
)
