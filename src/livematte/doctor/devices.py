"""Devices as the operating system shows them: NVIDIA GPUs, cameras, virtual cameras. Opens none of them."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_QUERY = "name,driver_version,compute_cap,memory.total"
_VIRTUAL_NAMES = ("obs virtual camera", "unity video capture", "v4l2loopback", "dummy video device", "obs-camera")

_VIRTUAL_CAMERA_HINTS = {
    "Linux": "sudo apt install v4l2loopback-dkms && sudo modprobe v4l2loopback devices=1 exclusive_caps=1 "
    "max_buffers=2 video_nr=10 card_label=livematte",
    "Windows": "install OBS Studio (its Virtual Camera), or Unity Capture for a camera with alpha",
    "Darwin": "install OBS Studio 30 or newer and start its Virtual Camera once",
}


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


def cameras() -> list[str] | str:
    """Names of the connected cameras, or a sentence that says why they cannot be listed."""
    import av.device

    kind = {"linux": "v4l2", "win32": "dshow", "darwin": "avfoundation"}.get(sys.platform)
    if kind is None or not hasattr(av.device, "enumerate_input_devices"):
        return "this PyAV cannot list cameras"
    try:
        devices = av.device.enumerate_input_devices(kind)
    except (OSError, ValueError) as error:
        return f"cameras cannot be listed here: {error}"
    return [_camera_name(one) for one in devices]


def _camera_name(device: object) -> str:
    name, description = str(getattr(device, "name", device)), str(getattr(device, "description", ""))
    return f"{description} ({name})" if description and description != name else name


def virtual_cameras(names: list[str]) -> tuple[list[str], str]:
    """Names of the virtual cameras, and what installs one on this system."""
    found = [name for name in names if any(known in name.lower() for known in _VIRTUAL_NAMES)]
    return sorted({*found, *_loopback_devices()}), _VIRTUAL_CAMERA_HINTS.get(platform.system(), "")


def _loopback_devices() -> list[str]:
    """Devices that v4l2loopback made: those the kernel lists under its virtual devices."""
    names = []
    for file in sorted(Path("/sys/devices/virtual/video4linux").glob("video*/name")):
        try:
            names.append(f"{file.read_text(encoding='utf-8').strip()} (/dev/{file.parent.name})")
        except OSError:
            continue
    return names
