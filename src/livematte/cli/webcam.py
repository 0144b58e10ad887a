"""`livematte webcam`: the camera without the room, for calls and streams."""

from __future__ import annotations

from livematte.cli.conflicts import warn_of_conflicts
from livematte.cli.console import Console
from livematte.cli.options import (
    MattingArgument,
    MattingOptions,
    ModelArgument,
    OutputsArgument,
    RunArgument,
    RunOptions,
    settings_from,
)
from livematte.cli.webcam_options import (
    LiveArgument,
    LiveOutputArgument,
    LiveOutputOptions,
    WebcamArgument,
    WebcamOptions,
)
from livematte.config import LiveSettings, ModelSettings
from livematte.errors import UsageError


def webcam(
    *,
    outputs: OutputsArgument = None,
    live: LiveArgument = LiveSettings(),  # noqa: B008  frozen models, never changed
    output: LiveOutputArgument = LiveOutputOptions(),  # noqa: B008
    options: WebcamArgument = WebcamOptions(),  # noqa: B008
    model: ModelArgument = ModelSettings(),  # noqa: B008
    matting: MattingArgument = MattingOptions(),  # noqa: B008
    run: RunArgument = RunOptions(),  # noqa: B008
) -> int:
    """Show yourself without the room behind you, in any program that takes a camera.

    `livematte webcam` sends your camera, its background blurred, to the virtual camera; the name to pick in the call
    is said. Without a virtual camera the page is shown. `--input clip.mp4 --loop` takes a clip for the camera.
    Ctrl-C or the key q ends it (exit code 0); ? lists the keys. The extra `webcam` brings the virtual camera and the
    page: `pip install 'livematte[webcam]'`.

    Parameters
    ----------
    outputs
        virtual (the virtual camera), null (nowhere: it measures), a file to record into, or - for NUT on stdout.
        Repeat it for several. Without it: the virtual camera if there is one, else the page.
    """
    targets = outputs or []
    console = Console.for_run(quiet=run.quiet, as_json=run.json, stdout_taken="-" in targets)
    if options.list_:
        from livematte.cli.webcam_list import say_cameras

        return say_cameras(console)
    if options.duration is not None and not options.duration > 0:
        raise UsageError(f"--duration {options.duration:g} is no time: a number of seconds above 0 is allowed.")
    settings = settings_from(run, {"live": live, "output": output, "model": model, "matting": matting})
    warn_of_conflicts(console)
    from livematte.cli.webcam_run import WebcamRun

    return WebcamRun(targets, settings, options, console, report=run.report).run()
