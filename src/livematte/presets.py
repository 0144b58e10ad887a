"""Settings from TOML files: presets by name, `--config` files, how they are layered, and the reference file.

Precedence, strongest first: options of the command line, the `--config` file, the preset, the defaults in
`config.py`. A key that does not exist or a value that is not allowed raises `UsageError` and names file, key,
what was found and what is allowed; nothing is ever repaired.
"""

from __future__ import annotations

import difflib
import textwrap
import tomllib
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from livematte import resources
from livematte.config import Settings
from livematte.errors import UsageError

REFERENCE = "reference"
"""Name of the file in `configs/` that lists every key; not a preset."""

Layer = Mapping[str, Mapping[str, Any]]
"""Section -> key -> value, as a TOML file holds them; only what it states."""


def preset_files() -> dict[str, Path]:
    """Every preset by name: the shipped ones, and the user's own in `config_dir()/presets`, which win."""
    folders = (resources.root() / "configs", resources.config_dir() / "presets")
    found = {path.stem: path for folder in folders if folder.is_dir() for path in sorted(folder.glob("*.toml"))}
    found.pop(REFERENCE, None)
    return found


def preset_title(path: Path) -> str:
    """The first comment line of a preset, which says what it is for; empty where there is none."""
    with path.open(encoding="utf-8") as lines:
        first = lines.readline().strip()
    return first.lstrip("# ") if first.startswith("#") else ""


def load_settings(
    *, preset: str | None = None, config: str | Path | None = None, options: Layer | None = None
) -> Settings:
    """The settings of a run: defaults, then the preset, then the file, then `options`.

    `options` holds only what was really given (section -> key -> value). Raises `UsageError`.
    """
    merged: dict[str, dict[str, Any]] = {}
    for layer in (_preset_layer(preset), read_layer(Path(config)) if config is not None else {}, options or {}):
        for section, values in layer.items():
            merged.setdefault(section, {}).update(values)
    return Settings.model_validate(merged)


def _preset_layer(name: str | None) -> Layer:
    if name is None:
        return {}
    files = preset_files()
    if name not in files:
        raise UsageError(
            f"there is no preset '{name}'.{_nearest(name, list(files))} There are: {', '.join(sorted(files))}. "
            f"Your own go as NAME.toml into {resources.config_dir() / 'presets'}; another file is given with --config."
        )
    return read_layer(files[name])


def read_layer(path: Path) -> Layer:
    """What one TOML file states, checked against `config.py`. `UsageError` names file, key and what is allowed."""
    try:
        with path.open("rb") as file:
            stated = tomllib.load(file)
    except OSError as error:
        raise UsageError(
            f"the settings file {path} cannot be read: {error.strerror or error}. Check its name; a preset that comes "
            "with livematte is named with --preset instead."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(
            f'the settings file {path} is not valid TOML: {error}. A setting looks like: format = "webm", under its '
            "section, such as [output]; configs/reference.toml shows all."
        ) from error
    try:
        Settings.model_validate(stated)
    except ValidationError as error:
        raise UsageError(_explain_file(path, stated, error)) from error
    return stated


def _explain_file(path: Path, stated: Mapping[str, Any], error: ValidationError) -> str:
    detail = error.errors(include_url=False)[0]
    where = [str(part) for part in detail["loc"]]
    key = ".".join(where[:2])
    if detail["type"] == "extra_forbidden":
        return f"{path}: there is no setting '{key}'.{_nearest_key(where)}"
    section = Settings.model_fields.get(where[0])
    if len(where) < 2 or section is None:
        return (
            f"{path}: '{where[0]}' should be a section, got {stated.get(where[0])!r}. Write [{where[0]}] on a line "
            "of its own, and its keys below."
        )
    field = _section_class(section).model_fields[where[1]]
    return f"{path}: {key} cannot be {stated[where[0]][where[1]]!r}. Allowed: {allowed(field)}."


def _nearest_key(where: list[str]) -> str:
    sections = {name: list(_section_class(field).model_fields) for name, field in Settings.model_fields.items()}
    if len(where) == 1:
        home = next((name for name, keys in sections.items() if where[0] in keys), None)
        if home is not None:
            return f" '{where[0]}' belongs into the section [{home}]."
        listed = _listed([f"[{name}]" for name in sections], "and")
        return f"{_nearest(where[0], list(sections))} The sections are {listed}."
    section, key = where[0], where[1]
    home = next((name for name, keys in sections.items() if key in keys), None)
    if home is not None:
        return f" '{key}' belongs into the section [{home}]."
    return f"{_nearest(key, sections[section])} [{section}] has: {', '.join(sections[section])}."


def _nearest(word: str, words: list[str]) -> str:
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.5)
    return f" Did you mean '{close[0]}'?" if close else ""


def _section_class(field: FieldInfo) -> type[BaseModel]:
    assert isinstance(field.annotation, type)
    assert issubclass(field.annotation, BaseModel)
    return field.annotation


# -- what a setting may be ------------------------------------------------------------------------------------------


def refused_value(error: ValidationError) -> UsageError:
    """A settings model's refusal as one sentence: `shrink cannot be 900. Allowed: a number from -50 to 50.`"""
    detail = error.errors(include_url=False)[0]
    sections = [_section_class(field) for field in Settings.model_fields.values()]
    names = [part for part in detail["loc"] if isinstance(part, str)]
    for name in reversed(names):
        field = next((one.model_fields[name] for one in sections if name in one.model_fields), None)
        if field is not None:
            return UsageError(f"{name} cannot be {str(detail['input'])[:80]}. Allowed: {allowed(field)}.")
    return UsageError(f"there is no setting '{'.'.join(names)[:80]}'.")


def allowed(field: FieldInfo) -> str:
    """What a setting may be, in words: `fast, good or best`, `a number from 0 to 1`."""
    kind, optional = _without_none(field.annotation)
    if get_origin(kind) is Literal:
        return _listed([str(choice) for choice in get_args(kind)], "or")
    if get_origin(kind) is tuple:
        return f"{len(get_args(kind))} numbers, such as {_number_list(field.default)}"
    words = {bool: "true or false", int: f"a whole number{_range(field)}", float: f"a number{_range(field)}"}
    return words.get(kind, "text" if not optional else "text, or leave it out")


def _without_none(annotation: Any) -> tuple[Any, bool]:
    if get_origin(annotation) in (Union, types.UnionType):
        members = [member for member in get_args(annotation) if member is not type(None)]
        return members[0], True
    return annotation, False


def _range(field: FieldInfo) -> str:
    low = next((limit.ge for limit in field.metadata if hasattr(limit, "ge")), None)
    high = next((limit.le for limit in field.metadata if hasattr(limit, "le")), None)
    if low is not None and high is not None:
        return f" from {low} to {high}"
    return f" of {low} or more" if low is not None else f" up to {high}" if high is not None else ""


def _listed(words: list[str], link: str) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {link} {words[-1]}"


def _number_list(values: Any) -> str:
    return ",".join(f"{value:g}" for value in values)


# -- configs/reference.toml -----------------------------------------------------------------------------------------

_HEAD = """\
# Every setting of livematte, with its help, what it may be, and its default. Made from src/livematte/config.py by
# docs/make_reference.py, and tested to equal the defaults in the code. Copy what you want to change into a file of
# your own and give it with --config FILE. A setting that is commented out has no default value.
"""


def reference_toml() -> str:
    """The text of `configs/reference.toml`."""
    parts = [_HEAD]
    for name, section in Settings.model_fields.items():
        kind = _section_class(section)
        about = (kind.__doc__ or "").strip().splitlines()[0]
        parts.append(f"\n[{name}]\n# {about}\n")
        parts.extend(_reference_entry(key, field) for key, field in kind.model_fields.items())
    return "".join(parts)


def _reference_entry(key: str, field: FieldInfo) -> str:
    help_lines = textwrap.wrap(field.description or "", 114)
    comment = "".join(f"# {line}\n" for line in help_lines)
    if _without_none(field.annotation)[0] is not str:
        comment += f"# Allowed: {allowed(field)}.\n"
    if field.default is None:
        return f'\n{comment}# {key} = ""\n'
    return f"\n{comment}{key} = {toml_value(field.default)}\n"


def toml_value(value: Any) -> str:
    """A setting's value as TOML writes it; ValueError for what is none (TOML has no null)."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, tuple | list):
        return f"[{', '.join(toml_value(part) for part in value)}]"
    raise ValueError(f"a setting cannot be {value!r}: text, numbers, true, false and lists of them are allowed")
