"""How to get a virtual camera, per system and distribution: pure functions of `CameraFacts`.

Note [v4l2loopback's options]
    `exclusive_caps=1`: Chrome, Teams and Zoom list only devices that capture and nothing else; with it, the device says
    so while livematte runs. `video_nr=10` keeps the number from boot to boot and out of the way of real cameras.
    `card_label` is the name that the call shows. `max_buffers=2`: a reader is at most a frame behind.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from livematte.doctor.camera_facts import CameraFacts, Distribution, Family
from livematte.live.outputs.loopback import MODULE_OPTIONS

OPTIONS: Final = f"options v4l2loopback {MODULE_OPTIONS}"
MODPROBE_FILE: Final = "/etc/modprobe.d/livematte.conf"
LOAD_FILE: Final = "/etc/modules-load.d/livematte.conf"
WRITE_OPTIONS: Final = f"echo '{OPTIONS}' | sudo tee {MODPROBE_FILE}"
WRITE_LOAD: Final = f"echo v4l2loopback | sudo tee {LOAD_FILE}"
LOAD: Final = "sudo modprobe v4l2loopback"
RELOAD: Final = "sudo modprobe -r v4l2loopback && sudo modprobe v4l2loopback"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do, in its order."""

    what: str
    """A sentence for persons."""
    command: str = ""
    """To copy into a terminal; empty where there is nothing to type."""


def package_step(distribution: Distribution, machine: str = "x86_64") -> Step:
    """What installs v4l2loopback on this distribution."""
    debian_headers = {"x86_64": "amd64", "aarch64": "arm64", "i686": "686"}.get(machine, machine)
    install: dict[Family, Step] = {
        "debian": Step(
            "Install the module and what builds it.",
            f"sudo apt install v4l2loopback-dkms linux-headers-{debian_headers}",
        ),
        "ubuntu": Step(
            "Install the module and what builds it.", "sudo apt install v4l2loopback-dkms linux-headers-generic"
        ),
        "fedora": Step(
            "Switch RPM Fusion (free) on, as rpmfusion.org says, then install the module.",
            "sudo dnf install akmod-v4l2loopback && sudo akmods",
        ),
        "atomic": Step(
            "Switch RPM Fusion (free) on, as rpmfusion.org says for ostree, install the module, and start again.",
            "rpm-ostree install akmod-v4l2loopback && systemctl reboot",
        ),
        "rhel": Step(
            "Switch EPEL and RPM Fusion (free) on, as rpmfusion.org says, then install the module.",
            "sudo dnf install akmod-v4l2loopback && sudo akmods",
        ),
        "arch": Step(
            "Install the module and your kernel's headers (linux-lts-headers, linux612-headers...).",
            "sudo pacman -S --needed v4l2loopback-dkms linux-headers",
        ),
        "suse": Step("Install the module.", "sudo zypper install v4l2loopback-kmp-default"),
        "gentoo": Step("Install the module.", "sudo emerge --ask media-video/v4l2loopback"),
        "void": Step("Install the module.", "sudo xbps-install -S v4l2loopback"),
        "other": Step(
            "Install your distribution's package of v4l2loopback; without one, build it from its source "
            "(github.com/v4l2loopback/v4l2loopback)."
        ),
        "nixos": NIXOS_STEPS[0],
    }
    return install[distribution.family]


NIXOS_LINES: Final = (
    "boot.extraModulePackages = with config.boot.kernelPackages; [ v4l2loopback ];",
    'boot.kernelModules = [ "v4l2loopback" ];',
    "boot.extraModprobeConfig = ''",
    f"  {OPTIONS}",
    "'';",
)
"""For configuration.nix."""
NIXOS_STEPS: Final = (
    Step("Put these lines into /etc/nixos/configuration.nix.", "\n".join(NIXOS_LINES)),
    Step("Build it; the device is there without a new start.", "sudo nixos-rebuild switch"),
)


_ENROLL_REST: Final = "It asks for a new password; type any, you need it once"
_MOK: Final[dict[Family, tuple[str, str]]] = {
    "debian": ("sudo mokutil --import /var/lib/dkms/mok.pub", ""),
    "ubuntu": ("sudo update-secureboot-policy --enroll-key", "Installing the package may have asked for it already. "),
    "fedora": ("sudo kmodgenca -a; sudo mokutil --import /etc/pki/akmods/certs/public_key.der", ""),
    "atomic": ("sudo kmodgenca -a; sudo mokutil --import /etc/pki/akmods/certs/public_key.der", ""),
    "rhel": ("sudo kmodgenca -a; sudo mokutil --import /etc/pki/akmods/certs/public_key.der", ""),
    "arch": ("sudo mokutil --import /var/lib/dkms/mok.pub", "This works where you boot through shim. "),
    "suse": (
        "sudo mokutil --import /etc/uefi/certs/*.crt",
        "The package is signed by openSUSE, and usually asks for its key itself at the next start. ",
    ),
}
"""Distribution -> (command that asks for the key, what to know before it)."""


def secure_boot_steps(distribution: Distribution) -> list[Step]:
    """What lets a self-built module load where Secure Boot is on (MOK: Machine Owner Key)."""
    if distribution.family == "nixos":
        return [Step("NixOS' kernel takes the module under Secure Boot (lanzaboote), unless lockdown was switched on.")]
    command, before = _MOK.get(distribution.family, ("sudo mokutil --import MOK.der", "Sign the module with a key. "))
    return [
        Step(
            f"Secure Boot is on: the kernel takes modules signed with a key it knows. {before}{_ENROLL_REST}.", command
        ),
        Step(
            "Start the computer again. On the blue screen choose 'Enroll MOK', 'Continue', 'Yes', and type that "
            "password. It comes once; without it the module is refused with 'Key was rejected by service'.",
            "sudo reboot",
        ),
    ]


def loopback_steps(facts: CameraFacts) -> list[Step]:
    """From what is there now to a loopback device that calls list; empty where there is one."""
    own = [one for one in facts.survey.left_out if one.kind in ("own", "loopback") and one.driver]
    if any(one.exclusive for one in own):
        return []
    if own:
        return [
            Step("Write the options; the device that exists lacks exclusive_caps.", WRITE_OPTIONS),
            Step("Close every program that uses the device, and load the module anew.", RELOAD),
        ]
    steps: list[Step] = []
    if facts.in_container:
        steps.append(
            Step(
                "This is a container: its host's kernel needs the module. Take the next steps there (they are for the "
                "container's distribution; where the host has another, run 'livematte doctor --camera' on it), then "
                "pass the device in.",
                "docker run --device /dev/video10 ...",
            )
        )
    if facts.distribution.family == "nixos":
        return [*steps, *NIXOS_STEPS, *(secure_boot_steps(facts.distribution) if facts.secure_boot else ())]
    if not facts.module_installed and not facts.module_loaded:
        steps.append(package_step(facts.distribution, facts.machine))
        if facts.secure_boot:
            steps += secure_boot_steps(facts.distribution)
    steps.append(Step("Say what the device is to be like, now and after each start.", WRITE_OPTIONS))
    steps.append(Step("Load the module at each start.", WRITE_LOAD))
    steps.append(Step("Load it now.", RELOAD if facts.module_loaded else LOAD))
    return steps


WINDOWS_STEPS: Final = (
    Step(
        "Install OBS Studio 28 or newer (obsproject.com): it brings 'OBS Virtual Camera'. Start it once, press 'Start "
        "Virtual Camera', stop it, and close OBS: one program at a time may send to that camera."
    ),
    Step(
        "Or, for real transparency in OBS, install Unity Capture (github.com/schellingb/UnityCapture): unpack it to a "
        "folder that stays, and run Install.bat as administrator. In the call it is 'Unity Video Capture'.",
    ),
)
MACOS_STEPS: Final = (
    Step(
        "Install OBS Studio 30 or newer (obsproject.com), start it, press 'Start Virtual Camera', allow the extension "
        "in System Settings (General, Login Items & Extensions), stop it, and close OBS."
    ),
    Step("Close the call's program and start it again: it looks for cameras when it starts."),
)


def virtual_camera_steps(facts: CameraFacts) -> list[Step]:
    """What installs a virtual camera here; empty where one is ready."""
    if facts.system == "linux":
        return loopback_steps(facts)
    if any(one.kind in ("own", "loopback") for one in facts.survey.left_out):
        return []
    return list({"windows": WINDOWS_STEPS, "macos": MACOS_STEPS}.get(facts.system, ()))


def browser_notes(facts: CameraFacts) -> Iterator[Step]:
    """What browsers do differently from other programs."""
    if facts.system == "linux":
        yield Step(
            "Chrome, Zoom and Teams list the device only while livematte runs: start livematte first, then reload the "
            "page."
        )
        yield Step(
            "Firefox may ask for cameras through PipeWire and the desktop's portal (Fedora's does, and every Flatpak), "
            "which often misses loopback devices. After livematte has started, restart PipeWire's list; or, in "
            "about:config, set media.webrtc.camera.allow-pipewire to false. Where the portal once said no, it goes on "
            "saying no: look in the desktop's settings under Privacy, Camera.",
            "systemctl --user restart pipewire wireplumber",
        )
        yield Step(
            "A browser or a call from Flatpak or Snap must be given the cameras.",
            "flatpak override --user --device=all APP; sudo snap connect APP:camera",
        )
    elif facts.system == "windows":
        yield Step(
            "Programs from the Microsoft Store see no DirectShow cameras; use the browser or the ordinary installer."
        )
    elif facts.system == "macos":
        yield Step("Safari and FaceTime show the camera only after they were started again.")
