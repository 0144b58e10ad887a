"""Figures of exported networks: on composites with exact alpha, on the validation set, on empty rooms; and the time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime

from livematte import metrics
from training import validation
from training.files import Files
from training.pictures import decode
from training.sources import DataList, Holdout, Sources
from training.validation import HeldOut, Plane, Predict, upsampled
from training.workspace import Workspace

U8 = npt.NDArray[np.uint8]
TIMED_RUNS = 30
WARM_UPS = 5
RVM_SIZE = (720, 1280)
RVM_RATIO = 0.375


def evaluate(
    models: list[Path],
    workspace: Workspace,
    *,
    clips: Path,
    size: tuple[int, int],
    against: Path | None = None,
    threads: int = 2,
) -> dict[str, dict[str, float]]:
    """A row of figures for each of `models`, all measured in this one call.

    clips: a folder of NAME.mp4 with NAME.alpha.mkv. size: the network's (height, width). against: RVM's ONNX; the
    column `time / RVM` is then the ratio of the medians, frame by frame in turn. Columns: `clips ...` as they are,
    `portrait ...` their middle 9:16 crops at the network's size turned upright, `empty` the mean alpha of held-out
    panoramas, `validation ...` as validation.score has them.
    """
    held_out, rooms = workspace.held_out(), list(_empty_rooms(workspace))
    table: dict[str, dict[str, float]] = {}
    for path in models:
        predict = onnx_predictor(path, threads)
        row = _clip_scores(predict, clips, size)
        row["empty"] = float(np.mean([predict(_shrunk(room, size)).mean() for room in rooms]))
        row |= _prefixed("validation", _validation(predict, held_out, size))
        table[str(path)] = row
    for name, times in _times(models, size, against, threads).items():
        table[name] |= times
    return table


def onnx_predictor(path: Path, threads: int) -> Predict:
    """A network of our contract as a Predict."""
    session = _session(path, threads)

    def predict(rgb: U8) -> Plane:
        feed = {"rgb": np.ascontiguousarray(rgb.transpose(2, 0, 1)[None], np.float32) / np.float32(255)}
        alpha: Plane = session.run(["alpha"], feed)[0][0, 0]
        return alpha

    return predict


def _session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _shrunk(rgb: U8, size: tuple[int, int]) -> U8:
    return np.ascontiguousarray(cv2.resize(rgb, size[::-1], interpolation=cv2.INTER_AREA), np.uint8)


def _prefixed(prefix: str, row: dict[str, float]) -> dict[str, float]:
    return {f"{prefix} {name}": value for name, value in row.items()}


def _validation(predict: Predict, held_out: HeldOut, size: tuple[int, int]) -> dict[str, float]:
    return validation.score(predict, held_out, size, grad=True)


def _clip_scores(predict: Predict, clips: Path, size: tuple[int, int]) -> dict[str, float]:
    """Means over clips, landscape and portrait, and each clip's MAD and dtSSD; FileNotFoundError without clips."""
    paths = sorted(clips.glob("*.mp4"))
    if not paths:
        raise FileNotFoundError(f"{clips} holds no .mp4; give a folder of NAME.mp4 with NAME.alpha.mkv")
    out: dict[str, float] = {}
    means: dict[str, list[float]] = {}
    for path in paths:
        whole, upright = metrics.ClipScore(), metrics.ClipScore()
        for rgb, alpha in clip_frames(path):
            whole.add(upsampled(predict, rgb, size), alpha)
            middle = _portrait(rgb.shape[1], rgb.shape[0])
            rgb, alpha = np.ascontiguousarray(rgb[:, middle]), np.ascontiguousarray(alpha[:, middle])
            upright.add(upsampled(predict, rgb, size[::-1]), alpha)
        for group, score in (("clips", whole), ("portrait", upright)):
            for name, values in score.by_frame.items():
                means.setdefault(f"{group} {name}", []).append(float(np.mean(values)))
        for name in ("MAD", "dtSSD"):
            out[f"{path.stem} {name}"] = float(np.mean(whole.by_frame[name]))
    return {name: float(np.mean(values)) for name, values in means.items()} | out


def _portrait(width: int, height: int) -> slice:
    """Columns of the middle 9:16 crop."""
    wide = round(height * 9 / 16)
    left = (width - wide) // 2
    return slice(left, left + wide)


def clip_frames(path: Path) -> Iterator[tuple[U8, U8]]:
    """RGB (h, w, 3) and alpha (h, w) of NAME.mp4 and NAME.alpha.mkv, frame by frame."""
    with av.open(str(path)) as picture, av.open(str(path.with_suffix(".alpha.mkv"))) as matte:
        for frame, alpha in zip(picture.decode(video=0), matte.decode(video=0), strict=True):
            yield _array(frame.to_ndarray(format="rgb24")), _array(alpha.to_ndarray(format="gray"))


def _array(values: npt.NDArray[np.generic]) -> U8:
    return np.ascontiguousarray(values, np.uint8)


def _empty_rooms(workspace: Workspace) -> Iterator[U8]:
    """The held-out panoramas' views, as decoded."""
    files = Files.open(workspace.data)
    sources = Sources.read(without=workspace.without)
    listed = DataList.read(files, sources, workspace.holdout or Holdout.read(), "validation")
    for scene in listed.scenes:
        yield decode(files.read(scene.name))


def _times(
    models: list[Path], size: tuple[int, int], against: Path | None, threads: int
) -> dict[str, dict[str, float]]:
    """Median milliseconds of the network alone, the networks taking turns, and their ratio to RVM's."""
    feed = {"rgb": np.random.default_rng(0).random((1, 3, *size), np.float32)}
    sessions = {str(path): (_session(path, threads), feed) for path in models}
    if against is not None:
        sessions["RVM"] = (_session(against, threads), _rvm_feed())
    spent: dict[str, list[float]] = {name: [] for name in sessions}
    for run in range(WARM_UPS + TIMED_RUNS):
        for name, (session, inputs) in sessions.items():
            begun = time.perf_counter()
            session.run(None, inputs)
            if run >= WARM_UPS:
                spent[name].append((time.perf_counter() - begun) * 1e3)
    medians = {name: statistics.median(values) for name, values in spent.items()}
    base = medians.pop("RVM", None)
    rows = {name: {"time ms": value} for name, value in medians.items()}
    if base is not None:
        for row in rows.values():
            row |= {"time / RVM": row["time ms"] / base, "RVM ms": base}
    return rows


def _rvm_feed() -> dict[str, npt.NDArray[np.float32]]:
    """A 720p frame for RVM, with the states of a first frame at full size, as later frames have them."""
    height, width = (int(side * RVM_RATIO) for side in RVM_SIZE)
    feed = {"src": np.random.default_rng(0).random((1, 3, *RVM_SIZE), np.float32)}
    for level, channels in enumerate((16, 20, 40, 64), start=1):
        state = (1, channels, -(-height // 2**level), -(-width // 2**level))
        feed[f"r{level}i"] = np.zeros(state, np.float32)
    feed["downsample_ratio"] = np.array([RVM_RATIO], np.float32)
    return feed
