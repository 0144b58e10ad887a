"""From `--output` to outputs: what each target means, what is refused, and what there is where none was named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from livematte import outputs as naming
from livematte.config import Settings
from livematte.errors import SinkError, UsageError
from livematte.live.base import LiveOutput
from livematte.live.outputs import OUTPUTS
from livematte.reporting import Reporter
from livematte.sinks.faults import check_file, check_folder, explained
from livematte.sinks.formats import STDOUT, files_of, is_pattern

_ONLY_ONCE: Final = {
    "virtual": "One virtual camera is enough for any number of programs",
    "null": "It measures the same thing twice",
    STDOUT: "Two streams in one pipe cannot be told apart",
}


def open_outputs(targets: Sequence[str], settings: Settings, *, page: bool, reporter: Reporter) -> list[LiveOutput]:
    """The outputs for `targets` (`virtual`, `null`, a file, a folder, `-`), made and checked, not opened.

    No target: the virtual camera where there is one, else an empty list, which means: show the page. `page`: the
    caller shows the page in any case. `UsageError` for what cannot be, `SinkError` where there is no virtual camera, or
    a folder is missing or not writable; nothing is written before.
    """
    _refuse_settings(settings)
    if not targets:
        return _whatever_there_is(settings, page=page, reporter=reporter)
    seen: set[str] = set()
    for target in targets:
        key = target if target in _ONLY_ONCE else str(Path(target).absolute())
        if key in seen:
            advice = f"{_ONLY_ONCE[target]}: name it once." if target in _ONLY_ONCE else "Give each a name of its own."
            raise UsageError(f"the output {target} is named twice. {advice}")
        seen.add(key)
    return [_made(target, settings, reporter) for target in targets]


def _whatever_there_is(settings: Settings, *, page: bool, reporter: Reporter) -> list[LiveOutput]:
    try:
        camera = OUTPUTS.load("virtual")("virtual", settings, reporter=reporter)
    except SinkError as error:
        if settings.live.device_name is not None:
            raise  # a camera that was named is never replaced by something else
        reporter.note(f"{'Only the page is shown' if page else 'The page is shown instead'}: {error}")
        return []
    return [camera]


def _made(target: str, settings: Settings, reporter: Reporter) -> LiveOutput:
    kind = target if target in ("virtual", "null") else "recording"
    output = OUTPUTS.load(kind)(target, settings, reporter=reporter)
    if kind == "recording" and target != STDOUT:
        for file in files_of(target, settings.output):
            with explained(file):
                if settings.live.input is not None:
                    naming.refuse_input_as_output(settings.live.input, file)
                naming.refuse_existing(file, overwrite=settings.output.overwrite)
                _check_place(file)
    return output


def _check_place(target: str) -> None:
    """A folder that is missing, or may not be written to, is said before the camera's light goes on."""
    if is_pattern(target) or target.endswith(("/", "\\")):
        check_folder(target.rstrip("/\\") if not is_pattern(target) else target)
    else:
        check_file(target)


def _refuse_settings(settings: Settings) -> None:
    if settings.matting.keep_background:
        raise UsageError(
            "--keep-background would carry the room out of the program live: a program that shows no transparency "
            "would show it. Leave it out; 'livematte convert' has it."
        )
    if settings.output.constant_rate is not None:
        raise UsageError(
            "--constant-rate has no meaning live: a recording keeps the camera's own times. Turn it into a constant "
            "rate afterwards with 'livematte convert'."
        )
    if settings.output.format == "null":
        raise UsageError("--format null writes nothing. To measure, use --output null.")
