"""The networks that this package knows: `engines/*.toml` read, checked and found by name."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from livematte import resources
from livematte.errors import ModelError
from livematte.models.manifest import Manifest

DEFAULT = "livematte-s"
"""What `--model auto` names."""
ALIASES = {
    "auto": DEFAULT,
    "modnet": "modnet-photographic",
    "rvm": "rvm-mobilenetv3",
    "isnet-general-use": "isnet",
    "bria-rmbg": "rmbg-2.0",
    "rmbg": "rmbg-2.0",
    "birefnet": "birefnet-general",
}
"""Other names that people know them by."""


def parse(text: str, origin: str) -> Manifest:
    """A manifest from TOML. ModelError names the file (`origin`), the key, the value and what is allowed."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ModelError(f"{origin} is not valid TOML: {error}. Correct the line it names.") from error
    try:
        return Manifest.model_validate(table)
    except ValidationError as error:
        raise ModelError(_explain(origin, error)) from error


def read(path: Path) -> Manifest:
    """The manifest in this file. ModelError where it cannot be read or does not fit the schema."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"the manifest {path} cannot be read: {error}.") from error
    return parse(text, str(path))


def _explain(origin: str, error: ValidationError) -> str:
    first, *others = error.errors(include_url=False)
    key = ".".join(str(part) for part in first["loc"]) or "the whole file"
    given: Any = first["input"]
    shown = "" if isinstance(given, dict | list | tuple) else f", got {given!r}"
    message = re.sub(r"^(Value error|Assertion failed), ", "", first["msg"])
    allowed = {"extra_forbidden": "this key does not exist", "missing": "this key is required"}.get(
        first["type"], message[:1].lower() + message[1:]
    )
    more = f" ({len(others)} more like this)" if others else ""
    return f"{origin}: {key}{shown}: {allowed}.{more} Correct the manifest; engines/ has complete examples."


@cache
def shipped() -> dict[str, Manifest]:
    """Every manifest of this package by name, the default first, then by name."""
    found = [read(path) for path in sorted((resources.root() / "engines").glob("*.toml"))]
    found.sort(key=lambda manifest: (manifest.name != DEFAULT, manifest.name))
    return {manifest.name: manifest for manifest in found}


def by_name(name: str) -> Manifest:
    """The shipped manifest called `name` (`auto`: the default). ModelError lists the names."""
    known = shipped()
    wanted = ALIASES.get(name, name)
    if wanted not in known:
        raise ModelError(
            f"there is no network called '{name}'. There are: {', '.join(known)}. "
            "Give one of these names, or the path of an .onnx file."
        )
    return known[wanted]
