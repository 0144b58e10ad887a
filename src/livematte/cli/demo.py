"""`livematte demo`: see it work without a clip of your own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from livematte.cli.conflicts import warn_of_conflicts
from livematte.cli.console import Console
from livematte.cli.options import (
    GROUP_OUTPUT,
    MattingArgument,
    MattingOptions,
    MessageArgument,
    MessageOptions,
    ModelArgument,
)
from livematte.cli.progress_bar import observing
from livematte.config import ModelSettings


def demo(
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"], group=GROUP_OUTPUT, metavar="DIR")] = Path(
        "livematte-demo"
    ),
    model: ModelArgument = ModelSettings(),  # noqa: B008  frozen models, never changed
    matting: MattingArgument = MattingOptions(),  # noqa: B008
    messages: MessageArgument = MessageOptions(),  # noqa: B008
) -> int:
    """Make a short clip from a public portrait, take its background away, and say what shows each file.

    Works offline, in about a minute on two cores. Files of an earlier demo in the folder are replaced.

    Parameters
    ----------
    output
        Folder for what it writes.
    """
    console = Console.for_run(quiet=False, as_json=messages.json, stdout_taken=False)
    warn_of_conflicts(console)
    console.say(f"Making a clip and its transparent versions in {output}/ ...")
    from livematte.demo.show import DemoOptions, run_demo

    with observing(console, "demo") as observer:
        done = run_demo(output, DemoOptions(model, matting, console, console.say, observer))
    total = done.transparent.seconds + done.composite.seconds
    console.event("summary", _summary(done))
    first = done.transparent
    console.say(f"{first.frames} frames to MOV and WebM at {first.fps:.1f} fps; {total:.0f} s in all.")
    console.say("")
    width = max(len(str(one.path)) for one in done.files)
    for one in done.files:
        console.say(f"{one.path!s:<{width}}  {one.what}; shown by {one.program}")
    console.say("")
    console.say("Now a clip of your own: livematte convert clip.mp4")
    return 0


def _summary(done: Any) -> dict[str, Any]:
    both = (done.transparent, done.composite)
    files = [{"path": str(one.path), "bytes": one.path.stat().st_size, "program": one.program} for one in done.files]
    return {**done.transparent.as_dict(), "seconds": round(sum(one.seconds for one in both), 3), "output": files}
