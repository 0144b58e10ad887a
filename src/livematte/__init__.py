"""livematte removes the background behind people, in clips, photos and live video; nothing leaves your machine.

The names below are the public ones. Importing this package imports no inference runtime and no codec: each name
is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from livematte.api import Session as Session
    from livematte.api import cutout as cutout
    from livematte.api import matte as matte
    from livematte.api import matte_frames as matte_frames
    from livematte.conversion import convert as convert
    from livematte.errors import LivematteError as LivematteError

__version__ = "0.1.0"

_HOMES = {
    "LivematteError": "livematte.errors",
    "Session": "livematte.api",
    "convert": "livematte.conversion",
    "cutout": "livematte.api",
    "matte": "livematte.api",
    "matte_frames": "livematte.api",
}

__all__ = ["LivematteError", "Session", "convert", "cutout", "matte", "matte_frames"]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'livematte' has no attribute '{name}'")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
