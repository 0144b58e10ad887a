"""`livematte photo FOLDER --watch`: a folder that fills with pictures; the test is the clock."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from outcome import Command, Outcome
from PIL import Image
from watch_time import Step, WatchTime, nothing

import livematte
from livematte.photos import watch as photo_watch

PORTRAIT = Path(livematte.__file__).parent / "demo" / "portrait.jpg"


Watching = Callable[..., Outcome]


@pytest.fixture
def watching(command: Command, monkeypatch: pytest.MonkeyPatch) -> Watching:
    """`watching(steps, "inbox", "-o", "out/")`: a step a second, then four seconds of nothing, then Ctrl-C."""

    class Timed(photo_watch.PhotoWatch):
        time: WatchTime

        def batches(self):
            self.wait, self.clock = Timed.time.wait, lambda: Timed.time.now
            return super().batches()

    monkeypatch.setattr(photo_watch, "PhotoWatch", Timed)
    Path("inbox").mkdir()

    def watch(steps: list[Step], *arguments: object) -> Outcome:
        Timed.time = WatchTime([*steps, *[nothing] * 4])
        return command("photo", *arguments, "--watch", "--json", "--quality", "fast")

    return watch


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small picture with a person."""
    path = tmp_path_factory.mktemp("pictures") / "person.jpg"
    with Image.open(PORTRAIT) as picture:
        picture.convert("RGB").resize((240, 320)).save(path)
    return path


def test_what_is_there_then_what_arrives(watching: Watching, person: Path) -> None:
    shutil.copy(person, "inbox/a.jpg")
    Path("inbox/deep").mkdir()
    done = watching([nothing, lambda: shutil.copy(person, "inbox/deep/b.jpg")], "inbox", "-o", "out/")
    assert done.code == 0
    assert Path("out/a_alpha.png").exists()
    assert Path("out/deep/b_alpha.png").exists()
    assert done.events[-1]["frames"] == 2
    with Image.open("out/a_alpha.png") as made:
        assert made.mode == "RGBA"
        low, high = made.getchannel("A").getextrema()
        assert low == 0
        assert high > 200


def test_a_copy_that_still_grows_is_waited_for(watching: Watching, person: Path) -> None:
    data = person.read_bytes()
    half = Path("inbox/a.jpg")
    half.write_bytes(data[: len(data) // 2])
    done = watching([nothing] * 5 + [lambda: half.write_bytes(data)], "inbox", "-o", "out/")
    assert done.code == 0
    assert done.events[-1]["frames"] == 1
    assert done.events[-1]["failed"] == []


def test_what_never_opens_fails_at_once_and_at_the_end(watching: Watching, person: Path) -> None:
    Path("inbox/no.jpg").write_bytes(b"no picture")
    shutil.copy(person, "inbox/yes.jpg")
    done = watching([nothing] * 32, "inbox", "-o", "out/")
    assert done.code == 1
    assert [one["input"] for one in done.events[-1]["failed"]] == [str(Path("inbox/no.jpg"))]
    assert Path("out/yes_alpha.png").exists()


def test_what_failed_may_come_anew(watching: Watching, person: Path) -> None:
    target = Path("inbox/a.jpg")
    target.write_bytes(b"no picture")
    done = watching([nothing] * 32 + [lambda: shutil.copy(person, target)], "inbox", "-o", "out/")
    assert done.code == 0
    assert done.events[-1]["frames"] == 1


def test_two_pictures_for_one_result_and_results_that_exist(watching: Watching, person: Path) -> None:
    shutil.copy(person, "inbox/a.jpg")
    with Image.open(person) as picture:
        picture.save("inbox/a.png")
    shutil.copy(person, "inbox/old.jpg")
    Path("out").mkdir()
    Path("out/old_alpha.png").write_bytes(b"mine")
    done = watching([nothing] * 3, "inbox", "-o", "out/")
    assert done.code == 1
    assert "both be written" in done.events[-1]["failed"][0]["message"]
    assert done.events[-1]["skipped"] == [str(Path("out/old_alpha.png"))]
    assert Path("out/old_alpha.png").read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["inbox"], "one folder"),
        (["inbox", "-o", "inbox/"], "another folder"),
        (["nowhere", "-o", "out/"], "no folder"),
    ],
)
def test_what_cannot_be_watched(command: Command, arguments: list[str], word: str) -> None:
    Path("inbox").mkdir()
    done = command("photo", *arguments, "--watch")
    assert done.code == 2
    assert word in done.message
