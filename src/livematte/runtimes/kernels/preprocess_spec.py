"""What a network's input looks like, and the numbers by which planes become it: matrix, strides, normalisation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

from livematte.color import LUMA_WEIGHTS, ColorSpec
from livematte.errors import UsageError
from livematte.models.manifest import ImageInput
from livematte.models.sizes import NetworkSize
from livematte.runtimes.kernels.planes import Format

Rotation = Literal[0, 90, 180, 270]
Scaling = Literal["area", "bilinear"]
ChromaPlace = Literal["left", "center", "topleft", "top", "bottomleft", "bottom"]


@dataclass(frozen=True, slots=True)
class PreprocessSpec:
    """What a network's input looks like; the same for a whole clip."""

    content: tuple[int, int, int, int] | None = None
    """(left, top, width, height) of the picture inside the tensor, zeros outside; None: all of it."""
    rotation: Rotation = 0
    """Degrees clockwise that bring the planes upright."""
    mirrored: bool = False
    """Left and right change places (after rotation)."""
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    channels: Literal["RGB", "BGR"] = "RGB"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """value = (colour in 0..1 - mean) / std, in the order of `channels`."""
    chroma: ChromaPlace = "left"
    """Where chroma samples lie among the luma samples that they cover, as FFmpeg spells it. `left` is what H.264, HEVC,
    VP9 and AV1 mean where they say nothing, `center` what JPEG means, and what libswscale takes for frames that no
    decoder made. Subsampled axes only."""
    scaling: Scaling = "area"
    """`area`: the exact mean over each pixel, as the host's path; bilinear interpolation on an axis that grows.
    `bilinear`: a tent two pixels wide, antialiased."""

    @classmethod
    def of(
        cls, spec: ImageInput, size: NetworkSize, *, rotation: Rotation = 0, mirrored: bool = False
    ) -> PreprocessSpec:
        """From a manifest's input and the network's size for this picture."""
        return cls(
            content=size.content if size.is_padded else None,
            rotation=rotation,
            mirrored=mirrored,
            layout=spec.layout,
            channels=spec.channels,
            mean=spec.mean,
            std=spec.std,
        )


def chroma_quarters(place: ChromaPlace, kind: Format) -> tuple[int, int]:
    """(x, y): by how many quarters of a chroma sample the picture lies further along its chroma plane."""
    across = 1 if place in ("left", "topleft", "bottomleft") else 0
    down = {"t": 1, "b": -1}.get(place[0], 0)
    return across * kind.log2_chroma_width, down * kind.log2_chroma_height


@dataclass(frozen=True, slots=True)
class YuvToRgb:
    """rgb 0..1 = (luma - zero) * scale + sum of (chroma - c_zero) * factor, on samples as they lie in memory."""

    y_zero: float
    y_scale: float
    c_zero: float
    v_to_r: float
    u_to_g: float
    v_to_g: float
    u_to_b: float


@cache
def yuv_to_rgb(color: ColorSpec, kind: Format) -> YuvToRgb:
    """The matrix of Rec. ITU-R BT.601, BT.709 or BT.2020 (non-constant luminance) for this range and depth.

    Matrices that `LUMA_WEIGHTS` lacks (`ycgco`, `ictcp`) are read as BT.709, as on the host's path.
    """
    red, blue = LUMA_WEIGHTS.get(color.colorspace, LUMA_WEIGHTS["bt709"])
    green = 1.0 - red - blue
    unit = 1 << (kind.bits - 8)
    step = 1 << kind.shift
    is_full = color.color_range == "pc"
    luma_span = kind.peak if is_full else 219 * unit
    chroma_span = kind.peak if is_full else 224 * unit
    chroma = 1.0 / (chroma_span * step)
    return YuvToRgb(
        y_zero=float(0 if is_full else 16 * unit * step),
        y_scale=1.0 / (luma_span * step),
        c_zero=float(128 * unit * step),
        v_to_r=2 * (1 - red) * chroma,
        u_to_g=-2 * (1 - blue) * blue / green * chroma,
        v_to_g=-2 * (1 - red) * red / green * chroma,
        u_to_b=2 * (1 - blue) * chroma,
    )


@dataclass(frozen=True, slots=True)
class Target:
    """Where the tensor's values go: at origin + x * step_x + y * step_y + channel, (x, y) as the planes lie."""

    width: int
    height: int
    """Of the content, as the planes lie."""
    origin: int
    step_x: int
    step_y: int
    channels: tuple[int, int, int]
    """Offsets of red, green and blue."""
    is_padded: bool


@cache
def target_of(spec: PreprocessSpec, shape: tuple[int, ...]) -> Target:
    """Strides of a tensor (1, 3, h, w) or (1, h, w, 3) under rotation, mirroring and letterbox."""
    is_nchw = spec.layout == "NCHW"
    if len(shape) != 4 or shape[0] != 1 or shape[1 if is_nchw else 3] != 3:
        wanted = "(1, 3, height, width)" if is_nchw else "(1, height, width, 3)"
        raise UsageError(f"a network input of shape {shape} is not {wanted}, which its layout {spec.layout} means.")
    height, width = shape[2:] if is_nchw else shape[1:3]
    left, top, across, down = spec.content or (0, 0, width, height)
    if left < 0 or top < 0 or across < 1 or down < 1 or left + across > width or top + down > height:
        raise UsageError(f"content {spec.content} does not lie inside a network input of {width}x{height}.")
    pixel, line = (1, width) if is_nchw else (3, 3 * width)
    plane = width * height if is_nchw else 1
    # Upright (u, v) of a sample at (x, y): see `turned` in reference_picture.py.
    mirror_u, mirror_v = spec.rotation in (90, 180), spec.rotation in (180, 270)
    step_u, step_v = (-pixel if mirror_u else pixel), (-line if mirror_v else line)
    first_u, first_v = (across - 1 if mirror_u else 0), (down - 1 if mirror_v else 0)
    if spec.mirrored:
        step_u, first_u = -step_u, across - 1 - first_u
    is_quarter = spec.rotation in (90, 270)
    order = (0, 1, 2) if spec.channels == "RGB" else (2, 1, 0)
    return Target(
        width=down if is_quarter else across,
        height=across if is_quarter else down,
        origin=(top + first_v) * line + (left + first_u) * pixel,
        step_x=step_v if is_quarter else step_u,
        step_y=step_u if is_quarter else step_v,
        channels=(order[0] * plane, order[1] * plane, order[2] * plane),
        is_padded=(left, top, across, down) != (0, 0, width, height),
    )


@cache
def normalisation(spec: PreprocessSpec) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """(gain, offset) for red, green and blue; the manifest's own lie in the tensor's channel order."""
    order = (0, 1, 2) if spec.channels == "RGB" else (2, 1, 0)
    gains = [1.0 / std for std in spec.std]
    offsets = [-mean / std for mean, std in zip(spec.mean, spec.std, strict=True)]
    red, green, blue = order
    return (gains[red], gains[green], gains[blue]), (offsets[red], offsets[green], offsets[blue])
