"""What the device's path can do, and in one sentence each what it leaves to the host's."""

from __future__ import annotations

from typing import Final

from livematte.compositing.compositor import parse_blur
from livematte.config import MattingSettings, Settings
from livematte.frames import StreamInfo
from livematte.models.manifest import Manifest
from livematte.runtimes.kernels.ops_alpha import MOST_LINES
from livematte.runtimes.kernels.parameters import neutral, set_blur

SMOOTHING: Final = ("none", "ema", "adaptive", "one-euro")
"""Algorithms of `matting/temporal.py` that have a kernel and give each frame out at once."""
HOST_FORMATS: Final = ("yuv420p", "yuv420p10le", "yuv420p12le")
"""Working formats that are uploaded as they are."""
DEVICE_FORMATS: Final = {"nv12": "yuv420p", "p010le": "yuv420p10le"}
"""What decoders leave on the device -> the working format that foregrounds come out in."""
LARGEST_SIDE: Final = 16384
"""Pixels; as in `runtimes/kernels/ops_picture.py`."""
_DEFAULT_SMOOTHING: Final = "adaptive"


def unsupported(settings: Settings, info: StreamInfo, manifest: Manifest, *, is_live: bool = False) -> list[str]:
    """Why these settings cannot run on the device for this stream; empty: they can.

    Each reason is a sentence for persons that ends in what makes it go away, where something does. The caller shows
    them and takes the host's path.
    """
    return [
        *_of_the_stream(info),
        *_of_the_network(settings, manifest, is_live=is_live),
        *matting_reasons(settings.matting, manifest, is_live=is_live),
        *_of_the_size(settings.matting, info),
        *_of_the_background(settings.output.background, info),
    ]


def smoothing_for(settings: MattingSettings, manifest: Manifest, *, is_live: bool) -> str:
    """The algorithm that these settings mean; the rules are `HostMatting`'s."""
    if settings.smooth == "off":
        return "none"
    if settings.temporal != "auto":
        return settings.temporal
    algorithm = str(manifest.defaults.temporal)
    return _DEFAULT_SMOOTHING if algorithm == "ofd" and is_live else algorithm


def refinement_for(settings: MattingSettings, manifest: Manifest) -> str:
    """`bicubic` or `guided`."""
    return str(manifest.defaults.refine) if settings.refine == "auto" else str(settings.refine)


def _of_the_stream(info: StreamInfo) -> list[str]:
    reasons: list[str] = []
    if info.color.is_hdr:
        reasons.append("HDR pictures are tone-mapped for the network on the processor.")
    if info.has_alpha:
        reasons.append("The source's own alpha is multiplied in on the processor.")
    if info.pix_fmt not in HOST_FORMATS and info.pix_fmt not in DEVICE_FORMATS:
        known = ", ".join((*HOST_FORMATS, *DEVICE_FORMATS))
        reasons.append(f"Pictures in {info.pix_fmt} have no kernels; {known} have.")
    return reasons


def _of_the_network(settings: Settings, manifest: Manifest, *, is_live: bool) -> list[str]:
    reasons: list[str] = []
    if settings.model.refine_with is not None:
        reasons.append("The second network (--refine-with) sees its crops by the processor's hand.")
    if settings.model.quality == "best" and not is_live and not manifest.is_recurrent:
        reasons.append("The mirrored pass of --quality best is made on the processor; --quality good needs none.")
    if len(manifest.graphs) != 1:
        reasons.append(f"The network '{manifest.name}' has {len(manifest.graphs)} graphs.")
        return reasons
    alpha = manifest.graph.alpha
    if alpha is not None and (alpha.activation != "none" or alpha.invert or alpha.channel != 0):
        reasons.append(
            f"The network '{manifest.name}' leaves the last step of its alpha (activation, channel or inversion) to "
            "us, and it is made on the processor."
        )
    return reasons


def matting_reasons(settings: MattingSettings, manifest: Manifest, *, is_live: bool) -> list[str]:
    """The part of `unsupported` that changes while a run goes on."""
    reasons: list[str] = []
    if settings.subject == "largest" or (settings.subject == "auto" and is_live):
        reasons.append(
            "Following one person (--subject largest; live, auto means that) is done on the processor; --subject all "
            "keeps everybody."
        )
    algorithm = smoothing_for(settings, manifest, is_live=is_live)
    if algorithm not in SMOOTHING:
        reasons.append(
            f"The smoothing '{algorithm}' waits for the next frame and is done on the processor; --temporal adaptive "
            "is not."
        )
    return reasons


def _of_the_size(settings: MattingSettings, info: StreamInfo) -> list[str]:
    if max(info.width, info.height) > LARGEST_SIDE:
        return [f"Pictures of {info.width}x{info.height} have no kernels; sides up to {LARGEST_SIDE} px have."]
    if info.height > MOST_LINES and (settings.shrink or settings.feather):
        return [f"Edges of pictures with more than {MOST_LINES} lines are moved on the processor; leave out --shrink "
                "and --feather."]  # fmt: skip
    return []


def _of_the_background(background: str | None, info: StreamInfo) -> list[str]:
    px = None if background is None else parse_blur(background)
    if px is None:
        return []
    try:
        set_blur(neutral(info.width, info.height), px * info.height / 1080, info.width, info.height)
    except ValueError as error:
        return [f"--background blur={px:g} is made on the processor: {error}"]
    return []
