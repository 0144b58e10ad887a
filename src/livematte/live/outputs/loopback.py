"""v4l2loopback on Linux: which virtual cameras there are, who reads them, and what its refusals mean.

Note [v4l2loopback]
    The module makes nodes that one program writes to and others read (https://github.com/v4l2loopback/v4l2loopback).
    What goes wrong, and how it is seen here before or after pyvirtualcam opens the node:
    - No module, no node: nothing in /sys/class/video4linux has the module's own attributes.
    - A wrong node: a real camera's, or a number that is not there.
    - `exclusive_caps` is off: the node says that it both takes and gives pictures. Chrome, Zoom and Teams leave out
      such nodes. With it on, a node gives pictures only once somebody writes: so a node that gives and does not take
      has another writer.
    - A size that a reader holds: VIDIOC_S_FMT fails, or succeeds with the other size, and then each write fails with
      errno 22 (EINVAL), which pyvirtualcam prints and does not raise. So the format is read back.
    pyvirtualcam's own search opens each node for writing, real cameras too, and takes what another program writes to
    where `exclusive_caps` is off; so it is always given the node by name.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from livematte.errors import SinkError
from livematte.live.outputs.video_nodes import Roots, capabilities, read_text

MODULE_OPTIONS: Final = 'devices=1 video_nr=10 exclusive_caps=1 max_buffers=2 card_label="livematte"'
"""Of one virtual camera that browsers and call programs list; `doctor --camera` writes the same into modprobe.d."""
LOAD_LINE: Final = f"sudo modprobe v4l2loopback {MODULE_OPTIONS}"
"""Makes it now."""
RELOAD_LINE: Final = f"sudo modprobe -r v4l2loopback && {LOAD_LINE}"


@dataclass(frozen=True, slots=True)
class Node:
    """A video node of this machine."""

    path: str
    """`/dev/video10`."""
    label: str
    """What programs list it as: the module's `card_label`, or a camera's name."""
    is_loopback: bool


@dataclass(frozen=True, slots=True)
class Reader:
    """Another process that has a node open."""

    pid: int
    name: str


def nodes(roots: Roots) -> list[Node]:
    """All video nodes, by number."""
    folder = roots.sys / "class" / "video4linux"
    try:
        entries = [entry for entry in folder.iterdir() if re.fullmatch(r"video\d+", entry.name)]
    except OSError:
        return []
    entries.sort(key=lambda entry: int(entry.name.removeprefix("video")))
    return [
        Node(str(roots.dev / entry.name), read_text(entry / "name") or entry.name, (entry / "max_openers").exists())
        for entry in entries
    ]


def choose(wanted: str | None, roots: Roots) -> Node:
    """The node to write to: the one named (path, number or label), else the first that is free. SinkError: none."""
    known = nodes(roots)
    loops = [node for node in known if node.is_loopback]
    if wanted is not None:
        return _named(wanted, known, loops, roots)
    if not loops:
        raise SinkError(_nothing_there(roots))
    refusals: list[SinkError] = []
    for node in loops:
        try:
            _check(node, roots)
        except SinkError as error:
            refusals.append(error)
        else:
            return node
    raise refusals[0]


def _named(wanted: str, known: Sequence[Node], loops: Sequence[Node], roots: Roots) -> Node:
    path = str(roots.dev / f"video{wanted}") if wanted.isdigit() else wanted
    node = next((one for one in known if path in (one.path, Path(one.path).name, one.label)), None)
    there = ", ".join(f"{one.path} ({one.label})" for one in loops)
    if node is None and not loops:
        raise SinkError(f"the virtual camera {wanted} does not exist. {_nothing_there(roots)}")
    if node is None:
        raise SinkError(f"the virtual camera {wanted} does not exist. There are: {there}. Name one with --device-name.")
    if not node.is_loopback:
        instead = f"Virtual cameras are: {there}." if there else _nothing_there(roots)
        raise SinkError(
            f"{node.path} is a real camera ({node.label}), which cannot be written to. {instead} Name one with "
            "--device-name, or leave it out."
        )
    _check(node, roots)
    return node


def _check(node: Node, roots: Roots) -> None:
    """SinkError where the node cannot be written to, before anything opens it for that."""
    if not os.path.exists(node.path):
        raise SinkError(
            f"{node.path} ({node.label}) is known to the kernel, but is not in {roots.dev}. In a container start it "
            f"with: --device {node.path}. Otherwise load the module anew: {RELOAD_LINE}."
        )
    if not os.access(node.path, os.R_OK | os.W_OK):
        raise SinkError(no_permission(node.path))
    can = capabilities(node.path)
    if can is not None and can.gives and not can.takes:
        raise SinkError(
            f"another program already writes to {node.path} ({node.label}){_by(readers(node.path, roots))}: OBS' own "
            "virtual camera, or another livematte. Stop it, or make a second one: "
            f"{RELOAD_LINE.replace('devices=1 video_nr=10', 'devices=2 video_nr=10,11')}."
        )


def no_permission(path: str) -> str:
    """What to do where the node is there and may not be opened."""
    return (
        f"{path} may not be opened by this user. Add yourself to the group 'video' with: sudo usermod -aG video "
        '"$USER" and log out and in again.'
    )


def size_held(node: Node, size: tuple[int, int], roots: Roots, present: tuple[int, int] | None = None) -> str:
    """The size that we want is refused, because the node's is held (errno 22 in other programs)."""
    has = "another size" if present is None else f"{present[0]}x{present[1]}"
    who = readers(node.path, roots)
    held = f"held{_by(who)}" if who else "held by a program that still reads it, or by keep_format"
    return (
        f"the virtual camera {node.path} ({node.label}) does not take {size[0]}x{size[1]}: it has {has}, {held}. Close "
        f"what shows this camera (the call, the browser's tab, OBS) and start again; if that does not help: "
        f"{RELOAD_LINE}."
    )


def not_listed(node: Node) -> str:
    """`exclusive_caps` is off."""
    return (
        f"{node.path} ({node.label}) was made without exclusive_caps, so Chrome, Zoom and Teams will not list it "
        f"(Firefox and OBS do). Make it with: {RELOAD_LINE}."
    )


def refusal(node: Node, size: tuple[int, int], said: str, roots: Roots) -> str:
    """What pyvirtualcam said about this node, as a sentence that names the line that helps."""
    if "could not be configured" in said and "busy" in said:
        return (
            f"{node.path} ({node.label}) is in use{_by(readers(node.path, roots))}: another program writes to it. Stop "
            f"it, or name another virtual camera with --device-name; if that does not help: {RELOAD_LINE}."
        )
    if "could not be configured" in said:
        return size_held(node, size, roots)
    if "missing permissions" in said:
        return no_permission(node.path)
    if "already in use" in said:
        return f"{node.path} ({node.label}) is open twice in this program. Leave one --output virtual out."
    if "not a video output device" in said:
        return (
            f"another program already writes to {node.path} ({node.label}){_by(readers(node.path, roots))}. Stop it, "
            "or name another virtual camera with --device-name."
        )
    if "does not exist" in said or "No v4l2 loopback device" in said:
        return f"the virtual camera {node.path} is gone. {_nothing_there(roots)}"
    return (
        f"the virtual camera {node.path} ({node.label}) could not be opened: {said}. Load the module anew: "
        f"{RELOAD_LINE}; 'livematte doctor --camera' shows more."
    )


def readers(path: str, roots: Roots) -> list[Reader]:
    """Other processes of this user that have the node open; those of other users cannot be seen."""
    found: list[Reader] = []
    try:
        processes = [entry for entry in roots.proc.iterdir() if entry.name.isdigit()]
    except OSError:
        return found
    for process in processes:
        if int(process.name) != os.getpid() and _holds(process / "fd", path):
            found.append(Reader(int(process.name), read_text(process / "comm") or f"process {process.name}"))
    return found


def _holds(descriptors: Path, path: str) -> bool:
    try:
        with os.scandir(descriptors) as entries:
            return any(_target(entry.path) == path for entry in entries)
    except OSError:  # ended meanwhile, or another user's
        return False


def _target(link: str) -> str | None:
    try:
        return os.readlink(link)
    except OSError:
        return None


def _nothing_there(roots: Roots) -> str:
    """No virtual camera: why, and the line that makes one."""
    if (roots.sys / "module" / "v4l2loopback").exists():
        return f"The module v4l2loopback is loaded, but made no camera. Load it anew: {RELOAD_LINE}."
    if _is_installed(roots):
        return f"There is no virtual camera on this machine. Make one with: {LOAD_LINE}."
    return (
        "There is no virtual camera on this machine, because the kernel module v4l2loopback is not installed. Install "
        "its package (Debian, Ubuntu: sudo apt install v4l2loopback-dkms; Fedora: sudo dnf install v4l2loopback from "
        f"RPM Fusion; Arch: sudo pacman -S v4l2loopback-dkms), then: {LOAD_LINE}. 'livematte doctor --camera' has the "
        "steps for this machine."
    )


def _is_installed(roots: Roots) -> bool:
    """True where a v4l2loopback module lies in the running kernel's folder."""
    if sys.platform == "win32":
        return False
    listing = roots.modules / os.uname().release / "modules.dep"
    try:
        return "v4l2loopback.ko" in listing.read_text(errors="replace")
    except OSError:
        return False


def _by(who: Sequence[Reader]) -> str:
    return f" by {', '.join(f'{one.name} (process {one.pid})' for one in who)}" if who else ""
