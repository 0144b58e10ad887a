"""One worker process: its pipe, the threads that empty and fill it, its ring, and its end.

Note [A worker's end]
    A worker that hangs does not empty its pipe, does not answer, and does not mind SIGTERM; one that was stopped
    (SIGSTOP) does nothing at all. So commands go through a thread that may block, and the end is SIGKILL, which the
    system carries out in every state but one: a process inside a driver call that cannot be interrupted goes when
    that call returns. `reap` therefore never waits: it says whether the process is gone, and gives everything back
    then. The ring is unlinked at once: the name goes, and the memory with the last process that has it mapped.

    On Linux the system also kills the worker when the supervisor dies (`PR_SET_PDEATHSIG`), also a worker whose
    threads all hang. Elsewhere the worker sees its pipe close (`worker.py`).
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import pickle
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, TypeAlias

from livematte.errors import LivematteError
from livematte.live.base import LiveFrame
from livematte.live.interrupts import REQUESTS, ignore_requests_to_end
from livematte.live.messages import Failed, FromWorker, Published, RingAt, RingWanted, ToWorker, WorkerSpec
from livematte.live.ring import SLOTS, Ring

Entry: TypeAlias = Callable[[WorkerSpec, Connection], None]
"""What runs in the child: a function of a module, so that it can be found there (`worker.main`)."""

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Gone:
    """The worker's end of the pipe is closed; everything that it said came before this."""

    text: str = ""
    """Why, where the pipe itself told; for the log."""


class Child:
    """One worker, from its start to its end. `start`, `kill` and `reap` are called by one thread."""

    def __init__(
        self,
        spec: WorkerSpec,
        entry: Entry,
        *,
        on_frame: Callable[[LiveFrame], None],
        on_message: Callable[[Child, FromWorker | Gone], None],
    ) -> None:
        """Both functions are called on the reader's thread and must not block; not for a worker that was killed."""
        self.spec = spec
        self._entry = entry
        self._on_frame = on_frame
        self._on_message = on_message
        self._process: Any = None
        self._pipe: Connection | None = None
        self._outbox: queue.SimpleQueue[ToWorker | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._ring: Ring | None = None
        self._lock = threading.Lock()
        self._is_killed = False
        self.heard = time.monotonic()
        """When it last said something."""
        self.pid = 0

    def start(self) -> None:
        """Spawn it. OSError where the system gives no process, pipe or thread; nothing is left then."""
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe(duplex=True)
        self._pipe = here
        try:
            with there, _requests_held():
                self._process = context.Process(
                    target=_run, args=(self._entry, self.spec, there), name="livematte-worker", daemon=True
                )
                self._process.start()
        except BaseException:
            self._process = None
            here.close()
            raise
        self.pid = self._process.pid
        self.heard = time.monotonic()
        for name, body in (("reader", self._read), ("sender", self._write)):
            thread = threading.Thread(target=body, name=f"livematte-{name}-{self.spec.generation}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def send(self, message: ToWorker) -> None:
        """Hand over a command. Never blocks; one that the worker does not take is lost with it."""
        self._outbox.put(message)

    @property
    def is_alive(self) -> bool:
        """False once the process is gone (and not a zombie any more)."""
        return self._process is not None and self._process.is_alive()

    def kill(self) -> None:
        """End it at once (SIGKILL). Nothing that it said and nobody heard yet is handed on."""
        with self._lock:
            self._is_killed = True
        if self._process is not None:
            self._process.kill()
        self._outbox.put(None)
        self._drop_ring()

    def finish_sending(self) -> None:
        """No more commands; those before still go."""
        self._outbox.put(None)

    def reap(self) -> bool:
        """True: process, threads, pipe and shared memory are gone. False: not yet; ask again. Never waits long."""
        if self._process is None:
            self._drop_ring()
            return True
        if self._process.is_alive():
            return False
        self._outbox.put(None)
        for thread in self._threads:
            thread.join(0.05)
        if any(thread.is_alive() for thread in self._threads):
            # A process of the worker's own still holds the pipe open: end the connection under the threads.
            _shut(self._pipe)
            return False
        if self._pipe is not None:
            self._pipe.close()
        self._process.join()
        self._process.close()
        self._process = None
        self._drop_ring()
        return True

    # -- threads ------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        assert self._pipe is not None
        end = Gone("a fault of our own")
        try:
            while True:
                message: FromWorker = self._pipe.recv()
                self.heard = time.monotonic()
                self._take(message)
        except EOFError:
            end = Gone()
        except OSError as error:  # how a connection ends under Windows, and when it is reset
            end = Gone(str(error))
        except (pickle.UnpicklingError, AttributeError, ImportError, TypeError, ValueError) as error:
            end = Gone(f"it said what cannot be understood ({error})")
        finally:
            self._tell(end)

    def _take(self, message: FromWorker) -> None:
        if isinstance(message, Published):
            self._copy_out(message)
            return
        self._tell(message)
        if isinstance(message, RingWanted):
            try:
                self._give_ring(message.slot_bytes)
            except LivematteError as error:
                self._tell(Failed(type(error).__name__, str(error), error.exit_code, is_final=False))

    def _copy_out(self, published: Published) -> None:
        with self._lock:
            if self._ring is None or self._is_killed:
                return
            frame, damage = self._ring.read(published), self._ring.damage
        if damage:
            raise ValueError(f"a picture in shared memory that is none: {damage}")
        if frame is not None:
            self._on_frame(frame)

    def _tell(self, message: FromWorker | Gone) -> None:
        if not self._is_killed:
            self._on_message(self, message)

    def _give_ring(self, slot_bytes: int) -> None:
        """A new ring; all that was published in the one before has been copied out, for messages come in order."""
        self._drop_ring()
        with self._lock:
            if self._is_killed:
                return
            self._ring = ring = Ring.create(SLOTS, slot_bytes)
        self.send(RingAt(ring.name, ring.slots, ring.slot_bytes))

    def _drop_ring(self) -> None:
        with self._lock:
            ring, self._ring = self._ring, None
        if ring is not None:
            ring.close()  # and removes its name, for we created it

    def _write(self) -> None:
        assert self._pipe is not None
        while (message := self._outbox.get()) is not None:
            try:
                self._pipe.send(message)
            except (OSError, ValueError):  # it is gone; the reader tells
                return


def real_worker(spec: WorkerSpec, connection: Connection) -> None:
    """The entry of a real run. The supervisor itself never imports the worker, nor what the worker needs."""
    from livematte.live import worker

    worker.main(spec, connection)


def _run(entry: Entry, spec: WorkerSpec, connection: Connection) -> None:
    """The child's first function."""
    ignore_requests_to_end()
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, REQUESTS)
    _die_with_the_parent()
    with contextlib.suppress(OSError):
        os.dup2(2, 1)  # the supervisor's stdout may carry pictures (`--output -`): no library of ours writes there
    entry(spec, connection)


def _die_with_the_parent() -> None:
    """Linux: the system sends SIGKILL when the thread that started this process ends (prctl(2))."""
    if sys.platform != "linux":
        return
    parent = multiprocessing.parent_process()
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if parent is not None and os.getppid() != parent.pid:  # it died before that
        os._exit(1)


@contextmanager
def _requests_held() -> Iterator[None]:
    """A Ctrl-C waits while a child is started: it must not find the child before that ignores it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, REQUESTS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _shut(pipe: Connection | None) -> None:
    """End a connection under the threads that use it."""
    if pipe is None or sys.platform == "win32":
        return
    import socket

    with contextlib.suppress(OSError):
        shared = socket.socket(fileno=os.dup(pipe.fileno()))
        try:
            shared.shutdown(socket.SHUT_RDWR)
        finally:
            shared.close()
