"""How large a network's input is for a picture: pure functions of the manifest's size policy."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from livematte.config import Quality
from livematte.errors import UsageError
from livematte.models.manifest import (
    AreaSize,
    FixedSize,
    NativeRatioSize,
    ShortSideSize,
    SizePolicy,
    State,
)

_LARGEST_SIDE = 16384
"""As in the manifests; 16384x16384 RGB in float32 is 3.2 GB already."""


@dataclass(frozen=True, slots=True)
class NetworkSize:
    """The input of a network for one picture size."""

    width: int
    height: int
    """Of the tensor."""
    content: tuple[int, int, int, int]
    """(left, top, width, height) of the picture inside the tensor; the rest is zero padding (letterbox)."""
    ratio: float = 1.0
    """`downsample_ratio`, for networks that scale inside."""

    @property
    def is_padded(self) -> bool:
        return self.content != (0, 0, self.width, self.height)


def network_size(
    policy: SizePolicy, width: int, height: int, *, quality: Quality = "good", override: tuple[int, int] | None = None
) -> NetworkSize:
    """The input size for a picture of `width` x `height` px.

    override: (width, height) that the person asked for. It is never repaired: UsageError where the network cannot
    take it, with what it can take.
    """
    if width < 1 or height < 1:
        raise ValueError(f"a picture of {width}x{height} has no pixels")
    if isinstance(policy, FixedSize):
        return _fixed(policy, width, height, override)
    if isinstance(policy, NativeRatioSize):
        return _native(policy, override or (width, height), quality)
    if override is not None:
        _check_multiple(override, policy.multiple_of)
        return _whole(*override)
    if isinstance(policy, AreaSize):
        return _whole(*_area(policy, width, height, policy.pixels.of(quality)))
    return _whole(*_short_side(policy, width, height, round(policy.short_side.of(quality))))


def parse_size(text: str) -> tuple[int, int]:
    """(width, height) from `448x256`. UsageError says what is allowed."""
    found = re.fullmatch(r"\s*([1-9]\d{0,4})\s*[xX]\s*([1-9]\d{0,4})\s*", text)
    if found is None or max(int(found[1]), int(found[2])) > _LARGEST_SIDE:
        raise UsageError(
            f"the network size '{text}' is not WIDTHxHEIGHT in pixels, such as 448x256; each side may be 1 to "
            f"{_LARGEST_SIDE}."
        )
    return int(found[1]), int(found[2])


def state_shape(state: State, size: NetworkSize) -> tuple[int, int, int, int]:
    """Shape of a recurrent tensor for this input size; the manifest's own shape where it states no stride."""
    if state.channels is None or state.stride is None:
        return state.shape
    inner_height, inner_width = math.floor(size.height * size.ratio), math.floor(size.width * size.ratio)
    return (
        1,
        state.channels,
        max(math.ceil(inner_height / state.stride), 1),
        max(math.ceil(inner_width / state.stride), 1),
    )


def _whole(width: int, height: int, ratio: float = 1.0) -> NetworkSize:
    return NetworkSize(width, height, (0, 0, width, height), ratio)


def _nearest_multiple(side: float, multiple: int) -> int:
    return max(int(side / multiple + 0.5), 1) * multiple


def _area(policy: AreaSize, width: int, height: int, pixels: float) -> tuple[int, int]:
    """Nearest multiples of the sides that keep the aspect at `pixels`; a side that hits its floor shortens the other.

    Without that, a picture of 4000x10 would get twice the pixels, because its short side cannot be under 32.
    """
    step = policy.multiple_of
    long_side = _nearest_multiple(pixels / step, step)
    short = math.sqrt(pixels * min(width, height) / max(width, height))
    small = _nearest_multiple(short, step)
    large = min(_nearest_multiple(pixels / short, step), long_side)
    return (large, small) if width >= height else (small, large)


def _short_side(policy: ShortSideSize, width: int, height: int, target: int) -> tuple[int, int]:
    """MODNet's rule, `onnx/inference_onnx.py` of its repository: see `ShortSideSize`."""
    new_width, new_height = width, height
    if max(width, height) < target or min(width, height) > target:
        if width >= height:
            new_width, new_height = int(width / height * target), target
        else:
            new_width, new_height = target, int(height / width * target)
    step = policy.multiple_of
    return max(new_width - new_width % step, step), max(new_height - new_height % step, step)


def _native(policy: NativeRatioSize, size: tuple[int, int], quality: Quality) -> NetworkSize:
    width, height = size
    row = next((row for row in policy.table if (row.width, row.height) in ((width, height), (height, width))), None)
    ratio = row.ratio if row else min(policy.longest_side / max(width, height), 1.0)
    ratio = min(ratio * policy.scale.of(quality), 1.0)
    # The network floors the inner sides: a ratio that leaves less than one pixel would end in an empty tensor.
    return _whole(width, height, max(ratio, min(1.0, 1.0 / min(width, height))))


def _fixed(policy: FixedSize, width: int, height: int, override: tuple[int, int] | None) -> NetworkSize:
    if override is not None and override != (policy.width, policy.height):
        raise UsageError(
            f"this network takes {policy.width}x{policy.height} only, and --network-size asks for "
            f"{override[0]}x{override[1]}. Leave --network-size out, or choose another network."
        )
    if policy.fit == "stretch":
        return _whole(policy.width, policy.height)
    scale = min(policy.width / width, policy.height / height)
    inner_width = min(max(round(width * scale), 1), policy.width)
    inner_height = min(max(round(height * scale), 1), policy.height)
    left, top = (policy.width - inner_width) // 2, (policy.height - inner_height) // 2
    return NetworkSize(policy.width, policy.height, (left, top, inner_width, inner_height))


def _check_multiple(size: tuple[int, int], multiple: int) -> None:
    if size[0] % multiple or size[1] % multiple:
        near = "x".join(str(_nearest_multiple(side, multiple)) for side in size)
        raise UsageError(
            f"this network takes sides that are multiples of {multiple}, and --network-size asks for "
            f"{size[0]}x{size[1]}. The nearest that fits is {near}."
        )
