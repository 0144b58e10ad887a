"""Where a network fails, in figures and pictures: held-out scenes in which one thing at a time is made hard.

The figures use all held-out people. The pictures show only people who do not exist, so that they may be published.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch

from livematte import metrics
from training.composer import Composer
from training.pictures import Loaded
from training.plan import CAMERA, Outline, Plan, Record, plain_colour
from training.planner import Planner
from training.sources import Sources
from training.validation import LOST_IOU, SIZE, Predict, iou, upsampled
from training.workspace import Workspace

U8 = npt.NDArray[np.uint8]

SCENES = 24
"""A probe's number of scenes."""
SEED = 7
PICTURE_HEIGHT = 216
JPEG_QUALITY = 85
PICTURE_SOURCES = ("t2i", "hdri")
"""Synthetic people (MIT), who are nobody, and rooms under CC0."""


@dataclass(frozen=True)
class Probe:
    """A kind of scene (plan.KINDS) and what is done to it; `figures` are the people's layers, (n,) views."""

    kind: str
    harden: Callable[[Record, Record], None]
    """(figures, cameras), changed in place."""


def _nothing(figures: Record, cameras: Record) -> None:
    del figures, cameras


def _motion(figures: Record, cameras: Record) -> None:
    del cameras
    figures["smear"] = (0.08 * SIZE[0], 0.02 * SIZE[0])


def _low_contrast(figures: Record, cameras: Record) -> None:
    del cameras
    figures["harmonise"] = 0.9


def _dark(figures: Record, cameras: Record) -> None:
    del figures
    cameras["exposure"], cameras["noise"], cameras["shot"] = 0.15, 0.02, 0.03


def _soft(figures: Record, cameras: Record) -> None:
    del figures
    cameras["detail"], cameras["jpeg"] = 0.4, 30


PROBES = {
    "plain": Probe("portrait", _nothing),
    "motion blur": Probe("portrait", _motion),
    "low contrast": Probe("portrait", _low_contrast),
    "dark room": Probe("portrait", _dark),
    "poor stream": Probe("portrait", _soft),
    "group": Probe("row", _nothing),
    "turned far": Probe("turned", _nothing),
    "held things": Probe("held", _nothing),
}
"""The five of kind `portrait` show the same scenes, so that they compare."""


def plan_of(probe: Probe, planner: Planner, count: int) -> Plan:
    """`count` scenes without chance's own difficulties, then hardened."""
    plan = planner.batch(np.random.default_rng(SEED), SIZE, [probe.kind] * count)
    cameras = np.zeros(count, CAMERA)
    cameras["colour"], cameras["exposure"], cameras["detail"] = plain_colour(), 1, 1
    layers = plan.layers.copy()
    for name in ("smear", "harmonise", "shadow"):
        layers[name] = 0
    layers["cloth"]["picture"] = -1
    people = layers["outline"] == Outline.ALPHA
    figures = layers[people]
    probe.harden(figures, cameras)
    layers[people] = figures
    return replace(plan, layers=layers, cameras=cameras)


def figures(
    predict: Predict, held_out: Loaded, size: tuple[int, int], scenes: int = SCENES
) -> dict[str, dict[str, float]]:
    """MAD (x 1e3) and share of scenes whose people are lost, for each probe; `size`: the network's."""
    return {
        name: {
            "MAD": float(np.mean([metrics.mad(alpha, true) for _, alpha, true in rows])),
            "lost": float(np.mean([iou(alpha, true) < LOST_IOU for _, alpha, true in rows])),
        }
        for name, probe in PROBES.items()
        for rows in [_matted(predict, held_out, size, plan_of(probe, Planner(held_out.catalogue), scenes))]
    }


def _matted(
    predict: Predict, data: Loaded, size: tuple[int, int], plan: Plan
) -> list[tuple[U8, npt.NDArray[np.float32], npt.NDArray[np.float32]]]:
    """Picture (h, w, 3), predicted and true alpha of each scene; scenes that show next to nobody are left out."""
    batch = Composer(data.atlas, SEED, frames_at_once=2).paint(plan)
    rgb = (batch.rgb.permute(0, 2, 3, 1) * 255).round_().to(torch.uint8).numpy()
    true = batch.alpha[:, 0].numpy()
    shown = [i for i in range(len(rgb)) if true[i].mean() > 0.002]
    return [(rgb[i], upsampled(predict, rgb[i], size), true[i]) for i in shown]


def write_pictures(predict: Predict, workspace: Workspace, folder: Path, size: tuple[int, int]) -> list[Path]:
    """The worst of each probe's scenes as NAME.jpg: picture, our matte, true matte. OSError if one is not written."""
    every = Sources.read()
    others = {name for group in (every.people, every.scenes, every.things) for name in group} - set(PICTURE_SOURCES)
    free = replace(workspace, folder=workspace.folder / "synthetic", without=others)
    data = free.load("validation", torch.device("cpu"))
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, probe in PROBES.items():
        rows = _matted(predict, data, size, plan_of(probe, Planner(data.catalogue), SCENES))
        rgb, alpha, true = max(rows, key=lambda row: metrics.mad(row[1], row[2]))
        mattes = [cv2.cvtColor((a * 255).astype(np.uint8), cv2.COLOR_GRAY2BGR) for a in (alpha, true)]
        strip = np.hstack([rgb[..., ::-1], *mattes])
        scale = PICTURE_HEIGHT / strip.shape[0]
        small = cv2.resize(strip, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        path = folder / f"{name.replace(' ', '_')}.jpg"
        if not cv2.imwrite(str(path), small, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]):
            raise OSError(f"{path} could not be written; give a folder that can be")
        written.append(path)
    return written
