"""Running the command line in this process, and small inputs for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from outcome import Command, Outcome

from clipmaker import Clip, write_clip
from livematte.cli.app import run


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """`command("convert", path)`, in an empty folder that is also the current one."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("LIVEMATTE_DEBUG", raising=False)

    def call(*arguments: object) -> Outcome:
        capsys.readouterr()
        code = run([str(one) for one in arguments])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Ten frames of 64x48 H.264 in MP4."""
    path = tmp_path / "clip.mp4"
    write_clip(path, Clip())
    return path
