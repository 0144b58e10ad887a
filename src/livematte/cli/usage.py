"""What went wrong on the command line, in our words: what, what we got, what is allowed, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Literal, get_args, get_origin

from cyclopts import (
    ArgumentCollection,
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    RepeatArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)
from pydantic import ValidationError

from livematte.cli.options import setting_of
from livematte.presets import allowed


def explain(error: CycloptsError) -> str:
    """One paragraph for a person. cyclopts' and pydantic's own words never show."""
    text = _what(error)
    text = text if text.endswith((".", "?")) else f"{text}."
    command = " ".join(["livematte", *(error.command_chain or ())])
    return f"{text} '{command} --help' shows every option."


_EXAMPLES = {
    "convert": "For example: livematte convert clip.mp4",
    "photo": "For example: livematte photo picture.jpg",
    "show": "'livematte model list' shows the networks' names.",
    "fetch": "'livematte model list' shows the networks' names.",
}


def _what(error: CycloptsError) -> str:
    if isinstance(error.__cause__, ValidationError):
        return _value(error.__cause__)
    if isinstance(error, UnknownOptionError):
        return unknown_option(error.token.keyword or error.token.value, error.argument_collection)
    if isinstance(error, UnusedCliTokensError):
        return f"'{' '.join(error.unused_tokens or [])}' is one argument too many."
    if isinstance(error, UnknownCommandError):
        words = [word for word in error.unused_tokens or [] if not word.startswith("-")]
        names = [name for name in (error.app or ()) if not name.startswith("-")]
        word = words[0] if words else "?"
        return f"there is no command '{word}'.{_did_you_mean(word, names)} The commands are: {', '.join(names)}."
    if isinstance(error, MissingArgumentError) and error.argument is not None:
        name = error.argument.name
        if not name.startswith("-"):
            what = {"INPUTS": "the input"}.get(name.upper(), f"the {name.lower()}")
            return f"{what} is missing. {_EXAMPLES.get((error.command_chain or ('',))[-1], '')}".rstrip()
        return f"{name} needs a value after it."
    if isinstance(error, RepeatArgumentError):
        return f"{error.token.keyword} is given more than once, and can be given once only."
    if isinstance(error, CoercionError) and error.token is not None:
        name = error.token.keyword or (error.argument.name.lower() if error.argument is not None else "the input")
        return f"{name} cannot be '{error.token.value}'. {_allowed_type(error.target_type)}".rstrip()
    return str(error).split("\n")[0]


def unknown_option(given: str, known: ArgumentCollection) -> str:
    """What to say of a word that is neither an input nor an option of the command."""
    word = given.split("=", 1)[0]
    if not word.startswith("-"):
        return f"'{word}' is one argument too many."
    names = [name for argument in known if argument.parse for name in argument.names if name.startswith("-")]
    return f"there is no option '{word}'.{_did_you_mean(word, names)}"


def _value(error: ValidationError) -> str:
    detail = error.errors(include_url=False)[0]
    key = str(detail["loc"][0]) if detail["loc"] else ""
    field = setting_of(key)
    got = detail["input"]
    shown = ",".join(got) if isinstance(got, list) else got
    what = f"{option_name(key)} cannot be '{shown}'."
    return f"{what} Allowed: {allowed(field)}." if field is not None else f"{what} {detail['msg']}."


def option_name(key: str) -> str:
    """A setting's name as an option: `keep_location` -> `--keep-location`."""
    return f"--{key.replace('_', '-')}"


def _allowed_type(kind: type | None) -> str:
    if get_origin(kind) is Literal:
        return f"Allowed: {', '.join(str(one) for one in get_args(kind))}."
    words = {bool: "Allowed: true or false.", int: "Allowed: a whole number.", float: "Allowed: a number."}
    return words.get(kind, "") if kind is not None else ""


def _did_you_mean(word: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(names), n=1, cutoff=0.6)
    return f" Did you mean '{close[0]}'?" if close else ""
