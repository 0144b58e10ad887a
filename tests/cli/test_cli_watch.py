"""`livematte convert FOLDER --watch`: a folder that fills, without waiting for real: the test is the clock."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from outcome import Command, Outcome
from watch_time import Step, WatchTime, nothing

from clipmaker import Clip, write_clip
from livematte.cli import convert_many_watch

Watching = Callable[..., Outcome]


@pytest.fixture
def watching(command: Command, monkeypatch: pytest.MonkeyPatch) -> Watching:
    """`watching(steps, "inbox", "-o", "out/")`: a step a second, then four seconds of nothing, then Ctrl-C."""

    class Timed(convert_many_watch.Watch):
        time: WatchTime

        def run(self) -> None:
            self.wait, self.clock = Timed.time.wait, lambda: Timed.time.now
            super().run()

    monkeypatch.setattr(convert_many_watch, "Watch", Timed)
    Path("inbox").mkdir()

    def watch(steps: Sequence[Step], *arguments: object, still: int = 4) -> Outcome:
        Timed.time = WatchTime([*steps, *[nothing] * still])
        return command("convert", *arguments, "--watch", "--json")

    return watch


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "small.mp4"
    write_clip(path, Clip(frames=3))
    return path


def _made(folder: str = "out") -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file())


def _events(done: Outcome, kind: str) -> list[dict[str, object]]:
    return [one for one in done.events if one["event"] == kind]


def test_what_is_there_then_what_arrives(watching: Watching, small: Path) -> None:
    shutil.copy(small, "inbox/first.mp4")

    def arrive() -> None:
        Path("inbox/day 2").mkdir()
        shutil.copy(small, "inbox/day 2/second.mp4")

    done = watching([nothing, nothing, nothing, arrive], "inbox", "-o", "out/")
    assert done.code == 0, done.out
    assert _made() == ["day 2/second_alpha.mov", "first_alpha.mov"]
    assert [one["input"] for one in _events(done, "taken")] == [
        str(Path("inbox/first.mp4")),
        str(Path("inbox/day 2/second.mp4")),
    ]
    last = done.events[-1]
    assert last["event"] == "summary"
    assert last["frames"] == 6


def test_a_copy_that_still_grows_is_waited_for(watching: Watching, small: Path) -> None:
    content = small.read_bytes()
    target = Path("inbox/slow.mp4")

    def grow(share: float) -> Step:
        return lambda: target.write_bytes(content[: int(len(content) * share)])

    # Three seconds of stillness at half the file: it has not its index yet, so it does not open.
    steps = [grow(0.3), grow(0.5), nothing, nothing, nothing, grow(1.0)]
    done = watching(steps, "inbox", "-o", "out/")
    assert done.code == 0, done.out
    assert _made() == ["slow_alpha.mov"]
    assert _events(done, "failed") == []
    assert done.events[-1]["frames"] == 3


def test_what_is_not_whole_at_the_end_is_named(watching: Watching, small: Path) -> None:
    Path("inbox/half.mp4").write_bytes(small.read_bytes()[:500])
    done = watching([], "inbox", "-o", "out/")
    assert done.code == 0, done.out
    assert any("half.mp4" in str(one["message"]) for one in _events(done, "note"))
    assert not Path("out").exists()


def test_what_is_renamed_in_is_taken_and_scratch_is_not(watching: Watching, small: Path) -> None:
    for name in ("up.mp4.crdownload", "own.part.mp4", ".hidden.mp4", "~lock.mp4", "notes.txt", "picture.jpg"):
        shutil.copy(small, f"inbox/{name}")
    rename = lambda: os.rename("inbox/up.mp4.crdownload", "inbox/up.mp4")  # noqa: E731
    done = watching([nothing, nothing, nothing, rename], "inbox", "-o", "out/")
    assert done.code == 0, done.out
    assert _made() == ["up_alpha.mov"]


def test_results_within_the_folder_are_not_taken(watching: Watching, small: Path) -> None:
    shutil.copy(small, "inbox/one.mp4")
    done = watching([nothing] * 6, "inbox", "-o", "inbox/done/", "--format", "webm")
    assert done.code == 0, done.out
    assert _made("inbox") == ["done/one_alpha.webm", "one.mp4"]


def test_a_failure_is_named_at_once_and_at_the_end(watching: Watching, small: Path) -> None:
    Path("inbox/bad.mp4").write_text("no film")

    def arrive() -> None:
        shutil.copy(small, "inbox/good.mp4")

    done = watching([nothing] * 31 + [arrive], "inbox", "-o", "out/")
    assert done.code == 1
    kinds = [one["event"] for one in done.events]
    assert kinds.index("failed") < kinds.index("taken")
    assert [one["input"] for one in done.events[-1]["failed"]] == [str(Path("inbox/bad.mp4"))]
    assert _made() == ["good_alpha.mov"]


def test_a_clip_that_failed_may_come_anew(watching: Watching, small: Path) -> None:
    Path("inbox/late.mp4").write_text("no film")

    def arrive() -> None:
        shutil.copy(small, "inbox/late.mp4")

    done = watching([nothing] * 31 + [arrive], "inbox", "-o", "out/")
    assert done.code == 0, done.out
    assert len(_events(done, "failed")) == 1
    assert done.events[-1]["failed"] == []
    assert _made() == ["late_alpha.mov"]


def test_what_changes_after_it_was_taken_is_made_anew(watching: Watching, small: Path, tmp_path: Path) -> None:
    longer = tmp_path / "longer.mp4"
    write_clip(longer, Clip(frames=5))
    shutil.copy(small, "inbox/clip.mp4")
    done = watching([nothing] * 3 + [lambda: shutil.copy(longer, "inbox/clip.mp4")], "inbox", "-o", "out/")
    assert done.code == 0, done.out
    assert [one["frames"] for one in _events(done, "file")] == [3, 5]
    assert any("has changed" in str(one["message"]) for one in _events(done, "note"))


def test_another_clip_of_a_name_does_not_replace_the_first_ones_result(watching: Watching, small: Path) -> None:
    shutil.copy(small, "inbox/clip.mp4")

    def other() -> None:
        shutil.copy(small, "inbox/clip.mp4")
        os.utime("inbox/clip.mp4", (1, 1))

    steps = [nothing] * 3 + [lambda: os.remove("inbox/clip.mp4"), other]
    done = watching(steps, "inbox", "-o", "out/")
    assert done.code == 0, done.out
    assert len(_events(done, "file")) == 1
    assert done.events[-1]["skipped"] == [str(Path("out/clip_alpha.mov"))]


def test_existing_results_are_skipped(watching: Watching, small: Path) -> None:
    for name in ("a", "b"):
        shutil.copy(small, f"inbox/{name}.mp4")
    Path("out").mkdir()
    Path("out/a_alpha.mov").write_text("already here")
    done = watching([], "inbox", "-o", "out/")
    assert done.code == 0, done.out
    assert Path("out/a_alpha.mov").read_text() == "already here"
    assert done.events[-1]["skipped"] == [str(Path("out/a_alpha.mov"))]
    assert [one["input"] for one in _events(done, "taken")] == [str(Path("inbox/b.mp4"))]


def test_two_clips_for_one_result(watching: Watching, small: Path) -> None:
    for name in ("a.mp4", "a.mov"):
        shutil.copy(small, f"inbox/{name}")
    done = watching([], "inbox", "-o", "out/")
    assert done.code == 1
    (failed,) = done.events[-1]["failed"]
    assert "would both be written" in failed["message"]
    assert _made() == ["a_alpha.mov"]


def test_a_folder_that_goes_away_and_comes_back(watching: Watching, small: Path) -> None:
    shutil.copy(small, "inbox/a.mp4")

    def back() -> None:
        os.rename("away", "inbox")
        shutil.copy(small, "inbox/b.mp4")

    steps = [nothing] * 3 + [lambda: os.rename("inbox", "away"), nothing, back]
    done = watching(steps, "inbox", "-o", "out/")
    assert done.code == 0, done.out
    assert len([one for one in _events(done, "warning") if "cannot be read" in str(one["message"])]) == 1
    assert any("can be read again" in str(one["message"]) for one in _events(done, "note"))
    assert [one["input"] for one in _events(done, "taken")] == [str(Path("inbox/a.mp4")), str(Path("inbox/b.mp4"))]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["inbox"], "one folder"),
        (["inbox", "-o", "-"], "one folder"),
        (["inbox", "-o", "inbox/"], "another folder"),
        (["inbox", "-o", "./"], "another folder"),
        (["nowhere", "-o", "out/"], "no folder"),
        (["inbox", "-o", "out/", "--try"], "--try"),
    ],
)
def test_what_cannot_be_watched(command: Command, arguments: list[str], word: str) -> None:
    Path("inbox").mkdir()
    done = command("convert", *arguments, "--watch")
    assert done.code == 2
    assert word in done.message


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to a process")
@pytest.mark.slow
def test_ctrl_c_ends_a_real_one_with_its_summary(tmp_path: Path, small: Path) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    out = tmp_path / "out"
    words = [sys.executable, "-m", "livematte", "convert", str(inbox), "--watch", "-o", f"{out}/", "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            shutil.copy(small, inbox / "one.mp4")
            lines = []
            for line in process.stdout:
                lines.append(json.loads(line))
                if lines[-1]["event"] == "file":
                    break
            time.sleep(0.5)  # let it wait again
            process.send_signal(signal.SIGINT)
            rest = process.stdout.read().splitlines()
            assert process.wait(60) == 0
        finally:
            process.kill()
    assert json.loads(rest[-1])["event"] == "summary"
    assert (out / "one_alpha.mov").is_file()
