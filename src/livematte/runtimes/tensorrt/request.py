"""What a plan is built from, in a form that crosses a process boundary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, get_args

from livematte.errors import UsageError
from livematte.runtimes.tensorrt.library import RuntimeName
from livematte.runtimes.tensorrt.profile import Profile

Progress: TypeAlias = Callable[[str, float], None]
"""Told what is being done, and how much of the whole is behind, 0 to 1."""

PRECISIONS = ("fp32", "tf32", "fp16", "int8", "mixed")
"""fp32, fp16 and int8 are the types that the ONNX file is in; tf32 is fp32 with ten-bit mantissas in convolutions;
mixed takes the file's own types unchecked."""


def nothing(stage: str, fraction: float) -> None:
    """A progress that nobody follows."""


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What a builder may be told besides the network. Everything here belongs to a plan's key, but the last two."""

    optimization_level: int | None = None
    """How long to search, 0 to 5; None: the library's default."""
    workspace_bytes: int = 0
    """Most device memory for scratch while building and running; 0: the library's default, all there is."""
    timing_cache: Path | None = None
    """File of measured kernel times that is read and written; `tensorrt` only."""

    def as_dict(self) -> dict[str, str | int | bool]:
        """For a plan's key: what changes the plan by design. Free memory and measured times differ every time."""
        return {} if self.optimization_level is None else {"optimization_level": self.optimization_level}


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """One plan to build."""

    onnx: Path
    runtime: RuntimeName
    profile: Profile
    precision: str
    targets: tuple[str, ...] = ()
    """Compute capabilities as `sm_89`, for tensorrt-rtx; empty: every RTX chip from Ampere on."""
    options: BuildOptions = field(default_factory=BuildOptions)
    device: int = 0
    """Number of the GPU, for `tensorrt`."""

    def check(self) -> None:
        """UsageError (2) for what no library can be asked for."""
        if self.runtime not in get_args(RuntimeName):
            raise UsageError(
                f"there is no runtime '{self.runtime}' that builds plans; there are tensorrt and tensorrt-rtx."
            )
        if self.precision not in PRECISIONS:
            raise UsageError(f"there is no precision '{self.precision}' for plans; there are {', '.join(PRECISIONS)}.")
        level = self.options.optimization_level
        if level is not None and not 0 <= level <= 5:
            raise UsageError(f"the optimization level is 0 to 5, and {level} was asked for.")
        if len(set(self.targets)) != len(self.targets):
            raise UsageError(f"--target names a chip twice: {', '.join(self.targets)}.")

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        cache = self.options.timing_cache
        return {
            "onnx": str(self.onnx),
            "runtime": self.runtime,
            "profile": self.profile.as_dict(),
            "precision": self.precision,
            "targets": list(self.targets),
            "device": self.device,
            "optimization_level": self.options.optimization_level,
            "workspace_bytes": self.options.workspace_bytes,
            "timing_cache": None if cache is None else str(cache),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> BuildRequest:
        """What `as_dict` gave."""
        cache = data["timing_cache"]
        return cls(
            onnx=Path(data["onnx"]),
            runtime=data["runtime"],
            profile=Profile.from_dict(data["profile"]),
            precision=data["precision"],
            targets=tuple(data["targets"]),
            options=BuildOptions(
                optimization_level=data["optimization_level"],
                workspace_bytes=data["workspace_bytes"],
                timing_cache=None if cache is None else Path(cache),
            ),
            device=data["device"],
        )


@dataclass(frozen=True, slots=True)
class Built:
    """A plan and what is known of its building."""

    plan: bytes
    seconds: float
    facts: dict[str, Any]
    """`library`, `inputs`, `outputs` (name -> type and shape), `types` (how many operations of the ONNX compute in
    what), `warnings`, `peak_bytes` (memory of the process that built it)."""
