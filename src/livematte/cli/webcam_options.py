"""The options of `livematte webcam`, made from the settings table as those of `convert` are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Group, Parameter
from pydantic import BaseModel, ConfigDict, Field

from livematte.config import Encode, LiveSettings, OutputSettings

GROUP_CAMERA = Group("Camera", sort_key=0)
GROUP_WHERE = Group("Output", sort_key=1)


def _help(key: str) -> str:
    return OutputSettings.model_fields[key].description or ""


class LiveOutputOptions(BaseModel):
    """Those of the `OutputSettings` that have a meaning live: a recording's sound and constant rate have none."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    background: str | None = Field(default=None, description=_help("background"))
    format: str | None = Field(default=None, description=_help("format"))
    encode: Encode = Field(default="good", description=_help("encode"))
    overwrite: bool = Field(default=False, description=_help("overwrite"))


@dataclass(frozen=True)
class WebcamOptions:
    """What `webcam` does beside the settings."""

    page: bool = False
    """Show the page too: the picture before and after, all controls, and the address for OBS."""
    open_: Annotated[bool, Parameter(name="--open", negative="--no-open")] = True
    """Open the page in the browser."""
    duration: float | None = None
    """End so many seconds after the first frame."""
    rotate_token: bool = False
    """Give /obs a new address; the one that OBS has saved is refused from now on. Shows the page."""
    list_: Annotated[bool, Parameter(name="--list")] = False
    """List the cameras, with their sizes and rates, and end."""


LiveArgument = Annotated[LiveSettings, Parameter(name="*", group=GROUP_CAMERA)]
LiveOutputArgument = Annotated[LiveOutputOptions, Parameter(name="*", group=GROUP_WHERE)]
WebcamArgument = Annotated[WebcamOptions, Parameter(name="*", group=GROUP_WHERE)]
