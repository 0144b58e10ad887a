"""Frames through slots as `matting/device` puts them through, and the answers that ONNX Runtime alone gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from runtime_helpers import RVM_STATES

from livematte.runtimes.cuda.graphs import capture


def reference(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def pictures(count: int, shape: tuple[int, ...], seed: int = 0) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.random(shape, np.float32) for _ in range(count)]


def rvm_reference(path: Path, frames: list[np.ndarray], ratio: float = 0.5) -> list[np.ndarray]:
    """pha of each frame, states carried on."""
    session = reference(path)
    states = {name: np.zeros((1, 1, 1, 1), np.float32) for name, _ in RVM_STATES}
    found = []
    for frame in frames:
        feeds = {"src": frame, "downsample_ratio": np.array([ratio], np.float32)} | states
        got = session.run(["pha", *(output for _, output in RVM_STATES)], feeds)
        found.append(got[0])
        states = {name: value for (name, _), value in zip(RVM_STATES, got[1:], strict=True)}
    return found


def run_slots(network: Any, driver: Any, frames: list[np.ndarray], slots: int, *, graphs_too: bool) -> list[np.ndarray]:
    """Every frame through its slot as `matting/device` does it: uploads ahead, networks in order, results late."""
    uploads, work = driver.stream(), driver.stream()
    arrived = [driver.event() for _ in range(slots)]
    done = [driver.event() for _ in range(slots)]
    kept = [driver.pinned(network.input(slot).shape, network.input(slot).dtype) for slot in range(slots)]
    results = [driver.pinned(network.alpha(slot).shape, network.alpha(slot).dtype) for slot in range(slots)]
    recorded = []
    for slot in range(slots if graphs_too else 0):
        with capture(driver, work) as recording:
            network.enqueue(slot, work)
        recorded.append(recording.finish())
    found: list[np.ndarray] = []
    network.reset(0, work)
    for at, frame in enumerate(frames):
        slot = at % slots
        if at >= slots:
            done[slot].synchronize()
            found.append(results[slot].array.copy())
        kept[slot].array[...] = frame
        network.input(slot).upload(kept[slot], uploads)
        arrived[slot].record(uploads)
        work.wait(arrived[slot])
        if graphs_too:
            recorded[slot].launch(work)
        else:
            network.enqueue(slot, work)
        network.alpha(slot).download(results[slot], work)
        done[slot].record(work)
    for at in range(max(len(frames) - slots, 0), len(frames)):
        done[at % slots].synchronize()
        found.append(results[at % slots].array.copy())
    for thing in (*recorded, *kept, *results, *arrived, *done, uploads, work):
        thing.close()
    return found
