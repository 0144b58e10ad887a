"""What a person is told when something is the matter: on the card, in the terminal, as the error that ends a run."""

from __future__ import annotations

from typing import Final

from livematte import errors
from livematte.errors import LivematteError, SourceError
from livematte.live.keeper import FIRST_TRIES, Fault

STARTING: Final = "Starting..."
OFF: Final = "The camera is off."
IDLE: Final = "The camera is closed while nobody watches."


def waiting(noun: str) -> str:
    """No picture has come for half a second, and nobody knows why yet."""
    return f"No picture from the {noun}; one moment."


def card_reason(fault: Fault, noun: str) -> str:
    """For the card, while a new worker is on its way."""
    if fault.what == "camera silent":
        return f"The {noun} does not answer; trying again."
    if fault.what == "camera lost":
        return f"The {noun} cannot be read; waiting for it."
    return "Something went wrong; starting again."


def fault_sentence(fault: Fault, noun: str, pause_seconds: float) -> str:
    """For the terminal."""
    again = f"in {pause_seconds:g} s"
    if fault.failed is not None:
        return f"{fault.failed.text.rstrip()} Trying again {again}."
    if fault.what == "camera silent":
        return f"The {noun} does not answer: {fault.text}. Trying again {again}."
    return f"Something went wrong: {fault.text}. Starting again {again}."


def final_error(fault: Fault, noun: str) -> LivematteError:
    """What ends the run, with the worker's own class and exit code where it told one."""
    failed = fault.failed
    if failed is None:
        text = f"no picture came in {FIRST_TRIES} tries; at the last one: {fault.text}."
        if fault.what == "camera silent":
            return SourceError(f"{text} Is another program using the {noun}? Unplug it and plug it in again.")
        return LivematteError(f"{text} 'livematte doctor' looks at what this machine has.")
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, LivematteError) and kind.exit_code == failed.exit_code
    ]
    kind = next((kind for kind in kinds if kind.__name__ == failed.kind), kinds[0] if kinds else LivematteError)
    return kind(failed.text)
