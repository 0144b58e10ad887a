"""Writes README's console excerpts from real runs on the demo's own clip and portrait: python docs/make_console.py"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from livematte.demo.clip import PORTRAIT, write_clip

README = Path(__file__).resolve().parents[1] / "README.md"
BEGIN, END = "<!-- console: begin (docs/make_console.py) -->", "<!-- console: end -->"
COMMANDS = (
    "livematte convert clip.mp4 -o me.webm",
    "livematte convert clip.mp4 --background blur -o call.mp4",
    "livematte photo portrait.jpg",
)


def main() -> None:
    """Run the commands in a scratch folder and put what they print between README's markers."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_clip(folder / "clip.mp4")
        shutil.copyfile(PORTRAIT, folder / "portrait.jpg")
        parts = [f"$ {command}\n{_printed(command, folder)}" for command in COMMANDS]
    block = f"{BEGIN}\n```console\n" + "\n".join(parts) + f"```\n{END}"
    text = README.read_text(encoding="utf-8")
    replaced, count = re.subn(re.escape(BEGIN) + ".*?" + re.escape(END), lambda _: block, text, flags=re.DOTALL)
    assert count == 1, "README.md has no markers for the console excerpts"
    README.write_text(replaced, encoding="utf-8")


def _printed(command: str, folder: Path) -> str:
    program, *arguments = shlex.split(command)
    done = subprocess.run(
        [sys.executable, "-m", program, *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout


if __name__ == "__main__":
    main()
