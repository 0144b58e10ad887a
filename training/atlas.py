"""All pictures as uint8 RGBA texels in one flat tensor on the device, and bilinear sampling of any of them at once.

Each picture has four levels (full, half, quarter, eighth size). A batch samples pictures of different sizes without
padding: each output pixel reads its four neighbours from the flat tensor. `grid_sample` would need every picture
padded to one size, and its colours in floating point, five times the memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

LEVELS = 4

Border = Literal["clear", "mirror"]


@dataclass(frozen=True)
class Window:
    """A part of the frame, in pixels: what one operation works on."""

    top: int
    left: int
    height: int
    width: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)

    def centres(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """x (1, 1, width) and y (1, height, 1) of the pixels' centres in the frame, float32."""
        x = torch.arange(self.left, self.left + self.width, device=device, dtype=torch.float32) + 0.5
        y = torch.arange(self.top, self.top + self.height, device=device, dtype=torch.float32) + 0.5
        return x[None, None, :], y[None, :, None]


@dataclass(frozen=True)
class Extents:
    """Where each picture's levels lie; arrays of shape (pictures, LEVELS)."""

    offset: npt.NDArray[np.int64]
    """First texel."""
    height: npt.NDArray[np.int64]
    width: npt.NDArray[np.int64]


class Atlas:
    """Texels and extents on one device."""

    def __init__(self, texels: Tensor, extents: Extents) -> None:
        """`texels`: int32 (N,), one RGBA texel each, bytes in memory order R G B A."""
        self.texels = texels
        self.extents = extents
        device = texels.device
        self._offset, self._height, self._width = (
            torch.from_numpy(part).to(device) for part in (extents.offset, extents.height, extents.width)
        )

    def sample(
        self,
        picture: Tensor,
        level: Tensor,
        inverse: Tensor,
        window: Window,
        *,
        border: Border,
        bend: Tensor | None = None,
    ) -> Tensor:
        """Straight RGBA of a window of the frame, float32 (n, height, width, 4) in 0..1.

        picture, level: int64 (n,). inverse: float32 (n, 2, 3), from the frame's pixels to those of the full-size
        picture, both measured from the corner, so that a pixel's centre is at 0.5. border: outside its picture a
        figure is clear (alpha 0), a background goes on as its mirror image. bend: float32 (n, 4), a slow wave in the
        frame's plane: sideways and upright amplitude (pixels), radians a pixel, phase (radians).
        """
        x, y = window.centres(inverse.device)
        if bend is not None:
            sideways, upright, turn, phase = bend[..., None, None].unbind(1)
            x, y = x + sideways * torch.sin(turn * y + phase), y + upright * torch.sin(turn * x + phase)
        offset, rows, columns = (t[picture, level] for t in (self._offset, self._height, self._width))
        full_rows, full_columns = self._height[picture, 0], self._width[picture, 0]
        fx, fy = (columns / full_columns)[:, None, None], (rows / full_rows)[:, None, None]
        m = inverse[..., None, None]
        u = (m[:, 0, 0] * x + m[:, 0, 1] * y + m[:, 0, 2]) * fx - 0.5
        v = (m[:, 1, 0] * x + m[:, 1, 1] * y + m[:, 1, 2]) * fy - 0.5
        columns, rows = columns[:, None, None], rows[:, None, None]
        inside: Tensor | None = None
        if border == "clear":
            inside = _coverage(u, columns) * _coverage(v, rows)
        else:
            u, v = _mirrored(u, columns), _mirrored(v, rows)
        out = self._bilinear(u, v, offset[:, None, None], columns, rows)
        if inside is not None:
            out[..., 3] *= inside
        return out

    def _bilinear(self, u: Tensor, v: Tensor, offset: Tensor, columns: Tensor, rows: Tensor) -> Tensor:
        u0, v0 = u.floor(), v.floor()
        du, dv = (u - u0)[..., None], (v - v0)[..., None]
        left, top = u0.long(), v0.long()
        right, bottom = (left + 1).clamp_(min=0).minimum(columns - 1), (top + 1).clamp_(min=0).minimum(rows - 1)
        left, top = left.clamp_(min=0).minimum(columns - 1), top.clamp_(min=0).minimum(rows - 1)
        top_row, bottom_row = offset + top * columns, offset + bottom * columns
        upper = torch.lerp(self._fetch(top_row + left), self._fetch(top_row + right), du)
        lower = torch.lerp(self._fetch(bottom_row + left), self._fetch(bottom_row + right), du)
        return torch.lerp(upper, lower, dv).mul_(1 / 255)

    def _fetch(self, index: Tensor) -> Tensor:
        """Texels at `index` (n, h, w) as float32 (n, h, w, 4), 0..255."""
        return self.texels[index].view(torch.uint8).view(*index.shape, 4).float()


def _coverage(coordinate: Tensor, count: Tensor) -> Tensor:
    """1 inside, 0 outside, linear over the one pixel at each end."""
    return (coordinate + 1).clamp_(0, 1) * (count - coordinate).clamp_(0, 1)


def _mirrored(coordinate: Tensor, count: Tensor) -> Tensor:
    """Reflect at the outer edges of the first and the last pixel."""
    period = 2.0 * count
    return (count - (torch.remainder(coordinate + 0.5, period) - count).abs()) - 0.5
