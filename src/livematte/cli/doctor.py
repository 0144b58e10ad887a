"""`livematte doctor`: what works here, and what would add the rest."""

from __future__ import annotations

import textwrap
from typing import Annotated

from cyclopts import Parameter

from livematte.cli.console import Console
from livematte.cli.options import MessageArgument, MessageOptions
from livematte.doctor.camera import examine_cameras
from livematte.doctor.checks import Diagnosis, Finding, examine

_MARKS = {"ok": "ok", "missing": "--", "problem": "!!", "info": ".."}
_WIDTH = 100


def doctor(
    *,
    camera: Annotated[bool, Parameter(negative="")] = False,
    messages: MessageArgument = MessageOptions(),  # noqa: B008  frozen, never changed
) -> int:
    """Versions, devices, codecs that carry alpha here, cameras, and for each missing thing the command that adds it.

    It looks only: nothing is installed, changed or repaired. Ends with 1 where something needs repair.

    Parameters
    ----------
    camera
        Cameras alone: what each can do, the virtual ones, and the steps to a virtual camera on this system.
    """
    console = Console.for_run(quiet=False, as_json=messages.json, stdout_taken=False)
    diagnosis = examine_cameras() if camera else examine()
    console.event("summary", diagnosis.as_dict())
    _say(diagnosis, console)
    return 1 if diagnosis.problems else 0


def _say(diagnosis: Diagnosis, console: Console) -> None:
    for section in diagnosis.sections:
        console.say(section.title)
        width = max(len(one.name) for one in section.findings) if section.findings else 0
        for one in section.findings:
            _say_finding(one, width, console)
        console.say("")
    number = len(diagnosis.problems)
    if number:
        console.say(f"To repair: {number}, marked !!, each with what repairs it.")
    else:
        console.say("Nothing needs repair. What is marked -- is not installed; its line says what adds it.")


def _say_finding(one: Finding, width: int, console: Console) -> None:
    head = f"  {_MARKS[one.state]}  {one.name:<{width}}  "
    body = textwrap.wrap(one.detail, max(40, _WIDTH - len(head)), break_long_words=False, break_on_hyphens=False)
    console.say(head + (body[0] if body else ""))
    for line in body[1:]:
        console.say(" " * len(head) + line)
    for line in one.fix.splitlines():
        console.say(" " * len(head) + line)
