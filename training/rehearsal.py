"""The whole of training at toy size on generated pictures: prepare, train, resume, export, train on, score."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
import torch

from training import evaluate as evaluation
from training import probes
from training.export import export
from training.files import Files, pack
from training.sources import Holdout
from training.train import Settings, Trainer
from training.workspace import Workspace

U8 = npt.NDArray[np.uint8]

SIZE = (64, 96)
CLIP_SIZE = (96, 160)
SIDE = 96
PEOPLE = 12
SCENES = 6
THINGS = 3
SAMPLES = 48
CPU = torch.device("cpu")
SETTINGS = Settings(
    size=SIZE, batch=4, paired=1, samples=SAMPLES, workers=0, validate_samples=SAMPLES, validate_size=SIZE
)


def rehearse(folder: Path) -> dict[str, float]:
    """Run every step under `folder` on one CPU thread; returns a few figures. Any step that fails raises."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # toy tensors gain nothing from more, and threads that wait for each other cost a lot
    try:
        return _rehearse(folder)
    finally:
        torch.set_num_threads(threads)


def _rehearse(folder: Path) -> dict[str, float]:
    data, parts, run = folder / "data", folder / "parts", folder / "run"
    holdout = write_pictures(data)
    pack(Files.open(data), Files.open(data).names(), parts, part_bytes=40_000)
    workspace = Workspace(parts, folder / "work", side=SIDE, workers=1, holdout=holdout)
    held_out = workspace.held_out(share=0.02, size=CLIP_SIZE)
    loaded = workspace.load("training", CPU)

    def train(settings: Settings, to: Path, start: Path | None) -> None:
        trainer = Trainer(loaded, held_out, to, settings, lambda line: None)
        trainer.start(start, None)
        trainer.run()

    train(replace(SETTINGS, samples=SAMPLES // 2), run, None)
    train(SETTINGS, run, None)  # goes on from last.pt
    exported, half = folder / "toy.onnx", folder / "toy_fp16.onnx"
    checked = export(run / "best.pt", exported)
    export(run / "best.pt", half, fp16=True)
    export(run / "best.pt", folder / "toy_upright.onnx", static=(96, 64))
    train(replace(SETTINGS, samples=8), folder / "again", half)  # from the weights as they would ship
    write_clip(folder / "clips")
    scores = evaluation.evaluate([exported, half], workspace, clips=folder / "clips", size=SIZE, threads=1)
    probed = probes.figures(evaluation.onnx_predictor(exported, 1), workspace.load("validation", CPU), SIZE, scenes=2)
    log = [json.loads(line) for line in (run / "log.jsonl").read_text("utf-8").splitlines()]
    return {
        "samples": log[-1]["samples"],
        "validations": sum("validation" in row for row in log),
        "probes": len(probed),
        "nodes": checked["nodes"],
        "export_difference": checked["largest_difference"],
        "clips_MAD": scores[str(exported)]["clips MAD"],
        "clips_MAD_fp16": scores[str(half)]["clips MAD"],
        "validation_MAD": scores[str(exported)]["validation MAD"],
        "validation_MAD_resumed": _first_validation(folder / "again" / "log.jsonl"),
    }


def _first_validation(log: Path) -> float:
    row = json.loads(log.read_text("utf-8").splitlines()[0])
    return float(row["validation"]["MAD"])


def write_pictures(folder: Path) -> Holdout:
    """Toy people (a disc on a trapezium), rooms and things in the layout of the real data; a third held out."""
    rng = np.random.default_rng(0)
    for name in ("people", "backgrounds", "things"):
        (folder / name).mkdir(parents=True)
    rows = ["stem\tsource\tsize\talpha_mean\tiou_with_second_model\tflip_disagreement\tiou_with_annotation"]
    for i in range(PEOPLE):
        stem = f"{'t2i' if i % 2 else 'ccp'}_{i:05d}"
        rgb, alpha = _person(rng, whole=i % 2 == 0)
        _write(folder / "people" / f"{stem}.jpg", rgb)
        _write(folder / "people" / f"{stem}.alpha.png", alpha)
        rows.append(f"{stem}\t{stem.split('_')[0]}\t{SIDE}x{SIDE}\t{alpha.mean() / 255:.4f}\t0.95\t0.0010\t-")
    (folder / "people.tsv").write_text("\n".join(rows) + "\n", "utf-8")
    for i in range(SCENES):
        _write(folder / "backgrounds" / f"hdri_{i:03d}_0.jpg", _room(rng, (SIDE, SIDE * 3 // 2)))
    for i in range(THINGS):
        _write(folder / "things" / f"garment_{i:03d}.jpg", _room(rng, (SIDE, SIDE)))
    stems = [row.split("\t")[0] for row in rows[1:]]
    return Holdout(frozenset(stems[: PEOPLE // 3]), frozenset(f"hdri_{i:03d}" for i in range(SCENES // 3)))


def _person(rng: np.random.Generator, *, whole: bool) -> tuple[U8, U8]:
    alpha = np.zeros((SIDE, SIDE), np.uint8)
    foot = SIDE * (0.9 if whole else 1.2)
    half = SIDE * (0.12 if whole else 0.3)
    middle = SIDE * rng.uniform(0.45, 0.55)
    chest, shoulders = 0.4 * SIDE, half * 0.7
    body = [(middle - shoulders, chest), (middle + shoulders, chest), (middle + half, foot), (middle - half, foot)]
    cv2.fillPoly(alpha, [np.array(body, np.int32)], 255, cv2.LINE_AA)
    cv2.circle(alpha, (int(middle), int(0.28 * SIDE)), int(0.13 * SIDE), 255, -1, cv2.LINE_AA)
    skin = np.full((SIDE, SIDE, 3), rng.integers(90, 220, 3), np.uint8)
    share = alpha[..., None].astype(np.float32) / 255
    mixed = _room(rng, (SIDE, SIDE)) * (1 - share) + skin * share
    return mixed.astype(np.uint8), alpha


def _room(rng: np.random.Generator, size: tuple[int, int]) -> U8:
    """Soft blotches of colour, RGB uint8."""
    coarse = rng.integers(0, 256, (5, 7, 3), np.uint8)
    return np.ascontiguousarray(cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)


def _write(path: Path, image: U8) -> None:
    if not cv2.imwrite(str(path), image[..., ::-1] if image.ndim == 3 else image):
        raise OSError(f"{path} could not be written")


def write_clip(folder: Path) -> None:
    """A short clip with exact alpha: a toy person moving over a room."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    (height, width), (rgb, alpha) = CLIP_SIZE, _person(rng, whole=True)
    room = _room(rng, CLIP_SIZE).astype(np.float32)
    matte = np.zeros((4, height, width), np.uint8)
    frames = np.zeros((4, height, width, 3), np.uint8)
    for i in range(4):
        matte[i, :SIDE, 20 + 4 * i : 20 + 4 * i + SIDE] = alpha[:height]
        frames[i] = room
        cell = frames[i, :SIDE, 20 + 4 * i : 20 + 4 * i + SIDE]
        share = alpha[:height, :, None].astype(np.float32) / 255
        cell[:] = (cell * (1 - share) + rgb[:height] * share).astype(np.uint8)
    _encode(folder / "toy.mp4", frames, "mpeg4", "rgb24", "yuv420p")
    _encode(folder / "toy.alpha.mkv", matte, "ffv1", "gray", "gray")


def _encode(path: Path, frames: U8, codec: str, layout: str, pix_fmt: str) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=30)
        if not isinstance(stream, av.VideoStream):
            raise TypeError(f"{codec} gave {type(stream).__name__}, not a video stream")
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], pix_fmt
        for picture in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format=layout)))
        container.mux(stream.encode())
