"""Opening engines and feeding the tiny networks, for the tests of runtimes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from livematte.runtimes import RUNTIMES
from livematte.runtimes.base import Engine
from livematte.runtimes.options import EngineOptions

RVM_STATES = tuple((f"r{at}i", f"r{at}o") for at in range(1, 5))


def open_engine(runtime: str, path: Path, **options: object) -> Engine:
    return RUNTIMES.load(runtime)(path, EngineOptions(**options))


def rvm_shapes(height: int, width: int) -> dict[str, tuple[int, ...]]:
    return {"src": (1, 3, height, width), "downsample_ratio": (1,)} | {name: (1, 1, 1, 1) for name, _ in RVM_STATES}


def picture(height: int, width: int, value: float, dtype: type = np.float32) -> np.ndarray:
    return np.full((1, 3, height, width), value, dtype)
