"""Which virtual camera there is, and what it takes: the one place that knows pyvirtualcam and its back ends.

pyvirtualcam (https://github.com/letmaik/pyvirtualcam) is under the GPL 2, so it is an extra, imported on use.

Note [Back ends]
    | back end | system | pixels that it takes | what a program finds |
    |---|---|---|---|
    | v4l2loopback | Linux | YUYV UYVY I420 NV12 as they are (RGB becomes I420; RGBA: refused) | the module's label |
    | obs | Windows | I420 YUYV RGB, turned into NV12 | OBS Virtual Camera |
    | obs | macOS | UYVY as it is, others turned into it | OBS Virtual Camera |
    | unitycapture | Windows | RGBA as it is, others turned into it | Unity Video Capture |
    YUYV comes first on Linux because every program reads it: it is what real webcams give uncompressed.
    Unity Capture's alpha is STRAIGHT: its filter hands the bytes over as ARGB, and OBS, which shows them when its
    capture source is set to ARGB, blends its sources as straight alpha.
    Only v4l2loopback can tell who watches (`/proc`, this user's programs); the others cannot.
    A back end that was registered with `pyvirtualcam.register_backend` under another name goes before the built-in
    ones. It may have attributes of its own: `formats` (names of `PixelFormat`), `label`, and a static `watchers()`.

Note [pyvirtualcam]
    Read in its source of 2025: it does not pace unless it is asked to (`sleep_until_next_frame`, not used here: the
    supervisor's clock paces). macOS' back end locks a mutex in the thread that opens, which must be the one that lets
    go: `open`, `send` and `close` are called by one thread. A constructor that fails has nothing to close. A write
    error of v4l2loopback goes to stderr and nowhere else. `send` copies, so the array may be used again at once.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from livematte.errors import SinkError
from livematte.live.outputs import loopback
from livematte.live.outputs.camera_pixels import PixelName
from livematte.live.outputs.video_nodes import Roots

OBS_LABEL: Final = "OBS Virtual Camera"
UNITY_LABEL: Final = "Unity Video Capture"
_FORMATS: Final[dict[str, tuple[PixelName, ...]]] = {
    "v4l2loopback": ("YUYV", "I420", "NV12", "UYVY"),
    "obs": ("I420", "YUYV"),
    "unitycapture": ("RGBA",),
}
_MAC_OBS: Final[tuple[PixelName, ...]] = ("UYVY", "I420")
_ANY: Final[tuple[PixelName, ...]] = ("YUYV", "I420", "NV12", "UYVY", "RGB")
_OBS_CLASS: Final = r"CLSID\{A3FCE0F5-3493-419F-958A-ABA1250EC20B}"
_UNITY_CLASS: Final = r"CLSID\{5C2CD55C-92AD-4999-8666-912BD3E700%02X}"
_MAC_TRACES: Final = (
    "/Applications/OBS.app",
    "~/Applications/OBS.app",
    "/Library/CoreMediaIO/Plug-Ins/DAL/obs-mac-virtualcam.plugin",
)


@dataclass(frozen=True, slots=True)
class System:
    """The machine as the search sees it; tests have another."""

    platform: str = sys.platform
    roots: Roots = field(default_factory=Roots)
    installed: Callable[[], list[tuple[str, str]]] | None = None
    """(back end, label) of what Windows or macOS has installed; None: looked up."""


@dataclass(frozen=True, slots=True)
class Found:
    """A virtual camera that can be opened."""

    backend: str
    """pyvirtualcam's name of it."""
    device: str | None
    """What pyvirtualcam is told; None: it has only one."""
    label: str
    """The name to pick in a call."""
    formats: tuple[PixelName, ...]
    """What it takes, the best first."""
    node: loopback.Node | None = None
    """Linux: the node that is written to."""

    @property
    def carries_alpha(self) -> bool:
        """True: programs get transparency (RGBA)."""
        return self.formats[0] == "RGBA"


def library() -> Any:
    """pyvirtualcam. SinkError with the line that installs it."""
    try:
        found = importlib.import_module("pyvirtualcam")
        importlib.import_module("pyvirtualcam.camera")
    except ImportError as error:
        raise SinkError(
            f"a virtual camera needs pyvirtualcam, which is not here ({error}). Install it with: pip install "
            "'livematte[webcam]'."
        ) from error
    return found


def find(wanted: str | None, system: System) -> Found:
    """The virtual camera called `wanted` (a label; on Linux also a node or its number), else the first there is.

    SinkError: there is none, or not this one; the message has the line that helps.
    """
    known = cast(dict[str, Any], library().camera.BACKENDS)
    own = next((name for name in known if name not in _FORMATS), None)
    if own is not None:
        maker = known[own]
        formats = cast(tuple[PixelName, ...], tuple(getattr(maker, "formats", _ANY)))
        return Found(own, wanted, str(getattr(maker, "label", wanted or own)), formats)
    if system.platform.startswith("linux") and "v4l2loopback" in known:
        node = loopback.choose(wanted, system.roots)
        return Found("v4l2loopback", node.path, node.label, _FORMATS["v4l2loopback"], node)
    there = [one for one in (system.installed or (lambda: _installed(system)))() if one[0] in known]
    if not there:
        raise SinkError(f"there is no virtual camera on this machine. {how_to_install(system)}")
    if wanted is None:
        backend, label = there[0]
    else:
        match = next((one for one in there if one[1].lower() == wanted.lower()), None)
        if match is None:
            names = ", ".join(f"'{label}'" for _, label in there)
            raise SinkError(f"there is no virtual camera '{wanted}' on this machine. There are: {names}.")
        backend, label = match
    formats = _MAC_OBS if backend == "obs" and system.platform == "darwin" else _FORMATS[backend]
    return Found(backend, label, label, formats)


def how_to_install(system: System) -> str:
    """One or two sentences with the line that makes a virtual camera on this system."""
    if system.platform.startswith("linux"):
        return f"Make one with: {loopback.LOAD_LINE}. 'livematte doctor --camera' has the steps for this machine."
    if system.platform == "darwin":
        return (
            "Install OBS 30 or newer from obsproject.com, click Start Virtual Camera in it once, allow its extension "
            "in System Settings, and close OBS."
        )
    return (
        "Install OBS from obsproject.com (its virtual camera comes with it); or Unity Capture from "
        "github.com/schellingb/UnityCapture, which carries real transparency."
    )


def pixel_format(name: PixelName) -> Any:
    """pyvirtualcam's `PixelFormat` of that name."""
    return library().PixelFormat[name]


def watch_function(backend: str) -> Callable[[], int | None] | None:
    """A registered back end's own `watchers()`, where it has one."""
    maker = library().camera.BACKENDS.get(backend)
    return cast("Callable[[], int | None] | None", getattr(maker, "watchers", None))


def _installed(system: System) -> list[tuple[str, str]]:
    if system.platform == "win32":
        return _installed_windows()
    if system.platform == "darwin" and any(Path(trace).expanduser().exists() for trace in _MAC_TRACES):
        return [("obs", OBS_LABEL)]
    return []


def _installed_windows() -> list[tuple[str, str]]:
    """From the registry, where DirectShow's filters are: OBS' one, and up to ten of Unity Capture's, by their names."""
    found: list[tuple[str, str]] = []
    if _registered(_OBS_CLASS) is not None:
        found.append(("obs", OBS_LABEL))
    offset = 0x10 if sys.maxsize > 2**32 else 0x20
    for number in range(10):
        label = _registered(_UNITY_CLASS % (offset + number + (number > 0)))  # 1 is the filter's own
        if label:
            found.append(("unitycapture", label))
    return found


def _registered(key: str) -> str | None:
    """The name of a class in Windows' registry; None: it is not there."""
    if sys.platform == "win32":
        import winreg

        try:
            return winreg.QueryValue(winreg.HKEY_CLASSES_ROOT, key).strip("\0 ")
        except OSError:
            return None
    return None
