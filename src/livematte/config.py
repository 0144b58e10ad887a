"""The one table of settings: names, defaults, ranges and help.

TOML files (`--config`, presets), the command line and `configs/reference.toml` are all made from these models, so
they cannot disagree. Each field's description is its help text; numbers carry their unit in it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Quality = Literal["fast", "good", "best"]
Encode = Literal["fast", "good", "lossless"]
Precision = Literal["auto", "fp32", "tf32", "fp16", "bf16", "int8"]
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
    refine_with: str | None = Field(
        default=None,
        description="A second network, for small figures: it sees the box around whom the first one finds, at full "
        "detail. network_size goes for the first; quality, device and precision for both.",
    )
    quality: Quality = Field(
        default="good", description="Size of the network's input; best also runs a mirrored pass on files."
    )
    network_size: str | None = Field(
        default=None, description="The network's input size, WIDTHxHEIGHT, instead of what --quality gives."
    )
    runtime: str = Field(
        default="auto", description="Inference runtime: auto, onnxruntime, openvino, tensorrt, tensorrt-rtx, null."
    )
    device: str = Field(
        default="auto",
        description="auto, cpu, cuda, tensorrt, coreml or directml; cuda:1 is the second GPU. With the runtime "
        "openvino: cpu, gpu (Intel's) or npu. One that is not there is an error, never replaced.",
    )
    precision: Precision = Field(
        default="auto",
        description="What the network computes in: auto (what its file is in), fp32, fp16, int8; bf16 with the runtime "
        "openvino, tf32 on NVIDIA GPUs.",
    )
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
    subject: Literal["auto", "all", "largest"] = Field(
        default="auto",
        description="Whom to keep: all, or the largest person alone; auto: all in files, largest live. People who "
        "touch count as one; region parts them.",
    )
    region: str | None = Field(
        default=None,
        description="Keep people only inside X,Y,WIDTH,HEIGHT: px of the input (upright, before size), or shares of it "
        "(0.25,0,0.5,1: the middle half).",
    )


class OutputSettings(_Section):
    """What is written."""

    format: str | None = Field(
        default=None,
        description="mov, webm, mkv, mp4, hevc, hevc-alpha, png-mov, pair, png, exr, apng, webp, nut, rawvideo or "
        "null; default: by the output's name, else mov.",
    )
    encode: Encode = Field(default="good", description="fast, good or lossless.")
    stacked: bool = Field(
        default=False,
        description="Write colours above alpha in one opaque MP4 (H.264, or HEVC with format hevc), for programs that "
        "put them together.",
    )
    hardware_encoder: Literal["off", "auto", "nvenc"] = Field(
        default="off",
        description="Who encodes H.264 and HEVC: off: the CPU; nvenc: NVIDIA's encoder, an error where it does not "
        "open; auto: NVENC where it opens, else the CPU.",
    )
    alpha_only: bool = Field(default=False, description="Write alpha alone, as a grey picture.")
    foreground_only: bool = Field(default=False, description="Write the cleaned colours alone, opaque.")
    background: str | None = Field(
        default=None,
        description="Put this behind the person: a colour, an image, a video, blur or blur=PX.",
    )
    loop_count: int = Field(
        default=0, ge=0, le=65535, description="How often an animated picture (apng, webp) plays; 0: without end."
    )
    constant_rate: str | None = Field(
        default=None,
        description="Duplicate or drop frames to this constant rate (30, 30000/1001, auto: the source's nominal rate).",
    )
    audio: bool = Field(default=True, description="Keep the input's audio tracks.")
    audio_codec: Literal["auto", "pcm"] = Field(
        default="auto",
        description="auto: audio is copied where the format takes it; pcm: always uncompressed, for editors that play "
        "no AAC (mov, png-mov, mkv, nut).",
    )
    overwrite: bool = Field(default=False, description="Replace outputs that exist.")


class LiveSettings(_Section):
    """A camera, or a clip that stands in for one, and what is made of it live."""

    input: str | None = Field(
        default=None,
        description="Camera by number, name or path (see --list), or a clip, URL or synthetic:...; default: camera 0.",
    )
    loop: bool = Field(default=False, description="Begin a clip again when it ends.")
    mirror: bool = Field(default=False, description="Mirror the picture.")
    camera_size: str | None = Field(
        default=None,
        description="Picture size to ask of the camera, WIDTHxHEIGHT; with ~ before it, or what is next.",
    )
    camera_rate: str | None = Field(
        default=None, description="Frame rate to ask of the camera (30, 30000/1001); default: 30 or what is next."
    )
    camera_format: str | None = Field(
        default=None,
        description="Pixel format or codec to ask of the camera (mjpeg, yuyv422, nv12); default: by speed.",
    )
    cpu_share: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.5, description="Share of the machine's cores that may be used; a call needs the rest."
    )
    adapt: Literal["auto", "on", "off"] = Field(
        default="auto",
        description="Step the network's size, the model or the rate to hold the camera's rate; auto: unless --quality "
        "or --network-size is given.",
    )
    idle_seconds: Annotated[float, Field(ge=0, le=3600)] = Field(
        default=10.0, description="Close the camera when nobody has watched for so long; 0: never."
    )
    allow_raw: bool = Field(default=False, description="Let the page show the room: its 'before' picture.")
    device_name: str | None = Field(
        default=None, description="The virtual camera to use (/dev/video10, OBS Virtual Camera); default: the first."
    )
    page_port: Annotated[int, Field(ge=0, le=65535)] = Field(
        default=8317, description="Port of the page and of /obs on this machine; 0: any free one."
    )


class Settings(_Section):
    """Everything that a TOML file or preset may set, by section."""

    input: InputSettings = InputSettings()
    model: ModelSettings = ModelSettings()
    matting: MattingSettings = MattingSettings()
    output: OutputSettings = OutputSettings()
    live: LiveSettings = LiveSettings()
