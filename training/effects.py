"""Light, lens, sensor and codec on the device. Pictures are float32 (n, height, width, 3), RGB in 0..1."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)
"""BT.601, as JFIF has it."""
JPEG_LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
"""Quantisation of luma at quality 50: ITU-T T.81, table K.1."""
JPEG_CHROMA = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
)
"""... and of chroma: table K.2."""


def planes(picture: Tensor) -> Tensor:
    """(n, h, w, c) as a view (n, c, h, w), for the functions that want it so."""
    return picture.permute(0, 3, 1, 2)


def luma(rgb: Tensor) -> Tensor:
    """(n, h, w, 1)."""
    return (rgb * rgb.new_tensor(LUMA)).sum(-1, keepdim=True)


def coloured(rgb: Tensor, colour: dict[str, Tensor]) -> Tensor:
    """Gamma, contrast about the middle, brightness, white balance, saturation; one row of `colour` a picture."""
    gamma, contrast, brightness = (colour[name][:, None, None, None] for name in ("gamma", "contrast", "brightness"))
    y = rgb.clamp(min=1e-4).pow(gamma)
    y = ((y - 0.5) * contrast + 0.5 + brightness) * colour["balance"][:, None, None, :]
    grey = luma(y)
    return (grey + (y - grey) * colour["saturation"][:, None, None, None]).clamp_(0, 1)


def defocused(rgb: Tensor, factor: int) -> Tensor:
    """Lose the details below `factor` pixels; sides must be multiples of it."""
    small = F.avg_pool2d(planes(rgb), factor)
    small = F.avg_pool2d(F.pad(small, (1, 1, 1, 1), mode="replicate"), 3, 1)
    full = F.interpolate(small, scale_factor=float(factor), mode="bicubic", align_corners=False)
    return full.clamp_(0, 1).permute(0, 2, 3, 1)


def reduced(rgb: Tensor, scale: float) -> Tensor:
    """As if it had been sent at `scale` times its size."""
    height, width = rgb.shape[1:3]
    size = (max(8, round(height * scale)), max(8, round(width * scale)))
    small = F.interpolate(planes(rgb), size=size, mode="bilinear", align_corners=False, antialias=True)
    return F.interpolate(small, size=(height, width), mode="bilinear", align_corners=False).permute(0, 2, 3, 1)


def noise(rgb: Tensor, read: Tensor, shot: Tensor, coarse: Tensor, generator: torch.Generator) -> Tensor:
    """Sensor noise: `read` (n,) everywhere, `shot` (n,) growing with the square root of the light; both of 1.

    coarse (n,) bool: blotches of two pixels, as a webcam's denoiser leaves them.
    """
    n, height, width, _ = rgb.shape
    fine = torch.randn((n, height, width, 3), generator=generator, device=rgb.device)
    if bool(coarse.any()):
        fine[coarse] = _blotched(fine[coarse])
    deviation = (read[:, None, None, None] ** 2 + shot[:, None, None, None] ** 2 * rgb).sqrt_()
    return (rgb + fine.mul_(deviation)).clamp_(0, 1)


def _blotched(fine: Tensor) -> Tensor:
    """Noise of the same strength, averaged over 2 x 2 pixels (a factor 2 in deviation, restored)."""
    padded = F.pad(planes(fine), (0, 1, 0, 1), mode="replicate")
    return (F.avg_pool2d(padded, 2, 1) * 2).permute(0, 2, 3, 1)


def jpeg(rgb: Tensor, quality: Tensor) -> Tensor:
    """What a JPEG of `quality` (n,), 1..100, with 4:2:0 chroma leaves; sides must be multiples of 16."""
    y = luma(rgb)
    blue, red = (rgb[..., 2:] - y) * 0.564, (rgb[..., :1] - y) * 0.713
    scale = torch.where(quality < 50, 50 / quality, 2 - quality / 50).clamp(min=0.02)
    kept = _quantised(planes(y), JPEG_LUMA, scale)
    chroma = F.avg_pool2d(planes(torch.cat([blue, red], -1)), 2)
    chroma = F.interpolate(_quantised(chroma, JPEG_CHROMA, scale), scale_factor=2.0, mode="nearest")
    y, blue, red = kept.permute(0, 2, 3, 1), chroma[:, :1].permute(0, 2, 3, 1), chroma[:, 1:].permute(0, 2, 3, 1)
    green = y - 0.344 * blue - 0.714 * red
    return torch.cat([y + red / 0.713, green, y + blue / 0.564], -1).clamp_(0, 1)


def _quantised(plane: Tensor, table: tuple[tuple[int, ...], ...], scale: Tensor) -> Tensor:
    """Round each 8 x 8 block's cosine coefficients; (n, c, h, w) in and out."""
    n, c, height, width = plane.shape
    k = torch.arange(8, device=plane.device, dtype=torch.float32)
    basis = torch.cos((2 * k[None, :] + 1) * k[:, None] * (math.pi / 16)) * 0.5
    basis[0] *= math.sqrt(0.5)
    blocks = plane.reshape(n, c, height // 8, 8, width // 8, 8).transpose(3, 4)
    steps = (plane.new_tensor(table) / 255)[None, None, None, None] * scale[:, None, None, None, None, None]
    coefficients = torch.round(basis @ blocks @ basis.T / steps) * steps
    back = basis.T @ coefficients @ basis
    return back.transpose(3, 4).reshape(n, c, height, width)
