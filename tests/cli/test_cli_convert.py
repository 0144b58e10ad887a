"""`livematte convert`, as a person and as a program use it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import pytest
from outcome import Command

from clipmaker import Clip, write_clip

SYNTHETIC = "synthetic:64x48@25:10"
SUMMARY_KEYS = {"frames", "dropped", "repeated", "empty_frames", "seconds", "fps", "stages", "output"}


def test_a_clip_becomes_a_transparent_mov_beside_it(command: Command, clip: Path) -> None:
    done = command("convert", clip)
    assert done.code == 0, done.err
    output = clip.with_name("clip_alpha.mov")
    with av.open(str(output)) as container:
        assert container.streams.video[0].codec_context.pix_fmt.startswith("yuva444p")
        assert sum(1 for _ in container.decode(video=0)) == 10
    (
        first,
        *_,
    ) = done.out.splitlines()
    for part in ("livematte-s", "cpu", "onnxruntime", "h264", "ProRes 4444"):
        assert part in first
    assert str(output) in done.out
    assert "Premiere" in done.out
    assert "Straight" in done.out


def test_several_outputs_from_one_pass(command: Command) -> None:
    done = command("convert", SYNTHETIC, "-o", "a.mov", "-o", "b.webm", "--output", "c.mkv")
    assert done.code == 0, done.err
    assert sorted(path.name for path in Path().iterdir()) == ["a.mov", "b.webm", "c.mkv"]


def test_json_lines(command: Command) -> None:
    done = command("convert", SYNTHETIC, "-o", "a.mov", "--json")
    assert done.code == 0
    events = done.events
    assert events[0]["event"] in ("start", "note")
    assert any(one["event"] == "progress" for one in events)
    last = events[-1]
    assert last["event"] == "summary"
    assert last.keys() >= SUMMARY_KEYS
    assert last["frames"] == 10
    assert last["output"][0]["path"] == "a.mov"
    assert last["output"][0]["bytes"] == Path("a.mov").stat().st_size
    assert done.err == ""


def test_quiet_says_nothing(command: Command) -> None:
    # The null network sees somebody everywhere: an empty clip would be a warning, which --quiet does not silence.
    done = command("convert", SYNTHETIC, "-o", "a.mov", "--quiet", "--runtime", "null")
    assert (done.code, done.out, done.err) == (0, "", "")


def test_report(command: Command) -> None:
    assert command("convert", SYNTHETIC, "--format", "null", "--report", "r.json", "--shrink", "2").code == 0
    report = json.loads(Path("r.json").read_text())
    assert report["summary"]["frames"] == 10
    assert report["settings"]["matting"]["shrink"] == 2
    assert isinstance(report["notes"], list)


def test_stdout_carries_the_picture_and_nothing_else() -> None:
    arguments = [sys.executable, "-m", "livematte", "convert", SYNTHETIC, "-o", "-", "--format", "rawvideo"]
    done = subprocess.run(arguments, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout) == 64 * 48 * 4 * 10
    assert b"livematte-s" in done.stderr


def test_several_inputs_go_into_a_folder(command: Command, clip: Path) -> None:
    other = clip.with_name("other.mp4")
    write_clip(other, Clip(frames=4))
    Path("out").mkdir()
    Path("out/clip_alpha.webm").write_text("already here")
    bad = clip.with_name("bad.mp4")
    bad.write_text("no film")
    done = command("convert", clip, bad, "nowhere.mp4", other, "-o", "out/", "--format", "webm", "--json")
    assert done.code == 1
    last = done.events[-1]
    assert last.keys() >= SUMMARY_KEYS
    assert last["skipped"] == [str(Path("out/clip_alpha.webm"))]
    assert [one["input"] for one in last["failed"]] == ["nowhere.mp4", str(bad)]
    assert [one["path"] for one in last["output"]] == [str(Path("out/other_alpha.webm"))]
    assert last["frames"] == 4
    assert Path("out/clip_alpha.webm").read_text() == "already here"


def test_a_fault_of_ours_with_one_clip_does_not_cost_the_others(
    command: Command, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from livematte.conversion import Conversion

    whole = Conversion.run

    def run(self: Conversion, *arguments: Any) -> Any:
        if "clip" in self.source_spec:
            self.close()
            raise RuntimeError("a bug")
        return whole(self, *arguments)

    monkeypatch.setattr(Conversion, "run", run)
    other = clip.with_name("other.mp4")
    write_clip(other, Clip(frames=4))
    done = command("convert", clip, other, "-o", "out/", "--format", "mov", "--json")
    assert done.code == 1
    last = done.events[-1]
    assert "RuntimeError: a bug" in last["failed"][0]["message"]
    assert [one["path"] for one in last["output"]] == [str(Path("out/other_alpha.mov"))]


def test_subfolders_are_mirrored(command: Command, tmp_path: Path) -> None:
    for name in ("a/one.mp4", "b/one.mp4"):
        path = tmp_path / "shoot" / name
        path.parent.mkdir(parents=True)
        write_clip(path, Clip(frames=2))
    done = command("convert", tmp_path / "shoot", "-o", "out/")
    assert done.code == 0, done.err
    found = sorted(path.relative_to("out").as_posix() for path in Path("out").rglob("*.mov"))
    assert found == ["a/one_alpha.mov", "b/one_alpha.mov"]


def test_two_inputs_that_want_one_name_are_refused(command: Command, tmp_path: Path) -> None:
    paths = []
    for name in ("a", "b"):
        path = tmp_path / name / "one.mp4"
        path.parent.mkdir()
        write_clip(path, Clip(frames=2))
        paths.append(path)
    done = command("convert", *paths, "-o", "out/")
    assert done.code == 2
    assert "one_alpha.mov" in done.message


def test_several_inputs_need_a_folder(command: Command, clip: Path) -> None:
    done = command("convert", clip, clip.with_name("b.mp4").as_posix(), "-o", "one.mov")
    assert done.code in (2, 3)
    write_clip(clip.with_name("b.mp4"), Clip(frames=2))
    done = command("convert", clip, clip.with_name("b.mp4"), "-o", "one.mov")
    assert done.code == 2
    assert "-o one/" in done.message


def test_background_makes_an_opaque_mp4(command: Command, clip: Path) -> None:
    done = command("convert", clip, "--background", "120,255,155")
    assert done.code == 0, done.err
    made = [path for path in clip.parent.iterdir() if path.suffix == ".mp4" and path != clip]
    assert len(made) == 1
    with av.open(str(made[0])) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"


def test_try_writes_one_picture(command: Command, clip: Path) -> None:
    done = command("convert", clip, "--try")
    assert done.code == 0, done.err
    assert sorted(path.name for path in clip.parent.glob("clip*")) == ["clip.mp4", "clip_try.png"]
    assert "Expected size" in done.out


def test_a_person_is_asked_before_a_file_is_replaced(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from livematte.cli.console import Console

    Path("out.mov").write_text("precious")
    asked: list[str] = []
    monkeypatch.setattr(Console, "is_terminal", True)

    def answer(reply: bool) -> None:
        monkeypatch.setattr(Console, "ask", lambda self, question: asked.append(question) or reply)

    answer(False)
    assert command("convert", SYNTHETIC, "-o", "out.mov").code == 2
    assert Path("out.mov").read_text() == "precious"
    answer(True)
    assert command("convert", SYNTHETIC, "-o", "out.mov").code == 0
    assert Path("out.mov").stat().st_size > 1000
    assert len(asked) == 2
    assert "out.mov" in asked[0]


@pytest.mark.parametrize("place", [0, 1])
def test_constant_rate_needs_no_number(command: Command, clip: Path, place: int) -> None:
    words: list[object] = [clip, "-o", "a.mov"]
    words.insert(place, "--constant-rate")
    done = command("convert", *words)
    assert done.code == 0, done.err
    assert "constant 25 frames a second" in done.out


def test_what_is_clicked_depends_on_what_was_written(command: Command) -> None:
    done = command("convert", SYNTHETIC, "-o", "a.mov", "--alpha-only")
    assert "luma matte" in done.out
    assert "Straight" not in done.out


@pytest.mark.parametrize("json_lines", [[], ["--json"]])
@pytest.mark.parametrize("number", [1, 2])
def test_credentials_in_addresses_are_never_shown(command: Command, json_lines: list[str], number: int) -> None:
    addresses = [f"http://bob:s3cret@127.0.0.1:9/{n}.mp4?token=abc123" for n in range(number)]
    done = command("convert", *addresses, "--debug", *json_lines)
    assert done.code == (3 if number == 1 else 1)
    assert "127.0.0.1:9/0.mp4" in done.out + done.err
    for secret in ("s3cret", "abc123", "bob"):
        assert secret not in done.out + done.err


def test_the_first_failure_is_named_at_once_and_all_at_the_end(command: Command, clip: Path) -> None:
    bad, worse = clip.with_name("bad.mp4"), clip.with_name("worse.mp4")
    bad.write_text("no film")
    worse.write_text("none either")
    done = command("convert", bad, clip, worse, "-o", "out/")
    assert done.code == 1
    lines = done.out.splitlines()
    named = next(number for number, line in enumerate(lines) if f"{bad} failed" in line)
    assert named < lines.index(f"[2/3] {clip}")
    assert lines[-1] == f"1 converted, 2 failed: {bad}, {worse}."


@pytest.mark.parametrize("target", [("-o", "shoot/out/"), ()])
def test_results_of_an_earlier_run_are_no_inputs(command: Command, clip: Path, target: tuple[str, ...]) -> None:
    Path("shoot").mkdir()
    for name in ("a", "b"):
        write_clip(Path("shoot", f"{name}.mp4"), Clip(frames=2))
    first = command("convert", "shoot", *target)
    assert first.code == 0, first.err
    made = sorted(path.name for path in Path("shoot").rglob("*.mov"))
    assert made == ["a_alpha.mov", "b_alpha.mov"]
    again = command("convert", "shoot", *target, "--json")
    assert again.code == 0, again.out
    assert len(again.events[-1]["skipped"]) == 2
    assert sorted(path.name for path in Path("shoot").rglob("*.mov")) == made
    assert any("results of an earlier run" in str(one.get("message")) for one in again.events)
