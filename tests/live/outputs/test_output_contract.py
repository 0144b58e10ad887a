"""One suite over every live output: what `LiveOutput` promises, and that nothing but composites, cleaned frames and
placeholders leaves the program.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live_outputs_making import (
    FakeCamera,
    FakeLoopback,
    FakeMacObs,
    FakeOwn,
    FakeUnity,
    FakeWindowsObs,
    Machine,
    Shot,
    info,
    placeholder,
    settings,
)
from sinks.making import decode

from livematte.errors import SinkError
from livematte.frames import Matte
from livematte.live.base import LiveFrame, LiveOutput
from livematte.live.outputs import OUTPUTS
from livematte.live.outputs.camera_backends import System
from livematte.live.outputs.null import NullOutput
from livematte.live.outputs.recording import RecordingOutput
from livematte.live.outputs.virtual_camera import VirtualCameraOutput
from livematte.planes import plane_arrays
from livematte.reporting import ListReporter

RATE = Fraction(30)
CAMERAS = ("v4l2loopback", "obs on Windows", "obs on macOS", "unitycapture", "own")
FILES = ("live.mov", "live.mp4", "live.mkv", "live.webm", "live.nut", "shots/")


@dataclass
class Made:
    output: Any
    reporter: ListReporter
    shown: Callable[[], int]
    """Pictures that came out so far (files: once closed)."""


@pytest.fixture(params=(*CAMERAS, "null", *FILES))
def made(request: pytest.FixtureRequest, machine: Machine, tmp_path: Path) -> Made:
    kind, reporter = request.param, ListReporter()
    if kind == "null":
        null = NullOutput("null", settings(), reporter=reporter, kept=64)
        return Made(null, reporter, lambda: len(null.received))
    if kind in FILES:
        target = str(tmp_path / kind) + ("/" if kind.endswith("/") else "")
        return Made(RecordingOutput(target, settings(), reporter=reporter), reporter, lambda: _pictures(target))
    register = request.getfixturevalue("register")  # only here: the others need no pyvirtualcam
    camera = camera_output(kind, machine, register, reporter)
    return Made(camera, reporter, lambda: sum(len(one.pictures) for one in FakeCamera.made))


def camera_output(
    kind: str, machine: Machine, register: Callable[..., None], reporter: ListReporter, **sections: Any
) -> VirtualCameraOutput:
    """A virtual camera over a back end that acts as the real one does."""
    system = System("win32", machine.roots, lambda: [("obs", "OBS Virtual Camera")])
    if kind == "v4l2loopback":
        machine.node(0, "HD Webcam", loopback=False)
        machine.node(10, "livematte")
        register(v4l2loopback=FakeLoopback)
        system = machine.system
    elif kind == "obs on Windows":
        register(obs=FakeWindowsObs, unitycapture=FakeUnity)
    elif kind == "obs on macOS":
        register(obs=FakeMacObs)
        system = replace(system, platform="darwin")
    elif kind == "unitycapture":
        register(obs=FakeWindowsObs, unitycapture=FakeUnity)
        system = replace(system, installed=lambda: [("unitycapture", "Unity Video Capture")])
    else:
        register(v4l2loopback=FakeLoopback, own=FakeOwn)
    return VirtualCameraOutput("virtual", settings(**sections), reporter=reporter, system=system)


def _pictures(target: str) -> int:
    path = Path(target)
    return len(list(path.glob("*.png"))) if path.is_dir() else len(decode(path)) if path.exists() else 0


def test_it_is_what_the_registry_makes(made: Made) -> None:
    kind = {"VirtualCameraOutput": "virtual", "NullOutput": "null"}.get(type(made.output).__name__, "recording")
    assert OUTPUTS.load(kind) is type(made.output)
    output: LiveOutput = made.output
    assert output.wants in ("composite", "straight")
    assert output.is_vital == (kind == "virtual")
    assert output.is_paced == (kind != "recording")
    assert output.keeps_all == (kind == "recording")


def test_frames_come_out(made: Made) -> None:
    made.output.open(info(), RATE)
    for number in range(6):
        made.output.send(Shot().frame(number))
    made.output.close()
    assert made.shown() == 6
    assert made.output.said() is not None


def test_a_placeholder_is_shown_where_the_output_is_paced_and_never_recorded(made: Made) -> None:
    made.output.open(info(), RATE)
    made.output.send(Shot().frame(0))
    made.output.send(placeholder())
    made.output.send(Shot().frame(2))
    made.output.close()
    assert made.shown() == (3 if made.output.is_paced else 2)


def test_what_it_takes_is_not_written_to(made: Made) -> None:
    frames = [Shot().frame(number) for number in range(3)]
    before = [_bytes(frame) for frame in frames]
    made.output.open(info(), RATE)
    for frame in frames:
        made.output.send(frame)
    made.output.close()
    assert [_bytes(frame) for frame in frames] == before


def test_a_frame_without_what_it_wants_is_an_error_and_not_shown(made: Made) -> None:
    """Fails closed: `matted.frame.picture` is never a substitute, nor is the composite for a file with alpha."""
    made.output.open(info(), RATE)
    lacking = Shot().frame(0, composite=made.output.wants != "composite", straight=made.output.wants != "straight")
    with pytest.raises(SinkError, match="came without its"):
        made.output.send(lacking)
    if made.output.wants == "straight":
        matted = Shot().frame(1).matted
        assert matted is not None
        bare = replace(matted, matte=Matte(matted.matte.alpha))
        with pytest.raises(SinkError, match="came without its"):
            made.output.send(replace(Shot().frame(1), matted=bare))
    made.output.close()
    assert made.shown() == 0


def test_it_must_be_open(made: Made) -> None:
    with pytest.raises(SinkError, match="not open"):
        made.output.send(Shot().frame(0))
    made.output.close()


def test_another_size_is_scaled_and_said(made: Made) -> None:
    made.output.open(info(), RATE)
    made.output.send(Shot().frame(0))
    for number in (1, 2):
        made.output.send(Shot(width=64, height=64).frame(number))
    made.output.close()
    assert made.shown() == 3
    assert sum("scaled to" in note for note in made.reporter.notes) == 1


def test_it_can_be_closed_without_a_frame(made: Made) -> None:
    made.output.open(info(), RATE)
    made.output.close()
    assert made.shown() == 0


def test_watchers_may_be_asked_from_another_thread(made: Made) -> None:
    made.output.open(info(), RATE)
    answers: list[int | None] = []
    thread = threading.Thread(target=lambda: answers.append(made.output.watchers()))
    thread.start()
    thread.join()
    made.output.close()
    assert answers[0] is None or answers[0] >= 0


def _bytes(frame: LiveFrame) -> bytes:
    assert frame.composite is not None
    assert frame.matted is not None
    planes = [*plane_arrays(frame.composite), frame.matted.matte.alpha]
    return b"".join(np.ascontiguousarray(plane).tobytes() for plane in planes)
