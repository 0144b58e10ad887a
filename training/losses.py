"""What training minimises."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

COARSE_FACTORS = (8, 16, 32)
PYRAMID_LEVELS = 5
CONSISTENCY = 5.0
"""RVM's weight for the change in time: Lin et al., "Robust High-Resolution Video Matting", WACV 2022."""


@dataclass(frozen=True)
class Weights:
    """How much each part counts, made from one number by `semantic`."""

    edge: float
    cross_entropy: float
    coarse: float
    overlap: float

    @classmethod
    def semantic(cls, share: float) -> Weights:
        """`share` 1: what is a person? (first stages of training); 0: where exactly does it end? (the last)."""
        return cls(edge=2 * (1 - share), cross_entropy=0.3 + 0.7 * share, coarse=0.1 + 0.4 * share, overlap=0.1)


def pyramid(difference: Tensor) -> Tensor:
    """L1 between Laplacian pyramids (Hou and Liu, "Context-Aware Image Matting", ICCV 2019), by box filters.

    Linear, so it takes the difference of the two alphas, (n, 1, h, w).
    """
    loss = difference.new_zeros(())
    for i in range(PYRAMID_LEVELS):
        if min(difference.shape[2:]) < 4:
            break
        small = F.avg_pool2d(difference, 2, ceil_mode=True)
        up = F.interpolate(small, size=difference.shape[2:], mode="bilinear", align_corners=False)
        loss = loss + 2**i * (difference - up).abs().mean()
        difference = small
    return loss / PYRAMID_LEVELS


def edge_band(true: Tensor) -> Tensor:
    """1 within a few pixels of where alpha changes, else 0; (n, 1, h, w)."""
    changes = F.max_pool2d(F.max_pool2d(true, 4) + F.max_pool2d(-true, 4), 3, 1, 1)
    return F.interpolate(changes, scale_factor=4.0)


def overlap(alpha: Tensor, true: Tensor) -> Tensor:
    """1 - soft intersection over union of each picture, mean: a small person lost counts as much as a large one."""
    inner = (alpha * true).sum((1, 2, 3))
    union = (alpha + true - alpha * true).sum((1, 2, 3))
    slack = 1e-3 * true[0].numel()  # an empty room is right when nearly nothing is in it
    return (1 - (inner + slack) / (union + slack)).mean()


def consistency(alpha: Tensor, true: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Squared error of the change between the rows `first` and `second`, two frames of one scene."""
    if len(first) == 0:
        return alpha.new_zeros(())
    error = alpha - true
    return CONSISTENCY * (error[second] - error[first]).square().mean()


def total(
    logit: Tensor, coarse: list[Tensor], true: Tensor, pairs: tuple[Tensor, Tensor], weights: Weights
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss, and its parts for the log (unweighted).

    logit, true: float32 (n, 1, h, w). coarse: logits at 1/8, 1/16, 1/32. pairs: as in composer.Batch.
    """
    alpha = torch.sigmoid(logit)
    parts = {
        "l1": ((alpha - true).abs() * (1 + weights.edge * edge_band(true))).mean(),
        "pyramid": pyramid(alpha - true),
        "cross_entropy": F.binary_cross_entropy_with_logits(logit, true),
        "coarse": torch.stack(
            [
                F.binary_cross_entropy_with_logits(c, F.avg_pool2d(true, k))
                for c, k in zip(coarse, COARSE_FACTORS, strict=True)
            ]
        ).sum(),
        "overlap": overlap(alpha, true),
        "consistency": consistency(alpha, true, *pairs),
    }
    loss = (
        parts["l1"]
        + parts["pyramid"]
        + weights.cross_entropy * parts["cross_entropy"]
        + weights.coarse * parts["coarse"]
        + weights.overlap * parts["overlap"]
        + parts["consistency"]
    )
    return loss, {name: part.detach() for name, part in parts.items()}
