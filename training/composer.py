"""Paints a plan: layers sampled from the atlas, blended, lit and sent through a camera, all on the atlas's device."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from training import effects, windows
from training.atlas import Atlas, Border, Window
from training.plan import Label, Outline, Plan, Record

Indices = npt.NDArray[np.int64]

SMEAR_TAPS = 5


@dataclass(frozen=True)
class Batch:
    """Composed frames: first one of every scene, then the second ones of the paired scenes."""

    rgb: Tensor
    """float32 (n, 3, height, width), 0..1, channels-last in memory."""
    alpha: Tensor
    """float32 (n, 1, height, width), 0..1: the truth."""
    first: Tensor
    """int64 (pairs,): rows of the paired scenes' first frames."""
    second: Tensor
    """int64 (pairs,): rows of their second frames."""


class _Rows:
    """Layers or cameras of the rows being painted, field by field on the device."""

    def __init__(self, records: Record, frame: Tensor) -> None:
        self.records, self.frame = records, frame

    def get(self, *names: str) -> Tensor:
        """A field, (n, ...)."""
        part = self.records
        for name in names:
            part = part[name]
        return torch.from_numpy(part.copy()).to(self.frame.device)

    def framed(self, *names: str) -> Tensor:
        """A field that differs between the two frames, (n, 2, ...) in the record: each row's own, (n, ...)."""
        both = self.get(*names)
        return both[torch.arange(len(both), device=both.device), self.frame]

    def colour(self) -> dict[str, Tensor]:
        """What `effects.coloured` wants."""
        return {name: self.get("colour", name) for name in ("gamma", "contrast", "brightness", "balance", "saturation")}

    def pick(self, chosen: Tensor) -> _Rows:
        """Some of the rows; `chosen`: bool (n,)."""
        return _Rows(self.records[chosen.cpu().numpy()], self.frame[chosen])


class Composer:
    """Stateless but for the atlas and the generator of noise."""

    def __init__(self, atlas: Atlas, seed: int, frames_at_once: int | None = None) -> None:
        """frames_at_once: how many frames go through each operation, None for all of a batch.

        A CPU paints two at once a third faster than twelve (17 against 26 ms a frame of 224 x 384 on two Zen 4 cores),
        since those stay in its cache; a GPU wants them all.
        """
        self._atlas = atlas
        self._generator = torch.Generator(atlas.texels.device).manual_seed(seed)
        self._at_once = frames_at_once

    @torch.no_grad()
    def paint(self, plan: Plan) -> Batch:
        """All frames of `plan`."""
        device = self._atlas.texels.device
        scenes = len(plan.cameras)
        paired = np.flatnonzero(plan.cameras["paired"])
        scene = np.concatenate([np.arange(scenes), paired])
        frame = torch.from_numpy((np.arange(len(scene)) >= scenes).astype(np.int64)).to(device)
        step = self._at_once or len(scene)
        painted = [self._paint(plan, scene[i : i + step], frame[i : i + step]) for i in range(0, len(scene), step)]
        rgb, alpha = (torch.cat(parts) for parts in zip(*painted, strict=True))
        second = torch.arange(scenes, len(scene), device=device)
        return Batch(effects.planes(rgb), effects.planes(alpha), torch.from_numpy(paired).to(device), second)

    def _paint(self, plan: Plan, scene: Indices, frame: Tensor) -> tuple[Tensor, Tensor]:
        """Frames `frame` (0 or 1) of the scenes `scene`: colour and alpha, (n, height, width, 3 and 1)."""
        device = frame.device
        rgb = torch.zeros((len(scene), *plan.size, 3), device=device)
        alpha = torch.zeros((len(scene), *plan.size, 1), device=device)
        for k in range(plan.layers.shape[1]):
            column = plan.layers[scene, k]
            for outline in (Outline.FRAME, Outline.ALPHA, Outline.SHAPE, Outline.BORROWED):
                chosen = np.flatnonzero(column["outline"] == outline)
                if len(chosen):
                    index = torch.from_numpy(chosen).to(device)
                    self._cover(rgb, alpha, index, _Rows(column[chosen], frame[index]), outline)
        return self._filmed(rgb, _Rows(plan.cameras[scene], frame)), alpha

    def _cover(self, rgb: Tensor, alpha: Tensor, index: Tensor, rows: _Rows, outline: Outline) -> None:
        """Paint one layer upon the rows `index` of the canvas, within the window that it can touch."""
        size = (rgb.shape[1], rgb.shape[2])
        window = windows.window(rows.records, rows.frame.cpu().numpy(), outline, self._atlas.extents, size)
        if window is None:
            return
        place = (index, *window.slices)
        below = rgb[place]
        figure = outline == Outline.ALPHA
        bend = rows.framed("bend") if figure else None
        texels = self._placed(rows, (), window, "clear" if figure else "mirror", bend)
        colour = effects.coloured(texels[..., :3], rows.colour())
        cover = self._covering(texels, rows, window, outline)
        if figure:
            colour = self._dressed(colour, cover, rows, window, size[0])
            colour = _harmonised(colour, cover, below, rows.get("harmonise"))
            below = _shadowed(below, cover, rows.get("shadow"))
            colour, cover = _smeared(colour, cover, rows.get("smear"))
        elif outline == Outline.FRAME:
            colour = _out_of_focus(colour, rows.get("defocus"))
        own = texels[..., 3:] if outline == Outline.FRAME else cover
        label = rows.get("label")[:, None, None, None]
        truth = torch.where(label == Label.PICTURE, own, (label == Label.PERSON).float())
        rgb[place] = torch.lerp(below, colour, cover)
        alpha[place] = torch.lerp(alpha[place], truth.expand_as(cover), cover)

    def _placed(
        self, rows: _Rows, part: tuple[str, ...], window: Window, border: Border, bend: Tensor | None = None
    ) -> Tensor:
        """RGBA of each layer's picture; `part`: ("mask",) or ("cloth",) for its further ones."""
        picture, level = rows.get(*part, "picture"), rows.get(*part, "level")
        inverse = rows.framed(*part, "inverse")
        return self._atlas.sample(picture, level, inverse, window, border=border, bend=bend)

    def _covering(self, texels: Tensor, rows: _Rows, window: Window, outline: Outline) -> Tensor:
        """Where the layer hides what is below, (n, height, width, 1) in 0..1."""
        if outline == Outline.ALPHA:
            return texels[..., 3:]
        if outline == Outline.SHAPE:
            return _shape(rows, window)
        if outline == Outline.BORROWED:
            return self._placed(rows, ("mask",), window, "clear")[..., 3:]
        return torch.ones_like(texels[..., 3:])

    def _dressed(self, colour: Tensor, cover: Tensor, rows: _Rows, window: Window, frame_height: int) -> Tensor:
        """Give some figures another material, shaded as the old one was."""
        worn = rows.get("cloth", "picture") >= 0
        if not bool(worn.any()):
            return colour
        some = rows.pick(worn)
        cloth = self._placed(some, ("cloth",), window, "mirror")[..., :3]
        old, body = colour[worn], cover[worn]
        grey = effects.luma(old)
        mean = (grey * body).sum((1, 2), keepdim=True) / body.sum((1, 2), keepdim=True).clamp(min=1)
        rim, strength = some.get("cloth_rim")[..., None, None, None].unbind(1)
        y = window.centres(colour.device)[1][..., None]
        share = ((y - rim) / (0.05 * frame_height)).clamp(0, 1) * strength
        out = colour.clone()
        out[worn] = torch.lerp(old, (cloth * grey / mean.clamp(min=0.05)).clamp_(0, 1), share)
        return out

    def _filmed(self, rgb: Tensor, rows: _Rows) -> Tensor:
        """Exposure, noise, lost detail and JPEG, one camera a row."""
        rgb = effects.coloured(rgb, rows.colour()) * rows.get("exposure")[:, None, None, None]
        noisy = rows.get("noise") > 0
        if bool(noisy.any()):
            some = rows.pick(noisy)
            rgb[noisy] = effects.noise(
                rgb[noisy], some.get("noise"), some.get("shot"), some.get("coarse_noise"), self._generator
            )
        detail = rows.records["detail"]
        for i in np.flatnonzero(detail < 1):
            rgb[i : i + 1] = effects.reduced(rgb[i : i + 1], float(detail[i]))
        coded = rows.get("jpeg") > 0
        if bool(coded.any()):
            rgb[coded] = effects.jpeg(rgb[coded], rows.get("jpeg")[coded])
        return rgb


def _shape(rows: _Rows, window: Window) -> Tensor:
    """The closed outlines of plan.SHAPE, (n, height, width, 1)."""
    m = rows.framed("mask", "inverse")[..., None, None]
    x, y = window.centres(m.device)
    u, v = (m[:, i, 0] * x + m[:, i, 1] * y + m[:, i, 2] for i in (0, 1))
    power, softness = (rows.get("shape", name)[:, None, None] for name in ("power", "softness"))
    longest = torch.maximum(u.abs(), v.abs()).clamp(min=1e-3)  # taken out, lest the powers overflow
    radius = longest * ((u.abs() / longest).pow(power) + (v.abs() / longest).pow(power)).pow(1 / power)
    rim, angle = torch.ones_like(radius), torch.atan2(v, u)
    ripple, phase = rows.get("shape", "ripple"), rows.get("shape", "phase")
    for k in range(ripple.shape[1]):
        rim = rim + ripple[:, k, None, None] * torch.cos((k + 2) * angle + phase[:, k, None, None])
    return ((rim - radius) / softness + 0.5).clamp(0, 1)[..., None]


def _harmonised(colour: Tensor, cover: Tensor, below: Tensor, share: Tensor) -> Tensor:
    """Move each layer's mean colour towards that of the picture below: people who hardly stand out."""
    if not bool((share > 0).any()):
        return colour
    mean = (colour * cover).sum((1, 2), keepdim=True) / cover.sum((1, 2), keepdim=True).clamp(min=1)
    return (colour + (below.mean((1, 2), keepdim=True) - mean) * share[:, None, None, None]).clamp_(0, 1)


def _shadowed(below: Tensor, cover: Tensor, shadow: Tensor) -> Tensor:
    """Darken what lies behind a figure: its outline, softened and moved."""
    cast = shadow[:, 0] > 0
    if not bool(cast.any()):
        return below
    height, width = cover.shape[1:3]
    small = F.avg_pool2d(effects.planes(cover[cast]), windows.GRAIN)
    grid = F.affine_grid(_shift(shadow[cast, 1:], height, width), list(small.shape), align_corners=False)
    soft = F.grid_sample(small, grid, align_corners=False)
    soft = F.interpolate(soft, size=(height, width), mode="bilinear", align_corners=False).permute(0, 2, 3, 1)
    out = below.clone()
    out[cast] = below[cast] * (1 - soft * shadow[cast, 0, None, None, None])
    return out


def _shift(offset: Tensor, height: int, width: int) -> Tensor:
    """`affine_grid`'s matrices that move pictures by `offset` (n, 2) pixels (x, y)."""
    theta = torch.eye(2, 3, device=offset.device).repeat(len(offset), 1, 1)
    theta[:, :, 2] = -2 * offset / offset.new_tensor([width, height])
    return theta


def _smeared(colour: Tensor, cover: Tensor, path: Tensor) -> tuple[Tensor, Tensor]:
    """Motion blur along `path` (n, 2), in premultiplied colour, so that no edge takes colour from outside the body."""
    moving = path.abs().sum(1) > 0
    if not bool(moving.any()):
        return colour, cover
    height, width = cover.shape[1:3]
    whole = effects.planes(torch.cat([colour[moving] * cover[moving], cover[moving]], -1))
    total = torch.zeros_like(whole)
    for step in torch.linspace(-0.5, 0.5, SMEAR_TAPS).tolist():
        theta = _shift(path[moving] * step, height, width)
        grid = F.affine_grid(theta, list(whole.shape), align_corners=False)
        total += F.grid_sample(whole, grid, padding_mode="border", align_corners=False) / SMEAR_TAPS
    blurred = total.permute(0, 2, 3, 1)
    colour, cover = colour.clone(), cover.clone()
    colour[moving] = (blurred[..., :3] / blurred[..., 3:].clamp(min=1e-3)).clamp_(0, 1)
    cover[moving] = blurred[..., 3:].clamp_(0, 1)
    return colour, cover


def _out_of_focus(colour: Tensor, factors: Tensor) -> Tensor:
    out = colour
    for factor in (2, 4, 8):
        some = factors == factor
        if bool(some.any()):
            out = out.clone() if out is colour else out
            out[some] = effects.defocused(colour[some], factor)
    return out
