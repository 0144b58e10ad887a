"""The validation set: fixed scenes of held-out people before held-out panoramas. Checkpoints are chosen on it.

Made once, by fixed seeds, at a size above the network's, so that what upsampling costs is counted too.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch

from livematte import metrics
from training.composer import Composer
from training.pictures import Loaded
from training.planner import Planner

U8 = npt.NDArray[np.uint8]
Plane = npt.NDArray[np.float32]
Predict = Callable[[U8], Plane]
"""RGB uint8 (h, w, 3) at the network's size -> alpha float32 (h, w) in 0..1."""

SIZE = (384, 672)
SEED = 20_260_101
STILLS = {
    "photo": 50,
    "portrait": 60,
    "figure": 45,
    "turned": 40,
    "row": 35,
    "before photo": 25,
    "held": 20,
    "empty": 25,
}
"""300 stills by kind (plan.KINDS)."""
PAIRS = {"photo": 12, "portrait": 16, "figure": 12, "turned": 8, "row": 6, "held": 6}
"""60 pairs of neighbouring frames."""
LOST_IOU = 0.5
"""A still whose matte overlaps the truth by less has lost its people."""


@dataclass(frozen=True)
class HeldOut:
    """Stills and pairs; uint8, maps of the files."""

    kinds: list[str]
    """Kind of each still."""
    rgb: U8
    """(stills, height, width, 3)"""
    alpha: U8
    """(stills, height, width)"""
    pair_rgb: U8
    """(pairs, 2, height, width, 3)"""
    pair_alpha: U8
    """(pairs, 2, height, width)"""

    @classmethod
    def open(cls, folder: Path) -> HeldOut:
        """FileNotFoundError when `make` has not been run for `folder`."""
        if not (folder / "kinds.json").exists():
            raise FileNotFoundError(f"{folder} holds no validation set; make one with `python -m training prepare`")
        kinds = json.loads((folder / "kinds.json").read_text("utf-8"))
        arrays = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("rgb", "alpha", "pair_rgb", "pair_alpha"))
        return cls(kinds, *arrays)


def make(held_out: Loaded, folder: Path, *, share: float = 1.0, size: tuple[int, int] = SIZE) -> None:
    """Compose the set into `folder`. share: part of each kind's number, for rehearsals (at least one of each)."""
    folder.mkdir(parents=True, exist_ok=True)
    planner, composer = Planner(held_out.catalogue), Composer(held_out.atlas, SEED, frames_at_once=4)
    rng = np.random.default_rng(SEED)
    stills, pairs = _kinds(STILLS, share), _kinds(PAIRS, share)
    for prefix, kinds, paired in (("", stills, False), ("pair_", pairs, True)):
        rgb, alpha = [], []
        for kind in kinds:
            batch = composer.paint(planner.batch(rng, size, [kind], paired=int(paired)))
            rgb.append(_bytes(batch.rgb).transpose(0, 2, 3, 1))
            alpha.append(_bytes(batch.alpha)[:, 0])
        join = np.stack if paired else np.concatenate
        np.save(folder / f"{prefix}rgb.npy", join(rgb))
        np.save(folder / f"{prefix}alpha.npy", join(alpha))
    (folder / "kinds.json").write_text(json.dumps(stills), "utf-8")


def _kinds(numbers: dict[str, int], share: float) -> list[str]:
    return [kind for kind, number in numbers.items() for _ in range(max(1, round(number * share)))]


def _bytes(x: torch.Tensor) -> U8:
    out: U8 = (x * 255).round_().to(torch.uint8).cpu().numpy()
    return out


def upsampled(predict: Predict, rgb: U8, size: tuple[int, int]) -> Plane:
    """Alpha at the picture's size: shrunk by area means to `size`, matted, brought back bicubically."""
    small: U8 = np.ascontiguousarray(cv2.resize(rgb, size[::-1], interpolation=cv2.INTER_AREA), np.uint8)
    full = cv2.resize(predict(small), (rgb.shape[1], rgb.shape[0]), interpolation=cv2.INTER_CUBIC)
    return np.clip(full, 0, 1).astype(np.float32)


def score(predict: Predict, held_out: HeldOut, size: tuple[int, int], *, grad: bool = False) -> dict[str, float]:
    """MAD, MSE (x 1e3), dtSSD (x 1e2), `lost` (share of stills), MAD by kind; `grad`: Grad (/ 1e3) too.

    size: the network's (height, width). The stills of kind `empty` count in MAD, not in `lost`.
    """
    rows: dict[str, list[float]] = {}
    for kind, rgb, alpha in zip(held_out.kinds, held_out.rgb, held_out.alpha, strict=True):
        predicted, true = upsampled(predict, rgb, size), metrics.as_unit(alpha)
        row = {"MAD": metrics.mad(predicted, true), "MSE": metrics.mse(predicted, true)}
        if grad:
            row["Grad"] = metrics.grad(predicted, true)
        row[f"MAD {kind}"] = row["MAD"]
        if true.mean() > 0.002:
            row["lost"] = float(iou(predicted, true) < LOST_IOU)
        for name, value in row.items():
            rows.setdefault(name, []).append(value)
    for rgb, alpha in zip(held_out.pair_rgb, held_out.pair_alpha, strict=True):
        first, second = (upsampled(predict, frame, size) for frame in rgb)
        change = metrics.dtssd(second, first, metrics.as_unit(alpha[1]), metrics.as_unit(alpha[0]))
        rows.setdefault("dtSSD", []).append(change)
    return {name: round(float(np.mean(values)), 4) for name, values in rows.items()}


def iou(predicted: Plane, true: Plane) -> float:
    """Intersection over union of where both alphas are above one half."""
    a, b = predicted > 0.5, true > 0.5
    return int(np.count_nonzero(a & b)) / max(int(np.count_nonzero(a | b)), 1)


def torch_predictor(network: torch.nn.Module, device: torch.device) -> Predict:
    """A network (logits first, as network.Network) as a Predict."""

    @torch.no_grad()
    def predict(rgb: U8) -> Plane:
        x = torch.from_numpy(rgb).to(device).permute(2, 0, 1)[None].float() / 255
        alpha: Plane = torch.sigmoid(network(x)[0])[0, 0].float().cpu().numpy()
        return alpha

    return predict
