"""A program that wants a plan, as an engine does: python plans_builder.py FOLDER NAME. Tests start several at once.

FOLDER holds `plans`. Each build appends NAME to FOLDER/built and lasts until FOLDER/go exists.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from plans_helpers import NOTES, key

from livematte.runtimes.plans import Miss, PlanStore


def say(line: str) -> None:
    """One line, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class Lines:
    """What is said, as lines of stdout."""

    def note(self, message: str) -> None:
        say(f"note: {message}")

    warn = note


def main(folder: Path, name: str) -> None:
    store = PlanStore(folder / "plans")
    found = store.get(key())
    if isinstance(found, Miss):
        with store.building(key(), what="the plan of livematte-s", reporter=Lines()) as waited:
            say(f"waited: {waited}")
            found = store.get(key())
            if isinstance(found, Miss):
                with (folder / "built").open("a", encoding="utf-8") as file:
                    file.write(f"{name}\n")
                while not (folder / "go").exists():
                    time.sleep(0.02)
                store.put(key(), f"plan of {name}".encode(), NOTES)
                found = store.get(key())
    assert not isinstance(found, Miss)
    say(f"has: {found.plan.decode()}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
