"""Checkpoints: everything that a run needs to go on as if it had not stopped."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from training.folding import load_onnx
from training.network import Network


@dataclass
class Progress:
    """How far a run has come."""

    samples: int = 0
    """Frames trained on, those of earlier runs that this one started from not counted."""
    steps: int = 0
    seconds: float = 0.0
    best: float = float("inf")
    """The best validation MAD so far, x 1e3."""
    restarts: int = 0
    """Resumptions; each draws new scenes."""


def save(path: Path, network: Network, average: Network, optimiser: torch.optim.Optimizer, progress: Progress) -> None:
    """Write a checkpoint; a kill at any time leaves either the old one or the new one whole."""
    state = {
        "network": network.state_dict(),
        "average": average.state_dict(),
        "optimiser": optimiser.state_dict(),
        "progress": vars(progress),
    }
    _write(path, state)


def save_weights(path: Path, network: Network) -> None:
    """Write the weights alone."""
    _write(path, network.state_dict())


def _write(path: Path, state: dict[str, Any]) -> None:
    scratch = path.with_suffix(".part")
    torch.save(state, scratch)
    os.replace(scratch, path)


def load(path: Path, network: Network, average: Network, optimiser: torch.optim.Optimizer) -> Progress:
    """Take up a checkpoint that `save` wrote."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    network.load_state_dict(state["network"])
    average.load_state_dict(state["average"])
    optimiser.load_state_dict(state["optimiser"])
    return Progress(**state["progress"])


def load_weights(network: Network, path: Path, samples: Iterable[Tensor] = ()) -> None:
    """Start from `path`: a checkpoint (its averaged weights), bare weights (.pt), or an exported network (.onnx).

    samples: typical pictures, needed for .onnx alone (see folding.load_onnx). ValueError for another suffix.
    """
    if path.suffix == ".onnx":
        load_onnx(network, path, samples)
    elif path.suffix == ".pt":
        state = torch.load(path, map_location="cpu", weights_only=True)
        network.load_state_dict(state.get("average", state))
    else:
        raise ValueError(f"{path}: weights are read from .pt or .onnx files")


def averaged_pairs(average: nn.Module, network: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """The floating-point tensors of both, in one order: weights and the batch norms' statistics."""
    both = zip(average.state_dict().values(), network.state_dict().values(), strict=True)
    pairs = [(a, b) for a, b in both if a.is_floating_point()]
    return [a for a, _ in pairs], [b for _, b in pairs]
