"""Opening a CUDA driver by name. `auto` names cuda-core; nothing is ever replaced by something else."""

from __future__ import annotations

from collections.abc import Callable

from livematte.errors import DeviceError
from livematte.registry import Backend, Registry
from livematte.runtimes.cuda.base import Driver

AUTO = "cuda-core"
"""What `auto` names: its package is a wheel, which the extras `gpu`, `rtx` and `tensorrt` bring."""

DRIVERS: Registry[Callable[[int], Driver]] = Registry(
    "CUDA driver",
    {
        # None names an extra: the modules themselves say which package is missing.
        "cuda-core": Backend("livematte.runtimes.cuda.cuda_core", "open_cuda_core"),
        "pycuda": Backend("livematte.runtimes.cuda.pycuda_driver", "open_pycuda"),
        "null": Backend("livematte.runtimes.cuda.null", "open_null"),
    },
)
"""Every back end by name. `null` is the host's memory: for tests, and by name only."""


def open_driver(name: str = "auto", ordinal: int = 0) -> Driver:
    """Open the device `ordinal` through the back end `name`, on this thread, which may use it from then on.

    UsageError for an unknown name. DeviceError (5) with the reason and the remedy where the package, the NVIDIA driver
    or the GPU is missing, or the driver is too old; with `auto` also what else could be tried by name.
    """
    if name != "auto":
        return DRIVERS.load(name)(ordinal)
    try:
        return DRIVERS.load(AUTO)(ordinal)
    except DeviceError as error:
        raise DeviceError(f"cuda:{ordinal} cannot be used. {_sentence(str(error))}") from error


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
