"""What `convert` says at the end, for one input and for many."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from livematte.cli.console import Console
from livematte.errors import EndedEarly, Interrupted


@contextmanager
def naming_what_is_kept(targets: Sequence[str]) -> Iterator[None]:
    """Adds to an interruption's message which `.part` files are kept."""
    try:
        yield
    except (Interrupted, EndedEarly) as error:
        from livematte.sinks.video import part_path

        kept = [str(path) for path in (part_path(Path(name)) for name in targets if name != "-") if path.exists()]
        unsaid = [name for name in kept if name not in str(error)]
        if not unsaid:
            raise
        raise type(error)(f"{error} Kept and playable: {', '.join(unsaid)}.") from error


def say_summary(console: Console, summary: Any, *, advise: Callable[[str], bool] = bool) -> None:
    """What was done, and which programs show the result; of that, the lines that `advise` lets through."""
    from livematte.progress import readable_bytes

    counted = [
        (summary.dropped, "dropped"),
        (summary.repeated, "repeated"),
        (summary.damaged, "damaged and skipped"),
        (summary.empty_frames, "with nobody in them"),
    ]
    extra = "".join(f", {number} {what}" for number, what in counted if number)
    limit = f", limited by {summary.limiting_stage}" if summary.limiting_stage else ""
    console.say(
        f"{summary.frames} frames in {readable_seconds(summary.seconds)} ({summary.fps:.1f} fps{limit}){extra}."
    )
    for one in summary.outputs:
        if one.target in ("", "-") or one.format == "null":
            continue
        console.say(f"{one.target}: {readable_bytes(one.bytes)}")
        for line in (one.advice.shows, one.advice.does_not, one.advice.click):
            if line and advise(line):
                console.say(f"  {line}")


def readable_seconds(seconds: float) -> str:
    """`3.2 s`, `4 min 05 s`, `2 h 10 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
