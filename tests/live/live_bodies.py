"""Worker bodies that follow a script: what runs in the child instead of a real worker, without camera and network.

A spawned child imports this module, so it imports little.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from livematte.color import ColorSpec
from livematte.frames import StreamInfo, Timestamp
from livematte.live.messages import (
    Beat,
    Ended,
    Entered,
    Failed,
    Published,
    RingAt,
    RingWanted,
    Said,
    SetBackground,
    SetMatting,
    SetWanted,
    Sleep,
    Stop,
    Wake,
    Wanted,
    WorkerSpec,
)
from livematte.live.ring import Ring
from livematte.live.ring_slot import SlotPayload, slot_bytes_for
from livematte.planes import new_picture, plane_arrays

SPEC = ColorSpec("bt709", "tv", "bt709", "bt709")
RATE = Fraction(50)


class Body:
    """The worker's half of the conversation, without camera and network. Lives in the child."""

    def __init__(self, spec: WorkerSpec, connection: Any, *, width: int = 64, height: int = 48) -> None:
        self.spec, self.pipe = spec, connection
        self.info = StreamInfo("fake", width, height, "yuv420p", SPEC, 1 / RATE, RATE)
        self.wanted, self.background, self.matting = spec.wanted, spec.background, spec.settings.matting
        self.ring: Ring | None = None
        self.number = 0
        self.decoded = 0
        self.published = 0
        self.asleep = self.stopped = False
        self.beat_at = 0.0
        self.source_age = self.matting_age = 0.0
        self.rungs: tuple[str, ...] = ()

    def enter(self, phase: Any, limit: float = 30.0) -> None:
        self.pipe.send(Entered(phase, limit))

    def ask(self) -> None:
        size = slot_bytes_for(self.info, Wanted(composite=True, straight=True, before=True))
        self.pipe.send(RingWanted(self.info, size, "fake camera", "no engine"))
        while self.ring is None:
            self.obey(10.0)

    def start(self) -> Body:
        self.enter("loading")
        self.enter("opening")
        self.ask()
        self.enter("running", 5.0)
        return self

    def obey(self, seconds: float = 0.0) -> None:
        if not self.pipe.poll(seconds):
            return
        message = self.pipe.recv()
        if isinstance(message, RingAt):
            if self.ring is not None:
                self.ring.close()
            self.ring = Ring.attach(message.name)
        elif isinstance(message, SetBackground):
            self.background = message.text
        elif isinstance(message, SetMatting):
            self.matting = message.settings
        elif isinstance(message, SetWanted):
            self.wanted = message.wanted
        elif isinstance(message, Sleep | Wake):
            self.asleep = isinstance(message, Sleep)
        elif isinstance(message, Stop):
            self.stopped = True

    def publish(self, *, luma: int = 120, capture_ns: int | None = None, pts: int | None = None) -> None:
        picture = new_picture("yuv420p", self.info.width, self.info.height)
        for plane, value in zip(plane_arrays(picture), (luma, 128, 128), strict=True):
            plane.fill(value)
        alpha = np.full((self.info.height, self.info.width), 255, np.uint8)
        wanted = self.wanted
        payload = SlotPayload(
            number=self.number,
            generation=self.spec.generation,
            time=Timestamp(self.number if pts is None else pts, 1 / RATE),
            duration=1,
            captured_ns=time.monotonic_ns() if capture_ns is None else capture_ns,
            color=SPEC,
            pix_fmt="yuv420p",
            width=self.info.width,
            height=self.info.height,
            composite=picture if wanted.composite else None,
            foreground=picture if wanted.straight else None,
            alpha=alpha if wanted.straight else None,
            before=np.full((6, 8, 3), 200, np.uint8) if wanted.before else None,
        )
        assert self.ring is not None
        self.pipe.send(self.ring.write(payload))
        self.number += 1
        self.decoded += 1
        self.published += 1

    def beat(self) -> None:
        if time.monotonic() - self.beat_at >= 0.1:
            self.beat_at = time.monotonic()
            self.pipe.send(
                Beat(
                    self.decoded,
                    self.published,
                    self.source_age,
                    self.matting_age,
                    time.process_time(),
                    {"network": 3.0},
                    self.rungs[-1] if self.rungs else "",
                    self.rungs,
                )
            )

    def run(self, frames: int | None = None, *, seconds: float = 1 / 50, luma: int = 120) -> None:
        """Publish at the rate until told to stop, or so many frames; sleeps and wakes as told."""
        end = None if frames is None else self.number + frames
        while not self.stopped and (end is None or self.number < end):
            if self.asleep:
                self.enter("asleep", 1e9)
                while self.asleep and not self.stopped:
                    self.obey(0.05)
                self.number = 0  # the camera is opened again
                if not self.stopped:
                    self.enter("opening")
                    self.enter("running", 5.0)
                continue
            self.publish(luma=luma)
            self.beat()
            self.obey(seconds)

    def end(self) -> None:
        if self.ring is not None:
            self.ring.close()
        self.pipe.close()


def steady(spec: WorkerSpec, connection: Any) -> None:
    """Runs until it is told to stop. `luma=N` among the plugins is the picture's."""
    lumas = [int(plugin.removeprefix("luma=")) for plugin in spec.plugins if plugin.startswith("luma=")]
    body = Body(spec, connection).start()
    body.run(luma=lumas[0] if lumas else 120)
    body.end()


def clip_of_forty(spec: WorkerSpec, connection: Any) -> None:
    """A clip with an end, of which the network drops every fourth frame; once it pauses for ten frame times."""
    body = Body(spec, connection).start()
    body.rungs = ("large, every frame", "small, every frame")
    for number in range(40):
        if number == 19:
            body.obey(10 / 50)
        if number % 4 == 3:
            body.number += 1
            body.decoded += 1
            continue
        body.publish()
        body.beat_at = 0.0
        body.beat()
        body.obey(1 / 50)
    connection.send(Ended())
    body.end()


def dies_once(spec: WorkerSpec, connection: Any) -> None:
    body = Body(spec, connection).start()
    body.run(20 if spec.generation == 1 else None)
    if spec.generation == 1:
        os.kill(os.getpid(), signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    body.end()


def goes_silent_once(spec: WorkerSpec, connection: Any) -> None:
    """Says nothing, takes nothing, minds no signal that can be minded."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    body = Body(spec, connection).start()
    body.run(20 if spec.generation == 1 else None)
    while spec.generation == 1:
        time.sleep(60)
    body.end()


def camera_silent_once(spec: WorkerSpec, connection: Any) -> None:
    """Beats on, and tells that the camera gives nothing."""
    body = Body(spec, connection).start()
    body.run(20 if spec.generation == 1 else None)
    while spec.generation == 1:
        body.source_age += 1.0
        body.beat()
        body.obey(0.1)
    body.end()


def network_hangs_once(spec: WorkerSpec, connection: Any) -> None:
    body = Body(spec, connection).start()
    body.run(20 if spec.generation == 1 else None)
    while spec.generation == 1:
        body.matting_age += 1.0
        body.decoded += 1
        body.beat()
        body.obey(0.1)
    body.end()


def bad_usage(spec: WorkerSpec, connection: Any) -> None:
    connection.send(Entered("loading", 30.0))
    connection.send(Failed("UsageError", "--region is nonsense. Write X,Y,WIDTH,HEIGHT.", 2, is_final=True))
    connection.close()


def no_camera(spec: WorkerSpec, connection: Any) -> None:
    connection.send(Failed("SourceError", "there is no camera 7. There are: 0.", 3, is_final=False))
    connection.close()


def camera_unplugged(spec: WorkerSpec, connection: Any) -> None:
    """Works, then its camera is away for two starts."""
    if spec.generation in (2, 3):
        no_camera(spec, connection)
        return
    body = Body(spec, connection).start()
    body.run(20 if spec.generation == 1 else None)
    if spec.generation == 1:
        connection.send(Failed("SourceError", "camera 0 went away.", 3, is_final=False))
    body.end()


def never_gives_a_picture(spec: WorkerSpec, connection: Any) -> None:
    connection.send(Entered("opening", 0.2))
    time.sleep(600)


def clip_breaks_off(spec: WorkerSpec, connection: Any) -> None:
    body = Body(spec, connection).start()
    body.run(20)
    connection.send(Failed("EndedEarly", "the clip broke off.", 3, is_final=True))
    body.end()


def talks_nonsense_once(spec: WorkerSpec, connection: Any) -> None:
    body = Body(spec, connection).start()
    body.run(10 if spec.generation == 1 else None)
    if spec.generation == 1:
        connection.send_bytes(b"\x80\x05no pickle")
        time.sleep(600)
    body.end()


def damages_the_ring_once(spec: WorkerSpec, connection: Any) -> None:
    body = Body(spec, connection).start()
    body.run(10 if spec.generation == 1 else None)
    if spec.generation == 1:
        connection.send(Published(99, 4))
        time.sleep(600)
    body.end()


def changes_size(spec: WorkerSpec, connection: Any) -> None:
    body = Body(spec, connection).start()
    body.run(20)
    body.info = replace(body.info, width=160, height=90)
    old, body.ring = body.ring, None
    body.ask()
    assert old is not None
    old.close()
    body.run(luma=90)
    body.end()


def reports_itself(spec: WorkerSpec, connection: Any) -> None:
    """Says what it was started with and what it was told, as notes."""
    body = Body(spec, connection).start()
    said: dict[str, str] = {}
    while not body.stopped:
        body.run(1)
        now = {
            "background": body.background,
            "matting": f"{body.matting.shrink:g}",
            "wanted": f"{body.wanted.composite:d}{body.wanted.straight:d}{body.wanted.before:d}",
        }
        for key, value in now.items():
            if said.get(key) != value:
                said[key] = value
                connection.send(Said("note", f"{spec.generation} {key} {value}"))
    body.end()


def does_not_close_the_camera(spec: WorkerSpec, connection: Any) -> None:
    """Runs on when it is told to sleep."""
    body = Body(spec, connection).start()
    while not body.stopped:
        body.asleep = False
        body.run(1)
    body.end()


def never_stops(spec: WorkerSpec, connection: Any) -> None:
    body = Body(spec, connection).start()
    while True:
        body.stopped = False
        body.run(1)


def leaves_a_process_behind(spec: WorkerSpec, connection: Any) -> None:
    """Its own child keeps the pipe open for a while after it was killed."""
    body = Body(spec, connection).start()
    body.run(10)
    if spec.generation == 1:
        if os.fork() == 0:
            time.sleep(5)
            os._exit(0)
        os.kill(os.getpid(), signal.SIGKILL)
    body.run()
    body.end()
