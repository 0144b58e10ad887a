"""Weights to ONNX: `rgb` float32 [B, 3, H, W] in 0..1 -> `alpha` float32 [B, 1, H, W] in 0..1, opset 17, stateless.

Batch norms are folded, and the initialisers keep the names of the parameters, so the file is also a checkpoint to
train on from (folding.load_onnx).
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

from training.checkpoints import load_weights
from training.folding import folded
from training.graph import fix_shape, store_fp16, tidy
from training.network import Matte, Network, multiply_adds

OPSET = 17
CHECK_SIZES = ((224, 384), (384, 224), (192, 320), (256, 448))
MAX_DIFFERENCE = {False: 2e-4, True: 2e-2}
"""Largest |alpha| difference to PyTorch that passes, by `fp16`."""


def export(weights: Path, out: Path, *, static: tuple[int, int] | None = None, fp16: bool = False) -> dict[str, float]:
    """Write `out` and check it in ONNX Runtime against PyTorch; returns the figures of the check.

    static: height and width, for one fixed shape with batch 1. fp16: weights stored in half precision and cast back in
    the graph. RuntimeError when the two differ by more than MAX_DIFFERENCE.
    """
    network = Network()
    load_weights(network, weights)
    network.eval()
    model = Matte(folded(network)).eval()
    height, width = CHECK_SIZES[0]
    axes = {0: "batch", 2: "height", 3: "width"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter by tracing calls itself deprecated; the new one needs onnxscript
        torch.onnx.export(
            model,
            (torch.rand(1, 3, height, width),),
            str(out),
            input_names=["rgb"],
            output_names=["alpha"],
            dynamic_axes={"rgb": axes, "alpha": axes},
            opset_version=OPSET,
            dynamo=False,
        )
    graph = onnx.load(str(out))
    tidy(graph)
    if fp16:
        store_fp16(graph)
    if static:
        fix_shape(graph, static)
    onnx.checker.check_model(graph, full_check=True)
    onnx.save(graph, str(out))
    sizes = (static,) if static else CHECK_SIZES
    difference = max(_difference(model, out, size) for size in sizes)
    if not difference <= MAX_DIFFERENCE[fp16]:
        raise RuntimeError(
            f"{out} differs from PyTorch by {difference:.2e}, allowed {MAX_DIFFERENCE[fp16]}; do not ship it"
        )
    return {
        "largest_difference": difference,
        "parameters": float(sum(p.numel() for n, p in model.named_parameters() if ".coarse." not in n)),
        "gmac": multiply_adds(model, static or CHECK_SIZES[0]) / 1e9,
        "bytes": float(out.stat().st_size),
        "nodes": float(len(graph.graph.node)),
    }


@torch.no_grad()
def _difference(model: Matte, path: Path, size: tuple[int, int]) -> float:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rgb = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
    ours = model(rgb).numpy()
    theirs = session.run(["alpha"], {"rgb": rgb.numpy()})[0]
    return float(np.abs(ours - theirs).max())
