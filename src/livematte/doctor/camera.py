"""`livematte doctor --camera`: the cameras that are there, the virtual ones, and the steps to one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from livematte.doctor.camera_advice import RELOAD, WRITE_OPTIONS, Step, browser_notes, virtual_camera_steps
from livematte.doctor.camera_facts import CameraFacts, read_facts
from livematte.doctor.checks import Diagnosis, Finding, Section, State
from livematte.errors import LivematteError
from livematte.sources.camera_arguments import camera_modes_of
from livematte.sources.camera_kinds import Camera, this_system
from livematte.sources.camera_modes import Mode, modes_words


def examine_cameras() -> Diagnosis:
    """Look at this machine. On Windows and macOS each camera is asked for its modes, which takes a second each."""
    facts = read_facts()
    modes = {camera.path: _modes(camera) for camera in facts.survey.cameras}
    return diagnose(facts, modes)


def _modes(camera: Camera) -> Sequence[Mode]:
    try:
        return camera_modes_of(camera, this_system())
    except LivematteError:
        return ()


def diagnose(facts: CameraFacts, modes: dict[str, Sequence[Mode]]) -> Diagnosis:
    """The report of these facts; `modes` by the camera's path. Pure."""
    steps = virtual_camera_steps(facts)
    sections = [
        Section("This machine", list(_machine(facts))),
        Section("Cameras", list(_cameras(facts, modes))),
        Section("Virtual cameras", list(_virtual(facts))),
    ]
    if steps:
        sections.append(Section("To get a virtual camera", list(_steps(steps))))
    sections.append(Section("In the call", list(_notes(facts))))
    return Diagnosis(sections)


def brief(facts: CameraFacts) -> Iterator[Finding]:
    """The few lines about cameras in the whole report of `livematte doctor`."""
    for camera in facts.survey.cameras:
        yield Finding("camera", "ok", f"{camera.name} ({camera.path})")
    if not facts.survey.cameras:
        trouble = f" ({facts.survey.trouble})" if facts.survey.trouble else ""
        yield Finding("cameras", "missing", f"none was found{trouble}", "livematte doctor --camera")
    virtual = [one for one in facts.survey.left_out if one.kind in ("own", "loopback")]
    for one in virtual:
        yield Finding("virtual camera", "ok", f"{one.name} ({one.path})")
    if not virtual:
        yield Finding("virtual camera", "missing", "none is installed", "livematte doctor --camera says how")


def _machine(facts: CameraFacts) -> Iterator[Finding]:
    if facts.system == "linux":
        yield Finding("distribution", "info", facts.distribution.name)
        words = {True: "on", False: "off", None: "not known: its EFI variable may not be read; try mokutil --sb-state"}
        yield Finding("Secure Boot", "info", words[facts.secure_boot])
        if facts.in_container:
            yield Finding("container", "info", "devices must be passed in, and kernel modules belong on the host")
    else:
        yield Finding("system", "info", facts.system)
    if facts.has_obs is not None:
        yield Finding("OBS Studio", "ok" if facts.has_obs else "missing", "installed" if facts.has_obs else "not found")
    if facts.has_pyvirtualcam:
        yield Finding("pyvirtualcam", "ok", "installed: livematte can send to a virtual camera")
    else:
        yield Finding("pyvirtualcam", "missing", "needed for every virtual camera", "pip install 'livematte[webcam]'")
    for note in facts.notes:
        yield Finding("note", "info", note)


def _cameras(facts: CameraFacts, modes: dict[str, Sequence[Mode]]) -> Iterator[Finding]:
    for camera in facts.survey.cameras:
        offered = modes.get(camera.path) or camera.modes
        words = modes_words(list(offered)) if offered else "its modes are not told; it is opened as it stands"
        yield Finding(f"camera {camera.number}", "ok", f"{camera.name} ({camera.path}): {words}")
    if not facts.survey.cameras:
        trouble, _, repair = facts.survey.trouble.partition(": ")
        detail = f"none was found{f' ({trouble})' if trouble else ''}"
        yield Finding(
            "cameras", "missing", detail, repair or "plug one in; or --input clip.mp4 --loop stands in for one"
        )
    elif facts.survey.trouble:
        trouble, _, repair = facts.survey.trouble.partition(": ")
        yield Finding("more devices", "problem", trouble, repair)
    for one in facts.survey.left_out:
        if one.kind == "not a camera":
            yield Finding("left out", "info", f"{one.name} ({one.path}): {one.remark}")


def _virtual(facts: CameraFacts) -> Iterator[Finding]:
    virtual = [one for one in facts.survey.left_out if one.kind in ("own", "loopback")]
    for one in virtual:
        if one.exclusive is False:
            # Another program's device may be meant to be so; livematte's is not.
            state: State = "problem" if one.kind == "own" else "info"
            detail = f"{one.name} ({one.path}) has no exclusive_caps: Chrome, Teams and Zoom will not list it"
            yield Finding("virtual camera", state, detail, f"{WRITE_OPTIONS}; {RELOAD}")
        else:
            caps = ", exclusive_caps" if one.exclusive else ""
            yield Finding("virtual camera", "ok", f"{one.name} ({one.path}){caps}; never taken as the input by itself")
    if not virtual:
        yield Finding("virtual camera", "missing", "none is there", "the steps below make one")
    if facts.system == "linux":
        loaded = "is loaded" if facts.module_loaded else "is not loaded"
        built = "is installed for this kernel" if facts.module_installed else "is not installed for this kernel"
        yield Finding("v4l2loopback", "ok" if facts.module_loaded else "missing", f"the module {built}, and {loaded}")
        if facts.configured:
            yield Finding("its settings", "info", f"in {', '.join(facts.configured)}")


def _steps(steps: Iterable[Step]) -> Iterator[Finding]:
    for number, step in enumerate(steps, 1):
        yield Finding(f"{number}.", "info", step.what, step.command)


def _notes(facts: CameraFacts) -> Iterator[Finding]:
    names = {"linux": "livematte (the device's card_label)", "windows": "OBS Virtual Camera or Unity Video Capture",
             "macos": "OBS Virtual Camera"}  # fmt: skip
    yield Finding("its name", "info", names.get(facts.system, "as the virtual camera is called"))
    for step in browser_notes(facts):
        yield Finding("note", "info", step.what, step.command)
    yield Finding("mirror", "info", "calls mirror only your own view; the others see you as you are")
