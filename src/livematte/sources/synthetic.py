"""A source made from a formula: a person-like shape with a soft edge before a textured room, and its exact alpha.

Note [Synthetic pictures]
    The shape (an ellipse, a disc above it and a small disc that circles, joined by the union of coverages
    1 - (1-a)(1-b)) is drawn once for each of its phases into a sprite; a frame is the room with the sprite laid
    over it at a whole, chroma-aligned position, so that alpha is known to the last bit:

        sample = (F * a + B * (255 - a) + 127) // 255      for every plane, a = 0..255

    where chroma's a is the mean over the pixels that its sample covers, rounded half up. F and B are textures.
    1080p costs 2.2 ms a frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any, Final

import av
import cv2
import numpy as np
import numpy.typing as npt

from livematte.color import ColorSpec
from livematte.config import InputSettings
from livematte.errors import UsageError
from livematte.frames import AlphaArray, AudioPacket, Frame, StreamInfo, Timestamp
from livematte.planes import Layout, PlaneArray, layout, new_picture, plane_arrays
from livematte.reporting import Reporter
from livematte.sources.timing import Window, parse_rate

_PHASES: Final = 8
_VARIABLE_STEPS: Final = (1, 1, 2, 1, 3, 1, 1, 4)
"""Gaps of the variable rate, in halves of a frame."""

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class SyntheticSpec:
    """What a synthetic clip is made of."""

    width: int = 640
    height: int = 360
    frames: int = 60
    frame_rate: Fraction = Fraction(30)
    pix_fmt: str = "yuv420p"
    """Any working format: `yuv420p`, `yuv422p10le`, `gbrp`..."""
    variable: bool = False
    """Timestamps with uneven gaps (0.5 to 2 frames)."""
    seed: int = 1
    has_alpha: bool = False
    """Deliver the shape's alpha as the source's own (`Frame.alpha`)."""


def parse_synthetic(spec: str) -> SyntheticSpec:
    """`synthetic:WIDTHxHEIGHT@RATE:FRAMES[:pix_fmt][:vfr][:alpha][:seed=N]`; every part may be left out."""
    usage = (
        f"'{spec}' is not a synthetic clip. Write synthetic:WIDTHxHEIGHT@RATE:FRAMES, for example "
        "synthetic:1920x1080@30:300, and after it, if wanted, a pixel format (yuv420p10le), vfr, alpha, seed=2."
    )
    parts = spec.split(":")[1:]
    values: dict[str, object] = {}
    try:
        for part in filter(None, parts):
            if "x" in part and part[0].isdigit():
                size, _, rate = part.partition("@")
                width, _, height = size.partition("x")
                values |= {"width": int(width), "height": int(height)}
                if rate:
                    values["frame_rate"] = parse_rate(rate)
            elif part.isdigit():
                values["frames"] = int(part)
            elif part in ("vfr", "alpha"):
                values["variable" if part == "vfr" else "has_alpha"] = True
            elif part.startswith("seed="):
                values["seed"] = int(part[5:])
            else:
                layout(part)
                values["pix_fmt"] = part
    except ValueError as error:
        raise UsageError(usage) from error
    made = SyntheticSpec(**values)  # type: ignore[arg-type]
    if made.width < 1 or made.height < 1 or made.frames < 1 or made.seed < 0:
        raise UsageError(usage)
    return made


class SyntheticClip:
    """The formula: pictures, true alpha and true foreground by frame index (Note [Synthetic pictures])."""

    def __init__(self, spec: SyntheticSpec) -> None:
        self.spec = spec
        self.layout: Layout = layout(spec.pix_fmt)
        if self.layout.has_alpha:
            raise UsageError(f"a synthetic clip's pixel format carries no alpha of its own; got '{spec.pix_fmt}'.")
        if self.layout.is_rgb:
            self.color = ColorSpec("rgb", "pc", "bt709", "iec61966-2-1")
        else:
            self.color = ColorSpec("bt709", "tv", "bt709", "bt709")

    @cached_property
    def _box(self) -> tuple[int, int]:
        """(height, width) of the sprite: a little less than the picture, even where that is possible."""
        return max(2, self.spec.height * 7 // 8 // 2 * 2), max(2, self.spec.width // 2 // 2 * 2)

    @cached_property
    def sprites(self) -> list[npt.NDArray[np.uint8]]:
        """Alpha of each phase, (h, w) uint8."""
        height, width = self._box
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        edge = max(1.5, height / 90)
        body = _soft_ellipse(x, y, (width / 2, height * 0.78), (width * 0.32, height * 0.4), edge)
        head = _soft_ellipse(x, y, (width / 2, height * 0.24), (height * 0.15, height * 0.19), edge)
        still = 1 - (1 - body) * (1 - head)
        made = []
        for phase in range(_PHASES):
            angle = 2 * np.pi * phase / _PHASES
            centre = (width * (0.5 + 0.3 * np.cos(angle)), height * (0.5 + 0.16 * np.sin(angle)))
            hand = _soft_ellipse(x, y, centre, (height * 0.07, height * 0.07), edge * 2)
            made.append(np.rint((1 - (1 - still) * (1 - hand)) * 255).astype(np.uint8))
        return made

    @cached_property
    def _planes(self) -> tuple[list[PlaneArray], list[PlaneArray]]:
        """Planes of the room (picture size) and of the person (sprite size)."""
        rng = np.random.default_rng(self.spec.seed)
        room = _texture(rng, self.spec.height, self.spec.width, base=(96, 110, 122), grain=5.0)
        person = _texture(rng, *self._box, base=(176, 122, 96), grain=3.0)
        return self._to_planes(room), self._to_planes(person)

    def _to_planes(self, rgb: FloatArray) -> list[PlaneArray]:
        """(h, w, 3) RGB 0..255 -> planes of the clip's format, by BT.709's formula and the area mean."""
        peak = self.layout.peak
        unit = rgb / 255.0
        if self.layout.is_rgb:
            channels = [unit[..., 1] * peak, unit[..., 2] * peak, unit[..., 0] * peak]
        else:
            step = 1 << (self.layout.bits - 8)
            luma = unit @ np.array([0.2126, 0.7152, 0.0722], np.float32)
            blue = (unit[..., 2] - luma) / 1.8556
            red = (unit[..., 0] - luma) / 1.5748
            channels = [(16 + 219 * luma) * step, (128 + 224 * blue) * step, (128 + 224 * red) * step]
        planes: list[PlaneArray] = []
        for number, channel in enumerate(channels):
            if number and not self.layout.is_rgb:
                channel = _area(channel, self.layout)
            planes.append(np.clip(np.rint(channel), 0, peak).astype(self.layout.dtype))
        return planes

    def position(self, index: int) -> tuple[int, int]:
        """(left, top) of the sprite in frame `index`, in px; multiples of two."""
        height, width = self._box
        angle = 2 * np.pi * index / 97
        left = (self.spec.width - width) / 2 * (1 + 0.9 * np.sin(angle))
        top = (self.spec.height - height) * (0.75 + 0.25 * np.cos(2 * angle))
        return max(0, int(left) // 2 * 2), max(0, int(top) // 2 * 2)

    def alpha(self, index: int, *, wide: bool = False) -> AlphaArray:
        """True alpha of frame `index`: (height, width), uint8 0..255, or uint16 0..65535 where `wide`."""
        left, top = self.position(index)
        sprite = self.sprites[index % _PHASES]
        full = np.zeros((self.spec.height, self.spec.width), np.uint8)
        view = full[top : top + sprite.shape[0], left : left + sprite.shape[1]]
        view[:] = sprite[: view.shape[0], : view.shape[1]]
        return full.astype(np.uint16) * np.uint16(257) if wide else full

    def picture(self, index: int) -> av.VideoFrame:
        """Frame `index` in the clip's pixel format."""
        return self._render(index, over_room=True)

    def foreground(self, index: int) -> av.VideoFrame:
        """True, unmixed colours of the person in frame `index`: its texture in the sprite's box, grey elsewhere."""
        return self._render(index, over_room=False)

    def _render(self, index: int, *, over_room: bool) -> av.VideoFrame:
        made = new_picture(self.spec.pix_fmt, self.spec.width, self.spec.height)
        left, top = self.position(index)
        room, person = self._planes
        for number, target in enumerate(plane_arrays(made)):
            is_chroma = number > 0 and not self.layout.is_rgb
            shift_x = self.layout.log2_chroma_width if is_chroma else 0
            shift_y = self.layout.log2_chroma_height if is_chroma else 0
            sprite = person[number]
            if over_room:
                np.copyto(target, room[number])
            else:
                target.fill((self.layout.peak + 1) // 2)
            view = target[top >> shift_y :, left >> shift_x :][: sprite.shape[0], : sprite.shape[1]]
            sprite = sprite[: view.shape[0], : view.shape[1]]
            if over_room:
                weight, rest = self._weights[index % _PHASES][1 if is_chroma else 0]
                weight, rest = weight[: view.shape[0], : view.shape[1]], rest[: view.shape[0], : view.shape[1]]
                _blend(view, sprite, weight, rest)
            else:
                view[:] = sprite
        made.colorspace, made.color_range = (0, 2) if self.layout.is_rgb else (1, 1)
        made.color_primaries, made.color_trc = (1, 13) if self.layout.is_rgb else (1, 1)
        return made

    @cached_property
    def _weights(self) -> list[list[tuple[FloatArray, FloatArray]]]:
        """For each phase, for luma and for chroma: (alpha, 255 - alpha) as float32."""
        made = []
        for sprite in self.sprites:
            small = np.floor(_area(sprite.astype(np.float32), self.layout) + 0.5)
            made.append([(grown, 255.0 - grown) for grown in (sprite.astype(np.float32), small)])
        return made


def _blend(room: PlaneArray, person: PlaneArray, weight: FloatArray, rest: FloatArray) -> None:
    """In place: room = (person * weight + room * rest + 127) // 255, exact."""
    # float32 holds the products of 8-bit samples exactly (below 2^17); those of 16 bits need float64.
    depth = cv2.CV_32F if room.dtype == np.uint8 else cv2.CV_64F
    mixed: npt.NDArray[Any] = cv2.multiply(person, weight, dtype=depth)
    mixed += cv2.multiply(room, rest, dtype=depth)
    mixed += 127.25  # whole + 0.25: far enough from the next multiple of 255 that 1/255's rounding cannot matter
    mixed *= 1 / 255
    room[:] = mixed.astype(room.dtype)


def _soft_ellipse(
    x: FloatArray, y: FloatArray, centre: tuple[float, float], radii: tuple[float, float], edge: float
) -> FloatArray:
    """Coverage 0..1 of an ellipse whose edge is `edge` px wide, by the usual first-order distance."""
    dx, dy = (x - centre[0]) / radii[0], (y - centre[1]) / radii[1]
    inside = np.sqrt(dx * dx + dy * dy) + 1e-6
    slope = np.sqrt((dx / radii[0]) ** 2 + (dy / radii[1]) ** 2) / inside + 1e-6
    return np.asarray(np.clip(0.5 - (inside - 1) / slope / edge, 0, 1), np.float32)


def _texture(
    rng: np.random.Generator, height: int, width: int, *, base: tuple[int, int, int], grain: float
) -> FloatArray:
    """(h, w, 3) RGB 30..225: soft coloured patches with grain."""
    coarse = rng.uniform(-45, 45, (max(2, height // 60 + 2), max(2, width // 60 + 2), 3)).astype(np.float32)
    patches = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).reshape(height, width, 3)
    noise = rng.normal(0, grain, (height, width, 1)).astype(np.float32)
    return np.asarray(np.clip(patches + noise + np.array(base, np.float32), 30, 225), np.float32)


def _area(plane: FloatArray, shape: Layout) -> FloatArray:
    """Mean over the pixels of each chroma sample; at an odd edge over those that exist."""
    wide, high = shape.log2_chroma_width, shape.log2_chroma_height
    padded = np.pad(plane, ((0, -plane.shape[0] % (1 << high)), (0, -plane.shape[1] % (1 << wide))), mode="edge")
    blocks = padded.reshape(padded.shape[0] >> high, 1 << high, padded.shape[1] >> wide, 1 << wide)
    return np.asarray(blocks.mean(axis=(1, 3)), np.float32)


class SyntheticSource:
    """`SyntheticClip` as a `Source`; `clip` gives the truth of each frame (by `Frame.index` + `first_index`)."""

    is_live = False
    decoder = "formula"

    def __init__(self, spec: SyntheticSpec, settings: InputSettings | None = None) -> None:
        self.clip = SyntheticClip(spec)
        self.damaged = 0
        self._closed = False
        window = Window.from_settings(settings or InputSettings())
        tick = 1 / (2 * spec.frame_rate)
        starts = _starts(spec)
        kept = [i for i in range(spec.frames) if window.holds(starts[i] * tick)]
        self.first_index = kept[0] if kept else 0
        self._starts = [starts[i] for i in [*kept, *([kept[-1] + 1] if kept else [])]]
        self.name = f"synthetic {spec.width}x{spec.height}"
        self.info = StreamInfo(
            name=self.name,
            width=spec.width,
            height=spec.height,
            pix_fmt=spec.pix_fmt,
            color=self.clip.color,
            time_base=tick,
            frame_rate=spec.frame_rate,
            bits=self.clip.layout.bits,
            is_variable_rate=spec.variable,
            duration_seconds=float((self._starts[-1] - self._starts[0]) * tick) if kept else 0.0,
            frame_count=len(kept),
            has_alpha=spec.has_alpha,
        )

    def __iter__(self) -> Iterator[Frame | AudioPacket]:
        starts = self._starts
        for index in range(max(0, len(starts) - 1)):
            if self._closed:
                return
            number = index + self.first_index
            yield Frame(
                picture=self.clip.picture(number),
                time=Timestamp(starts[index] - starts[0], self.info.time_base),
                duration=starts[index + 1] - starts[index],
                index=index,
                color=self.clip.color,
                alpha=self.clip.alpha(number, wide=self.info.bits > 8) if self.info.has_alpha else None,
            )

    def close(self) -> None:
        self._closed = True


def open_synthetic(spec: str, settings: InputSettings, *, reporter: Reporter) -> SyntheticSource:
    """The source that `synthetic:...` names; `--size` is part of the name, so it is a UsageError here."""
    if settings.size is not None:
        raise UsageError("a synthetic clip has its size in its name (synthetic:1280x720@30:300); leave --size out.")
    source = SyntheticSource(parse_synthetic(spec), settings)
    if source.info.is_variable_rate:
        reporter.note("the synthetic clip has a variable frame rate; its timestamps are kept.")
    return source


def _starts(spec: SyntheticSpec) -> list[int]:
    """Start of each frame and the end of the last, in halves of a nominal frame."""
    steps = _VARIABLE_STEPS if spec.variable else (2,)
    made = [0]
    for index in range(spec.frames):
        made.append(made[-1] + steps[index % len(steps)])
    return made
