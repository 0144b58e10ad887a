"""The worker: a spawned process that owns camera, decoder and engine, and fills the ring.

Note [A worker's life]
    loading (plugins, engine), opening (the source), warming (the network runs on a grey picture of the source's size),
    running; asleep (camera and pipeline closed, the engine kept) and opening again; the end. Each phase is told
    (`Entered`) with the time that it may be silent for. While running, a thread of its own beats four times a second.

    The process ends at once, without cleaning up, when the pipe closes: the supervisor is gone, and nobody else would
    end it. A crash in native code simply ends it too; the supervisor sees that. Ctrl-C in a terminal and
    `systemctl stop` go to both processes: the worker ignores them and waits to be told.
"""

from __future__ import annotations

import gc
import importlib
import math
import os
import sys
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

from livematte.config import MattingSettings
from livematte.errors import EndedEarly, Interrupted, LivematteError, ModelError, UsageError
from livematte.live.arenas import limit_arenas
from livematte.live.control_inbox import ControlInbox, SayingReporter, WorkerStopped
from livematte.live.governed import GovernedMatting, keep_to_share, make_matting
from livematte.live.interrupts import ignore_requests_to_end
from livematte.live.live_compositor import LiveCompositor
from livematte.live.messages import (
    SILENCE_SECONDS,
    Ended,
    Entered,
    Failed,
    SetBackground,
    SetMatting,
    SetWanted,
    Sleep,
    Stop,
    ToWorker,
    Wake,
    WorkerSpec,
)
from livematte.live.ring_sink import RingSink
from livematte.live.worker_watch import Activity, Beats, LiveMatting, WatchedCompositor, WatchedMatting, WatchedSource
from livematte.models.load import LoadedModel, load_model
from livematte.pipeline import Pipeline
from livematte.reporting import Once
from livematte.sources.base import Source
from livematte.sources.live import is_camera, open_live_source
from livematte.sources.opening import is_url
from livematte.stats import Stats

Phase = Literal["opening", "loading", "warming", "running", "asleep"]

_LOADING_SECONDS = 120.0
_OPENING_SECONDS = 30.0
_WARMING_SECONDS = 120.0
"""How long each phase may be silent: a big network from a slow disk, a stream from far away, CUDA's first run."""


def main(spec: WorkerSpec, connection: Connection) -> None:
    """Entry of the child process. Does not return: threads that hang in native code must not hold the end up."""
    ignore_requests_to_end()
    limit_arenas()
    code = Worker(spec, connection).run()
    sys.stdout.flush()
    sys.stderr.flush()
    connection.close()
    os._exit(code)


def _vanish() -> None:
    os._exit(1)


class Worker:
    """One worker's life."""

    def __init__(self, spec: WorkerSpec, connection: Connection, *, gone: Callable[[], None] = _vanish) -> None:
        self._spec = spec
        self._inbox = ControlInbox(connection, gone)
        self._say = SayingReporter(self._inbox.send)
        self._once = Once(self._say)
        self._activity = Activity()
        self._beats = Beats(self._activity, self._inbox.send)
        self._beats.published = lambda: self._inbox.published
        self._wanted = spec.wanted
        self._background = spec.background
        self._settings = spec.settings.matting
        self._matting: LiveMatting | None = None
        self._compositor: LiveCompositor | None = None
        self._never_ran = spec.generation == 1
        self._changed = threading.Condition()
        self._is_asleep = False
        self._is_stopping = False
        self._end_run = threading.Event()
        """Set: the present pipeline ends in order."""

    def run(self) -> int:
        """Live until the source ends, `Stop` or an error. The exit code; every error has been sent."""
        self._inbox.start()
        threading.Thread(target=self._obey_all, name="livematte-control", daemon=True).start()
        self._beats.start()
        try:
            self._live()
            return 0
        except WorkerStopped:
            return 0
        except Exception as error:
            failed = failure(error, never_ran=self._never_ran, source=self._spec.source)
            self._beats.is_running = False
            self._inbox.send(failed)
            return failed.exit_code
        finally:
            self._beats.stop()

    # -- the main thread ----------------------------------------------------------------------------------------

    def _live(self) -> None:
        self._enter("loading", _LOADING_SECONDS)
        for plugin in self._spec.plugins:
            load_plugin(plugin)(self._spec)
        refuse_kept_background(self._settings)
        loaded = load_model(keep_to_share(self._spec.settings), reporter=self._once)
        try:
            while self._may_go_on():
                if self._run_pipeline(loaded):
                    self._inbox.send(Ended())
                    return
        finally:
            if not _is_left_behind():  # weights freed under a thread that computes crash
                loaded.close()

    def _may_go_on(self) -> bool:
        """Wait while asleep. False: the end."""
        with self._changed:
            if self._is_asleep and not self._is_stopping:
                self._enter("asleep", math.inf)
                self._changed.wait_for(lambda: self._is_stopping or not self._is_asleep)
            self._end_run.clear()
            self._inbox.interrupt(self._is_stopping)
            return not self._is_stopping

    def _run_pipeline(self, loaded: LoadedModel) -> bool:
        """Open the source and run until it ends (True), or until it is told to stop or to sleep (False)."""
        self._enter("opening", _OPENING_SECONDS)
        live = self._spec.settings.live.model_copy(update={"input": self._spec.source})
        source = open_live_source(live, reporter=self._once)
        opened: list[Source | GovernedMatting | LiveCompositor] = [source]
        try:
            pipeline = self._prepared(source, loaded, opened)
        except BaseException:
            self._matting = self._compositor = None
            for part in reversed(opened):
                part.close()
            raise
        gc.collect()
        gc.freeze()  # what is there by now stays: collecting at each seam of a looped clip then takes 1 ms, not 40
        self._enter("running", SILENCE_SECONDS)
        self._activity.begin()
        try:
            pipeline.run(lambda: None, self._end_run)
        except (Interrupted, WorkerStopped):
            return False
        finally:
            self._beats.is_running = False
            self._activity.rest()
            self._matting = self._compositor = None
        return True

    def _prepared(
        self, source: Source, loaded: LoadedModel, opened: list[Source | GovernedMatting | LiveCompositor]
    ) -> Pipeline:
        """A pipeline over the open source, its network warmed. What it opens goes into `opened`."""
        info, stats = source.info, Stats()
        sink = RingSink(self._inbox, lambda: self._wanted, self._spec.generation, describe(source), loaded.describe())
        sink.ask(info)
        self._enter("warming", _WARMING_SECONDS)
        self._compositor = compositor = LiveCompositor(
            self._background, info, is_wanted=lambda: self._wanted.composite, reporter=self._once
        )
        opened.append(compositor)
        matting = make_matting(self._spec, loaded, info, reporter=self._once, timer=stats, may_refuse=self._never_ran)
        opened.append(matting)
        self._beats.watch(matting, stats)
        self._matting = matting
        # What came in before, or while the network warmed.
        if self._settings is not self._spec.settings.matting:
            matting.change(self._settings)
        if self._background != compositor.background:
            compositor.set_background(self._background, reporter=self._say)
        return Pipeline(
            WatchedSource(source, self._activity),
            WatchedMatting(matting, self._activity),
            [sink],
            compositor=WatchedCompositor(compositor, self._activity),
            stats=stats,
        )

    def _enter(self, phase: Phase, limit_seconds: float) -> None:
        self._never_ran = self._never_ran and phase != "running"
        self._inbox.send(Entered(phase, limit_seconds))
        self._beats.is_running = phase in ("running", "asleep")

    # -- the control thread -------------------------------------------------------------------------------------

    def _obey_all(self) -> None:
        while (command := self._inbox.commands.get()) is not None:
            try:
                self._obey(command)
            except Exception as error:  # a worker that obeys no more could not even close its camera
                self._inbox.send(failure(error, never_ran=False, source=self._spec.source))
                return

    def _obey(self, command: ToWorker) -> None:
        match command:
            case SetWanted(wanted):
                self._wanted = wanted
            case SetMatting(settings):
                self._change(settings)
            case SetBackground(text):
                self._change_background(text)
            case Sleep() | Wake() | Stop():
                self._turn(command)

    def _change(self, settings: MattingSettings) -> None:
        try:
            refuse_kept_background(settings)
            matting = self._matting
            if matting is not None:
                matting.change(settings)
            self._settings = settings
        except LivematteError as error:
            self._say.warn(f"{error} The settings stay as they were.")

    def _change_background(self, text: str) -> None:
        compositor = self._compositor
        if compositor is None or compositor.set_background(text, reporter=self._say):
            self._background = text

    def _turn(self, command: Sleep | Wake | Stop) -> None:
        with self._changed:
            self._is_asleep = isinstance(command, Sleep)
            self._is_stopping = self._is_stopping or isinstance(command, Stop)
            if not isinstance(command, Wake):
                self._end_run.set()
                self._inbox.interrupt(True)
            self._changed.notify_all()


def load_plugin(name: str) -> Callable[[WorkerSpec], None]:
    """The function that `module:function` names. UsageError where there is none."""
    module, _, function = name.partition(":")
    try:
        found: Callable[[WorkerSpec], None] = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(f"the plugin '{name}' cannot be loaded: {error}. Name it as module:function.") from error
    return found


def refuse_kept_background(settings: MattingSettings) -> None:
    """UsageError where live pictures would carry the room under alpha 0."""
    if settings.keep_background:
        raise UsageError(
            "--keep-background is for files: live, the room behind the person never leaves the program. Leave it out."
        )


def describe(source: Source) -> str:
    """What was got, for the status line: `camera 0: C920, 1280x720 at 30, MJPEG`."""
    info = source.info
    rate = f" at {float(info.frame_rate):.6g}" if info.frame_rate else ""
    return f"{info.name}, {info.width}x{info.height}{rate}, {source.decoder}"


def failure(error: Exception, *, never_ran: bool, source: str) -> Failed:
    """What the supervisor is told of an error.

    Final, because another start cannot help: bad usage, an unknown or broken network, a clip that breaks off; and
    whatever keeps the very first worker from running (no such camera, no such device): it was asked for wrongly. Later
    the same is a camera that was unplugged, and may come back.
    """
    kind = type(error).__name__
    if not isinstance(error, LivematteError):
        where = traceback.extract_tb(error.__traceback__)
        at = f" ({Path(where[-1].filename).name}:{where[-1].lineno})" if where else ""
        text = f"the camera's process met an error that the program does not know: {kind}: {error}{at}."
        return Failed(kind, text, 1, is_final=False)
    broke_off = isinstance(error, EndedEarly) and not is_camera(source) and not is_url(source)
    is_final = never_ran or broke_off or isinstance(error, UsageError | ModelError)
    return Failed(kind, str(error), error.exit_code, is_final=is_final)


def _is_left_behind() -> bool:
    """A thread of the pipeline hangs in native code."""
    own = ("livematte-inbox", "livematte-control", "livematte-beats")
    return any(t.name.startswith("livematte-") and t.name not in own for t in threading.enumerate())
