"""What the command line prints, and in which order."""

from __future__ import annotations

import io

from outcome import Command

from livematte.cli.console import Console


def test_messages_wait_for_the_status_line() -> None:
    console = Console(io.StringIO())
    with console.status_first() as say_status:
        console.note("found out while preparing")
        say_status("what runs")
        console.note("said at once")
    assert console.stream.getvalue().splitlines() == ["what runs", "  found out while preparing", "  said at once"]


def test_messages_are_not_lost_where_the_status_is_never_said() -> None:
    console = Console(io.StringIO())
    try:
        with console.status_first():
            console.warn("the last word before it failed")
            raise ValueError
    except ValueError:
        pass
    assert console.stream.getvalue() == "warning: the last word before it failed\n"


def test_the_first_line_of_a_conversion_is_its_status(command: Command) -> None:
    done = command("convert", "synthetic:64x48@25:5", "-o", "a.mov", "--runtime", "null", "--constant-rate", "30")
    lines = done.out.splitlines()
    assert lines[0].startswith("livematte-s in ")
    assert "constant 30" in lines[1]
