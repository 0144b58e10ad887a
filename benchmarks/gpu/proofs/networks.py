"""The networks alone: where ONNX Runtime's nodes ran, alpha against the processor's, and ms a frame."""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np

from proofs import NotRun, Result, is_rehearsal, open_gpu
from proofs.engines import WAYS, loaded_network
from proofs.measure import graph_ms

ALPHA_MEAN = 1e-3
GOALS_MS = {"onnxruntime": 0.8, "tensorrt": 0.35, "tensorrt-rtx": 0.35}
"""In fp16 on one H100 or H200."""
SIZE = (1920, 1080)
WARM_UP, ENQUEUED = 10, 200


def onnxruntime() -> Result:
    """The host path's session on CUDA against the same on the processor: nodes by provider, alpha, ms a frame."""
    from livematte.config import InputSettings, ModelSettings
    from livematte.errors import DeviceError
    from livematte.frames import Frame
    from livematte.models.load import load_model
    from livematte.reporting import ListReporter
    from livematte.sources import open_source

    source = open_source("synthetic:1280x720@30:60", InputSettings(), reporter=ListReporter())
    frames = [item for item in source if isinstance(item, Frame)]
    source.close()
    alphas: dict[str, list[np.ndarray]] = {}
    ms: dict[str, float] = {}
    nodes: dict[str, int] = {}
    for device in ("cpu", "cuda"):
        settings = ModelSettings(runtime="onnxruntime", device=device)
        try:
            loaded = load_model(settings, reporter=ListReporter())
        except DeviceError as error:
            raise NotRun(str(error)) from error
        alphas[device], ms[device] = _estimated(loaded, frames)
        if device == "cuda":
            nodes = loaded.count_providers()
        loaded.close()
    differences = [np.abs(a - b) for a, b in zip(alphas["cpu"], alphas["cuda"], strict=True)]
    mean = float(np.mean(differences))
    elsewhere = nodes.get("CPUExecutionProvider", 0)
    return {
        "met": mean <= ALPHA_MEAN and elsewhere <= sum(nodes.values()) // 10,
        "nodes": nodes, "mean": mean, "largest": float(np.max(differences)), "ms": ms,
    }  # fmt: skip


def _estimated(loaded: Any, frames: list[Any]) -> tuple[list[np.ndarray], float]:
    from livematte.models.session import Session

    session, alphas, times = Session(loaded, is_file=False), [], []
    for frame in frames:
        begin = time.perf_counter()
        alphas.append(session.estimate(frame).alpha.copy())
        times.append(1000 * (time.perf_counter() - begin))
    session.close()
    return alphas, statistics.median(times[WARM_UP:])


def networks() -> Result:
    """ms a frame of the network alone at 1080p's size, one frame after another, by runtime and precision."""
    driver, kernels = open_gpu()
    rows: dict[str, Any] = {}
    for runtime, precision in WAYS:
        try:
            with loaded_network(runtime, precision) as loaded:
                rows[f"{runtime} {precision}"] = alone(loaded, driver)
        except NotRun as reason:
            rows[f"{runtime} {precision}"] = f"not run: {reason}"
    kernels.close()
    driver.close()
    if all(isinstance(row, str) for row in rows.values()):
        raise NotRun("; ".join(f"{name}: {row}" for name, row in rows.items()))
    judged = [
        rows[f"{runtime} fp16"]["ms"] <= goal
        for runtime, goal in GOALS_MS.items()
        if isinstance(rows.get(f"{runtime} fp16"), dict)
    ]
    return {"met": all(judged) if judged and not is_rehearsal() else None, "networks": rows, "goals_ms": GOALS_MS}


def alone(loaded: Any, driver: Any) -> dict[str, Any]:
    from livematte.matting.device.binding import bind
    from livematte.models.session import Session

    size = Session(loaded).size_for(*SIZE)
    begin = time.monotonic()
    bound = bind(loaded, size, 1, driver)
    opened = time.monotonic() - begin
    network = bound.network
    try:
        if network.is_capturable:
            ms, nodes = graph_ms(driver, [lambda stream: network.enqueue(0, stream)] * (1 if is_rehearsal() else 8))
        else:
            ms, nodes = _enqueued_ms(network, driver), 0
    finally:
        bound.close()
    return {
        "ms": round(ms, 4), "size": [size.width, size.height], "nodes": nodes, "seconds_to_open": round(opened, 1),
        "is_capturable": network.is_capturable,
    }  # fmt: skip


def _enqueued_ms(network: Any, driver: Any) -> float:
    stream = driver.stream()
    begin, end = driver.event(timing=True), driver.event(timing=True)
    if hasattr(network, "warm"):
        network.warm(stream)
    for _ in range(WARM_UP):
        network.enqueue(0, stream)
    begin.record(stream)
    for _ in range(ENQUEUED):
        network.enqueue(0, stream)
    end.record(stream)
    end.synchronize()
    ms = end.elapsed_ms(begin) / ENQUEUED
    for thing in (begin, end, stream):
        thing.close()
    return float(ms)
