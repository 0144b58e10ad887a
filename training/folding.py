"""Batch norms folded into convolutions, for export; and taken apart again, to train on from an exported network."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from training.graph import conv_weights
from training.network import Conv, Network

MIN_VARIANCE = 1e-6
"""A channel that never changes would otherwise get a weight that it cannot train."""


def folded(network: Network) -> Network:
    """A copy in evaluation mode whose convolutions have biases and no batch norms: the same function."""
    out = copy.deepcopy(network).eval()
    for part in _convs(out):
        norm = part.norm
        if not isinstance(norm, nn.BatchNorm2d):
            raise TypeError(f"expected a batch norm after {part.conv}, got {norm}; this network is folded already")
        mean, variance = _statistics(norm)
        scale = norm.weight.detach() / torch.sqrt(variance + norm.eps)
        part.conv.weight = nn.Parameter(part.conv.weight.detach() * scale[:, None, None, None])
        part.conv.bias = nn.Parameter(norm.bias.detach() - mean * scale)
        part.norm = nn.Identity()
    return out


def load_onnx(network: Network, path: Path, samples: Iterable[Tensor]) -> None:
    """Give `network` the weights of an exported one, fp32 or fp16, so that it computes the same and can train on.

    samples: batches (n, 3, h, w) of typical pictures in 0..1, from which the batch norms' statistics are measured
    anew: export has folded them away, and training needs them. The coarse heads, which no export holds, start from
    zero. ValueError when the graph's convolutions are not this network's.
    """
    weights = conv_weights(onnx.load(str(path)))
    convs = _in_order_of_use(network)
    if [tuple(conv.weight.shape) for conv in convs] != [kernel.shape for kernel, _ in weights]:
        raise ValueError(
            f"{path} holds {len(weights)} convolutions that do not fit this network's {len(convs)}; it must come from "
            "`python -m training export` of the same network.py"
        )
    norms = {id(part.conv): part.norm for part in _convs(network)}
    for conv, (kernel, bias) in zip(convs, weights, strict=True):
        conv.weight.data.copy_(torch.from_numpy(kernel))
        norm = norms.get(id(conv))
        shift = torch.from_numpy(bias)
        if isinstance(norm, nn.BatchNorm2d):
            _restate(norm, shift, torch.zeros_like(shift), torch.ones_like(shift))
        elif conv.bias is not None:
            conv.bias.data.copy_(shift)
    for head in network.coarse.parameters():
        nn.init.zeros_(head)
    _calibrate(network, samples)


def _convs(network: Network) -> list[Conv]:
    return [part for part in network.modules() if isinstance(part, Conv)]


def _statistics(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None:
        raise TypeError("a batch norm without running statistics cannot be folded")
    return mean, variance


def _restate(norm: nn.BatchNorm2d, shift: Tensor, mean: Tensor, variance: Tensor) -> None:
    """Make `norm` add `shift` and nothing else, given the statistics that it is to go by."""
    running_mean, running_variance = _statistics(norm)
    device = norm.weight.device
    variance = variance.clamp(min=MIN_VARIANCE)
    running_mean.copy_(mean.to(device))
    running_variance.copy_(variance.to(device))
    norm.weight.data.copy_(torch.sqrt(variance + norm.eps).to(device))
    norm.bias.data.copy_((shift + mean).to(device))


@torch.no_grad()
def _calibrate(network: Network, samples: Iterable[Tensor]) -> None:
    """Measure each batch norm's input and restate the norm by it; what the network computes does not change."""
    was_training = network.training
    network.eval()
    sums: dict[nn.BatchNorm2d, list[Tensor]] = {}

    def measure(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if isinstance(module, nn.BatchNorm2d):
            x = inputs[0].float()
            moments = torch.stack([x.mean((0, 2, 3)), x.square().mean((0, 2, 3))])
            sums.setdefault(module, []).append(moments)

    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    hooks = [m.register_forward_pre_hook(measure) for m in norms]
    for batch in samples:
        network(batch)
    for hook in hooks:
        hook.remove()
    for norm, moments in sums.items():
        mean, square = torch.stack(moments).mean(0)
        old_mean, _ = _statistics(norm)
        shift = norm.bias.detach() - old_mean  # `_restate` made it so
        _restate(norm, shift, mean, square - mean.square())
    network.train(was_training)


def _in_order_of_use(network: Network) -> list[nn.Conv2d]:
    """The convolutions that run in evaluation mode, as an exporter's trace meets them."""
    used: list[nn.Conv2d] = []
    was_training = network.training
    network.eval()

    def note(module: nn.Module, _inputs: object, _output: object) -> None:
        if isinstance(module, nn.Conv2d):
            used.append(module)

    hooks = [m.register_forward_hook(note) for m in network.modules() if isinstance(m, nn.Conv2d)]
    with torch.no_grad():
        network(torch.zeros(1, 3, 32, 32, device=next(network.parameters()).device))
    for hook in hooks:
        hook.remove()
    network.train(was_training)
    return used
