"""What this machine says about cameras and virtual cameras. Looks only; opens devices, starts none."""

from __future__ import annotations

import os
import platform
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal, TypeAlias

from livematte.errors import LivematteError
from livematte.sources.camera_devices import survey
from livematte.sources.camera_kinds import Survey

Family: TypeAlias = Literal[
    "debian", "ubuntu", "fedora", "atomic", "rhel", "arch", "suse", "nixos", "gentoo", "void", "other"
]

_FAMILIES: Final[dict[str, Family]] = {
    "debian": "debian", "raspbian": "debian", "ubuntu": "ubuntu", "linuxmint": "ubuntu", "pop": "ubuntu",
    "fedora": "fedora", "rhel": "rhel", "centos": "rhel", "almalinux": "rhel", "rocky": "rhel", "arch": "arch",
    "manjaro": "arch", "endeavouros": "arch", "steamos": "arch", "suse": "suse", "opensuse": "suse",
    "opensuse-tumbleweed": "suse", "opensuse-leap": "suse", "sles": "suse", "nixos": "nixos", "gentoo": "gentoo",
    "void": "void",
}  # fmt: skip
"""`ID` or a word of `ID_LIKE` in os-release -> whose commands work there."""
_SECURE_BOOT: Final = "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"


@dataclass(frozen=True, slots=True)
class Distribution:
    """A Linux distribution by its os-release."""

    name: str
    """For messages: `Debian GNU/Linux 12 (bookworm)`."""
    family: Family
    id: str = ""


@dataclass(frozen=True, slots=True)
class CameraFacts:
    """All that the advice is made of."""

    system: str
    """`linux`, `windows`, `macos`, or another name."""
    survey: Survey = field(default_factory=lambda: Survey(()))
    distribution: Distribution = field(default_factory=lambda: Distribution("Linux", "other"))
    machine: str = "x86_64"
    secure_boot: bool | None = None
    """None: not known (no permission to read it)."""
    module_loaded: bool = False
    module_installed: bool = False
    """v4l2loopback is built for the kernel that runs."""
    configured: tuple[str, ...] = ()
    """Files of modprobe.d and modules-load.d that name v4l2loopback."""
    in_container: bool = False
    has_pipewire: bool = False
    has_obs: bool | None = None
    """OBS Studio is installed, where that can be seen."""
    has_pyvirtualcam: bool = False
    notes: tuple[str, ...] = field(default=())
    """What could not be looked at, and why."""


def read_facts() -> CameraFacts:
    """This machine's."""
    system = {"linux": "linux", "win32": "windows", "darwin": "macos"}.get(sys.platform, sys.platform)
    notes: list[str] = []
    try:
        found = survey()
    except LivematteError as error:
        found = Survey(())
        notes.append(str(error))
    has_pyvirtualcam = find_spec("pyvirtualcam") is not None
    if system != "linux":
        return CameraFacts(
            system, survey=found, has_obs=_has_obs(system), has_pyvirtualcam=has_pyvirtualcam, notes=tuple(notes)
        )
    return CameraFacts(
        system,
        survey=found,
        distribution=read_distribution(_first_text("/etc/os-release", "/usr/lib/os-release")),
        machine=platform.machine(),
        secure_boot=read_secure_boot(),
        module_loaded=Path("/sys/module/v4l2loopback").exists(),
        module_installed=_module_installed(Path("/lib/modules") / platform.release()),
        configured=configured_files(Path("/etc")),
        in_container=_in_container(),
        has_pipewire=(Path(os.environ.get("XDG_RUNTIME_DIR", "/nonexistent")) / "pipewire-0").exists(),
        has_pyvirtualcam=has_pyvirtualcam,
        notes=tuple(notes),
    )


def read_distribution(text: str) -> Distribution:
    """From the text of os-release; family `other` for what is not known."""
    values = parse_os_release(text)
    name = values.get("PRETTY_NAME") or values.get("NAME") or "Linux"
    own, like = values.get("ID", ""), values.get("ID_LIKE", "").split()
    family: Family = next((_FAMILIES[word] for word in (own, *like) if word in _FAMILIES), "other")
    is_atomic = values.get("VARIANT_ID", "") in ("silverblue", "kinoite", "sericea", "onyx", "cosmic-atomic", "iot")
    if family == "fedora" and (is_atomic or values.get("OSTREE_VERSION")):
        family = "atomic"
    return Distribution(name, family, own)


def parse_os_release(text: str) -> dict[str, str]:
    """`KEY="value"` lines of os-release (freedesktop.org's specification: the shell's quoting)."""
    values: dict[str, str] = {}
    for line in text.splitlines():
        key, mark, value = line.strip().partition("=")
        if not mark or key.startswith("#"):
            continue
        try:
            values[key] = "".join(shlex.split(value))
        except ValueError:
            values[key] = value.strip("\"'")
    return values


def read_secure_boot(firmware: Path = Path("/sys/firmware/efi")) -> bool | None:
    """True where Secure Boot is on: the fifth byte of its EFI variable (four bytes of attributes come first)."""
    if not firmware.exists():
        return False  # no EFI, or a virtual machine without one
    try:
        return (firmware / "efivars" / _SECURE_BOOT).read_bytes()[4:5] == b"\x01"
    except FileNotFoundError:
        return False
    except OSError:
        return None


def configured_files(etc: Path) -> tuple[str, ...]:
    """Files of modprobe.d and modules-load.d whose lines, comments aside, name v4l2loopback; sorted."""
    found = []
    for file in (*etc.glob("modprobe.d/*.conf"), *etc.glob("modules-load.d/*.conf"), etc / "modules"):
        lines = _text(file).splitlines()
        if any(re.search(r"\bv4l2loopback\b", line.split("#")[0]) for line in lines):
            found.append(str(file))
    return tuple(sorted(found))


def _module_installed(folder: Path) -> bool:
    return re.search(r"/v4l2loopback\.ko", _text(folder / "modules.dep")) is not None


def _in_container(marks: Mapping[str, str] = os.environ) -> bool:
    return Path("/.dockerenv").exists() or Path("/run/.containerenv").exists() or "container" in marks


def _has_obs(system: str) -> bool:
    places = {
        "windows": [Path(os.environ.get("PROGRAMFILES", "C:\\Program Files")) / "obs-studio"],
        "macos": [Path("/Applications/OBS.app"), Path.home() / "Applications" / "OBS.app"],
    }
    return any(place.exists() for place in places.get(system, []))


def _first_text(*names: str) -> str:
    return next((text for name in names if (text := _text(Path(name)))), "")


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
