"""What the command line says of itself, and of what nobody could have meant."""

from __future__ import annotations

import subprocess
import sys

import pytest
from outcome import Command

import livematte


def test_version(command: Command) -> None:
    done = command("--version")
    assert (done.code, done.out.strip()) == (0, f"livematte {livematte.__version__}")


def test_nothing_at_all_shows_the_help(command: Command) -> None:
    done = command()
    assert done.code == 0
    for name in ("convert", "photo", "webcam", "app", "demo", "model", "engine", "bench", "evaluate", "doctor"):
        assert name in done.out


@pytest.mark.parametrize(
    "name", ["convert", "photo", "webcam", "app", "demo", "doctor", "model", "engine", "bench", "evaluate"]
)
def test_every_command_has_help(command: Command, name: str) -> None:
    done = command(name, "--help")
    assert done.code == 0
    assert f"livematte {name}" in done.out


def test_help_of_convert_comes_from_the_settings_table(command: Command) -> None:
    text = " ".join(command("convert", "--help").out.replace("│", " ").split())
    from livematte.config import Settings

    for name, section in Settings.model_fields.items():
        if name == "live":  # of `webcam`
            continue
        for key, field in section.annotation.model_fields.items():  # type: ignore[union-attr]
            assert f"--{key.replace('_', '-')}" in text
            assert (field.description or "?").split(":")[0].split(";")[0] in text


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["conver", "a"], ["no command 'conver'", "Did you mean 'convert'?"]),
        (["convert"], ["the input is missing", "livematte convert clip.mp4", "livematte convert --help"]),
        (["convert", "a.mp4", "--qualit", "best"], ["no option '--qualit'", "'--quality'"]),
        (["convert", "a.mp4", "--quality", "superb"], ["--quality cannot be 'superb'", "fast, good or best"]),
        (["convert", "a.mp4", "--despill", "3"], ["--despill cannot be '3'", "a number from 0 to 1"]),
        (["convert", "a.mp4", "--threads", "2.5"], ["--threads cannot be '2.5'", "a whole number from 0 to 256"]),
        (["convert", "a.mp4", "--levels", "0.1"], ["--levels cannot be '0.1'", "2 numbers, such as 0,1"]),
        (["convert", "a.mp4", "--levels", "a,b"], ["--levels cannot be 'a'", "2 numbers"]),
        (["convert", "a.mp4", "--threads"], ["--threads needs a value"]),
        (["convert", "a.mp4", "--quiet=7"], ["--quiet cannot be '7'", "true or false"]),
        (["convert", "a.mp4", "--model", "a", "--model", "b"], ["--model is given more than once"]),
        (["model", "show"], ["the name is missing", "livematte model list"]),
        (["model", "show", "isnet", "u2net"], ["'u2net' is one argument too many"]),
        (["doctor", "--jsn"], ["no option '--jsn'", "'--json'"]),
    ],
)
def test_wrong_usage_ends_with_2_and_our_own_words(command: Command, arguments: list[str], parts: list[str]) -> None:
    done = command(*arguments)
    assert done.code == 2
    for part in parts:
        assert part in done.message
    for foreign in ("Traceback", "pydantic", "cyclopts", "validation error", "╭"):
        assert foreign not in done.err + done.out
    assert len(done.err.strip().splitlines()) == 1


def test_usage_errors_are_json_where_json_was_asked_for(command: Command) -> None:
    done = command("convert", "a.mp4", "--json", "--despill", "3")
    assert done.code == 2
    assert done.events[-1]["event"] == "error"
    assert done.events[-1]["exit_code"] == 2
    assert "--despill" in done.events[-1]["message"]
    assert done.err == ""


def test_python_m_livematte_is_the_same() -> None:
    done = subprocess.run([sys.executable, "-m", "livematte", "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, f"livematte {livematte.__version__}")


def test_help_imports_neither_codecs_nor_runtimes() -> None:
    code = (
        "import sys; from livematte.cli.app import run; run(['--help']);"
        "print([m for m in ('av', 'cv2', 'numpy', 'onnxruntime', 'pydantic', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_output_is_ascii_where_the_terminal_has_nothing_else(tmp_path: object) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "utf8=0", "-m", "livematte", "convert", "fehlt-ü-→.mp4"],
        capture_output=True,
        env={"PYTHONIOENCODING": "ascii", "PATH": "", "LC_ALL": "C"},
        check=False,
    )
    assert done.returncode == 3
    assert done.stderr.decode("ascii").startswith("livematte: ")
    assert b"Traceback" not in done.stderr
