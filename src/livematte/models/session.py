"""A network at work on one clip: it owns the buffers and the recurrent state."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from livematte.errors import LivematteError, ModelError
from livematte.frames import Frame
from livematte.matting.preprocess import Preprocessor
from livematte.models.manifest import AlphaOutput, Manifest
from livematte.models.sizes import NetworkSize, network_size, parse_size
from livematte.runtimes.base import Binding, Tensor

if TYPE_CHECKING:
    from livematte.matting.host import Timer
    from livematte.models.load import LoadedModel


def second_sessions(loaded: LoadedModel, *, is_file: bool = False) -> Callable[[], Session] | None:
    """What makes sessions of the network of `refine_with`, for `HostMatting(second=...)`; None where there is none."""
    second = loaded.second
    return None if second is None else lambda: Session(second, is_file=is_file)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the network says about one frame."""

    alpha: npt.NDArray[np.float32]
    """(h, w) float32 in 0..1 at the network's size; a view that the next call overwrites."""


class Session:
    """Runs one network over one clip, frame by frame; used by one thread.

    It binds buffers for the first frame, and again when the picture's size changes, which also forgets the past.
    """

    def __init__(self, loaded: LoadedModel, *, is_file: bool = False) -> None:
        """is_file: the frames are not live, so `--quality best` may take a second, mirrored pass."""
        self.timer: Timer | None = None
        """Gets `preprocess` and `network`, the warm runs too."""
        self._loaded = loaded
        self._contract = loaded.contract
        self.manifest: Manifest = loaded.manifest
        self.is_recurrent: bool = bool(loaded.contract.states)
        quality = loaded.settings.quality
        # A mirrored pass would need a mirrored past: only networks without memory take it.
        self._mirrors = is_file and quality == "best" and not self.is_recurrent
        self._quality = quality
        self._override = parse_size(loaded.settings.network_size) if loaded.settings.network_size else None
        self._picture_size: tuple[int, int] | None = None
        self._size: NetworkSize | None = None
        self._binding: Binding | None = None
        self._preprocessor: Preprocessor | None = None
        self._mean: npt.NDArray[np.float32] | None = None

    @property
    def network_size(self) -> NetworkSize | None:
        """The size in use; None before the first frame."""
        return self._size

    def size_for(self, width: int, height: int) -> NetworkSize:
        """The network's input size for pictures of this size. UsageError for a `network_size` it cannot take."""
        spec = self._contract.graph.input
        assert spec is not None  # tie() made sure
        override = self._override
        return network_size(spec.size, width, height, quality=self._quality, override=override)

    def estimate(self, frame: Frame) -> Estimate:
        """Alpha of this frame at the network's size. Advances the recurrent state by one frame."""
        self._bind(frame)
        alpha = self._run(frame, mirrored=False)
        if not self._mirrors:
            return Estimate(alpha)
        if self._mean is None or self._mean.shape != alpha.shape:
            self._mean = np.empty_like(alpha)
        np.copyto(self._mean, alpha)
        other = self._run(frame, mirrored=True)
        cv2.addWeighted(self._mean, 0.5, cv2.flip(other, 1), 0.5, 0.0, dst=self._mean)
        return Estimate(self._mean)

    def warm(self, frame: Frame) -> None:
        """Start over with this frame as the past, so that a clip's (or a cut's) first matte is as good as later ones.

        Runs the network `warm_runs` times on it (the manifest's number); networks without memory have nothing to warm.
        """
        self.reset()
        if not self.is_recurrent:
            return
        self._bind(frame)
        for _ in range(self.manifest.defaults.warm_runs):
            self._run(frame, mirrored=False)

    def reset(self) -> None:
        """Forget the frames before."""
        if self._binding is not None:
            self._binding.reset()

    def close(self) -> None:
        """Give the buffers back; the engine stays with the `LoadedModel`."""
        if self._binding is not None:
            self._binding.close()
        self._binding = self._preprocessor = self._size = self._picture_size = None

    def _measure(self, stage: str) -> AbstractContextManager[None]:
        return nullcontext() if self.timer is None else self.timer.measure(stage)

    def _bind(self, frame: Frame) -> None:
        picture_size = (frame.width, frame.height)
        if picture_size == self._picture_size:
            return
        size = self.size_for(*picture_size)
        fixed = self._contract.fixed_size()
        if fixed is not None and fixed != (size.width, size.height):
            raise ModelError(
                f"the network '{self.manifest.name}' is a file for {fixed[0]}x{fixed[1]} only, and its manifest (or "
                f"--network-size) gives {size.width}x{size.height} for this picture. Correct the manifest, or export "
                "the network with free sides."
            )
        if self._binding is not None:
            self._binding.close()
            self._binding = None
        shapes = self._contract.shapes(size)
        try:
            binding = self._loaded.engine.bind(shapes)
        except ValueError as error:
            if isinstance(error, LivematteError):
                raise
            raise ModelError(f"the network '{self.manifest.name}' does not fit its manifest: {error}.") from error
        for extra in self._contract.extra:
            binding.buffer(extra.name)[...] = size.ratio if extra.value == "ratio" else extra.value
        spec = self._contract.graph.input
        assert spec is not None  # tie() made sure
        self._preprocessor = Preprocessor(spec, size, binding.buffer(self._contract.image.name))
        self._binding, self._size, self._picture_size = binding, size, picture_size

    def _run(self, frame: Frame, *, mirrored: bool) -> npt.NDArray[np.float32]:
        assert self._binding is not None
        assert self._preprocessor is not None
        assert self._size is not None
        spec = self._contract.graph.alpha
        assert spec is not None  # tie() made sure
        with self._measure("preprocess"):
            self._preprocessor.fill(frame, mirrored=mirrored)
        with self._measure("network"):
            output = self._binding.run({})[self._contract.alpha.name]
            alpha = take_alpha(output, spec, is_nhwc=self._contract.is_nhwc, origin=self.manifest.name)
        if not self._size.is_padded:
            return alpha
        left, top, width, height = self._size.content
        rows, columns = alpha.shape
        if (columns, rows) != (self._size.width, self._size.height):
            raise ModelError(f"the network '{self.manifest.name}' changes its picture's size, so it cannot be padded.")
        return alpha[top : top + height, left : left + width]


def take_alpha(output: Tensor, spec: AlphaOutput, *, is_nhwc: bool, origin: str) -> npt.NDArray[np.float32]:
    """(h, w) float32 in 0..1 from a network's output (1, c, h, w), (1, h, w, c), (1, h, w) or (h, w).

    Nothing is stretched (`manifest.py`, Note [No stretch]). A view of the output where nothing has to be computed.
    ModelError where the output has another form.
    """
    channels: npt.NDArray[Any] = output
    if channels.ndim == 4:
        channels = channels[0].transpose(2, 0, 1) if is_nhwc else channels[0]
    elif channels.ndim == 2:
        channels = channels[None]
    if channels.ndim != 3 or spec.channel >= channels.shape[0] or output.shape[0] != 1 < output.ndim - 1:
        raise ModelError(
            f"the network '{origin}' gave a matte of shape {tuple(output.shape)}; the manifest wants channel "
            f"{spec.channel} of one picture."
        )
    if spec.activation == "softmax":
        alpha = _softmax(channels.astype(np.float32, copy=False), spec.channel)
    else:
        alpha = channels[spec.channel].astype(np.float32, copy=False)
        if spec.activation == "sigmoid":
            alpha = _sigmoid(alpha)
    if spec.invert:
        alpha = np.float32(1) - alpha
    return np.ascontiguousarray(alpha)


def _sigmoid(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """1 / (1 + exp(-x)); the clip keeps exp inside float32, and sigmoid(30) is 1 in float32 already."""
    bounded = np.clip(values, -30.0, 30.0)
    return (np.float32(1) / (np.float32(1) + np.exp(-bounded))).astype(np.float32, copy=False)


def _softmax(values: npt.NDArray[np.float32], channel: int) -> npt.NDArray[np.float32]:
    """Probability of one channel; the largest value is subtracted first, so that exp cannot overflow."""
    powers = np.exp(values - values.max(axis=0))
    return np.asarray(powers[channel] / powers.sum(axis=0), np.float32)
