"""Bad input and bad luck: the exit code, one paragraph, no traceback, no file under the final name."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import pytest
from outcome import Command, Outcome

from livematte.errors import LivematteError

SYNTHETIC = "synthetic:64x48@25:10"


def assert_refused(done: Outcome, code: int, folder: Path) -> None:
    assert done.code == code, done.err
    assert "Traceback" not in done.err
    assert done.message.startswith("livematte: ")
    left = [path.name for path in folder.rglob("*") if path.is_file() and ".part" not in path.name]
    assert left == []


def test_no_such_file(command: Command) -> None:
    assert_refused(command("convert", "nowhere.mp4"), 3, Path())


def test_empty_file(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "empty.mp4"
    path.touch()
    assert_refused(command("convert", path, "-o", "out.mov"), 3, Path())


def test_text_file(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "notes.mp4"
    path.write_text("not a film\n" * 50)
    assert_refused(command("convert", path, "-o", "out.mov"), 3, Path())


def test_mp4_without_its_index(command: Command, clip: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.mp4"
    path.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    assert_refused(command("convert", path, "-o", "out.mov"), 3, Path())


def test_audio_only(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "sound.m4a"
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=48000)
        frame = av.AudioFrame(format="fltp", layout="stereo", samples=1024)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.sample_rate, frame.pts = 48000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    done = command("convert", path, "-o", "out.mov")
    assert_refused(done, 3, Path())
    assert "video" in done.message or "picture" in done.message


def test_a_clip_without_frames(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "none.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    assert_refused(command("convert", path, "-o", "out.mov"), 3, Path())


def test_a_folder_that_cannot_be_written(command: Command) -> None:
    Path("file").write_text("a file where a folder should be")
    done = command("convert", SYNTHETIC, "-o", "file/out.mov")
    assert done.code == 1
    assert "file/out.mov" in done.message or "file" in done.message
    assert sorted(path.name for path in Path().iterdir()) == ["file"]


def test_an_unknown_model(command: Command) -> None:
    done = command("convert", SYNTHETIC, "--model", "rvn", "-o", "out.mov")
    assert_refused(done, 4, Path())
    assert "livematte-s" in done.message


def test_a_model_that_is_not_here(command: Command) -> None:
    done = command("convert", SYNTHETIC, "--model", "isnet", "-o", "out.mov")
    assert_refused(done, 4, Path())
    assert "livematte model fetch isnet" in done.message
    assert "179 MB" in done.message


def test_a_file_that_is_no_network(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "wrong.onnx"
    path.write_bytes(b"these are no weights" * 100)
    assert_refused(command("convert", SYNTHETIC, "--model", path, "-o", "out.mov"), 4, Path())


def test_weights_with_the_wrong_checksum(command: Command) -> None:
    from livematte.models import catalogue, weights

    place = weights.place_of(catalogue.by_name("selfie").weights())
    place.parent.mkdir(parents=True)
    place.write_bytes(b"somebody else's weights")
    done = command("convert", SYNTHETIC, "--model", "selfie", "-o", "out.mov")
    assert_refused(done, 4, Path())
    assert "sha256" in done.message
    assert command("model", "verify", "selfie").code == 4


def test_a_provider_that_is_absent(command: Command) -> None:
    done = command("convert", SYNTHETIC, "--device", "directml", "-o", "out.mov")
    assert_refused(done, 5, Path())
    assert "--device cpu" in done.message


def test_no_runtime_installed(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    done = command("convert", SYNTHETIC, "-o", "out.mov")
    assert_refused(done, 5, Path())
    assert "pip install 'livematte[cpu]'" in done.message
    assert "livematte[gpu]" in done.message


def test_the_output_is_the_input(command: Command, clip: Path) -> None:
    before = clip.read_bytes()
    for overwrite in ([], ["--overwrite"]):
        done = command("convert", clip, "-o", clip, "--background", "green", *overwrite)
        assert_refused(done, 2, Path())
        assert clip.read_bytes() == before


def test_an_existing_output_is_refused_and_kept(command: Command) -> None:
    Path("out.mov").write_text("precious")
    done = command("convert", SYNTHETIC, "-o", "out.mov")
    assert done.code == 2
    assert "--overwrite" in done.message
    assert Path("out.mov").read_text() == "precious"


def test_mp4_without_a_background(command: Command) -> None:
    done = command("convert", SYNTHETIC, "-o", "out.mp4")
    assert_refused(done, 2, Path())
    for way in (".mov", ".webm", "--background"):
        assert way in done.message


def test_a_folder_of_clips_and_pictures(command: Command, clip: Path, tmp_path: Path) -> None:
    from PIL import Image

    folder = tmp_path / "both"
    folder.mkdir()
    clip.rename(folder / "clip.mp4")
    Image.new("RGB", (8, 8)).save(folder / "one.png")
    assert_refused(command("convert", folder, "-o", "out/"), 2, Path())


@pytest.mark.skipif(sys.platform == "win32", reason="RLIMIT_FSIZE is POSIX")
def test_a_full_disk(tmp_path: Path) -> None:
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000));"
        "from livematte.cli import main; main(sys.argv[1:])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "convert", "synthetic:320x240@25:30", "-o", "out.mov"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("livematte: ")
    assert not (tmp_path / "out.mov").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_ctrl_c_keeps_what_is_there_under_its_part_name(tmp_path: Path) -> None:
    arguments = [sys.executable, "-m", "livematte", "convert", "synthetic:320x240@25:100000", "-o", "out.mov"]
    running = subprocess.Popen(arguments, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    part = tmp_path / "out.part.mov"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (part.exists() and part.stat().st_size > 100_000):
        time.sleep(0.1)
    running.send_signal(signal.SIGINT)
    with running:  # closes its pipes, whatever happens
        try:
            _, errors = running.communicate(timeout=60)
        finally:
            running.kill()
    assert running.returncode == 130, errors
    assert "Traceback" not in errors
    assert "out.part.mov" in errors
    assert not (tmp_path / "out.mov").exists()
    with av.open(str(part)) as container:
        assert sum(1 for _ in container.decode(video=0)) > 3


def test_an_unexpected_error_is_one_paragraph(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    _break(monkeypatch, ZeroDivisionError("division by zero"))
    done = command("convert", SYNTHETIC)
    assert done.code == 1
    assert "Traceback" not in done.err
    for part in ("ZeroDivisionError", "division by zero", "livematte doctor", "--debug"):
        assert part in done.message


@pytest.mark.parametrize("by_variable", [False, True])
def test_debug_shows_the_traceback(command: Command, monkeypatch: pytest.MonkeyPatch, by_variable: bool) -> None:
    _break(monkeypatch, ZeroDivisionError("division by zero"))
    if by_variable:
        monkeypatch.setenv("LIVEMATTE_DEBUG", "1")
    done = command("convert", SYNTHETIC, *([] if by_variable else ["--debug"]))
    assert "Traceback" in done.err
    assert done.message.startswith("livematte: ")


def _every_error() -> list[type[LivematteError]]:
    found: list[type[LivematteError]] = []
    todo: list[type[LivematteError]] = [LivematteError]
    while todo:
        one = todo.pop()
        found.append(one)
        todo += one.__subclasses__()
    return found


@pytest.mark.parametrize("kind", _every_error(), ids=lambda kind: kind.__name__)
def test_every_error_ends_with_its_own_code(
    command: Command, monkeypatch: pytest.MonkeyPatch, kind: type[LivematteError]
) -> None:
    _break(monkeypatch, kind("what happened"))
    done = command("convert", SYNTHETIC, "--json")
    assert done.code == kind.exit_code
    assert done.events[-1] == {
        "event": "error", "kind": kind.__name__, "exit_code": kind.exit_code, "message": "what happened",
    }  # fmt: skip


def _break(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    import livematte.conversion

    def fail(self: object) -> None:
        raise error

    monkeypatch.setattr(livematte.conversion.Conversion, "prepare", fail)


def test_a_reader_that_leaves_is_no_error_of_ours() -> None:
    command = [sys.executable, "-m", "livematte", "convert", "synthetic:320x240@25:50", "-o", "-"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert running.stdout is not None
    assert running.stderr is not None
    running.stdout.read(100)
    running.stdout.close()
    errors = running.stderr.read().decode()
    running.stderr.close()
    assert running.wait(timeout=60) == 1
    assert "Traceback" not in errors
    with contextlib.suppress(ProcessLookupError):
        os.kill(running.pid, 0)
