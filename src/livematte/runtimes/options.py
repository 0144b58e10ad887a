"""What an engine is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from livematte.reporting import LogReporter, Reporter
from livematte.runtimes.base import Engine


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How to open a graph."""

    device: str = "cpu"
    """Named, never guessed here: `cpu`, `cuda`, `cuda:1`, `tensorrt`, `coreml`, `directml`."""
    precision: str = "fp32"
    """What the file's weights are in, as its manifest says: `fp32`, `fp16`, `int8`, `mixed`."""
    computes_in: str = ""
    """Another precision that the runtime shall compute in than the file's: `bf16` (OpenVINO), `tf32`, `fp16`, `int8`
    (TensorRT). Empty: the file's own."""
    keep_fp32: tuple[str, ...] = ()
    """Operators, nodes or tensors that stay in fp32 where a graph of lower precision is made."""
    threads: int = 0
    """CPU threads; 0: chosen for this machine (`threads.py`)."""
    states: tuple[tuple[str, str], ...] = ()
    """Recurrent pairs: (input, output)."""
    outputs: tuple[str, ...] = ()
    """The outputs that are wanted besides the states; empty: all. What is not wanted is not fetched."""
    constant_alpha: float = 1.0
    """What the null runtime gives as alpha, 0 to 1."""
    reporter: Reporter = field(default_factory=LogReporter)


EngineFactory: TypeAlias = Callable[[Path, EngineOptions], Engine]
"""Opens a graph; DeviceError (5) for a device that is not there, ModelError (4) for a file that is no network."""
