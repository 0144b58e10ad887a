"""Two programs that want the same plan at once: one builds, the other waits, says so, and has the first one's plan."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import filelock
import plans_builder
import pytest
from plans_helpers import NOTES, PLAN, key, store

from livematte.reporting import ListReporter
from livematte.runtimes.plans import PlanBytes, Pruning, lock, prune

LONG_SECONDS = 120
Start = Callable[[str], "Builder"]


class Builder:
    """A running `plans_builder.py`."""

    def __init__(self, folder: Path, name: str) -> None:
        self._said = folder / f"{name}.txt"
        with self._said.open("w", encoding="utf-8") as file:
            self.process = subprocess.Popen(
                [sys.executable, plans_builder.__file__, str(folder), name], stdout=file, stderr=subprocess.STDOUT
            )

    @property
    def said(self) -> str:
        return self._said.read_text(encoding="utf-8")

    def wait_for(self, word: str) -> None:
        until(lambda: word in self.said, f"'{word}' in: {self.said}")

    def end(self) -> str:
        assert self.process.wait(LONG_SECONDS) == 0, self.said
        return self.said


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts builders; ends those that still run."""
    running: list[Builder] = []

    def one(name: str) -> Builder:
        running.append(Builder(tmp_path, name))
        return running[-1]

    yield one
    for builder in running:
        builder.process.kill()
        builder.process.wait()


def until(condition: Callable[[], bool], what: str) -> None:
    limit = time.monotonic() + LONG_SECONDS
    while not condition():
        assert time.monotonic() < limit, what
        time.sleep(0.02)


def built(folder: Path) -> list[str]:
    path = folder / "built"
    return path.read_text(encoding="utf-8").split() if path.exists() else []


def test_the_second_one_waits_and_has_the_first_ones_plan(tmp_path: Path, start: Start) -> None:
    first = start("first")
    until(lambda: built(tmp_path) == ["first"], "the first one builds")
    second, third = start("second"), start("third")
    for one in (second, third):
        one.wait_for("note: another livematte is building the plan of livematte-s at this moment; waiting for it")
    (tmp_path / "go").touch()
    assert "waited: False" in first.end()
    for one in (second, third):
        assert "waited: True" in one.end()
        assert "has: plan of first" in one.said
    assert built(tmp_path) == ["first"]


def test_where_the_first_one_is_killed_the_second_one_builds(tmp_path: Path, start: Start) -> None:
    first = start("first")
    until(lambda: built(tmp_path) == ["first"], "the first one builds")
    second = start("second")
    second.wait_for("waiting for it")
    first.process.kill()
    (tmp_path / "go").touch()
    assert "has: plan of second" in second.end()
    assert built(tmp_path) == ["first", "second"]


def test_what_is_being_built_is_not_pruned(tmp_path: Path, start: Start) -> None:
    there, _ = store(tmp_path)
    there.folder = tmp_path / "plans"
    there.put(key(), PLAN, NOTES)
    there.path_of(key()).write_bytes(b"damaged")
    start("first")
    until(lambda: built(tmp_path) == ["first"], "the first one builds")
    (one,) = prune(there, Pruning(everything=True))
    assert one.kept == "it is being built at this moment"
    assert there.path_of(key()).exists()


def test_two_threads_of_one_program(tmp_path: Path) -> None:
    there, reporter = store(tmp_path)
    waits: list[bool] = []

    def other() -> None:
        with there.building(key(), what="the plan", reporter=reporter) as waited:
            waits.append(waited)

    with there.building(key(), what="the plan", reporter=reporter) as waited:
        assert not waited
        thread = threading.Thread(target=other)
        thread.start()
        until(lambda: bool(reporter.notes), "the other thread says that it waits")
        assert not waits
    thread.join(LONG_SECONDS)
    assert waits == [True]


def test_other_keys_do_not_wait(tmp_path: Path) -> None:
    there, reporter = store(tmp_path)
    with (
        there.building(key(), what="one", reporter=reporter),
        there.building(key(precision="fp32"), what="other", reporter=reporter) as waited,
    ):
        assert not waited
    assert not reporter.notes


def test_a_long_wait_is_said_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "_SECONDS_BETWEEN_WORDS", 0.05)
    reporter = ListReporter()
    held = filelock.FileLock(str(tmp_path / "a.lock"))
    held.acquire()
    monkeypatch.setattr(
        reporter, "note", lambda message: (reporter.notes.append(message), len(reporter.notes) == 3 and held.release())
    )
    with lock.building(tmp_path / "a.lock", what="the plan", reporter=reporter) as waited:
        assert waited
    assert [note.split(" (")[0] for note in reporter.notes[1:3]] == [
        "still waiting for the other livematte that is building the plan"
    ] * 2


def test_ctrl_c_ends_the_wait(tmp_path: Path) -> None:
    class Impatient(ListReporter):
        def note(self, message: str) -> None:
            raise KeyboardInterrupt

    with filelock.FileLock(str(tmp_path / "a.lock")), pytest.raises(KeyboardInterrupt):  # noqa: SIM117
        with lock.building(tmp_path / "a.lock", what="the plan", reporter=Impatient()):
            pass
    assert not lock.is_held(tmp_path / "a.lock")


@pytest.mark.parametrize("error", [OSError(37, "No locks available"), NotImplementedError("no flock here")], ids=repr)
def test_without_locks_it_is_built_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fails(_lock: object, **_options: object) -> None:
        raise error

    monkeypatch.setattr(filelock.FileLock, "acquire", fails)
    there, reporter = store(tmp_path)
    with there.building(key(), what="the plan of livematte-s", reporter=reporter) as waited:
        assert not waited
        there.put(key(), PLAN, NOTES)
    assert "another program may build the plan of livematte-s at the same time" in reporter.warnings[0]
    assert isinstance(there.get(key()), PlanBytes)


def test_an_error_while_building_frees_the_lock(tmp_path: Path) -> None:
    there, reporter = store(tmp_path)
    with pytest.raises(ZeroDivisionError), there.building(key(), what="the plan", reporter=reporter):
        raise ZeroDivisionError
    assert not lock.is_held(there.lock_of(key().id))
