"""Errors of a predicted alpha against the true one, in the definitions and scales of the field.

    name     scale      0 is perfect; smaller is better
    MAD      x 1e3      mean absolute difference
    MSE      x 1e3      mean squared difference
    SAD      / 1e3      sum of absolute differences
    Grad     / 1e3      difference of edge strength (Rhemann et al. 2009)
    Conn     / 1e3      difference of connectedness to the largest solid part (Rhemann et al. 2009)
    dtSSD    x 1e2      difference of the change from frame to frame: flicker (Erofeev et al. 2015)
    flicker  x 1e2      change along the picture's own motion, without a true alpha (after Lai et al. 2018)

Alpha is (H, W): float in 0..1, or uint8 or uint16 over its full range; the two need not have the same dtype. A clip's
error is the mean over its frames (dtSSD, flicker: over its pairs of neighbours), a set's error the mean over its clips.
Each function takes a `region`, a boolean mask (H, W), to measure in it alone, such as `unknown_band`.

Note [Scales]
    They are those of the evaluation script of RVM (Lin et al. 2022, https://arxiv.org/abs/2108.11515), which later
    papers follow, with one difference: that script stretches each alpha to its own minimum and maximum before it
    takes gradients, so that a uniform error disappears. Grad here does not, and cannot be compared with its tables.
"""

from livematte.metrics.band import unknown_band
from livematte.metrics.planes import Alpha, Plane, Region, as_unit
from livematte.metrics.score import DEFAULT_METRICS, FRAME_METRICS, ClipScore, mean_over_clips, score_clip
from livematte.metrics.spatial import conn, grad, mad, mse, sad
from livematte.metrics.temporal import Flicker, dtssd, warped_change

__all__ = [
    "DEFAULT_METRICS",
    "FRAME_METRICS",
    "Alpha",
    "ClipScore",
    "Flicker",
    "Plane",
    "Region",
    "as_unit",
    "conn",
    "dtssd",
    "grad",
    "mad",
    "mean_over_clips",
    "mse",
    "sad",
    "score_clip",
    "unknown_band",
    "warped_change",
]
