"""Writes docs/livematte.1, the man page, from the table of commands: python docs/make_man.py"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from cyclopts import App, Argument

from livematte.cli.app import build, worth_showing

PAGE = Path(__file__).resolve().with_name("livematte.1")
_LAST_GROUP = 99
_HEADER = """.\\" Made by docs/make_man.py from the table of commands. Change that, then run it.
.TH LIVEMATTE 1 "" "livematte" "User Commands"
.SH NAME
livematte \\- removes the background behind people in clips, photos and live video
.SH SYNOPSIS
.B livematte
.I COMMAND
.RI [ OPTIONS ]
.RI [ IN ...]
.SH DESCRIPTION"""
_FOOTER = """.SH ENVIRONMENT
.TP
.B LIVEMATTE_CACHE
The folder for fetched networks, instead of the user's cache.
.TP
.B LIVEMATTE_DEBUG
1: show the traceback of an error, as \\-\\-debug does.
.SH FILES
Settings for \\-\\-config and presets for \\-\\-preset are TOML files; configs/reference.toml lists every key.
.SH EXAMPLES"""
_EXAMPLES = (
    ("livematte convert clip.mp4", "A transparent MOV (ProRes 4444), clip_alpha.mov, for editors."),
    ("livematte convert clip.mp4 -o clip.webm", "A transparent WebM for the web."),
    ("livematte convert inbox/ --watch -o done/", "Each clip that comes into a folder, until Ctrl-C."),
    ("livematte photo picture.jpg", "A cut-out, picture_alpha.png."),
    ("livematte webcam", "The camera without the room behind you, for calls."),
)


def page() -> str:
    """The whole man page, in man(7)'s macros."""
    app = build()
    blocks = _paragraphs(app.help)
    lines = [_HEADER, *_plain_paragraphs([block for block in blocks if not block.startswith("Exit codes:")])]
    lines.append(".SH COMMANDS")
    for chain, command in _commands(app, ()):
        lines += _section(chain, command)
    lines += [".SH EXIT STATUS", *(_text(block) for block in blocks if block.startswith("Exit codes:"))]
    lines.append(_FOOTER)
    for words, what in _EXAMPLES:
        lines += [".TP", f".B {_escape(words)}", _text(what)]
    return "\n".join(lines) + "\n"


def _commands(app: App, chain: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], App]]:
    """Every command that does something, with the words that lead to it: `model`, `fetch`."""
    for name in app:
        if name.startswith("-"):
            continue
        command = app[name]
        if command.default_command is not None:
            yield (*chain, name), command
        yield from _commands(command, (*chain, name))


def _section(chain: tuple[str, ...], command: App) -> list[str]:
    arguments = [one for one in command.assemble_argument_collection(parse_docstring=True) if _is_shown(one)]
    inputs = [one for one in arguments if not one.name.startswith("-")]
    options = [one for one in arguments if one.name.startswith("-")]
    words = [_placeholder(one) + ("..." if _is_list(one) else "") for one in inputs]
    words = [word if one.required else f"[{word}]" for one, word in zip(inputs, words, strict=True)]
    lines = [f'.SS "livematte {" ".join([*chain, *words])}{" [OPTIONS]" if options else ""}"']
    description = re.split(r"^ *Parameters\n *-{3,}", command.default_command.__doc__ or "", flags=re.MULTILINE)[0]
    lines += _plain_paragraphs(_paragraphs(description))
    for one in inputs:
        lines += [".TP", f".I {_escape(_placeholder(one))}", _text(_help(one))]
    last = None
    for one in sorted(options, key=_group_order):
        group = _group(one)
        if group != last:
            lines += [".PP", f".B {_escape(group)}"]
            last = group
        lines += [".TP", _names(one), _text(_help(one))]
    return lines


def _is_shown(one: Argument) -> bool:
    return bool(one.show) and one.name != "*"


def _is_list(one: Argument) -> bool:
    return "list" in str(one.hint)


def _placeholder(one: Argument) -> str:
    given = one.parameter.metavar
    if given:
        return str(given)
    if not one.name.startswith("-"):
        return one.name.upper()
    kinds = {"int": "N", "float": "NUMBER"}
    return next((kinds[name] for name in kinds if re.search(rf"\b{name}\b", str(one.hint))), "VALUE")


def _names(one: Argument) -> str:
    """The tag line of an option: its names in bold, its value in italics."""
    hidden = set(one.negatives) - set(one.parameter.negative or ())
    names = ", ".join(f"\\fB{_escape(name)}\\fR" for name in one.names if name not in hidden)
    takes_value = re.search(r"\bbool\b", str(one.hint)) is None
    return f"{names} \\fI{_escape(_placeholder(one))}\\fR" if takes_value else names


def _help(one: Argument) -> str:
    parts = [str(one.parameter.help or "").strip()]
    choices = one.get_choices()
    if choices and not all(re.search(rf"\b{re.escape(choice)}\b", parts[0]) for choice in choices):
        parts.append(f"One of {', '.join(choices)}.")
    text = None if one.required else worth_showing(one.field_info.default)
    if text:
        parts.append(f"Default: {text}.")
    return " ".join(part for part in parts if part)


def _group(one: Argument) -> str:
    return str(one.parameter.group[0].name) if one.parameter.group else "Options"


def _group_order(one: Argument) -> tuple[int, str]:
    key = getattr(one.parameter.group[0], "sort_key", None) if one.parameter.group else None
    return (key if isinstance(key, int) else _LAST_GROUP, _group(one))


def _paragraphs(text: str) -> list[str]:
    return [" ".join(block.split()) for block in re.split(r"\n\s*\n", text.strip()) if block.strip()]


def _plain_paragraphs(blocks: list[str]) -> list[str]:
    return [line for block in blocks for line in (".PP", _text(block))]


def _text(text: str) -> str:
    """A line of running text: code in bold, and nothing that roff takes for a request."""
    parts = re.split(r"`([^`]+)`", " ".join(text.split()))
    line = "".join(f"\\fB{_escape(part)}\\fR" if number % 2 else _escape(part) for number, part in enumerate(parts))
    return f"\\&{line}" if line.startswith((".", "'")) else line


def _escape(text: str) -> str:
    return text.replace("\\", "\\e").replace("-", "\\-").replace("\N{MULTIPLICATION SIGN}", "x")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8", newline="\n")
