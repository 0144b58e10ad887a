"""What the page may ask to be made of a photo or a clip, as settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from livematte.config import ModelSettings, Settings
from livematte.errors import UsageError
from livematte.presets import load_settings, refused_value

What = Literal["try", "clip", "photo"]

_PHOTO_FORMATS = ("png", "webp", "tiff", "avif", "jpeg")
_MODEL_KEYS = frozenset({"quality"})
_MATTING_KEYS = frozenset({"shrink", "feather", "levels", "despill", "smooth", "subject", "region"})


@dataclass(frozen=True, slots=True)
class Order:
    """What the page asked for, checked."""

    settings: Settings
    photo_format: str = "png"
    crop: bool = False


def check_order(what: What, asked: Mapping[str, Any], base: ModelSettings | None = None) -> Order:
    """Settings out of what the page sent: `preset`, `background`, `quality`, edge controls, photos' format and crop.

    `base`: the network and device that the run was started with.
    UsageError for what is not known or not allowed. Files behind the person are not taken: a path would let a page
    read what it was not given.
    """
    own = base.model_dump(include=base.model_fields_set) if base is not None else {}
    model = own | {key: asked[key] for key in _MODEL_KEYS & asked.keys()}
    matting = {key: asked[key] for key in _MATTING_KEYS & asked.keys()}
    known = _MODEL_KEYS | _MATTING_KEYS | {"preset", "background", "format", "crop"}
    unknown = sorted(set(asked) - known)
    if unknown:
        raise UsageError(f"'{unknown[0][:40]}' is not known here. There are: {', '.join(sorted(known))}.")
    output: dict[str, Any] = {}
    background = asked.get("background")
    if background:
        output["background"] = _checked_background(background)
    preset = asked.get("preset") if what != "photo" else None
    if preset is not None and not isinstance(preset, str):
        raise UsageError("'preset' must be a name.")
    try:
        settings = load_settings(preset=preset or None, options={"model": model, "matting": matting, "output": output})
    except ValidationError as error:
        raise refused_value(error) from error
    if what != "photo" and background:
        # A finished picture needs no alpha: H.264 plays everywhere.
        settings = settings.model_copy(update={"output": settings.output.model_copy(update={"format": "mp4"})})
    kind = asked.get("format", "jpeg" if background else "png")
    if kind not in _PHOTO_FORMATS:
        raise UsageError(f"there is no picture format '{kind}'; there are {', '.join(_PHOTO_FORMATS)}.")
    return Order(settings, kind, asked.get("crop") is True)


def _checked_background(text: object) -> str:
    from livematte.compositing.backgrounds import parse_colour
    from livematte.compositing.compositor import parse_blur

    if not isinstance(text, str) or len(text) > 100 or (parse_blur(text) is None and parse_colour(text) is None):
        raise UsageError("a background here can be a colour (green, #78ff9b, 120,255,155) or blur (blur=40).")
    return text
