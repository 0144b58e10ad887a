"""The man page is made from the table of commands, and what it is made of is sound roff."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.syspath_prepend(DOCS)
    import make_man

    return make_man.page()


def test_it_is_in_step_with_the_commands(page: str) -> None:
    assert (DOCS / "livematte.1").read_text(encoding="utf-8") == page, "run: python docs/make_man.py"


def test_every_command_and_its_options_are_in_it(page: str) -> None:
    from livematte.cli.app import build

    plain = page.replace("\\-", "-")
    for name in build():
        if not name.startswith("-"):
            assert f'"livematte {name}' in plain
    for option in ("--watch", "--refine-with", "--subject", "--no-audio", "--accept-licence"):
        assert f"\\fB{option}\\fR" in plain
    assert "--no-watch" not in plain
    assert "--empty-" not in plain
    assert "Default: good." in plain


def test_no_line_of_text_is_taken_for_a_request(page: str) -> None:
    known = {".TH", ".SH", ".SS", ".PP", ".TP", ".B", ".I", ".RI", '.\\"'}
    assert {line.split(" ")[0] for line in page.splitlines() if line.startswith((".", "'"))} <= known
    assert all(re.search(r"(?<!\\)-", line) is None for line in page.splitlines() if line.startswith("\\fB-"))


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_groff_finds_nothing_wrong(page: str) -> None:
    done = subprocess.run(["groff", "-man", "-Tutf8", "-ww"], input=page, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr == ""
    assert "LIVEMATTE(1)" in re.sub(r"\x1b\[[\d;]*m|.\x08", "", done.stdout)
