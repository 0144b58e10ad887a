"""What may be changed while a run goes on, and the checks before it is handed to the worker."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from livematte.compositing.backgrounds import parse_colour
from livematte.compositing.compositor import parse_blur
from livematte.config import MattingSettings
from livematte.errors import SourceError, UsageError
from livematte.frames import StreamInfo
from livematte.live.placeholder import check_background, is_still
from livematte.matting.edges import Edges
from livematte.matting.region import parse_region
from livematte.presets import refused_value

LEAST_BLUR_PX: Final = 10.0
"""Of the room in a live picture, in px at 1080 lines: below it, faces and writing behind the person can be read."""
CHANGEABLE: Final = ("shrink", "feather", "levels", "despill", "smooth", "subject", "region")


def changed_matting(now: MattingSettings, changes: dict[str, Any], info: StreamInfo | None) -> MattingSettings:
    """`now` with some values changed. UsageError: a name or a value that is not allowed.

    `info`: the picture that a region in px has to lie in; None: not known yet.
    """
    for name in changes:
        if name not in CHANGEABLE:
            raise UsageError(f"'{name[:40]}' cannot be changed while live; {', '.join(CHANGEABLE)} can.")
    try:
        made = MattingSettings.model_validate({**now.model_dump(), **changes})
    except ValidationError as error:
        raise refused_value(error) from error
    Edges(made.shrink, made.feather, *made.levels)
    if made.region is not None and info is not None:
        parse_region(made.region, info.width, info.height)
    return made


def check_live_background(text: str, *, allow_raw: bool) -> None:
    """UsageError or SourceError where a live run cannot have this background.

    Not the room itself by a back door: a blur of less than `LEAST_BLUR_PX` without `allow_raw`, or a device.
    """
    blur = parse_blur(text)
    if blur is not None and blur < LEAST_BLUR_PX and not allow_raw:
        raise UsageError(
            f"--background {text} would leave the room to be seen; live, the radius goes from {LEAST_BLUR_PX:g} px up. "
            "Only --allow-raw at start permits less."
        )
    if is_still(text) and parse_colour(text) is None:
        path = Path(text).expanduser()
        if path.exists() and not path.is_file():  # /dev/video0, a pipe that never gives anything
            raise UsageError(f"--background {text} is neither a picture nor a video: a live run takes plain files.")
    check_background(text)


def allow_background(text: str, *, allow_raw: bool) -> None:
    """UsageError where a run that goes on cannot have this background (`check_live_background`)."""
    try:
        check_live_background(text, allow_raw=allow_raw)
    except SourceError as error:
        raise UsageError(str(error)) from error
