"""The options that commands share, made from the settings table in `config.py`, and how they become `Settings`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from cyclopts import Group, Parameter
from pydantic import BaseModel, BeforeValidator, Field
from pydantic.fields import FieldInfo

from livematte.config import InputSettings, LiveSettings, MattingSettings, ModelSettings, OutputSettings, Settings
from livematte.presets import load_settings

GROUP_OUTPUT = Group("Output", sort_key=1)
GROUP_INPUT = Group("Input", sort_key=2)
GROUP_MODEL = Group("Network", sort_key=3)
GROUP_MATTING = Group("Matte", sort_key=4)
GROUP_RUN = Group("Run", sort_key=5)


def _numbers(given: Any) -> Any:
    """`["0.1,0.9"]`, as the command line gives it, as two words; anything else is left to the field's own check."""
    if isinstance(given, list) and len(given) == 1 and isinstance(given[0], str):
        return given[0].split(",")
    return given


class MattingOptions(MattingSettings):
    """`MattingSettings` with `--levels BLACK,WHITE` as one word."""

    levels: Annotated[tuple[float, float], BeforeValidator(_numbers), Parameter(n_tokens=1, metavar="BLACK,WHITE")] = (
        Field((0.0, 1.0), description=MattingSettings.model_fields["levels"].description)
    )


class OutputOptions(OutputSettings):
    """`OutputSettings` with `--no-audio`."""

    audio: Annotated[bool, Parameter(negative="--no-audio")] = Field(
        True, description=OutputSettings.model_fields["audio"].description
    )


InputArgument = Annotated[InputSettings, Parameter(name="*", group=GROUP_INPUT)]
ModelArgument = Annotated[ModelSettings, Parameter(name="*", group=GROUP_MODEL)]
MattingArgument = Annotated[MattingOptions, Parameter(name="*", group=GROUP_MATTING)]
OutputArgument = Annotated[OutputOptions, Parameter(name="*", group=GROUP_OUTPUT)]


@dataclass(frozen=True)
class RunOptions:
    """How a command runs and what it says."""

    config: str | None = None
    """Settings from this TOML file (configs/reference.toml lists all). Options on the command line win."""
    preset: str | None = None
    """Settings for a destination: premiere, resolve, finalcut, aftereffects, obs, web, safari, discord, call, stream,
    or one of your own. --config and options win."""
    quiet: bool = False
    """Say only what went wrong."""
    json: bool = False
    """JSON lines on stdout: progress, messages, and last the summary."""
    report: str | None = None
    """Write the summary, the settings and all messages into this file, as JSON."""
    debug: bool = False
    """Show the traceback of an error (also with LIVEMATTE_DEBUG=1)."""


RunArgument = Annotated[RunOptions, Parameter(name="*", group=GROUP_RUN)]
OutputsArgument = Annotated[
    list[str] | None, Parameter(name=["--output", "-o"], allow_leading_hyphen=True, group=GROUP_OUTPUT, metavar="OUT")
]


@dataclass(frozen=True)
class MessageOptions:
    """What a command without settings says."""

    json: bool = False
    """The answer as JSON on stdout."""
    debug: bool = False
    """Show the traceback of an error (also with LIVEMATTE_DEBUG=1)."""


MessageArgument = Annotated[MessageOptions, Parameter(name="*", group=GROUP_RUN)]


def settings_from(run: RunOptions, sections: Mapping[str, BaseModel]) -> Settings:
    """Defaults, preset, `--config`, then what was really typed of each section. Raises `UsageError`."""
    typed = {name: part.model_dump(include=part.model_fields_set) for name, part in sections.items()}
    return load_settings(preset=run.preset, config=run.config, options=typed)


def setting_of(key: str) -> FieldInfo | None:
    """The setting called `key`, in whichever section it is."""
    for section in (InputSettings, ModelSettings, MattingSettings, OutputSettings, LiveSettings):
        if key in section.model_fields:
            return section.model_fields[key]
    return None
