"""The one table of settings: names, defaults, ranges and help.

TOML files (`--config`, presets), the command line and `configs/reference.toml` are all made from these models, so
they cannot disagree. Each field's description is its help text; numbers carry their unit in it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Quality = Literal["fast", "good", "best"]
Encode = Literal["fast", "good", "lossless"]
Smooth = Literal["off", "normal", "strong"]
TemporalAlgorithm = Literal["auto", "none", "ema", "adaptive", "one-euro", "ofd"]
Refinement = Literal["auto", "bicubic", "guided"]


class _Section(BaseModel):
    """Unknown keys are errors, and a value is never repaired."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class InputSettings(_Section):
    """What is read."""

    start: str | None = Field(default=None, description="Begin here: seconds (12.5) or [hh:]mm:ss[.fraction].")
    end: str | None = Field(
        default=None, description="Stop before this moment of the input: seconds or [hh:]mm:ss[.fraction]."
    )
    size: str | None = Field(
        default=None, description="Output size: WIDTHxHEIGHT, or one side with the other as -1 (1280x-1)."
    )
    keep_location: bool = Field(default=False, description="Keep GPS positions from the input's metadata.")
    rate: str | None = Field(
        default=None, description="Frame rate of an image sequence (24, 23.976, 30000/1001); default: 24."
    )


class ModelSettings(_Section):
    """Which network runs, and on what."""

    model: str = Field(
        default="auto", description="A network's name (see 'livematte model list') or an .onnx file; auto: livematte-s."
    )
    quality: Quality = Field(
        default="good", description="Size of the network's input; best also runs a mirrored pass on files."
    )
    network_size: str | None = Field(
        default=None, description="The network's input size, WIDTHxHEIGHT, instead of what --quality gives."
    )
    runtime: str = Field(default="auto", description="Inference runtime: auto, onnxruntime, null.")
    device: str = Field(
        default="auto",
        description="auto, cpu, cuda, tensorrt, coreml or directml; cuda:1 is the second GPU. One that is not there "
        "is an error, never replaced.",
    )
    precision: Literal["auto", "fp32", "fp16"] = Field(default="auto", description="What the network computes in.")
    threads: Annotated[int, Field(ge=0, le=256)] = Field(
        default=0, description="CPU threads of the network; 0: chosen for this machine."
    )


class MattingSettings(_Section):
    """What happens to alpha between the network and the output."""

    smooth: Smooth = Field(default="normal", description="Steadies alpha in time: off, normal, strong.")
    temporal: TemporalAlgorithm = Field(
        default="auto", description="Smoothing algorithm; auto: chosen by measurement for the network."
    )
    refine: Refinement = Field(
        default="auto", description="How alpha grows to the picture's size; auto: by measurement for the network."
    )
    shrink: Annotated[float, Field(ge=-50, le=50)] = Field(
        default=0.0, description="Moves the edge inward, in px at 1080p height; negative: outward."
    )
    feather: Annotated[float, Field(ge=0, le=50)] = Field(
        default=0.0, description="Softens the edge, in px at 1080p height."
    )
    levels: tuple[float, float] = Field(
        default=(0.0, 1.0), description="BLACK,WHITE: alpha at or below BLACK becomes 0, at or above WHITE 1."
    )
    despill: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.0, description="Takes green or blue spill out of the edge, 0 to 1."
    )
    keep_background: bool = Field(
        default=False, description="Keep the source's colours under alpha 0, for those who regrade."
    )


class OutputSettings(_Section):
    """What is written."""

    format: str | None = Field(
        default=None,
        description="mov, webm, mkv, mp4, png, nut, rawvideo or null; default: by the output's name, else mov.",
    )
    encode: Encode = Field(default="good", description="fast, good or lossless.")
    alpha_only: bool = Field(default=False, description="Write alpha alone, as a grey picture.")
    foreground_only: bool = Field(default=False, description="Write the cleaned colours alone, opaque.")
    background: str | None = Field(
        default=None,
        description="Put this behind the person: a colour, an image, a video, blur or blur=PX.",
    )
    constant_rate: str | None = Field(
        default=None,
        description="Duplicate or drop frames to this constant rate (30, 30000/1001, auto: the source's nominal rate).",
    )
    audio: bool = Field(default=True, description="Keep the input's audio tracks.")
    overwrite: bool = Field(default=False, description="Replace outputs that exist.")


class Settings(_Section):
    """Everything that a TOML file or preset may set, by section."""

    input: InputSettings = InputSettings()
    model: ModelSettings = ModelSettings()
    matting: MattingSettings = MattingSettings()
    output: OutputSettings = OutputSettings()
