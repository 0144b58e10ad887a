"""Finding the ONNX Runtime library, its providers, and what its exceptions mean."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any, Protocol

from livematte.errors import DeviceError, LivematteError, ModelError

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
}
"""What `--device` names (before a colon and a number) -> ONNX Runtime's provider."""

INSTALL = {
    "cpu": "pip install 'livematte[cpu]'",
    "cuda": "pip uninstall -y onnxruntime && pip install 'livematte[gpu]'",
    "tensorrt": "pip uninstall -y onnxruntime && pip install 'livematte[gpu]' 'tensorrt-cu13-libs<11'",
    "coreml": "pip install 'livematte[cpu]' (macOS only: its wheel carries Core ML)",
    "directml": "pip uninstall -y onnxruntime && pip install onnxruntime-directml (Windows only)",
}
"""The command that brings each device's provider."""

MODEL_ERRORS = ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NoModel", "NoSuchFile", "NotFound",
                "NotImplemented", "ModelRequiresCompilation", "ModelLoaded", "ModelLoadCanceled")  # fmt: skip
"""The library's exceptions that speak of the file."""
DEVICE_ERRORS = ("EPFail", "EngineError", "DeviceReset", "RuntimeException")
"""The library's exceptions that speak of the machine."""


class HasDevice(Protocol):
    """What a failed run needs to know of its engine."""

    device: str


def load_library() -> Any:
    """The `onnxruntime` module. DeviceError (5) where none is installed, or a DLL of its is missing."""
    try:
        library = importlib.import_module("onnxruntime")
        if not hasattr(library, "InferenceSession"):
            # What is left of a package whose files another one removed: a folder without code.
            raise ModuleNotFoundError("the folder 'onnxruntime' holds no library", name="onnxruntime")
    except ModuleNotFoundError as error:
        if error.name != "onnxruntime":
            raise DeviceError(f"ONNX Runtime cannot be loaded: {error}. Reinstall it: {INSTALL['cpu']}") from error
        raise DeviceError(
            "no inference runtime is installed, so no network can run. Install one of the two: "
            f"{INSTALL['cpu']} (any machine), or pip install 'livematte[gpu]' (NVIDIA GPU)."
        ) from error
    except (ImportError, OSError) as error:
        raise DeviceError(_import_failed(error)) from error
    # Windows builds of the library send usage data unless told not to.
    library.disable_telemetry_events()
    return library


def _import_failed(error: Exception) -> str:
    if sys.platform == "win32" and "DLL load failed" in str(error):
        return (
            f"ONNX Runtime is installed, but Windows cannot load its DLL: {error}. Most often the Microsoft Visual C++ "
            "Redistributable (vcruntime140_1.dll, msvcp140.dll) is missing: install 'Microsoft Visual C++ 2015-2022 "
            "Redistributable (x64)' with: winget install Microsoft.VCRedist.2015+.x64"
        )
    return f"ONNX Runtime is installed, but cannot be loaded: {error}. Reinstall it: {INSTALL['cpu']}"


def provider_of(device: str) -> str:
    """The provider for `cpu`, `cuda:1`...; DeviceError (5) lists the names."""
    kind, _, number = device.partition(":")
    if kind not in PROVIDERS or (number and not number.isdigit()):
        raise DeviceError(
            f"there is no device '{device}'. The names are auto, {', '.join(PROVIDERS)}, each GPU with its number "
            "where there are several (cuda:1)."
        )
    return PROVIDERS[kind]


def present_devices(library: Any) -> list[str]:
    """Devices whose provider this build of the library carries; carrying it is not yet having the hardware."""
    available = set(library.get_available_providers())
    return [name for name, provider in PROVIDERS.items() if provider in available]


def check_provider(library: Any, provider: str, device: str) -> None:
    """DeviceError (5) where this build of the library does not carry the provider at all."""
    if provider in library.get_available_providers():
        return
    raise DeviceError(
        f"the device '{device}' was asked for, and the ONNX Runtime installed here ({library.__version__}) has no "
        f"{provider}; it has {', '.join(present_devices(library))}. Install what is missing with: "
        f"{INSTALL[device.partition(':')[0]]}. Or run on the processor: --device cpu"
    )


def provider_settings(provider: str, number: int, *, tf32: bool = False) -> dict[str, str]:
    """The library's own options of a provider on the device with this number, as text; empty for the processor."""
    settings: dict[str, str] = {}
    if provider in ("CUDAExecutionProvider", "TensorrtExecutionProvider", "DmlExecutionProvider"):
        settings["device_id"] = str(number)
    if provider == "CUDAExecutionProvider":
        # Ten-bit mantissas put black specks into mattes of guided filters, and are on by default.
        settings["use_tf32"] = str(int(tf32))
        settings["arena_extend_strategy"] = "kSameAsRequested"
    return settings


def check_opened(session: Any, provider: str, path: Path, device: str) -> None:
    """DeviceError (5) where a session came up, as it does without a word, on another provider than was asked for."""
    got = session.get_providers()[0]
    if got != provider:
        raise load_failed(RuntimeError(f"the session was opened on {got} instead"), path, device)


def load_failed(error: Exception, path: Path, device: str) -> LivematteError:
    """What a failure to open a graph means."""
    text = " ".join(str(error).split())
    is_gpu = device.partition(":")[0] != "cpu"
    if is_gpu and (type(error).__name__ not in MODEL_ERRORS or "Provider" in text or "CUDA" in text):
        return DeviceError(
            f"the device '{device}' was asked for and cannot be used: {text}. Check the driver with 'livematte "
            f"doctor', install the libraries with: {INSTALL[device.partition(':')[0]]}, or run on the processor: "
            "--device cpu"
        )
    return ModelError(
        f"{path.name} cannot be run as a network: {text}. The file is broken, or it uses operators that this version "
        "of ONNX Runtime does not have; export it again with opset 17, or choose another network."
    )


def run_failed(error: Exception, engine: HasDevice) -> LivematteError:
    """What a failure during a run means: the GPU is gone, memory is short, or the network does not take the picture."""
    text = " ".join(str(error).split())
    if "allocate" in text.lower() or isinstance(error, MemoryError):
        return DeviceError(
            f"not enough memory on {engine.device} for this picture: {text}. Use --quality fast, a smaller "
            "--network-size, or a smaller --size."
        )
    if engine.device != "cpu":
        return DeviceError(f"{engine.device} failed while the network ran: {text}. See 'livematte doctor'.")
    return ModelError(
        f"the network failed on this picture: {text}. If it is a file of yours, its manifest may state a wrong size "
        "or a wrong tensor."
    )
