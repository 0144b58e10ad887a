"""NVIDIA GPUs as the driver shows them. Opens none of them."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass

_QUERY = "name,driver_version,compute_cap,memory.total"


@dataclass(frozen=True, slots=True)
class Gpu:
    """An NVIDIA GPU as its driver describes it."""

    name: str
    driver: str
    capability: float
    """Compute capability: 8.9 for Ada."""
    memory_mib: int

    @property
    def driver_major(self) -> int:
        """The driver's branch: 580 of `580.65.06`; 0 where the driver does not say."""
        head = self.driver.split(".")[0]
        return int(head) if head.isdigit() else 0


def nvidia() -> list[Gpu]:
    """The GPUs that NVIDIA's `nvidia-smi` lists; empty without a driver. Makes no CUDA context."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return parse_gpus(answer.stdout)


def parse_gpus(text: str) -> list[Gpu]:
    """The lines of `nvidia-smi --format=csv,noheader,nounits`; fields that it cannot give count as 0."""
    gpus = []
    for line in text.splitlines():
        fields = [part.strip() for part in line.split(",")]
        if len(fields) == len(_QUERY.split(",")):
            gpus.append(Gpu(fields[0], fields[1], _number(fields[2]), int(_number(fields[3]))))
    return gpus


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
