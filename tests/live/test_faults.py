"""Faults in every stage of a real worker: no pixel of the room reaches an output, the card comes, all is cleaned up.

The room has a colour of its own and the network removes it by formula (`fault_plugins.py`); every picture that an
output is sent is looked at. How long the card took is printed, for machines are too busy to assert it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from fault_plugins import BY_GENERATION, ROOM_V
from live_fakes import FakeOutput, act, drive, failing, make, nothing_left, spec_for

from livematte.config import ModelSettings
from livematte.errors import SinkError
from livematte.live import keeper
from livematte.live.base import LiveFrame
from livematte.live.child import real_worker
from livematte.live.messages import WorkerSpec
from livematte.planes import plane_arrays
from livematte.reporting import ListReporter

pytestmark = pytest.mark.slow
BACKGROUND = "#203040"
STEP_SECONDS = 60.0


@pytest.fixture(autouse=True)
def _nothing_left():
    with nothing_left():
        yield


def shows_no_room(item: Any) -> None:
    """AssertionError, which fails the output and with it the test, where a sample has the room's colour."""
    if isinstance(item, LiveFrame):
        assert item.before is None
        pictures = [item.composite] if item.composite is not None else []
        if item.matted is not None:
            pictures += [item.matted.frame.host_picture(), item.matted.matte.foreground]
    else:
        pictures = [item.composite]
    for picture in pictures:
        highest = int(plane_arrays(picture)[2].max())
        assert highest < ROOM_V, f"the room is seen: V reaches {highest}"


def watched(name: str = "virtual", **more: Any) -> FakeOutput:
    return FakeOutput(name, look=shows_no_room, **more)


def spec(*plugins: str) -> WorkerSpec:
    made = spec_for("fault_plugins:room", *(f"fault_plugins:{name}" for name in plugins), background=BACKGROUND)
    settings = made.settings.model_copy(update={"model": ModelSettings(runtime="null")})
    return replace(made, settings=settings, adapts=False)


def worker_pids() -> list[int]:
    """Children that are workers: all but multiprocessing's tracker."""
    children = psutil.Process().children()
    return [child.pid for child in children if "resource_tracker" not in " ".join(child.cmdline())]


def test_the_look_itself_sees_the_room() -> None:
    from fault_plugins import picture

    from livematte.live.base import Placeholder

    with pytest.raises(AssertionError, match="the room is seen"):
        shows_no_room(Placeholder(picture(64, 48), None, ""))  # type: ignore[arg-type]


def test_faults_in_every_stage_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Camera gone, read that never returns, network raising, engine hanging, worker killed and stopped."""
    monkeypatch.setattr(keeper, "SILENCE_SECONDS", 3.0)
    monkeypatch.setattr(keeper, "LONGEST_PAUSE_SECONDS", 0.5)
    camera, reporter = watched(), ListReporter()
    straight = watched("obs", wants="straight", is_paced=False, is_vital=False)
    supervisor = make(spec("fault_by_generation"), camera, straight, entry=real_worker, reporter=reporter)
    steps: list[Any] = []
    for generation, (_, _, words) in enumerate(BY_GENERATION, 1):
        steps += [
            lambda g=generation: camera.shows_frame(g) or camera.saw_card_after(g),
            lambda g=generation, w=words: camera.saw_card_after(g, w),
        ]
    last = len(BY_GENERATION) + 1
    for sign in ("SIGKILL", "SIGSTOP"):
        if not hasattr(signal, sign):
            continue
        number = getattr(signal, sign)
        steps += [
            lambda g=last: camera.shows_frame(g),
            act(lambda n=number: [os.kill(pid, n) for pid in worker_pids()]),
            lambda g=last: camera.saw_card_after(g, "Something went wrong"),
        ]
        last += 1
    steps.append(lambda g=last: camera.shows_frame(g) and straight.shows_frame(g))
    summary, _ = drive(supervisor, *steps, limit=len(steps) * STEP_SECONDS)
    delays = [round(1000 * camera.card_delay(generation)) for generation in range(1, last)]
    gap = round(1000 * camera.longest_gap())
    print(f"card after each worker's last frame: {delays} ms; longest time between two sends: {gap} ms")  # noqa: T201
    generations = [one.generation for one in camera.frames()]
    assert generations == sorted(generations)
    assert set(generations) == set(range(1, last + 1))
    assert summary.faults == last - 1
    assert summary.outputs == {"virtual": "closed", "obs": "closed"}
    assert any("the camera is gone" in warning for warning in reporter.warnings)
    assert any("does not answer" in warning for warning in reporter.warnings)
    assert any("the device was lost" in warning for warning in reporter.warnings)


def test_sizes_that_change_and_clocks_that_jump_back() -> None:
    camera = watched(keeps_items=True)
    recording = watched("out.mov", is_paced=False, keeps_all=True, is_vital=False)
    supervisor = make(spec("changes_and_jumps"), camera, recording, entry=real_worker)
    summary, _ = drive(supervisor, lambda: any(one.number > 60 for one in camera.frames()), limit=STEP_SECONDS)
    assert {(one.item.width, one.item.height) for one in camera.frames()} == {(320, 180), (640, 360)}
    assert any(one.item.time.pts < 0 for one in camera.frames())
    assert all(0 <= one.latency_ms < 60_000 for one in camera.frames())
    assert summary.faults == 0
    assert summary.frames > 0


@pytest.mark.parametrize("is_vital", [True, False])
def test_an_output_that_refuses(is_vital: bool) -> None:
    refusing, other = watched("virtual", is_vital=is_vital, trouble=failing(5)), watched("null", is_vital=False)
    supervisor = make(spec(), refusing, other, entry=real_worker)
    if is_vital:
        with pytest.raises(SinkError, match="is full"):
            drive(supervisor, lambda: False, limit=STEP_SECONDS)
    else:
        drive(supervisor, lambda: len(other.frames()) > 30, limit=STEP_SECONDS)
    assert supervisor.summary().outputs["null"] == "closed"
    assert supervisor.summary().outputs["virtual"].startswith("failed")
    assert other.calls == ["open", "close"]


def test_camera_off_closes_the_camera_of_a_real_worker_and_on_opens_it() -> None:
    camera = watched()
    supervisor = make(spec(), camera, entry=real_worker)
    summary, _ = drive(
        supervisor,
        camera.shows_frame,
        act(lambda: supervisor.set_camera_off(True)),
        lambda: camera.shows_card("The camera is off.") and supervisor._keeper._watch._phase == "asleep",
        act(lambda: supervisor.set_camera_off(False)),
        camera.shows_frame,
        limit=3 * STEP_SECONDS,
    )
    assert summary.faults == 0


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
@pytest.mark.parametrize("first", ["", "SIGSTOP"])
def test_a_supervisor_that_is_killed_takes_its_worker_and_shared_memory_with_it(first: str, tmp_path: Path) -> None:
    """Also a worker that is stopped, which cannot see its pipe close."""
    if first and sys.platform != "linux":
        pytest.skip("only Linux ends a stopped worker with its supervisor")
    program = tmp_path / "live.py"
    program.write_text(
        textwrap.dedent(f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from pathlib import Path
        from unittest import mock
        from live_fakes import FakeOutput, make, spec_for
        from livematte.live.child import real_worker
        from livematte.live.ring import Ring
        from test_faults import spec

        if __name__ == "__main__":
            create, names = Ring.create, []
            def noted(slots, slot_bytes):
                made = create(slots, slot_bytes)
                names.append(made.name)
                return made
            Ring.create = noted
            output = FakeOutput()
            supervisor = make(spec(), output, entry=real_worker)
            def tick(state):
                if len(output.frames()) > 5:
                    Path(sys.argv[1]).write_text(f"{{supervisor._keeper._child.pid}} {{names[-1]}}")
            supervisor.run(tick)
        """)
    )
    report = tmp_path / "report"
    with subprocess.Popen([sys.executable, str(program), str(report)], stderr=subprocess.DEVNULL) as process:
        until = time.monotonic() + STEP_SECONDS
        while not (report.exists() and report.read_text().count(" ")) and time.monotonic() < until:
            assert process.poll() is None, "the program ended"
            time.sleep(0.1)
        pid, name = report.read_text().split()
        worker = psutil.Process(int(pid))
        if first:
            worker.send_signal(getattr(signal, first))
        process.kill()
        process.wait()
    worker.wait(STEP_SECONDS)
    assert not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE
    memory = Path("/dev/shm", name)
    until = time.monotonic() + STEP_SECONDS
    while memory.exists() and time.monotonic() < until:  # the tracker of resources removes it
        time.sleep(0.1)
    assert not memory.exists()
