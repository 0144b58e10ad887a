"""Completion at the Tab key, in the shells that are there."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from outcome import Command


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shells_script_is_sound(command: Command, shell: str, tmp_path: Path) -> None:
    done = command("completion", shell)
    assert done.code == 0, done.err
    assert "--watch" in done.out or "watch" in done.out
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    script = tmp_path / "script"
    script.write_text(done.out)
    checked = subprocess.run([shell, "-n", str(script)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize(
    ("words", "expected"),
    [("livematte con", "convert"), ("livematte convert --wat", "--watch"), ("livematte convert --smooth ", "strong")],
)
def test_bash_completes(command: Command, tmp_path: Path, words: str, expected: str) -> None:
    script = tmp_path / "livematte.bash"
    script.write_text(command("completion", "bash").out)
    given = words.split(" ")
    quoted = " ".join(f"'{word}'" for word in given)
    ask = f'source "{script}"; COMP_WORDS=({quoted}); COMP_CWORD={len(given) - 1}; _livematte; echo "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=False)
    assert expected in done.stdout.split(), done.stderr


def test_another_shell_is_refused(command: Command) -> None:
    done = command("completion", "tcsh")
    assert done.code == 2
    assert "bash, zsh" in done.message
