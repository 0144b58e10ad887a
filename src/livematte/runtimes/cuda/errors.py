"""What CUDA's error codes and missing libraries mean, in one table: what happened, what you have, what to do.

The codes are those of the driver API (`CUresult`); 35 and 36 are the runtime API's own (`cudaError_t`), which ONNX
Runtime and TensorRT report. The two number the rest alike.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from livematte.errors import DeviceError

NEEDED_CUDA = (13, 0)
"""The CUDA that the wheels are built for, and NVRTC makes kernels for."""
NEEDED_DRIVER = 580
"""The first branch of NVIDIA's driver that runs CUDA 13 (CUDA 13's release notes, minor version compatibility)."""

_UPDATE = f"install NVIDIA's driver {NEEDED_DRIVER} or newer and start the machine again"
_OLDER = "or, with an older driver (525 or newer), use CUDA 12: pip install 'livematte[gpu-cu12]'"
_OUR_FAULT = "this is a mistake in livematte or in a library it uses: please report it with this message"
_RESTART = "start livematte again; if it comes back, update the driver and look for 'Xid' in the kernel's log (dmesg)"


@dataclass(frozen=True, slots=True)
class Meaning:
    """One line of the table."""

    name: str
    """The code's name without `CUDA_ERROR_`."""
    happened: str
    """What happened, in words."""
    remedy: str
    """What to do."""
    names_driver: bool = False
    """Whether the installed driver's version and the needed one belong into the message."""
    is_fatal: bool = False
    """Whether the context is dead after it: nothing works in this process until it is started again."""


MEANINGS: dict[int, Meaning] = {
    1: Meaning("INVALID_VALUE", "CUDA was given a value that it does not take", _OUR_FAULT),
    2: Meaning(
        "OUT_OF_MEMORY",
        "the GPU has not enough free memory",
        "close other programs that use the GPU (nvidia-smi lists them), or use --quality fast, a smaller "
        "--network-size or a smaller --size",
    ),
    3: Meaning("NOT_INITIALIZED", "CUDA was used before it was started", _OUR_FAULT),
    4: Meaning("DEINITIALIZED", "CUDA was used while the program was ending", _OUR_FAULT, is_fatal=True),
    34: Meaning(
        "STUB_LIBRARY",
        "the libcuda that was found is the toolkit's stub for linking, not a driver",
        f"take the toolkit's 'stubs' folder out of LD_LIBRARY_PATH, and if no driver is installed, {_UPDATE}",
        names_driver=True,
    ),
    35: Meaning(
        "INSUFFICIENT_DRIVER",
        "the NVIDIA driver is older than the CUDA libraries that are installed here",
        f"{_UPDATE}, {_OLDER}",
        names_driver=True,
    ),
    36: Meaning("CALL_REQUIRES_NEWER_DRIVER", "the NVIDIA driver does not have this call yet", _UPDATE, True),
    46: Meaning(
        "DEVICE_UNAVAILABLE",
        "the GPU is busy: another process holds it for itself, or it is being reset",
        "end that process (nvidia-smi lists them), or set the compute mode back: nvidia-smi -c DEFAULT",
    ),
    100: Meaning(
        "NO_DEVICE",
        "the NVIDIA driver is installed and shows no GPU",
        "look at 'nvidia-smi': a GPU that is missing there is not the program's to find. CUDA_VISIBLE_DEVICES must not "
        "be empty or -1; in a container, start it with --gpus all",
    ),
    101: Meaning(
        "INVALID_DEVICE",
        "there is no GPU with this number",
        "'nvidia-smi -L' lists them; the first is cuda:0, and CUDA_VISIBLE_DEVICES changes the numbers",
    ),
    200: Meaning("INVALID_IMAGE", "a kernel image is not one, or is damaged", "empty the cache and try again"),
    201: Meaning("INVALID_CONTEXT", "CUDA was used on a thread that has no context", _OUR_FAULT),
    209: Meaning(
        "NO_BINARY_FOR_GPU",
        "what was compiled does not run on this GPU: it was made for another architecture",
        f"{_UPDATE}; GPUs older than Turing (GTX 16, RTX 20) are not supported by CUDA 13, {_OLDER}",
        names_driver=True,
    ),
    214: Meaning("ECC_UNCORRECTABLE", "the GPU's memory has an error that it cannot correct", _RESTART, is_fatal=True),
    218: Meaning("INVALID_PTX", "the driver cannot compile a kernel's PTX", "empty the cache and try again", True),
    220: Meaning("NVLINK_UNCORRECTABLE", "a link between GPUs failed", _RESTART, is_fatal=True),
    221: Meaning(
        "JIT_COMPILER_NOT_FOUND",
        "a part of the NVIDIA driver is missing: its PTX compiler (libnvidia-ptxjitcompiler)",
        "install the driver whole (on Debian and Ubuntu: the package libnvidia-compute of the driver's own version)",
        names_driver=True,
    ),
    222: Meaning(
        "UNSUPPORTED_PTX_VERSION",
        "the NVIDIA driver is older than the compiler that made this kernel",
        f"{_UPDATE}, {_OLDER}",
        names_driver=True,
    ),
    223: Meaning(
        "JIT_COMPILATION_DISABLED",
        "compiling kernels in the driver is switched off",
        "take CUDA_DISABLE_PTX_JIT out of the environment",
    ),
    302: Meaning("SHARED_OBJECT_SYMBOL_NOT_FOUND", "a library of the driver lacks a function", _UPDATE, True),
    303: Meaning("SHARED_OBJECT_INIT_FAILED", "a library of the driver does not start", _UPDATE, True),
    304: Meaning(
        "OPERATING_SYSTEM",
        "the operating system refused something to the NVIDIA driver",
        "check that this user may open /dev/nvidia*, and that the container was started with --gpus all",
    ),
    400: Meaning("INVALID_HANDLE", "CUDA was given something that was already closed", _OUR_FAULT),
    500: Meaning("NOT_FOUND", "the driver or a kernel image has no function of this name", _UPDATE, True),
    600: Meaning("NOT_READY", "the GPU is not done yet", _OUR_FAULT),
    700: Meaning("ILLEGAL_ADDRESS", "a kernel used memory that is not its own", _RESTART, is_fatal=True),
    701: Meaning(
        "LAUNCH_OUT_OF_RESOURCES", "a kernel needs more registers or shared memory than this GPU has", _OUR_FAULT
    ),
    702: Meaning(
        "LAUNCH_TIMEOUT",
        "a kernel took too long and the system stopped it",
        "on a GPU that also drives a screen, use --quality fast; on Windows, raise TdrDelay",
        is_fatal=True,
    ),
    708: Meaning("PRIMARY_CONTEXT_ACTIVE", "another library started CUDA on this GPU first", _OUR_FAULT),
    709: Meaning("CONTEXT_IS_DESTROYED", "another library ended CUDA on this GPU", _RESTART, is_fatal=True),
    710: Meaning("ASSERT", "a kernel stopped at a check of its own", _OUR_FAULT, is_fatal=True),
    714: Meaning("HARDWARE_STACK_ERROR", "a kernel's stack was damaged", _RESTART, is_fatal=True),
    715: Meaning(
        "ILLEGAL_INSTRUCTION", "a kernel holds an instruction that this GPU does not have", _RESTART, is_fatal=True
    ),
    716: Meaning("MISALIGNED_ADDRESS", "a kernel read across a boundary it may not cross", _OUR_FAULT, is_fatal=True),
    717: Meaning("INVALID_ADDRESS_SPACE", "a kernel used an address of the wrong kind", _OUR_FAULT, is_fatal=True),
    718: Meaning("INVALID_PC", "a kernel lost its way", _RESTART, is_fatal=True),
    719: Meaning("LAUNCH_FAILED", "a kernel failed on the GPU", _RESTART, is_fatal=True),
    800: Meaning("NOT_PERMITTED", "CUDA does not permit this call here", _OUR_FAULT),
    801: Meaning("NOT_SUPPORTED", "this GPU, driver or system cannot do what was asked", _UPDATE, names_driver=True),
    802: Meaning(
        "SYSTEM_NOT_READY",
        "the machine's GPUs are not ready: on servers with NVSwitch the fabric manager does not run",
        "start it (systemctl start nvidia-fabricmanager), in the driver's own version",
        names_driver=True,
    ),
    803: Meaning(
        "SYSTEM_DRIVER_MISMATCH",
        "the NVIDIA driver's library and its kernel module have different versions",
        "start the machine again (most often the driver was updated since it started); in a container, take its own "
        "libcuda (/usr/local/cuda/compat) out of LD_LIBRARY_PATH",
        names_driver=True,
    ),
    804: Meaning(
        "COMPAT_NOT_SUPPORTED_ON_DEVICE",
        "CUDA's compatibility library was found, and it works on data-centre GPUs only",
        f"take /usr/local/cuda/compat out of LD_LIBRARY_PATH and {_UPDATE}",
        names_driver=True,
    ),
    900: Meaning("STREAM_CAPTURE_UNSUPPORTED", "something was done that cannot be part of a graph", _OUR_FAULT),
    901: Meaning("STREAM_CAPTURE_INVALIDATED", "an earlier error spoilt the graph that is being captured", _OUR_FAULT),
    902: Meaning("STREAM_CAPTURE_MERGE", "two captures were mixed", _OUR_FAULT),
    903: Meaning("STREAM_CAPTURE_UNMATCHED", "a capture was ended on another stream than it began on", _OUR_FAULT),
    904: Meaning("STREAM_CAPTURE_UNJOINED", "a capture ended before every stream in it was joined again", _OUR_FAULT),
    905: Meaning(
        "STREAM_CAPTURE_ISOLATION", "a captured stream waits for something outside of its capture", _OUR_FAULT
    ),
    906: Meaning("STREAM_CAPTURE_IMPLICIT", "the legacy stream was used while another was captured", _OUR_FAULT),
    907: Meaning(
        "CAPTURED_EVENT", "an event that was recorded in a capture was asked for its time or its state", _OUR_FAULT
    ),
    908: Meaning("STREAM_CAPTURE_WRONG_THREAD", "a capture was ended by another thread than began it", _OUR_FAULT),
    910: Meaning("GRAPH_EXEC_UPDATE_FAILURE", "a graph cannot take over another one's shape", _OUR_FAULT),
    999: Meaning("UNKNOWN", "the NVIDIA driver failed and does not say why", _RESTART, is_fatal=True),
}
"""CUDA's code -> what it means. A code that is not listed is said by its number and the driver's own words."""

DRIVER_PART = f"it comes with NVIDIA's driver, not with pip: {_UPDATE} (in a container: --gpus all, and "
LIBRARIES: dict[str, str] = {
    "libcuda": f"there is no NVIDIA driver here. {DRIVER_PART}NVIDIA_DRIVER_CAPABILITIES=compute,utility,video)",
    "nvcuda": f"there is no NVIDIA driver here: {_UPDATE}",
    "libnvcuvid": f"the driver's video decoder is missing. {DRIVER_PART}NVIDIA_DRIVER_CAPABILITIES=all)",
    "libnvidia-encode": f"the driver's video encoder is missing. {DRIVER_PART}NVIDIA_DRIVER_CAPABILITIES=all)",
    "libnvidia-ml": f"the driver's management library is missing. {DRIVER_PART}NVIDIA_DRIVER_CAPABILITIES=utility)",
    "libnvidia-ptxjitcompiler": f"the driver's PTX compiler is missing. {DRIVER_PART}its compute part whole)",
    "libnvrtc": "the compiler for CUDA kernels is missing: pip install nvidia-cuda-nvrtc",
    "libcudart": "CUDA's runtime is missing: pip install 'livematte[gpu]'",
    "libcublas": "CUDA's linear algebra is missing: pip install 'livematte[gpu]'",
    "libcufft": "CUDA's Fourier transform is missing: pip install 'livematte[gpu]'",
    "libcurand": "CUDA's random numbers are missing: pip install 'livematte[gpu]', or build pycuda without them "
    "(CUDA_ENABLE_CURAND = False in its siteconf.py)",
    "libcudnn": "cuDNN 9 is missing: pip install 'livematte[gpu]'",
    "libnvinfer": "TensorRT is missing: pip install 'livematte[tensorrt]'",
    "libtensorrt_rtx": "TensorRT-RTX is missing: pip install 'livematte[rtx]'",
}
"""Beginning of a library's name, in a loader's complaint -> what is missing and how to get it."""

PACKAGES: dict[str, str] = {
    "cuda-core": "the CUDA back end 'cuda-core' needs cuda-bindings: pip install 'livematte[gpu]' (or: pip install "
    "'cuda-bindings>=13,<14')",
    "pycuda": "the CUDA back end 'pycuda' needs pycuda, which is built on your machine and needs the CUDA toolkit and "
    "a C++ compiler: pip install 'livematte[pycuda]'. Where curand.h is missing, build it with CUDA_ENABLE_CURAND = "
    "False in its siteconf.py. The default, 'cuda-core', needs no compiler",
}
"""Back end -> the sentence for its Python package not being there."""


class CudaError(DeviceError):
    """CUDA failed. `code` is its number; after a fatal one the context is dead and only a new process helps.

    A copy that was made of the message alone, as pickle makes it, has CUDA's code for "unknown".
    """

    def __init__(self, message: str, code: int = 999) -> None:
        super().__init__(message)
        self.code = code

    @property
    def is_fatal(self) -> bool:
        """Whether nothing works on this device any more until the process is started again."""
        return is_fatal(self.code)


def is_fatal(code: int) -> bool:
    """Whether the context is dead after this code."""
    meaning = MEANINGS.get(code)
    return meaning is not None and meaning.is_fatal


def describe(code: int, driver_version: int | None = None, words: str = "") -> str:
    """What a code means: what happened, your driver and the needed one where they matter, and what to do.

    `driver_version` is CUDA's number for the newest CUDA that the driver runs (12040: CUDA 12.4); None or 0 where it is
    not known. `words` are the driver's own, for codes that are not in the table.
    """
    meaning = MEANINGS.get(code)
    if meaning is None:
        said = f": {words}" if words else ""
        return f"the NVIDIA driver reports error {code}{said} (CUDA's own number); {_RESTART}."
    driver = f"{driver_words(driver_version)}; " if meaning.names_driver else ""
    return f"{meaning.happened} (CUDA error {code}, {meaning.name}). {_upper(driver + meaning.remedy)}."


def driver_words(driver_version: int | None) -> str:
    """`your driver is 550.54 and runs CUDA up to 12.4, needed is CUDA 13.0 (driver 580 or newer)`."""
    installed = installed_driver()
    needed = f"needed is CUDA {NEEDED_CUDA[0]}.{NEEDED_CUDA[1]} (driver {NEEDED_DRIVER} or newer)"
    runs = f"runs CUDA up to {driver_version // 1000}.{driver_version % 1000 // 10}" if driver_version else ""
    if installed and runs:
        return f"your driver is {installed} and {runs}, {needed}"
    if installed:
        return f"your driver is {installed}, {needed}"
    return f"your driver {runs}, {needed}" if runs else f"your driver does not say its version, {needed}"


def installed_driver(proc: Path = Path("/proc/driver/nvidia/version")) -> str:
    """The kernel module's version (`550.54.14`); empty where it cannot be read (not Linux, no driver)."""
    if sys.platform != "linux":
        return ""
    return _read_version(proc)


@cache
def _read_version(proc: Path) -> str:
    try:
        found = re.search(r"\s(\d{3,}\.\d+(?:\.\d+)?)\s", proc.read_text(encoding="ascii", errors="replace"))
    except OSError:
        return ""
    return found[1] if found else ""


def check(code: int, what: str, driver_version: int | None = None, words: str = "") -> None:
    """CudaError (5) unless `code` is 0. `what` is what was being done, as the beginning of a sentence."""
    if code != 0:
        raise CudaError(f"{what} failed: {describe(code, driver_version, words)}", code)


def missing_library(error: object) -> str | None:
    """What a loader's complaint (`libcudnn.so.9: cannot open shared object file`) means; None for other libraries."""
    text = str(error).lower()
    for stem in sorted(LIBRARIES, key=len, reverse=True):
        if stem in text:
            return LIBRARIES[stem]
    return None


def _upper(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
