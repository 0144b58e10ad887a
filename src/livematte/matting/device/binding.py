"""A network opened for pictures of one size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from livematte.errors import DeviceError, LivematteError, ModelError
from livematte.matting.device.chain import alpha_view
from livematte.matting.device.network import DeviceEngine, DeviceNetwork
from livematte.models.load import LoadedModel
from livematte.models.sizes import NetworkSize
from livematte.runtimes.cuda.base import DeviceArray, Driver


@dataclass(frozen=True, slots=True)
class Bound:
    """A network with its buffers, and the size of its input."""

    loaded: LoadedModel
    network: DeviceNetwork
    size: NetworkSize
    alphas: tuple[DeviceArray, ...]
    """(h, w) view of each slot's answer."""

    @property
    def content_shape(self) -> tuple[int, int]:
        """(h, w) of the part of an answer that stands for the picture: all of it, but for a letterbox."""
        if self.size.is_padded:
            return self.size.content[3], self.size.content[2]
        rows, columns = self.alphas[0].shape
        return rows, columns

    def close(self) -> None:
        """Give the buffers back."""
        for view in self.alphas:
            view.close()
        self.network.close()


def bind(loaded: LoadedModel, size: NetworkSize, slots: int, driver: Driver) -> Bound:
    """The network with buffers for `slots` frames.

    DeviceError: no memory, or a runtime that cannot. ModelError: it cannot take this size, or the kernels cannot read
    its answer.
    """
    contract, name, engine = loaded.contract, loaded.manifest.name, loaded.engine
    if not isinstance(engine, DeviceEngine):
        raise DeviceError(f"the runtime {engine.name} does not run on the memory of a GPU.")
    fixed = contract.fixed_size()
    if fixed is not None and fixed != (size.width, size.height):
        raise ModelError(
            f"the network '{name}' is a file for {fixed[0]}x{fixed[1]} only, and its manifest (or --network-size) "
            f"gives {size.width}x{size.height} for this picture. Correct the manifest, or export it with free sides."
        )
    extra: dict[str, npt.NDArray[Any]] = {
        one.name: np.full(one.shape, size.ratio if one.value == "ratio" else one.value, one.dtype)
        for one in contract.extra
    }
    try:
        network = engine.open_slots(contract.shapes(size), slots, driver, extra=extra)
    except ValueError as error:
        if isinstance(error, LivematteError):
            raise
        raise ModelError(f"the network '{name}' does not fit its manifest: {error}.") from error
    try:
        alphas = tuple(alpha_view(driver, network.alpha(at), contract, name) for at in range(slots))
        if size.is_padded and alphas[0].shape != (size.height, size.width):
            raise ModelError(f"the network '{name}' changes its picture's size, so it cannot be padded.")
    except BaseException:
        network.close()
        raise
    return Bound(loaded, network, size, alphas)
