"""The worker's end of the pipe: one thread that reads it, and ends the process when the supervisor is gone."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Literal

from livematte.live.messages import FromWorker, Published, RingAt, RingWanted, Said, Stop, ToWorker


class WorkerStopped(Exception):
    """The supervisor has asked for the end, or for a sleep, while something was waited for."""


class ControlInbox:
    """Sends messages from any thread, and hands out those that come.

    `gone` is called on the reading thread when the pipe is closed from the other side: the supervisor has ended or
    was killed, and nobody is left who would end this process. It must not return.
    """

    def __init__(self, connection: Connection, gone: Callable[[], None]) -> None:
        self._connection = connection
        self._gone = gone
        self._sending = threading.Lock()
        self._changed = threading.Condition()
        self._asked = 0
        self._answered = 0
        self._ring: RingAt | None = None
        self._is_interrupted = False
        self.published = 0
        """Frames told of so far."""
        self.commands: queue.SimpleQueue[ToWorker | None] = queue.SimpleQueue()
        """All that came and is no `RingAt`, in order; None: nothing more comes."""

    def start(self) -> None:
        """Begin to read."""
        threading.Thread(target=self._read, name="livematte-inbox", daemon=True).start()

    def send(self, message: FromWorker) -> None:
        """Send one message; a supervisor that is gone ends the process."""
        try:
            with self._sending:
                self._connection.send(message)
        except (OSError, EOFError):
            self._gone()

    def publish(self, published: Published) -> None:
        """See `ring_sink.RingLink`."""
        self.published += 1
        self.send(published)

    def ask_for_ring(self, wanted: RingWanted) -> None:
        """See `ring_sink.RingLink`."""
        with self._changed:
            self._asked += 1
        self.send(wanted)

    def wait_for_ring(self) -> RingAt:
        """See `ring_sink.RingLink`. Each question gets one answer; only the last question's counts."""
        with self._changed:
            while self._answered < self._asked:
                if self._is_interrupted:
                    raise WorkerStopped
                self._changed.wait()
            assert self._ring is not None
            return self._ring

    def interrupt(self, interrupted: bool) -> None:
        """Let nobody wait for a ring while the run is being stopped."""
        with self._changed:
            self._is_interrupted = interrupted
            self._changed.notify_all()

    def _read(self) -> None:
        while True:
            try:
                message: ToWorker = self._connection.recv()
            except (OSError, EOFError):
                self._gone()
                self.commands.put(None)
                return
            if isinstance(message, RingAt):
                with self._changed:
                    self._ring = message
                    self._answered += 1
                    self._changed.notify_all()
                continue
            if isinstance(message, Stop):
                self.interrupt(True)
            self.commands.put(message)


class SayingReporter:
    """`Reporter` that sends each line to the supervisor."""

    def __init__(self, send: Callable[[FromWorker], None]) -> None:
        self._send = send

    def note(self, message: str) -> None:
        self._say("note", message)

    def warn(self, message: str) -> None:
        self._say("warn", message)

    def _say(self, level: Literal["note", "warn"], message: str) -> None:
        self._send(Said(level, message))
