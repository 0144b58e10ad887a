"""`livematte doctor --camera`: the right steps for each distribution and system, from facts alone."""

from __future__ import annotations

import dataclasses
import json
from fractions import Fraction
from pathlib import Path

import pytest

from livematte.cli.app import run
from livematte.doctor import camera as doctor_camera
from livematte.doctor.camera import brief, diagnose
from livematte.doctor.camera_advice import (
    MODPROBE_FILE,
    OPTIONS,
    Step,
    browser_notes,
    package_step,
    secure_boot_steps,
    virtual_camera_steps,
)
from livematte.doctor.camera_facts import (
    CameraFacts,
    Distribution,
    configured_files,
    parse_os_release,
    read_distribution,
    read_facts,
    read_secure_boot,
)
from livematte.sources.camera_kinds import Camera, Survey
from livematte.sources.camera_modes import Mode

OS_RELEASES = {
    "debian": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"\nID=debian\n',
    "ubuntu": 'PRETTY_NAME="Ubuntu 24.04.1 LTS"\nNAME="Ubuntu"\nID=ubuntu\nID_LIKE=debian\n',
    "mint": 'NAME="Linux Mint"\nID=linuxmint\nID_LIKE="ubuntu debian"\nPRETTY_NAME="Linux Mint 22"\n',
    "fedora": 'NAME="Fedora Linux"\nID=fedora\nVARIANT_ID=workstation\nPRETTY_NAME="Fedora Linux 41 (Workstation)"\n',
    "silverblue": 'NAME="Fedora Linux"\nID=fedora\nVARIANT_ID=silverblue\nPRETTY_NAME="Fedora Linux 41.2"\n',
    "rocky": 'NAME="Rocky Linux"\nID="rocky"\nID_LIKE="rhel centos fedora"\nPRETTY_NAME="Rocky Linux 9.4"\n',
    "arch": 'NAME="Arch Linux"\nPRETTY_NAME="Arch Linux"\nID=arch\nBUILD_ID=rolling\n',
    "endeavour": 'NAME=EndeavourOS\nPRETTY_NAME=EndeavourOS\nID=endeavouros\nID_LIKE=arch\n',
    "tumbleweed": 'NAME="openSUSE Tumbleweed"\nID="opensuse-tumbleweed"\nID_LIKE="opensuse suse"\n',
    "nixos": 'NAME=NixOS\nID=nixos\nPRETTY_NAME="NixOS 24.11 (Vicuna)"\n',
    "gentoo": "NAME=Gentoo\nID=gentoo\nPRETTY_NAME='Gentoo Linux'\n",
    "void": 'NAME="Void"\nID="void"\nPRETTY_NAME="Void Linux"\n',
    "alpine": 'NAME="Alpine Linux"\nID=alpine\nPRETTY_NAME="Alpine Linux v3.20"\n',
}  # fmt: skip
PACKAGES = {
    "debian": "sudo apt install v4l2loopback-dkms linux-headers-amd64",
    "ubuntu": "sudo apt install v4l2loopback-dkms linux-headers-generic",
    "mint": "sudo apt install v4l2loopback-dkms linux-headers-generic",
    "fedora": "sudo dnf install akmod-v4l2loopback && sudo akmods",
    "silverblue": "rpm-ostree install akmod-v4l2loopback && systemctl reboot",
    "rocky": "sudo dnf install akmod-v4l2loopback && sudo akmods",
    "arch": "sudo pacman -S --needed v4l2loopback-dkms linux-headers",
    "endeavour": "sudo pacman -S --needed v4l2loopback-dkms linux-headers",
    "tumbleweed": "sudo zypper install v4l2loopback-kmp-default",
    "gentoo": "sudo emerge --ask media-video/v4l2loopback",
    "void": "sudo xbps-install -S v4l2loopback",
    "alpine": "",
}
OWN = Camera(-1, "livematte", "/dev/video10", kind="own", driver="v4l2 loopback", remark="own", exclusive=True)
SHARED = dataclasses.replace(OWN, exclusive=False)
REAL = Camera(0, "C920", "/dev/video0", modes=(Mode(1280, 720, Fraction(30), "mjpeg"),))


def _linux(name: str, **changes: object) -> CameraFacts:
    facts = CameraFacts("linux", distribution=read_distribution(OS_RELEASES[name]), secure_boot=False)
    return dataclasses.replace(facts, **changes)  # type: ignore[arg-type]


def _commands(steps: list[Step]) -> list[str]:
    return [step.command for step in steps]


@pytest.mark.parametrize("name", PACKAGES)
def test_the_package_of_each_distribution(name: str) -> None:
    steps = virtual_camera_steps(_linux(name))
    assert _commands(steps) == [
        PACKAGES[name],
        f"echo '{OPTIONS}' | sudo tee /etc/modprobe.d/livematte.conf",
        "echo v4l2loopback | sudo tee /etc/modules-load.d/livematte.conf",
        "sudo modprobe v4l2loopback",
    ]


def test_the_options_are_those_that_calls_need() -> None:
    expected = 'options v4l2loopback devices=1 video_nr=10 exclusive_caps=1 max_buffers=2 card_label="livematte"'
    assert expected == OPTIONS
    assert MODPROBE_FILE == "/etc/modprobe.d/livematte.conf"


def test_nixos_gets_its_configuration_instead_of_files() -> None:
    steps = virtual_camera_steps(_linux("nixos"))
    assert OPTIONS in steps[0].command
    assert 'boot.kernelModules = [ "v4l2loopback" ];' in steps[0].command.splitlines()
    assert steps[1].command == "sudo nixos-rebuild switch"
    assert not any("/etc/modprobe.d" in command for command in _commands(steps))


def test_headers_follow_the_machine() -> None:
    debian = read_distribution(OS_RELEASES["debian"])
    assert package_step(debian, "aarch64").command.endswith("linux-headers-arm64")


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("debian", "sudo mokutil --import /var/lib/dkms/mok.pub"),
        ("ubuntu", "sudo update-secureboot-policy --enroll-key"),
        ("fedora", "sudo kmodgenca -a; sudo mokutil --import /etc/pki/akmods/certs/public_key.der"),
        ("arch", "sudo mokutil --import /var/lib/dkms/mok.pub"),
        ("tumbleweed", "sudo mokutil --import /etc/uefi/certs/*.crt"),
        ("alpine", "sudo mokutil --import MOK.der"),
    ],
)
def test_secure_boot_steps_only_where_it_is_on(name: str, command: str) -> None:
    assert not any("mokutil" in text or "secureboot" in text for text in _commands(virtual_camera_steps(_linux(name))))
    commands = _commands(virtual_camera_steps(_linux(name, secure_boot=True)))
    assert commands[1:3] == [command, "sudo reboot"]
    steps = secure_boot_steps(read_distribution(OS_RELEASES[name]))
    assert "Enroll MOK" in steps[1].what


def test_only_what_is_missing_is_asked_for() -> None:
    installed = virtual_camera_steps(_linux("debian", module_installed=True, secure_boot=True))
    assert "apt" not in " ".join(_commands(installed))
    loaded = virtual_camera_steps(_linux("debian", module_installed=True, module_loaded=True))
    assert _commands(loaded)[-1] == "sudo modprobe -r v4l2loopback && sudo modprobe v4l2loopback"
    assert virtual_camera_steps(_linux("debian", survey=Survey((), (OWN,)))) == []


def test_a_device_without_exclusive_caps_is_repaired() -> None:
    facts = _linux("debian", survey=Survey((), (SHARED,)), module_loaded=True)
    commands = _commands(virtual_camera_steps(facts))
    assert commands[0].startswith("echo 'options v4l2loopback")
    assert commands[1].startswith("sudo modprobe -r")
    (problem,) = diagnose(facts, {}).problems
    assert "no exclusive_caps" in problem.detail
    foreign = dataclasses.replace(SHARED, kind="loopback", name="Droidcam")
    assert diagnose(_linux("debian", survey=Survey((), (foreign,))), {}).problems == []


def test_a_container_sends_to_its_host() -> None:
    steps = virtual_camera_steps(_linux("debian", in_container=True))
    assert "host" in steps[0].what
    assert "--device /dev/video10" in steps[0].command
    assert steps[1].command.startswith("sudo apt install")


@pytest.mark.parametrize(
    ("system", "words"),
    [("windows", ("OBS Studio 28", "Unity Capture", "administrator")), ("macos", ("OBS Studio 30", "System Settings"))],
)
def test_windows_and_macos(system: str, words: tuple[str, ...]) -> None:
    text = " ".join(step.what for step in virtual_camera_steps(CameraFacts(system)))
    assert all(word in text for word in words)
    obs = Camera(-1, "OBS Virtual Camera", "1", kind="loopback", remark="virtual")
    assert virtual_camera_steps(CameraFacts(system, survey=Survey((), (obs,)))) == []


def test_firefox_and_pipewire() -> None:
    notes = list(browser_notes(_linux("fedora")))
    (firefox,) = [note for note in notes if "Firefox" in note.what]
    assert "media.webrtc.camera.allow-pipewire" in firefox.what
    assert firefox.command == "systemctl --user restart pipewire wireplumber"
    assert not any("PipeWire" in note.what for note in browser_notes(CameraFacts("windows")))


def test_the_report() -> None:
    found = Survey((REAL,), (OWN, Camera(-1, "C920", "/dev/video1", kind="not a camera", remark="it carries metadata")))
    report = diagnose(_linux("fedora", survey=found, configured=("/etc/modprobe.d/x.conf",)), {})
    lines = {one.name: one for section in report.sections for one in section.findings}
    assert lines["camera 0"].detail == "C920 (/dev/video0): 1280x720 at 30 (MJPEG)"
    assert lines["left out"].detail == "C920 (/dev/video1): it carries metadata"
    assert "never taken as the input" in lines["virtual camera"].detail
    assert lines["its settings"].detail == "in /etc/modprobe.d/x.conf"
    assert "To get a virtual camera" not in [section.title for section in report.sections]
    json.dumps(report.as_dict())


def test_cameras_that_may_not_be_opened_come_with_their_repair() -> None:
    trouble = "/dev/video0 may not be opened by this user: sudo usermod -aG video $USER, then log out and in again"
    none = diagnose(_linux("debian", survey=Survey((), (), trouble)), {})
    (line,) = [one for section in none.sections for one in section.findings if one.name == "cameras"]
    assert line.fix.startswith("sudo usermod -aG video")
    some = diagnose(_linux("debian", survey=Survey((REAL,), (), trouble)), {})
    assert [one.fix for one in some.problems] == [line.fix]


def test_the_short_report() -> None:
    lines = list(brief(_linux("debian", survey=Survey((REAL,), (OWN,)))))
    assert [(one.name, one.state) for one in lines] == [("camera", "ok"), ("virtual camera", "ok")]
    assert all("livematte doctor --camera" in one.fix for one in brief(_linux("debian")))


# --- reading the facts ---


def test_os_release_as_shells_read_it() -> None:
    text = "# a comment\nNAME='It'\\''s Linux'\nID=x\nBROKEN=\"no end\n\nPRETTY_NAME=\"A \\\"B\\\"\"\n"
    values = parse_os_release(text)
    assert values["NAME"] == "It's Linux"
    assert values["PRETTY_NAME"] == 'A "B"'
    assert values["BROKEN"] == "no end"
    assert read_distribution("") == Distribution("Linux", "other")


@pytest.mark.parametrize(("data", "answer"), [(b"\6\0\0\0\1", True), (b"\6\0\0\0\0", False), (None, False)])
def test_secure_boot_is_read_from_efi(tmp_path: Path, data: bytes | None, answer: bool) -> None:
    folder = tmp_path / "efi" / "efivars"
    folder.mkdir(parents=True)
    if data is not None:
        (folder / "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c").write_bytes(data)
    assert read_secure_boot(tmp_path / "efi") is answer
    assert read_secure_boot(tmp_path / "no efi") is False


def test_secure_boot_that_may_not_be_read_is_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert read_secure_boot(tmp_path) is None


def test_settings_that_exist_already(tmp_path: Path) -> None:
    (tmp_path / "modprobe.d").mkdir()
    (tmp_path / "modprobe.d" / "a.conf").write_text("# v4l2loopback later\nblacklist pcspkr\n")
    (tmp_path / "modprobe.d" / "b.conf").write_text("options v4l2loopback devices=2\n")
    (tmp_path / "modules").write_text("v4l2loopback\n")
    assert configured_files(tmp_path) == (str(tmp_path / "modprobe.d" / "b.conf"), str(tmp_path / "modules"))


# --- the command ---


def test_the_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    facts = _linux("nixos", survey=Survey((REAL,)))
    monkeypatch.setattr(doctor_camera, "read_facts", lambda: facts)
    assert run(["doctor", "--camera"]) == 0
    text = capsys.readouterr().out
    assert "C920 (/dev/video0): 1280x720 at 30 (MJPEG)" in text
    (line,) = [line for line in text.splitlines() if "boot.kernelModules" in line]
    assert line.startswith("          ")
    assert run(["doctor", "--camera", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sections"]["Cameras"][0]["state"] == "ok"


def test_this_machine_can_be_looked_at() -> None:
    report = diagnose(read_facts(), {})
    assert [section.title for section in report.sections][:3] == ["This machine", "Cameras", "Virtual cameras"]
