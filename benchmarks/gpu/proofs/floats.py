"""The networks' alpha as floats, before anything rounds it, against the same file on the processor in fp32."""

from __future__ import annotations

from typing import Any

import numpy as np

from proofs import NotRun, Result, is_rehearsal, keep, open_gpu
from proofs.clips import pictures
from proofs.engines import WAYS, loaded_network

FRAMES = 300
KEPT = 3
"""Frames of each runtime that are left as fixtures."""
MEAN = {"fp32": 1e-5, "fp16": 2e-3}
SHARE = {"fp32": 1e-4, "fp16": 1e-4}
"""Of pixels that are off by more than 0.05."""
FLICKER = 0.02
"""How far the changes between frames may be from the reference's, as a share."""
SIZE = (1280, 720)


def floats() -> Result:
    """300 frames through each runtime, states carried on: mean difference, share of pixels far off, flicker."""
    driver, kernels = open_gpu()
    rows: dict[str, Any] = {}
    reference: list[np.ndarray] = []
    inputs: list[np.ndarray] = []
    for runtime, precision in WAYS:
        try:
            with loaded_network(runtime, precision) as loaded:
                if not reference:
                    inputs = _inputs(loaded)
                    reference = _on_processor(loaded, inputs)
                alphas = _on_device(loaded, inputs, driver)
                rows[f"{runtime} {precision}"] = _judged(alphas, reference, precision)
                keep(
                    f"floats-{runtime}-{precision}",
                    alpha=np.float16(alphas[:KEPT]),
                    wanted=np.float16(reference[:KEPT]),
                )
        except NotRun as reason:
            rows[f"{runtime} {precision}"] = f"not run: {reason}"
    kernels.close()
    driver.close()
    ran = [row for row in rows.values() if isinstance(row, dict)]
    if not ran:
        raise NotRun("; ".join(f"{name}: {row}" for name, row in rows.items()))
    return {"met": all(row["met"] for row in ran), "networks": rows, "frames": len(reference)}


def _size(loaded: Any) -> Any:
    from livematte.models.session import Session

    return Session(loaded).size_for(*SIZE)


def _inputs(loaded: Any) -> list[np.ndarray]:
    """(1, 3, h, w) or (1, h, w, 3) float32 pictures as the network takes them; both sides get the same ones."""
    size, told = _size(loaded), loaded.contract.graph.input
    mean, std = np.float32(told.mean), np.float32(told.std)
    made = []
    for picture in pictures(*SIZE, 8 if is_rehearsal() else FRAMES):
        small = picture.reformat(width=size.width, height=size.height, format="rgb24").to_ndarray()
        values = (small.astype(np.float32) / 255 - mean) / std
        made.append(np.ascontiguousarray(values.transpose(2, 0, 1) if told.layout == "NCHW" else values)[None])
    return made


def _on_processor(loaded: Any, inputs: list[np.ndarray]) -> list[np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(loaded.path), providers=["CPUExecutionProvider"])
    contract = loaded.contract
    shapes = contract.shapes(_size(loaded))
    pairs = [(state.input, state.output) for state in contract.states]
    feeds = {name: np.zeros(shapes[name], np.float32) for name, _ in pairs}
    size = _size(loaded)
    for one in contract.extra:
        feeds[one.name] = np.full(one.shape, size.ratio if one.value == "ratio" else one.value, one.dtype)
    image = contract.graph.input.name
    wanted = [contract.alpha.name, *(output for _, output in pairs)]
    alphas = []
    for values in inputs:
        found = session.run(wanted, {**feeds, image: values})
        alphas.append(np.asarray(found[0], np.float32))
        feeds.update({name: state for (name, _), state in zip(pairs, found[1:], strict=True)})
    return alphas


def _on_device(loaded: Any, inputs: list[np.ndarray], driver: Any) -> list[np.ndarray]:
    from livematte.matting.device.binding import bind

    bound = bind(loaded, _size(loaded), 1, driver)
    network, stream = bound.network, driver.stream()
    target, answer = network.input(0), network.alpha(0)
    alphas = []
    if hasattr(network, "warm"):
        network.warm(stream)
    network.reset(0, stream)
    for values in inputs:
        target.upload(values.astype(target.dtype), stream)
        network.enqueue(0, stream)
        alpha = np.empty(answer.shape, answer.dtype)
        answer.download(alpha, stream)
        stream.synchronize()
        alphas.append(alpha.astype(np.float32))
    stream.close()
    bound.close()
    return alphas


def _judged(alphas: list[np.ndarray], reference: list[np.ndarray], precision: str) -> dict[str, Any]:
    apart = np.abs(np.stack(alphas) - np.stack(reference))
    flicker = _flicker(alphas) / max(1e-9, _flicker(reference))
    mean, share = float(apart.mean()), float((apart > 0.05).mean())
    met = mean <= MEAN[precision] and share <= SHARE[precision] and abs(flicker - 1) <= FLICKER
    return {
        "met": met, "mean": mean, "mean_goal": MEAN[precision], "largest": float(apart.max()), "share_over_0.05": share,
        "flicker_ratio": flicker, "mean_alpha": float(np.mean(reference)),
    }  # fmt: skip


def _flicker(alphas: list[np.ndarray]) -> float:
    """Root of the mean square of the change between frames: dtSSD against a still matte."""
    return float(np.sqrt((np.diff(np.stack(alphas), axis=0) ** 2).mean()))
