"""Does alpha survive here? Each format is written and read back once, with a small picture."""

from __future__ import annotations

import tempfile
from fractions import Fraction

import numpy as np

from livematte.color import ColorSpec
from livematte.config import OutputSettings
from livematte.errors import LivematteError
from livematte.frames import Frame, Matte, MattedFrame, StreamInfo, Timestamp
from livematte.planes import new_picture, plane_arrays
from livematte.reporting import ListReporter
from livematte.sinks.formats import FORMATS, SEQUENCES

_WIDTH, _HEIGHT = 64, 48


def codecs_that_carry_alpha() -> dict[str, str]:
    """Format's title -> "" where a picture came back with its alpha on this machine, else the reason, for a person.

    Takes about a second; files are written into a temporary folder and removed.
    """
    found: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="livematte-") as folder:
        for chosen in FORMATS.values():
            if chosen.name in ("null", "rawvideo"):
                continue
            name = "pictures/" if chosen.name in SEQUENCES else f"test{chosen.suffixes[0]}"
            target = f"{folder}/{chosen.name}-{name}"
            if chosen.carries_alpha:
                found[chosen.title] = _try_format(target, OutputSettings(format=chosen.name))
                continue
            found[chosen.title] = "carries no alpha by its nature; it is for --background"
            stacked = OutputSettings(format=chosen.name, stacked=True)
            found[chosen.title.replace("opaque", "stacked alpha")] = _try_format(target, stacked)
    return found


def _try_format(target: str, settings: OutputSettings) -> str:
    from livematte.sinks import open_sink

    color = ColorSpec("bt709", "tv", "bt709", "bt709")
    info = StreamInfo("test", _WIDTH, _HEIGHT, "yuv420p", color, Fraction(1, 25), Fraction(25))
    try:
        sink = open_sink(target, settings=settings, info=info, reporter=ListReporter())
        sink.open(info)
        for index in range(2):
            sink.write(_picture(index, color))
        sink.close()
    except LivematteError as error:
        return str(error)
    return ""


def _picture(index: int, color: ColorSpec) -> MattedFrame:
    """A grey picture under a ramp of alpha."""
    picture = new_picture("yuv420p", _WIDTH, _HEIGHT)
    for plane in plane_arrays(picture):
        plane[:] = 128
    alpha = np.tile(np.linspace(0, 255, _WIDTH).astype(np.uint8), (_HEIGHT, 1))
    frame = Frame(picture, Timestamp(index, Fraction(1, 25)), 1, index, color)
    return MattedFrame(frame, Matte(alpha, picture))
