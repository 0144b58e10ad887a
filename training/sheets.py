"""Sheets of composed frames, to look at: each frame above its alpha, a column a kind."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from training.composer import Composer
from training.pictures import Loaded
from training.plan import KINDS
from training.planner import Planner

ROWS = 5
SIZE = (224, 384)
SCALE = 0.6


def write_sheet(loaded: Loaded, path: Path, seed: int = 0) -> None:
    """Write a PNG of ROWS x KINDS scenes. OSError when it cannot be written."""
    planner, composer = Planner(loaded.catalogue), Composer(loaded.atlas, seed, frames_at_once=2)
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(ROWS):
        batch = composer.paint(planner.batch(rng, SIZE, list(KINDS)))
        pair = torch.cat([batch.rgb, batch.alpha.expand_as(batch.rgb)], 2)  # alpha below its frame
        cells = (pair.permute(0, 2, 3, 1) * 255).round().to(torch.uint8).cpu().numpy()
        rows.append(np.hstack(list(cells)))
    sheet = cv2.resize(np.vstack(rows), None, fx=SCALE, fy=SCALE, interpolation=cv2.INTER_AREA)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), np.ascontiguousarray(sheet[..., ::-1])):
        raise OSError(f"{path} could not be written; give a .png in a folder that can be written to")
